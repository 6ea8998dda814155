//! The kernel: the clock, the queue, the constants of the run and the log, generic over the world's sum of events.

use super::component::{Ctx, Env, Port, TimerId};
use super::log::Log;
use super::queue::Queue;
use crate::api::request::{Request, Tag};
use crate::time::Time;

/// One clock, one order.
#[derive(Clone, Debug)]
pub struct Kernel<E> {
    now: Time,
    /// Waiting events.
    pub queue: Queue<E>,
    /// Constants of the run.
    pub env: Env,
    /// What happened.
    pub log: Log,
    handled: u64,
}

impl<E> Kernel<E> {
    /// A kernel at instant zero.
    pub fn new(env: Env) -> Self {
        Kernel { now: Time::ZERO, queue: Queue::default(), env, log: Log::default(), handled: 0 }
    }

    /// The current instant.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Events handled so far.
    pub fn handled(&self) -> u64 {
        self.handled
    }

    /// Takes the next event by `limit` and moves the clock to it.
    pub fn next(&mut self, limit: Time) -> Option<E> {
        let (at, event) = self.queue.pop_until(limit)?;
        debug_assert!(at >= self.now, "the queue went back in time");
        self.now = at;
        self.handled += 1;
        Some(event)
    }

    /// Moves the clock forward over empty time. Never goes back, never passes a waiting event.
    pub fn advance_to(&mut self, at: Time) {
        debug_assert!(self.queue.next_time().is_none_or(|next| next >= at), "advanced over an event");
        self.now = self.now.max(at);
    }

    /// Splits the kernel into a context for one component. `wrap` lifts its timers into the world's events; `requests`
    /// collects what it sends.
    pub fn ctx<T, R>(
        &mut self,
        wrap: impl Fn(T) -> E,
        requests: &mut Vec<(Request, Option<Tag>)>,
        run: impl FnOnce(&mut Ctx<'_, T>) -> R,
    ) -> R {
        let mut lane = Lane { queue: &mut self.queue, wrap, requests };
        run(&mut Ctx::new(self.now, &self.env, &mut self.log, &mut lane))
    }
}

/// A component's way into the queue.
struct Lane<'a, E, W> {
    queue: &'a mut Queue<E>,
    wrap: W,
    requests: &'a mut Vec<(Request, Option<Tag>)>,
}

impl<E, T, W: Fn(T) -> E> Port<T> for Lane<'_, E, W> {
    fn set_timer(&mut self, at: Time, timer: T) -> TimerId {
        self.queue.push(at, (self.wrap)(timer))
    }

    fn cancel(&mut self, id: TimerId) -> bool {
        self.queue.cancel(id).is_some()
    }

    fn send(&mut self, request: Request, tag: Option<Tag>) {
        self.requests.push((request, tag));
    }
}
