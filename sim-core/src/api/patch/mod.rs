//! PATCH: JSON Patch, JSON merge patch, strategic merge patch, and the three-way merge of `kubectl apply`.
//!
//! All of it works on the wire form as JSON. Upstream: `gopkg.in/evanphx/json-patch.v4`,
//! `k8s.io/apimachinery/pkg/util/{strategicpatch,jsonmergepatch}`, `kubectl/pkg/cmd/apply/patcher.go`.

mod apply;
mod json;
mod merge;
mod show;
mod strategic;
mod syntax;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::error::{ApiError, Reason};
use super::kind::{Kind, Kinds};

pub use apply::{LAST_APPLIED, kubectl_apply, last_applied, with_last_applied};

/// A JSON object.
type Object = Map<String, Value>;

/// A patch of one of the types that the API server takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// `application/json-patch+json` (RFC 6902).
    Json(Value),
    /// `application/merge-patch+json` (RFC 7386).
    Merge(Value),
    /// `application/strategic-merge-patch+json`.
    Strategic(Value),
}

impl Patch {
    /// Reads a patch of a type: `json`, `merge` or `strategic`, as `kubectl patch --type` has them.
    ///
    /// # Errors
    /// 400 for a text that is no JSON, or an unknown type.
    pub fn parse(kind: &str, text: &str) -> Result<Patch, ApiError> {
        let value: Result<Value, _> = serde_json::from_str(text);
        match (kind, value) {
            ("json", Ok(value)) => Ok(Patch::Json(value)),
            ("merge", Ok(value)) => Ok(Patch::Merge(value)),
            ("strategic", Ok(value)) => Ok(Patch::Strategic(value)),
            // What Go would take and our parser does not (half a surrogate pair, nesting beyond 128) is told in the parser's words.
            ("json", Err(error)) => {
                Err(bad_request(syntax::complaint(text).unwrap_or_else(|| error.to_string())))
            }
            ("merge", Err(_)) => Err(bad_request("Invalid JSON Patch")),
            ("strategic", Err(_)) => Err(bad_request("invalid JSON document")),
            (other, _) => Err(bad_request(format!("unknown patch type {other:?}: json, merge or strategic"))),
        }
    }
}

/// The object after a patch.
///
/// ```
/// use serde_json::json;
/// use sim_core::api::kind::{Kind, Kinds};
/// use sim_core::api::patch::{Patch, apply};
/// let pod = json!({"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}});
/// let patch = Patch::Strategic(json!({"spec": {"containers": [{"name": "b", "image": "z"}]}}));
/// let patched = apply(Kind::POD, &Kinds::default(), &pod, &patch).unwrap();
/// assert_eq!(patched["spec"]["containers"][1], json!({"name": "b", "image": "z"}));
/// ```
///
/// # Errors
/// 400 for a malformed patch, 415 (as 400) for a strategic one of a custom kind, 422 for one that does not apply.
pub fn apply(kind: Kind, kinds: &Kinds, current: &Value, patch: &Patch) -> Result<Value, ApiError> {
    match patch {
        Patch::Json(operations) => json::apply(current, operations),
        Patch::Merge(patch) => merge::apply(current, patch),
        Patch::Strategic(patch) => {
            let Some(schema) = strategic::schema(kind) else {
                return Err(unsupported(kind, kinds));
            };
            let (Value::Object(current), Value::Object(patch)) = (current, patch) else {
                return Err(bad_request("invalid JSON document"));
            };
            strategic::apply(current.clone(), patch.clone(), schema).map(Value::Object)
        }
    }
}

fn unsupported(kind: Kind, kinds: &Kinds) -> ApiError {
    let _ = kinds.info(kind);
    // DIFFERS: the reason is BadRequest; upstream's UnsupportedMediaType (415) has no other use here.
    bad_request(
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, \
         application/merge-patch+json, application/apply-patch+yaml",
    )
}

/// The patch that brings `current` to what `modified` says: what `modified` sets is set, what `original` (the
/// configuration applied before) had and `modified` has not is deleted, the rest stays.
///
/// It is a strategic merge patch for built-in kinds, a JSON merge patch for custom ones.
///
/// # Errors
/// 422 if apiVersion, kind or name would change, or if a list lacks its merge key.
pub fn three_way(
    kind: Kind,
    original: Option<&Value>,
    modified: &Value,
    current: &Value,
) -> Result<Value, ApiError> {
    three_way_with(kind, original, modified, current, true)
}

/// As [`three_way`], but without `overwrite` a change that somebody else made meanwhile is a conflict
/// (`kubectl apply --overwrite=false`).
///
/// # Errors
/// Those of [`three_way`], and 409.
pub fn three_way_with(
    kind: Kind,
    original: Option<&Value>,
    modified: &Value,
    current: &Value,
    overwrite: bool,
) -> Result<Value, ApiError> {
    let none = Object::new();
    let (Some(modified), Some(current)) = (modified.as_object(), current.as_object()) else {
        return Err(bad_request("invalid JSON document"));
    };
    let original = original.and_then(Value::as_object).unwrap_or(&none);
    match strategic::schema(kind) {
        Some(schema) => {
            let patch = strategic::three_way(original, modified, current, schema)?;
            if overwrite {
                preconditions(&patch)?;
            } else {
                strategic::no_conflicts(&patch, original, current, schema)?;
            }
            Ok(Value::Object(patch))
        }
        None => {
            let patch = merge::three_way(original, modified, current)?;
            preconditions(&patch)?;
            Ok(Value::Object(patch))
        }
    }
}

/// The JSON merge patch of [`three_way`], whatever the kind.
///
/// # Errors
/// 400 if the documents are no objects.
pub fn three_way_merge(original: &Value, modified: &Value, current: &Value) -> Result<Value, ApiError> {
    match (original.as_object(), modified.as_object(), current.as_object()) {
        (Some(original), Some(modified), Some(current)) => {
            merge::three_way(original, modified, current).map(Value::Object)
        }
        _ => Err(bad_request("invalid JSON document")),
    }
}

/// The strategic patch that leads from one document to another.
///
/// # Errors
/// 400 if the documents are no objects or the kind has no strategy; 422 if a list lacks its merge key.
pub fn two_way(kind: Kind, original: &Value, modified: &Value) -> Result<Value, ApiError> {
    match (original.as_object(), modified.as_object(), strategic::schema(kind)) {
        (Some(original), Some(modified), Some(schema)) => {
            strategic::two_way(original, modified, schema).map(Value::Object)
        }
        _ => Err(bad_request("invalid JSON document")),
    }
}

/// `kubectl apply` never changes what an object is.
fn preconditions(patch: &Object) -> Result<(), ApiError> {
    let renamed = patch.get("metadata").and_then(|m| m.get("name")).is_some();
    if patch.contains_key("apiVersion") || patch.contains_key("kind") || renamed {
        let message = format!("precondition failed for: {}", show::map(patch));
        return Err(unprocessable(message));
    }
    Ok(())
}

fn bad_request(message: impl Into<String>) -> ApiError {
    ApiError::new(Reason::BadRequest, message)
}

// DIFFERS: the message is the cause itself; upstream's Status says `the server rejected our request due to an error in
// our request` and has the cause in its details.
fn unprocessable(message: impl Into<String>) -> ApiError {
    ApiError::new(Reason::Invalid, message)
}
