//! `machinery/patches.json`: strategic, merge and JSON patches, and three-way merges.

use serde_json::Value;
use sim_core::api::error::ApiError;
use sim_core::api::kind::{Kind, Kinds};
use sim_core::api::patch::{self, Patch};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let kinds = Kinds::default();
    let name = input["kind"].as_str().unwrap_or_default();
    let kind = kinds.by_resource(name).ok_or_else(|| format!("kind {name:?} is not known"))?;
    if input["op"] == "threeway" {
        return three_way(kind, &kinds, input, expected);
    }
    let got = parsed(input).and_then(|patch| patch::apply(kind, &kinds, &input["original"], &patch));
    match (&expected["error"], got) {
        (Value::Null, got) => same("result", &got.map_err(|e| e.message)?, &expected["result"]),
        (message, Err(error)) => same("error", &Value::from(error.message), message),
        (message, Ok(result)) => Err(format!("expected the error {message}, got {result}")),
    }
}

fn parsed(input: &Value) -> Result<Patch, ApiError> {
    let op = input["op"].as_str().unwrap_or_default();
    match input.get("patchText").and_then(Value::as_str) {
        Some(text) => Patch::parse(op, text),
        None => Patch::parse(op, &input["patch"].to_string()),
    }
}

fn three_way(kind: Kind, kinds: &Kinds, input: &Value, expected: &Value) -> Result<(), String> {
    let (original, modified, current) = (&input["original"], &input["modified"], &input["current"]);
    let merge = patch::three_way_merge(original, modified, current).map_err(|e| e.message)?;
    same("jsonMergePatch", &merge, &expected["jsonMergePatch"])?;
    let merged = patch::apply(kind, kinds, current, &Patch::Merge(merge)).map_err(|e| e.message)?;
    same("jsonMergeResult", &merged, &expected["jsonMergeResult"]["result"])?;
    let two_way = patch::two_way(kind, original, modified).map_err(|e| e.message)?;
    same("twoWayOriginalToModified", &two_way, &expected["twoWayOriginalToModified"])?;
    let strategic = patch::three_way_with(kind, Some(original), modified, current, true);
    outcome("strategicPatch", "strategicError", &strategic, expected)?;
    if let Ok(strategic) = strategic {
        let patch = Patch::Strategic(strategic);
        let result = patch::apply(kind, kinds, current, &patch).map_err(|e| e.message)?;
        same("strategicResult", &result, &expected["strategicResult"]["result"])?;
    }
    let careful = patch::three_way_with(kind, Some(original), modified, current, false);
    outcome("noOverwritePatch", "noOverwriteError", &careful, expected)
}

fn outcome(field: &str, error: &str, got: &Result<Value, ApiError>, expected: &Value) -> Result<(), String> {
    match (got, expected.get(error)) {
        (Ok(patch), None) => same(field, patch, &expected[field]),
        (Err(e), Some(message)) => same(error, &Value::from(e.message.clone()), message),
        (Ok(patch), Some(message)) => Err(format!("{error}: expected {message}, got the patch {patch}")),
        (Err(e), None) => Err(format!("{field}: expected {}, got the error {e}", expected[field])),
    }
}

fn same(what: &str, got: &Value, expected: &Value) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("{what}: expected {expected}, got {got}")) }
}
