//! `kubelet/cgroup_pod_config.json`: what is written to the cgroups of pods.

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sim_core::helpers::resources::ResourceList;
use sim_core::quantity::Quantity;
use sim_kubelet::cgroup::cpu::quota;
use sim_kubelet::cgroup::pod::{PodOptions, ResourceConfig, huge_page_limits, resource_config_for_pod};

use super::quantity::same;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    if let Some(inputs) = input["inputs"].as_array() {
        return huge_pages(inputs, expected);
    }
    if let Some(milli_cpu) = input["input"].as_i64() {
        let period = input["period"].as_i64().unwrap_or(0);
        return same("quota", quota(milli_cpu, period), &expected["quota"]);
    }
    compare(input, expected, PodOptions::default())
}

pub(crate) fn custom_period(input: &Value, expected: &Value) -> Result<(), String> {
    compare(input, expected, PodOptions { custom_cpu_period: true, ..PodOptions::default() })
}

pub(crate) fn memory_qos(input: &Value, expected: &Value) -> Result<(), String> {
    compare(input, expected, PodOptions { memory_qos: true, ..PodOptions::default() })
}

fn compare(input: &Value, expected: &Value, defaults: PodOptions) -> Result<(), String> {
    let spec = spec(&input["pod"])?;
    let flag = |name: &str, default: bool| input[name].as_bool().unwrap_or(default);
    let options = PodOptions {
        enforce_cpu_limits: flag("enforceCPULimits", defaults.enforce_cpu_limits),
        cpu_period: input["quotaPeriod"].as_i64().unwrap_or(defaults.cpu_period),
        pod_level_resources: flag("podLevelResourcesEnabled", defaults.pod_level_resources),
        ..defaults
    };
    let ours = fields(&resource_config_for_pod(&spec, &options));
    let mut wanted = expected["expected"].as_object().cloned().unwrap_or_default();
    // The CPUs of a pod are the CPU manager's business.
    wanted.remove("CPUSet");
    wanted.retain(|_, value| !value.is_null());
    same("config", ours, &Value::Object(wanted))
}

fn fields(config: &ResourceConfig) -> Value {
    let mut map = Map::new();
    let mut set = |name: &str, value: Value, present: bool| {
        if present {
            map.insert(name.to_string(), value);
        }
    };
    set("CPUPeriod", json!(config.cpu_period), config.cpu_period.is_some());
    set("CPUQuota", json!(config.cpu_quota), config.cpu_quota.is_some());
    set("CPUShares", json!(config.cpu_shares), config.cpu_shares.is_some());
    set("HugePageLimit", json!(config.huge_page_limit), !config.huge_page_limit.is_empty());
    set("Memory", json!(config.memory), config.memory.is_some());
    set("PidsLimit", json!(config.pids), config.pids.is_some());
    set("Unified", json!(config.unified), !config.unified.is_empty());
    Value::Object(map)
}

fn huge_pages(inputs: &[Value], expected: &Value) -> Result<(), String> {
    let mut list = ResourceList::default();
    for input in inputs {
        let text = |field: &str| input[field].as_str().unwrap_or_default();
        list.set(text("key"), Quantity::parse(text("input")).map_err(|e| e.to_string())?);
    }
    same("limits", json!(huge_page_limits(&list)), &expected["expected"])
}

pub(super) fn spec(pod: &Value) -> Result<PodSpec, String> {
    Ok(Pod::deserialize(pod).map_err(|e| e.to_string())?.spec.unwrap_or_default())
}
