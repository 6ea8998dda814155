//! Workloads that the benches share.

pub mod timers;
