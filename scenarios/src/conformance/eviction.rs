//! `kubelet/eviction.json`: thresholds, observations and messages of the eviction manager, function by function.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sim_core::duration::Duration;
use sim_core::quantity::Quantity;
use sim_core::time::{Span, Time, secs};
use sim_kubelet::eviction::decide::{
    FirstObserved, LastObserved, conditions, first_observed_at, grace_period_over, last_observed_at,
    observed_since, reclaimable, thresholds_met, updated,
};
use sim_kubelet::eviction::message::eviction_message;
use sim_kubelet::eviction::observe::{ContainerStats, Observation, Observations, PodStats, Summary};
use sim_kubelet::eviction::rank::Candidate;
use sim_kubelet::eviction::threshold::{
    Condition, Disks, Operator, Settings, Signal, Threshold, ThresholdConfig, ThresholdValue,
    add_allocatable, update_container_fs,
};

use super::cgroup_pod_config::spec;
use super::controllers::{equal, list, time};
use super::quantity::{same, text};

/// The run's own time; the tables count backwards from it.
const NOW: Time = Time(1_000_000_000_000_000);

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let has = |field: &str| !input[field].is_null();
    if has("evictionHard") {
        parsed(input, expected)
    } else if has("thresholdList") {
        container_fs(input, expected)
    } else if has("containers") {
        message(input, expected)
    } else if has("inputs") {
        let found = conditions(&thresholds(&input["inputs"])?);
        same("conditions", names(&found), &expected["result"])
    } else if has("nodeConditions") {
        last_observed(input, expected)
    } else if has("observedAt") {
        observed(input, expected)
    } else if has("lastObservedAt") {
        let last = first_observed(&input["lastObservedAt"])?;
        let ours = first_observed_at(&thresholds(&input["thresholds"])?, &last, at(&input["now"]));
        same_observed(ours, first_observed(&expected["result"])?)
    } else if has("last") {
        let (now, last) = (observations(&input["observations"])?, observations(&input["last"])?);
        same_thresholds(&updated(thresholds(&input["thresholds"])?, &now, &last), &expected["result"])
    } else if has("observations") {
        // Upstream's tables differ in the spelling.
        let all = input["enforceMinReclaim"] == true || input["enforceMinRelaim"] == true;
        let seen = observations(&input["observations"])?;
        same_thresholds(&thresholds_met(&thresholds(&input["thresholds"])?, &seen, all), &expected["result"])
    } else if !expected["expectedReclaimableToBeFound"].is_null() {
        reclaim(input, expected)
    } else {
        same_thresholds(&add_allocatable(thresholds(&input["thresholds"])?), &expected["expected"])
    }
}

fn parsed(input: &Value, expected: &Value) -> Result<(), String> {
    let settings = |field: &str| -> Settings {
        let map = input[field].as_object().into_iter().flatten();
        map.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_string())).collect()
    };
    let config = ThresholdConfig {
        hard: settings("evictionHard"),
        soft: settings("evictionSoft"),
        soft_grace_period: settings("evictionSoftGracePeriod"),
        minimum_reclaim: settings("evictionMinReclaim"),
    };
    let enforced = input["allocatableConfig"].as_array().is_some_and(|keys| keys.contains(&json!("pods")));
    let ours = config.parse(enforced);
    same("error", ours.is_err(), &expected["expectErr"])?;
    same_thresholds(&ours.unwrap_or_default(), &expected["expectThresholds"])
}

fn container_fs(input: &Value, expected: &Value) -> Result<(), String> {
    let mut ours = thresholds(&input["thresholdList"])?;
    let disks = Disks {
        dedicated_image_fs: input["imageFs"] == true,
        split_container_fs: input["containerFs"] == true,
    };
    let refused = update_container_fs(&mut ours, disks);
    same("error", refused, &expected["expectErr"])?;
    for (signal, hard, field) in [
        (Signal::ContainerFsAvailable, true, "expectedContainerFsHard"),
        (Signal::ContainerFsAvailable, false, "expectedContainerFsSoft"),
        (Signal::ContainerFsInodesFree, true, "expectedContainerFsINodesHard"),
        (Signal::ContainerFsInodesFree, false, "expectedContainerFsINodesSoft"),
    ] {
        let found: Vec<_> =
            ours.iter().filter(|t| t.signal == signal && t.is_hard() == hard).cloned().collect();
        equal(field, found.last().cloned(), Some(threshold(&expected[field])?))?;
    }
    Ok(())
}

fn reclaim(input: &Value, expected: &Value) -> Result<(), String> {
    let ours = reclaimable(thresholds(&input["thresholds"])?);
    same("found", ours.is_some(), &expected["expectedReclaimableToBeFound"])?;
    let (found, resource) = ours.unwrap_or_default();
    same("resource", resource, &expected["expectedResourceName"])?;
    equal("threshold", found, threshold(&expected["expectedThreshold"])?)
}

fn last_observed(input: &Value, expected: &Value) -> Result<(), String> {
    let found = input["nodeConditions"].as_array().into_iter().flatten();
    let found: Vec<Condition> = found.filter_map(|c| condition(c.as_str()?)).collect();
    let last = observed_conditions(&input["lastObservedAt"]);
    let ours = last_observed_at(&found, &last, at(&input["now"]));
    equal("conditions", ours, observed_conditions(&expected["result"]))
}

/// Both tables about what was observed when: thresholds and their grace, conditions and the transition period.
fn observed(input: &Value, expected: &Value) -> Result<(), String> {
    let now = at(&input["now"]);
    if input["period"].is_null() {
        let ours = grace_period_over(&first_observed(&input["observedAt"])?, now);
        return same_thresholds(&ours, &expected["result"]);
    }
    let found = observed_since(&observed_conditions(&input["observedAt"]), span(&input["period"])?, now);
    same("conditions", names(&found), &expected["result"])
}

fn message(input: &Value, expected: &Value) -> Result<(), String> {
    let pod_level = input["podLevelResourcesEnabled"] == true;
    let mut template = json!({"containers": input["containers"], "initContainers": input["initContainers"]});
    if pod_level {
        template["resources"] = input["podResources"].clone();
    }
    let spec = spec(&json!({ "spec": template }))?;
    let bytes = |text: &str| Quantity::parse(text).map(|q| q.value()).ok();
    let container = |value: &Value| {
        let name = text(value, "name").into();
        Ok(ContainerStats { name, memory: bytes(text(value, "usage")), ..ContainerStats::default() })
    };
    let stats = PodStats {
        memory: bytes(text(input, "podMemoryStats")),
        containers: list(&input["containerMemoryStats"], container)?,
        ..PodStats::default()
    };
    let summary = Summary { pods: BTreeMap::from([("uid".into(), stats)]), ..Summary::default() };
    let wanted = expected["expectedAnnotations"].as_object().ok_or("no expectedAnnotations")?;
    // The name of the table's pod is told in what is expected only.
    let name = wanted.get("offending_pod").and_then(Value::as_str).unwrap_or("p");
    let pod = Candidate { name, uid: "uid", spec: &spec, critical: false };
    let (ours, annotations) =
        eviction_message("memory", &pod, &summary, &[], &Observations::new(), pod_level);
    let mut text_wanted = "The node was low on resource: memory. ".to_string();
    let phrase = |kind: &str, name: &str, used: &str, request: &str| {
        format!("{kind} {name} was using {used}, request is {request}, has larger consumption of memory. ")
    };
    if let Some(used) = wanted.get("offending_pod_usage").and_then(Value::as_str) {
        let request = input.pointer("/podResources/requests/memory").and_then(Value::as_str);
        text_wanted += &phrase("Pod", name, used, request.unwrap_or_default());
    }
    for c in expected["expectedContainerMessage"].as_array().into_iter().flatten() {
        text_wanted += &phrase("Container", text(c, "name"), text(c, "usage"), text(c, "request"));
    }
    equal("message", ours, text_wanted)?;
    let map: Map<String, Value> = annotations.into_iter().map(|(k, v)| (k.to_string(), v.into())).collect();
    wanted.iter().try_for_each(|(key, value)| same(key, map.get(key).cloned().unwrap_or_default(), value))
}

/// `ThresholdValue` as Go's JSON of the tables has it.
pub(super) fn value(json: &Value) -> Result<ThresholdValue, String> {
    let quantity = match json["Quantity"].as_str() {
        Some(text) => Some(Quantity::parse(text).map_err(|e| format!("{text:?}: {e}"))?),
        None => None,
    };
    Ok(ThresholdValue { quantity, percentage: json["Percentage"].as_f64().unwrap_or(0.0) as f32 })
}

fn span(value: &Value) -> Result<Span, String> {
    let parsed: Result<Duration, String> = value.as_str().unwrap_or("0s").parse();
    parsed.map(|duration| duration.0)
}

pub(super) fn threshold(json: &Value) -> Result<Threshold, String> {
    let min_reclaim = &json["MinReclaim"];
    Ok(Threshold {
        signal: Signal::parse(text(json, "Signal")).unwrap_or_default(),
        operator: operator(text(json, "Operator")),
        value: value(&json["Value"])?,
        grace_period: span(&json["GracePeriod"])?,
        min_reclaim: if min_reclaim.is_null() { None } else { Some(value(min_reclaim)?) },
    })
}

fn operator(name: &str) -> Operator {
    if name == "LessThan" { Operator::LessThan } else { Operator::None }
}

pub(super) fn thresholds(json: &Value) -> Result<Vec<Threshold>, String> {
    list(json, threshold)
}

/// Upstream keeps most of these in maps: order does not count.
fn same_thresholds(ours: &[Threshold], expected: &Value) -> Result<(), String> {
    let mut left = thresholds(expected)?;
    for threshold in ours {
        let Some(place) = left.iter().position(|t| t == threshold) else {
            return Err(format!("not expected: {threshold:?}"));
        };
        left.swap_remove(place);
    }
    if left.is_empty() { Ok(()) } else { Err(format!("missing: {left:?}")) }
}

fn same_observed(mut ours: FirstObserved, mut expected: FirstObserved) -> Result<(), String> {
    ours.sort_by_key(|(t, at)| (t.signal, *at));
    expected.sort_by_key(|(t, at)| (t.signal, *at));
    equal("observed", ours, expected)
}

fn at(value: &Value) -> Time {
    NOW - secs(value["secondsBeforeNow"].as_i64().unwrap_or(0))
}

/// A map whose keys are thresholds as Go prints them: `{memory.available LessThan {1Gi 0} 0s <nil>}`.
fn first_observed(json: &Value) -> Result<FirstObserved, String> {
    let map = json.as_object().into_iter().flatten();
    map.map(|(key, when)| Ok((printed_threshold(key)?, at(when)))).collect()
}

fn printed_threshold(key: &str) -> Result<Threshold, String> {
    let bad = || format!("no threshold: {key}");
    let words: Vec<&str> = key.split(' ').map(|w| w.trim_matches(['{', '}'])).collect();
    let [signal, op, quantity, percentage, grace, _reclaim] = words[..] else { return Err(bad()) };
    let quantity = match quantity {
        "<nil>" => None,
        text => Some(Quantity::parse(text).map_err(|_| bad())?),
    };
    Ok(Threshold {
        signal: Signal::parse(signal).unwrap_or_default(),
        operator: operator(op),
        value: ThresholdValue { quantity, percentage: percentage.parse().map_err(|_| bad())? },
        grace_period: span(&json!(grace))?,
        min_reclaim: None,
    })
}

fn condition(name: &str) -> Option<Condition> {
    let all = [Condition::Memory, Condition::Disk, Condition::Pid];
    all.into_iter().find(|c| c.as_str() == name)
}

fn observed_conditions(json: &Value) -> LastObserved {
    let map = json.as_object().into_iter().flatten();
    map.filter_map(|(name, when)| Some((condition(name)?, at(when)))).collect()
}

fn names(conditions: &[Condition]) -> Value {
    json!(conditions.iter().map(|c| c.as_str()).collect::<Vec<_>>())
}

fn observations(json: &Value) -> Result<Observations, String> {
    let mut all = Observations::new();
    for (name, seen) in json.as_object().into_iter().flatten() {
        let signal = Signal::parse(name).ok_or_else(|| format!("no signal: {name}"))?;
        let quantity = |field: &str| match seen[field].as_str() {
            Some(text) => Quantity::parse(text).map_err(|e| format!("{text:?}: {e}")),
            None => Ok(Quantity::default()),
        };
        let observation = Observation {
            available: quantity("available")?,
            capacity: quantity("capacity")?,
            time: time(&seen["time"])?,
        };
        all.insert(signal, observation);
    }
    Ok(all)
}
