//! `event_mapping`: what an update of a pod or a node changed.

use serde_json::{Value, json};
use sim_scheduler::framework::{node_changes, pod_changes};

use super::super::quantity::{same, text};
use super::{decode, event_json};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let (Some(old), Some(new)) = (decode(&input["old"])?, decode(&input["new"])?) else {
        return Err("an update needs both objects".to_owned());
    };
    let events = match text(input, "kind") {
        "Pod" => pod_changes(&old, &new),
        "Node" => node_changes(&old, &new),
        other => return Err(format!("unknown kind {other:?}")),
    };
    same("events", json!(events.into_iter().map(event_json).collect::<Vec<_>>()), &expected["events"])
}
