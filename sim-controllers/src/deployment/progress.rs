//! Status and progress of a Deployment (`progress.go`, `sync.go`).

use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentSpec, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1;

use super::conditions::{self, AVAILABLE, PROGRESSING, REPLICA_FAILURE};
use super::util::{self, Set};
use super::{Run, Sets};
use crate::machinery::fx::{Effect, Outcome};
use crate::machinery::wire;
use sim_core::time::{Epoch, Time, secs};

/// The status that these ReplicaSets make (`calculateStatus`).
pub fn calculate_status(
    spec: &DeploymentSpec,
    generation: i64,
    before: &DeploymentStatus,
    all: &[Set],
    new: Option<&Set>,
    now: v1::Time,
) -> DeploymentStatus {
    let available = util::total(all, util::available);
    let positive = |n: i32| (n > 0).then_some(n);
    let mut status = DeploymentStatus {
        observed_generation: Some(generation).filter(|g| *g != 0),
        replicas: positive(util::total(all, util::actual)),
        updated_replicas: positive(new.map_or(0, |n| util::actual(n))),
        ready_replicas: positive(util::total(all, util::ready)),
        available_replicas: positive(available),
        unavailable_replicas: positive(util::total(all, util::size) - available),
        collision_count: before.collision_count,
        conditions: before.conditions.clone(),
        terminating_replicas: util::total_terminating(all),
    };
    let enough = available >= util::replicas(spec) - util::max_unavailable(spec);
    let (value, reason, message) = match enough {
        true => ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        false => ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
    };
    conditions::set(&mut status, conditions::new(AVAILABLE, value, reason, message.into(), now));
    status
}

/// True if the deadline passed without progress (`DeploymentTimedOut`).
pub fn timed_out(spec: &DeploymentSpec, status: &DeploymentStatus, epoch: Epoch, now: Time) -> bool {
    let Some(deadline) = util::progress_deadline(spec) else { return false };
    let Some(condition) = conditions::get(status, PROGRESSING) else { return false };
    match condition.reason.as_deref() {
        Some("NewReplicaSetAvailable") => false,
        Some("ProgressDeadlineExceeded") => true,
        _ => last_update(condition, epoch) + secs(i64::from(deadline)) < now,
    }
}

fn last_update(condition: &DeploymentCondition, epoch: Epoch) -> Time {
    // An absent time is Go's zero time: long ago.
    condition.last_update_time.as_ref().map_or(Time(i64::MIN), |t| wire::instant(epoch, t))
}

impl Run<'_, '_, '_> {
    fn status_of(&self, sets: &Sets) -> DeploymentStatus {
        let now = self.fx.wire_now();
        calculate_status(&self.spec, self.generation(), &self.status, &sets.all(), sets.new.as_ref(), now)
    }

    /// Writes the status if it differs (`syncDeploymentStatus`).
    pub(super) fn sync_status(&mut self, sets: &Sets) -> Outcome {
        let status = self.status_of(sets);
        self.write_if_changed(status)?;
        Ok(())
    }

    fn write_if_changed(&mut self, status: DeploymentStatus) -> Outcome {
        if status != self.status {
            self.status = status;
            self.update_status()??;
        }
        Ok(())
    }

    /// Estimates progress, then writes the status if it differs (`syncRolloutStatus`).
    pub(super) fn sync_rollout_status(&mut self, sets: &Sets) -> Outcome {
        let mut status = self.status_of(sets);
        let deadline = util::progress_deadline(&self.spec);
        if deadline.is_none() {
            conditions::remove(&mut status, PROGRESSING);
        }
        let all_updated = status.replicas == status.updated_replicas;
        let was_complete = conditions::reason(&self.status, PROGRESSING) == "NewReplicaSetAvailable";
        if deadline.is_some() && !(all_updated && was_complete) {
            self.estimate_progress(&mut status, sets.new.as_ref());
        }
        match self.replica_failure(sets) {
            Some(failure) => conditions::set(&mut status, failure),
            None => conditions::remove(&mut status, REPLICA_FAILURE),
        }
        if status == self.status {
            self.requeue_stuck(&status);
            return Ok(());
        }
        self.write_if_changed(status)
    }

    fn estimate_progress(&mut self, status: &mut DeploymentStatus, new: Option<&Set>) {
        let subject = match new {
            Some(set) => format!("ReplicaSet {:?}", set.meta.name()),
            None => format!("Deployment {:?}", self.input.object.meta.name()),
        };
        let now = self.fx.wire_now();
        let condition = |value, reason, text: &str| {
            conditions::new(PROGRESSING, value, reason, format!("{subject} {text}"), now.clone())
        };
        if util::is_complete(&self.spec, self.generation(), status) {
            let text = "has successfully progressed.";
            conditions::set(status, condition("True", "NewReplicaSetAvailable", text));
        } else if util::is_progressing(&self.status, status) {
            let mut progressing = condition("True", "ReplicaSetUpdated", "is progressing.");
            if let Some(current) = conditions::get(&self.status, PROGRESSING) {
                if current.status == "True" {
                    progressing.last_transition_time = current.last_transition_time.clone();
                }
                // Removed first, so that the update time moves even if status and reason stay.
                conditions::remove(status, PROGRESSING);
            }
            conditions::set(status, progressing);
        } else if timed_out(&self.spec, status, self.fx.epoch(), self.fx.now()) {
            let text = "has timed out progressing.";
            conditions::set(status, condition("False", "ProgressDeadlineExceeded", text));
        }
    }

    /// The first failure that a ReplicaSet reports, the new one's before the others' (`getReplicaFailures`).
    fn replica_failure(&self, sets: &Sets) -> Option<DeploymentCondition> {
        sets.new.iter().chain(&sets.all()).find_map(|set| {
            let conditions = set.as_replica_set()?.status.conditions.as_ref()?;
            let failure = conditions.iter().find(|c| c.type_ == REPLICA_FAILURE)?;
            Some(DeploymentCondition {
                type_: failure.type_.clone(),
                status: failure.status.clone(),
                reason: failure.reason.clone(),
                message: failure.message.clone(),
                last_transition_time: failure.last_transition_time.clone(),
                last_update_time: failure.last_transition_time.clone(),
            })
        })
    }

    /// Nothing changed: looks again when the deadline will have passed (`requeueStuckDeployment`).
    fn requeue_stuck(&mut self, status: &DeploymentStatus) {
        let Some(deadline) = util::progress_deadline(&self.spec) else { return };
        let Some(current) = conditions::get(&self.status, PROGRESSING) else { return };
        let timed_out = current.reason.as_deref() == Some("ProgressDeadlineExceeded");
        if timed_out || util::is_complete(&self.spec, self.generation(), status) {
            return;
        }
        let at = last_update(current, self.fx.epoch()) + secs(i64::from(deadline));
        let after = at - self.fx.now();
        if after < secs(1) {
            self.fx.emit(Effect::RequeueRateLimited);
        } else {
            // A second more: times in a status have no fraction.
            self.fx.emit(Effect::RequeueAfter(after + secs(1)));
        }
    }
}
