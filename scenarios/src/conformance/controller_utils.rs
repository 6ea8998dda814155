//! `controllers/controller_utils.json`: order of deletion, and who owns what.

use std::sync::Arc;

use serde_json::{Value, json};
use sim_controllers::deployment::util::active;
use sim_controllers::machinery::cache::Caches;
use sim_controllers::machinery::ranking::{Candidate, Ranking};
use sim_core::api::kind::Kind;
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::time::Time;

use super::controllers::{equal, list, pod, replica_set, time};

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    if !expected["lesser"].is_null() {
        return check_pair(input, expected);
    }
    if !input["pods"].is_null() {
        let mut rows = list(&input["pods"], |p| Ok((candidate(p, 0)?, p["metadata"]["name"].clone())))?;
        // From the wrong end first, so that the order is not right by luck.
        rows.reverse();
        rows.sort_by(|a, b| Ranking::PLAIN.compare(&a.0, &b.0));
        let names = rows.into_iter().map(|r| r.1).collect();
        return equal("order", Value::Array(names), expected["wantOrder"].clone());
    }
    if !input["replicaSets"].is_null() {
        let names = |sets: Vec<Arc<Object>>| sets.iter().map(|s| s.key().clone()).collect::<Vec<_>>();
        let ours = active(&list(&input["replicaSets"], replica_set)?);
        return equal("active", names(ours), names(list(&expected["wantReplicaSets"], replica_set)?));
    }
    check_owned(input, expected)
}

/// What the ranking sees of a pod; absent times are none, as in Go.
fn candidate(value: &Value, rank: usize) -> Result<Candidate, String> {
    let object = pod(value)?;
    let body = object.as_pod().ok_or("not a Pod")?;
    let mut candidate = Candidate::of(&object, body, rank);
    let ready = value["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Ready");
    candidate.ready_since = time(ready.map_or(&Value::Null, |c| &c["lastTransitionTime"]))?;
    candidate.created = time(&value["metadata"]["creationTimestamp"])?;
    Ok(candidate)
}

fn check_pair(input: &Value, expected: &Value) -> Result<(), String> {
    let read = |side: &Value| candidate(&side["pod"], side["rank"].as_u64().unwrap_or(0) as usize);
    let (lesser, greater) = (read(&expected["lesser"])?, read(&expected["greater"])?);
    let times = [lesser.ready_since, greater.ready_since, lesser.created, greater.created];
    // The table's clock stands at or after the latest time in it.
    let now = times.into_iter().flatten().max().unwrap_or(Time::ZERO);
    let ranking = Ranking {
        logarithmic_at: (input["disableLogarithmicScaleDown"] != true).then_some(now),
        deletion_cost: input["disablePodDeletioncost"] != true,
    };
    equal("order", ranking.compare(&lesser, &greater), std::cmp::Ordering::Less)
}

fn check_owned(input: &Value, expected: &Value) -> Result<(), String> {
    let mut caches = Caches::default();
    for new in list(&input["allPods"], pod)? {
        caches.apply(&Change { kind: ChangeKind::Added, old: None, new });
    }
    let owner = replica_set(&json!({ "metadata": input["owner"] }))?;
    let found = match input["ownedOnly"] == true {
        true => caches.controlled(owner.meta.uid, Kind::POD).cloned().collect(),
        false => caches.claimable(&owner, Kind::POD),
    };
    let ours: Vec<String> = found.iter().map(|p| p.key().to_string()).collect();
    let mut want: Vec<String> =
        expected["wantPodsKeys"].as_object().into_iter().flatten().map(|(k, _)| k.clone()).collect();
    want.sort();
    equal("pods", ours, want)
}
