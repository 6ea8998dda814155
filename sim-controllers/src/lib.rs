//! kube-controller-manager: one controller per module, each a pure reconcile function over its own caches.
//!
//! A sync reads an input that was gathered from the caches and returns what to do; where upstream blocks on an answer
//! of the API server, it runs over a journal of answers (see [`machinery::fx`]). [`ControllerManager`] is the component
//! that holds them all.

pub mod daemon_set;
pub mod deployment;
pub mod garbage_collector;
pub mod job;
pub mod machinery;
mod manager;
pub mod replica_set;
#[cfg(test)]
mod testing;

pub use manager::{Config, ControllerManager, LaneId, Timer};
