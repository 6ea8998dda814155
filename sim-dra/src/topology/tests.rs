use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::collective::{Algorithm, Error, all_reduce};
use super::*;
use crate::allocator::{AllocatedState, Allocator, Classes};
use crate::api::{DeviceClass, ResourceClaim, ResourceSlice, ResourceSliceSpec};
use crate::features::Features;
use crate::inventory::{Inventory, Node, Slice};
use crate::selector::Selectors;

fn id(node: &str, kind: &str, number: usize) -> DeviceId {
    DeviceId { driver: "d".into(), pool: node.into(), device: format!("{kind}-{number}").into() }
}

/// The n-th GPU or NIC of a node with eight of each: four per NUMA node, each pair on a root of its own.
fn place(node: &str, number: usize, nvlink: bool) -> Place {
    Place {
        rack: Some("r1".into()),
        node: node.into(),
        numa_node: Some(number as i64 / 4),
        pcie_root: Some(format!("pci0000:{number:02x}").into()),
        nvlink_domain: nvlink.then(|| node.into()),
    }
}

fn machine(nodes: &[&str], nvlink: bool, nics: bool) -> Topology {
    let mut topology = Topology::default();
    for node in nodes {
        for number in 0..8 {
            let place = place(node, number, nvlink);
            topology.add(id(node, "gpu", number), Role::Accelerator, &place, &Speeds::HGX_H100);
            if nics {
                topology.add(id(node, "nic", number), Role::Nic, &place, &Speeds::HGX_H100);
            }
        }
    }
    topology
}

fn gpus(node: &str, numbers: impl IntoIterator<Item = usize>) -> Vec<DeviceId> {
    numbers.into_iter().map(|number| id(node, "gpu", number)).collect()
}

#[test]
fn an_all_reduce_takes_as_long_as_its_slowest_link() {
    use Algorithm::{Ring, Tree};
    let nvlink = machine(&["a", "b"], true, true);
    let pcie = machine(&["a"], false, false);
    let both = [gpus("a", 0..8), gpus("b", 0..8)].concat();
    // Two GPUs per root: one link from each root up carries what both send.
    let mut paired = Topology::default();
    for number in 0..4 {
        let place = place("a", number / 2, false);
        paired.add(id("a", "gpu", number), Role::Accelerator, &place, &Speeds::HGX_H100);
    }
    // What is sent over the slowest link, in parts of the data, times its size by its speed.
    for (what, topology, ranks, algorithm, gigabytes, seconds, bus) in [
        ("2 × 7/8 over NVLink", &nvlink, gpus("a", 0..8), Ring, 450, 1.75, 450.0),
        ("2 × 1/2 over NVLink", &nvlink, gpus("a", 0..2), Ring, 450, 1.0, 450.0),
        ("rank 2 has two children and two parents", &nvlink, gpus("a", 0..4), Tree, 450, 2.0, 337.5),
        ("both ranks are root and leaf", &nvlink, gpus("a", 0..2), Tree, 450, 1.0, 450.0),
        ("2 × 15/16 over one NIC per node and direction", &nvlink, both, Ring, 50, 1.875, 50.0),
        ("2 × 1/2 over PCIe and between sockets", &pcie, gpus("a", [0, 7]), Ring, 63, 1.0, 63.0),
        ("2 × 3/4 over each root, neighbours in order", &paired, gpus("a", 0..4), Ring, 63, 1.5, 63.0),
        (
            "2 × 2 × 3/4 over each root, neighbours apart",
            &paired,
            gpus("a", [0, 2, 1, 3]),
            Ring,
            63,
            3.0,
            31.5,
        ),
    ] {
        let got = all_reduce(topology, &ranks, algorithm, gigabytes * 1_000_000_000, 0.0).unwrap();
        assert!((got.seconds - seconds).abs() < 1e-9, "{what}: {got:?}");
        assert!((got.bus_bandwidth / 1e9 - bus).abs() < 1e-6, "{what}: {got:?}");
        let algorithm_bandwidth = gigabytes as f64 * 1e9 / seconds;
        assert!((got.algorithm_bandwidth - algorithm_bandwidth).abs() < 1.0, "{what}: {got:?}");
    }
}

#[test]
fn steps_take_their_latency() {
    let topology = machine(&["a"], true, false);
    for (ranks, algorithm, steps) in [
        (8, Algorithm::Ring, 14.0),
        (8, Algorithm::Tree, 6.0),
        (5, Algorithm::Tree, 6.0),
        (2, Algorithm::Tree, 2.0),
        (1, Algorithm::Ring, 0.0),
        (1, Algorithm::Tree, 0.0),
        (0, Algorithm::Ring, 0.0),
    ] {
        let got = all_reduce(&topology, &gpus("a", 0..ranks), algorithm, 0, 1.0).unwrap();
        assert_eq!(got.seconds, steps, "{ranks} {algorithm:?}");
        assert_eq!(got.bottleneck, None);
    }
}

#[test]
fn ways_are_as_wide_as_can_be() {
    let with_nics = machine(&["a", "b"], true, true);
    let names = |path: &Path| path.vertices.iter().map(ToString::to_string).collect::<Vec<_>>().join(" - ");
    for (to, way, bandwidth) in [
        (id("a", "gpu", 5), "device d/a/gpu-0 - NVLink domain a - device d/a/gpu-5", 450 * GB),
        (id("a", "nic", 0), "device d/a/gpu-0 - PCIe root pci0000:00 of a - device d/a/nic-0", 63 * GB),
        (
            id("b", "gpu", 1),
            "device d/a/gpu-0 - PCIe root pci0000:00 of a - device d/a/nic-0 - rack r1 - device d/b/nic-1 - \
             PCIe root pci0000:01 of b - device d/b/gpu-1",
            50 * GB,
        ),
    ] {
        let path = with_nics.path(&id("a", "gpu", 0), &to).unwrap();
        assert_eq!((names(&path).as_str(), path.bandwidth), (way, bandwidth));
    }
    let without = machine(&["a", "b"], true, false);
    let ranks = [id("a", "gpu", 0), id("b", "gpu", 0)];
    let error = all_reduce(&without, &ranks, Algorithm::Ring, 1, 0.0).unwrap_err();
    assert_eq!(error, Error::NoPath(Box::new(ranks.clone())));
    let text = "no way from device d/a/gpu-0 to device d/b/gpu-0: neither NVLink nor a NIC connects them, or one of them is not known";
    assert_eq!(error.to_string(), text);
    assert!(without.path(&ranks[0], &id("c", "gpu", 0)).is_none(), "unknown");
}

#[test]
fn places_are_attributes() {
    let place = place("a", 5, true);
    let device = Device { attributes: place.attributes(), ..Device::default() };
    assert_eq!(Place::of("a", &device), place);
    let attributes = json!({"numaNode": {"int": 1}, PCIE_ROOT: {"string": "pci0000:15"}});
    let nic: Device = serde_json::from_value(json!({"name": "nic", "attributes": attributes})).unwrap();
    let expected = Place {
        node: "a".into(),
        numa_node: Some(1),
        pcie_root: Some("pci0000:15".into()),
        ..Place::default()
    };
    assert_eq!(Place::of("a", &nic), expected);
}

/// Eight GPUs of one NVLink domain, the first with a NIC on its root: asked for by the constraints of the module's example.
#[test]
fn claims_ask_for_places() {
    let slice = |driver: &str, devices: Vec<Device>| {
        let spec = ResourceSliceSpec {
            driver: driver.into(),
            pool: crate::api::ResourcePool { name: "a".into(), generation: 1, resource_slice_count: 1 },
            all_nodes: Some(true),
            devices,
            ..ResourceSliceSpec::default()
        };
        Arc::new(Slice::new(Arc::new(ResourceSlice { spec, ..ResourceSlice::default() })))
    };
    let device = |kind: &str, number: usize, domain: usize| Device {
        name: format!("{kind}-{number}").into(),
        attributes: Place { nvlink_domain: Some(format!("{domain}").into()), ..place("a", number, true) }
            .attributes(),
        ..Device::default()
    };
    // The first domain has only seven left; in the second, the NIC of the first GPU is taken.
    let gpus = slice("gpu.nvidia.com", (1..16).map(|number| device("gpu", number, number / 8)).collect());
    let nics = slice("dra.net", (9..16).map(|number| device("nic", number, 0)).collect());
    let classes: Classes = ["gpu.nvidia.com", "dra.net"]
        .map(|driver| {
            let class = json!({"metadata": {"name": driver},
                "spec": {"selectors": [{"cel": {"expression": format!("device.driver == '{driver}'")}}]}});
            (driver.into(), Arc::new(serde_json::from_value::<DeviceClass>(class).unwrap()))
        })
        .into();
    let request = |name: &str, class: &str, count: i64| json!({"name": name, "exactly": {"deviceClassName": class, "allocationMode": "ExactCount", "count": count}});
    let claim = json!({"metadata": {"name": "claim"}, "spec": {"devices": {
        "requests": [request("gpu", "gpu.nvidia.com", 1), request("more", "gpu.nvidia.com", 7), request("nic", "dra.net", 1)],
        "constraints": [
            {"requests": ["gpu", "more"], "matchAttribute": NVLINK_DOMAIN},
            {"requests": ["gpu", "nic"], "matchAttribute": PCIE_ROOT}]}}});
    let claim: ResourceClaim = serde_json::from_value(claim).unwrap();
    let inventory = Arc::new(Inventory::new(vec![gpus, nics]));
    let allocator = Allocator::new(
        Features::default(),
        Arc::new(AllocatedState::default()),
        inventory,
        &classes,
        &mut Selectors::stored(),
        &[Arc::new(claim)],
    );
    let labels = BTreeMap::new();
    let results = allocator
        .allocate(Node { name: "a", labels: &labels })
        .unwrap()
        .expect("the second domain has eight");
    let names: Vec<&str> = results[0].devices.results.iter().map(|result| result.device.as_str()).collect();
    assert_eq!(
        names,
        ["gpu-9", "gpu-8", "gpu-10", "gpu-11", "gpu-12", "gpu-13", "gpu-14", "gpu-15", "nic-9"]
    );
}
