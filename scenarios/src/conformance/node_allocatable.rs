//! `kubelet/node_allocatable.json`: what of a node is reserved, enforced, refused.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use serde_json::Value;
use sim_core::helpers::resources::ResourceList;
use sim_kubelet::cgroup::allocatable::{Reserved, enforced, reservation, validate};
use sim_kubelet::eviction::threshold::{Operator, Signal, Threshold};

use super::controllers::equal;
use super::eviction::value;
use super::quantity::same;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let (capacity, reserved, hard) = read(input)?;
    if !expected["invalidConfiguration"].is_null() {
        let refused = validate(&capacity, &reserved, &[hard]).is_err();
        return same("invalidConfiguration", refused, &expected["invalidConfiguration"]);
    }
    // The table goes through the answer only, which never names what the node does not have.
    let wanted = list(&expected["expected"])?;
    let wanted: ResourceList =
        wanted.iter().filter(|(name, _)| capacity.get(name).is_some()).map(|(n, q)| (n, q.clone())).collect();
    equal("reservation", reservation(&capacity, &reserved, &[hard]), wanted)
}

pub(crate) fn enforcement(input: &Value, expected: &Value) -> Result<(), String> {
    let (capacity, reserved, _) = read(input)?;
    equal("enforced", enforced(&capacity, &reserved), list(&expected["expected"])?)
}

fn read(input: &Value) -> Result<(ResourceList, Reserved, Threshold), String> {
    let capacity = list(&input["capacity"])?;
    // The tables do not name the signal: it is the one of the resource they are about.
    let about_storage = capacity.get("ephemeral-storage").is_some();
    let hard = Threshold {
        signal: if about_storage { Signal::NodeFsAvailable } else { Signal::MemoryAvailable },
        operator: Operator::LessThan,
        value: value(&input["hardThreshold"])?,
        ..Threshold::default()
    };
    let reserved = Reserved { kube: list(&input["kubeReserved"])?, system: list(&input["systemReserved"])? };
    Ok((capacity, reserved, hard))
}

fn list(value: &Value) -> Result<ResourceList, String> {
    let wire: Option<BTreeMap<String, WireQuantity>> =
        serde_json::from_value(value.clone()).map_err(|e| format!("bad vector: {e}"))?;
    Ok(ResourceList::from_wire(wire.as_ref()))
}
