//! Scenario files, their runner and reports, and the `wavetank` command line.

pub mod cli;
pub mod conformance;
pub mod expect;
pub mod format;
pub mod import;
pub mod plan;
pub mod runner;
