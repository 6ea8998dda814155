//! `queue_traces`: what was done to the queue, and what was in it after every step. Objects come in by the scheduler's own
//! handlers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::time::{Time, millis};
use sim_scheduler::Scheduler;
use sim_scheduler::framework::Rejectors;
use sim_scheduler::pod::Classes;
use sim_scheduler::queue::{Cause, Happening, InFlightEntry, QueuedPod};
use smol_str::SmolStr;

use super::super::quantity::{same, text};
use super::{decode, event};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let mut replay = Replay::default();
    let steps = expected["steps"].as_array().ok_or("no steps")?;
    for (i, op) in input["ops"].as_array().into_iter().flatten().enumerate() {
        let at = op["atMs"].as_i64().ok_or("no time")?;
        let where_ = |text: String| format!("step {i} ({} at {at} ms): {text}", op["op"]);
        let mut actual = replay.step(op, Time::ZERO + millis(at)).map_err(where_)?;
        actual.insert("state".into(), replay.state());
        let recorded = steps.get(i).and_then(Value::as_object).ok_or("too few steps")?;
        for (key, value) in recorded {
            compare(key, value, actual.get(key).unwrap_or(&Value::Null)).map_err(where_)?;
        }
        same("fields", actual.len(), &json!(recorded.len())).map_err(where_)?;
    }
    Ok(())
}

/// Names the first place where two values differ.
fn compare(path: &str, recorded: &Value, ours: &Value) -> Result<(), String> {
    if let (Value::Object(a), Value::Object(b)) = (recorded, ours)
        && a.len() == b.len()
    {
        let null = &Value::Null;
        return a.iter().try_for_each(|(k, v)| compare(&format!("{path}.{k}"), v, b.get(k).unwrap_or(null)));
    }
    same(path, ours.clone(), recorded)
}

#[derive(Default)]
struct Replay {
    scheduler: Scheduler,
    classes: Classes,
    /// What the pod lister has.
    listed: BTreeMap<String, Arc<Object>>,
    popped: BTreeMap<String, Box<QueuedPod>>,
    names: BTreeMap<Uid, String>,
}

impl Replay {
    fn step(&mut self, op: &Value, now: Time) -> Result<Map<String, Value>, String> {
        let mut result = Map::new();
        let name = text(op, "pod").to_owned();
        match text(op, "op") {
            "advance" => {}
            "add" | "assignedPodAdded" | "nodeAdd" => self.see(ChangeKind::Added, op, now)?,
            "update" | "assignedPodUpdated" | "nodeUpdate" => self.see(ChangeKind::Modified, op, now)?,
            "delete" | "assignedPodDeleted" | "nodeDelete" => self.see(ChangeKind::Deleted, op, now)?,
            "pop" => match self.scheduler.with_queue(|queue, _| queue.pop()) {
                None => drop(result.insert("blocks".into(), json!(true))),
                Some(pod) => {
                    let name = pod.object.meta.key.to_string();
                    result.insert("popped".into(), json!(name));
                    result.insert("info".into(), self.pod(&pod));
                    self.popped.insert(name, pod);
                }
            },
            "unschedulable" => {
                if let Some(reason) = self.fail(op, &name, now)? {
                    result.insert("aborted".into(), json!(reason));
                }
            }
            "done" => {
                let pod = self.popped.remove(&name).ok_or("the pod is not in flight")?;
                self.scheduler.with_queue(|queue, _| queue.done(pod.object.meta.uid));
            }
            "moveAll" => {
                let happening = Happening::new(event(op)?, None, None);
                self.scheduler.with_queue(|queue, with| queue.move_all(with, &happening, now, |_| true));
            }
            "timeoutEvent" => {
                let happening = Happening { cause: Cause::UnschedulableTimeout, old: None, new: None };
                self.scheduler.with_queue(|queue, with| queue.move_all(with, &happening, now, |_| true));
            }
            "activate" => {
                let pod =
                    self.listed.get(&name).cloned().or_else(|| Some(self.popped.get(&name)?.object.clone()));
                if let Some(pod) = pod {
                    self.scheduler.with_queue(|queue, with| queue.activate(with, &pod, now));
                }
            }
            "nominate" => {
                let object = self.listed.get(&name).ok_or("the pod is not listed")?.clone();
                self.nominate(op, &object)?;
            }
            "flushBackoff" => self.scheduler.with_queue(|queue, with| queue.flush_backoff(with, now)),
            "flushUnschedulable" => {
                self.scheduler.with_queue(|queue, with| queue.flush_unschedulable(with, now));
            }
            other => return Err(format!("unknown op {other:?}")),
        }
        Ok(result)
    }

    fn see(&mut self, kind: ChangeKind, op: &Value, now: Time) -> Result<(), String> {
        let object = decode(if kind == ChangeKind::Modified { &op["new"] } else { &op["object"] })?;
        let new = Arc::new(object.ok_or("no object")?);
        let old = decode(&op["old"])?.map(Arc::new);
        if new.as_pod().is_some() {
            let name = new.meta.key.to_string();
            self.names.insert(new.meta.uid, name.clone());
            if kind == ChangeKind::Deleted {
                self.listed.remove(&name);
            } else {
                self.listed.insert(name, new.clone());
            }
        }
        self.scheduler.observe(now, &Change { kind, old, new });
        Ok(())
    }

    /// `handleSchedulingFailure`. Says why if it gave up.
    fn fail(&mut self, op: &Value, name: &str, now: Time) -> Result<Option<&'static str>, String> {
        let mut pod = self.popped.remove(name).ok_or("the pod is not in flight")?;
        let uid = pod.object.meta.uid;
        let Some(object) = self.listed.get(name).cloned() else {
            self.scheduler.with_queue(|queue, _| queue.done(uid));
            return Ok(Some("pod deleted"));
        };
        pod.info = self.classes.of(&object).ok_or("not a pod")?;
        pod.object = object.clone();
        pod.unschedulable_plugins = self.rejectors(&op["plugins"]);
        pod.pending_plugins = self.rejectors(&op["pending"]);
        self.scheduler.with_queue(|queue, with| queue.add_failed(with, pod, now));
        self.nominate(op, &object)?;
        Ok(None)
    }

    fn rejectors(&self, names: &Value) -> Rejectors {
        let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
        let names: Vec<SmolStr> = names.map(SmolStr::new).collect();
        self.scheduler.profiles()[0].rejectors(&names)
    }

    fn nominate(&mut self, op: &Value, object: &Arc<Object>) -> Result<(), String> {
        let info = self.classes.of(object).ok_or("not a pod")?;
        self.scheduler.with_queue(|queue, _| match text(op, "nominateMode") {
            "override" => {
                queue.nominator_mut().nominate(object.meta.uid, &info, text(op, "nominateNode"));
                Ok(())
            }
            "" => {
                queue.nominator_mut().add(object, &info);
                Ok(())
            }
            other => Err(format!("unknown mode {other:?}")),
        })
    }

    fn state(&self) -> Value {
        let queue = self.scheduler.queue();
        let list = |pods: &mut dyn Iterator<Item = &QueuedPod>| pods.map(|p| self.pod(p)).collect::<Vec<_>>();
        let with_expiry = |pods: &mut dyn Iterator<Item = &QueuedPod>| -> Vec<Value> {
            pods.map(|pod| {
                let mut value = self.pod(pod);
                value["expiryMs"] = json!(pod.backoff_expiration.map(ms));
                value
            })
            .collect()
        };
        let by_name = |pods: &mut dyn Iterator<Item = &QueuedPod>| {
            let mut values = list(pods);
            values.sort_by_key(|v| text(v, "pod").to_owned());
            values
        };
        let in_flight = queue.in_flight().map(|entry| match entry {
            InFlightEntry::Pod(pod) => format!("pod {}", pod.meta.key),
            InFlightEntry::Event(happening) => format!("event {}", happening.cause.label()),
        });
        let mut nominated: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (uid, node) in queue.nominator().all() {
            nominated.entry(node).or_default().push(self.names.get(&uid).map_or("?", String::as_str));
        }
        json!({
            "active": list(&mut queue.active()),
            "backoff": with_expiry(&mut queue.backoff()),
            "errorBackoff": with_expiry(&mut queue.error_backoff()),
            "unschedulable": by_name(&mut queue.waiting(false)),
            "gated": by_name(&mut queue.waiting(true)),
            "inFlight": in_flight.collect::<Vec<_>>(),
            "nominated": nominated,
            "cycle": queue.cycle(),
        })
    }

    fn pod(&self, pod: &QueuedPod) -> Value {
        let profile = &self.scheduler.profiles()[0];
        let name = |plugin: usize| if plugin < profile.len() { profile.plugin(plugin).name() } else { "?" };
        let names = |set: Rejectors| {
            let mut names: Vec<&str> = set.iter().map(name).collect();
            names.sort_unstable();
            names
        };
        let mut value = json!({
            "pod": pod.object.meta.key.to_string(),
            "timestampMs": ms(pod.timestamp),
            "attempts": pod.attempts,
            "unschedulableCount": pod.unschedulable_count,
            "consecutiveErrors": pod.consecutive_errors,
        });
        if let Some(at) = pod.initial_attempt {
            value["firstActiveMs"] = json!(ms(at));
        }
        if let Some(gate) = &pod.gate {
            value["gatedBy"] = json!(name(gate.plugin));
        }
        for (key, set) in
            [("unschedulablePlugins", pod.unschedulable_plugins), ("pendingPlugins", pod.pending_plugins)]
        {
            if !set.is_empty() {
                value[key] = json!(names(set));
            }
        }
        value
    }
}

fn ms(at: Time) -> i64 {
    at.0 / 1_000_000
}
