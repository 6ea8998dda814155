//! `machinery/selectors.json`: label, field and node selectors.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sim_core::api::meta::Labels;
use sim_core::selectors::{
    FieldSelector, NodeSelector, PreferredSchedulingTerms, RequiredNodeAffinity, Selector,
    format_label_selector, label_selector_as_map,
};

use super::quantity::{same, text};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    match text(input, "op") {
        "parse" => check_parse(input, expected),
        "labelSelector" => check_label_selector(input, expected),
        "nodeSelector" => check_node_selector(input, expected),
        "preferred" => check_preferred(input, expected),
        "field" => check_field(input, expected),
        other => Err(format!("unknown op {other:?}")),
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|e| format!("bad vector: {e}"))
}

/// The error side of a vector, or the value to look at.
fn parsed<T, E: ToString>(result: Result<T, E>, expected: &Value) -> Result<Option<T>, String> {
    match result {
        Ok(value) => same("ok", true, &expected["ok"]).map(|()| Some(value)),
        Err(error) => {
            same("ok", false, &expected["ok"])?;
            same("error", error.to_string(), &expected["error"]).map(|()| None)
        }
    }
}

fn check_matches(selector: &Selector, input: &Value, expected: &Value) -> Result<(), String> {
    let sets: Vec<Labels> = read(&input["labelSets"])?;
    let ours: Vec<bool> = sets.iter().map(|set| selector.matches(set)).collect();
    same("matches", ours, &expected["matches"])?;
    same("empty", selector.is_empty(), &expected["empty"])?;
    same("string", selector.to_string(), &expected["string"])
}

fn check_parse(input: &Value, expected: &Value) -> Result<(), String> {
    let Some(selector) = parsed(Selector::parse(text(input, "selector")), expected)? else { return Ok(()) };
    check_matches(&selector, input, expected)?;
    same("selectable", !selector.is_nothing(), &expected["selectable"])?;
    let requirements: Vec<Value> = selector
        .requirements()
        .iter()
        .map(|r| json!({"key": r.key(), "operator": r.operator().as_str(), "values": r.values()}))
        .collect();
    same("requirements", requirements, &expected["requirements"])?;
    match selector.to_label_selector() {
        Ok(api) => {
            let api = serde_json::to_value(api).map_err(|e| e.to_string())?;
            same("parseToLabelSelector", api, &expected["parseToLabelSelector"])
        }
        Err(error) => {
            same("parseToLabelSelectorError", error.to_string(), &expected["parseToLabelSelectorError"])
        }
    }
}

fn check_label_selector(input: &Value, expected: &Value) -> Result<(), String> {
    let api: Option<LabelSelector> = read(&input["selector"])?;
    let Some(selector) = parsed(Selector::from_label_selector(api.as_ref()), expected)? else {
        return Ok(());
    };
    check_matches(&selector, input, expected)?;
    same("formatted", format_label_selector(api.as_ref()), &expected["formatted"])?;
    match api.as_ref().map(label_selector_as_map) {
        Some(Err(error)) => same("asMapError", error.to_string(), &expected["asMapError"]),
        Some(Ok(map)) => same("asMap", json!(map), &expected["asMap"]),
        None => Ok(()),
    }
}

/// Names and labels of the nodes.
fn nodes(input: &Value) -> Result<Vec<(&str, Labels)>, String> {
    let nodes = input["nodes"].as_array().ok_or("no nodes")?;
    let node = |n: &'_ Value| read(&n["labels"]).map(|labels: Option<Labels>| labels.unwrap_or_default());
    nodes.iter().map(|n| Ok((text(n, "name"), node(n)?))).collect()
}

fn check_node_selector(input: &Value, expected: &Value) -> Result<(), String> {
    let selector: core::NodeSelector = read(&json!({"nodeSelectorTerms": input["nodeSelectorTerms"]}))?;
    let nodes = nodes(input)?;
    match NodeSelector::strict(&selector) {
        Ok(strict) => {
            let ours = nodes.iter().map(|(name, labels)| strict.matches(name, labels));
            let ours: Result<Vec<bool>, _> = ours.collect();
            same("matches", ours.map_err(|e| e.to_string())?, &expected["matches"])?;
        }
        Err(error) => same("newNodeSelectorError", error.to_string(), &expected["newNodeSelectorError"])?,
    }
    let affinity = core::Affinity {
        node_affinity: Some(core::NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(selector),
            ..Default::default()
        }),
        ..Default::default()
    };
    let required =
        RequiredNodeAffinity::new(&core::PodSpec { affinity: Some(affinity), ..Default::default() });
    let lazy = nodes.iter().map(|(name, labels)| match required.matches(name, labels) {
        Ok(matches) => json!({"match": matches}),
        Err(error) => json!({"error": error.to_string(), "match": false}),
    });
    same("requiredNodeAffinity", lazy.collect::<Vec<_>>(), &expected["requiredNodeAffinity"])
}

fn check_preferred(input: &Value, expected: &Value) -> Result<(), String> {
    let terms: Vec<core::PreferredSchedulingTerm> = read(&input["terms"])?;
    match PreferredSchedulingTerms::new(&terms) {
        Ok(terms) => {
            let nodes = nodes(input)?;
            let scores: Vec<i64> = nodes.iter().map(|(name, labels)| terms.score(name, labels)).collect();
            same("scores", scores, &expected["scores"])
        }
        Err(error) => same("error", error.to_string(), &expected["error"]),
    }
}

fn check_field(input: &Value, expected: &Value) -> Result<(), String> {
    let Some(selector) = parsed(FieldSelector::parse(text(input, "selector")), expected)? else {
        return Ok(());
    };
    let sets: Vec<Labels> = read(&input["fieldSets"])?;
    let matches = |set: &Labels| selector.matches(|field| set.get(field).map(String::as_str));
    same("matches", sets.iter().map(matches).collect::<Vec<_>>(), &expected["matches"])?;
    same("empty", selector.is_empty(), &expected["empty"])?;
    same("string", selector.to_string(), &expected["string"])?;
    let requirements: Vec<Value> = selector
        .requirements()
        .iter()
        .map(|r| json!({"field": r.field, "operator": if r.equal { "=" } else { "!=" }, "value": r.value}))
        .collect();
    same("requirements", requirements, &expected["requirements"])
}
