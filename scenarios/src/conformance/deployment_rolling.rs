//! `controllers/deployment_rolling.json`: steps of a rolling update. Which function a vector is about shows in its fields.

use std::sync::Arc;

use serde_json::{Value, json};
use sim_controllers::deployment::util::{
    self, Resize, Set, cleanup_unhealthy, max_scaled_down, new_rs_new_replicas, scale_down_old,
};
use sim_core::api::object::Object;

use super::controllers::{deployment, equal, number32, replica_set};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let old = set("old", number32(input, "oldReplicas"), number32(input, "readyPods"))?;
    if !input["maxCleanupCount"].is_null() {
        let resizes = cleanup_unhealthy(&mut [old], number32(input, "maxCleanupCount"));
        return equal("count", by(&resizes), number32(expected, "cleanupCountExpected"));
    }
    let owner = owner(input)?;
    if !input["maxSurge"].is_null() {
        return check_new(&owner, input, expected);
    }
    let resizes = match input["readyPodsFromOldRS"].is_null() {
        false => reconcile_old(&owner, input)?,
        true => {
            let available = number32(input, "readyPods");
            let mut sets = [old];
            sizes(&scale_down_old(spec(&owner)?, available, &mut sets))
        }
    };
    check_scale(resizes, expected, "expectedOldReplicas")
}

fn owner(input: &Value) -> Result<Arc<Object>, String> {
    let or_zero = |field: &str| if input[field].is_null() { json!(0) } else { input[field].clone() };
    let rolling = json!({ "maxSurge": or_zero("maxSurge"), "maxUnavailable": or_zero("maxUnavailable") });
    let strategy = json!({ "type": "RollingUpdate", "rollingUpdate": rolling });
    let spec = json!({ "replicas": input["deploymentReplicas"], "strategy": strategy, "selector": {}, "template": {} });
    deployment(&json!({ "spec": spec }))
}

fn spec(owner: &Object) -> Result<&k8s_openapi::api::apps::v1::DeploymentSpec, String> {
    owner.as_deployment().map(|d| &*d.spec).ok_or_else(|| "not a Deployment".to_string())
}

fn set(name: &str, replicas: i32, available: i32) -> Result<Set, String> {
    replica_set(&json!({
        "metadata": { "name": name },
        "spec": { "replicas": replicas, "selector": {} },
        "status": { "replicas": 0, "availableReplicas": available },
    }))
}

fn by(resizes: &[Resize]) -> i32 {
    resizes.iter().map(|r| r.by).sum()
}

/// Last size given, if any.
fn sizes(resizes: &[Resize]) -> Option<i32> {
    resizes.last().map(|r| r.to)
}

fn check_scale(size: Option<i32>, expected: &Value, field: &str) -> Result<(), String> {
    equal("scaled", size.is_some(), expected["scaleExpected"] == true)?;
    match size {
        Some(size) => equal("size", size, number32(expected, field)),
        None => Ok(()),
    }
}

fn check_new(owner: &Object, input: &Value, expected: &Value) -> Result<(), String> {
    let spec = spec(owner)?;
    let (new, old) = (number32(input, "newReplicas"), number32(input, "oldReplicas"));
    let size = match new > util::replicas(spec) {
        true => util::replicas(spec),
        false => new_rs_new_replicas(spec, new + old, new),
    };
    check_scale(Some(size).filter(|s| *s != new), expected, "expectedNewReplicas")
}

/// Both halves of `reconcileOldReplicaSets`: unhealthy pods first, then as many as may be missing.
fn reconcile_old(owner: &Object, input: &Value) -> Result<Option<i32>, String> {
    let spec = spec(owner)?;
    let (ready_old, ready_new) =
        (number32(input, "readyPodsFromOldRS"), number32(input, "readyPodsFromNewRS"));
    let new = set("new", number32(input, "newReplicas"), ready_new)?;
    let old = set("old", number32(input, "oldReplicas"), ready_old)?;
    let total = util::size(&new) + util::size(&old);
    let room = max_scaled_down(spec, total, Some(&new));
    if room <= 0 {
        return Ok(None);
    }
    let mut sets = [old];
    let cleaned = sizes(&cleanup_unhealthy(&mut sets, room));
    if let Some(size) = cleaned {
        sets = [set("old", size, ready_old)?];
    }
    let scaled = sizes(&scale_down_old(spec, ready_old + ready_new, &mut sets));
    Ok(scaled.or(cleaned))
}
