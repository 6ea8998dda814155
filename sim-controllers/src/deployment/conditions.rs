//! Conditions of a Deployment (`deployment_util.go`).

use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1;

/// `Progressing`.
pub const PROGRESSING: &str = "Progressing";
/// `Available`.
pub const AVAILABLE: &str = "Available";
/// `ReplicaFailure`.
pub const REPLICA_FAILURE: &str = "ReplicaFailure";

/// A fresh condition (`NewDeploymentCondition`).
pub fn new(kind: &str, status: &str, reason: &str, message: String, now: v1::Time) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_update_time: Some(now.clone()),
        last_transition_time: Some(now),
    }
}

/// A condition by type.
pub fn get<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|c| c.type_ == kind)
}

/// The reason of a condition, empty if there is none.
pub fn reason<'a>(status: &'a DeploymentStatus, kind: &str) -> &'a str {
    get(status, kind).and_then(|c| c.reason.as_deref()).unwrap_or("")
}

/// Adds or replaces a condition (`SetDeploymentCondition`). One with the same status and reason stays as it is; one with
/// the same status keeps its transition time. A replaced condition moves to the end.
pub fn set(status: &mut DeploymentStatus, mut condition: DeploymentCondition) {
    if let Some(old) = get(status, &condition.type_) {
        if old.status == condition.status && old.reason == condition.reason {
            return;
        }
        if old.status == condition.status {
            condition.last_transition_time = old.last_transition_time.clone();
        }
    }
    remove(status, &condition.type_.clone());
    status.conditions.get_or_insert_default().push(condition);
}

/// Removes a condition.
pub fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|c| c.type_ != kind);
        if conditions.is_empty() {
            status.conditions = None;
        }
    }
}
