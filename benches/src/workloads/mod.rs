//! The workloads of upstream's scheduler benchmark (`test/integration/scheduler_perf`), and some of our own, as data.
//!
//! A file in `benches/workloads` is one test case: steps, and the sizes it is run in. [`player`] plays it through a
//! [`Stage`]: the scheduler [alone](alone) or a [cluster](cluster) with its API server.

pub mod alone;
pub mod cluster;
mod devices;
pub mod format;
pub mod measure;
pub mod player;
mod templates;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::Request;
use sim_core::load::{LoadOptions, Source, read};
use sim_core::time::Time;
use sim_scheduler::Scheduler;
use sim_scheduler::metrics::{Sample, Series};

pub use format::{Size, Workload};
pub use templates::Templates;

/// A world that workloads are played in.
pub trait Stage {
    /// The current instant.
    fn now(&self) -> Time;
    /// When the next thing happens.
    fn next_time(&self) -> Option<Time>;
    /// Runs up to an instant, everything due at it included.
    fn run_to(&mut self, at: Time);
    /// Makes objects now.
    ///
    /// # Errors
    /// The API server refuses one.
    fn create(&mut self, objects: Vec<Object>) -> Result<(), String>;
    /// Deletes an object now, without grace.
    fn delete(&mut self, kind: Kind, key: &Key);
    /// Sends a request now.
    ///
    /// # Errors
    /// It is refused.
    fn request(&mut self, request: Request) -> Result<(), String>;
    /// The uid of an object, if there is one.
    fn uid(&self, kind: Kind, key: &Key) -> Option<Uid>;
    /// True if a pod exists and has no node.
    fn is_pending(&self, pod: &Key) -> bool;
    /// Digest of all that happened.
    fn digest(&self) -> String;
    /// The scheduler; `None` if there is none.
    fn scheduler(&self) -> Option<&Scheduler>;
}

/// What a scheduler has done, by its own metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Scheduling attempts.
    pub all: i64,
    /// Those that found pods to preempt.
    pub preempting: i64,
}

impl Attempts {
    /// Those so far.
    pub fn of(scheduler: &Scheduler) -> Attempts {
        let metrics = scheduler.metrics();
        let attempts = metrics.family("scheduler_schedule_attempts_total");
        let number = |series: &Series| match series.value {
            Sample::Number(number) => number,
            Sample::Histogram { .. } => 0,
        };
        Attempts {
            all: attempts.map_or(0, |family| family.series.iter().map(number).sum()),
            preempting: metrics.number("scheduler_preemption_victims", &[]),
        }
    }
}

/// Where the files are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads")
}

/// All workloads, by file name.
///
/// # Errors
/// A file cannot be read, or is none of ours.
pub fn all() -> Result<Vec<Workload>, String> {
    files(&folder())?.into_iter().map(|(_, path)| load(&path)).collect()
}

fn load(path: &Path) -> Result<Workload, String> {
    let (workload, _) = read(&source(path)?, &LoadOptions::default()).map_err(|e| e.to_string())?;
    Ok(workload)
}

fn source(path: &Path) -> Result<Source, String> {
    let text = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(Source::new(path.display().to_string(), text))
}

/// Stem and path of the YAML files in a folder, by name.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
        .collect();
    found.sort();
    Ok(found)
}
