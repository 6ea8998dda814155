//! Checking expectations over the course of a run.

use sim_core::time::Time;

use super::{Expectation, Observed, When, World};

/// Changes of an observed value that evidence tells.
const HISTORY: usize = 6;

/// What became of an expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The expectation, as written.
    pub text: String,
    /// Whether it held.
    pub held: bool,
    /// When that was decided.
    pub at: Time,
    /// What was observed, and when: one line each.
    pub evidence: Vec<String>,
}

/// All expectations of a run.
///
/// The owner calls [`Checker::look`] after every instant at which something changed and at every
/// [`Checker::next_time`], and [`Checker::finish`] at the end.
#[derive(Clone, Debug)]
pub struct Checker {
    open: Vec<Open>,
    decided: Vec<(usize, Outcome)>,
}

#[derive(Clone, Debug)]
struct Open {
    index: usize,
    expectation: Expectation,
    /// The observed value whenever it changed; the oldest are dropped.
    history: Vec<(Time, String)>,
    dropped: usize,
    /// What was seen of the one object it is about, at which revision of it.
    seen: Option<(Option<u64>, Observed)>,
}

impl Checker {
    /// A checker of these expectations.
    pub fn new(expectations: impl IntoIterator<Item = Expectation>) -> Checker {
        let open =
            |(index, expectation)| Open { index, expectation, history: Vec::new(), dropped: 0, seen: None };
        Checker { open: expectations.into_iter().enumerate().map(open).collect(), decided: Vec::new() }
    }

    /// True if some expectation must be looked at after every change.
    pub fn is_watching(&self, now: Time) -> bool {
        self.open.iter().any(|o| match o.expectation.when {
            When::Within { after, .. } => now >= after,
            When::Always { from, .. } => now >= from,
            When::At(_) | When::AtEnd => false,
        })
    }

    /// The next instant after `now` that must be looked at even if nothing changes.
    pub fn next_time(&self, now: Time) -> Option<Time> {
        let times = self.open.iter().flat_map(|o| match o.expectation.when {
            When::AtEnd => [None, None],
            When::At(t) => [Some(t), None],
            When::Within { span, after } => [Some(after), Some(after + span)],
            When::Always { from, until } => [Some(from), until],
        });
        times.flatten().filter(|t| *t > now).min()
    }

    /// Looks at the world as it is after everything that happened at `world.now()`.
    pub fn look(&mut self, world: &dyn World) {
        let now = world.now();
        let mut still_open = Vec::new();
        for mut open in std::mem::take(&mut self.open) {
            match open.look(now, world) {
                Some(outcome) => self.decided.push((open.index, outcome)),
                None => still_open.push(open),
            }
        }
        self.open = still_open;
    }

    /// True if an expectation has failed already.
    pub fn has_failed(&self) -> bool {
        self.decided.iter().any(|(_, outcome)| !outcome.held)
    }

    /// Decides what is left, at the end of the run, and returns all outcomes in the order of the scenario.
    pub fn finish(mut self, world: &dyn World) -> Vec<Outcome> {
        self.look(world);
        let now = world.now();
        for mut open in std::mem::take(&mut self.open) {
            let outcome = match open.expectation.when {
                When::AtEnd => {
                    let observed = open.observe(now, world);
                    open.decide(observed.holds, now, world)
                }
                When::Always { from, until } if from <= now && until.is_none() => {
                    open.decide(true, now, world)
                }
                _ => {
                    let observed = open.observe(now, world);
                    let mut outcome = open.decide(observed.holds, now, world);
                    outcome.held = false;
                    outcome.evidence.insert(0, format!("the run ended at {now}, before this was due"));
                    outcome
                }
            };
            self.decided.push((open.index, outcome));
        }
        self.decided.sort_by_key(|(index, _)| *index);
        self.decided.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

impl Open {
    fn look(&mut self, now: Time, world: &dyn World) -> Option<Outcome> {
        let (starts, ends) = match self.expectation.when {
            When::AtEnd => return None,
            When::At(t) => (t, Some(t)),
            When::Within { span, after } => (after, Some(after + span)),
            When::Always { from, until } => (from, until),
        };
        if now < starts {
            return None;
        }
        let over = ends.is_some_and(|end| now >= end);
        let late = ends.is_some_and(|end| now > end);
        let observed = self.observe(now, world);
        let verdict = match self.expectation.when {
            When::Within { .. } if observed.holds && !late => Some(true),
            When::Within { .. } => over.then_some(false),
            When::Always { .. } if late => Some(true),
            When::Always { .. } if !observed.holds => Some(false),
            When::Always { .. } => over.then_some(true),
            _ => Some(observed.holds),
        };
        verdict.map(|held| self.decide(held, now, world))
    }

    fn observe(&mut self, now: Time, world: &dyn World) -> Observed {
        let revision = self.expectation.claim.revision(world);
        let observed = match (revision, &self.seen) {
            // Most changes are not of this object.
            (Some(now), Some((then, observed))) if now == *then => observed.clone(),
            _ => self.expectation.claim.observe(world),
        };
        self.seen = revision.map(|revision| (revision, observed.clone()));
        if self.history.last().is_none_or(|(_, value)| *value != observed.value) {
            if self.history.len() == HISTORY {
                self.history.remove(0);
                self.dropped += 1;
            }
            self.history.push((now, observed.value.clone()));
        }
        observed
    }

    fn decide(&self, held: bool, now: Time, world: &dyn World) -> Outcome {
        let mut evidence = Vec::new();
        if !held {
            if self.dropped > 0 {
                evidence.push(format!("({} earlier values)", self.dropped));
            }
            evidence.extend(self.history.iter().map(|(at, value)| format!("from {at}: {value}")));
            evidence
                .extend(self.expectation.claim.evidence(world).into_iter().map(|e| format!("at {now}: {e}")));
        }
        Outcome { text: self.expectation.text.clone(), held, at: now, evidence }
    }
}
