//! The event queue: totally ordered by `(time, order of pushing)`, with cancellation.
//!
//! A radix queue of 256-way digits. An entry hangs at the highest byte in which its time differs from the queue's
//! clock, so a push touches one list and an entry moves down at most a few times before it is due. All entries of one
//! instant are always in the same list, appended in pushing order, and lists move as a whole: the order of pushing
//! needs no comparison. Cancelling leaves a tombstone: the slot's generation no longer matches.

use std::collections::VecDeque;

use super::component::TimerId;
use crate::time::Time;

const DIGIT_BITS: u32 = 8;
const DIGITS: usize = (u64::BITS / DIGIT_BITS) as usize;
const FANOUT: usize = 1 << DIGIT_BITS;
const WORDS: usize = FANOUT / 64;

/// What the lists hold; the event itself waits in the slab.
#[derive(Clone, Copy, Debug)]
struct Entry {
    time: u64,
    slot: u32,
    generation: u32,
}

#[derive(Clone, Debug)]
struct Slot<E> {
    generation: u32,
    event: Option<E>,
}

/// The queue. Times never go back: pushing before the last popped time means that time.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    /// Time of the last popped entry; all entries are at or after it.
    clock: u64,
    /// Entries of exactly `clock`.
    due: VecDeque<Entry>,
    /// `lists[digit * FANOUT + value]`.
    lists: Vec<Vec<Entry>>,
    /// Per digit, which lists are not empty, as bits.
    occupied: [[u64; WORDS]; DIGITS],
    /// Digits that have any list that is not empty, as bits.
    digits: u32,
    slab: Vec<Slot<E>>,
    free: Vec<u32>,
    live: usize,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue {
            clock: 0,
            due: VecDeque::new(),
            lists: (0..DIGITS * FANOUT).map(|_| Vec::new()).collect(),
            occupied: [[0; WORDS]; DIGITS],
            digits: 0,
            slab: Vec::new(),
            free: Vec::new(),
            live: 0,
        }
    }
}

impl<E> Queue<E> {
    /// Events waiting, cancelled ones not counted.
    pub fn len(&self) -> usize {
        self.live
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// True while something may still be due at the time of the last popped event.
    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Adds an event. Among events of one instant, the one pushed first comes first.
    #[inline]
    pub fn push(&mut self, at: Time, event: E) -> TimerId {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slab.push(Slot { generation: 0, event: None });
                (self.slab.len() - 1) as u32
            }
        };
        let place = &mut self.slab[slot as usize];
        place.event = Some(event);
        let generation = place.generation;
        self.live += 1;
        self.hang(Entry { time: (at.0.max(0) as u64).max(self.clock), slot, generation });
        TimerId { slot, generation }
    }

    /// Takes an event back. `None` if it was popped or cancelled before.
    pub fn cancel(&mut self, id: TimerId) -> Option<E> {
        let place = self.slab.get_mut(id.slot as usize)?;
        if place.generation != id.generation {
            return None;
        }
        let event = place.event.take()?;
        self.release(id.slot);
        Some(event)
    }

    /// Removes and returns the next event, unless it is later than `limit`. After `None`, either nothing waits or nothing
    /// may be pushed before `limit` any more (it would count as pushed at a later instant).
    #[inline]
    pub fn pop_until(&mut self, limit: Time) -> Option<(Time, E)> {
        if self.live == 0 {
            return None;
        }
        loop {
            if self.due.is_empty() && !self.refill(limit) {
                return None;
            }
            let entry = *self.due.front()?;
            if entry.time as i64 > limit.0 {
                return None;
            }
            self.due.pop_front();
            let place = &mut self.slab[entry.slot as usize];
            if place.generation == entry.generation {
                let event = place.event.take();
                self.release(entry.slot);
                return event.map(|event| (Time(entry.time as i64), event));
            }
            if self.live == 0 {
                return None;
            }
        }
    }

    /// When the next event is due. Linear in the number of events that share its list.
    pub fn next_time(&self) -> Option<Time> {
        if self.due.iter().any(|e| self.is_live(*e)) {
            return Some(Time(self.clock as i64));
        }
        // Lists are earlier the lower their digit and value, but may hold only tombstones.
        let live = |list: &Vec<Entry>| list.iter().filter(|e| self.is_live(**e)).map(|e| e.time).min();
        self.lists.iter().find_map(live).map(|t| Time(t as i64))
    }

    /// All waiting events with their times, in no promised order: for inspection.
    pub fn iter(&self) -> impl Iterator<Item = (Time, &E)> {
        self.due.iter().chain(self.lists.iter().flatten()).filter(|e| self.is_live(**e)).filter_map(|e| {
            self.slab[e.slot as usize].event.as_ref().map(|event| (Time(e.time as i64), event))
        })
    }

    fn is_live(&self, entry: Entry) -> bool {
        self.slab[entry.slot as usize].generation == entry.generation
    }

    #[inline]
    fn release(&mut self, slot: u32) {
        let place = &mut self.slab[slot as usize];
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
        self.live -= 1;
    }

    #[inline]
    fn hang(&mut self, entry: Entry) {
        let differing = entry.time ^ self.clock;
        if differing == 0 {
            self.due.push_back(entry);
            return;
        }
        let digit = ((u64::BITS - 1 - differing.leading_zeros()) / DIGIT_BITS) as usize;
        let value = (entry.time >> (digit as u32 * DIGIT_BITS)) as usize % FANOUT;
        self.lists[digit * FANOUT + value].push(entry);
        self.occupied[digit][value / 64] |= 1 << (value % 64);
        self.digits |= 1 << digit;
    }

    /// Moves the clock to the earliest list's earliest entry and spreads that list; false if there is none by `limit`.
    /// Tombstones move along like everything else: asking the slab about every entry would cost more.
    fn refill(&mut self, limit: Time) -> bool {
        if self.digits == 0 {
            return false;
        }
        let digit = self.digits.trailing_zeros() as usize;
        let words = &mut self.occupied[digit];
        let word = words.iter().position(|w| *w != 0).unwrap_or(0);
        let value = word * 64 + words[word].trailing_zeros() as usize;
        let index = digit * FANOUT + value;
        let earliest = self.lists[index].iter().map(|e| e.time).min().unwrap_or(u64::MAX);
        if earliest as i64 > limit.0 {
            return false;
        }
        words[word] &= words[word] - 1;
        if words.iter().all(|w| *w == 0) {
            self.digits &= !(1 << digit);
        }
        self.clock = earliest;
        // Most lists hold one entry when their turn comes. The allocation stays with its list, so that a steady state
        // allocates nothing.
        if let [entry] = self.lists[index][..] {
            self.due.push_back(entry);
            self.lists[index].clear();
            return true;
        }
        let mut list = std::mem::take(&mut self.lists[index]);
        for entry in list.drain(..) {
            self.hang(entry);
        }
        self.lists[index] = list;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use proptest::prelude::*;

    use super::*;

    /// The plain version: a binary heap over `(time, sequence)`, cancelled by a list of sequence numbers.
    #[derive(Default)]
    struct Plain {
        heap: BinaryHeap<Reverse<(i64, u64)>>,
        cancelled: std::collections::BTreeSet<u64>,
        next: u64,
        clock: i64,
    }

    impl Plain {
        fn push(&mut self, at: i64) -> u64 {
            self.heap.push(Reverse((at.max(self.clock), self.next)));
            self.next += 1;
            self.next - 1
        }

        fn pop_until(&mut self, limit: i64) -> Option<(i64, u64)> {
            loop {
                let Reverse((at, seq)) = *self.heap.peek()?;
                if self.cancelled.contains(&seq) {
                    self.heap.pop();
                    continue;
                }
                if at > limit {
                    return None;
                }
                self.heap.pop();
                self.cancelled.insert(seq);
                self.clock = at;
                return Some((at, seq));
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push(i64),
        Cancel(usize),
        Pop(i64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => prop_oneof![0..4i64, 0..1_000i64, 0..i64::MAX / 2].prop_map(Op::Push),
            1 => (0..64usize).prop_map(Op::Cancel),
            4 => prop_oneof![Just(i64::MAX), 0..2_000i64].prop_map(Op::Pop),
        ]
    }

    proptest! {
        #[test]
        fn fast_queue_equals_the_plain_heap(ops in prop::collection::vec(op(), 0..200)) {
            let (mut fast, mut plain) = (Queue::default(), Plain::default());
            let mut ids = Vec::new();
            for op in ops {
                match op {
                    Op::Push(delta) => {
                        let at = plain.clock.saturating_add(delta);
                        let seq = plain.push(at);
                        ids.push(fast.push(Time(at), seq));
                    }
                    Op::Cancel(i) => if let Some(id) = ids.get(i) {
                        let fresh = plain.cancelled.insert(i as u64);
                        prop_assert_eq!(fast.cancel(*id).is_some(), fresh);
                    },
                    Op::Pop(ahead) => {
                        let limit = plain.clock.saturating_add(ahead);
                        let next = fast.next_time();
                        let got = fast.pop_until(Time(limit)).map(|(t, e)| (t.0, e));
                        prop_assert_eq!(got, plain.pop_until(limit));
                        if got.is_none() && !fast.is_empty() {
                            plain.clock = limit;
                        }
                        if let Some((at, _)) = got {
                            prop_assert_eq!(next, Some(Time(at)));
                        }
                    }
                }
                prop_assert_eq!(fast.len(), ids.len() - plain.cancelled.len());
            }
        }
    }

    #[test]
    fn one_instant_is_first_in_first_out() {
        let mut queue = Queue::default();
        for i in 0..100 {
            queue.push(Time(1_000_000 + i % 3), i);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop_until(Time::MAX)).collect();
        assert!(order.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(order.len(), 100);
    }
}
