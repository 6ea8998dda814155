//! What the adapters of `controllers/` share: objects of test tables, which leave out kind and version.

use std::sync::Arc;

use serde_json::Value;
use sim_controllers::job::intervals::Intervals;
use sim_core::api::kind::Kinds;
use sim_core::api::object::Object;
use sim_core::api::wire;
use sim_core::time::{Epoch, Time};

/// An object of a kind; absent fields are empty.
pub(super) fn object(api_version: &str, kind: &str, value: &Value) -> Result<Arc<Object>, String> {
    let mut value = if value.is_object() { value.clone() } else { serde_json::json!({}) };
    value["apiVersion"] = api_version.into();
    value["kind"] = kind.into();
    let read = wire::from_json(&value, &Kinds::default(), Epoch::default());
    read.map(Arc::new).map_err(|e| format!("{kind}: {}", e.message()))
}

pub(super) fn pod(value: &Value) -> Result<Arc<Object>, String> {
    object("v1", "Pod", value)
}

pub(super) fn replica_set(value: &Value) -> Result<Arc<Object>, String> {
    object("apps/v1", "ReplicaSet", value)
}

pub(super) fn deployment(value: &Value) -> Result<Arc<Object>, String> {
    object("apps/v1", "Deployment", value)
}

pub(super) fn job(value: &Value) -> Result<Arc<Object>, String> {
    object("batch/v1", "Job", value)
}

/// All elements of a list, or none if it is absent.
pub(super) fn list<T>(value: &Value, read: impl Fn(&Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    value.as_array().into_iter().flatten().filter(|v| !v.is_null()).map(read).collect()
}

/// A number, 0 if absent.
pub(super) fn number(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or(0)
}

/// A number of 32 bits, 0 if absent.
pub(super) fn number32(value: &Value, field: &str) -> i32 {
    i32::try_from(number(value, field)).unwrap_or(i32::MAX)
}

/// An instant, if there is one.
pub(super) fn time(value: &Value) -> Result<Option<Time>, String> {
    let Some(text) = value.as_str() else { return Ok(None) };
    let date: Result<k8s_openapi::jiff::Timestamp, _> = text.parse();
    date.map(|d| Some(Epoch::default().time_of(d))).map_err(|e| format!("{text}: {e}"))
}

/// Intervals as test tables have them.
pub(super) fn intervals(value: &Value) -> Intervals {
    let each = value.as_array().into_iter().flatten();
    Intervals(each.map(|i| (number(i, "First"), number(i, "Last"))).collect())
}

/// Fails with both sides unless they are equal.
pub(super) fn equal<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, expected: T) -> Result<(), String> {
    if ours == expected { Ok(()) } else { Err(format!("{what}: got {ours:?}, want {expected:?}")) }
}
