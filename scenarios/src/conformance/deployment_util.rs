//! `controllers/deployment_util.json`: arithmetic of Deployments. Which function a vector is about shows in its fields.

use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};
use sim_controllers::deployment::{revision, timed_out, util};
use sim_core::api::wire::decode_value;
use sim_core::time::Epoch;

use super::controllers::{deployment, equal, list, number32, replica_set, time};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    if !input["sets"].is_null() {
        let sets = list(&input["sets"], replica_set)?;
        equal("spec", util::total(&sets, util::size), number32(expected, "expectedCount"))?;
        equal("status", util::total(&sets, util::actual), number32(expected, "expectedActual"))?;
        // Recorded objects leave out zeros, so "0" and "not reported" look alike.
        let terminating = util::total_terminating(&sets).unwrap_or(0);
        return equal("terminating", terminating, number32(expected, "expectedTerminating"));
    }
    if !input["desired"].is_null() {
        return check_fenceposts(input, expected);
    }
    if !input["strategyType"].is_null() {
        let rolling = json!({ "maxSurge": input["maxSurge"] });
        let spec = spec(
            &json!({ "replicas": input["depReplicas"], "strategy": { "type": input["strategyType"], "rollingUpdate": rolling } }),
        )?;
        let size = number32(input, "newRSReplicas");
        // The table's ReplicaSets beside the new one: one of 5 and two of none.
        let ours = util::new_rs_new_replicas(&spec, 5, size);
        return equal("replicas", ours, number32(expected, "expected"));
    }
    if !input["rsReplicas"].is_null() {
        return check_fraction(input, expected);
    }
    if !input["replicaSet"].is_null() {
        let set = replica_set(&input["replicaSet"])?;
        let ours = revision::replicas_need_update(&set.meta.annotations, 10, 20);
        return equal("need update", ours, expected["expected"] == true);
    }
    check_status(input, expected)
}

fn spec(value: &Value) -> Result<DeploymentSpec, String> {
    let mut value = value.clone();
    value["selector"] = json!({});
    value["template"] = json!({});
    decode_value(&value).map_err(|e| e.message().to_string())
}

fn check_fenceposts(input: &Value, expected: &Value) -> Result<(), String> {
    let limit = |field: &str| input[field].as_str().map(sim_core::int_or_string::parse);
    let (surge, unavailable): (Option<IntOrString>, _) = (limit("maxSurge"), limit("maxUnavailable"));
    let ours = util::resolve_fenceposts(surge.as_ref(), unavailable.as_ref(), number32(input, "desired"));
    equal("error", ours.is_none(), expected["expectError"] == true)?;
    let want = (number32(expected, "expectSurge"), number32(expected, "expectUnavailable"));
    equal("surge and unavailable", ours.unwrap_or((0, 0)), want)
}

fn check_fraction(input: &Value, expected: &Value) -> Result<(), String> {
    let rolling = json!({ "maxSurge": input["deploymentMaxSurge"], "maxUnavailable": 0 });
    let strategy = json!({ "type": "RollingUpdate", "rollingUpdate": rolling });
    let spec = spec(&json!({ "replicas": input["deploymentReplicas"], "strategy": strategy }))?;
    let set = replica_set(&json!({
        "metadata": { "annotations": input["rsAnnotations"] },
        "spec": { "replicas": input["rsReplicas"], "selector": {} },
    }))?;
    let ours = util::fraction(&spec, number32(input, "deploymentStatusReplicas"), &set);
    equal("fraction", ours, number32(expected, "expectedFraction"))
}

/// Vectors of `MaxUnavailable`.
pub(crate) fn max_unavailable(input: &Value, expected: &Value) -> Result<(), String> {
    check_limit(input, expected, util::max_unavailable)
}

/// Vectors of `MinAvailable`, which have the same fields.
pub(crate) fn min_available(input: &Value, expected: &Value) -> Result<(), String> {
    check_limit(input, expected, util::min_available)
}

fn check_limit(input: &Value, expected: &Value, limit: fn(&DeploymentSpec) -> i32) -> Result<(), String> {
    let owner = deployment(&input["deployment"])?;
    let spec = &owner.as_deployment().ok_or("not a Deployment")?.spec;
    equal("limit", limit(spec), number32(expected, "expected"))
}

fn check_status(input: &Value, expected: &Value) -> Result<(), String> {
    let owner = deployment(&input["d"])?;
    let body = owner.as_deployment().ok_or("not a Deployment")?;
    let ours = if !input["newStatus"].is_null() {
        let new: DeploymentStatus = decode_value(&input["newStatus"]).map_err(|e| e.message().to_string())?;
        util::is_progressing(&body.status, &new)
    } else if !input["d"]["status"]["conditions"].is_null() {
        // The table's clock stands at this date.
        let now = time(&json!("2016-01-01T00:01:20Z"))?.unwrap_or_default();
        timed_out(&body.spec, &body.status, Epoch::default(), now)
    } else {
        util::is_complete(&body.spec, owner.meta.generation, &body.status)
    };
    equal("result", ours, expected["expected"] == true)
}
