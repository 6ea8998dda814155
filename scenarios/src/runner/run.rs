//! The run: instants, steps, looks.

use std::io;
use std::sync::Arc;

use serde_json::Value;
use sim_cluster::{Cluster, RunError};
use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::object::Object;
use sim_core::api::wire::to_json;
use sim_core::engine::log::LOG_VERSION;
use sim_core::load::LoadErrors;
use sim_core::time::Time;

use super::act;
use super::summary::{Expected, Summary};
use super::tracker::Tracker;
use crate::expect::{Checker, Claim, Restart, World};
use crate::format::Target;
use crate::plan::{Do, Plan};

/// Records that may gather before they are taken from the log.
const RECORDS: u64 = 1 << 14;

/// Somebody who follows a run. Nothing an observer does changes it.
pub trait Observer {
    /// A pod whose attempts are to be explained, and which of them is looked into (the last one if not said).
    fn explains(&self) -> Option<(Key, Option<u32>)> {
        None
    }

    /// The run has come to this instant. Called often; be quick.
    fn reached(&mut self, now: Time) {
        let _ = now;
    }

    /// Encoded log records, in order, each once.
    ///
    /// # Errors
    /// The run is given up.
    fn records(&mut self, encoded: &[u8]) -> io::Result<()> {
        let _ = encoded;
        Ok(())
    }
}

/// Follows nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Observer for Silent {}

/// A run that is over.
#[derive(Clone)]
pub struct Finished {
    /// What came of it.
    pub summary: Summary,
    /// The cluster as it is now.
    pub cluster: Cluster,
    /// How the run itself failed, if it did.
    pub error: Option<RunError>,
    /// Things a person should know.
    pub notices: Vec<String>,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The input is wrong.
    #[error(transparent)]
    Input(#[from] LoadErrors),
    /// An observer could not write.
    #[error(transparent)]
    Io(#[from] io::Error),
}

struct Run<'a> {
    plan: &'a Plan,
    cluster: Cluster,
    tracker: Tracker,
    checker: Checker,
    observer: &'a mut dyn Observer,
    notices: Vec<String>,
    revision: u64,
    record_count: u64,
}

enum Stop {
    Failed(RunError),
    Io(io::Error),
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Stop {
        Stop::Failed(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Io(error)
    }
}

/// Runs a plan to its end.
///
/// # Errors
/// The API server refuses something that is there from the start, or an observer fails. A run that fails by itself
/// (a livelock, say) is [`Finished::error`].
pub fn run(plan: &Plan, observer: &mut dyn Observer) -> Result<Finished, Failure> {
    let mut cluster = act::cluster_of(plan)?;
    if let Some((pod, attempt)) = observer.explains() {
        cluster.explain_pod(&pod);
        cluster.look_into_attempt(attempt);
    }
    let about = plan.expectations.iter().filter_map(|e| match &e.claim {
        Claim::Event { reason, about: Some(target), .. } => Some((reason.clone(), target.clone())),
        _ => None,
    });
    let tracker = Tracker::new(&mut cluster, about);
    let mut run = Run {
        plan,
        cluster,
        tracker,
        checker: Checker::new(plan.expectations.iter().cloned()),
        observer,
        notices: plan.notices.iter().map(ToString::to_string).collect(),
        revision: 0,
        record_count: 0,
    };
    tracing::info!(scenario = %plan.name, seed = plan.seed, until = %plan.until, steps = plan.steps.len(), "run starts");
    let error = match run.go_on_to_the_end() {
        Ok(()) => None,
        Err(Stop::Failed(error)) => Some(error),
        Err(Stop::Io(error)) => return Err(Failure::Io(error)),
    };
    run.finish(error)
}

impl Run<'_> {
    fn go_on_to_the_end(&mut self) -> Result<(), Stop> {
        let plan = self.plan;
        let mut steps = plan.steps.iter().take_while(|(at, _)| *at <= plan.until).peekable();
        while let Some((at, first)) = steps.next() {
            self.advance(*at)?;
            self.step(first);
            while let Some((_, next)) = steps.next_if(|(next_at, _)| next_at == at) {
                self.step(next);
            }
            // What the steps set off at this very instant belongs to it.
            self.cluster.run_to(*at)?;
            self.look(true)?;
        }
        self.advance(plan.until)?;
        Ok(())
    }

    /// Runs to an instant, everything due at it included; looks at every instant before it.
    fn advance(&mut self, target: Time) -> Result<(), Stop> {
        self.look(self.cluster.now() < target)?;
        loop {
            let due = self.checker.next_time(self.cluster.now()).filter(|t| *t < target);
            let stop = due.unwrap_or(target);
            while let Some(next) = self.cluster.next_event_at().filter(|t| *t <= stop) {
                self.cluster.run_to(next)?;
                self.look(next < target && next < stop)?;
            }
            self.cluster.run_to(stop)?;
            if due.is_none() {
                return Ok(());
            }
            self.look(true)?;
        }
    }

    fn step(&mut self, action: &Do) {
        let (text, result) = act::act(&mut self.cluster, self.plan, action);
        if !text.is_empty() {
            act::note(&mut self.cluster, &text);
        }
        let now = self.cluster.now();
        tracing::debug!(%now, "{text}");
        if let Err(error) = result {
            self.notices.push(format!("at {now}: {text}: {error}"));
        }
    }

    /// Takes in what has happened, if it is time, and lets the expectations look.
    fn look(&mut self, whole: bool) -> Result<(), Stop> {
        let now = self.cluster.now();
        let fresh = self.cluster.log().count() - self.record_count;
        let revision = self.cluster.api().store.revision();
        let watching = whole && self.checker.is_watching(now) && revision != self.revision;
        let due = whole && self.checker.next_time(now + sim_core::time::nanos(-1)) == Some(now);
        if watching || due || fresh >= RECORDS {
            self.drain()?;
        }
        if watching || due {
            self.revision = revision;
            self.checker.look(&View { cluster: &self.cluster, tracker: &self.tracker });
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Stop> {
        self.tracker.drain(&mut self.cluster);
        self.record_count = self.cluster.log().count();
        let encoded = self.cluster.log_mut().take();
        self.tracker.read_log(&encoded);
        self.observer.records(&encoded)?;
        self.observer.reached(self.cluster.now());
        Ok(())
    }

    fn finish(mut self, error: Option<RunError>) -> Result<Finished, Failure> {
        match self.drain() {
            Ok(()) | Err(Stop::Failed(_)) => {}
            Err(Stop::Io(error)) => return Err(Failure::Io(error)),
        }
        self.notices.extend(self.cluster.api_mut().take_notices());
        let outcomes = self.checker.finish(&View { cluster: &self.cluster, tracker: &self.tracker });
        let mut summary = Summary {
            scenario: self.plan.name.clone(),
            seed: self.plan.seed,
            log_version: LOG_VERSION,
            digest: self.cluster.digest(),
            simulated_seconds: self.cluster.now().since_start().as_secs_f64(),
            nodes: self.cluster.api().store.count(Kind::NODE),
            engine_events: self.cluster.events_handled(),
            log_records: self.cluster.log().count(),
            expectations: outcomes.into_iter().map(Expected::from).collect(),
            run_error: error.as_ref().map(ToString::to_string),
            ..Summary::default()
        };
        summary.fill(&self.tracker);
        Ok(Finished { summary, cluster: self.cluster, error, notices: self.notices })
    }
}

/// The cluster as expectations see it.
struct View<'a> {
    cluster: &'a Cluster,
    tracker: &'a Tracker,
}

impl World for View<'_> {
    fn now(&self) -> Time {
        self.cluster.now()
    }

    fn get(&self, kind: Kind, key: &Key) -> Option<Arc<Object>> {
        self.cluster.api().store.get(kind, key).cloned()
    }

    fn each(&self, kind: Kind, visit: &mut dyn FnMut(&Object)) {
        self.cluster.api().store.iter(kind).for_each(|object| visit(object));
    }

    fn event_count(&self, reason: &str, about: Option<&Target>) -> u64 {
        self.tracker.event_count(reason, about)
    }

    fn restarts(&self) -> &[Restart] {
        self.tracker.restarts()
    }

    fn wire(&self, object: &Object) -> Value {
        to_json(object, self.cluster.kinds(), self.cluster.api().epoch())
    }
}
