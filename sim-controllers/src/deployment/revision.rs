//! Annotations and revisions of ReplicaSets (`deployment_util.go`).

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use sim_core::api::meta::Labels;
use sim_core::api::object::Object;

use super::util::{
    DESIRED_REPLICAS, MAX_REPLICAS, POD_TEMPLATE_HASH, REVISION, REVISION_HISTORY, Set, revision,
};

/// Longest revision history that is kept, in characters.
const MAX_HISTORY: usize = 2000;

/// Annotations of a Deployment that are not its ReplicaSets' (`annotationsToSkip`).
const SKIPPED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// Sets an annotation; true if that changed anything.
pub(super) fn annotate(annotations: &mut Labels, key: &str, value: &str) -> bool {
    if annotations.get(key).is_some_and(|old| old == value) {
        return false;
    }
    annotations.insert(key.to_string(), value.to_string());
    true
}

/// Notes the sizes that a proportional scaling needs later (`SetReplicasAnnotations`); true if that changed anything.
pub fn set_replicas(annotations: &mut Labels, desired: i32, max: i32) -> bool {
    let desired = annotate(annotations, DESIRED_REPLICAS, &desired.to_string());
    annotate(annotations, MAX_REPLICAS, &max.to_string()) || desired
}

/// True if [`set_replicas`] would change anything (`ReplicasAnnotationsNeedUpdate`).
pub fn replicas_need_update(annotations: &Labels, desired: i32, max: i32) -> bool {
    annotations.get(DESIRED_REPLICAS) != Some(&desired.to_string())
        || annotations.get(MAX_REPLICAS) != Some(&max.to_string())
}

/// Brings the annotations of the new ReplicaSet up to date (`SetNewReplicaSetAnnotations`). `sizes` are noted only on a
/// ReplicaSet that is to be created. Returns true if anything changed.
pub fn set_annotations(
    deployment: &Object,
    annotations: &mut Labels,
    new_revision: i64,
    sizes: Option<(i32, i32)>,
) -> bool {
    let mut changed = false;
    for (key, value) in deployment.meta.annotations.iter().filter(|(k, _)| !SKIPPED.contains(&k.as_str())) {
        changed |= annotate(annotations, key, value);
    }
    let old = annotations.get(REVISION).cloned();
    let old_revision = match old.as_deref() {
        None | Some("") => 0,
        Some(text) => match text.parse::<i64>() {
            Ok(n) => n,
            Err(_) => return false,
        },
    };
    if old_revision < new_revision {
        annotations.insert(REVISION.into(), new_revision.to_string());
        changed = true;
        if let Some(old) = old {
            extend_history(annotations, &old);
        }
    }
    if let Some((desired, max)) = sizes {
        changed |= set_replicas(annotations, desired, max);
    }
    changed
}

/// Appends a revision to the history, dropping the oldest beyond the limit.
fn extend_history(annotations: &mut Labels, old: &str) {
    let history = annotations.get(REVISION_HISTORY).cloned().unwrap_or_default();
    if history.is_empty() || history.starts_with(',') {
        annotations.insert(REVISION_HISTORY.into(), old.to_string());
        return;
    }
    let entries: Vec<&str> = history.split(',').collect();
    let mut length = history.len() + old.len() + 1;
    let mut start = 0;
    while length > MAX_HISTORY && start < entries.len() {
        length -= entries[start].len() + 1;
        start += 1;
    }
    if length <= MAX_HISTORY {
        let kept: Vec<&str> = entries[start..].iter().copied().chain([old]).collect();
        annotations.insert(REVISION_HISTORY.into(), kept.join(","));
    }
}

/// The highest revision (`MaxRevision`); malformed ones are skipped.
pub fn max_revision(sets: &[Set]) -> i64 {
    sets.iter().filter_map(|s| revision(s)).max().unwrap_or(0).max(0)
}

/// True if two templates differ in nothing but the hash label (`EqualIgnoreHash`).
pub fn equal_ignoring_hash(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    if a.spec != b.spec {
        return false;
    }
    let strip = |template: &PodTemplateSpec| {
        let mut meta = template.metadata.clone().unwrap_or_default();
        if let Some(labels) = &mut meta.labels {
            labels.remove(POD_TEMPLATE_HASH);
        }
        meta.labels = meta.labels.filter(|l| !l.is_empty());
        meta.annotations = meta.annotations.filter(|a| !a.is_empty());
        meta
    };
    strip(a) == strip(b)
}

/// The oldest ReplicaSet with the Deployment's template (`FindNewReplicaSet`). Sorts `sets` by age.
pub fn find_new(template: &PodTemplateSpec, sets: &mut [Set]) -> Option<Set> {
    sets.sort_by(super::util::by_age);
    let same = |set: &&Set| {
        let theirs = set.as_replica_set().and_then(|s| s.spec.template.as_ref());
        theirs.is_some_and(|t| equal_ignoring_hash(t, template))
    };
    sets.iter().find(same).cloned()
}

/// A ReplicaSet with other annotations.
pub(super) fn with_annotations(set: &Object, annotations: Labels) -> Object {
    let mut copy = set.clone();
    copy.meta.annotations = Arc::new(annotations);
    copy
}
