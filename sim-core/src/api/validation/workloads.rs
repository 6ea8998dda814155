//! Deployments, ReplicaSets and DaemonSets. Upstream: `pkg/apis/apps/validation/validation.go`.

use k8s_openapi::api::apps::v1::{DaemonSetSpec, DeploymentSpec, DeploymentStrategy, ReplicaSetSpec};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::common::{
    immutable, int_or_percent, is_convertible, is_empty_selector, label_selector, non_negative,
    not_more_than_100_percent, selects, text,
};
use super::field::{Errors, Path, Shown, go_json};
use super::pod;
use crate::api::meta::Labels;

/// `ValidateDeploymentSpec`.
pub(super) fn deployment(e: &mut Errors, spec: &DeploymentSpec) {
    let path = Path::root("spec");
    non_negative(e, &path.child("replicas"), spec.replicas.unwrap_or(0));
    replicated(e, &path, &spec.selector, &spec.template);
    strategy(e, &path.child("strategy"), spec.strategy.as_ref());
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    non_negative(e, &path.child("minReadySeconds"), min_ready);
    non_negative(e, &path.child("revisionHistoryLimit"), spec.revision_history_limit.unwrap_or(0));
    if let Some(deadline) = spec.progress_deadline_seconds {
        let at = path.child("progressDeadlineSeconds");
        non_negative(e, &at, deadline);
        if deadline <= min_ready {
            e.invalid(&at, deadline, "must be greater than minReadySeconds");
        }
    }
}

/// What may not change in a Deployment.
pub(super) fn deployment_update(e: &mut Errors, new: &DeploymentSpec, old: &DeploymentSpec) {
    deployment(e, new);
    selector_stays(e, &new.selector, &old.selector);
}

/// `ValidateReplicaSetSpec`.
pub(super) fn replica_set(e: &mut Errors, spec: &ReplicaSetSpec) {
    let path = Path::root("spec");
    non_negative(e, &path.child("replicas"), spec.replicas.unwrap_or(0));
    non_negative(e, &path.child("minReadySeconds"), spec.min_ready_seconds.unwrap_or(0));
    let none = PodTemplateSpec::default();
    replicated(e, &path, &spec.selector, spec.template.as_ref().unwrap_or(&none));
}

/// What may not change in a ReplicaSet.
pub(super) fn replica_set_update(e: &mut Errors, new: &ReplicaSetSpec, old: &ReplicaSetSpec) {
    replica_set(e, new);
    selector_stays(e, &new.selector, &old.selector);
}

/// `ValidateDaemonSetSpec`.
pub(super) fn daemon_set(e: &mut Errors, spec: &DaemonSetSpec) {
    let path = Path::root("spec");
    let at = path.child("selector");
    label_selector(e, &at, Some(&spec.selector));
    let template = path.child("template");
    if is_convertible(&spec.selector) && !selects(&spec.selector, labels_of(&spec.template)) {
        mismatch(e, &template, &spec.template);
    }
    if is_empty_selector(&spec.selector) {
        e.invalid(&at, Shown::json(&spec.selector), "empty selector is invalid for daemonset");
    }
    pod::template(e, &template, &spec.template);
    runs_forever(e, &template, &spec.template, "DaemonSet");
    non_negative(e, &path.child("minReadySeconds"), spec.min_ready_seconds.unwrap_or(0));
    daemon_set_strategy(e, &path.child("updateStrategy"), spec);
    non_negative(e, &path.child("revisionHistoryLimit"), spec.revision_history_limit.unwrap_or(0));
}

/// What may not change in a DaemonSet.
pub(super) fn daemon_set_update(e: &mut Errors, new: &DaemonSetSpec, old: &DaemonSetSpec) {
    selector_stays(e, &new.selector, &old.selector);
    daemon_set(e, new);
}

fn selector_stays(e: &mut Errors, new: &LabelSelector, old: &LabelSelector) {
    let path = Path::root("spec");
    immutable(e, &path.child("selector"), new, old, || Shown::json(new));
}

/// Selector and template of a Deployment or a ReplicaSet.
// DIFFERS: a selector that is absent is told as an empty one is, because the typed form has no difference.
fn replicated(e: &mut Errors, path: &Path<'_>, selector: &LabelSelector, template: &PodTemplateSpec) {
    let at = path.child("selector");
    label_selector(e, &at, Some(selector));
    if is_empty_selector(selector) {
        e.invalid(&at, Shown::json(selector), "empty selector is invalid for deployment");
    }
    if !is_convertible(selector) {
        e.invalid(&at, Shown::json(selector), "invalid label selector");
        return;
    }
    let at = path.child("template");
    if !selects(selector, labels_of(template)) {
        mismatch(e, &at, template);
    }
    pod::template(e, &at, template);
    runs_forever(e, &at, template, "ReplicaSet");
}

static NO_LABELS: Labels = Labels::new();

pub(super) fn labels_of(template: &PodTemplateSpec) -> &Labels {
    template.metadata.as_ref().and_then(|m| m.labels.as_ref()).unwrap_or(&NO_LABELS)
}

/// The labels of a template as a complaint shows them; a template without any has a nil map in Go.
pub(super) fn mismatch(e: &mut Errors, template_path: &Path<'_>, template: &PodTemplateSpec) {
    let labels = template.metadata.as_ref().and_then(|m| m.labels.as_ref());
    let shown = labels.map_or_else(|| Shown::raw("null"), Shown::json);
    let at = template_path.child("metadata");
    e.invalid(&at.child("labels"), shown, "`selector` does not match template `labels`");
}

pub(super) fn runs_forever(e: &mut Errors, path: &Path<'_>, template: &PodTemplateSpec, kind: &str) {
    let none = PodSpec::default();
    let spec = template.spec.as_ref().unwrap_or(&none);
    let at = path.child("spec");
    let policy = text(&spec.restart_policy);
    if policy != "Always" {
        e.not_supported(&at.child("restartPolicy"), policy, &["Always"]);
    }
    if spec.active_deadline_seconds.is_some() {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        e.forbidden(&at.child("activeDeadlineSeconds"), &detail);
    }
}

/// `ValidateDeploymentStrategy`.
fn strategy(e: &mut Errors, path: &Path<'_>, strategy: Option<&DeploymentStrategy>) {
    let none = DeploymentStrategy::default();
    let strategy = strategy.unwrap_or(&none);
    let at = path.child("rollingUpdate");
    match (text(&strategy.type_), &strategy.rolling_update) {
        ("Recreate", None) => {}
        ("Recreate", Some(_)) => {
            e.forbidden(&at, "may not be specified when strategy `type` is 'Recreate'");
        }
        ("RollingUpdate", None) => e.required(&at, "this should be defaulted and never be nil"),
        ("RollingUpdate", Some(rolling)) => {
            let zero = IntOrString::Int(0);
            let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&zero);
            let surge = rolling.max_surge.as_ref().unwrap_or(&zero);
            int_or_percent(e, &at.child("maxUnavailable"), unavailable);
            int_or_percent(e, &at.child("maxSurge"), surge);
            if magnitude(unavailable) == 0 && magnitude(surge) == 0 {
                let at = at.child("maxUnavailable");
                e.invalid(&at, Shown::json(unavailable), "may not be 0 when `maxSurge` is 0");
            }
            not_more_than_100_percent(e, &at.child("maxUnavailable"), unavailable);
        }
        (other, rolling) => {
            let rolling = rolling.as_ref().map_or("null".to_string(), |r| {
                format!(
                    "{{\"MaxUnavailable\":{},\"MaxSurge\":{}}}",
                    go_json(&r.max_unavailable),
                    go_json(&r.max_surge)
                )
            });
            let shown = Shown::raw(format!("{{\"Type\":{},\"RollingUpdate\":{rolling}}}", go_json(&other)));
            e.not_supported(path, shown, &["Recreate", "RollingUpdate"]);
        }
    }
}

/// `getIntOrPercentValue`.
fn magnitude(value: &IntOrString) -> i64 {
    match value {
        IntOrString::Int(n) => i64::from(*n),
        IntOrString::String(percent) => percent.trim_end_matches('%').parse().unwrap_or(0),
    }
}

fn daemon_set_strategy(e: &mut Errors, path: &Path<'_>, spec: &DaemonSetSpec) {
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    let at = path.child("rollingUpdate");
    match (text(&strategy.type_), &strategy.rolling_update) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => e.required(&at, ""),
        ("RollingUpdate", Some(rolling)) => {
            let zero = IntOrString::Int(0);
            let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&zero);
            let surge = rolling.max_surge.as_ref().unwrap_or(&zero);
            let (unavailable_path, surge_path) = (at.child("maxUnavailable"), at.child("maxSurge"));
            int_or_percent(e, &unavailable_path, unavailable);
            int_or_percent(e, &surge_path, surge);
            not_more_than_100_percent(e, &unavailable_path, unavailable);
            not_more_than_100_percent(e, &surge_path, surge);
            match (magnitude(unavailable) != 0, magnitude(surge) != 0) {
                (true, true) => {
                    let detail = "may not be set when maxUnavailable is non-zero";
                    e.invalid(&surge_path, Shown::json(surge), detail);
                }
                (false, false) => e.required(&unavailable_path, "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        (other, rolling) => {
            let shown = Shown::raw(format!(
                "{{\"Type\":{},\"RollingUpdate\":{}}}",
                go_json(&other),
                if rolling.is_some() { "{}" } else { "null" }
            ));
            e.not_supported(path, shown, &["RollingUpdate", "OnDelete"]);
        }
    }
}
