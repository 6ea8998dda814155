//! One sync of a DaemonSet (`syncDaemonSet`).

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSetSpec, DaemonSetStatus};
use sim_core::api::error::ApiError;
use sim_core::api::meta::{Labels, OwnerReference};
use sim_core::api::object::{Body, DaemonSet, Object};
use sim_core::api::pod_status::PodPhase;
use sim_core::api::request::Request;
use sim_core::time::secs;
use smol_str::SmolStr;

use super::nodes::{Wanted, pin_to_node, target_node};
use super::rolling::{self, ByNode, Revision, Row, is_phase};
use super::{BURST_REPLICAS, Input, REVISION_HASH, TEMPLATE_GENERATION};
use crate::machinery::fx::{Answer, Effect, Fx, Outcome, Own, Stop, live_get};
use crate::machinery::pod_control::{controller_ref, delete_pods, pod_from_template, slow_start};
use crate::machinery::ranking::{is_available, is_ready};
use crate::machinery::refs::Claim;
use crate::machinery::selectors;

/// A sync under way.
pub(super) struct Run<'a, 'j, 'f> {
    pub(super) input: &'a Input,
    pub(super) fx: &'f mut Fx<'j>,
    pub(super) owner_ref: OwnerReference,
    pub(super) spec: Arc<DaemonSetSpec>,
    pub(super) status: DaemonSetStatus,
    wanted: Wanted,
}

pub(super) fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
    let Some(set) = input.object.as_daemon_set() else { return Ok(()) };
    if selectors::is_empty(&set.spec.selector) {
        let message = "This daemon set is selecting all pods. A non-empty selector is required.";
        fx.warning(&input.object, "SelectingAll", message.into());
        return Ok(());
    }
    if input.object.meta.is_deleting() {
        return Ok(());
    }
    let mut run = Run {
        owner_ref: controller_ref(&input.object, "apps/v1"),
        spec: set.spec.clone(),
        status: DaemonSetStatus::clone(&set.status),
        wanted: Wanted::new(&set.spec),
        input,
        fx,
    };
    run.run()
}

impl Run<'_, '_, '_> {
    fn run(&mut self) -> Outcome {
        let (hash, old) = self.construct_history()?;
        let revision = Revision::of(&self.input.object, hash);
        let pods = self.pods_by_node()?;
        if !self.input.satisfied {
            // What was decided before is not seen yet: tell what is there, but not that this generation was handled.
            return self.update_status(&revision, &pods, false);
        }
        let updated = match self.update(&revision, &pods, old) {
            Err(waiting @ Stop::Waiting(_)) => return Err(waiting),
            done => done,
        };
        let told = match self.update_status(&revision, &pods, true) {
            Err(waiting @ Stop::Waiting(_)) => return Err(waiting),
            done => done,
        };
        updated.and(told)
    }

    /// Claimed pods by node, without those that are over and going (`getNodesToDaemonPods`).
    fn pods_by_node(&mut self) -> Result<ByNode, Stop> {
        let claim = Claim {
            owner: &self.input.object,
            owner_ref: &self.owner_ref,
            selector: selectors::compile(&self.spec.selector),
            finalizer: None,
        };
        let mut by_node = ByNode::new();
        for object in claim.all(self.fx, &self.input.pods)? {
            let Some(pod) = object.as_pod() else { continue };
            if pod.status.phase.is_terminal() && object.meta.is_deleting() {
                continue;
            }
            if let Some(node) = target_node(pod) {
                by_node.entry(node).or_default().push(object);
            }
        }
        Ok(by_node)
    }

    /// Placement, then the rolling update, then the history (`updateDaemonSet`).
    fn update(&mut self, revision: &Revision, pods: &ByNode, old: Vec<Row>) -> Outcome {
        let (delete, create) = self.place(revision, pods);
        let idle = delete.is_empty() && create.is_empty();
        self.sync_nodes(revision, &delete, &create)?;
        let strategy = self.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref());
        if idle && strategy == Some("RollingUpdate") {
            let mut all = pods.clone();
            let mut desired = 0;
            for node in self.input.nodes.iter().filter(|n| self.wanted.should_run(n).0) {
                desired += 1;
                all.entry(node.meta.key.name.clone()).or_default();
            }
            let (delete, create) = rolling::roll(&self.spec, revision, &all, desired, self.fx.now());
            self.sync_nodes(revision, &delete, &create)?;
        }
        self.cleanup_history(old, pods)
    }

    /// Pods to delete and nodes to start one on (`manage`).
    fn place(&mut self, revision: &Revision, pods: &ByNode) -> (Vec<Row>, Vec<SmolStr>) {
        let (mut delete, mut create) = (Vec::new(), Vec::new());
        for node in self.input.nodes.iter() {
            let name = &node.meta.key.name;
            let (should_run, may_stay) = self.wanted.should_run(node);
            match pods.get(name) {
                None if should_run => create.push(name.clone()),
                None => {}
                Some(there) if may_stay => {
                    let running = self.without_ended(name, there, &mut delete);
                    if running.is_empty() {
                        if should_run && rolling::allows_surge(&self.spec) {
                            create.push(name.clone());
                        }
                        continue;
                    }
                    delete.extend(rolling::surplus(&self.spec, revision, running, self.fx.now()));
                }
                Some(there) => delete.extend(there.iter().filter(|p| !p.meta.is_deleting()).cloned()),
            }
        }
        let known: std::collections::BTreeSet<&SmolStr> =
            self.input.nodes.iter().map(|n| &n.meta.key.name).collect();
        for (_, there) in pods.iter().filter(|(node, _)| !known.contains(node)) {
            let unbound = |p: &&Row| p.as_pod().is_some_and(|p| p.node_name.is_empty());
            delete.extend(there.iter().filter(unbound).cloned());
        }
        (delete, create)
    }

    /// Of a node's pods those that run; ended ones are to be deleted, failed ones with a back-off.
    fn without_ended(&mut self, node: &SmolStr, there: &[Row], delete: &mut Vec<Row>) -> Vec<Row> {
        let mut running = Vec::new();
        for pod in there.iter().filter(|p| !p.meta.is_deleting()) {
            let place = format!("daemon pod {} on node {node}", pod.key());
            if is_phase(pod, PodPhase::Failed) {
                if let Some(delay) = self.input.backoff.get(node) {
                    self.fx.emit(Effect::RequeueAfter(*delay));
                    continue;
                }
                self.fx.emit(Effect::Own(Own::NodeBackoff(node.clone())));
                let message = format!("Found failed {place}, will try to kill it");
                self.fx.warning(&self.input.object, "FailedDaemonPod", message);
                delete.push(pod.clone());
            } else if is_phase(pod, PodPhase::Succeeded) {
                let message = format!("Found succeeded {place}, will try to delete it");
                self.fx.normal(&self.input.object, "SucceededDaemonPod", message);
                delete.push(pod.clone());
            } else {
                running.push(pod.clone());
            }
        }
        running
    }

    /// Creates and deletes (`syncNodes`).
    fn sync_nodes(&mut self, revision: &Revision, delete: &[Row], create: &[SmolStr]) -> Outcome {
        let delete = &delete[..delete.len().min(BURST_REPLICAS)];
        let create = &create[..create.len().min(BURST_REPLICAS)];
        self.fx.emit(Effect::Expect { creations: create.len(), deletions: delete.len() });
        let plain = self.plain_pod(revision);
        let (created, error) = slow_start(self.fx, &self.input.object, create.len(), |n| {
            let mut pod = plain.clone();
            if let (Body::Pod(body), Some(node)) = (&mut pod.body, create.get(n)) {
                pin_to_node(Arc::make_mut(&mut body.spec), node);
            }
            pod
        })?;
        for _ in created..create.len() {
            self.fx.emit(Effect::CreationFailed);
        }
        let failed = |pod: &Object| Some(Effect::DeletionFailed(pod.key().clone()));
        let (_, refused) = delete_pods(self.fx, &self.input.object, delete, failed)?;
        error.or(refused).map_or(Ok(()), |e: ApiError| Err(e.into()))
    }

    /// A pod of the current revision, for no node yet.
    fn plain_pod(&self, revision: &Revision) -> Object {
        let mut pod = pod_from_template(&self.input.template, &self.input.object, &self.owner_ref);
        let labels: &mut Labels = Arc::make_mut(&mut pod.meta.labels);
        if let Some(generation) = revision.generation {
            labels.insert(TEMPLATE_GENERATION.into(), generation.to_string());
        }
        if !revision.hash.is_empty() {
            labels.insert(REVISION_HASH.into(), revision.hash.clone());
        }
        pod
    }

    /// Counts and tells (`updateDaemonSetStatus`).
    fn update_status(&mut self, revision: &Revision, pods: &ByNode, observed: bool) -> Outcome {
        let counts = self.count(revision, pods);
        let generation = self.input.object.meta.generation;
        let before = self.input.object.as_daemon_set().map(|s| s.status.clone()).unwrap_or_default();
        let mut status = DaemonSetStatus {
            observed_generation: before.observed_generation,
            collision_count: self.status.collision_count,
            conditions: before.conditions.clone(),
            ..counts.clone()
        };
        if status != *before || before.observed_generation.unwrap_or(0) < generation {
            if observed {
                status.observed_generation = Some(generation);
            }
            let object = self.input.object.clone();
            if self.write_status(&object, status.clone())?.is_err() {
                let fresh = self.fx.call(|| live_get(object.kind, object.key().clone()))??;
                self.write_status(&fresh, status)??;
            }
        }
        let min_ready = self.spec.min_ready_seconds.unwrap_or(0);
        if min_ready > 0 && counts.number_ready != counts.number_available.unwrap_or(0) {
            self.fx.emit(Effect::RequeueAfter(secs(i64::from(min_ready))));
        }
        Ok(())
    }

    fn count(&self, revision: &Revision, pods: &ByNode) -> DaemonSetStatus {
        let mut s = DaemonSetStatus::default();
        let (mut available, mut updated) = (0, 0);
        let min_ready = self.spec.min_ready_seconds.unwrap_or(0);
        for node in self.input.nodes.iter() {
            let there = pods.get(&node.meta.key.name).filter(|p| !p.is_empty());
            if !self.wanted.should_run(node).0 {
                s.number_misscheduled += i32::from(there.is_some());
                continue;
            }
            s.desired_number_scheduled += 1;
            let Some(oldest) = there.and_then(|p| p.iter().min_by(|a, b| rolling::by_age(a, b))) else {
                continue;
            };
            s.current_number_scheduled += 1;
            if let Some(pod) = oldest.as_pod().filter(|p| is_ready(p)) {
                s.number_ready += 1;
                available += i32::from(is_available(pod, min_ready, self.fx.now()));
            }
            updated += i32::from(revision.is_current(oldest));
        }
        let positive = |n: i32| (n > 0).then_some(n);
        s.number_available = positive(available);
        s.number_unavailable = positive(s.desired_number_scheduled - available);
        s.updated_number_scheduled = positive(updated);
        s
    }

    pub(super) fn write_status(
        &mut self,
        onto: &Arc<Object>,
        status: DaemonSetStatus,
    ) -> Result<Answer, Stop> {
        let spec = onto.as_daemon_set().map_or_else(|| self.spec.clone(), |s| s.spec.clone());
        self.fx.call(|| {
            let mut copy = Object::clone(onto);
            copy.body = Body::DaemonSet(DaemonSet { spec, status: Arc::new(status) });
            Request::UpdateStatus(Box::new(copy))
        })
    }
}
