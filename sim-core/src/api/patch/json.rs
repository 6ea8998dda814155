//! JSON Patch (RFC 6902) with the habits of `evanphx/json-patch.v4`: negative indexes count from the end, `replace`
//! of a field that is not there adds it, a missing value is `null`.

use serde_json::Value;

use super::{Object, bad_request, unprocessable};
use crate::api::error::ApiError;
use crate::syntax::go_quote;

/// Why an operation fails, innermost cause last.
type Failure = String;

const MISSING: &str = "missing value";
const BAD_INDEX: &str = "invalid index referenced";
const TEST_FAILED: &str = "test failed";

pub(super) fn apply(current: &Value, operations: &Value) -> Result<Value, ApiError> {
    let Value::Array(operations) = operations else {
        let what = go_kind(operations);
        return Err(bad_request(format!(
            "json: cannot unmarshal {what} into Go value of type jsonpatch.Patch"
        )));
    };
    let mut document = current.clone();
    for operation in operations {
        let Value::Object(operation) = operation else {
            let what = go_kind(operation);
            return Err(bad_request(format!(
                "json: cannot unmarshal {what} into Go value of type jsonpatch.Operation"
            )));
        };
        one(&mut document, operation).map_err(unprocessable)?;
    }
    Ok(document)
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn one(document: &mut Value, operation: &Object) -> Result<(), Failure> {
    let kind = operation.get("op").and_then(Value::as_str).unwrap_or("unknown");
    let value = || operation.get("value").cloned().unwrap_or_default();
    let path = operation.get("path").and_then(Value::as_str);
    let from = operation.get("from").and_then(Value::as_str);
    let undecoded = |operation: &str| format!("{operation} operation failed to decode path: {MISSING}");
    let nameless = |operation: &str| {
        format!("{operation} operation failed to decode path: operation missing path field: {MISSING}")
    };
    let sourceless = |operation: &str| {
        format!("{operation} operation failed to decode from: operation, missing from field: {MISSING}")
    };
    match kind {
        "add" => {
            let path = path.ok_or_else(|| undecoded(kind))?;
            let (container, key) = find(document, path).ok_or_else(|| {
                format!("add operation does not apply: doc is missing path: \"{path}\": {MISSING}")
            })?;
            add(container, &key, value()).map_err(|e| format!("error in add for path: '{path}': {e}"))
        }
        "remove" => {
            let path = path.ok_or_else(|| undecoded(kind))?;
            let (container, key) = find(document, path).ok_or_else(|| {
                format!("remove operation does not apply: doc is missing path: \"{path}\": {MISSING}")
            })?;
            remove(container, &key).map(drop).map_err(|e| format!("error in remove for path: '{path}': {e}"))
        }
        "replace" => replace(document, path.ok_or_else(|| nameless(kind))?, value()),
        "move" => {
            let from = from.ok_or_else(|| sourceless(kind))?;
            let taken = take(document, from)?;
            let path = path.ok_or_else(|| nameless(kind))?;
            let (container, key) = find(document, path).ok_or_else(|| {
                format!("move operation does not apply: doc is missing destination path: {path}: {MISSING}")
            })?;
            add(container, &key, taken).map_err(|e| format!("error in move for path: '{path}': {e}"))
        }
        "copy" => {
            let from = from.ok_or_else(|| sourceless(kind))?;
            let (container, key) = find(document, from).ok_or_else(|| {
                format!("copy operation does not apply: doc is missing from path: {from}: {MISSING}")
            })?;
            let copied = get(container, &key)
                .map_err(|e| format!("error in copy for from: '{from}': {e}"))?
                .cloned()
                .unwrap_or_default();
            let path = path.ok_or_else(|| undecoded(kind))?;
            let (container, key) = find(document, path).ok_or_else(|| {
                format!("copy operation does not apply: doc is missing destination path: {path}: {MISSING}")
            })?;
            add(container, &key, copied).map_err(|e| format!("error while adding value during copy: {e}"))
        }
        "test" => test(document, path.ok_or_else(|| nameless(kind))?, operation.get("value")),
        other => Err(format!("Unexpected kind: {other}")),
    }
}

fn replace(document: &mut Value, path: &str, value: Value) -> Result<(), Failure> {
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return Err("replace operation value must be object or array".to_string());
        }
        *document = value;
        return Ok(());
    }
    let (container, key) = find(document, path)
        .ok_or_else(|| format!("replace operation does not apply: doc is missing path: {path}: {MISSING}"))?;
    get(container, &key)
        .map_err(|_| format!("replace operation does not apply: doc is missing key: {path}: {MISSING}"))?;
    match container {
        Value::Array(items) => {
            let at = index(&key, items.len(), items.len())?;
            items[at] = value;
        }
        Value::Object(fields) => {
            fields.insert(key, value);
        }
        _ => {}
    }
    Ok(())
}

fn take(document: &mut Value, from: &str) -> Result<Value, Failure> {
    let (container, key) = find(document, from).ok_or_else(|| {
        format!("move operation does not apply: doc is missing from path: {from}: {MISSING}")
    })?;
    remove(container, &key).map_err(|e| format!("error in move for path: '{key}': {e}"))
}

fn test(document: &mut Value, path: &str, wanted: Option<&Value>) -> Result<(), Failure> {
    let failed = || format!("testing value {path} failed: {TEST_FAILED}");
    let null = Value::Null;
    let wanted = wanted.unwrap_or(&null);
    if path.is_empty() {
        return if document == wanted { Ok(()) } else { Err(failed()) };
    }
    let (container, key) = find(document, path)
        .ok_or_else(|| format!("test operation does not apply: is missing path: {path}: {MISSING}"))?;
    let found = get(container, &key).map_err(|e| format!("error in test for path: '{path}': {e}"))?;
    if found.unwrap_or(&null) == wanted { Ok(()) } else { Err(failed()) }
}

/// The object or list that the last step of a path is in, and that step.
fn find<'a>(document: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let mut steps: Vec<String> =
        path.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    if steps.len() < 2 {
        return None;
    }
    let last = steps.pop()?;
    let mut at = document;
    for step in steps.iter().skip(1) {
        at = match at {
            Value::Object(fields) => fields.get_mut(step)?,
            Value::Array(items) => {
                let i = index(step, items.len(), items.len()).ok()?;
                items.get_mut(i)?
            }
            _ => return None,
        };
    }
    (at.is_object() || at.is_array()).then_some((at, last))
}

/// Reads an index below `limit`; a negative one counts from `end`.
fn index(key: &str, end: usize, limit: usize) -> Result<usize, Failure> {
    let number: i64 =
        key.parse().map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", go_quote(key)))?;
    let resolved = if number < 0 { number + end as i64 } else { number };
    match usize::try_from(resolved) {
        Ok(at) if at < limit => Ok(at),
        _ => Err(format!("Unable to access invalid index: {number}: {BAD_INDEX}")),
    }
}

fn get<'a>(container: &'a Value, key: &str) -> Result<Option<&'a Value>, Failure> {
    match container {
        Value::Array(items) => Ok(items.get(index(key, items.len(), items.len())?)),
        other => Ok(other.get(key)),
    }
}

fn add(container: &mut Value, key: &str, value: Value) -> Result<(), Failure> {
    match container {
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            if key.parse::<i64>().is_err() {
                let cause = format!("strconv.Atoi: parsing {}: invalid syntax", go_quote(key));
                return Err(format!("value was not a proper array index: '{key}': {cause}"));
            }
            let room = items.len() + 1;
            items.insert(index(key, room, room)?, value);
        }
        Value::Object(fields) => {
            fields.insert(key.to_string(), value);
        }
        _ => {}
    }
    Ok(())
}

fn remove(container: &mut Value, key: &str) -> Result<Value, Failure> {
    match container {
        Value::Array(items) => Ok(items.remove(index(key, items.len(), items.len())?)),
        Value::Object(fields) => fields
            .shift_remove(key)
            .ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}")),
        _ => Ok(Value::Null),
    }
}
