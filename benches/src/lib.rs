//! Workloads that the benches share.

pub mod decisions;
pub mod scheduling;
pub mod timers;
