//! `kubelet/swap_memqos.json`: who may swap, and how memory is protected and throttled.

use serde_json::{Map, Value, json};
use sim_core::api::pod_status::QosClass;
use sim_core::quantity::Quantity;
use sim_kubelet::cgroup::container::{
    ContainerOptions, ContainerResources, SwapBehavior, container_resources, swap_behavior,
};
use sim_kubelet::cgroup::oom_score::is_critical;

use super::cgroup_pod_config::spec;
use super::quantity::{same, text};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    if !input["configuredMemorySwap"].is_null() {
        behavior(input, expected)
    } else if !input["c1"].is_null() {
        swap(input, expected)
    } else {
        memory_qos(input, expected)
    }
}

fn behavior(input: &Value, expected: &Value) -> Result<(), String> {
    let class = match text(input, "qosClass") {
        "BestEffort" => QosClass::BestEffort,
        "Guaranteed" => QosClass::Guaranteed,
        _ => QosClass::Burstable,
    };
    // The table's container requests some memory and has no limit.
    let spec = spec(&json!({"spec": {"containers": [
        {"name": "c", "resources": {"requests": {"memory": "1Gi"}}}]}}))?;
    let options = ContainerOptions {
        swap: SwapBehavior::parse(text(input, "configuredMemorySwap")),
        swap_controller: input["isSwapControllerAvailable"] == true,
        unified: text(input, "cgroupVersion") != "v1",
        ..ContainerOptions::default()
    };
    let critical = input["isCriticalPod"] == true;
    let name = match swap_behavior(class, &spec.containers[0], critical, &options) {
        SwapBehavior::NoSwap => "NoSwap",
        SwapBehavior::LimitedSwap => "LimitedSwap",
    };
    same("behavior", name, &expected["expected"])
}

fn swap(input: &Value, expected: &Value) -> Result<(), String> {
    let spec = spec(&json!({"spec": {"priority": input["podPriority"], "containers": [
        {"name": "c1", "resources": input["c1"]}, {"name": "c2", "resources": input["c2"]}]}}))?;
    let options = ContainerOptions {
        memory_capacity: input["nodeMemory"].as_i64().unwrap_or(0),
        swap_capacity: input["nodeSwap"].as_i64().unwrap_or(0),
        swap: SwapBehavior::parse(text(input, "swapBehavior")),
        swap_controller: input["swapControllerAvailable"] == true,
        unified: text(input, "cgroupVersion") != "v1",
        ..ContainerOptions::default()
    };
    let critical = is_critical(&spec, None);
    let of = |i: usize| container_resources(&spec, &spec.containers[i], critical, false, &options);
    let (first, second) = (of(0), of(1));
    same("limit", first.memory_swap_limit, &expected["expectedC1MemorySwapLimitInBytes"])?;
    same("oomScoreAdj", first.oom_score_adj, &expected["expectedC1OomScoreAdj"])?;
    files("c1", &first, &expected["expectedC1Unified"])?;
    files("c2", &second, &expected["expectedC2Unified"])
}

/// The tables look at these files only.
fn files(what: &str, ours: &ContainerResources, expected: &Value) -> Result<(), String> {
    let shown = ["memory.high", "memory.min", "memory.swap.max"];
    let ours: Map<String, Value> = ours
        .unified
        .iter()
        .filter(|(name, _)| shown.contains(name))
        .filter(|(name, _)| expected.is_null() || **name != "memory.swap.max" || expected.get(name).is_some())
        .map(|(name, text)| (name.to_string(), text.clone().into()))
        .collect();
    let expected = if expected.is_null() { json!({}) } else { expected.clone() };
    same(what, ours, &expected)
}

fn memory_qos(input: &Value, expected: &Value) -> Result<(), String> {
    let spec = spec(&input["pod"])?;
    let memory = Quantity::parse(text(input, "nodeAllocatableMemory")).map_err(|e| e.to_string())?.value();
    let mut options = ContainerOptions {
        memory_capacity: memory,
        allocatable_memory: memory,
        memory_throttling_factor: input["memoryThrottlingFactor"].as_f64().unwrap_or(0.9),
        page_size: input["pageSize"].as_i64().unwrap_or(4096),
        ..ContainerOptions::default()
    };
    options.pod.memory_qos = true;
    let ours = container_resources(&spec, &spec.containers[0], is_critical(&spec, None), false, &options);
    same("cpuShares", ours.cpu_shares, &expected["cpuShares"])?;
    same("oomScoreAdj", ours.oom_score_adj, &expected["oomScoreAdj"])?;
    same("limit", ours.memory_limit, &expected["memoryLimitInBytes"])?;
    files("files", &ours, &expected["unified"])
}
