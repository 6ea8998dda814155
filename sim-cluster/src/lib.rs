//! A whole Kubernetes cluster in one value: API server, scheduler, controllers and kubelets on one virtual clock.
//!
//! ```
//! use sim_cluster::prelude::*;
//!
//! let mut sim = Cluster::builder().seed(1).node(node("small").cpu("4").memory("16Gi")).build();
//! let web = sim.create(pod("web").cpu("8"));
//!
//! sim.run_for(secs(30));
//! assert!(sim.why_pending(web).starts_with("0/1 nodes are available: 1 Insufficient cpu."));
//!
//! sim.at(secs(60), |c| { c.create(node("big").cpu("16").memory("64Gi")); });
//! sim.run_until(|c| c.pod(web).is_running(), mins(5)).unwrap();
//! assert_eq!(sim.pod(web).node(), Some("big"));
//! ```
//!
//! - [`Cluster`] is plain data: cloning it is a snapshot, [`Cluster::fork`] a second future of one past.
//! - Time moves only in `run_for`, `run_until` and their like; idle time costs nothing.
//! - Same seed and input: the same [`digest`](Cluster::digest), on any machine.
//! - What is done from outside (`create`, `apply`, `scale`, `delete`, `request`) commits at this instant, as if a client's
//!   request had just arrived. What components do takes the time that [`Timing`](sim_core::engine::timing::Timing) says.
//! - Components of one's own come in through [`Cluster::add_component`]; scheduler plugins through
//!   [`ClusterBuilder::scheduler`]. Both have an example under `examples/`.
//!
//! Invariant: this crate wires and dispatches; it contains no policy.

mod apply;
pub mod build;
mod builder;
mod cgroups;
mod cluster;
mod devices;
mod error;
mod event;
mod explain;
mod inspect;
mod run;
mod user;
mod watch;

pub use apply::Applied;
pub use builder::ClusterBuilder;
pub use cluster::Cluster;
pub use error::RunError;
pub use inspect::{Handle, Named, PodView};
pub use user::UserComponent;
pub use watch::{ClientWatch, WatchEvent};

/// What a test imports.
pub mod prelude {
    pub use crate::build::*;
    pub use crate::{Cluster, ClusterBuilder, Handle, PodView, RunError};
    pub use sim_core::api::kind::Kind;
    pub use sim_core::api::pod_status::PodPhase;
    pub use sim_core::engine::timing::{Delay, Timing};
    pub use sim_core::time::{Span, Time, days, hours, millis, mins, secs};
}
