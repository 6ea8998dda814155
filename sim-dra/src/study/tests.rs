use serde_json::{Value, json};
use sim_core::api::meta::Labels;
use sim_core::time::Span;

use super::*;
use crate::allocator::Classes;
use crate::features::Features;
use crate::selector::Selectors;

fn slice(name: &str, devices: Value, sets: Value) -> Arc<Slice> {
    let body = json!({"metadata": {"name": name}, "spec": {"driver": "d", "allNodes": true, "devices": devices,
        "pool": {"name": name, "generation": 1, "resourceSliceCount": 1}, "sharedCounters": sets}});
    Arc::new(Slice::new(Arc::new(serde_json::from_value(body).unwrap())))
}

/// One GPU with eight slices of memory: whole, in halves, or in pieces of three.
fn partitions() -> Arc<Slice> {
    let device = |(name, memory): (&str, u8)| json!({"name": name, "consumesCounters": [{"counterSet": "gpu-0", "counters": {"memory": {"value": memory.to_string()}}}]});
    let devices = [("whole", 8), ("half-0", 4), ("half-1", 4), ("three-0", 3), ("three-1", 3)].map(device);
    slice("mig", json!(devices), json!([{"name": "gpu-0", "counters": {"memory": {"value": "8"}}}]))
}

/// Two GPUs of group x and two of group y.
fn four() -> Arc<Slice> {
    let device = |(name, group)| json!({"name": name, "attributes": {"group": {"string": group}}});
    slice("plain", json!([("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")].map(device)), json!([]))
}

fn taken(pool: &str, devices: &[&str]) -> Arc<AllocatedState> {
    let mut allocated = AllocatedState::default();
    for device in devices {
        allocated.insert(DeviceId { driver: "d".into(), pool: pool.into(), device: (*device).into() });
    }
    Arc::new(allocated)
}

fn kind(share: f64, slices: &[Arc<Slice>], count: i64, group: &str) -> Kind {
    let expression = format!("device.attributes['d'].group == '{group}'");
    let claim = json!({"metadata": {"name": "claim"}, "spec": {"devices": {"requests": [{"name": "r", "exactly":
        {"deviceClassName": "any", "allocationMode": "ExactCount", "count": count,
         "selectors": [{"cel": {"expression": expression}}]}}]}}});
    let class = json!({"metadata": {"name": "any"}});
    let classes: Classes = [("any".into(), Arc::new(serde_json::from_value(class).unwrap()))].into();
    let mut selectors = Selectors::stored();
    let allocator = Allocator::new(
        Features::default(),
        Arc::new(AllocatedState::default()),
        Arc::new(Inventory::new(slices.to_vec())),
        &classes,
        &mut selectors,
        &[Arc::new(serde_json::from_value(claim).unwrap())],
    );
    Kind { share, allocator, requests: vec![vec![selectors.get(&expression.into())]] }
}

const NODE: Node<'_> = Node { name: "node-1", labels: &Labels::new() };

#[test]
fn partitions_count_in_parts() {
    let (mig, plain) = (partitions(), four());
    for (slices, allocated, used, total) in [
        (vec![plain.clone()], taken("plain", &["a", "c"]), 2.0, 4.0),
        (vec![mig.clone()], taken("mig", &["three-0"]), 0.375, 1.0),
        (vec![mig.clone(), plain], taken("mig", &["whole"]), 1.0, 5.0),
        (Vec::new(), taken("mig", &[]), 0.0, 0.0),
    ] {
        let usage = usage(&slices, &allocated, "memory");
        assert_eq!(usage, Use { used, total });
        assert_eq!(usage.ratio(), if total > 0.0 { used / total } else { 0.0 });
    }
    assert_eq!(usage(&[mig], &taken("mig", &[]), "compute").total, 0.0, "no such counter");
}

/// Kinds: half want one of x, three tenths three of x, which nobody has, two tenths two of y.
#[test]
fn what_the_next_claim_cannot_use_is_fragment() {
    let slices = [four()];
    let kinds = [kind(0.5, &slices, 1, "x"), kind(0.3, &slices, 3, "x"), kind(0.2, &slices, 2, "y")];
    for (devices, expected) in [
        // 2 of y; all 4; 2 of x.
        (&[][..], 0.5 * 2.0 + 0.3 * 4.0 + 0.2 * 2.0),
        // One x is left: 2 of y; all 3; the one x.
        (&["a"], 0.5 * 2.0 + 0.3 * 3.0 + 0.2 * 1.0),
        // One y is left: that one; all 3; all 3.
        (&["c"], 0.5 * 1.0 + 0.3 * 3.0 + 0.2 * 3.0),
        (&["a", "b", "c", "d"], 0.0),
    ] {
        let got = fragmentation(&slices, NODE, &taken("plain", devices), &kinds, "memory");
        assert!((got - expected).abs() < 1e-9, "{devices:?}: {got}, not {expected}");
    }
}

#[test]
fn the_largest_claim_takes_what_is_left() {
    let slices = [four()];
    for (devices, expected) in [(&[][..], 2), (&["a"], 1), (&["a", "b"], 0), (&["c", "d"], 2)] {
        let make = |count| {
            kind(1.0, &slices, count, "x").allocator.among(taken("plain", devices), inventory(&slices))
        };
        assert_eq!(largest_that_fits(make, &[NODE]), expected, "{devices:?}");
    }
}

fn inventory(slices: &[Arc<Slice>]) -> Arc<Inventory> {
    Arc::new(Inventory::new(slices.to_vec()))
}

#[test]
fn what_no_partition_can_take_is_stranded() {
    let mig = partitions();
    for (devices, expected) in [
        (&[][..], None),
        // Five of eight are left: a half fits.
        (&["three-0"], None),
        // Two are left, and nothing is so small.
        (&["three-0", "three-1"], Some((0.25, 3))),
        (&["half-0", "three-0"], Some((0.125, 3))),
        (&["whole"], None),
    ] {
        let got = stranded(&mig, &taken("mig", devices), "memory");
        let got = got.first().map(|stranded| (stranded.part, stranded.partitions));
        assert_eq!(got, expected, "{devices:?}");
    }
}

#[test]
fn partitions_stay_until_their_room_is_needed() {
    let mut layout = Layout::new(partitions());
    // What happens, and what there was of partitions made, destroyed, and reconfigurations.
    for (step, device, expected) in [
        ("+", "three-0", (1, 0, 0)),
        ("-", "three-0", (1, 0, 0)),
        ("+", "half-0", (2, 0, 0)),
        ("-", "half-0", (2, 0, 0)),
        ("+", "three-0", (2, 0, 0)),
        // 3 + 4 + 4 is more than 8.
        ("+", "half-1", (3, 1, 1)),
        ("-", "half-1", (3, 1, 1)),
        ("-", "three-0", (3, 1, 1)),
        ("+", "whole", (4, 3, 2)),
        ("+", "whole", (4, 3, 2)),
        ("+", "unknown", (4, 3, 2)),
    ] {
        if step == "+" {
            layout.allocate(device)
        } else {
            layout.release(device)
        }
        let Changes { created, destroyed } = layout.changes();
        assert_eq!((created, destroyed, layout.reconfigurations()), expected, "{step}{device}");
    }
}

#[test]
fn percentiles_are_waits_that_there_were() {
    let waits = Waits::new([3, 1, 10, 2].map(Span).into());
    for (hundredths, expected) in [(0, 1), (25, 1), (26, 2), (50, 2), (75, 3), (76, 10), (100, 10)] {
        assert_eq!(waits.percentile(hundredths), Some(Span(expected)), "{hundredths}");
    }
    assert_eq!(Waits::default().percentile(50), None);
}
