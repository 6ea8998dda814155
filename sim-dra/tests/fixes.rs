//! Known bugs of 1.34: each case with the bug, as recorded from the real allocator, and with its fix alone.

use std::sync::Arc;

use serde_json::{Value, json};
use sim_core::api::meta::Labels;
use sim_dra::allocator::{AllocatedState, Allocator, Classes, Fixes};
use sim_dra::features::Features;
use sim_dra::inventory::{Inventory, Node, Slice};
use sim_dra::selector::Selectors;

const EVERYTHING: Features = Features {
    admin_access: true,
    consumable_capacity: true,
    device_binding: true,
    device_status: true,
    device_taints: true,
    partitionable_devices: true,
    prioritized_list: true,
};

fn slice(pool: Value, devices: Value) -> Value {
    json!({"metadata": {"name": "slice"}, "spec": {"driver": "d", "allNodes": true, "pool": pool, "devices": devices,
        "sharedCounters": [{"name": "set", "counters": {"unit": {"value": "2"}}}]}})
}

fn pool(name: &str, generation: i64, count: i64) -> Value {
    json!({"name": name, "generation": generation, "resourceSliceCount": count})
}

fn exact(name: &str, count: i64, group: &str) -> Value {
    let selector =
        json!([{"cel": {"expression": format!("device.attributes['d'].?group.orValue('') == '{group}'")}}]);
    let (mode, count) = if count == 0 { ("All", json!(0)) } else { ("ExactCount", json!(count)) };
    json!({"name": name, "deviceClassName": "any", "allocationMode": mode, "count": count, "selectors": selector})
}

fn request(name: &str, count: i64, group: &str) -> Value {
    json!({"name": name, "exactly": exact("", count, group)})
}

fn device(name: &str, group: &str) -> Value {
    json!({"name": name, "attributes": {"group": {"string": group}}})
}

fn counted(name: &str, group: &str, more: Value) -> Value {
    let mut device = device(name, group);
    device["consumesCounters"] = json!([{"counterSet": "set", "counters": {"unit": {"value": "2"}}}]);
    for (field, value) in more.as_object().into_iter().flatten() {
        device[field] = value.clone();
    }
    device
}

/// The names of devices, or `none`, or the error; for a claim with configuration, its requests.
fn run(slices: &[Value], claims: &[Value], fixes: Fixes) -> String {
    let class = json!({"metadata": {"name": "any"}, "spec": {"config": [{"opaque": {"driver": "d", "parameters": {}}}]}});
    let classes: Classes = [("any".into(), Arc::new(serde_json::from_value(class).unwrap()))].into();
    let slices = slices
        .iter()
        .map(|slice| Arc::new(Slice::new(Arc::new(serde_json::from_value(slice.clone()).unwrap()))));
    let claim = |claim: &Value| Arc::new(serde_json::from_value(claim.clone()).unwrap());
    let claims: Vec<_> = claims.iter().map(claim).collect();
    let allocator = Allocator::new(
        EVERYTHING,
        Arc::new(AllocatedState::default()),
        Arc::new(Inventory::new(slices.collect())),
        &classes,
        &mut Selectors::stored(),
        &claims,
    );
    let node = Node { name: "node-1", labels: const { &Labels::new() } };
    let allocator = allocator.fixed(fixes);
    let outcome = allocator.allocate(node);
    assert_eq!(outcome, allocator.plain().allocate(node), "pruned and plain");
    match outcome {
        Err(error) => error.to_string(),
        Ok(None) => "none".into(),
        Ok(Some(results)) => {
            let devices = results.iter().flat_map(|result| &result.devices.results);
            let names: Vec<_> = devices.map(|d| format!("{}={}", d.request, d.device)).collect();
            let config = results.iter().flat_map(|result| &result.devices.config);
            let config: Vec<_> = config.map(|config| format!("{:?}", config.requests)).collect();
            format!("{} {}", names.join(" "), config.join(" "))
        }
    }
}

fn claim(requests: Value, constraints: Value) -> Value {
    json!({"metadata": {"name": "claim"}, "spec": {"devices": {"requests": requests, "constraints": constraints}}})
}

fn both(slices: &[Value], claims: &[Value], fix: impl Fn(&mut Fixes)) -> [String; 2] {
    let mut fixes = Fixes::default();
    fix(&mut fixes);
    [run(slices, claims, Fixes::default()), run(slices, claims, fixes)]
}

#[test]
fn alternatives_in_mode_all_are_matched_for_themselves() {
    let slices = [slice(pool("p", 1, 1), json!([device("a", "x"), device("b", "y")]))];
    // The only device of the first alternative is gone; the second takes over the matches of the first.
    let alternatives = json!([exact("first", 0, "x"), exact("second", 0, "y")]);
    let requests = json!([request("q", 1, "x"), {"name": "r", "firstAvailable": alternatives}]);
    let claims = [claim(requests, json!([]))];
    let [bug, fixed] = both(&slices, &claims, |fixes| fixes.alternatives_match_alone = true);
    assert_eq!((bug.as_str(), fixed.as_str()), ("none", "q=a r/second=b [] []"));
}

#[test]
fn an_alternative_in_mode_all_gets_all_its_devices() {
    let slices = [slice(pool("p", 1, 1), json!([device("a", "y"), device("b", "y"), device("c", "y")]))];
    let requests =
        json!([{"name": "r", "firstAvailable": [exact("first", 1, "z"), exact("second", 0, "y")]}]);
    let [bug, fixed] = both(&slices, &[claim(requests, json!([]))], |fixes| fixes.alternative_kept = true);
    assert_eq!(bug, "r/second=a []", "the first alternative wants one");
    assert_eq!(fixed, "r/second=a r/second=b r/second=c []");
}

#[test]
fn refused_devices_leave_their_counters() {
    let taint = json!({"taints": [{"key": "broken", "effect": "NoSchedule"}]});
    let slices = [slice(pool("p", 1, 1), json!([counted("a", "x", taint), counted("b", "x", json!({}))]))];
    let claims = [claim(json!([request("r", 1, "x")]), json!([]))];
    let [bug, fixed] = both(&slices, &claims, |fixes| fixes.refusals_leave_no_trace = true);
    assert_eq!(bug, "none", "the tainted device keeps both units");
    assert_eq!(fixed, "r=b []");
}

#[test]
fn shared_devices_return_their_counters() {
    // The first device for `one` is a dead end, because nothing is left in its group for `two`.
    let shared = json!({"allowMultipleAllocations": true});
    let devices = json!([
        counted("a", "x", shared),
        counted(
            "b",
            "x",
            json!({"attributes": {
        "group": {"string": "x"}, "rack": {"string": "2"}}})
        ),
        json!({"name": "c", "attributes": {
        "group": {"string": "y"}, "rack": {"string": "2"}}})
    ]);
    let mut devices = devices;
    devices[0]["attributes"]["rack"] = json!({"string": "1"});
    let slices = [slice(pool("p", 1, 1), devices)];
    let claims = [claim(
        json!([request("one", 1, "x"), request("two", 1, "y")]),
        json!([{"matchAttribute": "d/rack"}]),
    )];
    let [bug, fixed] = both(&slices, &claims, |fixes| fixes.shares_return_counters = true);
    assert_eq!(bug, "none", "the share that was taken back keeps both units");
    assert_eq!(fixed, "one=b two=c [] []");
}

#[test]
fn distinct_attributes_are_compared_by_value() {
    let slices = [slice(pool("p", 1, 1), json!([device("a", "x"), device("b", "x"), device("c", "y")]))];
    let any = |name| {
        let mut request = request(name, 1, "x");
        request["exactly"]["selectors"] = json!([]);
        request
    };
    let claims = [claim(json!([any("one"), any("two")]), json!([{"distinctAttribute": "d/group"}]))];
    let [bug, fixed] = both(&slices, &claims, |fixes| fixes.distinct_by_value = true);
    assert_eq!(bug, "one=a two=b [] []", "equal values in two places are distinct");
    assert_eq!(fixed, "one=a two=c [] []");
}

#[test]
fn generations_count_on_all_nodes() {
    let mut elsewhere = slice(pool("p", 2, 1), json!([device("b", "x")]));
    elsewhere["spec"]["allNodes"] = json!(false);
    elsewhere["spec"]["nodeName"] = json!("node-2");
    let slices = [slice(pool("p", 1, 1), json!([device("a", "x")])), elsewhere.clone()];
    let claims = [claim(json!([request("r", 1, "x")]), json!([]))];
    let [bug, fixed] = both(&slices, &claims, |fixes| fixes.generations_before_nodes = true);
    assert_eq!((bug.as_str(), fixed.as_str()), ("r=a []", "none"), "the slice is out of date");

    elsewhere["spec"]["pool"] = pool("p", 1, 2);
    let slices = [slice(pool("p", 1, 2), json!([device("a", "x")])), elsewhere];
    let claims = [claim(json!([request("r", 0, "x")]), json!([]))];
    let [bug, fixed] = both(&slices, &claims, |fixes| fixes.generations_before_nodes = true);
    assert_eq!(
        bug,
        "claim claim, request r: asks for all devices, but resource pool d/p is currently being updated"
    );
    assert_eq!(fixed, "r=a []", "its other slice is for another node");
}

#[test]
fn broken_pools_are_skipped() {
    let twice = slice(pool("invalid", 1, 1), json!([device("a", "x"), device("a", "x")]));
    let half = slice(pool("incomplete", 1, 2), json!([device("h", "x")]));
    let good = slice(pool("zone", 1, 1), json!([device("b", "x")]));
    let claims = [claim(json!([request("r", 1, "x")]), json!([]))];
    let skip = |fixes: &mut Fixes| fixes.broken_pools_skipped = true;
    let [bug, fixed] = both(&[twice, good.clone()], &claims, skip);
    assert_eq!(
        (bug.as_str(), fixed.as_str()),
        ("pool invalid is invalid: duplicate device name a", "r=b []")
    );
    let [bug, fixed] = both(&[half, good], &claims, skip);
    assert_eq!((bug.as_str(), fixed.as_str()), ("r=h []", "r=b []"));
}

#[test]
fn configuration_of_a_class_names_its_requests() {
    let slices = [slice(pool("p", 1, 1), json!([device("a", "x"), device("b", "y")]))];
    let requests =
        json!([request("one", 1, "x"), {"name": "two", "firstAvailable": [exact("alternative", 1, "y")]}]);
    let [bug, fixed] =
        both(&slices, &[claim(requests, json!([]))], |fixes| fixes.class_config_names_requests = true);
    assert_eq!(bug, "one=a two/alternative=b [] []");
    assert_eq!(fixed, r#"one=a two/alternative=b ["one", "two/alternative"]"#);
}

/// The one that is always fixed: the second device of a request made the scheduler look for a second device in a slice of one.
#[test]
fn a_slice_of_one_device_panics_nobody() {
    let slices = ["p", "q"].map(|name| slice(pool(name, 1, 1), json!([device(name, "x")])));
    let claims = [claim(json!([request("r", 2, "x")]), json!([]))];
    assert_eq!(run(&slices, &claims, Fixes::default()), "r=p r=q []");
}
