//! JSON merge patch (RFC 7386), and the three-way merge that kubectl makes of it for custom kinds.

use serde_json::Value;

use super::{Object, bad_request, unprocessable};
use crate::api::error::ApiError;

pub(super) fn apply(current: &Value, patch: &Value) -> Result<Value, ApiError> {
    match (current, patch) {
        (Value::Object(current), Value::Object(patch)) => {
            let mut merged = current.clone();
            merge(&mut merged, patch);
            Ok(Value::Object(merged))
        }
        (_, Value::Object(_) | Value::Array(_)) => {
            let mut replaced = patch.clone();
            prune(&mut replaced);
            Ok(replaced)
        }
        _ => Err(bad_request("Invalid JSON Patch")),
    }
}

fn merge(into: &mut Object, patch: &Object) {
    for (key, value) in patch {
        match (into.get_mut(key), value) {
            (_, Value::Null) => {
                into.shift_remove(key);
            }
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            _ => {
                let mut new = value.clone();
                prune(&mut new);
                into.insert(key.clone(), new);
            }
        }
    }
}

/// A new value has nothing to delete: its nulls go. Elements of lists stay, even null ones.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, v| !v.is_null());
            fields.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

/// The merge patch from one document to another (`CreateMergePatch`).
pub(super) fn diff(from: &Object, to: &Object) -> Object {
    let mut patch = Object::new();
    for (key, new) in to {
        match (from.get(key), new) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let inner = diff(old, new);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            (Some(old), new) if old == new => {}
            _ => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    for key in from.keys().filter(|k| !to.contains_key(*k)) {
        patch.insert(key.clone(), Value::Null);
    }
    patch
}

/// `CreateThreeWayJSONMergePatch`.
pub(super) fn three_way(original: &Object, modified: &Object, current: &Object) -> Result<Object, ApiError> {
    let changes = keep(&diff(current, modified), false);
    let mut patch = keep(&diff(original, modified), true);
    if conflict(&Value::Object(changes.clone()), &Value::Object(patch.clone())) {
        return Err(unprocessable("changes and deletions of the configuration contradict each other"));
    }
    merge(&mut patch, &changes);
    Ok(patch)
}

/// Only the deletions of a patch, or everything but them.
fn keep(patch: &Object, deletions: bool) -> Object {
    let mut kept = Object::new();
    for (key, value) in patch {
        match value {
            Value::Null if deletions => {
                kept.insert(key.clone(), Value::Null);
            }
            Value::Null => {}
            // An empty object is a value, not an empty patch.
            Value::Object(fields) if !fields.is_empty() => {
                let inner = keep(fields, deletions);
                if !inner.is_empty() {
                    kept.insert(key.clone(), Value::Object(inner));
                }
            }
            value if !deletions => {
                kept.insert(key.clone(), value.clone());
            }
            _ => {}
        }
    }
    kept
}

fn conflict(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            left.iter().any(|(key, l)| right.get(key).is_some_and(|r| conflict(l, r)))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() != right.len() || left.iter().zip(right).any(|(l, r)| conflict(l, r))
        }
        (left, right) => left != right,
    }
}
