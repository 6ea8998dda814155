//! A whole Kubernetes cluster in one value.

mod apply;
pub mod build;
mod builder;
mod cluster;
mod error;
mod event;
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
