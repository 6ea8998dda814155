//! Scenario files, their runner and reports, the conformance runner, and the `wavetank` command line.
//!
//! A file becomes typed values ([`format`]), those a plan without loose ends ([`plan`]: all errors at once, each with its
//! place), and the plan a run with a report ([`runner`]). Expectations are a small language of their own ([`expect`]).
//!
//! ```
//! use scenarios::expect::Expectation;
//! assert!("deployment/web available within 60s".parse::<Expectation>().is_ok());
//! let error = "deployment/web availabel within 60s".parse::<Expectation>().unwrap_err();
//! assert!(error.to_string().contains("availabel"));
//! ```
//!
//! Invariant: no simulation logic lives here; whatever a scenario does, a test can do through `sim_cluster`.

pub mod cli;
pub mod conformance;
pub mod expect;
pub mod format;
pub mod import;
pub mod plan;
pub mod runner;
