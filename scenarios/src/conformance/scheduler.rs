//! Scheduler files: a scenario is replayed attempt by attempt, and everything recorded about an attempt is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sim_core::api::kind::Kinds;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::api::wire;
use sim_core::time::{Epoch, Time};
use sim_scheduler::cache::{Cache, Slot};
use sim_scheduler::config::SchedulerConfig;
use sim_scheduler::cycle::{Evaluation, FastCycles, FastOutcome, Nominator, Sampling, TieBreak, evaluate};
use sim_scheduler::framework::{Attempt, Point, Profile, Registry, Status, Surroundings};
use sim_scheduler::pod::Classes;

use super::SchedulerOptions;

/// Compares one file; the error is the first difference.
pub(super) fn check(file: &Value, options: SchedulerOptions) -> Result<(), String> {
    let scenario = &file["scenario"];
    let expected = &file["expected"];
    let mut replay = Replay::new(scenario, expected)?;
    replay.check_header(expected, options)?;
    for step in expected["steps"].as_array().into_iter().flatten() {
        let name = step["pod"].as_str().unwrap_or_default();
        let difference = |text: String| format!("{name}, attempt {}: {text}", step["attempt"]);
        let actual = replay.attempt(name).map_err(difference)?;
        compare_step(step, &actual, options).map_err(difference)?;
        if options.no_postfilter && step["postFilter"].get("nominatedNode").is_some() {
            break;
        }
    }
    Ok(())
}

struct Replay {
    profile: Profile,
    cache: Cache,
    classes: Classes,
    nominator: Nominator,
    pending: BTreeMap<String, Object>,
    sampling: Sampling,
    sampled: bool,
    start: usize,
    fast: FastCycles,
}

impl Replay {
    fn new(scenario: &Value, expected: &Value) -> Result<Replay, String> {
        let config = match &scenario["config"] {
            Value::Null => json!({}),
            given => given.clone(),
        };
        let config = SchedulerConfig::from_json(config).map_err(|e| format!("config: {e}"))?;
        let mut profiles = config.profiles(&Registry::in_tree()).map_err(|e| format!("config: {e}"))?;
        let mut steps = expected["steps"].as_array().into_iter().flatten();
        let sampled = steps.any(|step| step.get("sample").is_some());
        let percentage = config.percentage_of_nodes_to_score.unwrap_or(0);
        let mut replay = Replay {
            profile: profiles.remove(0),
            cache: Cache::default(),
            classes: Classes::default(),
            nominator: Nominator::default(),
            pending: BTreeMap::new(),
            sampling: if sampled { Sampling::Percentage(percentage) } else { Sampling::All },
            sampled,
            start: 0,
            fast: FastCycles::default(),
        };
        for value in scenario["objects"].as_array().into_iter().flatten() {
            replay.add(value)?;
        }
        for value in scenario["pending"].as_array().into_iter().flatten() {
            let object = decode(value)?;
            replay.pending.insert(object.meta.key.to_string(), object);
        }
        replay.cache.refresh();
        Ok(replay)
    }

    fn add(&mut self, value: &Value) -> Result<(), String> {
        match value["kind"].as_str() {
            Some("Node") => self.cache.set_node(&decode(value)?),
            Some("Pod") => {
                let object = decode(value)?;
                let info = self.classes.of(&object).ok_or("not a pod")?;
                let pod = object.as_pod().ok_or("not a pod")?;
                if pod.node_name.is_empty() {
                    self.nominator.nominate(object.meta.uid, &info, &pod.status.nominated_node_name);
                } else {
                    self.cache.set_pod(&Arc::new(object.clone()), info, &pod.node_name);
                }
            }
            _ => self.cache.objects_mut().set(Arc::new(decode(value)?)),
        }
        Ok(())
    }

    fn check_header(&self, expected: &Value, options: SchedulerOptions) -> Result<(), String> {
        let order: Vec<&str> = self.cache.order().iter().map(|slot| self.name(*slot)).collect();
        same("nodeOrder", &expected["nodeOrder"], &json!(order))?;
        if options.no_postfilter {
            return Ok(());
        }
        let scores = self.profile.at(Point::Score).iter();
        let weights: BTreeMap<&str, i64> =
            scores.map(|i| (self.profile.plugin(*i).name(), self.profile.weight(*i))).collect();
        same("weights", &expected["weights"], &json!(weights))?;
        let filters: Vec<&str> =
            self.profile.at(Point::Filter).iter().map(|i| self.profile.plugin(*i).name()).collect();
        same("filterOrder", &expected["filterOrder"], &json!(filters))
    }

    fn name(&self, slot: Slot) -> &str {
        &self.cache.node(slot).name
    }

    /// Tries a pod, and says what happened in the form of a recorded step.
    fn attempt(&mut self, name: &str) -> Result<Value, String> {
        let object = self.pending.get(name).cloned().ok_or("no such pending pod")?;
        if let Some(gate) = self.gate(&object) {
            return Ok(json!({"result": "gated", "preEnqueue": status_json(&gate)}));
        }
        let info = self.classes.of(&object).ok_or("not a pod")?;
        self.cache.refresh();
        if self.cache.order().is_empty() {
            return Ok(json!({"result": "unschedulable", "message": "no nodes available to schedule pods"}));
        }
        let attempt = Attempt { pod: &info, object: &object, cluster: &self.cache, now: Time::ZERO };
        let (found, _) = evaluate(&self.profile, attempt, &self.nominator, self.sampling, self.start);
        let ties = &mut TieBreak::LowestName;
        let chosen = found.best.iter().copied().min_by_key(|slot| self.cache.node(*slot).name.clone());
        let plain_pod = object.as_pod().is_none_or(|p| p.status.nominated_node_name.is_empty());
        if self.nominator.is_empty() && plain_pod && found.error.is_none() {
            let fast = self.fast.choose(
                (0, &self.profile),
                &attempt,
                &self.nominator,
                (self.sampling, self.start),
                ties,
            );
            self.check_fast(&fast, &found, chosen)?;
        }
        let step = self.step(&found, chosen);
        self.start = found.next_start;
        if let (Some(slot), None) = (chosen, &found.error) {
            let node = self.cache.node(slot).name.clone();
            self.nominator.remove(object.meta.uid);
            self.cache.assume(&Arc::new(object), info, &node);
        }
        Ok(step)
    }

    fn gate(&self, object: &Object) -> Option<Status> {
        let preempting = BTreeSet::new();
        let surroundings = Surroundings { objects: self.cache.objects(), preempting: &preempting };
        self.profile.at(Point::PreEnqueue).iter().find_map(|i| {
            let plugin = self.profile.plugin(*i);
            plugin.pre_enqueue(object, surroundings).into_status(plugin.name())
        })
    }

    /// The fast way through a cycle must agree with the plain one.
    fn check_fast(&self, fast: &FastOutcome, found: &Evaluation, chosen: Option<Slot>) -> Result<(), String> {
        let nodes = self.cache.order().len();
        let same = match (fast, chosen) {
            (FastOutcome::Unsure, _) => true,
            (FastOutcome::Nothing(diagnosis), None) => {
                diagnosis.message(nodes) == found.diagnosis.message(nodes)
                    && diagnosis.unschedulable_plugins == found.diagnosis.unschedulable_plugins
            }
            (FastOutcome::Chosen { slot, score, feasible, evaluated, next_start }, Some(chosen)) => {
                (*slot, *score, *feasible) == (chosen, found.score(), found.feasible.len())
                    && (*evaluated, *next_start) == (found.evaluated(), found.next_start)
            }
            _ => false,
        };
        if same { Ok(()) } else { Err(format!("the fast way found {fast:?}, the plain way {found:?}")) }
    }

    fn step(&self, found: &Evaluation, chosen: Option<Slot>) -> Value {
        let mut step = Map::new();
        let diagnosis = &found.diagnosis;
        if let Some(status) = &diagnosis.pre_filter {
            step.insert("preFilter".into(), status_json(status));
        }
        if let Some(nodes) = &found.pre_filter_nodes {
            step.insert("preFilterNodes".into(), json!(nodes));
        }
        let refused: BTreeMap<&str, Value> =
            diagnosis.nodes.iter().map(|(slot, status)| (self.name(slot), status_json(status))).collect();
        step.insert("filter".into(), json!(refused));
        let mut order: Vec<usize> = (0..found.feasible.len()).collect();
        order.sort_by_key(|i| self.name(found.feasible[*i]));
        let names: Vec<&str> = order.iter().map(|i| self.name(found.feasible[*i])).collect();
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
        match (&found.error, chosen) {
            (Some(error), _) => {
                step.insert("result".into(), json!("error"));
                step.insert("message".into(), json!(error.message()));
            }
            (None, Some(slot)) => {
                let mut best: Vec<&str> = found.best.iter().map(|slot| self.name(*slot)).collect();
                best.sort_unstable();
                step.insert("result".into(), json!("scheduled"));
                step.insert("best".into(), json!(best));
                step.insert("chosen".into(), json!(self.name(slot)));
                if found.nominated_first {
                    step.insert("nominatedFirst".into(), json!(self.name(slot)));
                }
            }
            (None, None) => {
                step.insert("result".into(), json!("unschedulable"));
                step.insert("message".into(), json!(diagnosis.message(self.cache.order().len())));
            }
        }
        if self.sampled {
            let (evaluated, feasible) = (found.evaluated(), found.feasible.len());
            let sample = json!({"start": self.start, "next": found.next_start, "evaluated": evaluated, "feasible": feasible});
            step.insert("sample".into(), sample);
        }
        Value::Object(step)
    }
}

fn decode(value: &Value) -> Result<Object, String> {
    let mut object =
        wire::from_json(value, &Kinds::default(), Epoch::default()).map_err(|e| e.to_string())?;
    if object.meta.uid.is_unset() {
        object.meta.uid = Uid::parse(&object.meta.key.to_string());
    }
    Ok(object)
}

fn status_json(status: &Status) -> Value {
    let mut reasons = status.reasons.clone();
    reasons.sort_unstable();
    json!({"code": status.code.as_str(), "plugin": status.plugin, "reasons": reasons})
}

/// Rejections by node, which leaves open how they are grouped.
fn by_node(groups: &Value) -> Value {
    let mut nodes = BTreeMap::new();
    for group in groups.as_array().into_iter().flatten() {
        let verdict = json!({"code": group["code"], "plugin": group["plugin"], "reasons": group["reasons"]});
        for node in group["nodes"].as_array().into_iter().flatten() {
            nodes.insert(node.as_str().unwrap_or_default(), verdict.clone());
        }
    }
    json!(nodes)
}

fn compare_step(expected: &Value, actual: &Value, options: SchedulerOptions) -> Result<(), String> {
    let mut wanted = expected.as_object().cloned().unwrap_or_default();
    wanted.remove("pod");
    wanted.remove("attempt");
    let gated = wanted.get("result") == Some(&json!("gated"));
    let filter = by_node(&expected["filter"]);
    if !gated && actual.get("filter").is_some() {
        wanted.insert("filter".into(), filter);
    }
    if options.no_postfilter
        && let Some(post_filter) = wanted.remove("postFilter")
    {
        let appended = format!(" {}", post_filter["message"].as_str().unwrap_or_default());
        if let Some(Value::String(message)) = wanted.get_mut("message")
            && let Some(own) = message.strip_suffix(&appended)
        {
            *message = own.to_owned();
        }
    }
    // The decision first: it is the difference that people look for.
    for key in ["result", "message", "filter", "feasible", "scores", "totals"] {
        same(key, wanted.get(key).unwrap_or(&Value::Null), &actual[key])?;
    }
    let actual = actual.as_object().cloned().unwrap_or_default();
    for key in wanted.keys().chain(actual.keys()) {
        let value = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
        same(key, &value(&wanted), &value(&actual))?;
    }
    Ok(())
}

/// Compares two values, and names the first place where they differ.
fn same(path: &str, expected: &Value, actual: &Value) -> Result<(), String> {
    match (expected, actual) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort_unstable();
            for key in keys {
                let value = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                same(&format!("{path}.{key}"), &value(a), &value(b))?;
            }
            Ok(())
        }
        (a, b) if a == b => Ok(()),
        (a, b) => Err(format!("{path}: recorded {a}, here {b}")),
    }
}
