//! ResourceSlices, DeviceClasses and DeviceTaintRules as the allocator wants them: made once, and kept until an object changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::object::Object;
use sim_core::features::{FeatureGates, Gate};
use sim_dra::allocator::{Allocator, Classes};
use sim_dra::api::{DeviceClass, DeviceTaintRule, Metadata, ResourceClaim, ResourceSlice};
use sim_dra::inventory::{Inventory, Slice};
use sim_dra::selector::Selectors;
use sim_dra::taints::Rules;

use super::reach::{Reach, only_node};
use super::searches::{Searches, Wish};
use super::{Cache, Objects, Slot};
use crate::mask::Mask;

/// What is derived of objects, with the generations of the kinds that it was derived at.
#[derive(Clone, Debug, Default)]
struct Derived {
    features: FeatureGates,
    /// Of slices, classes and rules.
    at: [u64; 3],
    slices: BTreeMap<Key, Seen>,
    /// Rises when slices change, as they are seen.
    version: u64,
    inventory: Arc<Inventory>,
    classes: Arc<Classes>,
    rules: Rules,
    allocations_at: u64,
    reach: Reach,
    searches: Searches,
}

/// A slice.
#[derive(Clone, Debug)]
struct Seen {
    object: Arc<Object>,
    /// As the driver published it.
    body: Arc<ResourceSlice>,
    /// With the taints of rules; `None` if these could not be told when it came.
    slice: Option<Arc<Slice>>,
}

/// Everything that allocators of different pods share.
// The locks are there because plugins ask while they only read the cluster; nobody waits for them. Selectors depend on
// nothing but their text, so clones share them.
#[derive(Debug, Default)]
pub(super) struct Devices {
    derived: Mutex<Derived>,
    selectors: Arc<Mutex<Option<Selectors>>>,
}

impl Clone for Devices {
    fn clone(&self) -> Devices {
        let derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Devices { derived: Mutex::new(derived), selectors: self.selectors.clone() }
    }
}

impl Devices {
    /// What is derived of the objects as they are now.
    fn derived(&self, cluster: &Cache) -> MutexGuard<'_, Derived> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        derived.refresh(cluster, &self.selectors);
        derived
    }

    /// See [`Cache::devices_version`].
    pub(super) fn version(&self, cluster: &Cache) -> u64 {
        self.derived(cluster).version
    }

    /// An allocator for claims.
    pub(super) fn allocator(&self, cluster: &Cache, claims: &[Arc<ResourceClaim>]) -> Allocator {
        self.prepare(&self.derived(cluster), cluster, claims)
    }

    fn prepare(&self, derived: &Derived, cluster: &Cache, claims: &[Arc<ResourceClaim>]) -> Allocator {
        let mut selectors = self.selectors.lock().unwrap_or_else(PoisonError::into_inner);
        let selectors = selectors.get_or_insert_with(Selectors::stored);
        let allocated = cluster.objects.allocated_devices().clone();
        let features = cluster.objects.features().into();
        Allocator::new(features, allocated, derived.inventory.clone(), &derived.classes, selectors, claims)
    }

    /// See [`Cache::filter_by_devices`].
    pub(super) fn filter(&self, cluster: &Cache, wish: &Wish, mask: &mut Mask) -> bool {
        let derived = &mut *self.derived(cluster);
        let mut searches = std::mem::take(&mut derived.searches);
        let prepared = searches.of(wish, || self.prepare(derived, cluster, wish.claims()));
        let (allocated, inventory) = (cluster.objects.allocated_devices().clone(), derived.inventory.clone());
        let sure = prepared.filter(allocated, inventory, cluster, &derived.reach, mask);
        derived.searches = searches;
        sure
    }

    /// A node came to be, or changed its labels.
    pub(super) fn node_changed(&mut self, slot: Slot) {
        self.derived.get_mut().unwrap_or_else(PoisonError::into_inner).reach.changed(slot);
    }
}

impl Derived {
    fn refresh(&mut self, cluster: &Cache, selectors: &Mutex<Option<Selectors>>) {
        let objects = &cluster.objects;
        if self.features != objects.features() {
            self.features = objects.features();
            self.searches.clear();
        }
        let tainted = self.features.on(Gate::DRADeviceTaints);
        let at = [Kind::RESOURCE_SLICE, Kind::DEVICE_CLASS, Kind::DEVICE_TAINT_RULE];
        let at =
            at.map(
                |kind| if kind == Kind::DEVICE_TAINT_RULE && !tainted { 0 } else { objects.generation(kind) },
            );
        if self.at != at {
            let old = std::mem::replace(&mut self.at, at);
            if old[1] != at[1] {
                self.read_classes(objects);
            }
            let other_rules = old[2] != at[2] || tainted && old[1] != at[1];
            if other_rules {
                self.read_rules(tainted, objects, selectors);
            }
            if other_rules || old[0] != at[0] {
                self.read_slices(cluster, other_rules);
            }
        }
        let (touched, mark) = objects.pools_touched_since(self.allocations_at);
        self.allocations_at = mark;
        match touched {
            Some(pools) => pools.iter().for_each(|pool| self.reach.pool_changed(pool, &cluster.by_name)),
            None => self.reach.all_changed(),
        }
    }

    /// The slices with the taints that rules add (`resourceslice/tracker`).
    // DIFFERS: upstream warns about selectors of rules that fail in an Event of the rule; here they are about nothing in silence.
    fn read_slices(&mut self, cluster: &Cache, other_rules: bool) {
        let mut known = std::mem::take(&mut self.slices);
        let mut changed = Vec::new();
        for object in cluster.objects.list(Kind::RESOURCE_SLICE) {
            let old = known.remove(object.key());
            let body = match old {
                Some(old) if Arc::ptr_eq(&old.object, object) && !other_rules => {
                    self.slices.insert(object.key().clone(), old);
                    continue;
                }
                Some(ref old) if Arc::ptr_eq(&old.object, object) => old.body.clone(),
                // What cannot be read could not have been stored upstream.
                _ => match decode::<ResourceSlice>(object) {
                    Some(body) => Arc::new(ResourceSlice { metadata: metadata(object), ..body }),
                    None => continue,
                },
            };
            let seen = self.rules.apply(&body).outcome;
            let mut slice = old.and_then(|old| old.slice);
            if let Ok(seen) = seen
                && slice.as_ref().is_none_or(|slice| *slice.body() != *seen)
            {
                changed.extend(slice.take());
                let new = Arc::new(Slice::new(seen));
                changed.push(new.clone());
                slice = Some(new);
            }
            self.slices.insert(object.key().clone(), Seen { object: object.clone(), body, slice });
        }
        changed.extend(known.into_values().filter_map(|seen| seen.slice));
        if changed.is_empty() {
            return;
        }
        self.version += 1;
        for slice in changed {
            match only_node(&slice) {
                None => self.reach.all_changed(),
                Some(name) => {
                    if let Some(slot) = cluster.by_name.get(name) {
                        self.reach.changed(*slot);
                    }
                }
            }
        }
        let slices: Vec<_> = self.slices.values().filter_map(|seen| seen.slice.clone()).collect();
        self.reach.set_slices(slices.iter().map(|slice| &**slice));
        self.inventory = Arc::new(Inventory::new(slices));
    }

    fn read_rules(&mut self, tainted: bool, objects: &Objects, selectors: &Mutex<Option<Selectors>>) {
        if !tainted {
            self.rules = Rules::default();
            return;
        }
        let mut selectors = selectors.lock().unwrap_or_else(PoisonError::into_inner);
        let rules = objects.list(Kind::DEVICE_TAINT_RULE).filter_map(|object| {
            let rule = decode::<DeviceTaintRule>(object)?;
            Some(Arc::new(DeviceTaintRule { metadata: metadata(object), ..rule }))
        });
        self.rules = Rules::new(rules, &self.classes, selectors.get_or_insert_with(Selectors::stored));
    }

    fn read_classes(&mut self, objects: &Objects) {
        let of = |object: &Arc<Object>| {
            let class = decode::<DeviceClass>(object)?;
            Some((object.key().name.clone(), Arc::new(DeviceClass { metadata: metadata(object), ..class })))
        };
        self.classes = Arc::new(objects.list(Kind::DEVICE_CLASS).filter_map(of).collect());
        // Allocators look classes up when they are made.
        self.searches.clear();
    }
}

/// An object of the API group of devices from its body.
fn decode<'a, T: Deserialize<'a>>(object: &'a Object) -> Option<T> {
    T::deserialize(object.as_json()?).ok()
}

/// The metadata that allocators read.
pub(crate) fn metadata(object: &Object) -> Metadata {
    let Key { namespace, name } = object.key().clone();
    Metadata { name, namespace }
}
