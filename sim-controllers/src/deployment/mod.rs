//! The Deployment controller (`pkg/controller/deployment`).

pub mod conditions;
mod new_set;
mod progress;
pub mod revision;
mod rollout;
mod scale;
#[cfg(test)]
mod tests;
pub mod util;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStatus};

use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Labels, OwnerReference};
use sim_core::api::object::{Body, Deployment, Object, ReplicaSet};
use sim_core::api::request::{Change, ChangeKind, Request};
use sim_core::time::{Span, Time};

use crate::machinery::cache::Caches;
use crate::machinery::fx::{Answer, Effect, Fx, Outcome, Stop};
use crate::machinery::host;
use crate::machinery::pod_control::controller_ref;
use crate::machinery::refs::Claim;
use crate::machinery::selectors;
use crate::manager::{LaneId, Timer};
use crate::replica_set::Enqueue;

use conditions::PROGRESSING;
use util::Set;

pub use progress::{calculate_status, timed_out};

/// What a sync reads.
#[derive(Clone, Debug)]
pub struct Input {
    /// The Deployment.
    pub object: Arc<Object>,
    /// ReplicaSets that it controls or could adopt.
    pub sets: Vec<Set>,
    /// Recreate only: by ReplicaSet, whether any pod of it may still run.
    pub running: Vec<Arc<Object>>,
}

/// The controller, which has no state beside the caches.
#[derive(Clone, Debug, Default)]
pub struct Controller;

impl host::Controller for Controller {
    type Key = Key;
    type Input = Input;
    const MAX_RETRIES: u32 = 15;

    fn gather(&mut self, caches: &Caches, key: &Key, _now: Time) -> Option<Input> {
        gather(caches, key)
    }

    fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
        sync(input, fx)
    }

    fn apply(&mut self, _key: &Key, _effect: Effect, _now: Time) -> Option<Key> {
        None
    }

    fn timer(key: Key) -> Timer {
        Timer::Work(LaneId::Deployment, key)
    }
}

fn gather(caches: &Caches, key: &Key) -> Option<Input> {
    let object = caches.get(Kind::DEPLOYMENT, key)?;
    let spec = &object.as_deployment()?.spec;
    let sets = caches.claimable(object, Kind::REPLICA_SET);
    let running = match util::is_recreate(spec) {
        true => sets.iter().filter(|s| runs_pods(caches, s)).cloned().collect(),
        false => Vec::new(),
    };
    Some(Input { object: object.clone(), sets, running })
}

/// True if a pod of this ReplicaSet is not certainly over.
fn runs_pods(caches: &Caches, set: &Object) -> bool {
    caches
        .controlled(set.meta.uid, Kind::POD)
        .any(|o| o.as_pod().is_some_and(|p| !p.status.phase.is_terminal()))
}

/// A Deployment changed.
pub fn deployment_changed(change: &Change, enqueue: Enqueue<'_>) {
    enqueue(change.new.key().clone(), Span::ZERO);
}

/// A ReplicaSet changed.
pub fn replica_set_changed(caches: &Caches, change: &Change, enqueue: Enqueue<'_>) {
    let new = &change.new;
    let owner = new.meta.controller_of();
    match (change.kind, &change.old) {
        (ChangeKind::Modified, Some(old)) => {
            if old.meta.resource_version == new.meta.resource_version {
                return;
            }
            let before = old.meta.controller_of();
            let owner_changed = before != owner;
            if let (true, Some(before)) = (owner_changed, before) {
                enqueue_owner(caches, old, before, enqueue);
            }
            match owner {
                Some(owner) => enqueue_owner(caches, new, owner, enqueue),
                None if owner_changed || old.meta.labels != new.meta.labels => {
                    enqueue_matching(caches, new, enqueue)
                }
                None => {}
            }
        }
        (kind, _) => match owner {
            Some(owner) => enqueue_owner(caches, new, owner, enqueue),
            None if kind == ChangeKind::Added && !new.meta.is_deleting() => {
                enqueue_matching(caches, new, enqueue)
            }
            None => {}
        },
    }
}

/// A pod is gone: a Recreate Deployment may wait for just that.
pub fn pod_deleted(caches: &Caches, pod: &Object, enqueue: Enqueue<'_>) {
    let owner = |o: &Object, kind| {
        o.meta.controller_of().and_then(|c| caches.resolve(o.meta.namespace(), c, kind)).cloned()
    };
    let Some(set) = owner(pod, Kind::REPLICA_SET) else { return };
    let Some(deployment) = owner(&set, Kind::DEPLOYMENT) else { return };
    if !deployment.as_deployment().is_some_and(|d| util::is_recreate(&d.spec)) {
        return;
    }
    let mut sets = caches.controlled(deployment.meta.uid, Kind::REPLICA_SET);
    if sets.all(|s| caches.controlled(s.meta.uid, Kind::POD).next().is_none()) {
        enqueue(deployment.key().clone(), Span::ZERO);
    }
}

fn enqueue_owner(caches: &Caches, set: &Object, owner: &OwnerReference, enqueue: Enqueue<'_>) {
    if let Some(deployment) = caches.resolve(set.meta.namespace(), owner, Kind::DEPLOYMENT) {
        enqueue(deployment.key().clone(), Span::ZERO);
    }
}

fn enqueue_matching(caches: &Caches, set: &Object, enqueue: Enqueue<'_>) {
    for deployment in caches.in_namespace(Kind::DEPLOYMENT, set.meta.namespace()) {
        let Some(spec) = deployment.as_deployment().map(|d| &d.spec) else { continue };
        let selects = !set.meta.labels.is_empty() && !selectors::is_empty(&spec.selector);
        if selects && selectors::matches(&spec.selector, &set.meta.labels) {
            enqueue(deployment.key().clone(), Span::ZERO);
        }
    }
}

/// One sync (`syncDeployment`).
///
/// # Errors
/// [`Stop::Waiting`] while a request is under way; [`Stop::Failed`] if the sync is to be retried.
pub fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
    let Some(deployment) = input.object.as_deployment() else { return Ok(()) };
    let mut run = Run {
        input,
        owner_ref: controller_ref(&input.object, "apps/v1"),
        spec: deployment.spec.clone(),
        status: DeploymentStatus::clone(&deployment.status),
        annotations: input.object.meta.annotations.clone(),
        fx,
    };
    run.sync()
}

/// A sync under way: the working copy of the Deployment, as upstream has it in `d`.
struct Run<'a, 'j, 'f> {
    input: &'a Input,
    owner_ref: OwnerReference,
    spec: Arc<DeploymentSpec>,
    status: DeploymentStatus,
    annotations: Arc<Labels>,
    fx: &'f mut Fx<'j>,
}

/// The new ReplicaSet, if there is one, and the old ones.
struct Sets {
    new: Option<Set>,
    old: Vec<Set>,
}

impl Sets {
    /// Old ones first, as upstream appends.
    fn all(&self) -> Vec<Set> {
        self.old.iter().chain(&self.new).cloned().collect()
    }
}

impl Run<'_, '_, '_> {
    fn sync(&mut self) -> Outcome {
        let object = &self.input.object;
        if selectors::is_empty(&self.spec.selector) {
            return self.selects_all();
        }
        let spec = self.spec.clone();
        let claim = Claim {
            owner: object,
            owner_ref: &self.owner_ref,
            selector: selectors::compile(&spec.selector),
            finalizer: None,
        };
        let mut sets = claim.all(self.fx, &self.input.sets)?;
        if object.meta.is_deleting() {
            let sets = self.all_sets(&mut sets, false)?;
            return self.sync_status(&sets);
        }
        self.check_paused()?;
        if spec.paused.unwrap_or(false) || self.is_scaling_event(&mut sets)? {
            return self.scale_only(&mut sets);
        }
        match spec.strategy.as_ref().and_then(|s| s.type_.as_deref()) {
            Some("Recreate") => self.recreate(&mut sets),
            Some("RollingUpdate") => self.roll(&mut sets),
            other => {
                let message = format!("unexpected deployment strategy type: {}", other.unwrap_or(""));
                Err(sim_core::api::error::ApiError::new(sim_core::api::error::Reason::InternalError, message)
                    .into())
            }
        }
    }

    fn selects_all(&mut self) -> Outcome {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        self.fx.warning(&self.input.object, "SelectingAll", message.into());
        if self.status.observed_generation.unwrap_or(0) < self.generation() {
            self.status.observed_generation = Some(self.generation());
            let _ = self.update_status()?;
        }
        Ok(())
    }

    fn generation(&self) -> i64 {
        self.input.object.meta.generation
    }

    /// Reports pausing and resuming, so that a pause does not count as a lack of progress (`checkPausedConditions`).
    fn check_paused(&mut self) -> Outcome {
        let reason = conditions::reason(&self.status, PROGRESSING);
        if util::progress_deadline(&self.spec).is_none() || reason == "ProgressDeadlineExceeded" {
            return Ok(());
        }
        let (reason, message) = match (self.spec.paused.unwrap_or(false), reason == "DeploymentPaused") {
            (true, false) => ("DeploymentPaused", "Deployment is paused"),
            (false, true) => ("DeploymentResumed", "Deployment is resumed"),
            _ => return Ok(()),
        };
        self.set_progressing("Unknown", reason, message.into());
        self.update_status()?.map(|_| ()).map_err(Stop::Failed)
    }

    fn set_progressing(&mut self, status: &str, reason: &str, message: String) {
        let now = self.fx.wire_now();
        conditions::set(&mut self.status, conditions::new(PROGRESSING, status, reason, message, now));
    }

    /// Writes the working copy's status. Upstream drops the answer, so a second write in one sync is always stale.
    fn update_status(&mut self) -> Result<Answer, Stop> {
        let (object, spec, status, annotations) =
            (&self.input.object, &self.spec, &self.status, &self.annotations);
        self.fx.call(|| {
            let mut copy = Object::clone(object);
            copy.meta.annotations = annotations.clone();
            copy.body = Body::Deployment(Deployment { spec: spec.clone(), status: Arc::new(status.clone()) });
            Request::UpdateStatus(Box::new(copy))
        })
    }

    /// Sizes that ReplicaSets are annotated with.
    fn annotated_sizes(&self) -> (i32, i32) {
        let wanted = util::replicas(&self.spec);
        (wanted, wanted.saturating_add(util::max_surge(&self.spec)))
    }

    /// Writes a ReplicaSet with another size and up-to-date annotations, if anything differs (`scaleReplicaSet`), and
    /// tells it. Returns what the ReplicaSet is then, and whether its size changed.
    fn resize(&mut self, set: &Set, to: i32) -> Result<(Set, bool), Stop> {
        let (desired, max) = self.annotated_sizes();
        let from = util::size(set);
        if from == to && !revision::replicas_need_update(&set.meta.annotations, desired, max) {
            return Ok((set.clone(), false));
        }
        let answer = self.fx.call(|| {
            let mut annotations = Labels::clone(&set.meta.annotations);
            revision::set_replicas(&mut annotations, desired, max);
            let mut copy = revision::with_annotations(set, annotations);
            if let Body::ReplicaSet(body) = &mut copy.body {
                *body = with_replicas(body, to);
            }
            Request::Update(Box::new(copy))
        })?;
        let updated = answer?;
        if from != to {
            let direction = if to > from { "up" } else { "down" };
            let message = format!("Scaled {direction} replica set {} from {from} to {to}", set.meta.name());
            self.fx.normal(&self.input.object, "ScalingReplicaSet", message);
        }
        Ok((updated, from != to))
    }

    /// [`Run::resize`], but nothing at all if the size is right (`scaleReplicaSetAndRecordEvent`).
    fn resize_if_needed(&mut self, set: &Set, to: i32) -> Result<(Set, bool), Stop> {
        if util::size(set) == to { Ok((set.clone(), false)) } else { self.resize(set, to) }
    }
}

fn with_replicas(set: &ReplicaSet, replicas: i32) -> ReplicaSet {
    let mut spec = k8s_openapi::api::apps::v1::ReplicaSetSpec::clone(&set.spec);
    spec.replicas = Some(replicas);
    ReplicaSet { spec: Arc::new(spec), status: set.status.clone() }
}
