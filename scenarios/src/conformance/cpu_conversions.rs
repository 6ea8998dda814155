//! `kubelet/cpu_conversions.json`: CPU amounts as shares, weights and quotas.

use serde_json::Value;
use sim_kubelet::cgroup::cpu::{QUOTA_PERIOD, linear_weight, quadratic_weight, quota, shares};

use super::quantity::same;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let milli_cpu = input["milliCPU"].as_i64().ok_or("no milliCPU")?;
    let shares = shares(milli_cpu);
    same("shares", shares, &expected["shares"])?;
    same("linear weight", linear_weight(shares), &expected["cpuWeightLinear"])?;
    same("quadratic weight", quadratic_weight(shares), &expected["cpuWeightQuadratic"])?;
    same("quota", quota(milli_cpu, QUOTA_PERIOD), &expected["cfsQuotaAt100ms"])
}
