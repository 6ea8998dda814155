//! `kubectl apply` of something that is there already. Upstream: `kubectl/pkg/util/apply.go`,
//! `kubectl/pkg/cmd/apply/patcher.go`.

use serde_json::{Map, Value};

use super::{Patch, three_way};
use crate::api::error::ApiError;
use crate::api::kind::{Kind, Kinds};
use crate::api::validation::field::go_json;

/// The annotation in which `kubectl apply` keeps what it applied.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The configuration that was applied before, if the object knows it.
pub fn last_applied(object: &Value) -> Option<Value> {
    let text = object.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str()?;
    serde_json::from_str(text).ok()
}

/// A configuration with itself in the annotation, as kubectl sends it.
///
/// ```
/// use serde_json::json;
/// use sim_core::api::patch::{LAST_APPLIED, with_last_applied};
/// let sent = with_last_applied(&json!({"kind": "ConfigMap", "metadata": {"name": "a"}}));
/// assert_eq!(
///     sent["metadata"]["annotations"][LAST_APPLIED],
///     "{\"kind\":\"ConfigMap\",\"metadata\":{\"annotations\":{},\"name\":\"a\"}}\n"
/// );
/// ```
pub fn with_last_applied(config: &Value) -> Value {
    let mut sent = config.clone();
    let Value::Object(fields) = &mut sent else { return sent };
    let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(metadata) = metadata else { return sent };
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    if annotations.is_null() {
        *annotations = Value::Object(Map::new());
    }
    if let Value::Object(annotations) = annotations {
        annotations.shift_remove(LAST_APPLIED);
    }
    let mut plain = sent.clone();
    plain.sort_all_objects();
    let text = go_json(&plain) + "\n";
    if let Some(Value::Object(annotations)) = sent.pointer_mut("/metadata/annotations") {
        annotations.insert(LAST_APPLIED.to_string(), Value::String(text));
    }
    sent
}

/// What an object becomes when a configuration is applied to it.
///
/// # Errors
/// Those of [`three_way`] and of [`apply`](super::apply).
pub fn kubectl_apply(kind: Kind, kinds: &Kinds, config: &Value, current: &Value) -> Result<Value, ApiError> {
    let original = last_applied(current);
    let patch = three_way(kind, original.as_ref(), &with_last_applied(config), current)?;
    let patch = match kind.builtin_name() {
        Some(_) => Patch::Strategic(patch),
        None => Patch::Merge(patch),
    };
    super::apply(kind, kinds, current, &patch)
}
