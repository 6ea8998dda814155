//! Pools of devices, and the `NoExecute` taints of those that have any: of slices, and of rules on top.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;
use serde::Deserialize;
use sim_core::api::kind::Kind;
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind};
use sim_dra::allocator::Classes;
use sim_dra::api::{DeviceClass, DeviceTaint, DeviceTaintRule, ResourceSlice};
use sim_dra::selector::Selectors;
use sim_dra::taints::{NO_EXECUTE, Rules};
use smol_str::SmolStr;

/// A pool, by driver and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PoolId {
    pub(super) driver: SmolStr,
    pub(super) pool: SmolStr,
}

type Taints = BTreeMap<SmolStr, Vec<DeviceTaint>>;

#[derive(Clone, Debug, Default)]
struct Pool {
    /// By name, with the taints of rules.
    slices: BTreeMap<SmolStr, Arc<ResourceSlice>>,
    /// Of devices that have any, in slices of the newest generation.
    taints: Taints,
}

impl Pool {
    fn find_taints(&self) -> Taints {
        let newest = self.slices.values().map(|slice| slice.spec.pool.generation).max();
        let current = self.slices.values().filter(|slice| Some(slice.spec.pool.generation) == newest);
        let mut found = Taints::new();
        for device in current.flat_map(|slice| &slice.spec.devices) {
            let evicting = || device.taints.iter().filter(|taint| taint.effect == NO_EXECUTE);
            if evicting().next().is_some() {
                found.entry(device.name.clone()).or_insert_with(|| evicting().cloned().collect());
            }
        }
        found
    }
}

/// All pools, and what taints their devices.
#[derive(Clone, Debug, Default)]
pub(super) struct Pools {
    pools: FxHashMap<PoolId, Pool>,
    /// Slices as published, by name.
    slices: BTreeMap<SmolStr, Arc<ResourceSlice>>,
    rules: BTreeMap<SmolStr, (Arc<Object>, Arc<DeviceTaintRule>)>,
    classes: Classes,
    compiled: Rules,
    /// Compiled expressions, which depend on nothing: clones share them.
    selectors: Arc<Mutex<Option<Selectors>>>,
    failures: Vec<(Arc<Object>, String)>,
}

impl Pools {
    /// The `NoExecute` taints of a device.
    pub(super) fn taints(&self, pool: &PoolId, device: &str) -> &[DeviceTaint] {
        self.pools.get(pool).and_then(|pool| pool.taints.get(device)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn take_failures(&mut self) -> Vec<(Arc<Object>, String)> {
        std::mem::take(&mut self.failures)
    }

    /// Takes in a slice, a rule or a class. Returns the pools that have other taints now, in order.
    pub(super) fn changed(&mut self, change: &Change) -> BTreeSet<PoolId> {
        let object = &change.new;
        let name = object.meta.key.name.clone();
        let is_gone = change.kind == ChangeKind::Deleted;
        match object.kind {
            Kind::RESOURCE_SLICE => return self.slice_changed(&name, decode(object).filter(|_| !is_gone)),
            Kind::DEVICE_TAINT_RULE => {
                self.rules.remove(&name);
                if let Some(mut rule) = decode::<DeviceTaintRule>(object).filter(|_| !is_gone) {
                    Arc::make_mut(&mut rule).metadata.name = name.clone();
                    self.rules.insert(name, (object.clone(), rule));
                }
            }
            _ => {
                self.classes.remove(&name);
                if let Some(class) = decode::<DeviceClass>(object).filter(|_| !is_gone) {
                    self.classes.insert(name, class);
                }
                if self.rules.is_empty() {
                    return BTreeSet::new();
                }
            }
        }
        self.compile();
        let names: Vec<SmolStr> = self.slices.keys().cloned().collect();
        names.iter().flat_map(|name| self.show(name)).collect()
    }

    fn compile(&mut self) {
        // A poisoned lock only means that somebody else panicked while compiling.
        let mut selectors = self.selectors.lock().unwrap_or_else(PoisonError::into_inner);
        let selectors = selectors.get_or_insert_with(Selectors::stored);
        self.compiled =
            Rules::new(self.rules.values().map(|(_, rule)| rule.clone()), &self.classes, selectors);
    }

    fn slice_changed(&mut self, name: &SmolStr, slice: Option<Arc<ResourceSlice>>) -> BTreeSet<PoolId> {
        let mut touched = BTreeSet::new();
        if let Some(old) = self.slices.remove(name) {
            let moved = slice.as_ref().is_none_or(|new| pool_of(new) != pool_of(&old));
            if moved {
                touched.extend(self.replace(&pool_of(&old), name, None));
            }
        }
        if let Some(slice) = slice {
            self.slices.insert(name.clone(), slice);
            touched.extend(self.show(name));
        }
        touched
    }

    /// Shows a slice through the rules (`syncSlice`). One that cannot be shown stays as it was.
    fn show(&mut self, name: &SmolStr) -> Option<PoolId> {
        let slice = self.slices.get(name)?;
        let pool = pool_of(slice);
        let applied = self.compiled.apply(slice);
        let rules = &self.rules;
        let failed = applied.failures.into_iter().filter_map(|failure| {
            rules.get(&failure.rule).map(|(rule, _)| (rule.clone(), failure.message.to_string()))
        });
        self.failures.extend(failed);
        self.replace(&pool, name, Some(applied.outcome.ok()?))
    }

    fn replace(&mut self, id: &PoolId, name: &SmolStr, slice: Option<Arc<ResourceSlice>>) -> Option<PoolId> {
        let pool = self.pools.entry(id.clone()).or_default();
        match slice {
            Some(slice) => drop(pool.slices.insert(name.clone(), slice)),
            None => drop(pool.slices.remove(name)),
        }
        let now = pool.find_taints();
        let before = std::mem::replace(&mut pool.taints, now);
        let differs = before != pool.taints;
        if pool.slices.is_empty() {
            self.pools.remove(id);
        }
        differs.then(|| id.clone())
    }
}

fn pool_of(slice: &ResourceSlice) -> PoolId {
    PoolId { driver: slice.spec.driver.clone(), pool: slice.spec.pool.name.clone() }
}

/// The object as a whole, or nothing if it is not what it should be.
fn decode<'a, T: Deserialize<'a>>(object: &'a Object) -> Option<Arc<T>> {
    T::deserialize(object.as_json()?).ok().map(Arc::new)
}
