//! The structured allocator (`structured/internal/experimental/allocator_experimental.go`): devices for all claims of a pod on one
//! node, or nothing. It tries devices in order, depth first, and the first solution wins; what is known to fail is skipped (`prune`).

mod bits;
pub(crate) mod capacity;
mod constraints;
mod counters;
mod fixes;
mod outcome;
mod pools;
mod prune;
mod requests;
mod search;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use smol_str::SmolStr;

pub use capacity::Consumed;
pub(crate) use counters::Counters;
pub use fixes::Fixes;
pub use requests::Classes;

use crate::api::{AllocationResult, ResourceClaim};
use crate::features::Features;
use crate::inventory::{Inventory, Node};
use crate::selector::Selectors;
use requests::Wishes;

/// Why an allocation cannot even be tried; the scheduling of the pod ends with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error(SmolStr);

impl Error {
    pub(crate) fn new(text: impl AsRef<str>) -> Error {
        Error(SmolStr::new(text))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device by driver, pool and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    /// The driver.
    pub driver: SmolStr,
    /// The pool.
    pub pool: SmolStr,
    /// The device.
    pub device: SmolStr,
}

/// What claims have already.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllocatedState {
    /// By driver and pool; only for look-ups.
    devices: FxHashMap<(SmolStr, SmolStr), FxHashSet<SmolStr>>,
    capacity: BTreeMap<DeviceId, Consumed>,
}

impl AllocatedState {
    /// A device of which nobody else can have anything. Devices for admin access and shares do not belong here.
    pub fn insert(&mut self, id: DeviceId) {
        self.devices.entry((id.driver, id.pool)).or_default().insert(id.device);
    }

    /// A device is free again.
    pub fn remove(&mut self, id: &DeviceId) {
        let pool = (id.driver.clone(), id.pool.clone());
        if let Some(devices) = self.devices.get_mut(&pool) {
            devices.remove(&id.device);
            if devices.is_empty() {
                self.devices.remove(&pool);
            }
        }
    }

    /// Whether nobody else can have anything of a device.
    pub fn contains(&self, id: &DeviceId) -> bool {
        self.of_pool(&id.driver, &id.pool).is_some_and(|devices| devices.contains(&id.device))
    }

    /// A share of a device.
    pub fn insert_share(&mut self, id: DeviceId, consumed: &Consumed) {
        let own = self.capacity.entry(id).or_default();
        for (name, quantity) in consumed {
            own.entry(name.clone()).or_default().add(quantity);
        }
    }

    /// A share is free again.
    pub fn remove_share(&mut self, id: &DeviceId, consumed: &Consumed) {
        let Some(own) = self.capacity.get_mut(id) else { return };
        for (name, quantity) in consumed {
            if let Some(taken) = own.get_mut(name) {
                taken.sub(quantity);
            }
        }
        if own.values().all(sim_core::quantity::Quantity::is_zero) {
            self.capacity.remove(id);
        }
    }

    fn of_pool(&self, driver: &SmolStr, pool: &SmolStr) -> Option<&FxHashSet<SmolStr>> {
        if self.devices.is_empty() { None } else { self.devices.get(&(driver.clone(), pool.clone())) }
    }
}

/// Allocates for the claims of one pod: made once, asked for every node.
#[derive(Clone, Debug)]
pub struct Allocator {
    features: Features,
    allocated: Arc<AllocatedState>,
    inventory: Arc<Inventory>,
    wishes: Arc<Wishes>,
    fixes: Fixes,
    prune: bool,
}

/// What came out, and how much was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocation {
    /// One result per claim, or `None` if the node cannot have them all.
    pub results: Option<Vec<AllocationResult>>,
    /// Steps of the search; without pruning, upstream's `NumAllocateOneInvocations`.
    pub steps: u64,
}

impl Allocator {
    /// `claims` are those that are not allocated yet, in the order of the pod. Selectors are compiled here, or were before.
    pub fn new(
        features: Features,
        allocated: Arc<AllocatedState>,
        inventory: Arc<Inventory>,
        classes: &Classes,
        selectors: &mut Selectors,
        claims: &[Arc<ResourceClaim>],
    ) -> Allocator {
        let wishes = Arc::new(Wishes::new(claims, classes, selectors));
        Allocator { features, allocated, inventory, wishes, fixes: Fixes::default(), prune: true }
    }

    /// The same claims, with other devices.
    #[must_use]
    pub fn among(&self, allocated: Arc<AllocatedState>, inventory: Arc<Inventory>) -> Allocator {
        Allocator { allocated, inventory, ..self.clone() }
    }

    /// The same without some bugs of Kubernetes 1.34.
    #[must_use]
    pub fn fixed(self, fixes: Fixes) -> Allocator {
        Allocator { fixes, ..self }
    }

    /// The same without skipping what is known to fail: the oracle of the search, exponential as upstream's.
    pub fn plain(self) -> Allocator {
        Allocator { prune: false, ..self }
    }

    /// Finds devices on a node. Shares of devices get the names `share-0`, `share-1`, …, to be replaced by unique ones.
    ///
    /// # Errors
    /// What upstream aborts the scheduling of the pod for, with its texts.
    pub fn allocate(&self, node: Node<'_>) -> Result<Option<Vec<AllocationResult>>, Error> {
        self.allocate_counted(node).map(|allocation| allocation.results)
    }

    /// As [`Allocator::allocate`], with the steps of the search.
    ///
    /// # Errors
    /// As [`Allocator::allocate`].
    pub fn allocate_counted(&self, node: Node<'_>) -> Result<Allocation, Error> {
        let pools = pools::gather(&self.inventory, node, self.features, self.fixes).map_err(Error::new)?;
        let mut search = search::Search::new(self, node, &pools);
        validate::validate(&mut search)?;
        let found = search.run(self.prune)?;
        let steps = search.steps();
        let results = if found { Some(outcome::results(&search)?) } else { None };
        Ok(Allocation { results, steps })
    }
}
