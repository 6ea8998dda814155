//! The ReplicaSet controller (`pkg/controller/replicaset`).

mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSetSpec;
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use sim_core::api::error::ApiError;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Labels, OwnerReference};
use sim_core::api::object::{Object, Pod, ReplicaSet};
use sim_core::api::request::{Change, ChangeKind};
use sim_core::time::{Span, Time, secs};

use crate::machinery::cache::Caches;
use crate::machinery::expectations::Expectations;
use crate::machinery::fx::{Effect, Fx, Outcome, Stop};
use crate::machinery::host;
use crate::machinery::pod_control::{controller_ref, delete_pods, pod_from_template, slow_start};
use crate::machinery::ranking::{self, Ranking};
use crate::machinery::refs::Claim;
use crate::machinery::selectors;
use crate::machinery::templates::{Template, Templates};
use crate::manager::{LaneId, Timer};

pub use status::calculate_status;

/// Creations or deletions per sync, at most.
pub const BURST_REPLICAS: usize = 500;

/// `spec.replicas`, which the API server defaults to 1.
pub fn replicas(spec: &ReplicaSetSpec) -> i32 {
    spec.replicas.unwrap_or(1)
}

/// State of the controller beside its caches.
#[derive(Clone, Debug, Default)]
pub struct Controller {
    /// Pods asked for and not seen yet.
    pub expectations: Expectations,
    templates: Templates,
}

/// What a sync reads.
#[derive(Clone, Debug)]
pub struct Input {
    /// The ReplicaSet.
    pub object: Arc<Object>,
    /// Its template, shared.
    pub template: Arc<Template>,
    /// Pods that it controls or could adopt.
    pub pods: Vec<Arc<Object>>,
    /// Pods of all ReplicaSets with the same controller, for the ranking.
    pub related: Vec<Arc<Object>>,
    /// True if nothing is outstanding from an earlier sync.
    pub needs_sync: bool,
}

/// A requeue that a watch event causes.
pub type Enqueue<'a> = &'a mut dyn FnMut(Key, Span);

impl host::Controller for Controller {
    type Key = Key;
    type Input = Input;

    fn gather(&mut self, caches: &Caches, key: &Key, now: Time) -> Option<Input> {
        let Some(object) = caches.get(Kind::REPLICA_SET, key) else {
            self.expectations.forget(key);
            return None;
        };
        let spec = &object.as_replica_set()?.spec;
        let template = || spec.template.as_ref().map(Template::new).unwrap_or_default();
        let pods = caches.claimable(object, Kind::POD);
        let related = match pods.len() > replicas(spec).max(0) as usize {
            true => related_pods(caches, object),
            false => Vec::new(),
        };
        Some(Input {
            object: object.clone(),
            template: self.templates.share(object.meta.uid, object.meta.generation, template),
            pods,
            related,
            needs_sync: self.expectations.satisfied(key, now),
        })
    }

    fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
        sync(input, fx)
    }

    fn apply(&mut self, key: &Key, effect: Effect, now: Time) -> Option<Key> {
        match effect {
            Effect::ExpectCreations(n) => self.expectations.expect_creations(key, n, now),
            Effect::ExpectDeletions(pods) => self.expectations.expect_deletions(key, pods, now),
            Effect::CreationFailed => self.expectations.creation_observed(key),
            Effect::DeletionFailed(pod) => self.expectations.deletion_observed(key, &pod),
            _ => {}
        }
        None
    }

    fn timer(key: Key) -> Timer {
        Timer::Work(LaneId::ReplicaSet, key)
    }
}

impl Controller {
    /// A ReplicaSet changed.
    pub fn replica_set_changed(&mut self, change: &Change, enqueue: Enqueue<'_>) {
        let replaced = change.old.as_ref().is_some_and(|old| old.meta.uid != change.new.meta.uid);
        if change.kind == ChangeKind::Deleted || replaced {
            self.expectations.forget(change.new.key());
            self.templates.forget(change.old.as_ref().unwrap_or(&change.new).meta.uid);
        }
        enqueue(change.new.key().clone(), Span::ZERO);
    }

    /// A pod changed.
    pub fn pod_changed(&mut self, caches: &Caches, change: &Change, enqueue: Enqueue<'_>) {
        match (change.kind, &change.old) {
            (ChangeKind::Deleted, _) => self.pod_deleted(caches, &change.new, enqueue),
            (ChangeKind::Modified, Some(old)) => self.pod_updated(caches, old, &change.new, enqueue),
            _ => self.pod_added(caches, &change.new, enqueue),
        }
    }

    fn pod_added(&mut self, caches: &Caches, pod: &Object, enqueue: Enqueue<'_>) {
        if pod.meta.is_deleting() {
            return self.pod_deleted(caches, pod, enqueue);
        }
        if let Some(owner) = pod.meta.controller_of() {
            if let Some(key) = resolve(caches, pod, owner) {
                self.expectations.creation_observed(&key);
                enqueue(key, Span::ZERO);
            }
            return;
        }
        enqueue_matching(caches, pod, enqueue);
    }

    fn pod_updated(&mut self, caches: &Caches, old: &Object, new: &Object, enqueue: Enqueue<'_>) {
        if old.meta.resource_version == new.meta.resource_version {
            return;
        }
        let labels_changed = old.meta.labels != new.meta.labels;
        if new.meta.is_deleting() {
            // A terminating pod does not count any more; waiting for it to vanish would delay its replacement.
            self.pod_deleted(caches, new, enqueue);
            if labels_changed {
                self.pod_deleted(caches, old, enqueue);
            }
            return;
        }
        let (before, after) = (old.meta.controller_of(), new.meta.controller_of());
        let owner_changed = before != after;
        if owner_changed
            && let Some(before) = before
            && let Some(key) = resolve(caches, old, before)
        {
            enqueue(key, Span::ZERO);
        }
        let Some(owner) = after else {
            if labels_changed || owner_changed {
                enqueue_matching(caches, new, enqueue);
            }
            return;
        };
        let Some(set) = caches.resolve(new.meta.namespace(), owner, Kind::REPLICA_SET) else { return };
        enqueue(set.key().clone(), Span::ZERO);
        let min_ready = set.as_replica_set().and_then(|s| s.spec.min_ready_seconds).unwrap_or(0);
        let ready = |o: &Object| o.as_pod().is_some_and(ranking::is_ready);
        if min_ready > 0 && !ready(old) && ready(new) {
            // A second more, because the condition's time has no fraction.
            enqueue(set.key().clone(), secs(i64::from(min_ready) + 1));
        }
    }

    fn pod_deleted(&mut self, caches: &Caches, pod: &Object, enqueue: Enqueue<'_>) {
        let owner = pod.meta.controller_of();
        if let Some(key) = owner.and_then(|owner| resolve(caches, pod, owner)) {
            self.expectations.deletion_observed(&key, pod.key());
            enqueue(key, Span::ZERO);
        }
    }
}

fn resolve(caches: &Caches, pod: &Object, owner: &OwnerReference) -> Option<Key> {
    caches.resolve(pod.meta.namespace(), owner, Kind::REPLICA_SET).map(|set| set.key().clone())
}

fn enqueue_matching(caches: &Caches, pod: &Object, enqueue: Enqueue<'_>) {
    if pod.meta.labels.is_empty() {
        return;
    }
    for set in caches.in_namespace(Kind::REPLICA_SET, pod.meta.namespace()) {
        let Some(spec) = set.as_replica_set().map(|s| &s.spec) else { continue };
        if !selectors::is_empty(&spec.selector) && selectors::matches(&spec.selector, &pod.meta.labels) {
            enqueue(set.key().clone(), Span::ZERO);
        }
    }
}

/// Pods that the selectors of all ReplicaSets with the same controller select (`getIndirectlyRelatedPods`).
fn related_pods(caches: &Caches, object: &Object) -> Vec<Arc<Object>> {
    let Some(owner) = object.meta.controller_of() else { return Vec::new() };
    let mut related: Vec<Arc<Object>> = Vec::new();
    for set in caches.controlled(owner.uid, Kind::REPLICA_SET) {
        let Some(spec) = set.as_replica_set().map(|s| &s.spec) else { continue };
        // DIFFERS: of the pods that a selector selects, those that the set itself controls: selectors of one
        // Deployment's sets differ by the template hash, so a foreign match needs overlapping user selectors.
        let pods = caches.controlled(set.meta.uid, Kind::POD);
        related.extend(pods.filter(|p| selectors::matches(&spec.selector, &p.meta.labels)).cloned());
    }
    related
}

/// One sync (`syncReplicaSet`).
///
/// # Errors
/// [`Stop::Waiting`] while a request is under way; [`Stop::Failed`] if the sync is to be retried.
pub fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
    let Some(set) = input.object.as_replica_set() else { return Ok(()) };
    let owner_ref = controller_ref(&input.object, "apps/v1");
    let active: Vec<Arc<Object>> = input.pods.iter().filter(|p| ranking::is_active(p)).cloned().collect();
    let claim = Claim {
        owner: &input.object,
        owner_ref: &owner_ref,
        selector: selectors::compile(&set.spec.selector),
        finalizer: None,
    };
    let active = claim.all(fx, &active)?;
    let mut failure = None;
    if input.needs_sync && !input.object.meta.is_deleting() {
        failure = manage_replicas(input, set, &owner_ref, &active, fx)?;
    }
    let now = fx.now();
    let status = calculate_status(set, &active, None, failure.as_ref(), now, fx.wire_now());
    let updated = status::update(&input.object, set, status, fx)?;
    if let Some(error) = failure {
        return Err(Stop::Failed(error));
    }
    let min_ready = set.spec.min_ready_seconds.unwrap_or(0);
    let ready = updated.ready_replicas.unwrap_or(0);
    if min_ready > 0 && ready == replicas(&set.spec) && updated.available_replicas.unwrap_or(0) != ready {
        // A guard against a lost delayed add: the pod's own handler has asked for one too.
        let next = ranking::next_availability(&active, min_ready, now);
        fx.emit(Effect::RequeueAfter(next.unwrap_or(secs(i64::from(min_ready)))));
    }
    Ok(())
}

/// Creates or deletes pods (`manageReplicas`). Returns the error that the status is to tell.
fn manage_replicas(
    input: &Input,
    set: &ReplicaSet,
    owner_ref: &OwnerReference,
    active: &[Arc<Object>],
    fx: &mut Fx<'_>,
) -> Result<Option<ApiError>, Stop> {
    let surplus = active.len() as i64 - i64::from(replicas(&set.spec));
    let count = (surplus.unsigned_abs() as usize).min(BURST_REPLICAS);
    if surplus < 0 {
        fx.emit(Effect::ExpectCreations(count));
        let make = |_| pod_from_template(&input.template, &input.object, owner_ref);
        let (created, error) = slow_start(fx, &input.object, count, make)?;
        for _ in created..count {
            fx.emit(Effect::CreationFailed);
        }
        return Ok(error);
    }
    if surplus == 0 {
        return Ok(None);
    }
    let victims = pods_to_delete(active, &input.related, count, fx.now());
    fx.emit(Effect::ExpectDeletions(victims.iter().map(|p| p.key().clone()).collect()));
    let failed = |pod: &Object| Some(Effect::DeletionFailed(pod.key().clone()));
    let (_, error) = delete_pods(fx, &input.object, &victims, failed)?;
    Ok(error)
}

/// The `count` pods to delete, first the first (`getPodsToDelete`).
pub fn pods_to_delete(
    active: &[Arc<Object>],
    related: &[Arc<Object>],
    count: usize,
    now: Time,
) -> Vec<Arc<Object>> {
    let mut pods = active.to_vec();
    if count < pods.len() {
        let mut on_node: FxHashMap<&SmolStr, usize> = FxHashMap::default();
        for pod in related.iter().filter(|p| ranking::is_active(p)).filter_map(|p| p.as_pod()) {
            *on_node.entry(&pod.node_name).or_default() += 1;
        }
        let rank = |pod: &Pod| on_node.get(&pod.node_name).copied().unwrap_or(0);
        ranking::sort(Ranking::replica_set(now), &mut pods, rank);
    }
    pods.truncate(count);
    pods
}

/// True if the labels have all of the template's.
fn fully_labeled(template: &Labels, labels: &Labels) -> bool {
    template.iter().all(|(key, value)| labels.get(key) == Some(value))
}
