//! Priority: turns a pod's priority class into a number and a preemption policy.
//! Upstream: `plugin/pkg/admission/priority`.

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

use super::{AdmissionView, pod_forbidden};
use crate::api::error::ApiError;
use crate::api::kind::Kind;
use crate::api::object::Object;

const PREEMPT_LOWER: &str = "PreemptLowerPriority";
/// Present in every cluster: the API server makes them when it starts.
const SYSTEM_CLASSES: [(&str, i32); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// What counts of a PriorityClass.
struct Class<'a> {
    value: i32,
    preemption_policy: &'a str,
}

pub(super) fn admit_pod(
    pod_name: &str,
    spec: &mut PodSpec,
    view: &dyn AdmissionView,
) -> Result<(), ApiError> {
    let class = match spec.priority_class_name.as_deref() {
        None | Some("") => match global_default(view) {
            Some(default) => {
                spec.priority_class_name = Some(default.meta.name().to_string());
                read(default)
            }
            None => Class { value: 0, preemption_policy: PREEMPT_LOWER },
        },
        Some(name) => find(name, view).ok_or_else(|| {
            pod_forbidden(pod_name, view, &format!("no PriorityClass with name {name} was found"))
        })?,
    };
    if let Some(given) = spec.priority.filter(|given| *given != class.value) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {} from the given PriorityClass name",
            class.value
        );
        return Err(pod_forbidden(pod_name, view, &why));
    }
    if let Some(given) = spec.preemption_policy.as_deref().filter(|p| *p != class.preemption_policy) {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {} from the given PriorityClass name",
            class.preemption_policy
        );
        return Err(pod_forbidden(pod_name, view, &why));
    }
    spec.priority = Some(class.value);
    spec.preemption_policy = Some(class.preemption_policy.to_string());
    Ok(())
}

/// A replaced pod keeps what was computed when it was created.
pub(super) fn admit_pod_update(spec: &mut PodSpec, old: &PodSpec) {
    if spec.priority.is_none() {
        spec.priority = old.priority;
    }
    if spec.preemption_policy.is_none() {
        spec.preemption_policy = old.preemption_policy.clone();
    }
}

/// Only one class may be the global default.
pub(super) fn admit_class(class: &Object, update: bool, view: &dyn AdmissionView) -> Result<(), ApiError> {
    if !is_global_default(class) {
        return Ok(());
    }
    match global_default(view) {
        Some(other) if !update || other.meta.name() != class.meta.name() => {
            let why = format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                other.meta.name()
            );
            Err(ApiError::forbidden(view.kinds().info(Kind::PRIORITY_CLASS), class.meta.name(), &why))
        }
        _ => Ok(()),
    }
}

fn find<'a>(name: &str, view: &'a dyn AdmissionView) -> Option<Class<'a>> {
    if let Some(stored) = view.get(Kind::PRIORITY_CLASS, name) {
        return Some(read(stored));
    }
    let (_, value) = SYSTEM_CLASSES.into_iter().find(|(system, _)| *system == name)?;
    Some(Class { value, preemption_policy: PREEMPT_LOWER })
}

/// The default with the lowest value, should there be several.
fn global_default(view: &dyn AdmissionView) -> Option<&Object> {
    view.list(Kind::PRIORITY_CLASS)
        .into_iter()
        .filter(|c| is_global_default(c))
        .min_by_key(|c| (read(c).value, c.meta.name().to_string()))
}

fn is_global_default(class: &Object) -> bool {
    class.as_json().and_then(|body| body.get("globalDefault")).and_then(Value::as_bool).unwrap_or(false)
}

fn read(class: &Object) -> Class<'_> {
    let body = class.as_json();
    let value = body.and_then(|b| b.get("value")).and_then(Value::as_i64);
    let policy = body.and_then(|b| b.get("preemptionPolicy")).and_then(Value::as_str);
    Class {
        value: value.and_then(|v| i32::try_from(v).ok()).unwrap_or(0),
        preemption_policy: policy.unwrap_or(PREEMPT_LOWER),
    }
}
