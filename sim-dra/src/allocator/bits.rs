//! Sets of devices of one call.

use smallvec::SmallVec;

/// A set of numbers below a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bits(SmallVec<[u64; 4]>);

impl Bits {
    /// The empty set of numbers below a limit.
    pub(crate) fn new(limit: usize) -> Bits {
        Bits(SmallVec::from_elem(0, limit.div_ceil(64)))
    }

    pub(crate) fn get(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    pub(crate) fn set(&mut self, number: usize, to: bool) {
        let bit = 1 << (number % 64);
        if let Some(word) = self.0.get_mut(number / 64) {
            if to { *word |= bit } else { *word &= !bit }
        }
    }

    /// The least number from one on whose word passes a filter: the words of this set and the index are given to it.
    pub(crate) fn next(&self, from: usize, filter: impl Fn(usize, u64) -> u64) -> Option<usize> {
        let mut mask = !0 << (from % 64);
        for index in from / 64..self.0.len() {
            let word = filter(index, self.0[index]) & mask;
            if word != 0 {
                return Some(index * 64 + word.trailing_zeros() as usize);
            }
            mask = !0;
        }
        None
    }

    pub(crate) fn word(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    pub(crate) fn words(&self) -> usize {
        self.0.len()
    }
}
