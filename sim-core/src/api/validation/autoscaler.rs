//! HorizontalPodAutoscalers. Upstream: `pkg/apis/autoscaling/validation`, with the options of their strategy.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingRules, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
};
use serde_json::Value;

use super::common::{dns_label, list};
use super::field::{Errors, Path};
use super::names;
use super::pod::resources::container_resource_name;
use crate::api::wire::decode_value;
use crate::quantity::Quantity;

const LONGEST_PERIOD: i32 = 1800;
const LONGEST_WINDOW: i32 = 3600;
const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

/// What an `apiVersion` is allowed to be.
#[derive(Clone, Copy)]
struct Versions {
    any: bool,
    without_group: bool,
}

fn spec_of(body: &Value) -> Option<HorizontalPodAutoscalerSpec> {
    decode_value(body.get("spec")?).ok()
}

/// `ValidateHorizontalPodAutoscaler`, without the metadata.
pub(super) fn autoscaler(e: &mut Errors, body: &Value, old: Option<&Value>) {
    let path = Path::root("spec");
    let Some(spec) = spec_of(body) else { return };
    let old = old.and_then(spec_of);
    let least = if old.as_ref().is_some_and(|old| old.min_replicas == Some(0)) { 0 } else { 1 };
    if let Some(min) = spec.min_replicas.filter(|min| *min < least) {
        e.invalid(&path.child("minReplicas"), min, &format!("must be greater than or equal to {least}"));
    }
    let at = path.child("maxReplicas");
    if spec.max_replicas < 1 {
        e.invalid(&at, spec.max_replicas, "must be greater than 0");
    }
    if spec.min_replicas.is_some_and(|min| spec.max_replicas < min) {
        e.invalid(&at, spec.max_replicas, "must be greater than or equal to `minReplicas`");
    }
    let target = &spec.scale_target_ref;
    let kept = old.as_ref().map(|old| &old.scale_target_ref);
    let versions = Versions {
        any: kept.is_some_and(|old| old.api_version == target.api_version && old.kind == target.kind),
        without_group: target.kind == "ReplicationController",
    };
    reference(e, &path.child("scaleTargetRef"), target, versions);
    metrics(e, &path.child("metrics"), &spec, old.as_ref());
    let behavior = path.child("behavior");
    if let Some(given) = &spec.behavior {
        scaling_rules(e, &behavior.child("scaleUp"), given.scale_up.as_ref());
        scaling_rules(e, &behavior.child("scaleDown"), given.scale_down.as_ref());
    }
}

/// `ValidateAPIVersion`.
fn version_complaint(reference: &CrossVersionObjectReference, versions: Versions) -> Option<String> {
    let version = reference.api_version.as_deref().unwrap_or("");
    match version.split('/').collect::<Vec<_>>().as_slice() {
        _ if versions.any => None,
        [] | [_] | ["", _] if !versions.without_group => Some("apiVersion must specify API group".into()),
        [] | [_] | [_, _] => None,
        _ => Some(format!("unexpected GroupVersion string: {version}")),
    }
}

/// `ValidateCrossVersionObjectReference`.
fn reference(e: &mut Errors, path: &Path<'_>, reference: &CrossVersionObjectReference, versions: Versions) {
    for (field, value) in [("kind", &reference.kind), ("name", &reference.name)] {
        segment(e, &path.child(field), value, "");
    }
    if let Some(why) = version_complaint(reference, versions) {
        let version = reference.api_version.as_deref().unwrap_or("");
        e.invalid(&path.child("apiVersion"), version, &why);
    }
}

/// A text that must be there, and fit into a path.
fn segment(e: &mut Errors, path: &Path<'_>, value: &str, missing: &str) {
    match value {
        "" => e.required(path, missing),
        value => e.invalid_each(path, value, names::path_segment(value)),
    }
}

fn metrics(
    e: &mut Errors,
    path: &Path<'_>,
    spec: &HorizontalPodAutoscalerSpec,
    old: Option<&HorizontalPodAutoscalerSpec>,
) {
    let object = Versions { any: false, without_group: true };
    let is_wrong = |metric: &MetricSpec| {
        let described = metric.object.as_ref().map(|object| &object.described_object);
        metric.type_ == "Object" && described.is_some_and(|o| version_complaint(o, object).is_some())
    };
    // Who was wrong before may stay so.
    let any = old.is_some_and(|old| list(&old.metrics).iter().any(is_wrong));
    let all = list(&spec.metrics);
    for (i, given) in all.iter().enumerate() {
        metric(e, &path.index(i), given, Versions { any, ..object });
    }
    let scales_from_zero = all.iter().any(|m| matches!(m.type_.as_str(), "Object" | "External"));
    if spec.min_replicas == Some(0) && !scales_from_zero {
        let detail =
            "must specify at least one Object or External metric to support scaling to zero replicas";
        e.forbidden(path, detail);
    }
}

/// `validateMetricSpec`.
fn metric(e: &mut Errors, path: &Path<'_>, metric: &MetricSpec, versions: Versions) {
    let (at, kind) = (path.child("type"), metric.type_.as_str());
    if kind.is_empty() {
        e.required(&at, "must specify a metric source type");
    }
    if !TYPES.contains(&kind) {
        e.not_supported(&at, kind, &TYPES);
    }
    let sources = [
        ("Object", "object", metric.object.is_some()),
        ("External", "external", metric.external.is_some()),
        ("Pods", "pods", metric.pods.is_some()),
        ("Resource", "resource", metric.resource.is_some()),
        ("ContainerResource", "containerResource", metric.container_resource.is_some()),
    ];
    // Only the first source is looked at.
    let present: Vec<&str> = sources.iter().filter(|(.., set)| *set).map(|(_, field, _)| *field).collect();
    if let Some(first) = present.first() {
        source(e, &path.child(first), metric, first, versions);
    }
    let expected = sources.iter().find(|(name, ..)| *name == kind);
    match expected {
        None => e.not_supported(&at, kind, &TYPES),
        Some((_, field, false)) => {
            e.required(&path.child(field), "must populate information for the given metric source");
        }
        Some(_) => {}
    }
    if present.len() > 1 {
        let expected = expected.map(|(_, field, _)| *field);
        for field in present.into_iter().filter(|field| Some(*field) != expected) {
            e.forbidden(&path.child(field), "must populate the given metric source only");
        }
    }
}

fn source(e: &mut Errors, path: &Path<'_>, metric: &MetricSpec, which: &str, versions: Versions) {
    let target = path.child("target");
    let name = |e: &mut Errors, given: &str| {
        let metric = path.child("metric");
        segment(e, &metric.child("name"), given, "must specify a metric name");
    };
    match which {
        "object" => {
            let Some(object) = &metric.object else { return };
            reference(e, &path.child("describedObject"), &object.described_object, versions);
            name(e, &object.metric.name);
            metric_target(e, &target, &object.target);
            if object.target.value.is_none() && object.target.average_value.is_none() {
                e.required(&target.child("averageValue"), "must set either a target value or averageValue");
            }
        }
        "external" => {
            let Some(external) = &metric.external else { return };
            name(e, &external.metric.name);
            metric_target(e, &target, &external.target);
            match (&external.target.value, &external.target.average_value) {
                (None, None) => {
                    let detail = "must set either a target value for metric or a per-pod target";
                    e.required(&target.child("averageValue"), detail);
                }
                (Some(_), Some(_)) => {
                    let detail = "may not set both a target value for metric and a per-pod target";
                    e.forbidden(&target.child("value"), detail);
                }
                _ => {}
            }
        }
        "pods" => {
            let Some(pods) = &metric.pods else { return };
            name(e, &pods.metric.name);
            metric_target(e, &target, &pods.target);
            if pods.target.average_value.is_none() {
                e.required(&target.child("averageValue"), "must specify a positive target averageValue");
            }
        }
        "resource" => {
            let Some(resource) = &metric.resource else { return };
            if resource.name.is_empty() {
                e.required(&path.child("name"), "must specify a resource name");
            }
            resource_target(e, &target, &resource.target);
        }
        _ => {
            let Some(resource) = &metric.container_resource else { return };
            match resource.name.as_str() {
                "" => e.required(&path.child("name"), "must specify a resource name"),
                name => container_resource_name(e, &path.child("name"), name),
            }
            match resource.container.as_str() {
                "" => e.required(&path.child("container"), "must specify a container"),
                container => dns_label(e, &path.child("container"), container),
            }
            resource_target(e, &target, &resource.target);
        }
    }
}

fn resource_target(e: &mut Errors, path: &Path<'_>, target: &MetricTarget) {
    metric_target(e, path, target);
    match (target.average_utilization, &target.average_value) {
        (None, None) => {
            let detail = "must set either a target raw value or a target utilization";
            e.required(&path.child("averageUtilization"), detail);
        }
        (Some(_), Some(_)) => {
            let detail = "may not set both a target raw value and a target utilization";
            e.forbidden(&path.child("averageValue"), detail);
        }
        _ => {}
    }
}

/// `validateMetricTarget`.
fn metric_target(e: &mut Errors, path: &Path<'_>, target: &MetricTarget) {
    let at = path.child("type");
    if target.type_.is_empty() {
        e.required(&at, "must specify a metric target type");
    }
    if !matches!(target.type_.as_str(), "Utilization" | "Value" | "AverageValue") {
        e.invalid(&at, &target.type_, "must be either Utilization, Value, or AverageValue");
    }
    for (field, value) in [("value", &target.value), ("averageValue", &target.average_value)] {
        if let Some(value) = value.as_ref().map(Quantity::from_wire).filter(|value| value.sign() <= 0) {
            e.invalid(&path.child(field), &value.to_string(), "must be positive");
        }
    }
    if let Some(percent) = target.average_utilization.filter(|percent| *percent < 1) {
        e.invalid(&path.child("averageUtilization"), percent, "must be greater than 0");
    }
}

/// `validateScalingRules`.
fn scaling_rules(e: &mut Errors, path: &Path<'_>, rules: Option<&HPAScalingRules>) {
    let Some(rules) = rules else { return };
    let at = path.child("stabilizationWindowSeconds");
    match rules.stabilization_window_seconds {
        Some(window) if window < 0 => e.invalid(&at, window, "must be greater than or equal to zero"),
        Some(window) if window > LONGEST_WINDOW => {
            e.invalid(&at, window, &format!("must be less than or equal to {LONGEST_WINDOW}"));
        }
        _ => {}
    }
    if let Some(policy) = rules.select_policy.as_deref()
        && !["Disabled", "Max", "Min"].contains(&policy)
    {
        e.not_supported(&path.child("selectPolicy"), policy, &["Disabled", "Max", "Min"]);
    }
    let (at, policies) = (path.child("policies"), list(&rules.policies));
    if policies.is_empty() {
        e.required(&at, "must specify at least one Policy");
    }
    for (i, policy) in policies.iter().enumerate() {
        let at = at.index(i);
        if !matches!(policy.type_.as_str(), "Pods" | "Percent") {
            e.not_supported(&at.child("type"), &policy.type_, &["Percent", "Pods"]);
        }
        if policy.value <= 0 {
            e.invalid(&at.child("value"), policy.value, "must be greater than zero");
        }
        let period = at.child("periodSeconds");
        if policy.period_seconds <= 0 {
            e.invalid(&period, policy.period_seconds, "must be greater than zero");
        }
        if policy.period_seconds > LONGEST_PERIOD {
            let detail = format!("must be less than or equal to {LONGEST_PERIOD}");
            e.invalid(&period, policy.period_seconds, &detail);
        }
    }
    if let Some(tolerance) = rules.tolerance.as_ref().map(Quantity::from_wire).filter(|t| t.sign() < 0) {
        e.invalid(&path.child("tolerance"), &tolerance.to_string(), super::common::NOT_NEGATIVE);
    }
}
