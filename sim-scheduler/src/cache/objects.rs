//! Objects beside nodes and pods that plugins look up: what listers and assume caches are upstream
//! (`pkg/scheduler/util/assumecache`).

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::features::{FeatureGates, Gate};
use sim_core::time::Epoch;
use sim_dra::allocator::AllocatedState;

use super::allocations::{Allocations, PoolId};

#[derive(Clone, Debug)]
struct Entry {
    /// As last seen.
    seen: Arc<Object>,
    /// As assumed, until it is seen in this or a later version, or restored.
    assumed: Option<Arc<Object>>,
}

#[derive(Clone, Debug, Default)]
struct Table {
    entries: BTreeMap<Key, Entry>,
    generation: u64,
}

/// Objects by kind, namespace and name.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    tables: BTreeMap<Kind, Table>,
    allocations: Allocations,
    features: FeatureGates,
    epoch: Epoch,
}

impl Objects {
    /// Feature gates of the cluster.
    pub fn features(&self) -> FeatureGates {
        self.features
    }

    /// Date of instant zero, for dates in bodies.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Instant zero is this date.
    pub fn set_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// Feature gates are these from now on. Costs a look at all ResourceClaims.
    pub fn set_features(&mut self, features: FeatureGates) {
        self.features = features;
        let mut allocations = std::mem::take(&mut self.allocations);
        let claims = self.list(Kind::RESOURCE_CLAIM).map(|claim| &**claim);
        allocations.recount(features.on(Gate::DRAConsumableCapacity), claims);
        self.allocations = allocations;
    }

    /// An object as it is assumed to be, or else as last seen.
    pub fn get(&self, kind: Kind, key: &Key) -> Option<&Arc<Object>> {
        let entry = self.tables.get(&kind)?.entries.get(key)?;
        Some(entry.assumed.as_ref().unwrap_or(&entry.seen))
    }

    /// An object as last seen, whatever is assumed.
    pub fn seen(&self, kind: Kind, key: &Key) -> Option<&Arc<Object>> {
        Some(&self.tables.get(&kind)?.entries.get(key)?.seen)
    }

    /// All objects of a kind as assumed or seen, by namespace and name.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        let entries = self.tables.get(&kind).into_iter().flat_map(|table| table.entries.values());
        entries.map(|entry| entry.assumed.as_ref().unwrap_or(&entry.seen))
    }

    /// Those of a namespace, by name.
    pub fn in_namespace<'a>(
        &'a self,
        kind: Kind,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        let table = self.tables.get(&kind);
        let entries = table.into_iter().flat_map(move |table| table.entries.range(Key::new(namespace, "")..));
        let entries = entries.take_while(move |(key, _)| key.namespace == namespace);
        entries.map(|(_, entry)| entry.assumed.as_ref().unwrap_or(&entry.seen))
    }

    /// Rises with every change of an object of that kind, seen or assumed.
    pub fn generation(&self, kind: Kind) -> u64 {
        self.tables.get(&kind).map_or(0, |table| table.generation)
    }

    /// Devices that ResourceClaims have, or will have once that is written.
    pub fn allocated_devices(&self) -> &Arc<AllocatedState> {
        self.allocations.state()
    }

    /// Pools of devices of which ResourceClaims took something or gave something back since a mark, and the new mark.
    /// `None` if the mark is too old.
    pub(super) fn pools_touched_since(&self, mark: u64) -> (Option<&[PoolId]>, u64) {
        self.allocations.touched_since(mark)
    }

    /// True while the allocation of a ResourceClaim is being written (`ClaimHasPendingAllocation`).
    pub fn is_pending(&self, claim: Uid) -> bool {
        self.allocations.is_pending(claim)
    }

    /// The allocation of a ResourceClaim is being written, so that the claim will be this; or that is over.
    pub fn set_pending(&mut self, key: &Key, claim: Uid, pending: Option<Arc<Object>>) {
        let known = self.get(Kind::RESOURCE_CLAIM, key).cloned();
        self.allocations.set_pending(claim, pending, known.as_deref());
    }

    /// A claim as it is before a change, to be held against what it is then.
    fn claim_before(&self, kind: Kind, key: &Key) -> Option<Arc<Object>> {
        if kind == Kind::RESOURCE_CLAIM { self.get(kind, key).cloned() } else { None }
    }

    fn claim_changed(&mut self, kind: Kind, key: &Key, before: Option<Arc<Object>>) {
        if kind == Kind::RESOURCE_CLAIM {
            let now = self.get(kind, key).cloned();
            self.allocations.changed(before.as_deref(), now.as_deref());
        }
    }

    /// An object was seen. As in upstream's assume cache, a version that is not newer than an assumed one is ignored.
    pub fn set(&mut self, object: Arc<Object>) {
        let (kind, key) = (object.kind, object.meta.key.clone());
        let before = self.claim_before(kind, &key);
        let table = self.tables.entry(kind).or_default();
        let version = object.meta.resource_version;
        let assumed = table.entries.get(&key).and_then(|entry| entry.assumed.as_ref());
        if assumed.is_some_and(|assumed| version <= assumed.meta.resource_version) {
            return;
        }
        table.generation += 1;
        table.entries.insert(key.clone(), Entry { seen: object, assumed: None });
        self.claim_changed(kind, &key, before);
    }

    /// An object is gone.
    pub fn remove(&mut self, kind: Kind, key: &Key) {
        let before = self.claim_before(kind, key);
        if let Some(table) = self.tables.get_mut(&kind) {
            table.generation += 1;
            table.entries.remove(key);
        }
        self.claim_changed(kind, key, before);
    }

    /// Goes on as if the object were this one. False if it is not known.
    pub fn assume(&mut self, object: Arc<Object>) -> bool {
        let (kind, key) = (object.kind, object.meta.key.clone());
        let before = self.claim_before(kind, &key);
        let Some(table) = self.tables.get_mut(&kind) else { return false };
        let Some(entry) = table.entries.get_mut(&key) else { return false };
        table.generation += 1;
        entry.assumed = Some(object);
        self.claim_changed(kind, &key, before);
        true
    }

    /// Forgets what was assumed of an object.
    pub fn restore(&mut self, kind: Kind, key: &Key) {
        let before = self.claim_before(kind, key);
        let Some(table) = self.tables.get_mut(&kind) else { return };
        if let Some(entry) = table.entries.get_mut(key)
            && entry.assumed.take().is_some()
        {
            table.generation += 1;
            self.claim_changed(kind, key, before);
        }
    }
}
