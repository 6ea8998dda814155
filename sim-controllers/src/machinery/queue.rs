//! The work queue of one controller (`client-go/util/workqueue`): deduplicated, delayed and rate limited.
//!
//! A key is at most once in the queue; a key that is added while a worker has it is queued again when that worker is
//! done. Delays are virtual timers, so an idle queue costs nothing.

use std::collections::VecDeque;
use std::hash::Hash;

use rustc_hash::{FxHashMap, FxHashSet};
use sim_core::engine::component::TimerId;
use sim_core::time::{Span, Time, millis, secs};

/// How retries of one queue are spaced.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Delay of the first retry.
    pub base: Span,
    /// Upper bound.
    pub max: Span,
    /// Whether the overall limit of 10 retries per second with a burst of 100 applies too.
    pub bucket: bool,
}

impl Backoff {
    /// `DefaultTypedControllerRateLimiter`: 5 ms·2ⁿ up to 1000 s.
    pub const CONTROLLER: Backoff = Backoff { base: millis(5), max: secs(1000), bucket: true };
    /// The job controller's own: 1 s·2ⁿ up to 60 s.
    pub const JOB: Backoff = Backoff { base: secs(1), max: secs(60), bucket: false };
}

/// A delayed key.
#[derive(Clone, Copy, Debug)]
pub struct Delayed {
    at: Time,
    timer: TimerId,
}

/// The queue.
#[derive(Clone, Debug)]
pub struct WorkQueue<K> {
    backoff: Backoff,
    ready: VecDeque<K>,
    dirty: FxHashSet<K>,
    processing: FxHashSet<K>,
    failures: FxHashMap<K, u32>,
    delayed: FxHashMap<K, Delayed>,
    /// Theoretical arrival time of the token bucket (GCRA), which needs no refill events.
    bucket: Time,
}

impl<K: Clone + Eq + Hash> WorkQueue<K> {
    /// An empty queue.
    pub fn new(backoff: Backoff) -> Self {
        WorkQueue {
            backoff,
            ready: VecDeque::new(),
            dirty: FxHashSet::default(),
            processing: FxHashSet::default(),
            failures: FxHashMap::default(),
            delayed: FxHashMap::default(),
            bucket: Time(i64::MIN),
        }
    }

    /// Adds a key, once.
    pub fn add(&mut self, key: K) {
        if self.dirty.insert(key.clone()) && !self.processing.contains(&key) {
            self.ready.push_back(key);
        }
    }

    /// The next key; the caller must say [`WorkQueue::done`] with it.
    pub fn get(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.processing.insert(key.clone());
        self.dirty.remove(&key);
        Some(key)
    }

    /// A worker is through with a key.
    pub fn done(&mut self, key: &K) {
        self.processing.remove(key);
        if self.dirty.contains(key) {
            self.ready.push_back(key.clone());
        }
    }

    /// Forgets the failures of a key.
    pub fn forget(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// Failures of a key so far (`NumRequeues`).
    pub fn requeues(&self, key: &K) -> u32 {
        self.failures.get(key).copied().unwrap_or(0)
    }

    /// Counts a failure and says after which delay to retry.
    pub fn retry_delay(&mut self, key: &K, now: Time) -> Span {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let own = exponential(self.backoff.base, *failures, self.backoff.max);
        *failures += 1;
        if self.backoff.bucket { own.max(self.bucket_delay(now)) } else { own }
    }

    fn bucket_delay(&mut self, now: Time) -> Span {
        let (interval, burst) = (millis(100), 100);
        self.bucket = self.bucket.max(now) + interval;
        (self.bucket - interval * burst - now).max(Span::ZERO)
    }

    /// Notes a delayed key. `arm` sets the timer for the instant it is given; it is called only if the key is not
    /// already waiting for an earlier one. Returns the timer that is no longer needed, if any.
    pub fn delay_until(&mut self, key: K, at: Time, arm: impl FnOnce(Time) -> TimerId) -> Option<TimerId> {
        match self.delayed.get_mut(&key) {
            Some(waiting) if waiting.at <= at => None,
            Some(waiting) => {
                let stale = waiting.timer;
                *waiting = Delayed { at, timer: arm(at) };
                Some(stale)
            }
            None => {
                self.delayed.insert(key, Delayed { at, timer: arm(at) });
                None
            }
        }
    }

    /// The timer of a delayed key fired.
    pub fn due(&mut self, key: K) {
        self.delayed.remove(&key);
        self.add(key);
    }

    /// Keys that are ready.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// True if no key is ready.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

/// `base·2ⁿ`, at most `max`.
pub fn exponential(base: Span, n: u32, max: Span) -> Span {
    if n >= 62 {
        return max;
    }
    (base * (1i64 << n)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_queued_once_and_again_after_its_worker() {
        let mut q = WorkQueue::new(Backoff::CONTROLLER);
        q.add("a");
        q.add("a");
        assert_eq!((q.len(), q.get()), (1, Some("a")));
        q.add("a");
        assert_eq!(q.get(), None, "a worker has it");
        q.done(&"a");
        assert_eq!(q.get(), Some("a"));
        q.done(&"a");
        assert!(q.is_empty());
    }

    #[test]
    fn retries_double_until_forgotten() {
        let mut q = WorkQueue::new(Backoff::CONTROLLER);
        let delays: Vec<i64> = (0..20).map(|_| q.retry_delay(&"a", Time::ZERO).0 / 1_000_000).collect();
        assert_eq!(delays[..4], [5, 10, 20, 40]);
        assert_eq!(delays[19], 1_000_000);
        q.forget(&"a");
        assert_eq!(q.retry_delay(&"a", Time::ZERO), millis(5));
    }

    #[test]
    fn the_bucket_lets_a_hundred_pass_then_ten_per_second() {
        let mut q = WorkQueue::new(Backoff::CONTROLLER);
        let delays: Vec<Span> = (0..102).map(|i| q.retry_delay(&i, Time::ZERO)).collect();
        assert_eq!(delays[99], millis(5));
        assert_eq!(delays[100], millis(100));
        assert_eq!(delays[101], millis(200));
    }

    #[test]
    fn the_earlier_delay_wins() {
        let mut q = WorkQueue::new(Backoff::CONTROLLER);
        let timer = |n| move |_| TimerId { slot: n, generation: 0 };
        assert_eq!(q.delay_until("a", Time(10), timer(1)), None);
        assert_eq!(q.delay_until("a", Time(20), timer(2)), None);
        assert_eq!(q.delay_until("a", Time(5), timer(3)), Some(TimerId { slot: 1, generation: 0 }));
        q.due("a");
        assert_eq!(q.get(), Some("a"));
    }
}
