//! The garbage collector (`pkg/controller/garbagecollector`): deletes what nobody owns any more.
//!
//! Upstream keeps a graph of all objects beside its caches; here the caches are indexed by owner and serve as the graph.

use std::sync::Arc;

use smol_str::SmolStr;

use sim_core::api::kind::{Kind, Kinds};
use sim_core::api::meta::{Key, OwnerReference, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind, DeleteOptions, MetaPatch, Propagation, Request};
use sim_core::engine::component::ObjectRef;
use sim_core::time::Time;

use crate::machinery::cache::Caches;
use crate::machinery::fx::{Answer, Effect, Fx, Outcome, Own, Stop, live_get};
use crate::machinery::host::Controller;
use crate::machinery::recent::RecentUids;
use crate::machinery::refs::patch_of;
use crate::manager::Timer;

/// Finalizer of an object whose dependents go first.
pub const FOREGROUND_DELETION: &str = "foregroundDeletion";
/// Finalizer of an object whose dependents stay.
pub const ORPHAN: &str = "orphan";

/// State of the collector beside the caches.
#[derive(Clone, Debug, Default)]
pub struct GarbageCollector {
    kinds: Kinds,
    /// Owners that are remembered to be absent (`absentOwnerCache`).
    absent: RecentUids,
}

/// What is known of an owner without asking.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    /// It exists.
    Solid,
    /// It exists, and waits for its dependents to go.
    WaitingForDependents,
    /// It does not exist.
    Absent,
    /// Nobody has seen it: ask for it by this kind and key.
    Unknown(Kind, Key),
    /// A reference that cannot be followed keeps the object.
    NotFollowed,
}

/// What a sync reads.
#[derive(Clone, Debug)]
pub struct Input {
    object: Arc<Object>,
    owners: Vec<(OwnerReference, Owner)>,
    dependents: Vec<Arc<Object>>,
}

fn has_finalizer(object: &Object, finalizer: &str) -> bool {
    object.meta.finalizers.iter().any(|f| f == finalizer)
}

fn deletes_dependents(object: &Object) -> bool {
    object.meta.is_deleting() && has_finalizer(object, FOREGROUND_DELETION)
}

fn orphans_dependents(object: &Object) -> bool {
    object.meta.is_deleting() && has_finalizer(object, ORPHAN)
}

fn reference(object: &Object) -> ObjectRef {
    ObjectRef { kind: object.kind, key: object.key().clone(), uid: object.meta.uid }
}

impl GarbageCollector {
    /// A watched object changed.
    pub fn changed(&mut self, caches: &Caches, change: &Change, enqueue: &mut dyn FnMut(ObjectRef)) {
        let object = &change.new;
        if change.kind == ChangeKind::Deleted {
            return self.deleted(caches, object, enqueue);
        }
        let old = change.old.as_deref();
        let owners_changed = old.is_none_or(|o| o.meta.owner_references != object.meta.owner_references);
        let missing = |o: &OwnerReference| !caches.exists(o.uid);
        let unowned = owners_changed && object.meta.owner_references.iter().any(missing);
        let starts = |test: fn(&Object) -> bool| test(object) && !old.is_some_and(test);
        if unowned || starts(deletes_dependents) || starts(orphans_dependents) {
            enqueue(reference(object));
        }
    }

    fn deleted(&mut self, caches: &Caches, object: &Object, enqueue: &mut dyn FnMut(ObjectRef)) {
        let mut dependents = caches.dependents(object.meta.uid).peekable();
        if dependents.peek().is_some() {
            self.absent.insert(object.meta.uid);
        }
        for dependent in dependents {
            enqueue(reference(dependent));
        }
        for owner in &object.meta.owner_references {
            if let Owner::WaitingForDependents = self.state(caches, object, owner)
                && let Some((kind, key)) = self.place(object, owner)
            {
                enqueue(ObjectRef { kind, key, uid: owner.uid });
            }
        }
    }

    /// Kind and key that a reference means, as seen from its dependent.
    fn place(&self, object: &Object, owner: &OwnerReference) -> Option<(Kind, Key)> {
        let kind = self.kinds.resolve(&owner.api_version, &owner.kind)?;
        let namespaced = self.kinds.info(kind).namespaced;
        if namespaced && object.meta.namespace().is_empty() {
            return None;
        }
        let namespace = if namespaced { object.meta.key.namespace.clone() } else { SmolStr::default() };
        Some((kind, Key::new(namespace, owner.name.clone())))
    }

    fn state(&self, caches: &Caches, object: &Object, owner: &OwnerReference) -> Owner {
        let Some((kind, key)) = self.place(object, owner) else { return Owner::NotFollowed };
        if self.absent.contains(owner.uid) {
            return Owner::Absent;
        }
        if !caches.exists(owner.uid) {
            return Owner::Unknown(kind, key);
        }
        match caches.get(kind, &key) {
            Some(found) if found.meta.uid == owner.uid && deletes_dependents(found) => {
                Owner::WaitingForDependents
            }
            _ => Owner::Solid,
        }
    }
}

impl Controller for GarbageCollector {
    type Key = ObjectRef;
    type Input = Input;

    fn gather(&mut self, caches: &Caches, key: &ObjectRef, _now: Time) -> Option<Input> {
        let object = caches.find(key.kind, &key.key, key.uid)?;
        let owners = object.meta.owner_references.iter();
        let owners = owners.map(|o| (o.clone(), self.state(caches, object, o))).collect();
        let dependents = caches.dependents(key.uid).cloned().collect();
        Some(Input { object: object.clone(), owners, dependents })
    }

    fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
        if orphans_dependents(&input.object) {
            return orphan(input, fx);
        }
        if deletes_dependents(&input.object) {
            return delete_dependents(input, fx);
        }
        if input.object.meta.is_deleting() {
            return Ok(());
        }
        attempt_to_delete(input, fx)
    }

    fn apply(&mut self, _key: &ObjectRef, effect: Effect, _now: Time) -> Option<ObjectRef> {
        match effect {
            Effect::Own(Own::Collect(other)) => Some(other),
            _ => None,
        }
    }

    fn timer(key: ObjectRef) -> Timer {
        Timer::Collect(key)
    }
}

/// Deletes an object that no solid owner holds (`attemptToDeleteItem`).
// DIFFERS: the object itself is read from the cache, not live: the uid precondition of the deletion guards the rest.
fn attempt_to_delete(input: &Input, fx: &mut Fx<'_>) -> Outcome {
    if input.owners.is_empty() {
        return Ok(());
    }
    let (mut solid, mut waiting, mut gone) = (0, false, Vec::new());
    for (owner, state) in &input.owners {
        match settle(owner, state, fx)? {
            Owner::Absent => gone.push(owner.uid),
            Owner::WaitingForDependents => {
                waiting = true;
                gone.push(owner.uid);
            }
            _ => solid += 1,
        }
    }
    if solid > 0 {
        return match gone.is_empty() {
            true => Ok(()),
            false => settled(fx.call(|| without_owners(&input.object, &gone))?),
        };
    }
    let propagation = match () {
        () if waiting && !input.dependents.is_empty() => Propagation::Foreground,
        () if has_finalizer(&input.object, ORPHAN) => Propagation::Orphan,
        () if has_finalizer(&input.object, FOREGROUND_DELETION) => Propagation::Foreground,
        () => Propagation::Background,
    };
    settled(fx.call(|| delete(&input.object, propagation))?)
}

/// Asks for an owner that nobody has seen.
fn settle(owner: &OwnerReference, state: &Owner, fx: &mut Fx<'_>) -> Result<Owner, Stop> {
    let Owner::Unknown(kind, key) = state else { return Ok(state.clone()) };
    match fx.call(|| live_get(*kind, key.clone()))? {
        Ok(found) if found.meta.uid != owner.uid => Ok(Owner::Absent),
        Ok(found) if deletes_dependents(&found) => Ok(Owner::WaitingForDependents),
        Ok(_) => Ok(Owner::Solid),
        Err(error) if error.is_not_found() => Ok(Owner::Absent),
        Err(error) => Err(error.into()),
    }
}

/// Foreground: dependents that block go first, then the finalizer (`processDeletingDependentsItem`).
fn delete_dependents(input: &Input, fx: &mut Fx<'_>) -> Outcome {
    let owner = input.object.meta.uid;
    let blocks =
        |d: &Object| d.meta.owner_references.iter().any(|o| o.uid == owner && o.block_owner_deletion);
    let blocking: Vec<&Arc<Object>> = input.dependents.iter().filter(|d| blocks(d)).collect();
    if blocking.is_empty() {
        return settled(fx.call(|| without_finalizer(&input.object, FOREGROUND_DELETION))?);
    }
    for dependent in blocking.into_iter().filter(|d| !deletes_dependents(d)) {
        fx.emit(Effect::Own(Own::Collect(reference(dependent))));
    }
    Ok(())
}

/// Orphan: dependents lose the reference, then the finalizer goes (`attemptToOrphan`).
fn orphan(input: &Input, fx: &mut Fx<'_>) -> Outcome {
    let owner = [input.object.meta.uid];
    let answers = fx.batch(|| input.dependents.iter().map(|d| without_owners(d, &owner)).collect())?;
    answers.iter().cloned().try_for_each(settled)?;
    settled(fx.call(|| without_finalizer(&input.object, ORPHAN))?)
}

/// An object that is gone, or is another one by now, needs nothing more.
fn settled(answer: Answer) -> Outcome {
    match answer {
        Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error.into()),
        _ => Ok(()),
    }
}

fn delete(object: &Object, propagation: Propagation) -> Request {
    let options = DeleteOptions { uid: object.meta.uid, propagation, ..DeleteOptions::default() };
    Request::Delete { kind: object.kind, key: object.key().clone(), options }
}

fn without_owners(object: &Object, gone: &[Uid]) -> Request {
    let left = object.meta.owner_references.iter().filter(|o| !gone.contains(&o.uid)).cloned().collect();
    patch_of(object, MetaPatch { owner_references: Some(left), ..MetaPatch::default() })
}

fn without_finalizer(object: &Object, finalizer: &'static str) -> Request {
    let remove_finalizers = vec![SmolStr::new_static(finalizer)];
    patch_of(object, MetaPatch { remove_finalizers, ..MetaPatch::default() })
}
