//! How a run reaches the extenders that its scheduler configuration names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sim_core::load::LoadError;
use sim_edge::Cassette;
use sim_scheduler::Scheduler;
use sim_scheduler::config::{self, SchedulerConfig};
use sim_scheduler::extender::Extender;

use super::registry;

/// How extenders are reached.
#[derive(Clone, Debug, Default)]
pub enum ExtenderSource {
    /// Not at all.
    #[default]
    Nowhere,
    /// Over HTTP, and their answers are put on a cassette in this file.
    Record(PathBuf),
    /// They are not: the answers come from a cassette.
    Replay(Cassette),
}

impl ExtenderSource {
    /// What was asked for: to record, or to replay a cassette.
    pub(super) fn of(record: Option<&Path>, replay: Option<&Path>) -> Result<ExtenderSource, LoadError> {
        match (record, replay) {
            (Some(file), _) => Ok(ExtenderSource::Record(file.to_owned())),
            (None, Some(file)) => {
                let read = Cassette::read(file).map_err(|error| LoadError::new(error.to_string()))?;
                Ok(ExtenderSource::Replay(read))
            }
            (None, None) => Ok(ExtenderSource::Nowhere),
        }
    }

    /// The source that gives the same answers again.
    pub(crate) fn again(&self) -> Result<ExtenderSource, LoadError> {
        match self {
            ExtenderSource::Record(file) => ExtenderSource::of(None, Some(file)),
            other => Ok(other.clone()),
        }
    }

    /// The scheduler of a configuration.
    ///
    /// # Errors
    /// The configuration does not fit together, its extenders cannot be reached, or the cassette cannot be written.
    pub(crate) fn scheduler(&self, config: &SchedulerConfig) -> Result<Scheduler, LoadError> {
        let recording = match self {
            ExtenderSource::Record(file) if !config.extenders.is_empty() => Some(start_recording(file)?),
            _ => None,
        };
        self.build(config, |number, extender| match &recording {
            Some(recording) => recording.extender(number, extender),
            None => Err(String::new()),
        })
    }

    /// Finds out whether [`ExtenderSource::scheduler`] would work, and writes nothing.
    pub(super) fn check(&self, config: &SchedulerConfig) -> Result<(), LoadError> {
        if config.extenders.is_empty() && !matches!(self, ExtenderSource::Nowhere) {
            return Err(LoadError::new("there are no extenders to record or to replay")
                .with_help("extenders are named in a KubeSchedulerConfiguration"));
        }
        self.build(config, |_, extender| reachable(extender)).map(|_| ())
    }

    fn build(
        &self,
        config: &SchedulerConfig,
        call: impl Fn(usize, &config::Extender) -> Result<Arc<dyn Extender>, String>,
    ) -> Result<Scheduler, LoadError> {
        if let (ExtenderSource::Nowhere, Some(extender)) = (self, config.extenders.first()) {
            return Err(LoadError::new(format!(
                "the extender {:?} is a service outside of the simulation",
                extender.url_prefix
            ))
            .with_help(
                "start it and record its answers with --record FILE; afterwards --replay FILE (or \
                 `extenderCassette: FILE` in the scenario) repeats the run without it",
            ));
        }
        let reach = |number: usize, extender: &config::Extender| match self {
            ExtenderSource::Replay(cassette) => {
                cassette.extender(number, extender).map_err(|e| e.to_string())
            }
            _ => call(number, extender),
        };
        let scheduler = Scheduler::from_config_with_extenders(config, &registry(), reach);
        scheduler.map_err(|error| LoadError::new(error.to_string()))
    }
}

#[cfg(feature = "http")]
use sim_edge::Recording;

#[cfg(feature = "http")]
fn reachable(extender: &config::Extender) -> Result<Arc<dyn Extender>, String> {
    sim_edge::http_extender(extender)
}

#[cfg(feature = "http")]
fn start_recording(file: &Path) -> Result<Recording, LoadError> {
    Recording::create(file).map_err(|error| LoadError::new(format!("{}: {error}", file.display())))
}

/// Text of a program that can only replay.
#[cfg(not(feature = "http"))]
const REPLAYS_ONLY: &str =
    "this wavetank was built without the feature `http`: it can replay, but not record";

/// Stands for what needs the feature `http`.
#[cfg(not(feature = "http"))]
enum Recording {}

#[cfg(not(feature = "http"))]
impl Recording {
    fn extender(&self, _: usize, _: &config::Extender) -> Result<Arc<dyn Extender>, String> {
        match *self {}
    }
}

#[cfg(not(feature = "http"))]
fn reachable(_: &config::Extender) -> Result<Arc<dyn Extender>, String> {
    Err(REPLAYS_ONLY.to_owned())
}

#[cfg(not(feature = "http"))]
fn start_recording(_: &Path) -> Result<Recording, LoadError> {
    Err(LoadError::new(REPLAYS_ONLY))
}
