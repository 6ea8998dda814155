//! JSON as Go's `%v` prints it in messages.

use serde_json::{Map, Value};

/// `map[a:1 b:[x y]]`, keys sorted.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => list(items),
        Value::Object(fields) => map(fields),
    }
}

pub(super) fn map(fields: &Map<String, Value>) -> String {
    let mut entries: Vec<(&String, &Value)> = fields.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    let shown: Vec<String> = entries.into_iter().map(|(k, v)| format!("{k}:{}", value(v))).collect();
    format!("map[{}]", shown.join(" "))
}

pub(super) fn list(items: &[Value]) -> String {
    let shown: Vec<String> = items.iter().map(value).collect();
    format!("[{}]", shown.join(" "))
}
