//! Counters that devices of a slice share.

use sim_core::quantity::Quantity;

use crate::inventory::{Amounts, Slice};

/// The counters of one slice during a call.
#[derive(Debug)]
pub(crate) enum Counters {
    /// Where all amounts are whole numbers of the same small unit, as they are in practice.
    Whole {
        /// What claims of other pods and devices of this call leave; may be negative.
        left: Vec<i64>,
        /// How many counters are overdrawn.
        overdrawn: usize,
    },
    /// Any amounts.
    Any {
        /// What claims of other pods leave; may be negative.
        available: Vec<Quantity>,
        consumed: Vec<Quantity>,
    },
}

impl Counters {
    /// `in_use`: devices of the slice that are allocated already.
    pub(crate) fn new(slice: &Slice, in_use: impl Iterator<Item = usize>) -> Counters {
        match &slice.counters {
            Amounts::Whole(counters) => {
                let mut left = counters.clone();
                for device in in_use {
                    slice
                        .prepared(device)
                        .whole
                        .iter()
                        .for_each(|(counter, amount)| left[*counter] -= amount);
                }
                let overdrawn = left.iter().filter(|left| **left < 0).count();
                Counters::Whole { left, overdrawn }
            }
            Amounts::Any(counters) => {
                let mut available = counters.clone();
                for device in in_use {
                    for (counter, amount) in &slice.prepared(device).consumes {
                        available[*counter].sub(amount);
                    }
                }
                let consumed = vec![Quantity::default(); available.len()];
                Counters::Any { available, consumed }
            }
        }
    }

    /// Takes what a device needs, if then no counter of the slice is overdrawn, not even one that the device does not use.
    pub(crate) fn take(&mut self, slice: &Slice, device: usize) -> bool {
        let enough = match self {
            Counters::Whole { left, overdrawn } => {
                change(left, overdrawn, &slice.prepared(device).whole, -1);
                *overdrawn == 0
            }
            Counters::Any { available, consumed } => {
                for (counter, amount) in &slice.prepared(device).consumes {
                    consumed[*counter].add(amount);
                }
                available.iter().zip(consumed).all(|(available, consumed)| *available >= *consumed)
            }
        };
        if !enough {
            self.give_back(slice, device);
        }
        enough
    }

    /// Gives back what a device took.
    pub(crate) fn give_back(&mut self, slice: &Slice, device: usize) {
        match self {
            Counters::Whole { left, overdrawn } => change(left, overdrawn, &slice.prepared(device).whole, 1),
            Counters::Any { consumed, .. } => {
                for (counter, amount) in &slice.prepared(device).consumes {
                    consumed[*counter].sub(amount);
                }
            }
        }
    }
}

/// Amounts of one slice are bounded so that no sum overflows.
fn change(left: &mut [i64], overdrawn: &mut usize, amounts: &[(usize, i64)], sign: i64) {
    for (counter, amount) in amounts {
        let left = &mut left[*counter];
        *overdrawn -= usize::from(*left < 0);
        *left = left.saturating_add(sign * amount);
        *overdrawn += usize::from(*left < 0);
    }
}
