//! Devices for claims: the recorded inputs of the real allocator's timings (`dra/bench.json` of the vectors), and selectors alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use sim_core::api::meta::Labels;
use sim_dra::allocator::{AllocatedState, Allocation, Allocator, Classes, DeviceId};
use sim_dra::api::{Device, DeviceClass, Metadata, ResourceClaim, ResourceSlice};
use sim_dra::features::Features;
use sim_dra::inventory::{Inventory, Node, Slice};
use sim_dra::selector::{Selector, Selectors, device_value};

/// One recorded input.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// Its name.
    pub name: String,
    features: Vec<String>,
    node: NodeObject,
    device_classes: Vec<Arc<DeviceClass>>,
    slices: Vec<Arc<ResourceSlice>>,
    claims_to_allocate: Vec<Arc<ResourceClaim>>,
    allocated_devices: Vec<Taken>,
}

#[derive(Clone, Debug, Deserialize)]
struct NodeObject {
    metadata: Metadata,
}

#[derive(Clone, Debug, Deserialize)]
struct Taken {
    driver: String,
    pool: String,
    device: String,
}

/// What lives longer than a pod: slices and classes prepared, expressions compiled.
#[derive(Debug)]
pub struct Prepared {
    inventory: Arc<Inventory>,
    allocated: Arc<AllocatedState>,
    classes: Classes,
    selectors: Selectors,
}

impl Case {
    /// Prepares everything from nothing.
    pub fn prepare(&self) -> Prepared {
        self.prepare_with(Selectors::stored())
    }

    /// Prepares slices, with expressions that may be compiled already.
    pub fn prepare_with(&self, selectors: Selectors) -> Prepared {
        let slices = self.slices.iter().map(|slice| Arc::new(Slice::new(slice.clone()))).collect();
        let mut allocated = AllocatedState::default();
        for Taken { driver, pool, device } in &self.allocated_devices {
            let id = DeviceId { driver: driver.into(), pool: pool.into(), device: device.into() };
            allocated.insert(id);
        }
        let classes = self.device_classes.iter().map(|class| (class.metadata.name.clone(), class.clone()));
        Prepared {
            inventory: Arc::new(Inventory::new(slices)),
            allocated: Arc::new(allocated),
            classes: classes.collect(),
            selectors,
        }
    }

    /// What a scheduler does for a pod and one node: makes the allocator and asks it once.
    pub fn allocate(&self, prepared: &mut Prepared) -> Allocation {
        let Prepared { inventory, allocated, classes, selectors } = prepared;
        let features = Features::from_gates(self.features.iter().map(String::as_str));
        let (allocated, inventory) = (allocated.clone(), inventory.clone());
        let allocator =
            Allocator::new(features, allocated, inventory, classes, selectors, &self.claims_to_allocate);
        let node = Node { name: &self.node.metadata.name, labels: const { &Labels::new() } };
        allocator.allocate_counted(node).expect("no recorded input ends in an error")
    }
}

impl Prepared {
    /// The compiled expressions, for slices prepared anew.
    pub fn into_selectors(self) -> Selectors {
        self.selectors
    }
}

/// The recorded inputs; none where the folder of vectors is not there (`WAVETANK_VECTORS`, or `../shared/vectors` beside the
/// repository).
pub fn cases() -> Vec<Case> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let folder = std::env::var_os("WAVETANK_VECTORS").map_or(default, PathBuf::from);
    match std::fs::read(folder.join("dra/bench.json")) {
        Ok(text) => serde_json::from_slice(&text).expect("recorded inputs can be read"),
        Err(_) => Vec::new(),
    }
}

/// Selectors by what they do, and whether they are plain: comparisons of what a device has, no more.
pub const SELECTORS: &[(&str, &str)] = &[
    ("driver", "device.driver == 'gpu.example.com'"),
    ("attribute", "device.attributes['gpu.example.com'].model == 'H100'"),
    ("in-list", "device.attributes['gpu.example.com'].model in ['A100', 'H100']"),
    (
        "guarded",
        "has(device.attributes['gpu.example.com'].model) && device.attributes['gpu.example.com'].model == 'H100'",
    ),
    ("optional", "device.attributes[?'gpu.example.com'].?index.orValue(0) < 4"),
    ("capacity", "device.capacity['gpu.example.com'].memory.compareTo(quantity('40Gi')) >= 0"),
    ("version", "device.attributes['gpu.example.com'].driverVersion.isGreaterThan(semver('535.0.0'))"),
    ("regex", "device.attributes['gpu.example.com'].model.matches('^H[0-9]+$')"),
    ("exists", "['A100', 'H100', 'B200'].exists(m, device.attributes['gpu.example.com'].model == m)"),
];

/// A compiled selector and a device that it selects.
pub fn selector(expression: &str) -> (Arc<Selector>, sim_cel::Value) {
    let device: Device = serde_json::from_value(json!({
        "name": "gpu-0",
        "attributes": {"model": {"string": "H100"}, "index": {"int": 3}, "uuid": {"string": "GPU-12345678"},
            "driverVersion": {"version": "550.54.15"}, "resource.kubernetes.io/pcieRoot": {"string": "pci0000:00"}},
        "capacity": {"memory": {"value": "80Gi"}},
    }))
    .expect("a device");
    let value = device_value("gpu.example.com", &device).expect("attributes of known types");
    (Selectors::stored().get(&expression.into()), value)
}
