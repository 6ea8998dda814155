//! The Job controller (`pkg/controller/job`) and the TTL controller for finished Jobs.

pub mod backoff;
pub mod conditions;
pub mod failure_policy;
pub mod intervals;
mod manage;
pub mod orphans;
pub mod pods;
pub mod success_policy;
mod sync;
#[cfg(test)]
mod tests;
mod tracking;
pub mod ttl;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, OwnerReference, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::engine::component::ObjectRef;
use sim_core::time::{Span, Time, secs};

use crate::machinery::cache::Caches;
use crate::machinery::expectations::Expectations;
use crate::machinery::fx::{Effect, Fx, Outcome, Own};
use crate::machinery::host;
use crate::machinery::queue::Backoff;
use crate::machinery::selectors;
use crate::machinery::templates::{Template, Templates};
use crate::machinery::wire;
use crate::manager::{LaneId, Timer};
use crate::replica_set::Enqueue;

use backoff::Record;
use pods::{COMPLETION_INDEX, Row, TRACKING_FINALIZER, is_tracked};

/// `SyncJobBatchPeriod`: pod events within it are one sync.
pub const BATCH_PERIOD: Span = secs(1);
/// `MaxPodCreateDeletePerSync`, and `MaxUncountedPods`.
pub const MAX_PER_SYNC: usize = 500;
/// The `spec.managedBy` of Jobs that are ours.
const MANAGED_BY: &str = "kubernetes.io/job-controller";

/// State of the controller beside its caches.
#[derive(Clone, Debug, Default)]
pub struct Controller {
    /// Pods asked for and not seen yet.
    pub expectations: Expectations,
    finalizers: FxHashMap<Key, BTreeSet<Uid>>,
    backoff: FxHashMap<Key, Record>,
    templates: Templates,
}

/// What a sync reads.
#[derive(Clone, Debug)]
pub struct Input {
    /// The Job.
    pub object: Arc<Object>,
    /// Its template with tracking finalizer and index variable, shared.
    pub template: Arc<Template>,
    /// Pods that it controls or could adopt.
    pub pods: Vec<Row>,
    /// True if nothing is outstanding from an earlier sync.
    pub satisfied: bool,
    /// Pods whose finalizer was removed, which the cache does not show yet.
    pub finalizers_gone: BTreeSet<Uid>,
    /// Failures so far.
    pub record: Record,
}

impl host::Controller for Controller {
    type Key = Key;
    type Input = Input;
    const BACKOFF: Backoff = Backoff::JOB;

    fn gather(&mut self, caches: &Caches, key: &Key, now: Time) -> Option<Input> {
        let Some(object) = caches.get(Kind::JOB, key) else {
            self.expectations.forget(key);
            self.finalizers.remove(key);
            self.backoff.remove(key);
            return None;
        };
        let job = object.as_job()?;
        if job.spec.managed_by.as_deref().is_some_and(|by| by != MANAGED_BY) {
            return None;
        }
        if conditions::finished(&job.status).is_some() {
            self.backoff.remove(key);
            return None;
        }
        let template = || pod_template(&job.spec);
        Some(Input {
            object: object.clone(),
            template: self.templates.share(object.meta.uid, object.meta.generation, template),
            pods: caches.claimable(object, Kind::POD),
            satisfied: self.expectations.satisfied(key, now),
            finalizers_gone: self.finalizers.get(key).cloned().unwrap_or_default(),
            record: self.backoff.get(key).copied().unwrap_or_default(),
        })
    }

    fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
        sync::sync(input, fx)
    }

    fn apply(&mut self, key: &Key, effect: Effect, now: Time) -> Option<Key> {
        match effect {
            Effect::Expect { creations, deletions } => {
                self.expectations.expect(key, creations, deletions, now)
            }
            Effect::CreationFailed => self.expectations.creation_observed(key),
            Effect::DeletionFailed(_) => self.expectations.deletion_counted(key),
            Effect::Own(Own::ExpectFinalizersGone(uids)) => {
                self.finalizers.entry(key.clone()).or_default().extend(uids);
            }
            Effect::Own(Own::FinalizerObserved(uid)) => self.finalizer_gone(key, uid),
            Effect::Own(Own::JobBackoff(record)) => {
                self.backoff.insert(key.clone(), record);
            }
            _ => {}
        }
        None
    }

    fn timer(key: Key) -> Timer {
        Timer::Work(LaneId::Job, key)
    }
}

/// The shared template of a Job's pods.
fn pod_template(spec: &JobSpec) -> Template {
    let mut template = spec.template.clone();
    if pods::is_indexed(spec)
        && let Some(pod) = &mut template.spec
    {
        pod.init_containers.iter_mut().flatten().chain(&mut pod.containers).for_each(add_index_variable);
    }
    let mut shared = Template::new(&template);
    if !shared.finalizers.iter().any(|f| f == TRACKING_FINALIZER) {
        shared.finalizers.push(SmolStr::new_static(TRACKING_FINALIZER));
    }
    shared
}

fn add_index_variable(container: &mut Container) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    let variables = container.env.get_or_insert_default();
    if !variables.iter().any(|v| v.name == NAME) {
        let field = ObjectFieldSelector {
            field_path: format!("metadata.labels['{COMPLETION_INDEX}']"),
            api_version: None,
        };
        let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
        variables.push(EnvVar { name: NAME.into(), value_from: Some(source), ..EnvVar::default() });
    }
}

impl Controller {
    fn finalizer_gone(&mut self, key: &Key, uid: Uid) {
        if let Some(uids) = self.finalizers.get_mut(key) {
            uids.remove(&uid);
            if uids.is_empty() {
                self.finalizers.remove(key);
            }
        }
    }

    /// A Job changed.
    pub fn job_changed(
        &mut self,
        epoch: sim_core::time::Epoch,
        now: Time,
        change: &Change,
        enqueue: Enqueue<'_>,
    ) {
        let key = change.new.key().clone();
        let Some(job) = change.new.as_job() else { return };
        if change.kind == ChangeKind::Deleted {
            self.templates.forget(change.new.meta.uid);
        }
        let (ChangeKind::Modified, Some(old)) = (change.kind, &change.old) else {
            return enqueue(key, Span::ZERO);
        };
        let status_only = old.meta.generation == change.new.meta.generation;
        enqueue(key.clone(), if status_only { BATCH_PERIOD } else { Span::ZERO });
        let deadline = |o: &Object| o.as_job().and_then(|j| j.spec.active_deadline_seconds);
        if let (Some(start), Some(seconds)) = (&job.status.start_time, job.spec.active_deadline_seconds)
            && deadline(old) != Some(seconds)
        {
            enqueue(key, wire::instant(epoch, start) + secs(seconds) - now);
        }
    }

    /// A pod changed.
    pub fn pod_changed(&mut self, caches: &Caches, change: &Change, enqueue: Enqueue<'_>) {
        let pod = &change.new;
        if change.kind == ChangeKind::Deleted {
            return self.pod_deleted(caches, pod, true, enqueue);
        }
        let old = change.old.as_ref();
        if old.is_some_and(|o| o.meta.resource_version == pod.meta.resource_version) {
            return;
        }
        if pod.meta.is_deleting() {
            return self.pod_deleted(caches, pod, false, enqueue);
        }
        let (before, after) = (old.and_then(|o| o.meta.controller_of()), pod.meta.controller_of());
        let owner_changed = old.is_some() && before != after;
        if owner_changed && let Some(job) = before.and_then(|b| resolve(caches, pod, b)) {
            self.observe_finalizer(job.key(), pod);
            enqueue(job.key().clone(), BATCH_PERIOD);
        }
        if let Some(owner) = after {
            let Some(job) = resolve(caches, pod, owner) else { return };
            match old {
                None => self.expectations.creation_observed(job.key()),
                Some(_) => self.observe_finalizer(job.key(), pod),
            }
            return enqueue(job.key().clone(), BATCH_PERIOD);
        }
        if old.is_none_or(|o| owner_changed || o.meta.labels != pod.meta.labels) {
            enqueue_matching(caches, pod, enqueue);
        }
    }

    fn observe_finalizer(&mut self, key: &Key, pod: &Object) {
        if !is_tracked(pod) {
            self.finalizer_gone(key, pod.meta.uid);
        }
    }

    fn pod_deleted(&mut self, caches: &Caches, pod: &Object, last: bool, enqueue: Enqueue<'_>) {
        let Some(job) = pod.meta.controller_of().and_then(|owner| resolve(caches, pod, owner)) else {
            return;
        };
        if job.as_job().is_some_and(|j| conditions::finished(&j.status).is_some()) {
            return;
        }
        self.expectations.deletion_counted(job.key());
        if last || !is_tracked(pod) {
            self.finalizer_gone(job.key(), pod.meta.uid);
        }
        enqueue(job.key().clone(), BATCH_PERIOD);
    }
}

fn resolve<'a>(caches: &'a Caches, pod: &Object, owner: &OwnerReference) -> Option<&'a Arc<Object>> {
    caches.resolve(pod.meta.namespace(), owner, Kind::JOB)
}

fn enqueue_matching(caches: &Caches, pod: &Object, enqueue: Enqueue<'_>) {
    for job in caches.in_namespace(Kind::JOB, pod.meta.namespace()) {
        let selector = job.as_job().and_then(|j| j.spec.selector.as_ref());
        let selects =
            selector.is_some_and(|s| !selectors::is_empty(s) && selectors::matches(s, &pod.meta.labels));
        if selects && !pod.meta.labels.is_empty() {
            enqueue(job.key().clone(), BATCH_PERIOD);
        }
    }
}

/// Object reference of an object.
fn reference(object: &Object) -> ObjectRef {
    ObjectRef { kind: object.kind, key: object.key().clone(), uid: object.meta.uid }
}
