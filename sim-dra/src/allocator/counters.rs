//! Counters that devices of a slice share.

use sim_core::quantity::Quantity;

use crate::inventory::Slice;

/// The counters of one slice during a call.
#[derive(Debug)]
pub(crate) struct Counters {
    /// What claims of other pods left; may be negative.
    available: Vec<Quantity>,
    consumed: Vec<Quantity>,
}

impl Counters {
    /// `in_use`: devices of the slice that are allocated already.
    pub(crate) fn new(slice: &Slice, in_use: impl Iterator<Item = usize>) -> Counters {
        let mut available = slice.counters.clone();
        for device in in_use {
            for (counter, amount) in &slice.prepared(device).consumes {
                available[*counter].sub(amount);
            }
        }
        let consumed = vec![Quantity::default(); available.len()];
        Counters { available, consumed }
    }

    /// Takes what a device needs, if then no counter of the slice is overdrawn, not even one that the device does not use.
    pub(crate) fn take(&mut self, slice: &Slice, device: usize) -> bool {
        for (counter, amount) in &slice.prepared(device).consumes {
            self.consumed[*counter].add(amount);
        }
        let enough =
            self.available.iter().zip(&self.consumed).all(|(available, consumed)| available >= consumed);
        if !enough {
            self.give_back(slice, device);
        }
        enough
    }

    /// Gives back what a device took.
    pub(crate) fn give_back(&mut self, slice: &Slice, device: usize) {
        for (counter, amount) in &slice.prepared(device).consumes {
            self.consumed[*counter].sub(amount);
        }
    }
}
