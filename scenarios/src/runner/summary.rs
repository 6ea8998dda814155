//! The summary of a run: for people as a table, for machines as JSON.

use std::collections::BTreeMap;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use serde::Serialize;
use sim_core::api::pod_status::PodPhase;
use sim_core::time::Span;

use super::tracker::{PodLife, Tracker, Utilisation};
use crate::expect::Outcome;

/// What came of a run. Everything but `wall` depends on the scenario and its seed alone.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Name of the scenario.
    pub scenario: String,
    /// Seed.
    pub seed: u64,
    /// Version of the log's encoding; digests compare within one.
    pub log_version: u32,
    /// Hash of the log.
    pub digest: String,
    /// Simulated time in seconds.
    pub simulated_seconds: f64,
    /// Nodes at the end.
    pub nodes: usize,
    /// Pods by outcome.
    pub pods: Outcomes,
    /// Container restarts.
    pub restarts: usize,
    /// From creation to bound, in seconds.
    pub time_to_schedule: Percentiles,
    /// From creation to running, in seconds.
    pub time_to_start: Percentiles,
    /// From creation to ready, in seconds.
    pub time_to_ready: Percentiles,
    /// Requested of allocatable.
    pub utilisation: Shares,
    /// Events of the engine.
    pub engine_events: u64,
    /// Records of the log.
    pub log_records: u64,
    /// Kubernetes Events by reason.
    pub events: BTreeMap<String, u64>,
    /// Expectations and what became of them.
    pub expectations: Vec<Expected>,
    /// How the run failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_error: Option<String>,
    /// Time on the wall; the only part that differs from run to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall: Option<Wall>,
}

/// Pods by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcomes {
    /// All pods that were seen.
    pub total: usize,
    /// Running at the end.
    pub running: usize,
    /// Of those, ready at some time.
    pub succeeded: usize,
    /// Failed and still there.
    pub failed: usize,
    /// Bound, but not running yet.
    pub starting: usize,
    /// Without a node.
    pub pending: usize,
    /// Removed after they had run.
    pub deleted: usize,
    /// Removed before they ran.
    pub deleted_before_running: usize,
}

/// Percentiles by nearest rank, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many were measured.
    pub count: usize,
    /// Half are at most this.
    pub p50: f64,
    /// Nine of ten are at most this.
    pub p90: f64,
    /// All but one of a hundred are at most this.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// Shares of what is allocatable that pods request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shares {
    /// CPU, mean over the run.
    pub cpu_mean: f64,
    /// CPU, at the end.
    pub cpu_end: f64,
    /// Memory, mean over the run.
    pub memory_mean: f64,
    /// Memory, at the end.
    pub memory_end: f64,
}

/// An expectation and what became of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    /// As it was written.
    pub expectation: String,
    /// Whether it held.
    pub held: bool,
    /// When that was decided, in seconds.
    pub decided_at_seconds: f64,
    /// What was observed, if it did not hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// Time on the wall.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wall {
    /// Seconds of the run, without reading files.
    pub seconds: f64,
    /// Engine events per second.
    pub events_per_second: f64,
}

impl Outcomes {
    pub(super) fn of(lives: &[PodLife]) -> Outcomes {
        let mut out = Outcomes { total: lives.len(), ..Outcomes::default() };
        for life in lives {
            let ran = life.started.is_some() || life.phase != PodPhase::Pending;
            let slot = match (life.deleted, life.phase) {
                (Some(_), _) if ran => &mut out.deleted,
                (Some(_), _) => &mut out.deleted_before_running,
                (None, PodPhase::Succeeded) => &mut out.succeeded,
                (None, PodPhase::Failed) => &mut out.failed,
                (None, PodPhase::Running | PodPhase::Unknown) => &mut out.running,
                (None, PodPhase::Pending) if life.bound => &mut out.starting,
                (None, PodPhase::Pending) => &mut out.pending,
            };
            *slot += 1;
        }
        out
    }
}

impl Percentiles {
    pub(super) fn of(spans: impl Iterator<Item = Span>) -> Percentiles {
        let mut all: Vec<Span> = spans.collect();
        all.sort_unstable();
        let rank = |percent: usize| {
            let index = (all.len() * percent).div_ceil(100).saturating_sub(1);
            all.get(index).map_or(0.0, |span| span.as_secs_f64())
        };
        Percentiles { count: all.len(), p50: rank(50), p90: rank(90), p99: rank(99), max: rank(100) }
    }
}

impl Shares {
    pub(super) fn of(utilisation: &Utilisation) -> Shares {
        let share = |part: i64, all: i64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
        let (cpu_mean, memory_mean) = utilisation.mean();
        Shares {
            cpu_mean,
            cpu_end: share(utilisation.requested.cpu, utilisation.allocatable.cpu),
            memory_mean,
            memory_end: share(utilisation.requested.memory, utilisation.allocatable.memory),
        }
    }
}

impl From<Outcome> for Expected {
    fn from(outcome: Outcome) -> Expected {
        Expected {
            expectation: outcome.text,
            held: outcome.held,
            decided_at_seconds: outcome.at.since_start().as_secs_f64(),
            evidence: outcome.evidence,
        }
    }
}

impl Summary {
    /// Takes in what the tracker saw.
    pub(super) fn fill(&mut self, tracker: &Tracker) {
        let lives = tracker.lives();
        self.pods = Outcomes::of(lives);
        self.restarts = tracker.restarts().len();
        self.time_to_schedule = Percentiles::of(lives.iter().filter_map(PodLife::time_to_schedule));
        self.time_to_start = Percentiles::of(lives.iter().filter_map(PodLife::time_to_start));
        self.time_to_ready = Percentiles::of(lives.iter().filter_map(PodLife::time_to_ready));
        self.utilisation = Shares::of(tracker.utilisation());
        self.events = tracker.events().map(|(reason, count)| (reason.to_owned(), count)).collect();
    }

    /// True if every expectation held.
    pub fn holds(&self) -> bool {
        self.expectations.iter().all(|e| e.held)
    }

    /// The summary as tables. Without the wall clock it is the same for every run of a scenario.
    pub fn to_text(&self) -> String {
        let mut out = format!(
            "{}: {} simulated, seed {}\n{}\n",
            self.scenario,
            Span((self.simulated_seconds * 1e9).round() as i64),
            self.seed,
            self.main_table()
        );
        if !self.events.is_empty() {
            let list: Vec<String> = self.events.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
            out.push_str(&format!("Events: {}\n", list.join(", ")));
        }
        for e in &self.expectations {
            out.push_str(&format!("{} {}\n", if e.held { "held  " } else { "FAILED" }, e.expectation));
            for line in &e.evidence {
                out.push_str(&format!("         {line}\n"));
            }
        }
        if let Some(error) = &self.run_error {
            out.push_str(&format!("run failed: {error}\n"));
        }
        out.push_str(&format!("digest {} (log version {})\n", self.digest, self.log_version));
        if let Some(wall) = self.wall {
            out.push_str(&format!(
                "wall time {:.3} s, {} engine events, {:.0} events/s\n",
                wall.seconds, self.engine_events, wall.events_per_second
            ));
        }
        out
    }

    fn main_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        let pods = &self.pods;
        let mut row = |name: &str, values: String| {
            table.add_row([Cell::new(name), Cell::new(values).set_alignment(CellAlignment::Left)]);
        };
        row("nodes", self.nodes.to_string());
        let outcomes = [
            ("running", pods.running),
            ("succeeded", pods.succeeded),
            ("failed", pods.failed),
            ("starting", pods.starting),
            ("pending", pods.pending),
            ("deleted", pods.deleted),
            ("deleted before running", pods.deleted_before_running),
        ];
        let named: Vec<String> =
            outcomes.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{n} {what}")).collect();
        let detail = if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) };
        row("pods", format!("{}{detail}", pods.total));
        row("restarts", self.restarts.to_string());
        for (name, p) in [
            ("time to schedule", self.time_to_schedule),
            ("time to start", self.time_to_start),
            ("time to ready", self.time_to_ready),
        ] {
            row(name, p.to_text());
        }
        let s = self.utilisation;
        let percent = |mean: f64, end: f64| format!("mean {:.1} %, end {:.1} %", mean * 100.0, end * 100.0);
        row("cpu requested", percent(s.cpu_mean, s.cpu_end));
        row("memory requested", percent(s.memory_mean, s.memory_end));
        row("log records", self.log_records.to_string());
        table
    }
}

impl Percentiles {
    fn to_text(self) -> String {
        if self.count == 0 {
            return "-".to_owned();
        }
        let Percentiles { count, p50, p90, p99, max } = self;
        format!("p50 {p50:.3} s, p90 {p90:.3} s, p99 {p99:.3} s, max {max:.3} s ({count} pods)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::time::secs;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let p = Percentiles::of((1..=200).map(secs));
        assert_eq!((p.count, p.p50, p.p90, p.p99, p.max), (200, 100.0, 180.0, 198.0, 200.0));
        let one = Percentiles::of([secs(3)].into_iter());
        assert_eq!((one.p50, one.p99, one.max), (3.0, 3.0, 3.0));
        assert_eq!(Percentiles::of(std::iter::empty()), Percentiles::default());
    }
}
