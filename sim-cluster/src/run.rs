//! Run control: how far, until what, and what to do on the way.

use std::sync::Arc;

use sim_core::engine::random::Seed;
use sim_core::time::{Span, Time};

use crate::Cluster;
use crate::error::RunError;
use crate::event::Event;

impl Cluster {
    /// The current instant.
    pub fn now(&self) -> Time {
        self.kernel.now()
    }

    /// Seed of the run.
    pub fn seed(&self) -> Seed {
        self.kernel.env.seed
    }

    /// Events handled so far.
    pub fn events_handled(&self) -> u64 {
        self.kernel.handled()
    }

    /// True if nothing will ever happen again by itself.
    pub fn is_quiescent(&self) -> bool {
        self.kernel.queue.is_empty()
    }

    /// When the next thing happens, if anything does.
    pub fn next_event_at(&self) -> Option<Time> {
        self.kernel.queue.next_time()
    }

    /// Runs for a time. Idle time costs nothing.
    ///
    /// # Panics
    /// In a livelock, and where a scheduler extender has no answer, with the seed; use [`Cluster::try_run_for`] where that
    /// must be an error.
    #[track_caller]
    pub fn run_for(&mut self, span: Span) {
        if let Err(error) = self.try_run_for(span) {
            panic!("{error}");
        }
    }

    /// Runs for a time.
    ///
    /// # Errors
    /// [`RunError::Livelock`], or [`RunError::InvariantBroken`] where a scheduler extender has no answer.
    pub fn try_run_for(&mut self, span: Span) -> Result<(), RunError> {
        let end = self.now() + span;
        self.run_to(end)
    }

    /// Runs up to an instant, everything due at it included.
    ///
    /// # Errors
    /// [`RunError::Livelock`], or [`RunError::InvariantBroken`] where a scheduler extender has no answer.
    pub fn run_to(&mut self, end: Time) -> Result<(), RunError> {
        let mut instant = (self.now(), 0);
        while self.step(end) {
            self.check(&mut instant)?;
        }
        self.kernel.advance_to(end);
        Ok(())
    }

    /// Runs until a condition is true, looking after every instant at which something was committed.
    ///
    /// # Errors
    /// [`RunError::Timeout`], [`RunError::Quiescent`] or [`RunError::Livelock`].
    pub fn run_until(
        &mut self,
        mut condition: impl FnMut(&Cluster) -> bool,
        timeout: Span,
    ) -> Result<(), RunError> {
        let start = self.now();
        let end = start + timeout;
        let seed = self.seed().0;
        let (mut seen, mut instant) = (None, (start, 0));
        loop {
            let revision = Some(self.api.store.revision());
            if seen != revision && !self.kernel.queue.has_due() {
                if condition(self) {
                    return Ok(());
                }
                seen = revision;
            }
            if self.step(end) {
                self.check(&mut instant)?;
            } else if self.is_quiescent() {
                return Err(RunError::Quiescent { at: self.now(), seed });
            } else {
                self.kernel.advance_to(end);
                return Err(RunError::Timeout { at: end, waited: timeout, seed });
            }
        }
    }

    /// Runs until nothing is left to happen.
    ///
    /// # Errors
    /// [`RunError::Timeout`] if there is still something to happen after `timeout`, or [`RunError::Livelock`].
    pub fn run_until_quiescent(&mut self, timeout: Span) -> Result<(), RunError> {
        self.try_run_for(timeout)?;
        if self.is_quiescent() {
            return Ok(());
        }
        Err(RunError::Timeout { at: self.now(), waited: timeout, seed: self.seed().0 })
    }

    /// Counts the events of one instant, and hears of extenders that have no answer.
    fn check(&self, (at, events): &mut (Time, u64)) -> Result<(), RunError> {
        if let Some(what) = self.schedulers.iter().find_map(|scheduler| scheduler.extenders().broken()) {
            return Err(RunError::InvariantBroken {
                what: what.to_owned(),
                at: self.now(),
                seed: self.seed().0,
            });
        }
        if *at != self.now() {
            (*at, *events) = (self.now(), 0);
        }
        *events += 1;
        if *events <= self.livelock_events {
            return Ok(());
        }
        let next = self.kernel.queue.iter().find(|(t, _)| t == at);
        let next = next.map_or_else(|| "none".to_owned(), |(_, event)| format!("{event:?}"));
        Err(RunError::Livelock { at: *at, events: *events, next, seed: self.seed().0 })
    }

    /// Does something at an instant (counted from the start of the run; one that has passed means now), after whatever is
    /// already due then.
    pub fn at(&mut self, when: Span, action: impl Fn(&mut Cluster) + Send + Sync + 'static) {
        let slot = self.actions.insert(Arc::new(action));
        self.kernel.queue.push(Time::ZERO + when, Event::Action(slot));
    }

    /// A copy that goes on by itself, from the same state and the same random streams.
    pub fn fork(&self) -> Cluster {
        self.clone()
    }

    /// The digest of everything that has happened.
    pub fn digest(&self) -> String {
        self.kernel.log.digest()
    }
}
