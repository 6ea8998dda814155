//! `sort`: the order of pods that are ready.

use std::sync::Arc;

use serde_json::{Value, json};
use sim_core::api::request::{Change, ChangeKind};
use sim_core::time::{Time, millis};
use sim_scheduler::Scheduler;

use super::super::quantity::{same, text};
use super::decode;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let mut scheduler = Scheduler::default();
    for pod in input["pods"].as_array().into_iter().flatten() {
        let name = text(pod, "name");
        let object = decode(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "default", "name": name},
            "spec": {"schedulerName": "default-scheduler", "priority": pod["priority"], "containers": []},
        }))?;
        let new = Arc::new(object.ok_or("no pod")?);
        let at = Time::ZERO + millis(pod["timestampMs"].as_i64().ok_or("no time")?);
        scheduler.observe(at, &Change { kind: ChangeKind::Added, old: None, new });
    }
    let order: Vec<String> = std::iter::from_fn(|| scheduler.with_queue(|queue, _| queue.pop()))
        .map(|pod| pod.object.meta.name().to_owned())
        .collect();
    same("popOrder", json!(order), &expected["popOrder"])
}
