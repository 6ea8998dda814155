//! What changes of objects mean for the cache and the queue (`eventhandlers.go`).

use std::sync::Arc;

use sim_core::api::kind::Kind;
use sim_core::api::object::Object;
use sim_core::api::pod_status::PodStatus;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::features::Gate;
use sim_core::time::Time;

use super::{Scheduler, uid};
use crate::framework::{
    ActionType, ClusterEvent, Code, EventResource, Status, Wake, node_changes, pod_changes,
};
use crate::queue::{Happening, QueuedPod};

impl Scheduler {
    /// Tells the queue what happened.
    pub(super) fn happened(
        &mut self,
        now: Time,
        event: ClusterEvent,
        old: Option<&Arc<Object>>,
        new: Option<&Arc<Object>>,
    ) {
        self.queue.move_all(context!(self), &Happening::new(event, old, new), now, |_| true);
    }

    /// A pod is not where it was, or not where others took it to be because of its nomination.
    fn pod_left(&mut self, now: Time, old: &Arc<Object>, only: impl Fn(&QueuedPod) -> bool) {
        let happening = Happening::new(Wake::PodDeleted, Some(old), None);
        self.queue.move_all(context!(self), &happening, now, only);
    }

    /// Takes a change over into cache and queue: what upstream's event handlers do.
    pub fn observe(&mut self, now: Time, change: &Change) {
        match change.new.kind {
            Kind::NODE => self.node_changed(now, change),
            Kind::POD => self.pod_changed(now, change),
            _ => self.object_changed(now, change),
        }
    }

    fn node_changed(&mut self, now: Time, change: &Change) {
        let (old, new) = (change.old.as_ref(), &change.new);
        match (change.kind, old) {
            (ChangeKind::Deleted, _) => {
                self.happened(now, Wake::NodeDeleted, old.or(Some(new)), None);
                self.cache.remove_node(&new.meta.key.name);
            }
            (_, None) => {
                self.cache.set_node(new);
                self.happened(now, Wake::NodeAdded, None, Some(new));
            }
            (_, Some(old)) => {
                self.cache.set_node(new);
                for event in node_changes(old, new) {
                    self.happened(now, event, Some(old), Some(new));
                }
            }
        }
    }

    /// An object that plugins look up.
    fn object_changed(&mut self, now: Time, change: &Change) {
        let (kind, key) = (change.new.kind, &change.new.meta.key);
        let known = self.cache.objects().get(kind, key).cloned();
        let tainting = matches!(kind, Kind::DEVICE_TAINT_RULE | Kind::DEVICE_CLASS)
            && self.cache.objects().features().on(Gate::DRADeviceTaints);
        let devices = if tainting { self.cache.devices_version() } else { 0 };
        match change.kind {
            ChangeKind::Deleted => self.cache.objects_mut().remove(kind, key),
            _ => self.cache.objects_mut().set(change.new.clone()),
        }
        let (mut old, mut told) = (change.old.clone(), true);
        if kind == Kind::RESOURCE_CLAIM && change.kind != ChangeKind::Deleted {
            // Upstream hears of claims from its cache of assumed ones, which keeps old news to itself.
            told = self.cache.objects().get(kind, key).is_some_and(|now| Arc::ptr_eq(now, &change.new));
            old = known;
        }
        if let Some(resource) = EventResource::of(kind).filter(|_| told) {
            let (action, old, new) = match (change.kind, &old) {
                (ChangeKind::Deleted, old) => (ActionType::DELETE, old.as_ref().or(Some(&change.new)), None),
                (_, None) => (ActionType::ADD, None, Some(&change.new)),
                (_, Some(old)) => (ActionType::UPDATE, Some(old), Some(&change.new)),
            };
            self.happened(now, ClusterEvent::new(resource, action), old, new);
        }
        // Upstream sees slices through the rules: those whose taints are others now have changed.
        if tainting && self.cache.devices_version() != devices {
            self.happened(
                now,
                ClusterEvent::new(EventResource::ResourceSlice, ActionType::UPDATE),
                None,
                None,
            );
        }
    }

    fn pod_changed(&mut self, now: Time, change: &Change) {
        // Upstream's informer leaves out pods that have ended: to the scheduler they are gone.
        let alive = |object: &Arc<Object>| object.as_pod().is_some_and(|p| !p.status.phase.is_terminal());
        let old = change.old.as_ref().filter(|o| alive(o));
        let new = Some(&change.new).filter(|o| change.kind != ChangeKind::Deleted && alive(o));
        let old = if change.kind == ChangeKind::Deleted { old.or(Some(&change.new)) } else { old };
        self.cache.pod_seen(old.map(|o| &**o), new.map(|o| &**o));
        self.assigned_pod_changed(now, old.filter(|o| assigned(o)), new.filter(|o| assigned(o)));
        self.unassigned_pod_changed(now, old.filter(|o| !assigned(o)), new.filter(|o| !assigned(o)));
    }

    fn assigned_pod_changed(&mut self, now: Time, old: Option<&Arc<Object>>, new: Option<&Arc<Object>>) {
        let Some(new) = new else {
            if let Some(old) = old {
                self.cache.remove_pod(uid(old));
                self.pod_left(now, old, |_| true);
            }
            return;
        };
        if old.is_some_and(|old| same_parts(old, new)) {
            self.cache.set_pod_object(new);
        } else {
            let (Some(info), Some(pod)) = (self.classes.of(new), new.as_pod()) else { return };
            self.cache.set_pod(new, info, &pod.node_name);
        }
        match old {
            None => self.happened(now, Wake::PodAdded, None, Some(new)),
            Some(old) => {
                for event in pod_changes(old, new) {
                    self.happened(now, event, Some(old), Some(new));
                }
            }
        }
    }

    fn unassigned_pod_changed(&mut self, now: Time, old: Option<&Arc<Object>>, new: Option<&Arc<Object>>) {
        let known = |pod: &&Arc<Object>| self.profile_of(pod).is_some();
        let (old, new) = (old.filter(known), new.filter(known));
        match (old, new) {
            (None, None) => {}
            (None, Some(new)) => {
                self.pending.insert(new.meta.key.clone(), uid(new));
                if let (Some(profile), Some(info)) = (self.profile_of(new), self.classes.of(new)) {
                    self.queue.add(context!(self), profile, new.clone(), info, now);
                }
            }
            (Some(old), Some(new)) => self.pending_pod_changed(now, old, new),
            (Some(old), None) => self.pending_pod_gone(now, old),
        }
    }

    fn pending_pod_changed(&mut self, now: Time, old: &Arc<Object>, new: &Arc<Object>) {
        if old.meta.resource_version == new.meta.resource_version {
            return;
        }
        let (Some(profile), Some(info)) = (self.profile_of(new), self.classes.of(new)) else { return };
        if let Some(held) = self.held.get_mut(&uid(new)) {
            held.pod.object = new.clone();
        }
        self.concluding_pod_changed(new, &info);
        if self.cache.is_assumed(uid(new)) {
            return;
        }
        self.queue.update(context!(self), profile, old, (new, info), now);
        let was = nominated(old);
        if !was.is_empty() && was != nominated(new) {
            let priority = priority(old);
            self.pod_left(now, old, |pod| pod.info.priority <= priority);
        }
    }

    /// A pod that was not bound is gone, or bound.
    fn pending_pod_gone(&mut self, now: Time, old: &Arc<Object>) {
        let uid = uid(old);
        self.pending.remove(&old.meta.key);
        self.last_attempts.remove(&uid);
        self.queue.delete(uid);
        if let Some(held) = self.held.get_mut(&uid) {
            held.gone = true;
            self.cache.set_deleted(uid);
        }
        self.concluding_pod_gone(uid);
        if self.waiting.pods.contains_key(&uid) {
            self.waiting.reject(uid, Status::new(Code::Unschedulable, "removed"));
            self.pod_left(now, old, |_| true);
        } else if !nominated(old).is_empty() {
            let priority = priority(old);
            self.pod_left(now, old, |pod| pod.info.priority <= priority);
        }
    }
}

/// `status.nominatedNodeName`.
fn nominated(object: &Object) -> &str {
    object.as_pod().map_or("", |p| &p.status.nominated_node_name)
}

/// `spec.priority`, 0 if absent.
fn priority(object: &Object) -> i32 {
    object.as_pod().and_then(|p| p.spec.priority).unwrap_or(0)
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
