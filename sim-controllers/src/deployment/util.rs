//! Arithmetic of Deployments (`pkg/controller/deployment/util`, `pkg/controller/deployment/rolling.go`): pure, no I/O.

use std::cmp::Ordering;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sim_core::api::object::Object;
use sim_core::int_or_string::scaled_value;

use crate::replica_set;

/// `deployment.kubernetes.io/revision`.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// `deployment.kubernetes.io/revision-history`.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// `deployment.kubernetes.io/desired-replicas`.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// `deployment.kubernetes.io/max-replicas`.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
/// `pod-template-hash`.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// A ReplicaSet of a Deployment.
pub type Set = Arc<Object>;

/// `spec.replicas` of a ReplicaSet.
pub fn size(set: &Object) -> i32 {
    set.as_replica_set().map_or(0, |s| replica_set::replicas(&s.spec))
}

/// `status.replicas` of a ReplicaSet.
pub fn actual(set: &Object) -> i32 {
    set.as_replica_set().map_or(0, |s| s.status.replicas)
}

/// `status.availableReplicas` of a ReplicaSet.
pub fn available(set: &Object) -> i32 {
    set.as_replica_set().and_then(|s| s.status.available_replicas).unwrap_or(0)
}

/// `status.terminatingReplicas` of ReplicaSets; `None` if one does not report it (as by default, its gate is alpha).
pub fn total_terminating(sets: &[Set]) -> Option<i32> {
    let of = |set: &Set| set.as_replica_set().and_then(|s| s.status.terminating_replicas);
    if sets.is_empty() { None } else { sets.iter().map(of).sum() }
}

/// `status.readyReplicas` of a ReplicaSet.
pub fn ready(set: &Object) -> i32 {
    set.as_replica_set().and_then(|s| s.status.ready_replicas).unwrap_or(0)
}

/// A sum over ReplicaSets.
pub fn total(sets: &[Set], of: impl Fn(&Object) -> i32) -> i32 {
    sets.iter().fold(0i32, |sum, set| sum.saturating_add(of(set)))
}

/// Those that want pods (`FilterActiveReplicaSets`).
pub fn active(sets: &[Set]) -> Vec<Set> {
    sets.iter().filter(|s| size(s) > 0).cloned().collect()
}

/// Older first, then by name.
pub fn by_age(a: &Set, b: &Set) -> Ordering {
    (a.meta.creation_timestamp, a.meta.name()).cmp(&(b.meta.creation_timestamp, b.meta.name()))
}

/// Lower revision first, then older.
pub fn by_revision(a: &Set, b: &Set) -> Ordering {
    match (revision(a), revision(b)) {
        (Some(a), Some(b)) if a != b => a.cmp(&b),
        _ => by_age(a, b),
    }
}

/// The revision annotation as a number; 0 if absent, `None` if malformed.
pub fn revision(object: &Object) -> Option<i64> {
    object.meta.annotation(REVISION).map_or(Some(0), |text| text.parse().ok())
}

/// `spec.replicas`, which the API server defaults to 1.
pub fn replicas(spec: &DeploymentSpec) -> i32 {
    spec.replicas.unwrap_or(1)
}

/// True for the RollingUpdate strategy.
pub fn is_rolling(spec: &DeploymentSpec) -> bool {
    spec.strategy.as_ref().is_some_and(|s| s.type_.as_deref() == Some("RollingUpdate"))
}

/// True for the Recreate strategy.
pub fn is_recreate(spec: &DeploymentSpec) -> bool {
    spec.strategy.as_ref().is_some_and(|s| s.type_.as_deref() == Some("Recreate"))
}

/// A number, or a percentage of `total` rounded up or down; 0 if absent, `None` if malformed.
pub fn scaled(value: Option<&IntOrString>, total: i32, round_up: bool) -> Option<i32> {
    let Some(value) = value else { return Some(0) };
    i32::try_from(scaled_value(value, i64::from(total), round_up).ok()?).ok()
}

/// Surge and unavailability in pods (`ResolveFenceposts`); both zero would never move, so one may be unavailable then.
pub fn resolve_fenceposts(
    max_surge: Option<&IntOrString>,
    max_unavailable: Option<&IntOrString>,
    desired: i32,
) -> Option<(i32, i32)> {
    let surge = scaled(max_surge, desired, true)?;
    let unavailable = scaled(max_unavailable, desired, false)?;
    Some((surge, if surge == 0 && unavailable == 0 { 1 } else { unavailable }))
}

fn fenceposts(spec: &DeploymentSpec) -> (i32, i32) {
    let rolling = spec.strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
    let surge = rolling.and_then(|r| r.max_surge.as_ref());
    let unavailable = rolling.and_then(|r| r.max_unavailable.as_ref());
    resolve_fenceposts(surge, unavailable, replicas(spec)).unwrap_or((0, 0))
}

/// Pods that may be missing during a rollout (`MaxUnavailable`).
pub fn max_unavailable(spec: &DeploymentSpec) -> i32 {
    if !is_rolling(spec) || replicas(spec) == 0 {
        return 0;
    }
    fenceposts(spec).1.min(replicas(spec))
}

/// Pods that must be there during a rollout (`MinAvailable`).
pub fn min_available(spec: &DeploymentSpec) -> i32 {
    if is_rolling(spec) { replicas(spec) - max_unavailable(spec) } else { 0 }
}

/// Pods that may be there on top during a rollout (`MaxSurge`).
pub fn max_surge(spec: &DeploymentSpec) -> i32 {
    if is_rolling(spec) { fenceposts(spec).0 } else { 0 }
}

/// A deadline that means something (`HasProgressDeadline`).
pub fn progress_deadline(spec: &DeploymentSpec) -> Option<i32> {
    spec.progress_deadline_seconds.filter(|s| *s != i32::MAX)
}

/// How large the new ReplicaSet should be now (`NewRSNewReplicas`).
pub fn new_rs_new_replicas(spec: &DeploymentSpec, all_total: i32, new_size: i32) -> i32 {
    let wanted = replicas(spec);
    if !is_rolling(spec) {
        return wanted;
    }
    let rolling = spec.strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
    let surge = scaled(rolling.and_then(|r| r.max_surge.as_ref()), wanted, true).unwrap_or(0);
    let room = wanted.saturating_add(surge).saturating_sub(all_total);
    if room <= 0 { new_size } else { new_size + room.min(wanted - new_size) }
}

/// A ReplicaSet (by its place in a list) and its new size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Place in the list.
    pub index: usize,
    /// New size.
    pub to: i32,
    /// By how much it shrinks.
    pub by: i32,
}

/// Shrinks old ReplicaSets by their unavailable pods, oldest first, by `max_cleanup` in all
/// (`cleanupUnhealthyReplicas`). Sorts `old`.
pub fn cleanup_unhealthy(old: &mut [Set], max_cleanup: i32) -> Vec<Resize> {
    old.sort_by(by_age);
    shrink(old, max_cleanup, |set| size(set) - available(set))
}

/// Shrinks old ReplicaSets, oldest first, as far as enough pods stay available
/// (`scaleDownOldReplicaSetsForRollingUpdate`). Sorts `old`.
pub fn scale_down_old(spec: &DeploymentSpec, all_available: i32, old: &mut [Set]) -> Vec<Resize> {
    let min_available = replicas(spec) - max_unavailable(spec);
    if all_available <= min_available {
        return Vec::new();
    }
    old.sort_by(by_age);
    shrink(old, all_available - min_available, size)
}

fn shrink(old: &[Set], limit: i32, most: impl Fn(&Object) -> i32) -> Vec<Resize> {
    let (mut resizes, mut left) = (Vec::new(), limit);
    for (index, set) in old.iter().enumerate() {
        if left <= 0 {
            break;
        }
        let by = most(set).min(left);
        if size(set) != 0 && by > 0 {
            resizes.push(Resize { index, to: size(set) - by, by });
            left -= by;
        }
    }
    resizes
}

/// How many pods the old ReplicaSets may lose in all (the first half of `reconcileOldReplicaSets`).
pub fn max_scaled_down(spec: &DeploymentSpec, all_total: i32, new: Option<&Object>) -> i32 {
    let min_available = replicas(spec) - max_unavailable(spec);
    let new_unavailable = new.map_or(0, |n| size(n) - available(n));
    all_total - min_available - new_unavailable
}

/// True if every pod is new and available (`DeploymentComplete`).
pub fn is_complete(spec: &DeploymentSpec, generation: i64, status: &DeploymentStatus) -> bool {
    let wanted = replicas(spec);
    let counts = [status.updated_replicas, status.replicas, status.available_replicas];
    counts.iter().all(|n| n.unwrap_or(0) == wanted) && status.observed_generation.unwrap_or(0) >= generation
}

/// True if the new status is nearer to the goal (`DeploymentProgressing`).
pub fn is_progressing(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let n = |value: Option<i32>| value.unwrap_or(0);
    let stale = |s: &DeploymentStatus| n(s.replicas) - n(s.updated_replicas);
    n(new.updated_replicas) > n(old.updated_replicas)
        || stale(new) < stale(old)
        || n(new.ready_replicas) > n(old.ready_replicas)
        || n(new.available_replicas) > n(old.available_replicas)
}

/// The ReplicaSet to scale when there is no rollout to spread over (`FindActiveOrLatest`). Sorts `old`, newest first.
pub fn active_or_latest(new: Option<&Set>, old: &mut [Set]) -> Option<Set> {
    old.sort_by(|a, b| by_age(b, a));
    let all: Vec<Set> = old.iter().chain(new).cloned().collect();
    let mut active = active(&all);
    match active.len() {
        0 => new.or(old.first()).cloned(),
        1 => active.pop(),
        _ => None,
    }
}

/// True if the new ReplicaSet serves the whole Deployment alone (`IsSaturated`).
pub fn is_saturated(spec: &DeploymentSpec, new: Option<&Set>) -> bool {
    new.is_some_and(|new| {
        let desired = new.meta.annotation(DESIRED_REPLICAS).and_then(|t| t.parse::<i32>().ok());
        let wanted = replicas(spec);
        size(new) == wanted && desired == Some(wanted) && available(new) == wanted
    })
}

/// A share in a proportional scaling (`getReplicaSetFraction`): how many pods to add, or to take if negative.
pub fn fraction(spec: &DeploymentSpec, status_replicas: i32, set: &Object) -> i32 {
    if replicas(spec) == 0 {
        return -size(set);
    }
    let goal = replicas(spec).saturating_add(max_surge(spec));
    let annotated = set.meta.annotation(MAX_REPLICAS).and_then(|t| t.parse::<i32>().ok()).filter(|n| *n != 0);
    let before = annotated.unwrap_or(status_replicas);
    if before == 0 {
        return 0;
    }
    let quotient = f64::from(size(set).wrapping_mul(goal)) / f64::from(before);
    let rounded = if quotient < 0.0 { quotient - 0.5 } else { quotient + 0.5 };
    rounded as i32 - size(set)
}

/// The sizes that a scaling without a rollout gives ReplicaSets (`scale`), in the order of writing. Sorts `old`.
pub fn scale(
    spec: &DeploymentSpec,
    status_replicas: i32,
    new: Option<&Set>,
    old: &mut [Set],
) -> Vec<(Set, i32)> {
    if let Some(only) = active_or_latest(new, old) {
        return vec![(only, replicas(spec))];
    }
    if is_saturated(spec, new) {
        return active(old).into_iter().map(|set| (set, 0)).collect();
    }
    if !is_rolling(spec) {
        return Vec::new();
    }
    let all: Vec<Set> = old.iter().chain(new).cloned().collect();
    proportional(spec, status_replicas, active(&all))
}

/// The sizes of the active ReplicaSets after a proportional scaling (the last part of `scale`), in scaling order.
pub fn proportional(spec: &DeploymentSpec, status_replicas: i32, mut sets: Vec<Set>) -> Vec<(Set, i32)> {
    let allowed = if replicas(spec) > 0 { replicas(spec).saturating_add(max_surge(spec)) } else { 0 };
    let to_add = allowed - total(&sets, size);
    sets.sort_by(|a, b| {
        let tie = if to_add > 0 { by_age(b, a) } else { by_age(a, b) };
        if to_add == 0 { Ordering::Equal } else { size(b).cmp(&size(a)).then(tie) }
    });
    let mut added = 0;
    let mut sizes: Vec<i32> = Vec::with_capacity(sets.len());
    for set in &sets {
        let share = match size(set) == 0 || to_add == 0 || to_add == added {
            true => 0,
            false if to_add > 0 => fraction(spec, status_replicas, set).min(to_add - added),
            false => fraction(spec, status_replicas, set).max(to_add - added),
        };
        added += share;
        sizes.push(size(set) + share);
    }
    if to_add != 0
        && let Some(first) = sizes.first_mut()
    {
        *first = (*first + to_add - added).max(0);
    }
    sets.into_iter().zip(sizes).collect()
}
