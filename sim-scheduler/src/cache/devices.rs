//! ResourceSlices and DeviceClasses as the allocator wants them: made once, and kept until an object changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::object::Object;
use sim_core::features::FeatureGates;
use sim_dra::allocator::{Allocator, Classes};
use sim_dra::api::{DeviceClass, Metadata, ResourceClaim, ResourceSlice};
use sim_dra::inventory::{Inventory, Slice};
use sim_dra::selector::Selectors;

use super::reach::{Reach, only_node};
use super::searches::{Searches, Wish};
use super::{Cache, Objects, Slot};
use crate::mask::Mask;

/// What is derived of objects, with the generations of the kinds that it was derived at.
#[derive(Clone, Debug, Default)]
struct Derived {
    features: FeatureGates,
    slices_at: u64,
    slices: BTreeMap<Key, (Arc<Object>, Arc<Slice>)>,
    inventory: Arc<Inventory>,
    classes_at: u64,
    classes: Arc<Classes>,
    allocations_at: u64,
    reach: Reach,
    searches: Searches,
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
        derived.refresh(cluster);
        derived
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
    fn refresh(&mut self, cluster: &Cache) {
        let objects = &cluster.objects;
        if self.features != objects.features() {
            self.features = objects.features();
            self.searches.clear();
        }
        if self.slices_at != objects.generation(Kind::RESOURCE_SLICE) {
            self.read_slices(cluster);
        }
        if self.classes_at != objects.generation(Kind::DEVICE_CLASS) {
            self.read_classes(objects);
        }
        let (touched, mark) = objects.pools_touched_since(self.allocations_at);
        self.allocations_at = mark;
        match touched {
            Some(pools) => pools.iter().for_each(|pool| self.reach.pool_changed(pool, &cluster.by_name)),
            None => self.reach.all_changed(),
        }
    }

    fn read_slices(&mut self, cluster: &Cache) {
        self.slices_at = cluster.objects.generation(Kind::RESOURCE_SLICE);
        let mut known = std::mem::take(&mut self.slices);
        let mut changed = Vec::new();
        for object in cluster.objects.list(Kind::RESOURCE_SLICE) {
            let key = object.key();
            let old = known.remove(key);
            let slice = match old {
                Some((of, slice)) if Arc::ptr_eq(&of, object) => slice,
                // What cannot be read could not have been stored upstream.
                old => {
                    changed.extend(old.map(|(_, slice)| slice));
                    let Some(mut body) = decode::<ResourceSlice>(object) else { continue };
                    body.metadata = metadata(object);
                    let slice = Arc::new(Slice::new(Arc::new(body)));
                    changed.push(slice.clone());
                    slice
                }
            };
            self.slices.insert(key.clone(), (object.clone(), slice));
        }
        changed.extend(known.into_values().map(|(_, slice)| slice));
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
        self.reach.set_slices(self.slices.values().map(|(_, slice)| &**slice));
        let slices = self.slices.values().map(|(_, slice)| slice.clone()).collect();
        self.inventory = Arc::new(Inventory::new(slices));
    }

    fn read_classes(&mut self, objects: &Objects) {
        self.classes_at = objects.generation(Kind::DEVICE_CLASS);
        let of = |object: &Arc<Object>| {
            let mut class = decode::<DeviceClass>(object)?;
            class.metadata = metadata(object);
            Some((object.key().name.clone(), Arc::new(class)))
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
