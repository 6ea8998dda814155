//! All kubelets of a cluster as one fleet: pod lifecycle, probes, images, admission, node status.
//!
//! The decisions are pure functions over a compiled [`plan::Plan`]: [`phase`], [`conditions`], [`actions`],
//! [`status`], [`termination`], [`backoff`], [`probes`]. The fleet runs them for every pod of every node.

pub mod actions;
pub mod backoff;
pub mod conditions;
pub mod phase;
pub mod plan;
pub mod probes;
pub mod status;
pub mod termination;
