//! Scheduler files: a scenario is replayed attempt by attempt, and everything recorded about an attempt is compared.

mod claims;
mod replay;
mod step;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use sim_scheduler::framework::Point;

use super::SchedulerOptions;
use replay::Replay;
use step::name;

/// Compares one file; the error is the first difference.
pub(super) fn check(file: &Value, options: SchedulerOptions) -> Result<(), String> {
    let scenario = &file["scenario"];
    let expected = &file["expected"];
    let mut replay = Replay::new(scenario, expected, options)?;
    check_header(&replay, expected, options)?;
    for step in expected["steps"].as_array().into_iter().flatten() {
        let name = step["pod"].as_str().unwrap_or_default();
        let difference = |text: String| format!("{name}, attempt {}: {text}", step["attempt"]);
        let actual = replay.attempt(name, step["attempt"].as_i64().unwrap_or(1)).map_err(difference)?;
        compare_step(step, &actual, options).map_err(difference)?;
        if options.no_postfilter && step["postFilter"].get("nominatedNode").is_some() {
            break;
        }
    }
    Ok(())
}

/// Order of the nodes, weights and filters.
fn check_header(replay: &Replay, expected: &Value, options: SchedulerOptions) -> Result<(), String> {
    let order: Vec<&str> = replay.cache.order().iter().map(|slot| name(&replay.cache, *slot)).collect();
    same("nodeOrder", &expected["nodeOrder"], &json!(order))?;
    if options.no_postfilter {
        return Ok(());
    }
    let profile = &replay.profile;
    let scores = profile.at(Point::Score).iter();
    let weights: BTreeMap<&str, i64> =
        scores.map(|i| (profile.plugin(*i).name(), profile.weight(*i))).collect();
    same("weights", &expected["weights"], &json!(weights))?;
    let filters: Vec<&str> = profile.at(Point::Filter).iter().map(|i| profile.plugin(*i).name()).collect();
    same("filterOrder", &expected["filterOrder"], &json!(filters))
}

/// Rejections by node, which leaves open how they are grouped.
fn by_node(groups: &Value) -> Value {
    let mut nodes = BTreeMap::new();
    for group in groups.as_array().into_iter().flatten() {
        let verdict = json!({"code": group["code"], "plugin": group["plugin"], "reasons": group["reasons"]});
        for node in group["nodes"].as_array().into_iter().flatten() {
            nodes.insert(node.as_str().unwrap_or_default(), verdict.clone());
        }
    }
    json!(nodes)
}

fn compare_step(expected: &Value, actual: &Value, options: SchedulerOptions) -> Result<(), String> {
    let mut wanted = expected.as_object().cloned().unwrap_or_default();
    wanted.remove("pod");
    wanted.remove("attempt");
    let gated = wanted.get("result") == Some(&json!("gated"));
    let filter = by_node(&expected["filter"]);
    if !gated && actual.get("filter").is_some() {
        wanted.insert("filter".into(), filter);
    }
    if options.no_postfilter
        && let Some(post_filter) = wanted.remove("postFilter")
    {
        let appended = format!(" {}", post_filter["message"].as_str().unwrap_or_default());
        if let Some(Value::String(message)) = wanted.get_mut("message")
            && let Some(own) = message.strip_suffix(&appended)
        {
            *message = own.to_owned();
        }
    }
    // The decision first: it is the difference that people look for.
    for key in ["result", "message", "filter", "feasible", "scores", "totals"] {
        same(key, wanted.get(key).unwrap_or(&Value::Null), &actual[key])?;
    }
    let actual = actual.as_object().cloned().unwrap_or_default();
    for key in wanted.keys().chain(actual.keys()) {
        let value = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
        same(key, &value(&wanted), &value(&actual))?;
    }
    Ok(())
}

/// Compares two values, and names the first place where they differ.
fn same(path: &str, expected: &Value, actual: &Value) -> Result<(), String> {
    match (expected, actual) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort_unstable();
            for key in keys {
                let value = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                same(&format!("{path}.{key}"), &value(a), &value(b))?;
            }
            Ok(())
        }
        (a, b) if a == b => Ok(()),
        (a, b) => Err(format!("{path}: recorded {a}, here {b}")),
    }
}
