//! What changes of nodes and pods mean for the cache and the queue (`eventhandlers.go`, `framework/events.go`).

use std::sync::Arc;

use sim_core::api::object::Object;
use sim_core::api::pod_status::PodStatus;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::engine::component::Ctx;
use sim_core::time::Time;

use super::{Scheduler, Timer, uid};
use crate::framework::{Code, Status, Wake};
use crate::pod::PodInfo;

impl Scheduler {
    pub(super) fn node_changed(&mut self, now: Time, change: &Change) {
        let object = &change.new;
        match change.kind {
            ChangeKind::Deleted => {
                self.queue.move_all(context!(self), Wake::NodeDeleted, now, |_| true);
                self.cache.remove_node(&object.meta.key.name);
            }
            _ => {
                self.cache.set_node(object);
                let wakes = match &change.old {
                    None => vec![Wake::NodeAdded],
                    Some(old) => node_wakes(old, object),
                };
                for wake in wakes {
                    self.queue.move_all(context!(self), wake, now, |_| true);
                }
            }
        }
    }

    /// An object that plugins look up.
    pub(super) fn object_changed(&mut self, ctx: &mut Ctx<'_, Timer>, change: &Change) {
        match change.kind {
            ChangeKind::Deleted => self.cache.objects_mut().remove(change.new.kind, &change.new.meta.key),
            _ => self.cache.objects_mut().set(change.new.clone()),
        }
        self.go_on_waiting_bindings(ctx);
    }

    pub(super) fn pod_changed(&mut self, ctx: &mut Ctx<'_, Timer>, change: &Change) {
        // Upstream's informer leaves out pods that have ended: to the scheduler they are gone.
        let alive = |object: &Arc<Object>| object.as_pod().is_some_and(|p| !p.status.phase.is_terminal());
        let old = change.old.as_ref().filter(|o| alive(o));
        let new = Some(&change.new).filter(|o| change.kind != ChangeKind::Deleted && alive(o));
        let old = if change.kind == ChangeKind::Deleted { old.or(Some(&change.new)) } else { old };
        self.assigned_pod_changed(ctx.now(), old.filter(|o| assigned(o)), new.filter(|o| assigned(o)));
        self.unassigned_pod_changed(ctx, old.filter(|o| !assigned(o)), new.filter(|o| !assigned(o)));
    }

    fn assigned_pod_changed(&mut self, now: Time, old: Option<&Arc<Object>>, new: Option<&Arc<Object>>) {
        match (old, new) {
            (_, Some(new)) => {
                if old.is_some_and(|old| same_parts(old, new)) {
                    self.cache.set_pod_object(new);
                    self.queue.move_all(context!(self), Wake::PodUpdated, now, |_| true);
                    return;
                }
                let (Some(info), Some(pod)) = (self.classes.of(new), new.as_pod()) else { return };
                let before = self.cache.pod(uid(new)).cloned();
                self.cache.set_pod(new, info.clone(), &pod.node_name);
                let wakes = match (old, before) {
                    (Some(_), Some(before)) => pod_wakes(&before, &info),
                    _ => vec![Wake::PodAdded],
                };
                for wake in wakes {
                    self.queue.move_all(context!(self), wake, now, |_| true);
                }
            }
            (Some(old), None) => {
                self.cache.remove_pod(uid(old));
                self.queue.move_all(context!(self), Wake::PodDeleted, now, |_| true);
            }
            (None, None) => {}
        }
    }

    fn unassigned_pod_changed(
        &mut self,
        ctx: &mut Ctx<'_, Timer>,
        old: Option<&Arc<Object>>,
        new: Option<&Arc<Object>>,
    ) {
        if let Some(new) = new
            && let Some(profile) = self.profile_of(new)
        {
            self.pending_pod(ctx, profile, old, new);
        } else if let Some(old) = old
            && self.profile_of(old).is_some()
        {
            self.pending_pod_gone(ctx.now(), old);
            self.go_on_binding(ctx, uid(old));
        }
    }

    fn pending_pod(
        &mut self,
        ctx: &mut Ctx<'_, Timer>,
        profile: usize,
        old: Option<&Arc<Object>>,
        new: &Arc<Object>,
    ) {
        let now = ctx.now();
        self.pending.insert(new.meta.key.clone(), uid(new));
        if let Some(held) = self.held.get_mut(&uid(new)) {
            held.pod.object = new.clone();
            return;
        }
        if self.concluding.as_ref().is_some_and(|cycle| uid(&cycle.pod.object) == uid(new)) {
            return self.concluding_pod_changed(new);
        }
        if self.cache.is_assumed(uid(new)) {
            return;
        }
        let Some(info) = self.classes.of(new) else { return };
        let nominated = |o: &Arc<Object>| o.as_pod().map(|p| p.status.nominated_node_name.clone());
        let was = old.and_then(nominated).unwrap_or_default();
        let is = nominated(new).unwrap_or_default();
        if was != is {
            self.nominator.nominate(uid(new), &info, &is);
        }
        let known = self.queue.get(uid(new)).map(|pod| (pod.info.clone(), pod.object.clone()));
        match known {
            Some((before, object)) => {
                let wakes = own_wakes(&before, &info, &object, new);
                self.queue.update(context!(self), new.clone(), info, &wakes, now);
            }
            None => self.queue.add(context!(self), profile, new.clone(), info, now),
        }
        if !was.is_empty() && was != is {
            let priority = old.and_then(|o| o.as_pod()?.spec.priority).unwrap_or(0);
            self.queue.move_all(context!(self), Wake::PodDeleted, now, |p| p.info.priority <= priority);
        }
    }

    /// A pod that was not bound is gone, or bound.
    fn pending_pod_gone(&mut self, now: Time, old: &Arc<Object>) {
        let uid = uid(old);
        self.pending.remove(&old.meta.key);
        self.last_attempts.remove(&uid);
        self.nominator.remove(uid);
        if self.queue.remove(uid).is_none() {
            if let Some(held) = self.held.get_mut(&uid) {
                held.gone = true;
                self.cache.set_deleted(uid);
            }
            self.concluding_pod_gone(uid);
        }
        let nominated = old.as_pod().is_some_and(|p| !p.status.nominated_node_name.is_empty());
        if self.waiting.pods.contains_key(&uid) {
            self.waiting.reject(uid, Status::new(Code::Unschedulable, "removed"));
            self.queue.move_all(context!(self), Wake::PodDeleted, now, |_| true);
        } else if nominated {
            let priority = old.as_pod().and_then(|p| p.spec.priority).unwrap_or(0);
            self.queue.move_all(context!(self), Wake::PodDeleted, now, |p| p.info.priority <= priority);
        }
    }
}

fn assigned(object: &Arc<Object>) -> bool {
    object.as_pod().is_some_and(|p| !p.node_name.is_empty())
}

/// True if nothing changed that makes a pod's class or place.
fn same_parts(old: &Object, new: &Object) -> bool {
    let (Some(a), Some(b)) = (old.as_pod(), new.as_pod()) else { return false };
    let resources = |status: &PodStatus| status.other.as_ref().map(Arc::as_ptr);
    Arc::ptr_eq(&a.spec, &b.spec)
        && resources(&a.status) == resources(&b.status)
        && a.node_name == b.node_name
        && old.meta.is_deleting() == new.meta.is_deleting()
        && Arc::ptr_eq(&old.meta.labels, &new.meta.labels)
        && Arc::ptr_eq(&old.meta.annotations, &new.meta.annotations)
}

/// `NodeSchedulingPropertiesChange`.
fn node_wakes(old: &Object, new: &Object) -> Vec<Wake> {
    let (Some(a), Some(b)) = (old.as_node(), new.as_node()) else { return Vec::new() };
    let cordoned = |n: &sim_core::api::object::Node| n.spec.unschedulable.unwrap_or(false);
    let conditions = |n: &sim_core::api::object::Node| {
        let list = n.status.conditions.iter().flatten();
        let mut pairs: Vec<_> = list.map(|c| (c.type_.clone(), c.status.clone())).collect();
        pairs.sort_unstable();
        pairs
    };
    let taints = |n: &sim_core::api::object::Node| n.spec.taints.clone().unwrap_or_default();
    [
        (Wake::NodeTaints, cordoned(a) && !cordoned(b)),
        (Wake::NodeAllocatable, a.status.allocatable != b.status.allocatable),
        (Wake::NodeLabels, old.meta.labels != new.meta.labels),
        (Wake::NodeTaints, taints(a) != taints(b)),
        (Wake::NodeConditions, conditions(a) != conditions(b)),
        (Wake::NodeAnnotations, old.meta.annotations != new.meta.annotations),
    ]
    .into_iter()
    .filter_map(|(wake, changed)| changed.then_some(wake))
    .collect()
}

fn scaled_down(old: &PodInfo, new: &PodInfo) -> bool {
    let (a, b) = (&old.requests, &new.requests);
    b.milli_cpu < a.milli_cpu
        || b.memory < a.memory
        || b.ephemeral_storage < a.ephemeral_storage
        || a.scalars.iter().any(|(name, amount)| b.scalar(name) < *amount)
}

/// `PodSchedulingPropertiesChange` of a bound pod.
fn pod_wakes(old: &PodInfo, new: &PodInfo) -> Vec<Wake> {
    let mut wakes = Vec::new();
    if old.labels != new.labels {
        wakes.push(Wake::PodLabels);
    }
    if scaled_down(old, new) {
        wakes.push(Wake::PodScaledDown);
    }
    if wakes.is_empty() {
        wakes.push(Wake::PodUpdated);
    }
    wakes
}

/// The same of the waiting pod itself.
fn own_wakes(old: &PodInfo, new: &PodInfo, old_object: &Object, new_object: &Object) -> Vec<Wake> {
    let gates = |o: &Object| {
        o.as_pod().and_then(|p| p.spec.scheduling_gates.as_ref()).is_some_and(|gates| !gates.is_empty())
    };
    let tolerations = |p: &PodInfo| p.spec.tolerations.as_ref().map_or(0, Vec::len);
    [
        (Wake::OwnLabels, old.labels != new.labels),
        (Wake::OwnScaledDown, scaled_down(old, new)),
        (Wake::OwnGatesEliminated, gates(old_object) && !gates(new_object)),
        (Wake::OwnTolerations, tolerations(old) != tolerations(new)),
    ]
    .into_iter()
    .filter_map(|(wake, changed)| changed.then_some(wake))
    .collect()
}
