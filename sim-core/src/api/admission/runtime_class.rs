//! RuntimeClass: overhead, node selector and tolerations of the class become the pod's.
//! Upstream: `plugin/pkg/admission/runtimeclass`, `pkg/util/tolerations`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;

use super::{AdmissionView, pod_forbidden};
use crate::api::error::ApiError;
use crate::api::kind::Kind;
use crate::quantity::Quantity as Amount;

pub(super) fn admit(pod_name: &str, spec: &mut PodSpec, view: &dyn AdmissionView) -> Result<(), ApiError> {
    let forbidden = |why: &str| pod_forbidden(pod_name, view, why);
    let class = match &spec.runtime_class_name {
        None => None,
        Some(name) => Some(
            view.get(Kind::RUNTIME_CLASS, name)
                .ok_or_else(|| forbidden(&format!("pod rejected: RuntimeClass {name:?} not found")))?,
        ),
    };
    let body = class.and_then(|c| c.as_json());
    match body.and_then(|b| b.get("overhead")).filter(|o| !o.is_null()) {
        Some(overhead) => {
            let fixed = read_overhead(overhead);
            if spec.overhead.as_ref().is_some_and(|own| !own.is_empty() && !same_amounts(own, &fixed)) {
                return Err(forbidden(
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
                ));
            }
            spec.overhead = Some(fixed);
        }
        None if spec.overhead.is_some() => {
            return Err(forbidden(
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ));
        }
        None => {}
    }
    match body.and_then(|b| b.get("scheduling")) {
        Some(scheduling) => merge_scheduling(spec, scheduling).map_err(|why| forbidden(&why)),
        None => Ok(()),
    }
}

fn merge_scheduling(spec: &mut PodSpec, scheduling: &Value) -> Result<(), String> {
    if let Some(wanted) = scheduling.get("nodeSelector").and_then(Value::as_object) {
        let selector = spec.node_selector.get_or_insert_with(BTreeMap::new);
        for (key, value) in wanted.iter().filter_map(|(k, v)| Some((k, v.as_str()?))) {
            if let Some(own) = selector.get(key).filter(|own| *own != value) {
                return Err(format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; \
                     pod.spec.nodeSelector[{key}] = {own}"
                ));
            }
            selector.insert(key.clone(), value.to_string());
        }
    }
    if let Some(more) = scheduling.get("tolerations").and_then(Value::as_array) {
        let own = spec.tolerations.take().unwrap_or_default();
        let all: Vec<Toleration> = own.into_iter().chain(more.iter().map(read_toleration)).collect();
        spec.tolerations = Some(merge_tolerations(&all));
    }
    Ok(())
}

/// Leaves out every toleration that another one covers.
fn merge_tolerations(all: &[Toleration]) -> Vec<Toleration> {
    let mut merged: Vec<Toleration> = Vec::new();
    for (i, t) in all.iter().enumerate() {
        let covered_before = merged.iter().any(|m| covers(m, t));
        let covered_later = all[i + 1..].iter().any(|later| later != t && covers(later, t));
        if !covered_before && !covered_later {
            merged.push(t.clone());
        }
    }
    merged
}

/// True if `wide` tolerates all that `t` does.
fn covers(wide: &Toleration, t: &Toleration) -> bool {
    fn text(field: &Option<String>) -> &str {
        field.as_deref().unwrap_or("")
    }
    if wide == t {
        return true;
    }
    let operator = text(&wide.operator);
    if text(&t.key) != text(&wide.key) && !(text(&wide.key).is_empty() && operator == "Exists") {
        return false;
    }
    if text(&t.effect) != text(&wide.effect) && !text(&wide.effect).is_empty() {
        return false;
    }
    if text(&wide.effect) == "NoExecute"
        && let Some(limit) = wide.toleration_seconds
        && t.toleration_seconds.is_none_or(|s| s > limit)
    {
        return false;
    }
    match operator {
        "" | "Equal" => text(&t.operator) == "Equal" && text(&t.value) == text(&wide.value),
        "Exists" => true,
        _ => false,
    }
}

fn read_overhead(overhead: &Value) -> BTreeMap<String, Quantity> {
    let fixed = overhead.get("podFixed").and_then(Value::as_object);
    fixed
        .into_iter()
        .flatten()
        .filter_map(|(name, amount)| match amount {
            Value::String(text) => Some((name.clone(), Quantity(text.clone()))),
            Value::Number(n) => Some((name.clone(), Quantity(n.to_string()))),
            _ => None,
        })
        .collect()
}

fn read_toleration(json: &Value) -> Toleration {
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_string);
    Toleration {
        key: text("key"),
        operator: text("operator"),
        value: text("value"),
        effect: text("effect"),
        toleration_seconds: json.get("tolerationSeconds").and_then(Value::as_i64),
    }
}

/// Equal amounts, however they are written.
fn same_amounts(a: &BTreeMap<String, Quantity>, b: &BTreeMap<String, Quantity>) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((name_a, amount_a), (name_b, amount_b))| {
            name_a == name_b && Amount::from_wire(amount_a) == Amount::from_wire(amount_b)
        })
}
