//! ResourceSlices and DeviceClasses as the allocator wants them: made once, and kept until an object changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::object::Object;
use sim_dra::allocator::{Allocator, Classes};
use sim_dra::api::{DeviceClass, Metadata, ResourceClaim, ResourceSlice};
use sim_dra::inventory::{Inventory, Slice};
use sim_dra::selector::Selectors;

use super::Objects;

/// What is derived of objects, with the generations of the kinds that it was derived at.
#[derive(Clone, Debug, Default)]
struct Derived {
    slices_at: u64,
    slices: BTreeMap<Key, (Arc<Object>, Arc<Slice>)>,
    inventory: Arc<Inventory>,
    classes_at: u64,
    classes: Arc<Classes>,
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
    /// An allocator for claims, from what the objects are now.
    pub(super) fn allocator(&self, objects: &Objects, claims: &[Arc<ResourceClaim>]) -> Allocator {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        derived.refresh(objects);
        let mut selectors = self.selectors.lock().unwrap_or_else(PoisonError::into_inner);
        let selectors = selectors.get_or_insert_with(Selectors::stored);
        let allocated = objects.allocated_devices().clone();
        Allocator::new(
            objects.features().into(),
            allocated,
            derived.inventory.clone(),
            &derived.classes,
            selectors,
            claims,
        )
    }
}

impl Derived {
    fn refresh(&mut self, objects: &Objects) {
        let generation = objects.generation(Kind::RESOURCE_SLICE);
        if self.slices_at != generation {
            let mut known = std::mem::take(&mut self.slices);
            for object in objects.list(Kind::RESOURCE_SLICE) {
                let key = object.key();
                let slice = match known.remove(key).filter(|(of, _)| Arc::ptr_eq(of, object)) {
                    Some((_, slice)) => slice,
                    // What cannot be read could not have been stored upstream.
                    None => match decode::<ResourceSlice>(object) {
                        Some(body) => Arc::new(Slice::new(Arc::new(body))),
                        None => continue,
                    },
                };
                self.slices.insert(key.clone(), (object.clone(), slice));
            }
            let slices = self.slices.values().map(|(_, slice)| slice.clone()).collect();
            self.inventory = Arc::new(Inventory::new(slices));
            self.slices_at = generation;
        }
        let generation = objects.generation(Kind::DEVICE_CLASS);
        if self.classes_at != generation {
            let of = |object: &Arc<Object>| {
                let mut class = decode::<DeviceClass>(object)?;
                class.metadata = metadata(object);
                Some((object.key().name.clone(), Arc::new(class)))
            };
            self.classes = Arc::new(objects.list(Kind::DEVICE_CLASS).filter_map(of).collect());
            self.classes_at = generation;
        }
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
