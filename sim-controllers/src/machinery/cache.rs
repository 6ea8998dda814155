//! The controllers' caches ("listers"), built only from what the watches deliver.
//!
//! Lists are ordered by namespace and name. Pods are not held by name but under their owner, because that is how every
//! controller asks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, OwnerReference, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind};
use sim_dra::pod as claims;

/// What the cache keeps under one owner: dependents by kind and key.
pub type Dependents = BTreeMap<(Kind, Key), Arc<Object>>;

/// All caches.
#[derive(Clone, Debug, Default)]
pub struct Caches {
    /// Everything but pods, by kind and key.
    objects: BTreeMap<Kind, BTreeMap<Key, Arc<Object>>>,
    /// Every object that has owners, under each of them.
    by_owner: FxHashMap<Uid, Dependents>,
    /// Objects without a controller, by namespace: candidates for adoption.
    orphans: FxHashMap<SmolStr, Dependents>,
    /// Uids that exist, each with that of the first owner, or an unset one.
    uids: FxHashMap<Uid, Uid>,
    /// Pods with ResourceClaims in their spec.
    claimants: FxHashMap<Key, Arc<Object>>,
    /// Those pods, by each claim whose name they know (`podResourceClaimIndex`).
    claim_users: FxHashMap<Key, BTreeSet<Key>>,
}

impl Caches {
    /// Takes in one watch event.
    pub fn apply(&mut self, change: &Change) {
        if let Some(old) = &change.old {
            self.unlink(old);
        }
        match change.kind {
            ChangeKind::Deleted => self.remove(&change.new),
            ChangeKind::Added | ChangeKind::Modified => self.insert(&change.new),
        }
        if !claims::claims_of(&change.new).is_empty() {
            self.note_claims(change.kind, &change.new);
        }
    }

    fn note_claims(&mut self, change: ChangeKind, pod: &Arc<Object>) {
        let key = pod.key();
        if let Some(old) = self.claimants.remove(key) {
            for claim in used_claims(&old) {
                if let Some(users) = self.claim_users.get_mut(&claim) {
                    users.remove(key);
                    if users.is_empty() {
                        self.claim_users.remove(&claim);
                    }
                }
            }
        }
        if change != ChangeKind::Deleted {
            for claim in used_claims(pod) {
                self.claim_users.entry(claim).or_default().insert(key.clone());
            }
            self.claimants.insert(key.clone(), pod.clone());
        }
    }

    fn insert(&mut self, object: &Arc<Object>) {
        let (kind, key) = (object.kind, object.key().clone());
        let first_owner = object.meta.owner_references.first().map_or(Uid::default(), |o| o.uid);
        self.uids.insert(object.meta.uid, first_owner);
        for owner in &object.meta.owner_references {
            self.by_owner.entry(owner.uid).or_default().insert((kind, key.clone()), object.clone());
        }
        if adoptable(kind) && object.meta.controller_of().is_none() {
            let namespace = key.namespace.clone();
            self.orphans.entry(namespace).or_default().insert((kind, key.clone()), object.clone());
        }
        if kind != Kind::POD {
            self.objects.entry(kind).or_default().insert(key, object.clone());
        }
    }

    fn remove(&mut self, object: &Object) {
        self.unlink(object);
        self.uids.remove(&object.meta.uid);
        if object.kind != Kind::POD
            && let Some(all) = self.objects.get_mut(&object.kind)
        {
            all.remove(object.key());
        }
    }

    fn unlink(&mut self, object: &Object) {
        let id = (object.kind, object.key().clone());
        for owner in &object.meta.owner_references {
            if let Some(dependents) = self.by_owner.get_mut(&owner.uid) {
                dependents.remove(&id);
                if dependents.is_empty() {
                    self.by_owner.remove(&owner.uid);
                }
            }
        }
        if let Some(orphans) = self.orphans.get_mut(&id.1.namespace) {
            orphans.remove(&id);
            if orphans.is_empty() {
                self.orphans.remove(&id.1.namespace);
            }
        }
    }

    /// An object by kind and key. Pods are not found here.
    pub fn get(&self, kind: Kind, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(&kind)?.get(key)
    }

    /// All objects of a kind (not pods), in order.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    /// All objects of a kind (not pods) in one namespace, in order.
    pub fn in_namespace<'a>(
        &'a self,
        kind: Kind,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        let from = Key::new(namespace, "");
        self.objects
            .get(&kind)
            .into_iter()
            .flat_map(move |all| all.range(from.clone()..))
            .map(|(_, object)| object)
            .take_while(move |o| o.meta.namespace() == namespace)
    }

    /// The owner that a controller reference means, if the cache has it under that name with that uid.
    pub fn resolve(&self, namespace: &str, owner: &OwnerReference, kind: Kind) -> Option<&Arc<Object>> {
        if kind.builtin_name() != Some(owner.kind.as_str()) {
            return None;
        }
        let found = self.get(kind, &Key::new(namespace, owner.name.clone()))?;
        (found.meta.uid == owner.uid).then_some(found)
    }

    /// Objects of a kind that `owner` controls.
    pub fn controlled(&self, owner: Uid, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.owned(owner, kind).filter(move |o| o.meta.controller_of().is_some_and(|c| c.uid == owner))
    }

    /// Objects of a kind that name `owner` among their owners.
    pub fn owned(&self, owner: Uid, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.dependents(owner).filter(move |o| o.kind == kind)
    }

    /// Everything that names `owner` among its owners.
    pub fn dependents(&self, owner: Uid) -> impl Iterator<Item = &Arc<Object>> {
        self.by_owner.get(&owner).into_iter().flat_map(BTreeMap::values)
    }

    /// Objects of a kind in a namespace that nobody controls.
    pub fn orphans<'a>(&'a self, kind: Kind, namespace: &str) -> impl Iterator<Item = &'a Arc<Object>> {
        self.orphans.get(namespace).into_iter().flat_map(BTreeMap::values).filter(move |o| o.kind == kind)
    }

    /// What `owner` controls and what it could adopt (`controller.FilterPodsByOwner`), in order of names.
    pub fn claimable(&self, owner: &Object, kind: Kind) -> Vec<Arc<Object>> {
        let mut found: Vec<Arc<Object>> = self
            .controlled(owner.meta.uid, kind)
            .filter(|o| o.meta.namespace() == owner.meta.namespace())
            .chain(self.orphans(kind, owner.meta.namespace()))
            .cloned()
            .collect();
        found.sort_by(|a, b| a.key().cmp(b.key()));
        found
    }

    /// A pod that has ResourceClaims in its spec.
    pub fn claimant(&self, key: &Key) -> Option<&Arc<Object>> {
        self.claimants.get(key)
    }

    /// The pods that are known to use a ResourceClaim, in order.
    pub fn users_of(&self, claim: &Key) -> impl Iterator<Item = &Arc<Object>> {
        self.claim_users.get(claim).into_iter().flatten().filter_map(|pod| self.claimants.get(pod))
    }

    /// True if an object of this uid is in the cache.
    pub fn exists(&self, uid: Uid) -> bool {
        self.uids.contains_key(&uid)
    }

    /// The object of that uid.
    pub fn find(&self, kind: Kind, key: &Key, uid: Uid) -> Option<&Arc<Object>> {
        let found = match kind {
            Kind::POD => {
                let owner = self.uids.get(&uid)?;
                let among = self.by_owner.get(owner).or_else(|| self.orphans.get(&key.namespace))?;
                among.get(&(kind, key.clone()))?
            }
            _ => self.get(kind, key)?,
        };
        (found.meta.uid == uid).then_some(found)
    }
}

/// Kinds that some controller adopts.
fn adoptable(kind: Kind) -> bool {
    matches!(kind, Kind::POD | Kind::REPLICA_SET | Kind::CONTROLLER_REVISION)
}

/// The claims of a pod whose names are known.
fn used_claims(pod: &Object) -> impl Iterator<Item = Key> {
    let names =
        claims::claims_of(pod).iter().filter_map(|claim| claims::claim_name(pod, claim).ok().flatten());
    names.map(|(name, _)| Key::new(pod.meta.key.namespace.clone(), name))
}
