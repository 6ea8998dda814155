//! Workloads whose specs are typed (`pkg/apis/apps/v1/defaults.go`, `pkg/apis/batch/v1/defaults.go`).

use k8s_openapi::api::apps::v1::{DaemonSetSpec, DeploymentSpec, ReplicaSetSpec};
use k8s_openapi::api::batch::v1::{JobSpec, PodFailurePolicy};
use k8s_openapi::api::core::v1::NodeStatus;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pod::{default_template, round, text};

/// Defaults of a Deployment.
pub fn default_deployment(spec: &mut DeploymentSpec) {
    spec.replicas.get_or_insert(1);
    spec.revision_history_limit.get_or_insert(10);
    spec.progress_deadline_seconds.get_or_insert(600);
    let strategy = spec.strategy.get_or_insert_default();
    text(&mut strategy.type_, "RollingUpdate");
    if strategy.type_.as_deref() == Some("RollingUpdate") {
        let rolling = strategy.rolling_update.get_or_insert_default();
        rolling.max_unavailable.get_or_insert_with(|| IntOrString::String("25%".to_string()));
        rolling.max_surge.get_or_insert_with(|| IntOrString::String("25%".to_string()));
    }
    default_template(&mut spec.template);
}

/// Defaults of a ReplicaSet.
pub fn default_replica_set(spec: &mut ReplicaSetSpec) {
    spec.replicas.get_or_insert(1);
    default_template(spec.template.get_or_insert_default());
}

/// Defaults of a DaemonSet.
pub fn default_daemon_set(spec: &mut DaemonSetSpec) {
    spec.revision_history_limit.get_or_insert(10);
    let strategy = spec.update_strategy.get_or_insert_default();
    text(&mut strategy.type_, "RollingUpdate");
    if strategy.type_.as_deref() == Some("RollingUpdate") {
        let rolling = strategy.rolling_update.get_or_insert_default();
        rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
        rolling.max_surge.get_or_insert(IntOrString::Int(0));
    }
    default_template(&mut spec.template);
}

/// Defaults of a Job. Completions and parallelism are 1 only when both are absent.
pub fn default_job(spec: &mut JobSpec) {
    if spec.completions.is_none() && spec.parallelism.is_none() {
        spec.completions = Some(1);
    }
    spec.parallelism.get_or_insert(1);
    let backoff_limit = if spec.backoff_limit_per_index.is_some() { i32::MAX } else { 6 };
    spec.backoff_limit.get_or_insert(backoff_limit);
    text(&mut spec.completion_mode, "NonIndexed");
    spec.suspend.get_or_insert(false);
    spec.manual_selector.get_or_insert(false);
    let replacement = if spec.pod_failure_policy.is_some() { "Failed" } else { "TerminatingOrFailed" };
    spec.pod_replacement_policy.get_or_insert_with(|| replacement.to_string());
    spec.pod_failure_policy.iter_mut().for_each(default_failure_policy);
    default_template(&mut spec.template);
}

pub(super) fn default_failure_policy(policy: &mut PodFailurePolicy) {
    for pattern in policy.rules.iter_mut().filter_map(|r| r.on_pod_conditions.as_mut()).flatten() {
        if pattern.status.is_empty() {
            pattern.status = "True".to_string();
        }
    }
}

/// Defaults of a Node's status: everything is allocatable, unless it says what is.
pub fn default_node_status(status: &mut NodeStatus) {
    if status.allocatable.is_none() {
        status.allocatable = status.capacity.clone();
    }
    round(&mut status.capacity);
    round(&mut status.allocatable);
    status.daemon_endpoints.get_or_insert_default().kubelet_endpoint.get_or_insert_default();
    status.node_info.get_or_insert_default();
}
