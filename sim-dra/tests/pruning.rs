//! Properties of the search on random inputs: pruned and plain give the same, errors included; what comes out is consistent; what
//! is given and taken back was never there; order matters only where it should; and what is impossible is found out quickly.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use sim_dra::allocator::{AllocatedState, Allocator, Classes, DeviceId, Fixes};
use sim_dra::api::{
    AllocationResult, DeviceClass, DeviceRequestAllocationResult, ResourceClaim, ResourceSlice,
};
use sim_dra::features::Features;
use sim_dra::inventory::{Inventory, Node, Slice};
use sim_dra::selector::Selectors;

const DRIVER: &str = "gpu.example.com";
/// What each slice has of its counter.
const UNITS: u64 = 4;
/// The capacity of devices that can be shared.
const LANES: i64 = 3;

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
    /// A part of the capacity; without the feature for it, nothing.
    lanes: Option<u8>,
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
    let lanes = prop::option::weighted(0.3, 1..3_u8);
    let alternatives = prop::collection::vec(exact, 1..3);
    (alternatives, prop::bool::weighted(0.25), prop::bool::weighted(0.1), lanes).prop_map(
        |(alternatives, first_available, admin, lanes)| RequestInput {
            alternatives,
            first_available,
            admin,
            lanes,
        },
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
        let name = if broken { "gpu-0".to_owned() } else { format!("gpu-{index}") };
        let mut body = json!({"name": name, "allowMultipleAllocations": device.shared});
        if device.shared {
            body["capacity"] = json!({"lanes": {"value": LANES.to_string()}});
        }
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
        "sharedCounters": [{"name": "set", "counters": {"unit": {"value": UNITS.to_string()}}}],
        "pool": {"name": pool, "generation": 1, "resourceSliceCount": 1}}})
}

fn request_body(number: usize, request: &RequestInput, portions: bool) -> Value {
    let exact = |(index, (expression, count, all)): (usize, &(u8, i64, bool))| {
        let mode = if *all { "All" } else { "ExactCount" };
        let selector = EXPRESSIONS[usize::from(*expression)];
        let lanes = request.lanes.filter(|_| portions);
        let capacity = lanes.map(|lanes| json!({"requests": {"lanes": lanes.to_string()}}));
        json!({"capacity": capacity, "name": format!("alternative-{index}"), "deviceClassName": "gpu", "allocationMode": mode, "count": count,
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

fn claim_body(number: usize, (requests, constraint): &(Vec<RequestInput>, u8), portions: bool) -> Value {
    let requests: Vec<Value> =
        requests.iter().enumerate().map(|(i, r)| request_body(i, r, portions)).collect();
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

fn features(input: &Input) -> Features {
    let bit = |n: u8| input.features & (1 << n) != 0;
    Features {
        admin_access: true,
        consumable_capacity: bit(0) && bit(1),
        device_binding: bit(2),
        device_status: bit(3) || bit(4),
        device_taints: bit(5),
        partitionable_devices: bit(6),
        prioritized_list: true,
    }
}

fn slices(input: &Input) -> Vec<Value> {
    input.slices.iter().enumerate().map(|(i, (broken, devices))| slice_body(i, *broken, devices)).collect()
}

fn taken(input: &Input) -> Vec<DeviceId> {
    let taken = input.slices.iter().enumerate().flat_map(|(slice, (_, devices))| {
        devices.iter().enumerate().filter(|(_, device)| device.taken).map(move |(device, _)| DeviceId {
            driver: DRIVER.into(),
            pool: format!("pool-{slice}").into(),
            device: format!("gpu-{device}").into(),
        })
    });
    taken.collect()
}

fn build_with(input: &Input, slices: Vec<Value>) -> Allocator {
    let features = features(input);
    let portions = features.consumable_capacity;
    let claims = input.claims.iter().enumerate().map(|(i, claim)| claim_body(i, claim, portions));
    allocator(slices, claims.collect(), features, taken(input))
}

fn build(input: &Input) -> Allocator {
    build_with(input, slices(input))
}

fn node(labels: &BTreeMap<String, String>) -> Node<'_> {
    Node { name: "node-1", labels }
}

/// The device of a result.
fn found<'a>(input: &'a Input, result: &DeviceRequestAllocationResult) -> (usize, &'a DeviceInput) {
    let slice: usize = result.pool.trim_start_matches("pool-").parse().unwrap();
    let device: usize = result.device.trim_start_matches("gpu-").parse().unwrap();
    (slice, &input.slices[slice].1[device])
}

/// Why a result cannot be; `None` if it can.
fn flaw(input: &Input, results: &[AllocationResult]) -> Option<String> {
    let devices = || results.iter().flat_map(|result| &result.devices.results);
    // Nothing is given twice, except to administrators and in shares.
    let own: Vec<_> = devices()
        .filter(|device| device.admin_access.is_none() && device.share_id.is_none())
        .map(|device| (&device.pool, &device.device))
        .collect();
    if let Some(twice) = (1..own.len()).find(|i| own[..*i].contains(&own[*i])) {
        return Some(format!("{:?} is given twice", own[twice]));
    }
    if devices().any(|device| {
        device.admin_access.is_none() && found(input, device).1.taken && device.share_id.is_none()
    }) {
        return Some("a device of somebody else".into());
    }
    // Counters and capacity suffice.
    for (number, (_, devices_of)) in input.slices.iter().enumerate() {
        let units = |devices: &mut dyn Iterator<Item = &DeviceInput>| {
            devices.map(|d| u64::from(d.units)).sum::<u64>()
        };
        let given = units(
            &mut devices().map(|d| found(input, d)).filter(|(slice, _)| *slice == number).map(|(_, d)| d),
        );
        let before = units(&mut devices_of.iter().filter(|device| device.taken));
        if features(input).partitionable_devices && given > 0 && given + before > UNITS {
            return Some(format!("{given} and {before} units of pool {number}"));
        }
    }
    let mut lanes: BTreeMap<_, i64> = BTreeMap::new();
    for device in devices().filter(|device| device.share_id.is_some()) {
        let consumed = device.consumed_capacity.iter().flat_map(|consumed| consumed.values());
        *lanes.entry((&device.pool, &device.device)).or_default() += consumed.map(|q| q.value()).sum::<i64>();
    }
    if let Some((device, lanes)) = lanes.into_iter().find(|(_, lanes)| *lanes > LANES) {
        return Some(format!("{lanes} lanes of {device:?}"));
    }
    // All devices that a constraint concerns are of one group.
    for (result, (_, constraint)) in results.iter().zip(&input.claims) {
        let concerns = |request: &str| match constraint {
            0 => true,
            2 => request.starts_with("request-1") || request == "request-0/alternative-0",
            _ => false,
        };
        let concerned = result.devices.results.iter().filter(|device| concerns(&device.request));
        let mut groups: Vec<_> = concerned.map(|device| found(input, device).1.group).collect();
        groups.dedup();
        if groups.len() > 1 || groups.contains(&None) {
            return Some(format!("groups {groups:?}"));
        }
    }
    None
}

/// Gives all devices of results to claims, or takes them back.
fn book(allocated: &mut AllocatedState, results: &[AllocationResult], give: bool) {
    for result in results.iter().flat_map(|result| &result.devices.results) {
        let DeviceRequestAllocationResult { driver, pool, device, .. } = result;
        let id = DeviceId { driver: driver.clone(), pool: pool.clone(), device: device.clone() };
        match (&result.consumed_capacity, give) {
            _ if result.admin_access.is_some() => {}
            (Some(consumed), true) => allocated.insert_share(id, consumed),
            (Some(consumed), false) => allocated.remove_share(&id, consumed),
            (None, true) => allocated.insert(id),
            (None, false) => allocated.remove(&id),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn pruned_is_plain(input in input()) {
        let labels = BTreeMap::new();
        let pruned = build(&input);
        let plain = pruned.clone().plain();
        let (ours, oracle) = (pruned.allocate_counted(node(&labels)), plain.allocate_counted(node(&labels)));
        prop_assert_eq!(
            ours.as_ref().map(|a| &a.results), oracle.as_ref().map(|a| &a.results), "{:?}", input
        );
        // What slices know by now makes more of it known to fail.
        let again = pruned.allocate(node(&labels));
        prop_assert_eq!(again.as_ref(), oracle.as_ref().map(|a| &a.results), "again: {:?}", input);
        if let (Ok(ours), Ok(oracle)) = (ours, oracle) {
            prop_assert!(ours.steps <= oracle.steps);
            let flaw = ours.results.and_then(|results| flaw(&input, &results));
            prop_assert_eq!(flaw, None, "{:?}", input);
        }
    }

    #[test]
    fn fixed_or_not_pruned_is_plain(input in input(), fixes in any::<u8>()) {
        let bit = |n: u8| fixes & (1 << n) != 0;
        let fixes = Fixes {
            alternatives_match_alone: bit(0),
            alternative_kept: bit(1),
            refusals_leave_no_trace: bit(2),
            shares_return_counters: bit(3),
            distinct_by_value: bit(4),
            generations_before_nodes: bit(5),
            broken_pools_skipped: bit(6),
            class_config_names_requests: bit(7),
        };
        let labels = BTreeMap::new();
        let pruned = build(&input).fixed(fixes);
        let outcome = pruned.allocate(node(&labels));
        prop_assert_eq!(&outcome, &pruned.allocate(node(&labels)), "again: {:?} {:?}", input, fixes);
        prop_assert_eq!(&outcome, &pruned.plain().allocate(node(&labels)), "{:?} {:?}", input, fixes);
        let flaw = outcome.ok().flatten().and_then(|results| flaw(&input, &results));
        prop_assert_eq!(flaw, None, "{:?} {:?}", input, fixes);
    }

    /// Also that an allocator answers the same again, with all that its slices know by then.
    #[test]
    fn what_is_taken_back_was_never_there(input in input()) {
        let labels = BTreeMap::new();
        let allocator = build(&input);
        let outcome = allocator.allocate(node(&labels));
        prop_assert_eq!(&outcome, &allocator.allocate(node(&labels)));
        if let Ok(Some(results)) = outcome {
            let mut before = AllocatedState::default();
            taken(&input).into_iter().for_each(|id| before.insert(id));
            let mut after = before.clone();
            book(&mut after, &results, true);
            book(&mut after, &results, false);
            prop_assert_eq!(before, after);
        }
    }

    #[test]
    fn what_is_elsewhere_and_in_which_order_does_not_matter(input in input()) {
        let labels = BTreeMap::new();
        let mut shuffled = slices(&input);
        shuffled.reverse();
        let mut elsewhere = slice_body(7, false, &input.slices[0].1);
        elsewhere["spec"]["allNodes"] = json!(false);
        elsewhere["spec"]["nodeName"] = json!("node-2");
        shuffled.insert(1, elsewhere);
        let (ours, other) = (build(&input), build_with(&input, shuffled));
        // Pools with binding conditions come last, in an order of their own; which pools are there is the same.
        prop_assert_eq!(ours.allocate(node(&labels)), other.allocate(node(&labels)), "{:?}", input);
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
