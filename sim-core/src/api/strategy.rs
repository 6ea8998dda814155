//! What a registry strategy does to an object before it is validated and stored: fields of gates that are off are
//! dropped, label keys are merged into selectors, Jobs get their selector.
//!
//! Upstream: `PrepareForCreate` and `PrepareForUpdate` in `pkg/registry/*/*/strategy.go`, `pkg/api/pod/util.go`; gates as
//! in 1.34 by default. It runs after admission; status and generation are the store's matter.

mod gated;
mod services;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::{Affinity, Container, PodAffinityTerm, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::kind::Kind;
use super::meta::{Labels, Meta};
use super::object::{Body, Object};
use crate::features::FeatureGates;

/// Prepares an object that is being created; its uid and name are set already.
///
/// Returns the fields that were dropped because their feature gate is off in this version, for notices. A pod spec
/// that needs no change stays the shared one; one with label keys becomes the pod's own.
///
/// ```
/// use sim_core::api::{meta::{Key, Meta, Uid}, object::{Body, Object}, strategy};
/// let mut meta = Meta::named(Key::new("default", "work"));
/// meta.uid = Uid(7);
/// let mut job = Object::new(meta, Body::Job(Default::default()));
/// strategy::prepare_create(&mut job, Default::default());
/// let selector = job.as_job().unwrap().spec.selector.clone().unwrap();
/// assert!(selector.match_labels.unwrap().contains_key("batch.kubernetes.io/controller-uid"));
/// ```
pub fn prepare_create(object: &mut Object, gates: FeatureGates) -> Vec<String> {
    let dropped = drop_disabled(object, None, gates);
    match &mut object.body {
        Body::Pod(pod) if has_label_keys(&pod.spec) => {
            merge_label_keys(Arc::make_mut(&mut pod.spec), &object.meta.labels);
        }
        Body::Job(job) if job.spec.manual_selector != Some(true) => {
            generate_selector(Arc::make_mut(&mut job.spec), &object.meta);
        }
        _ => {}
    }
    dropped
}

/// What the storage of a kind fills in before the strategy sees the object: the two forms of a service's address.
pub fn begin(object: &mut Object, old: Option<&Object>) {
    if let (Kind::SERVICE, Body::Json(body)) = (object.kind, &mut object.body) {
        let old = old.and_then(Object::as_json);
        if services::is_unsettled(body, old) {
            services::settle_ips(Arc::make_mut(body), old);
        }
    }
}

/// Prepares an object that replaces a stored one.
pub fn prepare_update(object: &mut Object, old: &Object, gates: FeatureGates) -> Vec<String> {
    drop_disabled(object, Some(old), gates)
}

/// Prepares an object whose status is written. Claims keep their metadata; other kinds have no rules here.
pub fn prepare_status(object: &mut Object, old: &Object, gates: FeatureGates) -> Vec<String> {
    let (Kind::RESOURCE_CLAIM, Some(before)) = (object.kind, old.as_json()) else { return Vec::new() };
    object.meta = old.meta.clone();
    if let Body::Json(body) = &mut object.body {
        gated::forget_deallocated(Arc::make_mut(body), before, gates);
    }
    drop_disabled(object, Some(old), gates)
}

fn drop_disabled(object: &mut Object, old: Option<&Object>, gates: FeatureGates) -> Vec<String> {
    macro_rules! template {
        ($owner:expr) => {{
            let spec = $owner.spec.template.spec.as_ref();
            match spec.is_some_and(has_disabled) {
                true => {
                    let spec = Arc::make_mut(&mut $owner.spec).template.spec.as_mut();
                    spec.map(|s| drop_fields("spec.template.spec", s)).unwrap_or_default()
                }
                false => Vec::new(),
            }
        }};
    }
    match &mut object.body {
        Body::Pod(pod) if has_disabled(&pod.spec) => drop_fields("spec", Arc::make_mut(&mut pod.spec)),
        Body::Deployment(owner) => template!(owner),
        Body::DaemonSet(owner) => template!(owner),
        Body::Job(owner) => template!(owner),
        Body::ReplicaSet(owner) => {
            let template = owner.spec.template.as_ref().and_then(|t| t.spec.as_ref());
            if !template.is_some_and(has_disabled) {
                return Vec::new();
            }
            let template = Arc::make_mut(&mut owner.spec).template.as_mut();
            let spec = template.and_then(|t| t.spec.as_mut());
            spec.map(|s| drop_fields("spec.template.spec", s)).unwrap_or_default()
        }
        Body::Json(body) => {
            let old = old.and_then(Object::as_json);
            match gated::has_disabled(object.kind, body, old, gates) {
                true => gated::drop_disabled(object.kind, Arc::make_mut(body), old, gates),
                false => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

/// Whether [`drop_fields`] would change anything: most specs are shared and must stay so.
fn has_disabled(spec: &PodSpec) -> bool {
    let container = |c: &Container| {
        c.restart_policy_rules.is_some()
            || c.lifecycle.as_ref().is_some_and(|l| l.stop_signal.is_some())
            || c.env.iter().flatten().any(|e| e.value_from.as_ref().is_some_and(|v| v.file_key_ref.is_some()))
    };
    spec.hostname_override.is_some()
        || spec.termination_grace_period_seconds.is_some_and(|g| g < 0)
        || spec.containers.iter().any(|c| c.restart_policy.is_some() || container(c))
        || spec
            .init_containers
            .iter()
            .flatten()
            .any(|c| c.restart_policy.as_deref().is_some_and(|p| p != "Always") || container(c))
        || spec.volumes.iter().flatten().any(|v| {
            v.image.is_some()
                || v.projected
                    .iter()
                    .flat_map(|p| p.sources.iter().flatten())
                    .any(|s| s.cluster_trust_bundle.is_some() || s.pod_certificate.is_some())
        })
}

/// Drops what belongs to a gate that is off: ContainerRestartRules, ContainerStopSignals, EnvFiles, HostnameOverride,
/// ImageVolume, ClusterTrustBundleProjection, PodCertificateRequest.
fn drop_fields(path: &str, spec: &mut PodSpec) -> Vec<String> {
    let mut dropped = Vec::new();
    // Conversion to the internal form does this, so nobody ever sees a negative grace.
    spec.termination_grace_period_seconds =
        spec.termination_grace_period_seconds.map(|g| if g < 0 { 1 } else { g });
    if spec.hostname_override.take().is_some() {
        dropped.push(format!("{path}.hostnameOverride"));
    }
    for (i, c) in spec.containers.iter_mut().enumerate() {
        let path = format!("{path}.containers[{i}]");
        if c.restart_policy.take().is_some() {
            dropped.push(format!("{path}.restartPolicy"));
        }
        drop_of_container(&path, c, &mut dropped);
    }
    for (i, c) in spec.init_containers.iter_mut().flatten().enumerate() {
        let path = format!("{path}.initContainers[{i}]");
        if c.restart_policy.as_deref().is_some_and(|p| p != "Always") {
            c.restart_policy = None;
            dropped.push(format!("{path}.restartPolicy"));
        }
        drop_of_container(&path, c, &mut dropped);
    }
    for (i, volume) in spec.volumes.iter_mut().flatten().enumerate() {
        if volume.image.take().is_some() {
            dropped.push(format!("{path}.volumes[{i}].image"));
        }
        let sources = volume.projected.iter_mut().flat_map(|p| p.sources.iter_mut().flatten());
        for (j, source) in sources.enumerate() {
            let path = format!("{path}.volumes[{i}].projected.sources[{j}]");
            if source.cluster_trust_bundle.take().is_some() {
                dropped.push(format!("{path}.clusterTrustBundle"));
            }
            if source.pod_certificate.take().is_some() {
                dropped.push(format!("{path}.podCertificate"));
            }
        }
    }
    dropped
}

fn drop_of_container(path: &str, container: &mut Container, dropped: &mut Vec<String>) {
    if container.restart_policy_rules.take().is_some() {
        dropped.push(format!("{path}.restartPolicyRules"));
    }
    if container.lifecycle.as_mut().is_some_and(|l| l.stop_signal.take().is_some()) {
        dropped.push(format!("{path}.lifecycle.stopSignal"));
    }
    for (i, variable) in container.env.iter_mut().flatten().enumerate() {
        if variable.value_from.as_mut().is_some_and(|v| v.file_key_ref.take().is_some()) {
            dropped.push(format!("{path}.env[{i}].valueFrom.fileKeyRef"));
        }
    }
}

fn affinity_terms(affinity: &mut Affinity) -> impl Iterator<Item = &mut PodAffinityTerm> {
    let pod = affinity.pod_affinity.iter_mut().flat_map(|a| {
        let preferred = a.preferred_during_scheduling_ignored_during_execution.iter_mut().flatten();
        let required = a.required_during_scheduling_ignored_during_execution.iter_mut().flatten();
        preferred.map(|w| &mut w.pod_affinity_term).chain(required)
    });
    let anti = affinity.pod_anti_affinity.iter_mut().flat_map(|a| {
        let preferred = a.preferred_during_scheduling_ignored_during_execution.iter_mut().flatten();
        let required = a.required_during_scheduling_ignored_during_execution.iter_mut().flatten();
        preferred.map(|w| &mut w.pod_affinity_term).chain(required)
    });
    pod.chain(anti)
}

/// True if a term of the pod names keys whose values are to be the pod's own.
pub fn has_label_keys(spec: &PodSpec) -> bool {
    let given = |keys: &Option<Vec<String>>| keys.as_ref().is_some_and(|k| !k.is_empty());
    let term = |t: &PodAffinityTerm| given(&t.match_label_keys) || given(&t.mismatch_label_keys);
    let affinity = spec.affinity.as_ref();
    let pod = affinity.and_then(|a| a.pod_affinity.as_ref());
    let anti = affinity.and_then(|a| a.pod_anti_affinity.as_ref());
    spec.topology_spread_constraints.iter().flatten().any(|c| given(&c.match_label_keys))
        || pod.is_some_and(|a| {
            a.required_during_scheduling_ignored_during_execution.iter().flatten().any(term)
                || a.preferred_during_scheduling_ignored_during_execution
                    .iter()
                    .flatten()
                    .any(|w| term(&w.pod_affinity_term))
        })
        || anti.is_some_and(|a| {
            a.required_during_scheduling_ignored_during_execution.iter().flatten().any(term)
                || a.preferred_during_scheduling_ignored_during_execution
                    .iter()
                    .flatten()
                    .any(|w| term(&w.pod_affinity_term))
        })
}

/// `matchLabelKeys` and `mismatchLabelKeys` become requirements of the selector beside them (KEPs 3243 and 3633).
pub fn merge_label_keys(spec: &mut PodSpec, labels: &Labels) {
    for term in spec.affinity.iter_mut().flat_map(affinity_terms) {
        if let Some(selector) = &mut term.label_selector {
            require(selector, term.match_label_keys.as_deref(), "In", labels);
            require(selector, term.mismatch_label_keys.as_deref(), "NotIn", labels);
        }
    }
    for constraint in spec.topology_spread_constraints.iter_mut().flatten() {
        if let Some(selector) = &mut constraint.label_selector {
            require(selector, constraint.match_label_keys.as_deref(), "In", labels);
        }
    }
}

fn require(selector: &mut LabelSelector, keys: Option<&[String]>, operator: &str, labels: &Labels) {
    for (key, value) in keys.unwrap_or_default().iter().filter_map(|k| Some((k, labels.get(k)?))) {
        selector.match_expressions.get_or_insert_with(Vec::new).push(LabelSelectorRequirement {
            key: key.clone(),
            operator: operator.to_string(),
            values: Some(vec![value.clone()]),
        });
    }
}

/// The labels by which a Job knows its pods, and the selector on them. What is there already stays.
fn generate_selector(spec: &mut JobSpec, meta: &Meta) {
    let metadata = spec.template.metadata.get_or_insert_with(Default::default);
    let labels = metadata.labels.get_or_insert_with(BTreeMap::new);
    let uid = meta.uid.to_string();
    for (key, value) in [
        ("job-name", meta.name()),
        ("batch.kubernetes.io/job-name", meta.name()),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
    ] {
        labels.entry(key.to_string()).or_insert_with(|| value.to_string());
    }
    let selector = spec.selector.get_or_insert_with(Default::default);
    let wanted = selector.match_labels.get_or_insert_with(BTreeMap::new);
    wanted.entry("batch.kubernetes.io/controller-uid".to_string()).or_insert(uid);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::meta::{Key, Uid};
    use crate::api::object::{Job, Pod};
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Object {
        let spec = Arc::new(serde_json::from_value(spec).unwrap());
        let mut meta = Meta::named(Key::new("default", "p"));
        meta.labels = Arc::new([("v".to_string(), "1".to_string())].into());
        Object::new(meta, Body::Pod(Pod { spec, ..Pod::default() }))
    }

    #[test]
    fn fields_of_gates_that_are_off_are_dropped() {
        let mut object = pod(json!({
            "initContainers": [
                {"name": "a", "restartPolicy": "Always"},
                {"name": "b", "restartPolicy": "OnFailure"},
            ],
            "containers": [{"name": "c", "restartPolicy": "Never", "lifecycle": {"stopSignal": "SIGTERM"}}],
            "hostnameOverride": "x",
        }));
        let dropped = prepare_create(&mut object, FeatureGates::default());
        assert_eq!(
            dropped,
            [
                "spec.hostnameOverride",
                "spec.containers[0].restartPolicy",
                "spec.containers[0].lifecycle.stopSignal",
                "spec.initContainers[1].restartPolicy",
            ]
        );
        let spec = &object.as_pod().unwrap().spec;
        assert_eq!(spec.init_containers.as_ref().unwrap()[0].restart_policy.as_deref(), Some("Always"));
        let before = Arc::clone(spec);
        assert!(prepare_create(&mut object, FeatureGates::default()).is_empty());
        assert!(Arc::ptr_eq(&before, &object.as_pod().unwrap().spec));
    }

    #[test]
    fn label_keys_become_requirements_if_the_pod_has_the_label() {
        let selector = json!({"matchLabels": {"app": "web"}});
        let mut object = pod(json!({
            "containers": [],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "z", "labelSelector": selector, "matchLabelKeys": ["none"], "mismatchLabelKeys": ["v"]},
            ]}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector,
                 "matchLabelKeys": ["v"]},
            ],
        }));
        prepare_create(&mut object, FeatureGates::default());
        let spec = serde_json::to_value(&*object.as_pod().unwrap().spec).unwrap();
        assert_eq!(
            spec.pointer(
                "/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector"
            ),
            Some(&json!({
                "matchLabels": {"app": "web"},
                "matchExpressions": [{"key": "v", "operator": "NotIn", "values": ["1"]}],
            }))
        );
        assert_eq!(
            spec.pointer("/topologySpreadConstraints/0/labelSelector/matchExpressions"),
            Some(&json!([{"key": "v", "operator": "In", "values": ["1"]}]))
        );
    }

    #[test]
    fn jobs_select_their_pods_by_uid_unless_told_otherwise() {
        let mut meta = Meta::named(Key::new("default", "j"));
        meta.uid = Uid(1);
        for (manual, generated) in [(None, true), (Some(false), true), (Some(true), false)] {
            let spec = Arc::new(JobSpec { manual_selector: manual, ..JobSpec::default() });
            let mut job = Object::new(meta.clone(), Body::Job(Job { spec, ..Job::default() }));
            prepare_create(&mut job, FeatureGates::default());
            let spec = &job.as_job().unwrap().spec;
            assert_eq!(spec.selector.is_some(), generated);
            let labels = spec.template.metadata.as_ref().and_then(|m| m.labels.as_ref());
            assert_eq!(labels.map(BTreeMap::len), generated.then_some(4));
        }
    }
}
