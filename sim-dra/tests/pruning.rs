//! Properties of the search on random inputs: pruned and plain give the same, errors included; what comes out is consistent; and
//! what is impossible is found out quickly.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use sim_dra::allocator::{AllocatedState, Allocator, Classes, DeviceId};
use sim_dra::api::{AllocationResult, DeviceClass, ResourceClaim, ResourceSlice};
use sim_dra::features::Features;
use sim_dra::inventory::{Inventory, Node, Slice};
use sim_dra::selector::Selectors;

const DRIVER: &str = "gpu.example.com";

/// Selectors: safe ones, and some that fail for devices without the attribute or of another type.
const EXPRESSIONS: &[&str] = &[
    "true",
    "device.attributes['gpu.example.com'].?group.orValue(0) < 2",
    "device.attributes['gpu.example.com'].group < 2",
    "device.attributes['gpu.example.com'].rare == 'yes'",
    "has(device.attributes['gpu.example.com'].rare)",
    "device.attributes['gpu.example.com'].group == 1 || device.attributes['gpu.example.com'].rare == 'x'",
];

#[derive(Clone, Debug)]
struct Input {
    features: u8,
    /// Per slice: broken pool, counters, devices.
    slices: Vec<(bool, Vec<DeviceInput>)>,
    /// Per claim: requests and constraint.
    claims: Vec<(Vec<RequestInput>, u8)>,
}

#[derive(Clone, Debug)]
struct DeviceInput {
    group: Option<u8>,
    rare: bool,
    units: u8,
    tainted: bool,
    taken: bool,
    shared: bool,
    waits: bool,
}

#[derive(Clone, Debug)]
struct RequestInput {
    alternatives: Vec<(u8, i64, bool)>,
    first_available: bool,
    admin: bool,
}

fn device() -> impl Strategy<Value = DeviceInput> {
    let one_in = |n: u32| prop::bool::weighted(1.0 / f64::from(n));
    (prop::option::weighted(0.9, 0..3_u8), one_in(3), 0..3_u8, one_in(8), one_in(6), one_in(10), one_in(12))
        .prop_map(|(group, rare, units, tainted, taken, shared, waits)| DeviceInput {
            group,
            rare,
            units,
            tainted,
            taken,
            shared,
            waits,
        })
}

fn request() -> impl Strategy<Value = RequestInput> {
    let exact = (0..EXPRESSIONS.len() as u8, 1..4_i64, prop::bool::weighted(0.15));
    (prop::collection::vec(exact, 1..3), prop::bool::weighted(0.25), prop::bool::weighted(0.1)).prop_map(
        |(alternatives, first_available, admin)| RequestInput { alternatives, first_available, admin },
    )
}

fn input() -> impl Strategy<Value = Input> {
    let slice = (prop::bool::weighted(0.05), prop::collection::vec(device(), 0..5));
    let claim = (prop::collection::vec(request(), 1..3), 0..5_u8);
    (any::<u8>(), prop::collection::vec(slice, 1..3), prop::collection::vec(claim, 1..3))
        .prop_map(|(features, slices, claims)| Input { features, slices, claims })
}

fn slice_body(number: usize, broken: bool, devices: &[DeviceInput]) -> Value {
    let body = |(index, device): (usize, &DeviceInput)| {
        let name = if broken { "gpu".to_owned() } else { format!("gpu-{index}") };
        let mut body = json!({"name": name, "allowMultipleAllocations": device.shared});
        if let Some(group) = device.group {
            body["attributes"]["group"] = json!({"int": group});
        }
        if device.rare {
            body["attributes"]["rare"] = json!({"string": "yes"});
        }
        if device.units > 0 {
            body["consumesCounters"] =
                json!([{"counterSet": "set", "counters": {"unit": {"value": device.units.to_string()}}}]);
        }
        if device.tainted {
            body["taints"] = json!([{"key": "broken", "effect": "NoSchedule"}]);
        }
        if device.waits {
            body["bindingConditions"] = json!(["Ready"]);
        }
        body
    };
    let devices: Vec<Value> = devices.iter().enumerate().map(body).collect();
    let pool = format!("pool-{number}");
    json!({"metadata": {"name": pool}, "spec": {"driver": DRIVER, "allNodes": true, "devices": devices,
        "sharedCounters": [{"name": "set", "counters": {"unit": {"value": "4"}}}],
        "pool": {"name": pool, "generation": 1, "resourceSliceCount": 1}}})
}

fn request_body(number: usize, request: &RequestInput) -> Value {
    let exact = |(index, (expression, count, all)): (usize, &(u8, i64, bool))| {
        let mode = if *all { "All" } else { "ExactCount" };
        let selector = EXPRESSIONS[usize::from(*expression)];
        json!({"name": format!("alternative-{index}"), "deviceClassName": "gpu", "allocationMode": mode, "count": count,
            "selectors": [{"cel": {"expression": selector}}]})
    };
    let mut exact: Vec<Value> = request.alternatives.iter().enumerate().map(exact).collect();
    let name = format!("request-{number}");
    if request.first_available {
        return json!({"name": name, "firstAvailable": exact});
    }
    if request.admin {
        exact[0]["adminAccess"] = json!(true);
    }
    json!({"name": name, "exactly": exact[0]})
}

fn claim_body(number: usize, (requests, constraint): &(Vec<RequestInput>, u8)) -> Value {
    let requests: Vec<Value> = requests.iter().enumerate().map(|(i, r)| request_body(i, r)).collect();
    let constraints = match constraint {
        0 => json!([{"matchAttribute": "gpu.example.com/group"}]),
        1 => json!([{"distinctAttribute": "gpu.example.com/group", "requests": ["request-0"]}]),
        2 => {
            json!([{"matchAttribute": "gpu.example.com/group", "requests": ["request-1", "request-0/alternative-0"]}])
        }
        _ => json!([]),
    };
    json!({"metadata": {"name": format!("claim-{number}"), "namespace": "default"},
        "spec": {"devices": {"requests": requests, "constraints": constraints}}})
}

fn allocator(slices: Vec<Value>, claims: Vec<Value>, features: Features, taken: Vec<DeviceId>) -> Allocator {
    let read = |value: Value| -> Arc<ResourceSlice> { Arc::new(serde_json::from_value(value).unwrap()) };
    let slices = slices.into_iter().map(|slice| Arc::new(Slice::new(read(slice)))).collect();
    let class: DeviceClass = serde_json::from_value(json!({"metadata": {"name": "gpu"}})).unwrap();
    let classes: Classes = [("gpu".into(), Arc::new(class))].into();
    let claims: Vec<Arc<ResourceClaim>> =
        claims.into_iter().map(|claim| Arc::new(serde_json::from_value(claim).unwrap())).collect();
    let mut allocated = AllocatedState::default();
    taken.into_iter().for_each(|id| allocated.insert(id));
    let inventory = Arc::new(Inventory::new(slices));
    Allocator::new(features, Arc::new(allocated), inventory, &classes, &mut Selectors::stored(), &claims)
}

fn build(input: &Input) -> Allocator {
    let bit = |n: u8| input.features & (1 << n) != 0;
    let features = Features {
        admin_access: true,
        consumable_capacity: bit(0) && bit(1),
        device_binding: bit(2),
        device_status: bit(3) || bit(4),
        device_taints: bit(5),
        partitionable_devices: bit(6),
        prioritized_list: true,
    };
    let slices =
        input.slices.iter().enumerate().map(|(i, (broken, devices))| slice_body(i, *broken, devices));
    let taken = input.slices.iter().enumerate().flat_map(|(slice, (_, devices))| {
        devices.iter().enumerate().filter(|(_, device)| device.taken).map(move |(device, _)| DeviceId {
            driver: DRIVER.into(),
            pool: format!("pool-{slice}").into(),
            device: format!("gpu-{device}").into(),
        })
    });
    let claims = input.claims.iter().enumerate().map(|(i, claim)| claim_body(i, claim));
    allocator(slices.collect(), claims.collect(), features, taken.collect())
}

fn node(labels: &BTreeMap<String, String>) -> Node<'_> {
    Node { name: "node-1", labels }
}

/// Nothing is given twice, except to administrators and in shares.
fn consistent(results: &[AllocationResult]) -> bool {
    let devices = results.iter().flat_map(|result| &result.devices.results);
    let own: Vec<_> = devices
        .filter(|device| device.admin_access.is_none() && device.share_id.is_none())
        .map(|device| (&device.pool, &device.device))
        .collect();
    (1..own.len()).all(|i| !own[..i].contains(&own[i]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn pruned_is_plain(input in input()) {
        let labels = BTreeMap::new();
        let pruned = build(&input);
        let plain = pruned.clone().plain();
        let (ours, oracle) = (pruned.allocate_counted(node(&labels)), plain.allocate_counted(node(&labels)));
        prop_assert_eq!(
            ours.as_ref().map(|a| &a.results), oracle.as_ref().map(|a| &a.results), "{:?}", input
        );
        if let (Ok(ours), Ok(oracle)) = (ours, oracle) {
            prop_assert!(ours.steps <= oracle.steps);
            prop_assert!(ours.results.is_none_or(|results| consistent(&results)));
        }
    }
}

fn plain_devices(groups: usize, of: usize) -> Vec<Value> {
    let device =
        |index: usize| json!({"name": format!("gpu-{index}"), "attributes": {"group": {"int": index / of}}});
    let devices: Vec<Value> = (0..groups * of).map(device).collect();
    vec![
        json!({"metadata": {"name": "pool"}, "spec": {"driver": DRIVER, "allNodes": true, "devices": devices,
        "pool": {"name": "pool", "generation": 1, "resourceSliceCount": 1}}}),
    ]
}

fn wish(name: &str, count: usize, constrained: bool) -> Value {
    let constraints =
        if constrained { json!([{"matchAttribute": "gpu.example.com/group"}]) } else { json!([]) };
    json!({"metadata": {"name": name}, "spec": {"devices": {"constraints": constraints, "requests": [
        {"name": "gpu", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count}}]}}})
}

#[test]
fn the_impossible_is_found_out_quickly() {
    let labels = BTreeMap::new();
    for (what, slices, claims, most) in [
        ("32 of 31", plain_devices(1, 31), vec![wish("a", 32, false)], 1_000),
        ("8 of one group of 7, 18 groups", plain_devices(18, 7), vec![wish("a", 8, true)], 400),
        (
            "two claims of 16 over 31",
            plain_devices(1, 31),
            vec![wish("a", 16, false), wish("b", 16, false)],
            1_000_000,
        ),
        (
            "four claims of 3 over 11",
            plain_devices(1, 11),
            (0..4).map(|i| wish(&i.to_string(), 3, false)).collect(),
            20_000,
        ),
    ] {
        let allocator = allocator(slices, claims, Features::default(), Vec::new());
        let allocation = allocator.allocate_counted(node(&labels)).unwrap();
        assert_eq!(allocation.results, None, "{what}");
        assert!(allocation.steps < most, "{what}: {} steps", allocation.steps);
    }
}
