//! Pods and pod templates. Upstream: `pkg/apis/core/validation/validation.go`.
//!
//! Gates stand as in 1.34 by default. Not looked into: Windows options, sysctls, ephemeral containers, sources of
//! volumes that in-tree code no longer mounts, and the deprecated seccomp and AppArmor annotations.

mod containers;
mod env;
mod probes;
pub(super) mod resources;
pub(super) mod scheduling;
mod security;
mod update;
pub(super) mod volumes;
mod warnings;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodResourceClaim, PodSpec, PodTemplateSpec};

use self::volumes::Volumes;
use super::common::{dns_label, dns_subdomain, flag, labels, legacy_ip, list, one_of, text};
use super::field::{Errors, Path, Shown};
use super::meta;
use super::names;
use crate::api::kind::KindInfo;
use crate::api::meta::{Labels, Meta};
use crate::api::object::Pod;

pub(super) use update::update;
pub(super) use warnings::{pod_warnings, template_warnings};

const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/// What the checks of one pod share.
struct Context<'a> {
    spec: &'a PodSpec,
    volumes: Volumes<'a>,
    claims: BTreeSet<&'a str>,
}

/// A pod spec in its surroundings.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub spec: &'a PodSpec,
    /// `spec.nodeName`.
    pub node_name: &'a str,
    /// Empty for templates.
    pub pod_name: &'a str,
    /// A pod, not a template.
    pub is_pod: bool,
}

/// `ValidatePodCreate`.
pub(super) fn create(e: &mut Errors, meta: &Meta, pod: &Pod, info: &KindInfo) {
    metadata_and_spec(e, meta, pod, info);
    let path = Path::root("spec");
    if !list(&pod.spec.ephemeral_containers).is_empty() {
        e.forbidden(&path.child("ephemeralContainers"), "cannot be set on create");
    }
    if !node_name(pod).is_empty() && !list(&pod.spec.scheduling_gates).is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        e.forbidden(&path.child("nodeName"), detail);
    }
}

fn node_name(pod: &Pod) -> &str {
    if pod.node_name.is_empty() { text(&pod.spec.node_name) } else { &pod.node_name }
}

/// `validatePodMetadataAndSpec`.
fn metadata_and_spec(e: &mut Errors, meta: &Meta, pod: &Pod, info: &KindInfo) {
    meta::create(e, meta, info, meta::name_rule(crate::api::kind::Kind::POD));
    let metadata = Path::root("metadata");
    pod_annotations(e, &metadata.child("annotations"), &meta.annotations, node_name(pod));
    let path = Path::root("spec");
    let subject = Subject { spec: &pod.spec, node_name: node_name(pod), pod_name: meta.name(), is_pod: true };
    if meta.annotation(MIRROR_ANNOTATION).is_some() {
        for _ in list(&pod.spec.resource_claims) {
            e.forbidden(&Path::root(""), "static pods do not support resource claims");
        }
    }
    spec(e, &path, subject);
    if text(&pod.spec.service_account_name).is_empty() {
        tokens_without_account(e, &path.child("volumes"), &pod.spec);
    }
    let main = path.child("containers");
    let init = path.child("initContainers");
    for (at, containers) in [(&main, &pod.spec.containers[..]), (&init, list(&pod.spec.init_containers))] {
        for (i, container) in containers.iter().enumerate() {
            let image = text(&container.image);
            if image.trim() != image {
                let at = at.index(i);
                e.invalid(&at.child("image"), image, "must not have leading or trailing whitespace");
            }
        }
    }
}

fn tokens_without_account(e: &mut Errors, path: &Path<'_>, spec: &PodSpec) {
    for (i, volume) in list(&spec.volumes).iter().enumerate() {
        let at = path.index(i);
        let at = at.child("projected");
        let at = at.child("sources");
        let sources = volume.projected.as_ref().map_or(&[][..], |p| list(&p.sources));
        for (j, _) in sources.iter().enumerate().filter(|(_, s)| s.service_account_token.is_some()) {
            let at = at.index(j);
            e.forbidden(
                &at.child("serviceAccountToken"),
                "must not be specified when serviceAccountName is not set",
            );
        }
    }
}

/// `ValidatePodSpecificAnnotations`.
fn pod_annotations(e: &mut Errors, path: &Path<'_>, annotations: &Labels, node_name: &str) {
    if let Some(value) = annotations.get(MIRROR_ANNOTATION)
        && node_name.is_empty()
    {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        e.invalid(&path.key(MIRROR_ANNOTATION), value, detail);
    }
    if let Some(cost) = annotations.get(DELETION_COST) {
        // A leading plus sign or zero is refused, too.
        let canonical = cost.parse::<i32>().is_ok_and(|n| n.to_string() == *cost);
        if !canonical {
            e.invalid(&path.key(DELETION_COST), cost, "must be a 32bit integer");
        }
    }
}

/// `ValidatePodTemplateSpec`.
pub(super) fn template(e: &mut Errors, path: &Path<'_>, template: &PodTemplateSpec) {
    let none = PodSpec::default();
    let pod_spec = template.spec.as_ref().unwrap_or(&none);
    if let Some(meta) = &template.metadata {
        // Upstream's paths leave `metadata` out here.
        if let Some(wanted) = &meta.labels {
            labels(e, &path.child("labels"), wanted);
        }
        if let Some(given) = &meta.annotations {
            let at = path.child("annotations");
            meta::annotations(e, &at, given);
            pod_annotations(e, &at, given, text(&pod_spec.node_name));
        }
    }
    let subject =
        Subject { spec: pod_spec, node_name: text(&pod_spec.node_name), pod_name: "", is_pod: false };
    let at = path.child("spec");
    spec(e, &at, subject);
    if !list(&pod_spec.ephemeral_containers).is_empty() {
        e.forbidden(&at.child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// `ValidatePodSpec`.
pub(super) fn spec(e: &mut Errors, path: &Path<'_>, subject: Subject<'_>) {
    let spec = subject.spec;
    if spec.termination_grace_period_seconds.is_none() {
        e.required(&path.child("terminationGracePeriodSeconds"), "");
    }
    let volumes = volumes::all(e, &path.child("volumes"), spec, subject.pod_name);
    let pod_claims = list(&spec.resource_claims);
    let claims = pod_claims.iter().map(|c| c.name.as_str()).filter(|n| !n.is_empty()).collect();
    resource_claims(e, &path.child("resourceClaims"), pod_claims);
    let context = Context { spec, volumes, claims };
    containers::main(e, &path.child("containers"), &context);
    containers::init(e, &path.child("initContainers"), &context);
    resources::pod_level(e, &path.child("resources"), spec, &context.claims);
    host_network(e, &path.child("containers"), subject);
    one_of(e, &path.child("restartPolicy"), text(&spec.restart_policy), &["Always", "OnFailure", "Never"]);
    one_of(e, &path.child("dnsPolicy"), text(&spec.dns_policy), &DNS_POLICIES);
    if let Some(selector) = &spec.node_selector {
        labels(e, &path.child("nodeSelector"), selector);
    }
    security::pod(e, &path.child("securityContext"), spec);
    if let Some(affinity) = &spec.affinity {
        scheduling::affinity(e, &path.child("affinity"), affinity);
    }
    dns_config(e, &path.child("dnsConfig"), spec);
    scheduling::gates(e, path, spec);
    let constraints = list(&spec.topology_spread_constraints);
    scheduling::spread(e, &path.child("topologySpreadConstraints"), constraints);
    host_users(e, path, spec);
    plain_fields(e, path, subject);
}

/// The fields after the hard ones, in upstream's order.
fn plain_fields(e: &mut Errors, path: &Path<'_>, subject: Subject<'_>) {
    let spec = subject.spec;
    let account = text(&spec.service_account_name);
    if !account.is_empty() {
        dns_subdomain(e, &path.child("serviceAccountName"), account);
    }
    if !subject.node_name.is_empty() {
        dns_subdomain(e, &path.child("nodeName"), subject.node_name);
    }
    if let Some(seconds) = spec.active_deadline_seconds.filter(|s| !(1..=i64::from(i32::MAX)).contains(s)) {
        let detail = "must be between 1 and 2147483647, inclusive";
        e.invalid(&path.child("activeDeadlineSeconds"), seconds, detail);
    }
    for (field, value) in [("hostname", text(&spec.hostname)), ("subdomain", text(&spec.subdomain))] {
        if !value.is_empty() {
            dns_label(e, &path.child(field), value);
        }
    }
    scheduling::tolerations(e, &path.child("tolerations"), list(&spec.tolerations));
    host_aliases(e, &path.child("hostAliases"), spec);
    let class = text(&spec.priority_class_name);
    if !class.is_empty() {
        dns_subdomain(e, &path.child("priorityClassName"), class);
    }
    if let Some(class) = &spec.runtime_class_name {
        dns_subdomain(e, &path.child("runtimeClassName"), class);
    }
    if let Some(policy) = &spec.preemption_policy {
        one_of(e, &path.child("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
    }
    if let Some(overhead) = &spec.overhead {
        let as_limits = k8s_openapi::api::core::v1::ResourceRequirements {
            limits: Some(overhead.clone()),
            ..Default::default()
        };
        let at = path.child("overhead");
        resources::requirements(e, &at, &as_limits, resources::Of::Container, &BTreeSet::new());
    }
    if let Some(os) = &spec.os {
        let at = path.child("os");
        match os.name.as_str() {
            "" => e.required(&at.child("name"), ""),
            "linux" | "windows" => {}
            other => e.not_supported(&at, other, &["linux", "windows"]),
        }
    }
}

/// `validatePodResourceClaims`.
fn resource_claims(e: &mut Errors, path: &Path<'_>, claims: &[PodResourceClaim]) {
    let mut seen = BTreeSet::new();
    for (i, claim) in claims.iter().enumerate() {
        let at = path.index(i);
        if claim.name.is_empty() {
            e.required(&at.child("name"), "");
        } else if seen.contains(claim.name.as_str()) {
            e.duplicate(&at.child("name"), &claim.name);
        } else {
            dns_label(e, &at.child("name"), &claim.name);
            seen.insert(claim.name.as_str());
        }
        let shown = || {
            Shown::raw(format!(
                "{{\"Name\":{},\"ResourceClaimName\":{},\"ResourceClaimTemplateName\":{}}}",
                super::field::go_json(&claim.name),
                super::field::go_json(&claim.resource_claim_name),
                super::field::go_json(&claim.resource_claim_template_name)
            ))
        };
        match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
            (Some(_), Some(_)) => {
                let detail =
                    "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                e.invalid(&at, shown(), detail);
            }
            (None, None) => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                e.invalid(&at, shown(), detail);
            }
            _ => {}
        }
        for (field, name) in [
            ("resourceClaimName", &claim.resource_claim_name),
            ("resourceClaimTemplateName", &claim.resource_claim_template_name),
        ] {
            if let Some(name) = name {
                dns_subdomain(e, &at.child(field), name);
            }
        }
    }
}

/// `validatePodHostNetworkDeps`.
fn host_network(e: &mut Errors, path: &Path<'_>, subject: Subject<'_>) {
    if !flag(subject.spec.host_network) {
        return;
    }
    for (i, container) in subject.spec.containers.iter().enumerate() {
        let at = path.index(i);
        let ports = at.child("ports");
        for (j, port) in list(&container.ports).iter().enumerate() {
            let host_port = port.host_port.unwrap_or(0);
            if (subject.is_pod || host_port != 0) && host_port != port.container_port {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                e.invalid(&ports.index(j).child("hostPort"), host_port, detail);
            }
        }
    }
}

/// `validatePodDNSConfig`.
fn dns_config(e: &mut Errors, path: &Path<'_>, spec: &PodSpec) {
    let none = text(&spec.dns_policy) == "None";
    let Some(config) = &spec.dns_config else {
        if none {
            e.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        return;
    };
    let (servers, searches) = (list(&config.nameservers), list(&config.searches));
    let servers_path = path.child("nameservers");
    if none && servers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        e.required(&servers_path, detail);
        return;
    }
    if servers.len() > 3 {
        e.invalid(&servers_path, Shown::json(&servers), "must not have more than 3 nameservers");
    }
    for (i, server) in servers.iter().enumerate() {
        legacy_ip(e, &servers_path.index(i), server);
    }
    let searches_path = path.child("searches");
    if searches.len() > 32 {
        e.invalid(&searches_path, Shown::json(&searches), "must not have more than 32 search paths");
    }
    if searches.join(" ").len() > 2048 {
        let detail = "must not have more than 2048 characters (including spaces) in the search list";
        e.invalid(&searches_path, Shown::json(&searches), detail);
    }
    for (i, search) in searches.iter().enumerate().filter(|(_, s)| *s != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        e.invalid_each(&searches_path.index(i), search, names::dns1123_subdomain(&search.replace('_', "0")));
    }
    let options = path.child("options");
    for (i, option) in list(&config.options).iter().enumerate() {
        if text(&option.name).is_empty() {
            e.required(&options.index(i), "must not be empty");
        }
    }
}

fn host_aliases(e: &mut Errors, path: &Path<'_>, spec: &PodSpec) {
    for (i, alias) in list(&spec.host_aliases).iter().enumerate() {
        let at = path.index(i);
        legacy_ip(e, &at.child("ip"), &alias.ip);
        let hostnames = at.child("hostnames");
        for (j, hostname) in list(&alias.hostnames).iter().enumerate() {
            dns_subdomain(e, &hostnames.index(j), hostname);
        }
    }
}

/// `validateHostUsers`: a pod with users of its own shares nothing of the host's.
fn host_users(e: &mut Errors, path: &Path<'_>, spec: &PodSpec) {
    if spec.host_users != Some(false) {
        return;
    }
    for (field, shared) in
        [("hostNetwork", spec.host_network), ("HostPID", spec.host_pid), ("HostIPC", spec.host_ipc)]
    {
        if flag(shared) {
            e.forbidden(&path.child(field), "when `hostUsers` is false");
        }
    }
}
