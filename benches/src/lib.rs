//! Workloads that the benches share.
//!
//! `cargo bench -p benches` runs them; what was measured, how and on what is in `benches/README.md`. Nothing here is timed
//! inside `cargo test`, and nothing else depends on this crate.

pub mod decisions;
pub mod devices;
pub mod month;
pub mod queueing;
pub mod timers;
pub mod workloads;
