//! All kubelets of a cluster as one fleet: pod lifecycle, probes, images, admission, node status.
//!
//! The decisions are pure functions over a compiled [`plan::Plan`]: [`phase`], [`conditions`], [`actions`],
//! [`status`], [`termination`], [`backoff`], [`probes`], [`admission`]. The [`fleet`] runs them for every pod of every
//! node; [`behavior`] says what the containers do, [`images`] how long they take to fetch, and [`devices`]
//! which claims are ready.
//! [`cgroup`] is what is written to the kernel for them, [`eviction`] who leaves when a node runs short.
//!
//! Invariants: a worker goes from syncing to terminating to finished and never back; a terminal phase is written once
//! nothing runs any more and never left; restart counts never fall; a node never admits beyond its allocatable; a node
//! or pod on which nothing happens makes no event.
//!
//! ```
//! use sim_kubelet::phase::{PodProgress, Seen, View, phase};
//! use sim_kubelet::plan::{Gates, Plan};
//!
//! let spec = serde_json::json!({"restartPolicy": "Never", "containers": [{"name": "work"}]});
//! let plan = Plan::compile(&serde_json::from_value(spec).unwrap(), Gates::default());
//! let ended = View { seen: Seen::Terminated { exit_code: 0 }, ready: false, started: false };
//! assert_eq!(phase(&plan, &[Some(ended)], PodProgress::default()).as_str(), "Succeeded");
//! ```

pub mod actions;
pub mod admission;
pub mod backoff;
pub mod behavior;
pub mod cgroup;
pub mod conditions;
pub mod devices;
pub mod eviction;
pub mod fleet;
pub mod images;
pub mod node;
pub mod phase;
pub mod plan;
pub mod probes;
pub mod status;
pub mod termination;
