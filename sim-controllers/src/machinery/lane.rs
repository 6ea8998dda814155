//! The shell of one controller: its queue, its workers, and the syncs that wait for answers.

use std::hash::Hash;

use sim_core::engine::component::Ctx;
use sim_core::time::{Span, Time};

use super::fx::{Answer, Effect, Fx, Outcome, Round, Stop};
use super::queue::{Backoff, WorkQueue};
use sim_core::api::request::{Request, Tag};

/// A sync under way: its input, the answers so far, and the slots of those that are awaited.
#[derive(Clone, Debug)]
struct Running<K, I> {
    key: K,
    input: I,
    started: Time,
    journal: Vec<Round>,
    applied: usize,
    awaited: Vec<Option<Answer>>,
    missing: usize,
}

/// Queue and workers of one controller. `K` is what is queued, `I` what a sync reads.
#[derive(Clone, Debug)]
pub struct Lane<K, I> {
    /// The queue.
    pub queue: WorkQueue<K>,
    workers: Vec<Option<Running<K, I>>>,
}

/// What became of a run of a sync.
pub struct Step {
    /// Effects that were not applied yet, in order.
    pub effects: Vec<Effect>,
    /// Requests to send now, each with the number of its slot.
    pub requests: Vec<Request>,
    /// `None` while the sync waits.
    pub end: Option<Result<(), sim_core::api::error::ApiError>>,
}

impl<K: Clone + Eq + Hash, I> Lane<K, I> {
    /// A lane with so many workers.
    pub fn new(backoff: Backoff, workers: usize) -> Self {
        Lane { queue: WorkQueue::new(backoff), workers: (0..workers.max(1)).map(|_| None).collect() }
    }

    /// A free worker and the next key, if there are both.
    pub fn take(&mut self) -> Option<(usize, K)> {
        let worker = self.workers.iter().position(Option::is_none)?;
        Some((worker, self.queue.get()?))
    }

    /// Gives a worker its work.
    pub fn begin(&mut self, worker: usize, key: K, input: I, now: Time) {
        self.workers[worker] = Some(Running {
            key,
            input,
            started: now,
            journal: Vec::new(),
            applied: 0,
            awaited: Vec::new(),
            missing: 0,
        });
    }

    /// Runs a worker's sync as far as its answers reach. Returns its key and what came of it.
    pub fn run(
        &mut self,
        worker: usize,
        epoch: sim_core::time::Epoch,
        sync: impl FnOnce(&I, &mut Fx<'_>) -> Outcome,
    ) -> Option<(K, Step)> {
        let running = self.workers.get_mut(worker)?.as_mut()?;
        let mut fx = Fx::new(epoch, running.started, &running.journal);
        let outcome = sync(&running.input, &mut fx);
        let mut effects = fx.into_effects();
        effects.drain(..running.applied.min(effects.len()));
        running.applied += effects.len();
        let key = running.key.clone();
        let (requests, end) = match outcome {
            Ok(()) => (Vec::new(), Some(Ok(()))),
            Err(Stop::Failed(error)) => (Vec::new(), Some(Err(error))),
            Err(Stop::Waiting(requests)) => {
                running.missing = requests.len();
                running.awaited = vec![None; requests.len()];
                (requests, None)
            }
        };
        if end.is_some() {
            self.workers[worker] = None;
        }
        Some((key, Step { effects, requests, end }))
    }

    /// Notes an answer; true if it was the last one that its sync waited for.
    pub fn answered(&mut self, worker: usize, slot: usize, answer: Answer, now: Time) -> bool {
        let Some(running) = self.workers.get_mut(worker).and_then(Option::as_mut) else { return false };
        match running.awaited.get_mut(slot) {
            Some(empty @ None) => *empty = Some(answer),
            _ => return false,
        }
        running.missing -= 1;
        if running.missing > 0 {
            return false;
        }
        let answers = std::mem::take(&mut running.awaited).into_iter().flatten().collect();
        running.journal.push(Round { at: now, answers });
        true
    }

    /// Adds a key after a delay; at once if there is none (`AddAfter`).
    pub fn add_after<T>(&mut self, ctx: &mut Ctx<'_, T>, key: K, delay: Span, timer: impl FnOnce(K) -> T) {
        if delay <= Span::ZERO {
            return self.queue.add(key);
        }
        let at = ctx.now() + delay;
        let stale = self.queue.delay_until(key.clone(), at, |at| ctx.set_timer_at(at, timer(key)));
        if let Some(stale) = stale {
            ctx.cancel(stale);
        }
    }
}

/// Packs lane, worker and slot into the tag of a request.
pub fn tag(lane: u64, worker: usize, slot: usize) -> Tag {
    Tag(lane << 56 | (worker as u64) << 32 | slot as u64)
}

/// Lane, worker and slot of a tag.
pub fn untag(tag: Tag) -> (u64, usize, usize) {
    (tag.0 >> 56, (tag.0 >> 32 & 0xff_ffff) as usize, (tag.0 & 0xffff_ffff) as usize)
}
