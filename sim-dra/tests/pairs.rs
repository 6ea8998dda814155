//! Pairs of devices that must be near each other: the same as upstream gives, and quickly also where there are too few.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use sim_dra::allocator::{AllocatedState, Allocator, Classes, DeviceId};
use sim_dra::features::Features;
use sim_dra::inventory::{Inventory, Node, Slice};
use sim_dra::selector::Selectors;

const ROOT: &str = "resource.kubernetes.io/pcieRoot";

/// Devices of two sorts, and pairs that are wanted of them.
#[derive(Clone, Debug)]
struct Input {
    /// PCIe roots, by device; with `None` it has no such attribute.
    gpus: Vec<Option<usize>>,
    nics: Vec<Option<usize>>,
    /// GPUs that others have.
    taken: usize,
    /// By pair: the selector of its GPU, of its NIC.
    pairs: Vec<(usize, usize)>,
    /// Requests of a pair follow each other.
    interleaved: bool,
}

/// The last one fails for devices without the attribute.
const SELECTORS: [&str; 3] =
    ["true", "device.attributes['x.example.com'].?y.orValue(true)", "device.attributes['x.example.com'].y"];

/// Devices that are all on a root of their own.
fn roots(count: usize) -> Vec<Option<usize>> {
    (0..count).map(Some).collect()
}

fn slice(driver: &str, devices: &[Option<usize>]) -> Arc<Slice> {
    let device = |(i, root): (usize, &Option<usize>)| {
        let mut attributes = json!({});
        if let Some(root) = root {
            attributes[ROOT] = json!({"string": format!("pci0000:{root:02x}")});
        }
        if i % 4 != 3 {
            attributes["x.example.com/y"] = json!({"bool": i % 2 == 0});
        }
        json!({"name": format!("{driver}-{i}"), "attributes": attributes})
    };
    let devices: Vec<Value> = devices.iter().enumerate().map(device).collect();
    let body = json!({"metadata": {"name": driver}, "spec": {"driver": driver, "nodeName": "n", "devices": devices,
        "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1}}});
    Arc::new(Slice::new(Arc::new(serde_json::from_value(body).unwrap())))
}

fn claim(input: &Input) -> Value {
    let request = |sort: &str, i: usize, selector: usize| {
        json!({"name": format!("{sort}-{i}"), "exactly": {"deviceClassName": sort, "allocationMode": "ExactCount",
            "count": 1, "selectors": [{"cel": {"expression": SELECTORS[selector]}}]}})
    };
    let of = |sort: &'static str| {
        let selector = move |pair: &(usize, usize)| if sort == "gpu" { pair.0 } else { pair.1 };
        input.pairs.iter().enumerate().map(move |(i, pair)| request(sort, i, selector(pair)))
    };
    let requests: Vec<Value> = if input.interleaved {
        of("gpu").zip(of("nic")).flat_map(|(gpu, nic)| [gpu, nic]).collect()
    } else {
        of("gpu").chain(of("nic")).collect()
    };
    let together = |i| json!({"requests": [format!("gpu-{i}"), format!("nic-{i}")], "matchAttribute": ROOT});
    let constraints: Vec<Value> = (0..input.pairs.len()).map(together).collect();
    json!({"metadata": {"name": "c", "namespace": "d"},
        "spec": {"devices": {"requests": requests, "constraints": constraints}}})
}

fn allocator(input: &Input, features: Features) -> Allocator {
    let inventory = Arc::new(Inventory::new(vec![slice("gpu", &input.gpus), slice("nic", &input.nics)]));
    let class = |name: &str| {
        let expression = format!("device.driver == '{name}'");
        json!({"metadata": {"name": name}, "spec": {"selectors": [{"cel": {"expression": expression}}]}})
    };
    let classes: Classes = ["gpu", "nic"]
        .into_iter()
        .map(|name| (name.into(), Arc::new(serde_json::from_value(class(name)).unwrap())))
        .collect();
    let mut allocated = AllocatedState::default();
    for i in 0..input.taken {
        let device = format!("gpu-{i}").into();
        allocated.insert(DeviceId { driver: "gpu".into(), pool: "n".into(), device });
    }
    let claims = [Arc::new(serde_json::from_value(claim(input)).unwrap())];
    Allocator::new(features, Arc::new(allocated), inventory, &classes, &mut Selectors::stored(), &claims)
}

fn node() -> Node<'static> {
    Node { name: "n", labels: const { &BTreeMap::new() } }
}

/// Upstream would try millions of orders of the same devices.
#[test]
fn pairs_that_do_not_fit_are_found_out() {
    let gates = ["DRAPartitionableDevices", "DRADeviceTaints", "DRAResourceClaimDeviceStatus"];
    // Pairs wanted; devices of both sorts, GPUs that others have; whether there is a way, and steps to find out.
    let table = [
        (8, 8, 8, 0, true, 40),
        (8, 8, 8, 2, false, 100),
        (8, 8, 16, 2, false, 1_000),
        (8, 12, 8, 3, false, 5_000),
        (8, 16, 9, 8, false, 2_500),
    ];
    for features in [Features::default(), Features::from_gates(gates)] {
        for ((wanted, gpus, nics, taken, fits, limit), interleaved) in
            table.into_iter().flat_map(|row| [(row, false), (row, true)])
        {
            let pairs = vec![(0, 0); wanted];
            let input = Input { gpus: roots(gpus), nics: roots(nics), taken, pairs, interleaved };
            let found = allocator(&input, features).allocate_counted(node()).unwrap();
            assert_eq!(found.results.is_some(), fits, "{input:?}");
            assert!(found.steps <= limit, "{} steps for {input:?}", found.steps);
        }
    }
}

prop_compose! {
    fn inputs()(
        gpus in prop::collection::vec(prop::option::weighted(0.9, 0..5_usize), 4..7),
        nics in prop::collection::vec(prop::option::weighted(0.9, 0..5_usize), 4..7),
        taken in 0..2_usize,
        pairs in prop::collection::vec((0..12_usize, 0..12_usize), 3..5),
        interleaved in any::<bool>(),
    ) -> Input {
        // Mostly alike, so that there is something to skip.
        let rarely = |n: usize| [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2][n];
        let pairs = pairs.into_iter().map(|(gpu, nic)| (rarely(gpu), rarely(nic))).collect();
        Input { gpus, nics, taken, pairs, interleaved }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn pruned_is_plain(input in inputs()) {
        let made = || allocator(&input, Features::default());
        let (pruned, plain) = (made().allocate(node()), made().plain().allocate(node()));
        prop_assert_eq!(pruned, plain);
    }
}
