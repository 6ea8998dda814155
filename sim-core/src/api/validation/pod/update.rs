//! What may change in a pod that is there. Upstream: `ValidatePodUpdate`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    Container, NodeAffinity, NodeSelectorTerm, PodSchedulingGate, PodSpec, Toleration,
};

use super::{MIRROR_ANNOTATION, metadata_and_spec};
use crate::api::kind::KindInfo;
use crate::api::meta::Meta;
use crate::api::object::Pod;
use crate::api::validation::common::{list, text};
use crate::api::validation::field::{Errors, Path, Shown};
use crate::api::validation::{internal, meta};

const UPDATABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// `ValidatePodUpdate`.
pub(in crate::api::validation) fn update(
    e: &mut Errors,
    (new_meta, new): (&Meta, &Pod),
    (old_meta, old): (&Meta, &Pod),
    info: &KindInfo,
) {
    meta::update(e, new_meta, old_meta);
    if Arc::ptr_eq(&new.spec, &old.spec) && new.node_name == old.node_name {
        // Most writes change metadata alone; the spec was looked at when it came.
        meta::create(e, new_meta, info, meta::name_rule(crate::api::kind::Kind::POD));
        mirror(e, new_meta, old_meta);
        return;
    }
    metadata_and_spec(e, new_meta, new, info);
    mirror(e, new_meta, old_meta);
    let path = Path::root("spec");
    let (new_spec, old_spec) = (&*new.spec, &*old.spec);
    for (field, new, old) in [
        ("containers", &new_spec.containers[..], &old_spec.containers[..]),
        ("initContainers", list(&new_spec.init_containers), list(&old_spec.init_containers)),
    ] {
        if !images(e, &path.child(field), new, old) {
            return;
        }
    }
    if !deadline(e, &path.child("activeDeadlineSeconds"), new_spec, old_spec) {
        return;
    }
    let at = path.child("tolerations");
    only_added_tolerations(e, &at, list(&new_spec.tolerations), list(&old_spec.tolerations));
    let at = path.child("schedulingGates");
    only_deleted_gates(e, &at, list(&new_spec.scheduling_gates), list(&old_spec.scheduling_gates));
    rest(e, &path, new, old);
}

fn mirror(e: &mut Errors, new: &Meta, old: &Meta) {
    let path = Path::root("metadata");
    let path = path.child("annotations");
    let at = path.key(MIRROR_ANNOTATION);
    match (new.annotation(MIRROR_ANNOTATION), old.annotation(MIRROR_ANNOTATION)) {
        (new, Some(old)) if new != Some(old) => {
            e.forbidden(&at, "may not remove or update mirror pod annotation");
        }
        (Some(_), None) => e.forbidden(&at, "may not add mirror pod annotation"),
        _ => {}
    }
}

/// Returns whether the lists are of one length.
fn images(e: &mut Errors, path: &Path<'_>, new: &[Container], old: &[Container]) -> bool {
    if new.len() != old.len() {
        e.forbidden(path, "pod updates may not add or remove containers");
        return false;
    }
    for (i, container) in new.iter().enumerate() {
        let at = path.index(i);
        let image = text(&container.image);
        if image.is_empty() {
            e.required(&at.child("image"), "");
        }
        if image.trim() != image {
            e.invalid(&at.child("image"), image, "must not have leading or trailing whitespace");
        }
    }
    true
}

/// A deadline may come, and may come nearer. Returns whether to go on.
fn deadline(e: &mut Errors, path: &Path<'_>, new: &PodSpec, old: &PodSpec) -> bool {
    match (new.active_deadline_seconds, old.active_deadline_seconds) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            e.invalid(path, new, "must be between 0 and 2147483647, inclusive");
            return false;
        }
        (Some(new), Some(old)) if old < new => {
            e.invalid(path, new, "must be less than or equal to previous value");
            return false;
        }
        (None, Some(_)) => {
            e.invalid(path, Shown::raw("null"), "must not update from a positive integer to nil value");
        }
        _ => {}
    }
    true
}

fn only_added_tolerations(e: &mut Errors, path: &Path<'_>, new: &[Toleration], old: &[Toleration]) {
    let kept = |old: &Toleration| {
        new.iter().any(|n| *n == Toleration { toleration_seconds: n.toleration_seconds, ..old.clone() })
    };
    if old.iter().all(kept) {
        super::scheduling::tolerations(e, path, new);
    } else {
        e.forbidden(path, "existing toleration can not be modified except its tolerationSeconds");
    }
}

fn only_deleted_gates(e: &mut Errors, path: &Path<'_>, new: &[PodSchedulingGate], old: &[PodSchedulingGate]) {
    for (i, gate) in new.iter().enumerate().filter(|(_, g)| !old.contains(g)) {
        let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.name);
        e.forbidden(&path.index(i).child("name"), &detail);
    }
}

/// Everything that is not named above must stay.
fn rest(e: &mut Errors, path: &Path<'_>, new: &Pod, old: &Pod) {
    let old_spec = &*old.spec;
    let mut munged = PodSpec::clone(&new.spec);
    keep_images(&mut munged.containers, &old_spec.containers);
    if let Some(containers) = &mut munged.init_containers {
        keep_images(containers, list(&old_spec.init_containers));
    }
    munged.active_deadline_seconds = old_spec.active_deadline_seconds;
    munged.scheduling_gates = old_spec.scheduling_gates.clone();
    munged.tolerations = old_spec.tolerations.clone();
    let was_negative = old_spec.termination_grace_period_seconds.is_some_and(|g| g < 0);
    if was_negative && munged.termination_grace_period_seconds == Some(1) {
        munged.termination_grace_period_seconds = old_spec.termination_grace_period_seconds;
    }
    if !list(&old_spec.scheduling_gates).is_empty() {
        gated(e, path, &mut munged, old_spec);
    }
    munged.node_name = Some(new.node_name.to_string()).filter(|n| !n.is_empty());
    let mut before = old_spec.clone();
    before.node_name = Some(old.node_name.to_string()).filter(|n| !n.is_empty());
    let (before, after) = (internal::pod_spec(&before), internal::pod_spec(&munged));
    if before != after {
        e.forbidden(path, &format!("{UPDATABLE}\n{}", internal::diff(&before, &after)));
    }
}

fn keep_images(new: &mut [Container], old: &[Container]) {
    for (new, old) in new.iter_mut().zip(old) {
        new.image.clone_from(&old.image);
    }
}

/// A gated pod may be narrowed to fewer nodes.
fn gated(e: &mut Errors, path: &Path<'_>, munged: &mut PodSpec, old: &PodSpec) {
    let (new_selector, old_selector) = (munged.node_selector.clone(), &old.node_selector);
    let kept = old_selector
        .iter()
        .flatten()
        .all(|(k, v)| new_selector.as_ref().is_some_and(|new| new.get(k) == Some(v)));
    if !kept {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        e.invalid(&path.child("nodeSelector"), Shown::json(&new_selector.unwrap_or_default()), detail);
    }
    munged.node_selector = old_selector.clone();
    let old_node = old.affinity.as_ref().and_then(|a| a.node_affinity.clone());
    let new_node = munged.affinity.as_ref().and_then(|a| a.node_affinity.clone());
    if old_node == new_node {
        return;
    }
    let at = path.child("affinity");
    node_affinity_narrows(e, &at.child("nodeAffinity"), new_node.as_ref(), old_node.as_ref());
    let mut affinity = munged.affinity.take().unwrap_or_default();
    affinity.node_affinity = old_node;
    let nothing = affinity == Default::default();
    munged.affinity = if nothing && old.affinity.is_none() { None } else { Some(affinity) };
}

fn required_terms(affinity: Option<&NodeAffinity>) -> &[NodeSelectorTerm] {
    affinity
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())
        .map_or(&[], |r| &r.node_selector_terms)
}

fn node_affinity_narrows(
    e: &mut Errors,
    path: &Path<'_>,
    new: Option<&NodeAffinity>,
    old: Option<&NodeAffinity>,
) {
    let (new, old) = (required_terms(new), required_terms(old));
    let path = path.child("requiredDuringSchedulingIgnoredDuringExecution");
    let terms = path.child("nodeSelectorTerms");
    if !old.is_empty() && old.len() != new.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        e.invalid(&terms, Shown::json(&new), detail);
        return;
    }
    for (i, (new, old)) in new.iter().zip(old).enumerate() {
        if !has_only_additions(new, old) {
            let detail = "only additions are allowed (no mutations or deletions)";
            e.invalid(&terms.index(i), Shown::json(new), detail);
        }
    }
}

fn has_only_additions(new: &NodeSelectorTerm, old: &NodeSelectorTerm) -> bool {
    let (new_expressions, old_expressions) = (list(&new.match_expressions), list(&old.match_expressions));
    let (new_fields, old_fields) = (list(&new.match_fields), list(&old.match_fields));
    let was_empty = old_expressions.is_empty() && old_fields.is_empty();
    if was_empty {
        return new_expressions.is_empty() && new_fields.is_empty();
    }
    new_expressions.starts_with(old_expressions) && new_fields.starts_with(old_fields)
}
