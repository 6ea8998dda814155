//! Runs one controller as part of the component: takes keys, runs syncs, sends their requests, applies their effects.

use std::hash::Hash;

use sim_core::api::error::ApiError;
use sim_core::engine::component::Ctx;
use sim_core::time::{Span, Time};

use super::cache::Caches;
use super::fx::{Answer, Effect, Fx, Outcome};
use super::lane::{Lane, tag};
use super::pod_control::namespace_terminating;
use super::queue::Backoff;
use crate::manager::Timer;

/// A controller: a pure sync over what it gathers, and a little state beside the caches.
pub trait Controller {
    /// What its queue holds.
    type Key: Clone + Eq + Hash;
    /// What one sync reads.
    type Input: Clone;
    /// How its retries are spaced.
    const BACKOFF: Backoff = Backoff::CONTROLLER;
    /// Retries until a key is dropped.
    const MAX_RETRIES: u32 = u32::MAX;

    /// Reads what a sync needs; `None` if there is nothing to do.
    fn gather(&mut self, caches: &Caches, key: &Self::Key, now: Time) -> Option<Self::Input>;
    /// One sync; see [`super::fx`].
    ///
    /// # Errors
    /// [`super::fx::Stop::Waiting`] while a request is under way, [`super::fx::Stop::Failed`] to be retried.
    fn sync(input: &Self::Input, fx: &mut Fx<'_>) -> Outcome;
    /// Applies an effect on the controller's own state. Returns a key to queue, if the effect is about another one.
    fn apply(&mut self, key: &Self::Key, effect: Effect, now: Time) -> Option<Self::Key>;
    /// The timer that brings a key back.
    fn timer(key: Self::Key) -> Timer;
}

/// A controller with its queue and workers.
#[derive(Clone, Debug)]
pub struct Host<C: Controller> {
    /// Number of its lane, for tags.
    id: u64,
    /// Queue and workers.
    pub lane: Lane<C::Key, C::Input>,
    /// The controller.
    pub controller: C,
}

impl<C: Controller> Host<C> {
    /// A controller with so many workers.
    pub fn new(id: u64, controller: C, workers: usize) -> Self {
        Host { id, lane: Lane::new(C::BACKOFF, workers), controller }
    }

    /// Adds a key now or later.
    pub fn enqueue(&mut self, ctx: &mut Ctx<'_, Timer>, key: C::Key, after: Span) {
        self.lane.add_after(ctx, key, after, C::timer);
    }

    /// Lets the controller look at a watch event; what it enqueues is added now or later.
    pub fn notify(
        &mut self,
        ctx: &mut Ctx<'_, Timer>,
        look: impl FnOnce(&mut C, &mut dyn FnMut(C::Key, Span)),
    ) {
        let lane = &mut self.lane;
        look(&mut self.controller, &mut |key, after| lane.add_after(ctx, key, after, C::timer));
    }

    /// Lets free workers take keys until there are none of either. Returns true if any key was taken.
    pub fn pump(&mut self, caches: &Caches, ctx: &mut Ctx<'_, Timer>) -> bool {
        let mut busy = false;
        while let Some((worker, key)) = self.lane.take() {
            busy = true;
            match self.controller.gather(caches, &key, ctx.now()) {
                Some(input) => {
                    self.lane.begin(worker, key, input, ctx.now());
                    self.resume(worker, ctx);
                }
                None => self.finish(ctx, &key, Ok(())),
            }
        }
        busy
    }

    /// An answer came; goes on with its sync if it was the last one awaited.
    pub fn replied(&mut self, ctx: &mut Ctx<'_, Timer>, worker: usize, slot: usize, answer: Answer) {
        if self.lane.answered(worker, slot, answer, ctx.now()) {
            self.resume(worker, ctx);
        }
    }

    fn resume(&mut self, worker: usize, ctx: &mut Ctx<'_, Timer>) {
        let Some((key, step)) = self.lane.run(worker, ctx.epoch(), C::sync) else { return };
        for effect in step.effects {
            self.apply(ctx, &key, effect);
        }
        for (slot, request) in step.requests.into_iter().enumerate() {
            ctx.request(request, tag(self.id, worker, slot));
        }
        if let Some(end) = step.end {
            self.finish(ctx, &key, end);
        }
    }

    fn apply(&mut self, ctx: &mut Ctx<'_, Timer>, key: &C::Key, effect: Effect) {
        match effect {
            Effect::Event { about, event_type, reason, message } => {
                ctx.event(&about, event_type, reason, &message);
            }
            Effect::RequeueAfter(delay) => self.enqueue(ctx, key.clone(), delay),
            Effect::RequeueRateLimited => self.retry(ctx, key),
            own => {
                if let Some(other) = self.controller.apply(key, own, ctx.now()) {
                    self.lane.queue.add(other);
                }
            }
        }
    }

    fn retry(&mut self, ctx: &mut Ctx<'_, Timer>, key: &C::Key) {
        let delay = self.lane.queue.retry_delay(key, ctx.now());
        self.enqueue(ctx, key.clone(), delay);
    }

    fn finish(&mut self, ctx: &mut Ctx<'_, Timer>, key: &C::Key, end: Result<(), ApiError>) {
        match end {
            Err(error)
                if !namespace_terminating(&error) && self.lane.queue.requeues(key) < C::MAX_RETRIES =>
            {
                self.retry(ctx, key);
            }
            _ => self.lane.queue.forget(key),
        }
        self.lane.queue.done(key);
    }
}
