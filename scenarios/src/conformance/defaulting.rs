//! `machinery/defaulting.json`: an object as it was sent, after defaulting, and after the internal form.

use serde_json::Value;
use sim_core::api::kind::Kinds;
use sim_core::api::object::{Body, Object};
use sim_core::api::{defaults, wire};
use sim_core::time::Epoch;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let (kinds, epoch) = (Kinds::default(), Epoch::default());
    let mut object = wire::from_json(&input["object"], &kinds, epoch).map_err(|e| e.to_string())?;
    let wanted = &expected["defaulted"];
    // The recorder had a clock: device taints carry the moment of their defaulting.
    let clock = find(wanted, "timeAdded").and_then(Value::as_str).unwrap_or_default().to_string();
    defaults::apply(&mut object, &|| clock.clone());
    same("defaulted", &print(&object, &kinds), wanted)?;
    defaults::apply_internal(&mut object);
    match expected.get("afterInternalRoundTrip") {
        Some(after) => same("afterInternalRoundTrip", &print(&object, &kinds), after),
        None => same("afterInternalRoundTrip", &print(&object, &kinds), wanted),
    }
}

fn print(object: &Object, kinds: &Kinds) -> Value {
    let mut value = wire::to_json(object, kinds, Epoch::default());
    // A pod has a phase and a class from the start here; the API server sets both right after defaulting.
    if let (Body::Pod(_), Some(status)) =
        (&object.body, value.get_mut("status").and_then(Value::as_object_mut))
    {
        status.retain(|key, _| !matches!(key.as_str(), "phase" | "qosClass"));
    }
    value
}

fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key).or_else(|| map.values().find_map(|v| find(v, key))),
        Value::Array(items) => items.iter().find_map(|v| find(v, key)),
        _ => None,
    }
}

/// The first difference. Go prints a required list that is absent as null; here it is empty.
fn same(path: &str, ours: &Value, wanted: &Value) -> Result<(), String> {
    match (ours, wanted) {
        (Value::Array(items), Value::Null) if items.is_empty() => Ok(()),
        (Value::Object(a), Value::Object(b)) => {
            for (key, wanted) in b {
                let ours =
                    a.get(key).ok_or_else(|| format!("{path}.{key}: expected {wanted}, got nothing"))?;
                same(&format!("{path}.{key}"), ours, wanted)?;
            }
            match a.iter().find(|(key, _)| !b.contains_key(*key)) {
                Some((key, extra)) => Err(format!("{path}.{key}: expected nothing, got {extra}")),
                None => Ok(()),
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().try_for_each(|(i, (a, b))| same(&format!("{path}[{i}]"), a, b))
        }
        _ if ours == wanted => Ok(()),
        _ => Err(format!("{path}: expected {wanted}, got {ours}")),
    }
}
