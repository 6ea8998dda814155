//! Conditions of a Job.

use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1;

/// Done.
pub const COMPLETE: &str = "Complete";
/// Done for good, in failure.
pub const FAILED: &str = "Failed";
/// On the way to [`FAILED`]: its pods are still to go.
pub const FAILURE_TARGET: &str = "FailureTarget";
/// On the way to [`COMPLETE`].
pub const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";
/// Suspended.
pub const SUSPENDED: &str = "Suspended";

/// A fresh condition (`newCondition`).
pub fn new(kind: &str, status: &str, reason: &str, message: &str, now: v1::Time) -> JobCondition {
    JobCondition {
        type_: kind.into(),
        status: status.into(),
        last_probe_time: Some(now.clone()),
        last_transition_time: Some(now),
        reason: (!reason.is_empty()).then(|| reason.into()),
        message: (!message.is_empty()).then(|| message.into()),
    }
}

/// A condition of that type that is True.
pub fn is_true<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    status.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == "True")
}

/// Complete or Failed (`IsJobFinished`).
pub fn finished(status: &JobStatus) -> Option<&JobCondition> {
    is_true(status, COMPLETE).or_else(|| is_true(status, FAILED))
}

/// The same reason and message under another type.
pub fn turned_into(kind: &str, condition: &JobCondition, now: v1::Time) -> JobCondition {
    let (reason, message) = (condition.reason.as_deref(), condition.message.as_deref());
    new(kind, "True", reason.unwrap_or(""), message.unwrap_or(""), now)
}

/// Adds or replaces a condition (`ensureJobConditionStatus`); an absent one is not added just to be False. Returns true
/// if anything changed.
pub fn ensure(status: &mut JobStatus, condition: JobCondition) -> bool {
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|c| c.type_ == condition.type_) {
        Some(old) => {
            let same = old.status == condition.status
                && old.reason == condition.reason
                && old.message == condition.message;
            if !same {
                *old = condition;
            }
            !same
        }
        None if condition.status == "False" => {
            if conditions.is_empty() {
                status.conditions = None;
            }
            false
        }
        None => {
            conditions.push(condition);
            true
        }
    }
}
