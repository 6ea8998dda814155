//! Why a pod is pending.

use std::collections::BTreeMap;

use sim_core::api::meta::Key;
use sim_core::time::Time;
use smol_str::SmolStr;

use super::Scheduler;
use crate::explain::{Explanations, Scene, WhatIf};
use crate::framework::{Code, Diagnosis};
use crate::queue::QueuedPod;

/// What a plugin said, and about how many nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PluginVerdict {
    /// Plugin; empty if none is to blame.
    pub plugin: SmolStr,
    /// Code.
    pub code: Code,
    /// One of its reasons.
    pub reason: SmolStr,
    /// Nodes; 0 if it was about the pod as a whole.
    pub nodes: usize,
}

/// The last failed attempt of a pod that is still pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastAttempt {
    /// When.
    pub at: Time,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// Text of its condition and event.
    pub message: String,
    /// Who said what, sorted by plugin.
    pub verdicts: Vec<PluginVerdict>,
}

impl LastAttempt {
    pub(super) fn new(at: Time, attempt: u32, message: String, diagnosis: Option<&Diagnosis>) -> LastAttempt {
        let mut counts: BTreeMap<(SmolStr, Code, SmolStr), usize> = BTreeMap::new();
        let nodes = diagnosis.iter().flat_map(|d| d.nodes.counts());
        let whole = diagnosis.iter().filter_map(|d| d.pre_filter.as_ref()).map(|status| (status, 0));
        for (status, nodes) in nodes.chain(whole) {
            for reason in &status.reasons {
                let key = (status.plugin.clone(), status.code, reason.clone());
                *counts.entry(key).or_default() += nodes;
            }
        }
        let verdicts = counts
            .into_iter()
            .map(|((plugin, code, reason), nodes)| PluginVerdict { plugin, code, reason, nodes })
            .collect();
        LastAttempt { at, attempt, message, verdicts }
    }
}

impl Scheduler {
    /// What is kept of attempts of pods that are explained.
    pub fn explanations(&self) -> &Explanations {
        &self.explanations
    }

    /// The same, to say which pods are to be explained. That changes no decision.
    pub fn explanations_mut(&mut self) -> &mut Explanations {
        &mut self.explanations
    }

    /// Single changes that would have placed a pod, as things were at its last failed attempt if it is explained by name
    /// (or at the one of [`Explanations::scene_of`]); else as they are now, if it waits. `None` if neither.
    pub fn what_would_help(&self, pod: &Key, now: Time) -> Option<WhatIf> {
        if let Some(scene) = self.explanations.scene(pod) {
            return Some(scene.what_if());
        }
        let queued = self.queue.get(*self.pending.get(pod)?)?;
        let mut scene = self.scene(queued, now);
        scene.cluster.refresh();
        scene.attempt += 1;
        Some(scene.what_if())
    }

    /// What an attempt sees.
    fn scene(&self, pod: &QueuedPod, now: Time) -> Scene {
        Scene {
            profile: self.profiles[pod.profile].clone(),
            object: pod.object.clone(),
            info: pod.info.clone(),
            cluster: self.cache.clone(),
            nominator: self.queue.nominator().clone(),
            now,
            attempt: pod.attempts,
        }
    }

    /// An attempt found no node.
    pub(super) fn keep_scene(&mut self, pod: &QueuedPod, now: Time) {
        if self.explanations.wants_scene(&pod.object.meta.key, pod.attempts) {
            let scene = self.scene(pod, now);
            self.explanations.keep_scene(scene);
        }
    }

    /// The last failed attempt of a pending pod; `None` if it was not tried yet, or is not pending.
    pub fn last_attempt(&self, pod: &Key) -> Option<&LastAttempt> {
        self.last_attempts.get(self.pending.get(pod)?)
    }

    /// Why a pod is pending, in upstream's words: the message of its last attempt, or what keeps it from being tried.
    /// `None` if it waits for its first attempt, or is not pending.
    pub fn why_pending(&self, pod: &Key) -> Option<String> {
        let uid = *self.pending.get(pod)?;
        if let Some(gate) = self.queue.get(uid).and_then(|queued| queued.gate.as_ref()) {
            return Some(gate.status.message());
        }
        self.last_attempts.get(&uid).map(|last| last.message.clone())
    }
}
