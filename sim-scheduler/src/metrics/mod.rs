//! kube-scheduler's metrics, by its names, labels and buckets (`pkg/scheduler/metrics`).
//!
//! Durations are those of simulated time. What only measures the machine is absent: `docs/metrics.md` lists it.

mod histogram;
mod snapshot;
mod text;

use std::collections::BTreeMap;

use sim_core::time::{Span, millis};

use crate::framework::Code;
use histogram::Histogram;
pub use snapshot::{Family, Sample, Series, Snapshot, Type};

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// An internal error.
    Error,
    /// The pod is bound.
    Scheduled,
    /// It was refused.
    Unschedulable,
}

/// Attempts from this one on are counted together.
const MANY_ATTEMPTS: usize = 15;

/// What is counted while the scheduler runs. The rest is there anyway and is looked up when somebody asks.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Durations by profile and ending.
    attempts: Vec<[Histogram; 3]>,
    algorithm: Histogram,
    pod_attempts: Histogram,
    /// By attempts that it took.
    sli: Vec<Histogram>,
    pub(crate) preemption_attempts: u64,
    victims: Histogram,
    /// Preemptions that were carried out.
    preemptions: Histogram,
    permit_wait: BTreeMap<Code, Histogram>,
}

fn durations(first: Span, buckets: usize) -> Histogram {
    Histogram::new(first.0, buckets)
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            attempts: Vec::new(),
            algorithm: durations(millis(1), 15),
            pod_attempts: Histogram::new(1, 5),
            sli: vec![durations(millis(10), 20); MANY_ATTEMPTS + 1],
            preemption_attempts: 0,
            victims: Histogram::new(1, 7),
            preemptions: durations(millis(10), 20),
            permit_wait: BTreeMap::new(),
        }
    }
}

impl Metrics {
    /// An attempt ended, so long after it began.
    pub(crate) fn attempt(&mut self, profile: usize, ending: Ending, took: Span) {
        while self.attempts.len() <= profile {
            self.attempts.push(std::array::from_fn(|_| durations(millis(1), 15)));
        }
        self.attempts[profile][ending as usize].observe(took.0);
    }

    /// A node was found, or it is known that there is none.
    pub(crate) fn algorithm(&mut self, took: Span) {
        self.algorithm.observe(took.0);
    }

    /// A pod is bound, in so many attempts, so long after it was first to be tried.
    pub(crate) fn bound(&mut self, attempts: u32, waited: Option<Span>) {
        self.pod_attempts.observe(i64::from(attempts));
        if let Some(waited) = waited {
            self.sli[(attempts as usize).min(MANY_ATTEMPTS)].observe(waited.0);
        }
    }

    /// Pods are to be preempted.
    pub(crate) fn victims(&mut self, victims: usize) {
        self.victims.observe(victims as i64);
    }

    /// Somebody begins to evict them. Upstream reads the clock, and the result, when it begins rather than at the end: it
    /// always reports a success that took no time.
    pub(crate) fn preemption(&mut self) {
        self.preemptions.observe(0);
    }

    /// A pod does not wait for a Permit plugin any more.
    pub(crate) fn permitted(&mut self, code: Code, waited: Span) {
        self.permit_wait.entry(code).or_insert_with(|| durations(millis(1), 15)).observe(waited.0);
    }
}
