//! `controllers/deployment_scale.json`: scaling of a Deployment with several ReplicaSets.

use std::sync::Arc;

use serde_json::Value;
use sim_controllers::deployment::revision::set_replicas;
use sim_controllers::deployment::util::{self, Set};
use sim_core::api::object::Object;

use super::controllers::{deployment, equal, list, replica_set};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let owner = deployment(&input["deployment"])?;
    let owner = owner.as_deployment().ok_or("not a Deployment")?;
    let before = deployment(&input["oldDeployment"])?;
    let read = |value: &Value| replica_set(value).map(|set| annotated(&set, &before, input));
    let new = if input["newRS"].is_null() { None } else { Some(read(&input["newRS"])?) };
    let mut old = list(&input["oldRSs"], read)?;
    let status_replicas = owner.status.replicas.unwrap_or(0);
    let sizes = util::scale(&owner.spec, status_replicas, new.as_ref(), &mut old);
    let size_of = |set: &Object| {
        let given = sizes.iter().find(|(s, _)| s.key() == set.key()).map(|(_, size)| *size);
        given.unwrap_or_else(|| util::size(set))
    };
    let wanted = list(&expected["expectedOld"], replica_set)?;
    let wanted_new = list(&Value::Array(vec![expected["expectedNew"].clone()]), replica_set)?;
    for want in wanted.iter().chain(&wanted_new) {
        let set = old.iter().chain(&new).find(|s| s.key() == want.key()).ok_or("a set is missing")?;
        equal(want.meta.name(), size_of(set), util::size(want))?;
    }
    Ok(())
}

/// The sizes that were noted on a ReplicaSet before.
fn annotated(set: &Set, before: &Object, input: &Value) -> Set {
    let Some(spec) = before.as_deployment().map(|d| &d.spec) else { return set.clone() };
    let given = input["desiredReplicasAnnotations"][set.meta.name()].as_i64();
    let desired = given.and_then(|n| i32::try_from(n).ok()).unwrap_or(util::replicas(spec));
    let mut copy = Object::clone(set);
    set_replicas(Arc::make_mut(&mut copy.meta.annotations), desired, desired + util::max_surge(spec));
    Arc::new(copy)
}
