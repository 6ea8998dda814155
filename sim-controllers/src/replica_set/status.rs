//! Status of a ReplicaSet (`replica_set_utils.go`).

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use sim_core::api::error::ApiError;
use sim_core::api::object::{Body, Object, ReplicaSet};
use sim_core::api::request::Request;
use sim_core::time::Time;

use super::{fully_labeled, replicas};
use crate::machinery::fx::{Fx, Stop, live_get};
use crate::machinery::ranking::{is_available, is_ready};

/// `ReplicaSetReplicaFailure`.
const REPLICA_FAILURE: &str = "ReplicaFailure";

/// The status that these active pods make, before `observedGeneration` (`calculateStatus`). Terminating pods are told if
/// their number is given, which is behind a gate that is alpha.
pub fn calculate_status(
    set: &ReplicaSet,
    active: &[Arc<Object>],
    terminating: Option<i32>,
    failure: Option<&ApiError>,
    now: Time,
    wire_now: v1::Time,
) -> ReplicaSetStatus {
    let mut status = ReplicaSetStatus::clone(&set.status);
    let template =
        set.spec.template.as_ref().and_then(|t| t.metadata.as_ref()).and_then(|m| m.labels.as_ref());
    let min_ready = set.spec.min_ready_seconds.unwrap_or(0);
    let (mut labeled, mut ready, mut available) = (0, 0, 0);
    for object in active {
        let Some(pod) = object.as_pod() else { continue };
        if template.is_none_or(|t| fully_labeled(t, &object.meta.labels)) {
            labeled += 1;
        }
        if is_ready(pod) {
            ready += 1;
            if is_available(pod, min_ready, now) {
                available += 1;
            }
        }
    }
    set_failure(&mut status, active.len() as i64 - i64::from(replicas(&set.spec)), failure, wire_now);
    status.replicas = active.len() as i32;
    status.terminating_replicas = terminating;
    status.fully_labeled_replicas = positive(labeled);
    status.ready_replicas = positive(ready);
    status.available_replicas = positive(available);
    status
}

/// Counts are left out when zero, as the wire has them.
fn positive(n: i32) -> Option<i32> {
    (n > 0).then_some(n)
}

fn set_failure(status: &mut ReplicaSetStatus, surplus: i64, failure: Option<&ApiError>, now: v1::Time) {
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions.iter().any(|c| c.type_ == REPLICA_FAILURE);
    match failure {
        Some(error) if !known => {
            let reason = match surplus {
                ..0 => "FailedCreate",
                0 => "",
                1.. => "FailedDelete",
            };
            conditions.push(ReplicaSetCondition {
                type_: REPLICA_FAILURE.into(),
                status: "True".into(),
                reason: (!reason.is_empty()).then(|| reason.into()),
                message: Some(error.to_string()),
                last_transition_time: Some(now),
            });
        }
        None if known => conditions.retain(|c| c.type_ != REPLICA_FAILURE),
        _ => {}
    }
    if conditions.is_empty() {
        status.conditions = None;
    }
}

/// Writes the status if it differs (`updateReplicaSetStatus`). Returns the status that holds afterwards.
pub(super) fn update(
    object: &Arc<Object>,
    set: &ReplicaSet,
    mut status: ReplicaSetStatus,
    fx: &mut Fx<'_>,
) -> Result<ReplicaSetStatus, Stop> {
    let observed = set.status.observed_generation.unwrap_or(0);
    if status == *set.status && observed == object.meta.generation {
        return Ok(status);
    }
    status.observed_generation = Some(object.meta.generation);
    let write = |onto: &Arc<Object>| {
        let mut fresh = Object::clone(onto);
        let spec = onto.as_replica_set().map_or_else(|| set.spec.clone(), |s| s.spec.clone());
        fresh.body = Body::ReplicaSet(ReplicaSet { spec, status: Arc::new(status.clone()) });
        Request::UpdateStatus(Box::new(fresh))
    };
    let mut answer = fx.call(|| write(object))?;
    if answer.is_err() {
        let fresh = fx.call(|| live_get(object.kind, object.key().clone()))??;
        answer = fx.call(|| write(&fresh))?;
    }
    answer?;
    Ok(status)
}
