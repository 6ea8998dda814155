//! Predicates on the pods of a Job, and their completion indexes (`indexed_job_utils.go`, `job_controller.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::JobSpec;
use sim_core::api::meta::Uid;
use sim_core::api::object::{Object, Pod};
use sim_core::api::pod_status::PodPhase;

use super::backoff;
use super::failure_policy::{self, Action};
use super::intervals::Intervals;
use crate::machinery::ranking::{self, Ranking};

/// Finalizer of pods that are not counted yet.
pub const TRACKING_FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label of a pod's index.
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation: counted failures of the index before this pod.
pub const INDEX_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
/// Annotation: ignored failures of the index before this pod.
pub const INDEX_IGNORED_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// A pod of a Job.
pub type Row = Arc<Object>;

/// Its phase.
pub fn phase(object: &Object) -> PodPhase {
    object.as_pod().map_or(PodPhase::Unknown, |p| p.status.phase)
}

/// True if it is not counted yet.
pub fn is_tracked(object: &Object) -> bool {
    object.meta.finalizers.iter().any(|f| f == TRACKING_FINALIZER)
}

/// True if it was asked to go and has not ended.
pub fn is_terminating(object: &Object) -> bool {
    object.meta.is_deleting() && !phase(object).is_terminal()
}

/// True for Indexed Jobs.
pub fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// True if a pod is replaced only once it has failed for good (`onlyReplaceFailedPods`).
pub fn only_replace_failed(spec: &JobSpec) -> bool {
    spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
}

/// True if the pod counts as failed (`isPodFailed`). A deleted one does, unless only failed ones are replaced: orphans
/// may never reach the phase.
pub fn is_failed(spec: &JobSpec, object: &Object) -> bool {
    let phase = phase(object);
    phase == PodPhase::Failed
        || !only_replace_failed(spec) && object.meta.is_deleting() && phase != PodPhase::Succeeded
}

/// Index of a pod, if it has a valid one (`getCompletionIndex`).
pub fn index(object: &Object) -> Option<i64> {
    object.meta.annotation(COMPLETION_INDEX)?.parse().ok().filter(|i| *i >= 0)
}

/// Index of a pod, if it is below the completions.
pub fn index_below(object: &Object, completions: i64) -> Option<i64> {
    index(object).filter(|i| *i < completions)
}

fn count(object: &Object, annotation: &str) -> i32 {
    object.meta.annotation(annotation).and_then(|t| t.parse().ok()).unwrap_or(0).max(0)
}

/// Counted failures of the index before this pod (`getIndexFailureCount`).
pub fn index_failures(object: &Object) -> i32 {
    count(object, INDEX_FAILURE_COUNT)
}

/// All failures of the index before this pod (`getIndexAbsoluteFailureCount`).
pub fn index_failures_absolute(object: &Object) -> i32 {
    index_failures(object).saturating_add(count(object, INDEX_IGNORED_FAILURE_COUNT))
}

/// Counted and ignored failures that the replacement of a pod starts with (`getNewIndexFailureCounts`).
pub fn new_index_failures(spec: &JobSpec, replaced: Option<&Object>) -> (i32, i32) {
    let Some(object) = replaced else { return (0, 0) };
    let (counted, ignored) = (index_failures(object), count(object, INDEX_IGNORED_FAILURE_COUNT));
    let verdict = spec.pod_failure_policy.as_ref().map(|p| failure_policy::evaluate(p, object));
    match verdict.is_none_or(|v| v.counted) {
        true => (counted.saturating_add(1), ignored),
        false => (counted, ignored.saturating_add(1)),
    }
}

/// True if this failed pod ends its index (`isIndexFailed`).
pub fn is_index_failed(spec: &JobSpec, object: &Object) -> bool {
    if !is_failed(spec, object) {
        return false;
    }
    let verdict = spec.pod_failure_policy.as_ref().map(|p| failure_policy::evaluate(p, object));
    if verdict.as_ref().is_some_and(|v| v.action == Some(Action::FailIndex)) {
        return true;
    }
    verdict.is_none_or(|v| v.counted) && index_failures(object) >= spec.backoff_limit_per_index.unwrap_or(0)
}

fn newly<'a>(pods: &'a [Row], completions: i64, which: impl Fn(&Object) -> bool + 'a) -> Vec<i64> {
    pods.iter().filter(|p| is_tracked(p) && which(p)).filter_map(|p| index_below(p, completions)).collect()
}

/// Succeeded indexes before and after this sync (`calculateSucceededIndexes`).
pub fn succeeded_indexes(completed: &str, completions: i64, pods: &[Row]) -> (Intervals, Intervals) {
    let before = Intervals::parse(completed, completions);
    let after = before.with(&newly(pods, completions, |p| phase(p) == PodPhase::Succeeded));
    (before, after)
}

/// Failed indexes after this sync (`calculateFailedIndexes`).
pub fn failed_indexes(spec: &JobSpec, failed: &str, pods: &[Row]) -> Intervals {
    let completions = i64::from(spec.completions.unwrap_or(0));
    let before = Intervals::parse(failed, completions);
    before.with(&newly(pods, completions, |p| is_index_failed(spec, p)))
}

/// Indexes of pods.
pub fn indexes(pods: &[Row]) -> BTreeSet<i64> {
    pods.iter().filter_map(|p| index(p)).collect()
}

/// Finished pods that are neither counted nor about to be (`getValidPodsWithFilter`).
pub fn valid<'a>(
    spec: &'a JobSpec,
    pods: &'a [Row],
    skip: impl Fn(Uid) -> bool + 'a,
) -> impl Iterator<Item = &'a Row> {
    let completions = i64::from(spec.completions.unwrap_or(0));
    let indexed = is_indexed(spec);
    pods.iter().filter(move |p| {
        is_tracked(p) && !skip(p.meta.uid) && (!indexed || index_below(p, completions).is_some())
    })
}

/// The last failed pod of each index that has no active pod and may run again (`getPodsWithDelayedDeletionPerIndex`):
/// they keep their finalizer, because they hold the count of failures.
pub fn delayed_deletions(
    spec: &JobSpec,
    pods: &[Row],
    active: &[Row],
    done: &Intervals,
    skip: impl Fn(Uid) -> bool,
) -> BTreeMap<i64, Row> {
    let running = indexes(active);
    let mut last: BTreeMap<i64, Row> = BTreeMap::new();
    for candidate in valid(spec, pods, skip).filter(|p| is_failed(spec, p)) {
        let Some(index) = index(candidate) else { continue };
        if running.contains(&index) || done.has(index) {
            continue;
        }
        let newer = last.get(&index).is_none_or(|known| {
            index_failures_absolute(known) <= index_failures_absolute(candidate)
                && finish(known) <= finish(candidate)
        });
        if newer {
            last.insert(index, candidate.clone());
        }
    }
    last
}

fn finish(object: &Object) -> Option<sim_core::time::Time> {
    object.as_pod().map(|p| backoff::finished_at(object, p))
}

/// Splits active pods into those to remove (no index, an index out of range, a duplicate) and the rest
/// (`appendDuplicatedIndexPodsForRemoval`).
pub fn split_duplicates(pods: &[Row], completions: i64) -> (Vec<Row>, Vec<Row>) {
    let mut sorted = pods.to_vec();
    sorted.sort_by_key(|p| index(p).unwrap_or(-1));
    let (mut remove, mut left) = (Vec::new(), Vec::new());
    for group in sorted.chunk_by(|a, b| index(a) == index(b)) {
        match group.first().and_then(|p| index_below(p, completions)) {
            None => remove.extend(group.iter().cloned()),
            Some(_) => {
                let mut same = group.to_vec();
                sort_active(&mut same);
                left.extend(same.pop());
                remove.append(&mut same);
            }
        }
    }
    (remove, left)
}

/// The active pods to remove, at least so many (`activePodsForRemoval`).
pub fn for_removal(spec: &JobSpec, active: &[Row], at_least: usize) -> Vec<Row> {
    let (mut remove, mut left) = match is_indexed(spec) {
        true => split_duplicates(active, i64::from(spec.completions.unwrap_or(0))),
        false => (Vec::new(), active.to_vec()),
    };
    if remove.len() < at_least {
        sort_active(&mut left);
        remove.extend(left.into_iter().take(at_least - remove.len()));
    }
    remove
}

fn sort_active(pods: &mut Vec<Row>) {
    ranking::sort(Ranking::PLAIN, pods, |_: &Pod| 0);
}
