//! `scheduler-queue/`: the scheduling queue, queueing hints, and what is an event.

pub(super) mod event_mapping;
pub(super) mod hints;
pub(super) mod sort;
pub(super) mod traces;

use serde_json::{Value, json};
use sim_core::api::kind::Kinds;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::api::wire;
use sim_core::time::Epoch;
use sim_scheduler::framework::{ActionType, ClusterEvent, EventResource};

use super::quantity::text;

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

/// An event by its name.
fn event(value: &Value) -> Result<ClusterEvent, String> {
    use EventResource as R;
    let name = text(value, "resource");
    let known = [
        R::AssignedPod,
        R::UnscheduledPod,
        R::Node,
        R::PersistentVolume,
        R::PersistentVolumeClaim,
        R::CSINode,
        R::CSIDriver,
        R::VolumeAttachment,
        R::CSIStorageCapacity,
        R::StorageClass,
        R::ResourceClaim,
        R::ResourceSlice,
        R::DeviceClass,
        R::WildCard,
    ];
    let resource =
        known.into_iter().find(|r| r.as_str() == name).ok_or(format!("unknown resource {name:?}"))?;
    let action = value["action"].as_u64().and_then(|bits| u32::try_from(bits).ok());
    Ok(ClusterEvent::new(resource, ActionType(action.ok_or("no action")?)))
}
