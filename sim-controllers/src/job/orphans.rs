//! Takes the tracking finalizer off pods that no live Job will count (`syncOrphanPod`).

use std::sync::Arc;

use sim_core::api::kind::Kind;
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::engine::component::ObjectRef;
use sim_core::time::Time;

use super::conditions;
use super::pods::is_tracked;
use super::reference;
use super::tracking::remove_finalizer;
use crate::machinery::cache::Caches;
use crate::machinery::fx::{Effect, Fx, Outcome};
use crate::machinery::host;
use crate::manager::Timer;

/// The controller. Its keys are pods, or Jobs that are over: then all their pods are meant.
#[derive(Clone, Debug, Default)]
pub struct Orphans;

impl host::Controller for Orphans {
    type Key = ObjectRef;
    type Input = Vec<Arc<Object>>;

    fn gather(&mut self, caches: &Caches, key: &ObjectRef, _now: Time) -> Option<Vec<Arc<Object>>> {
        let orphaned = |pod: &&Arc<Object>| is_tracked(pod) && nobody_counts(caches, pod);
        let pods: Vec<_> = match key.kind {
            Kind::POD => {
                caches.find(Kind::POD, &key.key, key.uid).filter(orphaned).cloned().into_iter().collect()
            }
            _ => caches.controlled(key.uid, Kind::POD).filter(orphaned).cloned().collect(),
        };
        (!pods.is_empty()).then_some(pods)
    }

    fn sync(pods: &Vec<Arc<Object>>, fx: &mut Fx<'_>) -> Outcome {
        let answers = fx.batch(|| pods.iter().map(|p| remove_finalizer(p)).collect())?;
        let refused = answers.iter().filter_map(|a| a.as_ref().err()).find(|e| !e.is_not_found());
        refused.map_or(Ok(()), |e| Err(e.clone().into()))
    }

    fn apply(&mut self, _key: &ObjectRef, _effect: Effect, _now: Time) -> Option<ObjectRef> {
        None
    }

    fn timer(key: ObjectRef) -> Timer {
        Timer::Orphan(key)
    }
}

/// True if no unfinished Job controls the pod.
fn nobody_counts(caches: &Caches, pod: &Object) -> bool {
    let job = pod.meta.controller_of().and_then(|c| caches.resolve(pod.meta.namespace(), c, Kind::JOB));
    job.is_none_or(|job| job.as_job().is_some_and(|j| conditions::finished(&j.status).is_some()))
}

impl Orphans {
    /// A pod or a Job changed.
    pub fn changed(&mut self, caches: &Caches, change: &Change, enqueue: &mut dyn FnMut(ObjectRef)) {
        let object = &change.new;
        let over = match object.as_job() {
            Some(job) => change.kind == ChangeKind::Deleted || conditions::finished(&job.status).is_some(),
            None => change.kind != ChangeKind::Deleted && is_tracked(object) && orphaned(caches, object),
        };
        if over {
            enqueue(reference(object));
        }
    }
}

/// True if the pod has no controller, or is going while its Job is gone or over.
fn orphaned(caches: &Caches, pod: &Object) -> bool {
    pod.meta.controller_of().is_none() || pod.meta.is_deleting() && nobody_counts(caches, pod)
}
