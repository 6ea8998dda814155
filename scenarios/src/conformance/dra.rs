//! `dra/*.json`: the structured allocator: devices for claims on one node, or none, or an error.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sim_core::api::meta::Labels;
use sim_dra::allocator::{AllocatedState, Allocator, Classes, Consumed, DeviceId};
use sim_dra::api::{DeviceClass, ResourceClaim, ResourceSlice};
use sim_dra::features::Features;
use sim_dra::inventory::{Inventory, Node, Slice};
use sim_dra::selector::Selectors;
use smol_str::SmolStr;

use super::quantity::text;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let ours = run(input)?;
    let expected = without_lister(expected);
    if ours == expected { Ok(()) } else { Err(format!("expected {expected}, got {ours}")) }
}

fn run(input: &Value) -> Result<Value, String> {
    let classes: Vec<DeviceClass> = list(input, "deviceClasses")?;
    let classes: Classes =
        classes.into_iter().map(|class| (class.metadata.name.clone(), Arc::new(class))).collect();
    let slices: Vec<ResourceSlice> = list(input, "slices")?;
    let slices = slices.into_iter().map(|slice| Arc::new(Slice::new(Arc::new(slice)))).collect();
    let claims: Vec<ResourceClaim> = list(input, "claimsToAllocate")?;
    let claims: Vec<Arc<ResourceClaim>> = claims.into_iter().map(Arc::new).collect();
    let gates = input["features"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let labels: Labels = read(&input["node"]["metadata"]["labels"])?;
    let allocator = Allocator::new(
        Features::from_gates(gates),
        Arc::new(allocated(input)?),
        Arc::new(Inventory::new(slices)),
        &classes,
        &mut Selectors::stored(),
        &claims,
    );
    let node = Node { name: text(&input["node"]["metadata"], "name"), labels: &labels };
    Ok(match allocator.allocate(node) {
        Ok(Some(results)) => json!({ "results": results }),
        Ok(None) => json!({ "none": true }),
        Err(error) => without_lister(&json!({ "error": error.to_string() })),
    })
}

fn allocated(input: &Value) -> Result<AllocatedState, String> {
    let mut state = AllocatedState::default();
    let id = |device: &Value| DeviceId {
        driver: SmolStr::new(text(device, "driver")),
        pool: SmolStr::new(text(device, "pool")),
        device: SmolStr::new(text(device, "device")),
    };
    for device in input["allocatedDevices"].as_array().into_iter().flatten() {
        state.insert(id(device));
    }
    for device in input["aggregatedCapacity"].as_array().into_iter().flatten() {
        let consumed: Consumed = read(&device["capacity"])?;
        state.insert_share(id(device), &consumed);
    }
    Ok(state)
}

fn list<T: DeserializeOwned>(input: &Value, field: &str) -> Result<Vec<T>, String> {
    read(&input[field])
}

fn read<T: DeserializeOwned + Default>(value: &Value) -> Result<T, String> {
    if value.is_null() {
        return Ok(T::default());
    }
    serde_json::from_value(value.clone()).map_err(|e| e.to_string())
}

/// Errors about a missing class end in the words of a lister, which in the recordings is one made for tests.
fn without_lister(outcome: &Value) -> Value {
    const MISSING: &str = "could not retrieve device class ";
    let Some(error) = outcome["error"].as_str() else { return outcome.clone() };
    let Some((head, tail)) = error.split_once(MISSING) else { return outcome.clone() };
    let class = tail.split(':').next().unwrap_or_default();
    json!({ "error": format!("{head}{MISSING}{class}") })
}
