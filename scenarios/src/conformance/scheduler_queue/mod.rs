//! `scheduler-queue/`: the scheduling queue, queueing hints, and what is an event.

pub(super) mod event_mapping;
pub(super) mod hints;

use serde_json::{Value, json};
use sim_core::api::kind::Kinds;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::api::wire;
use sim_core::time::Epoch;
use sim_scheduler::framework::ClusterEvent;

/// An object; `None` for null. What has no uid gets one from its name.
fn decode(value: &Value) -> Result<Option<Object>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let mut object =
        wire::from_json(value, &Kinds::default(), Epoch::default()).map_err(|e| e.to_string())?;
    if object.meta.uid.is_unset() {
        object.meta.uid = Uid::parse(&object.meta.key.to_string());
    }
    Ok(Some(object))
}

fn event_json(event: ClusterEvent) -> Value {
    json!({"action": event.action.0, "label": event.label(), "resource": event.resource.as_str()})
}
