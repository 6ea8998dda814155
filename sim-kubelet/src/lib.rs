//! All kubelets of a cluster as one fleet: pod lifecycle, probes, images, admission, node status.
//!
//! The decisions are pure functions over a compiled [`plan::Plan`]: [`phase`], [`conditions`], [`actions`],
//! [`status`], [`termination`], [`backoff`], [`probes`], [`admission`]. The fleet runs them for every pod of every
//! node; [`behavior`] says what the containers do and [`images`] how long they take to fetch.

pub mod actions;
pub mod admission;
pub mod backoff;
pub mod behavior;
pub mod conditions;
pub mod fleet;
pub mod images;
pub mod node;
pub mod phase;
pub mod plan;
pub mod probes;
pub mod status;
pub mod termination;
