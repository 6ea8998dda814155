//! kube-controller-manager: one controller per module, each a pure reconcile function over its own caches.
//!
//! A sync reads an input that was gathered from the caches and returns what to do; where upstream blocks on an answer
//! of the API server, it runs over a journal of answers (see [`machinery::fx`]). [`ControllerManager`] is the component
//! that holds them all.
//!
//! Invariant: nothing is written except by a request, so staleness and conflicts are what they are in a real cluster.
//!
//! ```
//! use sim_controllers::{Config, ControllerManager};
//! use sim_core::api::kind::Kind;
//! use sim_core::engine::component::{Component, Watch};
//!
//! let manager = ControllerManager::new(Config::default());
//! assert!(manager.watches().contains(&Watch::all(Kind::DEPLOYMENT)));
//! ```

pub mod daemon_set;
pub mod deployment;
pub mod device_taint_eviction;
#[cfg(test)]
mod faults;
pub mod garbage_collector;
pub mod horizontal;
pub mod job;
pub mod machinery;
mod manager;
pub mod replica_set;
pub mod resource_claim;
#[cfg(test)]
mod testing;

pub use manager::{Config, ControllerManager, LaneId, Timer};
