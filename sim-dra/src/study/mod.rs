//! Measures of studies: how well devices are used, and what is left of them.
//!
//! All are functions of slices and of what is allocated; none knows a clock. The unit is a physical device: a device without
//! counters, or a counter set with all partitions that consume it. Of a physical device in partitions, the part of one counter that
//! is taken counts, the one that whoever asks finds scarce (memory, say); sharing by capacity does not count as use.
//!
//! - [`Use`]: the allocation ratio, `used / total`.
//! - [`fragmentation`]: how much of what is free is no use to the claims that are to be expected (Weng et al., "Beware of
//!   Fragmentation", USENIX ATC 2023), with devices in place of thousandths of GPUs.
//! - [`largest_that_fits`]: the most devices that a claim could get on one node.
//! - [`stranded`]: what is left of counters that no partition can take.
//! - [`Layout`]: how often partitions are made and destroyed.
//! - [`Waits`]: how long claims wait from their creation to their allocation.

mod layout;
#[cfg(test)]
mod tests;
mod waits;

use std::sync::Arc;

use sim_core::quantity::Quantity;
use smol_str::SmolStr;

pub use layout::{Changes, Layout};
pub use waits::Waits;

use crate::allocator::{AllocatedState, Allocator, DeviceId};
use crate::api::MAX_RESULTS;
use crate::inventory::{Inventory, Node, Slice};
use crate::selector::Selector;

/// How much of something is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Use {
    /// Physical devices in use; partitions in parts.
    pub used: f64,
    /// Physical devices.
    pub total: f64,
}

impl Use {
    /// The allocation ratio: 0 where there is nothing.
    pub fn ratio(self) -> f64 {
        if self.total > 0.0 { self.used / self.total } else { 0.0 }
    }

    /// What is free.
    pub fn free(self) -> f64 {
        self.total - self.used
    }
}

/// A physical device.
struct Physical {
    /// Its devices: itself, or its partitions.
    devices: Vec<usize>,
    used: f64,
}

/// Use of the devices of slices. `counter` is what counts of counter sets; sets without it count nothing.
pub fn usage(slices: &[Arc<Slice>], allocated: &AllocatedState, counter: &str) -> Use {
    let mut sum = Use::default();
    for slice in slices {
        for physical in physical(slice, allocated, counter) {
            sum.used += physical.used;
            sum.total += 1.0;
        }
    }
    sum
}

fn physical(slice: &Slice, allocated: &AllocatedState, counter: &str) -> Vec<Physical> {
    let spec = &slice.body().spec;
    let taken = taken(slice, allocated);
    let mut all = Vec::new();
    for (index, device) in spec.devices.iter().enumerate() {
        if device.consumes_counters.is_empty() {
            all.push(Physical { devices: vec![index], used: f64::from(u8::from(taken[index])) });
        }
    }
    for set in &spec.shared_counters {
        let Some(total) = set.counters.get(counter).map(|counter| number(&counter.value)) else { continue };
        let consumes =
            |index: &usize| spec.devices[*index].consumes_counters.iter().any(|c| c.counter_set == set.name);
        let devices: Vec<usize> = (0..spec.devices.len()).filter(consumes).collect();
        let used: f64 = devices
            .iter()
            .filter(|index| taken[**index])
            .flat_map(|index| &spec.devices[*index].consumes_counters)
            .filter(|consumption| consumption.counter_set == set.name)
            .filter_map(|consumption| consumption.counters.get(counter))
            .map(|counter| number(&counter.value))
            .sum();
        all.push(Physical { devices, used: if total > 0.0 { used / total } else { 0.0 } });
    }
    all
}

fn taken(slice: &Slice, allocated: &AllocatedState) -> Vec<bool> {
    let spec = &slice.body().spec;
    let id = |device: &SmolStr| DeviceId {
        driver: spec.driver.clone(),
        pool: spec.pool.name.clone(),
        device: device.clone(),
    };
    spec.devices.iter().map(|device| allocated.contains(&id(&device.name))).collect()
}

/// As accurate as a number of thousandths can be told.
fn number(quantity: &Quantity) -> f64 {
    match quantity.milli_value() {
        // Too large for thousandths.
        i64::MAX | i64::MIN => quantity.value() as f64,
        milli => milli as f64 / 1000.0,
    }
}

/// Whether a device that is not in use could be, as far as counters go.
fn has_counters(slice: &Slice, taken: &[bool], device: usize) -> bool {
    let in_use = (0..taken.len()).filter(|index| taken[*index]);
    slice.counters_left(in_use).take(slice, device)
}

/// Claims of one kind, and how likely the next one is of it.
#[derive(Clone, Debug)]
pub struct Kind {
    /// The part of all claims that are of this kind; all kinds together have 1.
    pub share: f64,
    /// Asks for the claim; whatever devices it was made for.
    pub allocator: Allocator,
    /// For each of its requests, all conditions of class and request.
    pub requests: Vec<Vec<Arc<Selector>>>,
}

/// How many of the free physical devices of a node are of no use to the next claim, on average over its kinds:
/// `Σ share × fragment(kind)`. If a claim of a kind does not fit the node, all that is free is a fragment; otherwise what
/// is free of physical devices none of whose devices any of its requests selects, or none of which has counters left.
///
/// Between 0 and what is free of `usage` of the node's slices.
pub fn fragmentation(
    slices: &[Arc<Slice>],
    node: Node<'_>,
    allocated: &Arc<AllocatedState>,
    kinds: &[Kind],
    counter: &str,
) -> f64 {
    let inventory = Arc::new(Inventory::new(slices.to_vec()));
    let free = usage(slices, allocated, counter).free();
    let fragment = |kind: &Kind| {
        let allocator = kind.allocator.among(allocated.clone(), inventory.clone());
        if !matches!(allocator.allocate(node), Ok(Some(_))) {
            return free;
        }
        let mut fragment = 0.0;
        for slice in slices {
            let taken = taken(slice, allocated);
            let useful = |device: &usize| {
                let selects = |selectors: &Vec<Arc<Selector>>| {
                    selectors.iter().all(|selector| slice.selected(*device, selector) == Ok(true))
                };
                !taken[*device] && kind.requests.iter().any(selects) && has_counters(slice, &taken, *device)
            };
            for physical in physical(slice, allocated, counter) {
                if !physical.devices.iter().any(useful) {
                    fragment += 1.0 - physical.used;
                }
            }
        }
        fragment
    };
    kinds.iter().map(|kind| kind.share * fragment(kind)).sum()
}

/// The most devices that a claim can ask for and get, on the best of some nodes; `make` makes the allocator of a claim for so many.
/// No more than [`MAX_RESULTS`], and 0 if not even one fits.
pub fn largest_that_fits(make: impl Fn(i64) -> Allocator, nodes: &[Node<'_>]) -> i64 {
    let fits = |count: i64| {
        let allocator = make(count);
        nodes.iter().any(|node| matches!(allocator.allocate(*node), Ok(Some(_))))
    };
    // A claim for fewer devices fits wherever one for more does.
    (1..=MAX_RESULTS as i64).take_while(|count| fits(*count)).last().unwrap_or(0)
}

/// What is left of a counter set that nobody can have.
#[derive(Clone, Debug, PartialEq)]
pub struct Stranded {
    /// The set.
    pub counter_set: SmolStr,
    /// The part of the counter that is left.
    pub part: f64,
    /// Partitions that are not in use and do not fit any more.
    pub partitions: usize,
}

/// The counter sets of a slice of which something is left, but not enough for any partition.
pub fn stranded(slice: &Slice, allocated: &AllocatedState, counter: &str) -> Vec<Stranded> {
    let taken = taken(slice, allocated);
    let spec = &slice.body().spec;
    let plain = spec.devices.iter().filter(|device| device.consumes_counters.is_empty()).count();
    let sets = spec.shared_counters.iter().filter(|set| set.counters.contains_key(counter));
    let physical = physical(slice, allocated, counter).into_iter().skip(plain);
    let mut stranded = Vec::new();
    for (set, physical) in sets.zip(physical) {
        let free = || physical.devices.iter().filter(|device| !taken[**device]);
        if physical.used < 1.0 && !free().any(|device| has_counters(slice, &taken, *device)) {
            let (counter_set, partitions) = (set.name.clone(), free().count());
            stranded.push(Stranded { counter_set, part: 1.0 - physical.used, partitions });
        }
    }
    stranded
}
