//! What happened in an attempt, in the form of a recorded step.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sim_core::api::meta::Uid;
use sim_scheduler::cache::{Cache, Slot};
use sim_scheduler::cycle::Evaluation;
use sim_scheduler::framework::{PostFiltered, Status};

/// What happened.
pub(super) struct Outcome<'a> {
    pub(super) found: &'a Evaluation,
    pub(super) chosen: Option<Slot>,
    pub(super) post_filter: Option<&'a PostFiltered>,
    /// Where the search started, if the record tells of samples.
    pub(super) sample_from: Option<usize>,
}

impl Outcome<'_> {
    /// As a step. The cluster is the one that the attempt saw.
    pub(super) fn step(&self, cache: &Cache) -> Value {
        let mut step = Map::new();
        self.nodes(cache, &mut step);
        self.result(cache, &mut step);
        if let Some(post_filter) = self.post_filter {
            step.insert("postFilter".into(), post_filter_json(cache, post_filter));
        }
        if let Some(start) = self.sample_from {
            let (evaluated, feasible) = (self.found.evaluated(), self.found.feasible.len());
            let next = self.found.next_start;
            let sample = json!({"start": start, "next": next, "evaluated": evaluated, "feasible": feasible});
            step.insert("sample".into(), sample);
        }
        Value::Object(step)
    }

    /// What was said about the nodes.
    fn nodes(&self, cache: &Cache, step: &mut Map<String, Value>) {
        let found = self.found;
        let diagnosis = &found.diagnosis;
        if let Some(status) = &diagnosis.pre_filter {
            step.insert("preFilter".into(), status_json(status));
        }
        if let Some(nodes) = &found.pre_filter_nodes {
            step.insert("preFilterNodes".into(), json!(nodes));
        }
        let refused: BTreeMap<&str, Value> =
            diagnosis.nodes.iter().map(|(slot, status)| (name(cache, slot), status_json(status))).collect();
        step.insert("filter".into(), json!(refused));
        let mut order: Vec<usize> = (0..found.feasible.len()).collect();
        order.sort_by_key(|i| name(cache, found.feasible[*i]));
        let names: Vec<&str> = order.iter().map(|i| name(cache, found.feasible[*i])).collect();
        if !names.is_empty() {
            step.insert("feasible".into(), json!(names));
        }
        let sorted = |values: &[i64]| order.iter().map(|i| values[*i]).collect::<Vec<i64>>();
        if found.error.is_none() && names.len() > 1 {
            let scores: BTreeMap<&str, Value> = found
                .scores
                .iter()
                .map(|s| (s.plugin, json!({"raw": sorted(&s.raw), "weighted": sorted(&s.weighted)})))
                .collect();
            if !scores.is_empty() {
                step.insert("scores".into(), json!(scores));
            }
            step.insert("totals".into(), json!(sorted(&found.totals)));
        }
        for (key, plugins) in [
            ("unschedulablePlugins", &diagnosis.unschedulable_plugins),
            ("pendingPlugins", &diagnosis.pending_plugins),
        ] {
            if !plugins.is_empty() {
                step.insert(key.into(), json!(plugins));
            }
        }
    }

    fn result(&self, cache: &Cache, step: &mut Map<String, Value>) {
        let found = self.found;
        match (&found.error, self.chosen) {
            (Some(error), _) => {
                step.insert("result".into(), json!("error"));
                step.insert("message".into(), json!(error.message()));
            }
            (None, Some(slot)) => {
                let mut best: Vec<&str> = found.best.iter().map(|slot| name(cache, *slot)).collect();
                best.sort_unstable();
                step.insert("result".into(), json!("scheduled"));
                step.insert("best".into(), json!(best));
                step.insert("chosen".into(), json!(name(cache, slot)));
                if found.nominated_first {
                    step.insert("nominatedFirst".into(), json!(name(cache, slot)));
                }
            }
            (None, None) => {
                step.insert("result".into(), json!("unschedulable"));
                step.insert("message".into(), json!(found.diagnosis.message(cache.order().len())));
            }
        }
    }
}

/// Name of a node.
pub(super) fn name(cache: &Cache, slot: Slot) -> &str {
    &cache.node(slot).name
}

/// A status with its reasons sorted.
pub(super) fn status_json(status: &Status) -> Value {
    let mut reasons = status.reasons.clone();
    reasons.sort_unstable();
    json!({"code": status.code.as_str(), "plugin": status.plugin, "reasons": reasons})
}

fn post_filter_json(cache: &Cache, outcome: &PostFiltered) -> Value {
    let mut fields = Map::new();
    fields.insert("code".into(), json!(outcome.status.code.as_str()));
    for (field, text) in
        [("plugin", outcome.status.plugin.to_string()), ("message", outcome.status.message())]
    {
        if !text.is_empty() {
            fields.insert(field.into(), json!(text));
        }
    }
    if outcome.nominated_node.as_ref().is_some_and(|node| node.is_empty()) {
        fields.insert("clearsNomination".into(), json!(true));
    }
    if let Some(preemption) = &outcome.preemption {
        let keys = |uids: &[Uid]| -> Vec<String> {
            let objects = uids.iter().filter_map(|uid| cache.pod_object(*uid));
            objects.map(|pod| pod.meta.key.to_string()).collect()
        };
        let candidates: BTreeMap<&str, Value> = preemption
            .candidates
            .iter()
            .map(|(node, victims, violations)| {
                (node.as_str(), json!({"victims": keys(victims), "pdbViolations": violations}))
            })
            .collect();
        fields.insert("candidates".into(), json!(candidates));
        fields.insert("tied".into(), json!(preemption.tied));
        fields.insert("nominatedNode".into(), json!(preemption.node));
        fields.insert("victims".into(), json!(keys(&preemption.victims)));
    }
    Value::Object(fields)
}
