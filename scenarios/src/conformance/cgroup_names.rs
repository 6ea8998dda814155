//! `kubelet/cgroup_names.json`: names of cgroups under both drivers, and weights.

use serde_json::{Value, json};
use sim_kubelet::cgroup::cpu::{linear_weight, shares_of_weight};
use sim_kubelet::cgroup::name::CgroupName;

use super::quantity::same;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    if let Some(shares) = input["cpuShares"].as_u64() {
        return same("weight", linear_weight(shares), &expected["expectedCpuWeight"]);
    }
    if let Some(weight) = input["cpuWeight"].as_u64() {
        return same("shares", shares_of_weight(weight), &expected["expectedCpuShares"]);
    }
    match input["input"].as_str() {
        Some(path) => same_parts(&CgroupName::parse_systemd(path), expected),
        None => same("path", name(input)?.to_systemd(), &expected["expected"]),
    }
}

pub(crate) fn systemd_basename(input: &Value, expected: &Value) -> Result<(), String> {
    let path = name(input)?.to_systemd();
    let last = path.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or("/");
    same("name", last, &expected["expected"])
}

pub(crate) fn cgroupfs(input: &Value, expected: &Value) -> Result<(), String> {
    same("path", name(input)?.to_cgroupfs(), &expected["expected"])
}

pub(crate) fn parse_cgroupfs(input: &Value, expected: &Value) -> Result<(), String> {
    same_parts(&CgroupName::parse_cgroupfs(input["input"].as_str().unwrap_or_default()), expected)
}

fn same_parts(name: &CgroupName, expected: &Value) -> Result<(), String> {
    same("parts", json!(name.parts().collect::<Vec<_>>()), &expected["expected"])
}

fn name(input: &Value) -> Result<CgroupName, String> {
    let parts = input["input"].as_array().into_iter().flatten().filter_map(Value::as_str);
    CgroupName::new(parts).map_err(|e| e.to_string())
}
