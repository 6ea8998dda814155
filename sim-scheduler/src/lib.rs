//! kube-scheduler v1.34 in plain Rust: queue, cache, cycle, framework and in-tree plugins, as a deterministic
//! [component](sim_core::engine::component::Component).
//!
//! Which nodes pass, what every plugin scores, and every word of `FailedScheduling` are those of the real scheduler;
//! recorded answers of it are replayed by `wavetank conformance`.
//!
//! # A plugin of one's own
//!
//! A plugin is a type with one trait per extension point it has something to say at. It is asked about one node at a
//! time; what it computes once per pod is its `Cycle`. This one keeps a share of every node's CPU free:
//!
//! ```
//! use sim_scheduler::framework::*;
//! use sim_scheduler::node::NodeInfo;
//! use sim_scheduler::pod::PodInfo;
//!
//! /// Keeps a share of every node's CPU free for bursts.
//! pub struct Headroom { pub percent: i64 }
//!
//! impl Plugin for Headroom {
//!     const NAME: &'static str = "Headroom";
//!     const READS: Reads = Reads::NodeLocal;
//!     const WAKES_ON: &'static [Wake] = &[Wake::NodeAdded, Wake::NodeUpdated, Wake::PodDeleted];
//!     type Cycle = i64; // milli-CPU asked for, computed once per pod
//!     fn pre_filter(&self, pod: &PodInfo) -> i64 { pod.requests.milli_cpu }
//! }
//!
//! impl Filter for Headroom {
//!     fn filter(&self, asked: &i64, _pod: &PodInfo, node: &NodeInfo) -> Verdict {
//!         let ceiling = node.allocatable.milli_cpu * (100 - self.percent) / 100;
//!         if node.requested.milli_cpu + asked <= ceiling { Fits } else { Rejected("node(s) must keep CPU headroom") }
//!     }
//! }
//!
//! // Behind upstream's default plugins, at every point that it is registered for:
//! let profile = Profile::default_profile().with(plugin(Headroom { percent: 20 }).filter());
//! let scheduler = sim_scheduler::Scheduler::new(vec![profile]);
//! let profile = &scheduler.profiles()[0];
//! let mut filters = profile.at(Point::Filter).iter().map(|i| profile.plugin(*i).name());
//! assert_eq!(filters.next_back(), Some("Headroom"));
//! ```
//!
//! [`READS`](framework::Plugin::READS) is a promise: [`Reads::NodeLocal`](framework::Reads::NodeLocal) answers depend on
//! the pod's class and the one node only, so the scheduler keeps them per class and node and asks again when the node
//! changes. That makes a decision cost what changed since the last one, not the number of nodes; see [`cycle`]. Plugins
//! that depend on pods elsewhere can keep counts per class instead ([`Columns`](framework::Columns)).
//!
//! # What is not here yet
//!
//! Devices.

pub mod affinity_terms;
pub mod cache;
pub mod config;
pub mod cycle;
pub mod explain;
pub mod extender;
mod float;
pub mod framework;
pub mod mask;
pub mod metrics;
pub mod node;
pub mod plugins;
pub mod pod;
pub mod queue;
pub mod resources;
pub mod scheduler;
#[cfg(test)]
mod testing;

pub use config::SchedulerConfig;
pub use scheduler::Scheduler;
