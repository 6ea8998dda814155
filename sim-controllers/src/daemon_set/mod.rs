//! The DaemonSet controller (`pkg/controller/daemon`).

mod history;
pub mod nodes;
pub mod rolling;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, OwnerReference};
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::time::{Span, Time, mins, secs};

use crate::machinery::cache::Caches;
use crate::machinery::expectations::Expectations;
use crate::machinery::fx::{Effect, Fx, Outcome, Own};
use crate::machinery::host;
use crate::machinery::ranking;
use crate::machinery::selectors;
use crate::machinery::templates::{Template, Templates};
use crate::manager::{LaneId, Timer};
use crate::replica_set::Enqueue;

use nodes::{Wanted, add_tolerations};
use rolling::is_phase;

/// Creations or deletions per sync, at most.
pub const BURST_REPLICAS: usize = 250;
/// Label of pods and ControllerRevisions: hash of the template.
pub const REVISION_HASH: &str = "controller-revision-hash";
/// Label of pods: generation of the template.
pub const TEMPLATE_GENERATION: &str = "pod-template-generation";
/// Annotation of DaemonSets: generation of the template.
pub const TEMPLATE_GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";

const BACKOFF_BASE: Span = secs(1);
const BACKOFF_MAX: Span = mins(15);

/// Back-off of failed pods on one node: its length, and since when.
#[derive(Clone, Copy, Debug)]
struct Backoff {
    length: Span,
    since: Time,
}

/// State of the controller beside its caches.
#[derive(Clone, Debug, Default)]
pub struct Controller {
    /// Pods asked for and not seen yet.
    pub expectations: Expectations,
    backoff: FxHashMap<(Key, SmolStr), Backoff>,
    templates: Templates,
}

/// What a sync reads.
#[derive(Clone, Debug)]
pub struct Input {
    /// The DaemonSet.
    pub object: Arc<Object>,
    /// Its template with the tolerations of daemon pods, shared.
    pub template: Arc<Template>,
    /// All nodes, in order of their names.
    pub nodes: Arc<[Arc<Object>]>,
    /// Pods that it controls or could adopt.
    pub pods: Vec<Arc<Object>>,
    /// ControllerRevisions that it controls or could adopt.
    pub revisions: Vec<Arc<Object>>,
    /// True if nothing is outstanding from an earlier sync.
    pub satisfied: bool,
    /// Nodes whose failed pods must wait, with the length of the back-off.
    pub backoff: BTreeMap<SmolStr, Span>,
}

impl host::Controller for Controller {
    type Key = Key;
    type Input = Input;

    fn gather(&mut self, caches: &Caches, key: &Key, now: Time) -> Option<Input> {
        let Some(object) = caches.get(Kind::DAEMON_SET, key) else {
            self.expectations.forget(key);
            return None;
        };
        let spec = &object.as_daemon_set()?.spec;
        let template = || {
            let mut template = Template::new(&spec.template);
            add_tolerations(Arc::make_mut(&mut template.spec));
            template
        };
        let pods = caches.claimable(object, Kind::POD);
        let failed = pods.iter().filter(|p| is_phase(p, sim_core::api::pod_status::PodPhase::Failed));
        let backoff = failed
            .filter_map(|p| {
                let node = nodes::target_node(p.as_pod()?)?;
                let waits = self.waits(key, &node, now)?;
                Some((node, waits))
            })
            .collect();
        Some(Input {
            object: object.clone(),
            template: self.templates.share(object.meta.uid, object.meta.generation, template),
            nodes: caches.list(Kind::NODE).cloned().collect(),
            pods,
            revisions: caches.claimable(object, Kind::CONTROLLER_REVISION),
            satisfied: self.expectations.satisfied(key, now),
            backoff,
        })
    }

    fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
        sync::sync(input, fx)
    }

    fn apply(&mut self, key: &Key, effect: Effect, now: Time) -> Option<Key> {
        match effect {
            Effect::Expect { creations, deletions } => {
                self.expectations.expect(key, creations, deletions, now)
            }
            Effect::CreationFailed => self.expectations.creation_observed(key),
            Effect::DeletionFailed(_) => self.expectations.deletion_counted(key),
            Effect::Own(Own::NodeBackoff(node)) => self.lengthen(key, node, now),
            _ => {}
        }
        None
    }

    fn timer(key: Key) -> Timer {
        Timer::Work(LaneId::DaemonSet, key)
    }
}

impl Controller {
    /// The length of the back-off if one is on (`IsInBackOffSinceUpdate`).
    fn waits(&self, key: &Key, node: &SmolStr, now: Time) -> Option<Span> {
        let backoff = self.backoff.get(&(key.clone(), node.clone()))?;
        (now - backoff.since < backoff.length).then_some(backoff.length)
    }

    /// Doubles the back-off of a node, or starts anew after a long calm (`Backoff.Next`).
    fn lengthen(&mut self, key: &Key, node: SmolStr, now: Time) {
        let entry =
            self.backoff.entry((key.clone(), node)).or_insert(Backoff { length: Span::ZERO, since: now });
        let fresh = entry.length == Span::ZERO || now - entry.since > BACKOFF_MAX * 2;
        entry.length = if fresh { BACKOFF_BASE } else { (entry.length * 2).min(BACKOFF_MAX) };
        entry.since = now;
    }

    /// A DaemonSet changed.
    pub fn daemon_set_changed(&mut self, change: &Change, enqueue: Enqueue<'_>) {
        let key = change.new.key();
        if change.kind == ChangeKind::Deleted {
            self.expectations.forget(key);
            self.templates.forget(change.new.meta.uid);
            self.backoff.retain(|(set, _), _| set != key);
        }
        enqueue(key.clone(), Span::ZERO);
    }

    /// A node changed: DaemonSets for which that makes a difference are looked at.
    // DIFFERS: upstream compares the node with the pods on it in a queue of its own; the sync does that anyway.
    pub fn node_changed(&mut self, caches: &Caches, change: &Change, enqueue: Enqueue<'_>) {
        let old = change.old.as_ref().filter(|_| change.kind != ChangeKind::Added);
        let unchanged = |old: &Arc<Object>| {
            let spec = |o: &Object| o.as_node().map(|n| n.spec.clone());
            old.meta.labels == change.new.meta.labels && spec(old) == spec(&change.new)
        };
        if change.kind == ChangeKind::Modified && old.is_some_and(unchanged) {
            return;
        }
        for set in caches.list(Kind::DAEMON_SET) {
            let Some(spec) = set.as_daemon_set().map(|s| &s.spec) else { continue };
            let wanted = Wanted::new(spec);
            let before = old.map_or((false, false), |o| wanted.should_run(o));
            let after = match change.kind {
                ChangeKind::Deleted => (false, false),
                _ => wanted.should_run(&change.new),
            };
            if before != after {
                enqueue(set.key().clone(), Span::ZERO);
            }
        }
    }

    /// A pod changed.
    pub fn pod_changed(&mut self, caches: &Caches, change: &Change, enqueue: Enqueue<'_>) {
        let pod = &change.new;
        let old = change.old.as_ref().filter(|_| change.kind == ChangeKind::Modified);
        if old.is_some_and(|o| o.meta.resource_version == pod.meta.resource_version) {
            return;
        }
        let owner = pod.meta.controller_of();
        if change.kind == ChangeKind::Deleted || pod.meta.is_deleting() {
            if let Some(set) = owner.and_then(|owner| resolve(caches, pod, owner)) {
                self.expectations.deletion_counted(set.key());
                enqueue(set.key().clone(), Span::ZERO);
            }
            return;
        }
        let before = old.and_then(|o| o.meta.controller_of());
        let owner_changed = old.is_some() && before != owner;
        if owner_changed && let Some(set) = before.and_then(|b| resolve(caches, pod, b)) {
            enqueue(set.key().clone(), Span::ZERO);
        }
        let Some(owner) = owner else {
            if old.is_none_or(|o| owner_changed || o.meta.labels != pod.meta.labels) {
                enqueue_matching(caches, pod, enqueue);
            }
            return;
        };
        let Some(set) = resolve(caches, pod, owner) else { return };
        let Some(old) = old else {
            self.expectations.creation_observed(set.key());
            return enqueue(set.key().clone(), Span::ZERO);
        };
        enqueue(set.key().clone(), Span::ZERO);
        let min_ready = set.as_daemon_set().and_then(|s| s.spec.min_ready_seconds).unwrap_or(0);
        let ready = |o: &Object| o.as_pod().is_some_and(ranking::is_ready);
        if min_ready > 0 && !ready(old) && ready(pod) {
            // A second more, because the condition's time has no fraction.
            enqueue(set.key().clone(), secs(i64::from(min_ready) + 1));
        }
    }
}

fn resolve<'a>(caches: &'a Caches, pod: &Object, owner: &OwnerReference) -> Option<&'a Arc<Object>> {
    caches.resolve(pod.meta.namespace(), owner, Kind::DAEMON_SET)
}

fn enqueue_matching(caches: &Caches, pod: &Object, enqueue: Enqueue<'_>) {
    for set in caches.in_namespace(Kind::DAEMON_SET, pod.meta.namespace()) {
        let Some(spec) = set.as_daemon_set().map(|s| &s.spec) else { continue };
        let selects = !pod.meta.labels.is_empty() && !selectors::is_empty(&spec.selector);
        if selects && selectors::matches(&spec.selector, &pod.meta.labels) {
            enqueue(set.key().clone(), Span::ZERO);
        }
    }
}
