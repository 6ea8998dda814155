//! ControllerRevisions of StatefulSets and DaemonSets: what is stored of a template, its hash and its name.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value, json};

use super::go_types::{self, Types};
use super::{FNV_OFFSET, FNV_PRIME, cut, safe_encode};
use crate::quantity::Quantity;
use crate::syntax::go_json;

/// `history.HashControllerRevision`: of a revision's raw data, with the collision count if there is one. Unlike that of
/// templates it is plain FNV-32: multiplied first.
pub fn hash_controller_revision(raw: &[u8], probe: Option<i32>) -> String {
    let probe = probe.map(|p| p.to_string()).unwrap_or_default();
    let bytes = raw.iter().chain(probe.as_bytes());
    let sum = bytes.fold(FNV_OFFSET, |sum, byte| sum.wrapping_mul(FNV_PRIME) ^ u32::from(*byte));
    safe_encode(&sum.to_string())
}

/// `history.ControllerRevisionName`: the owner's name, cut to 223 bytes, and the hash.
pub fn controller_revision_name(prefix: &str, hash: &str) -> String {
    format!("{}-{hash}", cut(prefix, 223))
}

/// What a ControllerRevision stores of a template: a strategic merge patch that replaces it, as Go prints it.
pub fn revision_data(template: &PodTemplateSpec) -> String {
    let mut template = go_template(template);
    template["$patch"] = json!("replace");
    sort(&mut template);
    go_json(&json!({"spec": {"template": template}}))
}

/// A template in JSON as Go encodes it: quantities in canonical form, empty fields left out where Go leaves them out.
/// Keys are in the order of Go's fields.
pub fn go_template(template: &PodTemplateSpec) -> Value {
    let value = serde_json::to_value(template).unwrap_or_default();
    encode(&go_types::read(), "v1.PodTemplateSpec", &value)
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.sort_keys();
            map.values_mut().for_each(sort);
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

fn encode(types: &Types, go: &str, value: &Value) -> Value {
    let zero = |zero: Value| if value.is_null() { zero } else { value.clone() };
    if let Some(target) = go.strip_prefix('*') {
        return if value.is_null() { Value::Null } else { encode(types, target, value) };
    }
    if let Some(element) = go.strip_prefix("[]") {
        return value
            .as_array()
            .map_or(Value::Null, |l| l.iter().map(|v| encode(types, element, v)).collect());
    }
    if let Some((_, element)) = go.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
        let items = value.as_object().map(|m| m.iter().map(|(k, v)| (k.clone(), encode(types, element, v))));
        return items.map_or(Value::Null, |items| Value::Object(items.collect()));
    }
    match go {
        "bool" => zero(Value::Bool(false)),
        "int32" | "int64" | "intstr.IntOrString" => zero(json!(0)),
        "v1.Time" | "v1.FieldsV1" => value.clone(),
        "resource.Quantity" => {
            let mut quantity = Quantity::default();
            // What does not parse is not in a stored template.
            let _ = quantity.unmarshal_json(&value.to_string());
            json!(quantity)
        }
        _ => match types.get(go).copied() {
            None => zero(json!("")),
            Some(definition) => match definition.strip_prefix("= ") {
                Some(alias) => encode(types, alias, value),
                None => Value::Object(encode_fields(types, definition, value)),
            },
        },
    }
}

fn encode_fields(types: &Types, definition: &'static str, value: &Value) -> Map<String, Value> {
    let mut out = Map::new();
    for field in go_types::fields(definition) {
        let listed =
            !types.contains_key(field.go) || types.get(field.go).is_some_and(|d| d.starts_with("= "));
        if field.json.is_empty() {
            if let Value::Object(inlined) = encode(types, field.go, value) {
                out.extend(inlined);
            }
            continue;
        }
        let encoded = encode(types, field.go, value.get(field.json).unwrap_or(&Value::Null));
        // Structs are never empty to Go, except for the times, which leave themselves out.
        let empty = match &encoded {
            Value::Null => true,
            Value::Bool(set) => !set && !field.go.starts_with('*'),
            Value::Number(number) => {
                number.as_i64() == Some(0) && field.go.starts_with("int") && !field.go.contains('.')
            }
            Value::String(text) => text.is_empty() && !field.go.starts_with('*'),
            Value::Array(items) => items.is_empty(),
            Value::Object(items) => items.is_empty() && listed && !field.go.starts_with('*'),
        };
        if !(empty && field.omit_empty) {
            out.insert(field.json.to_string(), encoded);
        }
    }
    out
}
