//! `controllers/intstr.json`: numbers and percentages. Which function a vector is about shows in its fields.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;
use serde_json::{Value, json};
use sim_core::int_or_string::{number_or_percent, parse, print, scaled_value};

use super::quantity::{same, text};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let value = &input["input"];
    if let Some(result) = expected.get("result") {
        let document: Value = serde_json::from_str(text(input, "input")).map_err(|e| e.to_string())?;
        return same("result", print(&read(&document["val"])?), result);
    }
    if let Some(output) = expected.get("output") {
        return same("output", json!(parse(text(input, "input"))), output);
    }
    let value = read(value)?;
    let ours = match input["total"].as_i64() {
        Some(total) => scaled_value(&value, total, input["roundUp"] == true).map(|v| (v, false)),
        None => number_or_percent(&value),
    };
    same("expectErr", ours.is_err(), &expected["expectErr"])?;
    let (number, is_percent) = ours.unwrap_or_default();
    same("expectVal", number, &expected["expectVal"])?;
    match expected.get("expectPerc") {
        Some(percent) => same("expectPerc", is_percent, percent),
        None => Ok(()),
    }
}

fn read(value: &Value) -> Result<IntOrString, String> {
    IntOrString::deserialize(value).map_err(|e| e.to_string())
}
