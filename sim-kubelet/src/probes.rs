//! Probe workers on virtual time (pkg/kubelet/prober). A worker is not ticked: the instant of its next change is
//! computed from outcomes that are constant between flips, so a probe that keeps its verdict is no event. Pure.

use sim_core::time::{Span, Time};
use smallvec::SmallVec;

use crate::actions::ProbeResult;
use crate::plan::ProbePlan;

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Holds the others back until it succeeds; kills on failure.
    Startup,
    /// Kills on failure.
    Liveness,
    /// Sets `ready`.
    Readiness,
}

impl ProbeKind {
    /// As messages name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        }
    }

    /// The result of an instance that was not probed yet.
    pub const fn initial(self) -> ProbeResult {
        match self {
            ProbeKind::Startup => ProbeResult::Unknown,
            ProbeKind::Liveness => ProbeResult::Success,
            ProbeKind::Readiness => ProbeResult::Failure,
        }
    }
}

/// What probing an instance gives over time since its start: one answer, and the instants at which it turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// The answer at the start.
    pub first: bool,
    /// Ascending instants of change, from the start of the instance.
    pub flips: SmallVec<[Span; 2]>,
}

impl Outcomes {
    /// The same answer for ever.
    pub fn always(ok: bool) -> Outcomes {
        Outcomes { first: ok, flips: SmallVec::new() }
    }

    /// Failure until `span` has passed, then success.
    pub fn ok_after(span: Span) -> Outcomes {
        if span <= Span::ZERO {
            return Outcomes::always(true);
        }
        Outcomes { first: false, flips: SmallVec::from_elem(span, 1) }
    }

    /// The answer at an offset, and when it turns next.
    fn at(&self, offset: Span) -> (bool, Option<Span>) {
        let passed = self.flips.iter().take_while(|f| **f <= offset).count();
        (self.first ^ (passed % 2 == 1), self.flips.get(passed).copied())
    }
}

/// One probe worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Which probe.
    pub kind: ProbeKind,
    /// Published result for the current instance.
    pub result: ProbeResult,
    /// Next tick.
    next: Time,
    /// Answer of the last attempt.
    last: Option<bool>,
    /// Equal answers in a row. Not reset by a restart, as upstream.
    run: u32,
    /// Waits for a new instance.
    on_hold: bool,
}

impl Worker {
    /// A worker made at `now`: its first tick is at once, then every period.
    pub fn new(kind: ProbeKind, now: Time) -> Worker {
        Worker { kind, result: kind.initial(), next: now, last: None, run: 0, on_hold: false }
    }

    /// A new instance of the container is there.
    pub fn new_instance(&mut self) {
        self.result = self.kind.initial();
        self.on_hold = false;
    }

    /// Lets ticks before `now` pass unprobed (the container was not to be probed), keeping the rhythm.
    pub fn skip_to(&mut self, probe: &ProbePlan, now: Time) {
        let behind = (now - self.next).0;
        if behind > 0 {
            let periods = (behind + probe.period.0 - 1) / probe.period.0;
            self.next += probe.period * periods;
        }
    }

    /// Probes at once and restarts the rhythm from here (the manual trigger of readiness probes).
    pub fn trigger(&mut self, now: Time) {
        self.next = now;
    }

    /// When the result changes next, if nothing else happens.
    pub fn next_change(&self, probe: &ProbePlan, started: Time, outcomes: &Outcomes) -> Option<Time> {
        let mut ahead = *self;
        ahead.advance(probe, started, outcomes, Time::MAX)
    }

    /// Runs all ticks up to and including `until`, or up to the first that changes the result, and returns that one.
    ///
    /// `started` is the start of the instance, from which `outcomes` count.
    pub fn advance(
        &mut self,
        probe: &ProbePlan,
        started: Time,
        outcomes: &Outcomes,
        until: Time,
    ) -> Option<Time> {
        self.skip_to(probe, started + probe.initial_delay);
        // The end of time has no tick after it.
        while !self.on_hold && self.next <= until && self.next < Time::MAX {
            let (ok, flip) = outcomes.at(self.next - started);
            let last_tick = match flip {
                Some(flip) => until.min(started + flip - Span(1)),
                None => until,
            };
            let ticks = (last_tick - self.next).0 / probe.period.0 + 1;
            let (target, threshold) = match ok {
                true => (ProbeResult::Success, probe.success_threshold),
                false => (ProbeResult::Failure, probe.failure_threshold),
            };
            let run = if self.last == Some(ok) { self.run } else { 0 };
            let needed = i64::from(threshold.saturating_sub(run).max(1));
            self.last = Some(ok);
            if self.result != target && needed <= ticks {
                let at = self.next + probe.period * (needed - 1);
                self.next = at + probe.period;
                self.publish(target, run.saturating_add(needed as u32));
                return Some(at);
            }
            if flip.is_none() && until == Time::MAX {
                return None;
            }
            self.run = run.saturating_add(u32::try_from(ticks).unwrap_or(u32::MAX));
            self.next += probe.period * ticks;
        }
        None
    }

    fn publish(&mut self, result: ProbeResult, run: u32) {
        self.result = result;
        let holds = match self.kind {
            ProbeKind::Startup => true,
            ProbeKind::Liveness => result == ProbeResult::Failure,
            ProbeKind::Readiness => false,
        };
        self.on_hold = holds;
        self.run = if holds { 0 } else { run };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sim_core::time::{millis, secs};

    const PROBE: ProbePlan = ProbePlan {
        handler: crate::plan::ProbeHandler::Http,
        initial_delay: Span::ZERO,
        period: secs(10),
        success_threshold: 1,
        failure_threshold: 3,
        termination_grace: None,
    };

    fn at(s: i64) -> Time {
        Time::ZERO + secs(s)
    }

    fn story(kind: ProbeKind, probe: ProbePlan, outcomes: &Outcomes) -> Vec<(i64, ProbeResult)> {
        let mut worker = Worker::new(kind, Time::ZERO);
        let mut changes = Vec::new();
        while let Some(t) = worker.advance(&probe, at(1), outcomes, Time::MAX) {
            changes.push((t.as_secs(), worker.result));
        }
        changes
    }

    #[test]
    fn thresholds_are_counted_on_the_workers_own_rhythm() {
        use ProbeResult::{Failure, Success};
        let flapping = Outcomes { first: true, flips: SmallVec::from_slice(&[secs(25), secs(100)]) };
        let steady = Outcomes::always(true);
        let dead = Outcomes::always(false);
        let slow = ProbePlan { initial_delay: secs(12), ..PROBE };
        for (kind, probe, outcomes, want) in [
            (ProbeKind::Readiness, PROBE, &steady, vec![(10, Success)]),
            (ProbeKind::Readiness, slow, &steady, vec![(20, Success)]),
            (ProbeKind::Readiness, PROBE, &flapping, vec![(10, Success), (50, Failure), (110, Success)]),
            (ProbeKind::Liveness, PROBE, &steady, vec![]),
            (ProbeKind::Liveness, PROBE, &flapping, vec![(50, Failure)]),
            (ProbeKind::Startup, PROBE, &steady, vec![(10, Success)]),
            (ProbeKind::Startup, PROBE, &dead, vec![(30, Failure)]),
            (
                ProbeKind::Readiness,
                ProbePlan { success_threshold: 3, ..PROBE },
                &Outcomes::ok_after(secs(25)),
                vec![(50, Success)],
            ),
        ] {
            assert_eq!(story(kind, probe, outcomes), want, "{kind:?} {probe:?} {outcomes:?}");
        }
    }

    #[test]
    fn an_answer_that_never_turns_ends_the_search() {
        let never = Outcomes::ok_after(Span::MAX);
        assert_eq!(Worker::new(ProbeKind::Readiness, at(5)).next_change(&PROBE, at(5), &never), None);
    }

    #[test]
    fn a_manual_trigger_starts_a_new_rhythm() {
        let mut worker = Worker::new(ProbeKind::Readiness, Time::ZERO);
        worker.trigger(at(3));
        let ready = Outcomes::ok_after(secs(4));
        assert_eq!(worker.advance(&PROBE, at(1), &ready, Time::MAX), Some(at(13)));
    }

    /// The plain version: one attempt per period.
    fn ticked(
        kind: ProbeKind,
        probe: &ProbePlan,
        started: Time,
        outcomes: &Outcomes,
        end: Time,
    ) -> Vec<(Time, ProbeResult)> {
        let (mut result, mut last, mut run, mut t) = (kind.initial(), None, 0, Time::ZERO);
        let mut changes = Vec::new();
        while t <= end {
            if t >= started + probe.initial_delay {
                let ok =
                    outcomes.first ^ (outcomes.flips.iter().filter(|f| started + **f <= t).count() % 2 == 1);
                run = if last == Some(ok) { run + 1 } else { 1 };
                last = Some(ok);
                let (target, threshold) = match ok {
                    true => (ProbeResult::Success, probe.success_threshold),
                    false => (ProbeResult::Failure, probe.failure_threshold),
                };
                if run >= threshold && result != target {
                    result = target;
                    changes.push((t, result));
                    if kind == ProbeKind::Startup || (kind == ProbeKind::Liveness && !ok) {
                        break;
                    }
                }
            }
            t += probe.period;
        }
        changes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn computed_changes_are_those_of_a_ticked_worker(
            kind in prop::sample::select(vec![ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness]),
            delay in 0i64..20, period in 1i64..15, success in 1u32..4, failure in 1u32..5,
            started in 0i64..30_000, first: bool, gaps in prop::collection::vec(1i64..60_000, 0..6),
        ) {
            let probe = ProbePlan { initial_delay: secs(delay), period: secs(period),
                success_threshold: success, failure_threshold: failure, ..PROBE };
            let flips = gaps.iter().scan(0, |sum, g| { *sum += g; Some(millis(*sum)) }).collect();
            let outcomes = Outcomes { first, flips };
            let (started, end) = (Time::ZERO + millis(started), at(1000));
            let mut worker = Worker::new(kind, Time::ZERO);
            let mut got = Vec::new();
            while let Some(t) = worker.advance(&probe, started, &outcomes, end) {
                got.push((t, worker.result));
            }
            prop_assert_eq!(got, ticked(kind, &probe, started, &outcomes, end));
        }
    }
}
