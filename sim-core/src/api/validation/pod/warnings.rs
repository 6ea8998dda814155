//! Things that are allowed, but hardly meant. Upstream: `pkg/api/pod/warnings.go`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec, PodTemplateSpec};

use crate::api::meta::{Labels, Meta};
use crate::api::validation::Warnings;
use crate::api::validation::common::{list, text};
use crate::api::validation::names;
use crate::quantity::Quantity;

const DEPRECATED_LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
];
const DEPRECATED_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

/// Warnings about a pod that is being created.
pub(in crate::api::validation) fn pod_warnings(meta: &Meta, spec: &PodSpec, out: &mut Warnings) {
    let messages = names::dns1123_label(meta.name());
    if !messages.is_empty() {
        out.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is \
             recommended: [{}]",
            messages.join(" ")
        ));
    }
    spec_warnings("", spec, &meta.annotations, out);
}

/// Warnings about a pod template at `path`.
pub(in crate::api::validation) fn template_warnings(
    path: &str,
    template: &PodTemplateSpec,
    out: &mut Warnings,
) {
    let none = Labels::new();
    let annotations = template.metadata.as_ref().and_then(|m| m.annotations.as_ref()).unwrap_or(&none);
    if let Some(spec) = &template.spec {
        spec_warnings(&format!("{path}."), spec, annotations, out);
    }
}

fn spec_warnings(prefix: &str, spec: &PodSpec, annotations: &Labels, out: &mut Warnings) {
    deprecated_labels(prefix, spec, out);
    for (key, message) in DEPRECATED_ANNOTATIONS.iter().filter(|(k, _)| annotations.contains_key(*k)) {
        out.push(format!("{prefix}metadata.annotations[{key}]: {message}"));
    }
    duplicates(prefix, spec, out);
    let containers = all_containers(prefix, spec);
    for (at, container) in &containers {
        let resources = container.resources.clone().unwrap_or_default();
        for resource in ["memory", "ephemeral-storage"] {
            for (field, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
                let amount = amounts.as_ref().and_then(|a| a.get(resource)).map(Quantity::from_wire);
                if let Some(amount) = amount.filter(|a| a.milli_value() % 1000 != 0) {
                    out.push(format!(
                        "{at}.resources.{field}[{resource}]: fractional byte value {:?} is invalid, must be an integer",
                        amount.to_string()
                    ));
                }
            }
        }
        hidden_variables(at, container, out);
    }
    ports(&containers, out);
    if spec.termination_grace_period_seconds.is_some_and(|g| g < 0) {
        out.push(format!(
            "{prefix}spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    null_selectors(prefix, spec, out);
}

fn all_containers<'a>(prefix: &str, spec: &'a PodSpec) -> Vec<(String, &'a Container)> {
    let init = list(&spec.init_containers).iter().enumerate();
    let main = spec.containers.iter().enumerate();
    init.map(|(i, c)| (format!("{prefix}spec.initContainers[{i}]"), c))
        .chain(main.map(|(i, c)| (format!("{prefix}spec.containers[{i}]"), c)))
        .collect()
}

fn deprecated_label(key: &str) -> Option<&'static str> {
    DEPRECATED_LABELS.iter().find(|(label, _)| *label == key).map(|(_, message)| *message)
}

fn deprecated_labels(prefix: &str, spec: &PodSpec, out: &mut Warnings) {
    for key in spec.node_selector.iter().flat_map(BTreeMap::keys) {
        if let Some(message) = deprecated_label(key) {
            out.push(format!("{prefix}spec.nodeSelector[{key}]: {message}"));
        }
    }
    let node = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let required = node.and_then(|n| n.required_during_scheduling_ignored_during_execution.as_ref());
    for (i, term) in required.map_or(&[][..], |r| &r.node_selector_terms).iter().enumerate() {
        for (j, requirement) in list(&term.match_expressions).iter().enumerate() {
            if let Some(message) = deprecated_label(&requirement.key) {
                out.push(format!(
                    "{prefix}spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.\
                     nodeSelectorTerms[{i}].matchExpressions[{j}].key: {} is {message}",
                    requirement.key
                ));
            }
        }
    }
    for (i, constraint) in list(&spec.topology_spread_constraints).iter().enumerate() {
        let at = format!("{prefix}spec.topologySpreadConstraints[{i}]");
        if let Some(message) = deprecated_label(&constraint.topology_key) {
            out.push(format!("{at}.topologyKey: {} is {message}", constraint.topology_key));
        }
        if constraint.label_selector.is_none() {
            out.push(format!("{at}.labelSelector: a null labelSelector results in matching no pod"));
        }
    }
}

fn duplicates(prefix: &str, spec: &PodSpec, out: &mut Warnings) {
    let aliases = list(&spec.host_aliases);
    for (i, alias) in aliases.iter().enumerate() {
        if aliases[..i].iter().any(|a| a.ip == alias.ip) {
            out.push(format!("{prefix}spec.hostAliases[{i}].ip: duplicate ip {:?}", alias.ip));
        }
    }
    let secrets = list(&spec.image_pull_secrets);
    for (i, secret) in secrets.iter().enumerate() {
        if secrets[..i].iter().any(|s| s.name == secret.name) {
            out.push(format!("{prefix}spec.imagePullSecrets[{i}].name: duplicate name {:?}", secret.name));
        }
    }
    for (i, _) in secrets.iter().enumerate().filter(|(_, s)| s.name.is_empty()) {
        out.push(format!("{prefix}spec.imagePullSecrets[{i}].name: invalid empty name \"\""));
    }
}

fn hidden_variables(at: &str, container: &Container, out: &mut Warnings) {
    let variables = list(&container.env);
    for (i, variable) in variables.iter().enumerate() {
        let again = variables[..i].iter().any(|v| v.name == variable.name);
        let value = text(&variable.value);
        let reference = format!("$({})", variable.name);
        let extends = variable.value_from.is_none() && value != reference && value.contains(&reference);
        if again && !extends {
            out.push(format!(
                "{at}.env[{i}]: hides previous definition of {:?}, which may be dropped when using apply",
                variable.name
            ));
        }
    }
}

fn ports(containers: &[(String, &Container)], out: &mut Warnings) {
    let mut all: Vec<(String, &ContainerPort)> = Vec::new();
    for (at, container) in containers {
        for (i, port) in list(&container.ports).iter().enumerate() {
            all.push((format!("{at}.ports[{i}]"), port));
        }
    }
    for (i, (at, port)) in all.iter().enumerate() {
        let same = |other: &ContainerPort| {
            other.container_port == port.container_port && other.protocol == port.protocol
        };
        for (other_at, other) in all[..i].iter().filter(|(_, o)| same(o)) {
            let (a, b) = (port.host_port.unwrap_or(0), other.host_port.unwrap_or(0));
            let (ip_a, ip_b) = (text(&port.host_ip), text(&other.host_ip));
            let kind = match () {
                () if ip_a == ip_b && a == b => "duplicate",
                () if a == 0 || b == 0 => "overlapping",
                () if a == b && ip_a.is_empty() != ip_b.is_empty() => "dangerously ambiguous",
                () => continue,
            };
            out.push(format!("{at}: {kind} port definition with {other_at}"));
        }
    }
    for (i, (at, port)) in all.iter().enumerate() {
        let name = text(&port.name);
        if name.is_empty() {
            continue;
        }
        if let Some((first, _)) = all[..i].iter().find(|(_, o)| text(&o.name) == name) {
            out.push(format!(
                "{at}: duplicate port name {name:?} with {first}, services and probes that select ports by name will use \
                 {first}"
            ));
        }
    }
}

fn null_selectors(prefix: &str, spec: &PodSpec, out: &mut Warnings) {
    let Some(affinity) = &spec.affinity else { return };
    let both = [
        (
            "podAffinity",
            affinity.pod_affinity.as_ref().map(|a| {
                (
                    list(&a.required_during_scheduling_ignored_during_execution),
                    list(&a.preferred_during_scheduling_ignored_during_execution),
                )
            }),
        ),
        (
            "podAntiAffinity",
            affinity.pod_anti_affinity.as_ref().map(|a| {
                (
                    list(&a.required_during_scheduling_ignored_during_execution),
                    list(&a.preferred_during_scheduling_ignored_during_execution),
                )
            }),
        ),
    ];
    let says = "labelSelector: a null labelSelector results in matching no pod";
    for (field, terms) in both {
        let Some((required, preferred)) = terms else { continue };
        let at = format!("{prefix}spec.affinity.{field}");
        for (i, _) in required.iter().enumerate().filter(|(_, t)| t.label_selector.is_none()) {
            out.push(format!("{at}.requiredDuringSchedulingIgnoredDuringExecution[{i}].{says}"));
        }
        for (i, _) in
            preferred.iter().enumerate().filter(|(_, t)| t.pod_affinity_term.label_selector.is_none())
        {
            out.push(format!(
                "{at}.preferredDuringSchedulingIgnoredDuringExecution[{i}].podAffinityTerm.{says}"
            ));
        }
    }
}
