//! Which pods a sync creates and deletes: placement (`podsShouldBeOnNode`) and rolling updates (`update.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSetSpec;
use sim_core::api::object::Object;
use sim_core::api::pod_status::PodPhase;
use sim_core::int_or_string::scaled_value;
use sim_core::time::Time;
use smol_str::SmolStr;

use super::{REVISION_HASH, TEMPLATE_GENERATION, TEMPLATE_GENERATION_ANNOTATION};
use crate::machinery::ranking::{is_available, is_ready};

/// A daemon pod.
pub type Row = Arc<Object>;
/// Daemon pods by node. Nodes in order of their names.
pub type ByNode = BTreeMap<SmolStr, Vec<Row>>;

/// What a pod is compared with to see whether it is up to date.
#[derive(Clone, Debug)]
pub struct Revision {
    /// Hash of the current template.
    pub hash: String,
    /// `deprecated.daemonset.template.generation`, if the DaemonSet has it.
    pub generation: Option<i64>,
}

impl Revision {
    /// The current revision of a DaemonSet.
    pub fn of(object: &Object, hash: String) -> Revision {
        let generation = object.meta.annotation(TEMPLATE_GENERATION_ANNOTATION).and_then(|t| t.parse().ok());
        Revision { hash, generation }
    }

    /// True if the pod is of the current template (`IsPodUpdated`).
    pub fn is_current(&self, pod: &Object) -> bool {
        let by_generation = self
            .generation
            .is_some_and(|g| pod.meta.label(TEMPLATE_GENERATION).is_some_and(|label| label == g.to_string()));
        by_generation || !self.hash.is_empty() && pod.meta.label(REVISION_HASH) == Some(&self.hash)
    }
}

/// Bound pods first, then older ones, then by name.
pub fn by_age(a: &Row, b: &Row) -> std::cmp::Ordering {
    let unbound = |o: &Row| o.as_pod().is_none_or(|p| p.node_name.is_empty());
    (unbound(a), a.meta.creation_timestamp, a.meta.name()).cmp(&(
        unbound(b),
        b.meta.creation_timestamp,
        b.meta.name(),
    ))
}

fn percent_of(spec: &DaemonSetSpec, desired: i32, surge: bool) -> i32 {
    let strategy = spec.update_strategy.as_ref();
    if strategy.and_then(|s| s.type_.as_deref()) != Some("RollingUpdate") {
        return 0;
    }
    let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
    let value = rolling.and_then(|r| if surge { r.max_surge.as_ref() } else { r.max_unavailable.as_ref() });
    let scaled = value.and_then(|v| scaled_value(v, i64::from(desired), true).ok());
    scaled.and_then(|n| i32::try_from(n).ok()).unwrap_or(0)
}

/// Surge and unavailability in pods, of so many wanted (`updatedDesiredNodeCounts`); both zero would never move.
pub fn limits(spec: &DaemonSetSpec, desired: i32) -> (i32, i32) {
    let (surge, unavailable) = (percent_of(spec, desired, true), percent_of(spec, desired, false));
    (surge, if desired > 0 && surge == 0 && unavailable == 0 { 1 } else { unavailable })
}

/// True if the strategy may run two pods on a node (`AllowsSurge`).
pub fn allows_surge(spec: &DaemonSetSpec) -> bool {
    percent_of(spec, 1, true) > 0
}

/// The surplus of the running pods of one node (the end of `podsShouldBeOnNode`).
pub fn surplus(spec: &DaemonSetSpec, revision: &Revision, mut running: Vec<Row>, now: Time) -> Vec<Row> {
    running.sort_by(by_age);
    if !allows_surge(spec) {
        return running.into_iter().skip(1).collect();
    }
    let (mut new, mut old): (Option<Row>, Option<Row>) = (None, None);
    let mut surplus = Vec::new();
    for pod in running {
        let oldest = if pod.meta.label(REVISION_HASH) == Some(&revision.hash) { &mut new } else { &mut old };
        match oldest {
            None => *oldest = Some(pod),
            Some(_) => surplus.push(pod),
        }
    }
    if let (Some(new), Some(old)) = (&new, old) {
        let old_ready = old.as_pod().is_some_and(is_ready);
        if !old_ready || available(spec, new, now) {
            surplus.push(old);
        }
    }
    surplus
}

fn available(spec: &DaemonSetSpec, pod: &Object, now: Time) -> bool {
    pod.as_pod().is_some_and(|p| is_available(p, spec.min_ready_seconds.unwrap_or(0), now))
}

/// The pods of a node that are not going: the new and the old one. `None` if there are more of either.
fn pair<'a>(revision: &Revision, pods: &'a [Row]) -> Option<(Option<&'a Row>, Option<&'a Row>)> {
    let (mut new, mut old) = (None, None);
    for pod in pods.iter().filter(|p| !p.meta.is_deleting()) {
        let side = if revision.is_current(pod) { &mut new } else { &mut old };
        if side.replace(pod).is_some() {
            return None;
        }
    }
    Some((new, old))
}

/// What a rolling update does now: pods to delete and nodes to start a pod on (`rollingUpdate`). `pods` has every wanted
/// node, those without pods too.
pub fn roll(
    spec: &DaemonSetSpec,
    revision: &Revision,
    pods: &ByNode,
    desired: i32,
    now: Time,
) -> (Vec<Row>, Vec<SmolStr>) {
    let (surge, unavailable) = limits(spec, desired);
    match surge {
        0 => (replace(spec, revision, pods, unavailable, now), Vec::new()),
        _ => surge_over(spec, revision, pods, surge, now),
    }
}

/// Without surge: old pods that serve nobody are replaced in any case, others as far as enough stay available.
fn replace(spec: &DaemonSetSpec, revision: &Revision, pods: &ByNode, limit: i32, now: Time) -> Vec<Row> {
    let (mut unavailable, mut unfit, mut candidates) = (0, Vec::new(), Vec::new());
    for on_node in pods.values() {
        match pair(revision, on_node) {
            Some((None, Some(old))) => {
                if !available(spec, old, now) {
                    unfit.push(old.clone());
                } else if unavailable < limit {
                    candidates.push(old.clone());
                }
            }
            Some((Some(new), None)) if available(spec, new, now) => {}
            _ => unavailable += 1,
        }
    }
    unfit.extend(candidates.into_iter().take((limit - unavailable).max(0) as usize));
    unfit
}

/// With surge: new pods beside old ones; an old one goes when its new one is available.
fn surge_over(
    spec: &DaemonSetSpec,
    revision: &Revision,
    pods: &ByNode,
    limit: i32,
    now: Time,
) -> (Vec<Row>, Vec<SmolStr>) {
    let (mut surging, mut done, mut allowed, mut candidates) = (0, Vec::new(), Vec::new(), Vec::new());
    for (node, on_node) in pods {
        match pair(revision, on_node) {
            None => surging += 1,
            Some((_, None)) => {}
            Some((None, Some(old))) => {
                if !available(spec, old, now) {
                    allowed.push(node.clone());
                } else if surging < limit {
                    candidates.push(node.clone());
                }
            }
            Some((Some(new), Some(old))) => {
                if available(spec, new, now) {
                    done.push(old.clone());
                } else {
                    surging += 1;
                }
            }
        }
    }
    allowed.extend(candidates.into_iter().take((limit - surging).max(0) as usize));
    (done, allowed)
}

/// True if the pod has ended in that phase.
pub fn is_phase(object: &Object, phase: PodPhase) -> bool {
    object.as_pod().is_some_and(|p| p.status.phase == phase)
}
