//! Pods and pod templates (`pkg/apis/core/v1/defaults.go`).

use k8s_openapi::api::core::v1::{
    Container, EphemeralContainer, Lifecycle, ObjectFieldSelector, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;

use super::image::image_tag;
use super::volumes::default_volume;
use crate::helpers::resources::{
    PodResourcesOptions, WireResources, container_limits, container_requests, is_pod_level_resource,
};
use crate::quantity::Quantity;

/// Sets an absent or empty text.
pub(super) fn text(field: &mut Option<String>, default: &str) {
    if field.as_deref().is_none_or(str::is_empty) {
        *field = Some(default.to_string());
    }
}

/// Defaults of a pod: what only pods get (`SetDefaults_Pod`), and what every pod spec gets.
///
/// ```
/// # use k8s_openapi::api::core::v1::PodSpec;
/// let mut spec = PodSpec::default();
/// sim_core::api::defaults::default_pod(&mut spec);
/// assert_eq!((spec.restart_policy.as_deref(), spec.enable_service_links), (Some("Always"), Some(true)));
/// ```
pub fn default_pod(spec: &mut PodSpec) {
    let host_network = spec.host_network == Some(true);
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        if let Some(resources) = &mut container.resources {
            requests_from_limits(resources);
        }
        if host_network {
            for port in container.ports.iter_mut().flatten() {
                if port.host_port.unwrap_or_default() == 0 {
                    port.host_port = Some(port.container_port);
                }
            }
        }
    }
    default_pod_level(spec);
    spec.enable_service_links.get_or_insert(true);
    default_pod_spec(spec);
}

fn requests_from_limits(resources: &mut ResourceRequirements) {
    if let Some(limits) = &resources.limits {
        let requests = resources.requests.get_or_insert_default();
        for (name, limit) in limits {
            requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
}

/// Resources of the pod as a whole (PodLevelResources): huge page limits from the containers, then requests from the
/// containers, or else from the limits.
fn default_pod_level(spec: &mut PodSpec) {
    let Some(resources) = &spec.resources else { return };
    let mut limits = resources.limits.clone().unwrap_or_default();
    let mut requests = resources.requests.clone().unwrap_or_default();
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    let options = PodResourcesOptions::default();
    for (name, limit) in container_limits(spec, &options).iter() {
        if name.starts_with("hugepages-") && !requests.contains_key(name) {
            limits.entry(name.to_string()).or_insert_with(|| limit.to_wire());
        }
    }
    if !limits.is_empty() {
        for (name, request) in container_requests(spec, &options).iter() {
            if matches!(name, "cpu" | "memory") {
                requests.entry(name.to_string()).or_insert_with(|| request.to_wire());
            }
        }
        for (name, limit) in limits.iter().filter(|(name, _)| is_pod_level_resource(name)) {
            requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
    if let Some(resources) = &mut spec.resources {
        resources.limits = Some(limits).filter(|l| !l.is_empty());
        resources.requests = Some(requests).filter(|r| !r.is_empty());
    }
}

/// Defaults of a template: an absent part is an empty one.
pub fn default_template(template: &mut PodTemplateSpec) {
    template.metadata.get_or_insert_default();
    default_pod_spec(template.spec.get_or_insert_default());
}

/// Defaults of every pod spec, in pods and in templates.
pub fn default_pod_spec(spec: &mut PodSpec) {
    text(&mut spec.dns_policy, "ClusterFirst");
    text(&mut spec.restart_policy, "Always");
    text(&mut spec.scheduler_name, "default-scheduler");
    spec.security_context.get_or_insert_with(PodSecurityContext::default);
    spec.termination_grace_period_seconds.get_or_insert(30);
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        default_container(container);
    }
    for container in spec.ephemeral_containers.iter_mut().flatten() {
        default_ephemeral(container);
    }
    if let Some(resources) = &mut spec.resources {
        round(&mut resources.limits);
        round(&mut resources.requests);
    }
    round(&mut spec.overhead);
    spec.volumes.iter_mut().flatten().for_each(default_volume);
}

fn default_container(c: &mut Container) {
    let policy = if image_tag(c.image.as_deref().unwrap_or_default()) == Some("latest") {
        "Always"
    } else {
        "IfNotPresent"
    };
    text(&mut c.image_pull_policy, policy);
    text(&mut c.termination_message_path, "/dev/termination-log");
    text(&mut c.termination_message_policy, "File");
    let resources = c.resources.get_or_insert_default();
    round(&mut resources.limits);
    round(&mut resources.requests);
    for port in c.ports.iter_mut().flatten() {
        text(&mut port.protocol, "TCP");
    }
    for from in c.env.iter_mut().flatten().filter_map(|e| e.value_from.as_mut()) {
        from.field_ref.iter_mut().for_each(default_field);
        if let Some(resource) = &mut from.resource_field_ref {
            resource.divisor.get_or_insert_with(|| WireQuantity("0".to_string()));
        }
    }
    for probe in [&mut c.liveness_probe, &mut c.readiness_probe, &mut c.startup_probe] {
        probe.iter_mut().for_each(default_probe);
    }
    c.lifecycle.iter_mut().for_each(default_lifecycle);
}

/// An ephemeral container has the fields of a container.
fn default_ephemeral(e: &mut EphemeralContainer) {
    let mut c = Container {
        env: e.env.take(),
        image: e.image.take(),
        image_pull_policy: e.image_pull_policy.take(),
        lifecycle: e.lifecycle.take(),
        liveness_probe: e.liveness_probe.take(),
        ports: e.ports.take(),
        readiness_probe: e.readiness_probe.take(),
        resources: e.resources.take(),
        startup_probe: e.startup_probe.take(),
        termination_message_path: e.termination_message_path.take(),
        termination_message_policy: e.termination_message_policy.take(),
        ..Container::default()
    };
    default_container(&mut c);
    e.env = c.env;
    e.image = c.image;
    e.image_pull_policy = c.image_pull_policy;
    e.lifecycle = c.lifecycle;
    e.liveness_probe = c.liveness_probe;
    e.ports = c.ports;
    e.readiness_probe = c.readiness_probe;
    e.resources = c.resources;
    e.startup_probe = c.startup_probe;
    e.termination_message_path = c.termination_message_path;
    e.termination_message_policy = c.termination_message_policy;
}

pub(super) fn default_field(field: &mut ObjectFieldSelector) {
    text(&mut field.api_version, "v1");
}

fn default_probe(probe: &mut Probe) {
    for (field, default) in [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ] {
        if field.unwrap_or_default() == 0 {
            *field = Some(default);
        }
    }
    if let Some(http) = &mut probe.http_get {
        text(&mut http.path, "/");
        text(&mut http.scheme, "HTTP");
    }
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn default_lifecycle(lifecycle: &mut Lifecycle) {
    let handlers = [&mut lifecycle.post_start, &mut lifecycle.pre_stop];
    for http in handlers.into_iter().flatten().filter_map(|h| h.http_get.as_mut()) {
        text(&mut http.path, "/");
        text(&mut http.scheme, "HTTP");
    }
}

/// Rounds the quantities of a list up to thousandths (`SetDefaults_ResourceList`).
pub(super) fn round(list: &mut Option<WireResources>) {
    for quantity in list.iter_mut().flat_map(|l| l.values_mut()) {
        if let Ok(mut parsed) = Quantity::parse(&quantity.0) {
            parsed.round_up(-3);
            let text = parsed.to_string();
            if text != quantity.0 {
                quantity.0 = text;
            }
        }
    }
}

/// The deprecated `serviceAccount` repeats `serviceAccountName`, and stands in for it.
pub(super) fn repeat_service_account(spec: &mut PodSpec) {
    if spec.service_account_name.is_none() {
        spec.service_account_name.clone_from(&spec.service_account);
    }
    spec.service_account.clone_from(&spec.service_account_name);
}
