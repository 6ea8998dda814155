//! What the scheduler reads: affinity, tolerations, spreading, gates.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm,
    PodSpec, Toleration, TopologySpreadConstraint, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::api::validation::common::{
    label_name, label_selector, list, operator_and_values, optional_one_of, text,
};
use crate::api::validation::field::{Errors, Path};
use crate::api::validation::names;

pub(in crate::api::validation) const TAINT_EFFECTS: [&str; 3] =
    ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const WEIGHT: &str = "must be in the range 1-100";

/// `validateAffinity`.
pub(super) fn affinity(e: &mut Errors, path: &Path<'_>, affinity: &Affinity) {
    if let Some(node) = &affinity.node_affinity {
        node_affinity(e, &path.child("nodeAffinity"), node);
    }
    if let Some(pod) = &affinity.pod_affinity {
        let (required, preferred) = (
            list(&pod.required_during_scheduling_ignored_during_execution),
            list(&pod.preferred_during_scheduling_ignored_during_execution),
        );
        pod_affinity(e, &path.child("podAffinity"), required, preferred);
    }
    if let Some(pod) = &affinity.pod_anti_affinity {
        let (required, preferred) = (
            list(&pod.required_during_scheduling_ignored_during_execution),
            list(&pod.preferred_during_scheduling_ignored_during_execution),
        );
        pod_affinity(e, &path.child("podAntiAffinity"), required, preferred);
    }
}

fn node_affinity(e: &mut Errors, path: &Path<'_>, affinity: &NodeAffinity) {
    if let Some(required) = &affinity.required_during_scheduling_ignored_during_execution {
        node_selector(e, &path.child(REQUIRED), required);
    }
    let preferred = path.child(PREFERRED);
    for (i, term) in list(&affinity.preferred_during_scheduling_ignored_during_execution).iter().enumerate() {
        let at = preferred.index(i);
        if !(1..=100).contains(&term.weight) {
            e.invalid(&at.child("weight"), term.weight, WEIGHT);
        }
        node_selector_term(e, &at.child("preference"), &term.preference, false);
    }
}

/// `ValidateNodeSelector`.
pub(in crate::api::validation) fn node_selector(e: &mut Errors, path: &Path<'_>, selector: &NodeSelector) {
    let terms = path.child("nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        e.required(&terms, "must have at least one node selector term");
    }
    for (i, term) in selector.node_selector_terms.iter().enumerate() {
        node_selector_term(e, &terms.index(i), term, true);
    }
}

fn node_selector_term(e: &mut Errors, path: &Path<'_>, term: &NodeSelectorTerm, check_values: bool) {
    let expressions = path.child("matchExpressions");
    for (i, requirement) in list(&term.match_expressions).iter().enumerate() {
        let at = expressions.index(i);
        let values = list(&requirement.values);
        operator_and_values(e, &at, &requirement.operator, values, true);
        label_name(e, &at.child("key"), &requirement.key);
        let values_path = at.child("values");
        for (j, value) in values.iter().enumerate().filter(|_| check_values) {
            e.invalid_each(&values_path.index(j), value, names::label_value(value));
        }
    }
    let fields = path.child("matchFields");
    for (i, requirement) in list(&term.match_fields).iter().enumerate() {
        field_requirement(e, &fields.index(i), requirement);
    }
}

fn field_requirement(e: &mut Errors, path: &Path<'_>, requirement: &NodeSelectorRequirement) {
    let values = list(&requirement.values);
    let values_path = path.child("values");
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.len() == 1 => {}
        "In" | "NotIn" => e.required(
            &values_path,
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
        ),
        other => e.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    if requirement.key == "metadata.name" {
        for (i, name) in values.iter().enumerate() {
            e.invalid_each(&values_path.index(i), name, names::dns1123_subdomain(name));
        }
    } else {
        e.invalid(&path.child("key"), &requirement.key, "not a valid field selector key");
    }
}

fn pod_affinity(
    e: &mut Errors,
    path: &Path<'_>,
    required: &[PodAffinityTerm],
    preferred: &[WeightedPodAffinityTerm],
) {
    let at = path.child(REQUIRED);
    for (i, term) in required.iter().enumerate() {
        pod_affinity_term(e, &at.index(i), term);
    }
    let at = path.child(PREFERRED);
    for (i, term) in preferred.iter().enumerate() {
        let at = at.index(i);
        if !(1..=100).contains(&term.weight) {
            e.invalid(&at.child("weight"), term.weight, WEIGHT);
        }
        pod_affinity_term(e, &at.child("podAffinityTerm"), &term.pod_affinity_term);
    }
}

fn pod_affinity_term(e: &mut Errors, path: &Path<'_>, term: &PodAffinityTerm) {
    label_selector(e, &path.child("labelSelector"), term.label_selector.as_ref());
    label_selector(e, &path.child("namespaceSelector"), term.namespace_selector.as_ref());
    for namespace in list(&term.namespaces) {
        e.invalid_each(&path.child("namespace"), namespace, names::dns1123_label(namespace));
    }
    let (matching, mismatching) = (list(&term.match_label_keys), list(&term.mismatch_label_keys));
    label_keys(e, path, matching, mismatching, term.label_selector.as_ref());
    if term.topology_key.is_empty() {
        e.required(&path.child("topologyKey"), "can not be empty");
    }
    label_name(e, &path.child("topologyKey"), &term.topology_key);
}

/// `ValidateMatchLabelKeysAndMismatchLabelKeys`.
fn label_keys(
    e: &mut Errors,
    path: &Path<'_>,
    matching: &[String],
    mismatching: &[String],
    selector: Option<&LabelSelector>,
) {
    for (field, keys) in [("matchLabelKeys", matching), ("mismatchLabelKeys", mismatching)] {
        let at = path.child(field);
        if keys.is_empty() {
            continue;
        }
        if selector.is_none() {
            e.forbidden(&at, "must not be specified when labelSelector is not set");
            continue;
        }
        for (i, key) in keys.iter().enumerate() {
            label_name(e, &at.index(i), key);
        }
    }
    if let Some(selector) = selector {
        let mut used: BTreeSet<&str> =
            selector.match_labels.iter().flat_map(BTreeMap::keys).map(String::as_str).collect();
        for expression in list(&selector.match_expressions) {
            let position = matching.iter().rposition(|k| *k == expression.key);
            if let Some(i) = position.filter(|_| used.contains(expression.key.as_str())) {
                e.invalid(&path.index(i), &expression.key, "exists in both matchLabelKeys and labelSelector");
            }
            used.insert(&expression.key);
        }
    }
    let at = path.child("matchLabelKeys");
    for (i, key) in matching.iter().enumerate().filter(|(_, k)| mismatching.contains(k)) {
        e.invalid(&at.index(i), key, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

/// `validateTopologySpreadConstraints`.
pub(super) fn spread(e: &mut Errors, path: &Path<'_>, constraints: &[TopologySpreadConstraint]) {
    for (i, constraint) in constraints.iter().enumerate() {
        let at = path.index(i);
        if constraint.max_skew <= 0 {
            e.invalid(&at.child("maxSkew"), constraint.max_skew, "must be greater than zero");
        }
        if constraint.topology_key.is_empty() {
            e.required(&at.child("topologyKey"), "can not be empty");
        }
        let action = constraint.when_unsatisfiable.as_str();
        if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
            let supported = ["DoNotSchedule", "ScheduleAnyway"];
            e.not_supported(&at.child("whenUnsatisfiable"), action, &supported);
        }
        let repeated = constraints[i + 1..]
            .iter()
            .any(|c| c.topology_key == constraint.topology_key && c.when_unsatisfiable == action);
        if repeated {
            let shown = format!("{{{}, {action}}}", constraint.topology_key);
            e.duplicate(&at.child("{topologyKey, whenUnsatisfiable}"), &shown);
        }
        if let Some(domains) = constraint.min_domains {
            let at = at.child("minDomains");
            if domains <= 0 {
                e.invalid(&at, domains, "must be greater than zero");
            }
            if action != "DoNotSchedule" {
                let detail =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                e.invalid(&at, domains, &detail);
            }
        }
        for (field, policy) in [
            ("nodeAffinityPolicy", &constraint.node_affinity_policy),
            ("nodeTaintsPolicy", &constraint.node_taints_policy),
        ] {
            optional_one_of(e, &at.child(field), policy, &["Honor", "Ignore"]);
        }
        let selector = constraint.label_selector.as_ref();
        label_keys(e, &at, list(&constraint.match_label_keys), &[], selector);
        label_selector(e, &at.child("labelSelector"), selector);
    }
}

/// `ValidateTolerations`.
pub(super) fn tolerations(e: &mut Errors, path: &Path<'_>, tolerations: &[Toleration]) {
    for (i, toleration) in tolerations.iter().enumerate() {
        let at = path.index(i);
        let (key, value) = (text(&toleration.key), text(&toleration.value));
        let (operator, effect) = (text(&toleration.operator), text(&toleration.effect));
        let operator_path = at.child("operator");
        if !key.is_empty() {
            label_name(e, &at.child("key"), key);
        } else if operator != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            e.invalid(&operator_path, operator, detail);
        }
        if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            e.invalid(&at.child("effect"), effect, detail);
        }
        match operator {
            "" | "Equal" => {
                let messages = names::label_value(value);
                if !messages.is_empty() {
                    e.invalid(&operator_path, value, &messages.join(";"));
                }
            }
            "Exists" if value.is_empty() => {}
            "Exists" => {
                e.invalid(&operator_path, value, "value must be empty when `operator` is 'Exists'");
            }
            other => e.not_supported(&operator_path, other, &["Equal", "Exists"]),
        }
        if !effect.is_empty() && !TAINT_EFFECTS.contains(&effect) {
            e.not_supported(&at.child("effect"), effect, &TAINT_EFFECTS);
        }
    }
}

/// `validateReadinessGates` and `validateSchedulingGates`.
pub(super) fn gates(e: &mut Errors, path: &Path<'_>, spec: &PodSpec) {
    let readiness = path.child("readinessGates");
    for (i, gate) in list(&spec.readiness_gates).iter().enumerate() {
        label_name(e, &readiness.index(i).child("conditionType"), &gate.condition_type);
    }
    let scheduling = path.child("schedulingGates");
    let mut seen = BTreeSet::new();
    for (i, gate) in list(&spec.scheduling_gates).iter().enumerate() {
        label_name(e, &scheduling.index(i), &gate.name);
        if !seen.insert(gate.name.as_str()) {
            e.duplicate(&scheduling.index(i), &gate.name);
        }
    }
}
