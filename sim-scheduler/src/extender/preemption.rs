//! Extenders in a preemption (`callExtenders` of `framework/preemption`).

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::api::meta::Uid;
use sim_core::api::object::{Body, Object};
use smol_str::{SmolStr, format_smolstr};

use super::set::Entry;
use super::{ExtenderCalls, ExtenderError, ExtenderMetaVictims, ExtenderVictims, Extenders};
use crate::cache::Cache;
use crate::framework::{Attempt, Status};

/// Victims by node.
pub(crate) type Candidates = BTreeMap<SmolStr, ExtenderVictims>;

impl Extenders {
    /// True if one of them has a say in preemptions for a pod.
    pub(crate) fn preempt_for(&self, pod: &Object) -> bool {
        self.interested(pod).any(|entry| entry.settings.preempts)
    }

    /// Lets the extenders change the candidates, one after the other.
    pub(crate) fn preempt(
        &self,
        attempt: &Attempt<'_>,
        mut candidates: Candidates,
        calls: &mut ExtenderCalls,
    ) -> Result<Candidates, Status> {
        for entry in self.interested(attempt.object).filter(|entry| entry.settings.preempts) {
            calls.in_turn += 1;
            let answer = entry.extender.preempt(&self.asked(attempt), &candidates);
            let mut answer = match answer.and_then(|answer| entry.victims(attempt.cluster, answer)) {
                Ok(answer) => answer,
                Err(error) => match self.fatal(&entry.settings, error) {
                    None => continue,
                    Some(text) => return Err(Status::error(text)),
                },
            };
            if entry.settings.ignorable {
                answer.retain(|_, victims| !victims.pods.is_empty());
            } else if let Some((node, _)) = answer.iter().find(|(_, victims)| victims.pods.is_empty()) {
                let text = format_smolstr!("expected at least one victim pod on node {node:?}");
                return Err(Status::error(text));
            }
            candidates = answer;
            if candidates.is_empty() {
                break;
            }
        }
        Ok(candidates)
    }
}

impl Entry {
    /// The pods that an answer means (`convertToVictims`).
    fn victims(
        &self,
        cluster: &Cache,
        answer: BTreeMap<SmolStr, ExtenderMetaVictims>,
    ) -> Result<Candidates, ExtenderError> {
        let mut candidates = Candidates::new();
        for (name, meta) in answer {
            let slot = cluster
                .slot(&name)
                .ok_or_else(|| ExtenderError::Failed(format!("nodeinfo not found for node name {name:?}")))?;
            let there = &cluster.node(slot).pods;
            let pod = |uid: Uid| {
                let known = there.iter().any(|pod| pod.uid == uid).then(|| object_of(cluster, uid, &name));
                known.flatten().ok_or_else(|| {
                    ExtenderError::Failed(format!(
                        "extender: {} claims to preempt pod (UID: &{{{uid}}}) on node: {name}, but the pod is not \
                         found on that node",
                        self.settings.name
                    ))
                })
            };
            let pods = meta.pods.into_iter().map(pod).collect::<Result<_, _>>()?;
            candidates.insert(name, ExtenderVictims { pods, pdb_violations: meta.pdb_violations });
        }
        Ok(candidates)
    }
}

/// A pod on a node, also if it is only assumed there.
pub(crate) fn object_of(cluster: &Cache, uid: Uid, node: &SmolStr) -> Option<Arc<Object>> {
    let mut object = cluster.pod_object(uid)?.clone();
    if object.as_pod().is_some_and(|pod| pod.node_name.is_empty())
        && let Body::Pod(pod) = &mut Arc::make_mut(&mut object).body
    {
        pod.node_name = node.clone();
    }
    Some(object)
}
