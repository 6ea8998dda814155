//! What all controllers share: work queues, expectations, caches, pod control, and the effect journal a sync runs on.

pub mod cache;
pub mod expectations;
pub mod fx;
pub mod host;
pub mod lane;
pub mod pod_control;
pub mod queue;
pub mod ranking;
pub mod recent;
pub mod refs;
pub mod selectors;
pub mod templates;
pub mod wire;
