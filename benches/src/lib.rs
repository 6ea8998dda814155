//! Workloads that the benches share.

pub mod scheduling;
pub mod timers;
