//! Plays a workload: step by step, with churn and deletions going on beside.

use std::collections::VecDeque;

use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, OwnerReference, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::{PodStatusPatch, Request};
use sim_core::time::{Span, Time, hours};
use smol_str::{SmolStr, format_smolstr};

use super::devices;
use super::format::{Churn, DeletePods, Pods, Size, Step, Workload};
use super::measure::cpu_nanos;
use super::templates::{Templates, index, named, node, own};
use super::{Attempts, Stage};

/// Virtual time after which pods count as never to be placed.
const PATIENCE: Span = hours(2);

/// What a played workload came to.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// Measured pods, all of them placed.
    pub pods: usize,
    /// CPU time from the first measured pod to the last placed one, in nanoseconds.
    pub cpu_nanos: u64,
    /// What the scheduler did meanwhile.
    pub attempts: Attempts,
    /// Digest of all that happened.
    pub digest: String,
}

/// Objects that come, or go, at fixed intervals.
struct Beside<'a> {
    next: Time,
    interval: Span,
    what: What<'a>,
}

enum What<'a> {
    Churn { churn: &'a Churn, step: usize, round: usize, alive: Vec<(Kind, Key)> },
    Delete(VecDeque<Key>),
}

/// A workload on its stage.
struct Player<'a, S> {
    workload: &'a Workload,
    size: &'a Size,
    templates: &'a Templates,
    stage: &'a mut S,
    nodes: usize,
    node_names: Vec<SmolStr>,
    /// By step: the pods it made.
    made: Vec<Vec<Key>>,
    beside: Vec<Beside<'a>>,
    played: Played,
}

/// Plays a workload in a size.
///
/// # Errors
/// The file names what is not there, the API server refuses an object, or pods that are waited for find no node.
pub fn play<S: Stage>(
    workload: &Workload,
    size: &Size,
    templates: &Templates,
    stage: &mut S,
) -> Result<Played, String> {
    let made = vec![Vec::new(); workload.steps.len()];
    let (beside, played) = (Vec::new(), Played::default());
    let mut player =
        Player { workload, size, templates, stage, nodes: 0, node_names: Vec::new(), made, beside, played };
    for at in 0..workload.steps.len() {
        player.step(at).map_err(|e| format!("{}/{}: step {at}: {e}", workload.name, size.name))?;
    }
    player.played.digest = player.stage.digest();
    Ok(player.played)
}

/// Names of a pod's `spec.resourceClaims`.
fn entries(pod: &Object) -> Vec<SmolStr> {
    let claims = pod.as_pod().and_then(|pod| pod.spec.resource_claims.as_ref());
    claims.into_iter().flatten().map(|claim| SmolStr::new(&claim.name)).collect()
}

fn owner_of(pod: &Key, uid: Uid) -> OwnerReference {
    OwnerReference {
        api_version: SmolStr::new_static("v1"),
        kind: SmolStr::new_static("Pod"),
        name: pod.name.clone(),
        uid,
        controller: true,
        block_owner_deletion: true,
    }
}

impl<'a, S: Stage> Player<'a, S> {
    fn step(&mut self, at: usize) -> Result<(), String> {
        let (size, templates) = (self.size, self.templates);
        match &self.workload.steps[at] {
            Step::Nodes(nodes) => {
                let template = templates.get(&nodes.template)?;
                let first = self.nodes;
                self.nodes += nodes.count.of(size)?;
                let made: Vec<Object> = (first..self.nodes).map(|i| node(template, nodes, i)).collect();
                self.node_names.extend(made.iter().map(|node| node.meta.key.name.clone()));
                self.stage.create(made)
            }
            Step::Devices(made) => {
                self.stage.create(devices::classes())?;
                let slices = self.node_names.iter().flat_map(|node| devices::slices(node, made.gpus));
                self.stage.create(slices.collect())
            }
            Step::Namespaces(namespaces) => {
                let template = templates.get(&namespaces.template)?;
                let one = |i| named(template, format_smolstr!("{}-{i}", namespaces.prefix), None);
                self.stage.create((0..namespaces.count.of(size)?).map(one).collect())
            }
            Step::Object(one) => {
                let template = templates.get(&one.template)?;
                let name = template.meta.key.name.clone();
                self.stage.create(vec![named(template, name, one.namespace.as_deref())])
            }
            Step::Pods(pods) => self.pods(at, pods),
            Step::DeletePods(delete) => self.delete_pods(delete),
            Step::Churn(churn) => {
                let interval = churn.interval.0;
                let what = What::Churn { churn, step: at, round: 0, alive: Vec::new() };
                self.beside.push(Beside { next: self.stage.now() + interval, interval, what });
                Ok(())
            }
        }
    }

    fn delete_pods(&mut self, delete: &DeletePods) -> Result<(), String> {
        let made = self.made.get(delete.made_by_step).filter(|made| !made.is_empty());
        let made = made.ok_or_else(|| format!("step {} made no pods", delete.made_by_step))?;
        let what = What::Delete(made.iter().cloned().collect());
        let interval = delete.interval.0;
        self.beside.push(Beside { next: self.stage.now() + interval, interval, what });
        Ok(())
    }

    fn pods(&mut self, at: usize, pods: &Pods) -> Result<(), String> {
        let objects = self.make(at, pods)?;
        let keys: Vec<Key> = objects.iter().map(|pod| pod.meta.key.clone()).collect();
        let entries: Vec<Vec<SmolStr>> =
            objects.iter().filter(|_| !pods.claims.is_empty()).map(entries).collect();
        let attempts = self.attempts();
        let cpu = cpu_nanos();
        self.stage.create(objects)?;
        for (key, entries) in keys.iter().zip(entries) {
            self.make_claims(pods, key, entries)?;
        }
        if !pods.no_wait {
            self.wait_for(&keys)?;
        }
        if pods.measured {
            self.played.pods += keys.len();
            self.played.cpu_nanos += cpu_nanos().saturating_sub(cpu);
            let after = self.attempts();
            self.played.attempts.all += after.all - attempts.all;
            self.played.attempts.preempting += after.preempting - attempts.preempting;
        }
        self.made[at] = keys;
        Ok(())
    }

    /// Makes the claims of a pod, as the controller for ResourceClaims does.
    fn make_claims(&mut self, pods: &Pods, pod: &Key, entries: Vec<SmolStr>) -> Result<(), String> {
        let uid = self.stage.uid(Kind::POD, pod).ok_or_else(|| format!("pod {pod} is gone"))?;
        let mut patch = PodStatusPatch::default();
        for (template, entry) in pods.claims.iter().zip(entries) {
            let name = format_smolstr!("{}-{entry}", pod.name);
            let mut claim = named(self.templates.get(template)?, name.clone(), Some(&pod.namespace));
            claim.meta.owner_references.push(owner_of(pod, uid));
            self.stage.create(vec![claim])?;
            patch.resource_claim_statuses.push((entry, Some(name)));
        }
        self.stage.request(Request::PatchPodStatus { key: pod.clone(), uid, patch: Box::new(patch) })
    }

    fn attempts(&self) -> Attempts {
        self.stage.scheduler().map(Attempts::of).unwrap_or_default()
    }

    fn make(&self, at: usize, pods: &Pods) -> Result<Vec<Object>, String> {
        let template = self.templates.get(&pods.template)?;
        let count = pods.count.of(self.size)?;
        let prefix = pods.namespace.as_deref().unwrap_or("default");
        let namespaces: Vec<SmolStr> = match &pods.namespaces {
            None => vec![SmolStr::new(prefix)],
            Some(many) => (0..many.of(self.size)?).map(|i| format_smolstr!("{prefix}-{i}")).collect(),
        };
        let mut all = Vec::with_capacity(count * namespaces.len());
        for namespace in &namespaces {
            for i in 0..count {
                let name = format_smolstr!("{}-{at}-{i:06}", template.meta.name());
                let mut pod = named(template, name, Some(namespace));
                if pods.indexed {
                    index(&mut pod, i);
                }
                if let Some(owner) = &pods.replica_set {
                    own(&mut pod, &Key::new(namespace.clone(), owner));
                }
                all.push(pod);
            }
        }
        Ok(all)
    }

    /// Lets the world go on until none of the pods waits for a node.
    fn wait_for(&mut self, pods: &[Key]) -> Result<(), String> {
        let end = self.stage.now() + PATIENCE;
        let mut placed = 0;
        loop {
            // Pods are tried in order, mostly: one that was seen placed need not be looked at again.
            while placed < pods.len() && !self.stage.is_pending(&pods[placed]) {
                placed += 1;
            }
            if placed == pods.len() {
                return Ok(());
            }
            let beside = self.beside.iter().map(|b| b.next).min();
            let next = self.stage.next_time().into_iter().chain(beside).min();
            let Some(next) = next.filter(|at| *at <= end) else {
                let pending = pods.iter().filter(|pod| self.stage.is_pending(pod)).count();
                return Err(format!("{pending} of {} pods find no node, {} first", pods.len(), pods[placed]));
            };
            self.stage.run_to(next);
            self.go_on_beside(next)?;
        }
    }

    fn go_on_beside(&mut self, now: Time) -> Result<(), String> {
        for beside in self.beside.iter_mut().filter(|b| b.next <= now) {
            beside.next = now + beside.interval;
            match &mut beside.what {
                What::Delete(pods) => {
                    if let Some(pod) = pods.pop_front() {
                        self.stage.delete(Kind::POD, &pod);
                    }
                    if pods.is_empty() {
                        beside.next = Time::MAX;
                    }
                }
                What::Churn { alive, .. } if !alive.is_empty() => {
                    alive.drain(..).for_each(|(kind, key)| self.stage.delete(kind, &key));
                }
                What::Churn { churn, step, round, alive } => {
                    let mut objects = Vec::new();
                    for template in &churn.templates {
                        let template = self.templates.get(template)?;
                        let name = format_smolstr!("{}-{step}-{round:06}", template.meta.name());
                        objects.push(named(template, name, None));
                    }
                    *round += 1;
                    if churn.recreate {
                        alive.extend(objects.iter().map(|o| (o.kind, o.meta.key.clone())));
                    }
                    self.stage.create(objects)?;
                }
            }
        }
        Ok(())
    }
}
