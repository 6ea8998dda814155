//! `controllers/replicaset_utils.json`: the status of a ReplicaSet.

use serde_json::{Value, json};
use sim_controllers::machinery::wire::wire;
use sim_controllers::replica_set::calculate_status;
use sim_core::api::error::{ApiError, Reason};
use sim_core::api::wire::encode;
use sim_core::time::{Epoch, Time, days};

use super::controllers::{list, pod, replica_set};
use super::quantity::same;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let object = replica_set(&input["replicaset"])?;
    let set = object.as_replica_set().ok_or("not a ReplicaSet")?;
    let active = list(&input["activePods"], pod)?;
    let terminating = list(&input["terminatingPods"], pod)?.len() as i32;
    let told = input["enableDeploymentReplicaSetTerminatingReplicas"] == true
        && input["controllerFeatures"]["EnableStatusTerminatingReplicas"] != false;
    let error = input["manageReplicasErr"].as_str().map(|e| ApiError::new(Reason::InternalError, e));
    // The table's pods have no times: they are ready since long ago.
    let now = Time::ZERO + days(3650);
    let status = calculate_status(
        set,
        &active,
        told.then_some(terminating),
        error.as_ref(),
        now,
        wire(Epoch::default(), now),
    );
    let mut ours = encode(&status);
    if let Some(want) = expected.get("expectedReplicaSetConditions") {
        let mut conditions = ours["conditions"].take();
        for condition in conditions.as_array_mut().into_iter().flatten() {
            condition.as_object_mut().map(|c| c.remove("lastTransitionTime"));
        }
        let ours = if conditions.is_null() { json!([]) } else { conditions };
        return same("conditions", ours, want);
    }
    same("status", ours, &expected["expectedReplicaSetStatus"])
}
