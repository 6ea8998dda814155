//! Devices: dynamic resource allocation of Kubernetes 1.34 (`resource.k8s.io/v1`).
//!
//! - [`api`]: the objects, as far as allocation reads and writes them, from their JSON bodies;
//! - [`inventory`]: all slices of a cluster, prepared once, and what selectors said of their devices;
//! - [`selector`]: CEL conditions on devices, compiled once per expression;
//! - [`allocator`]: devices for the claims of a pod on a node; the first solution in upstream's order of search;
//! - [`driver`]: what the part of a driver on a node does, and models of some;
//! - [`features`]: the gates that change what comes out;
//! - [`taints`]: taints of devices by rule;
//! - [`pod`]: how pods and claims refer to each other;
//! - [`topology`]: where devices are and what connects them, as attributes and as a graph;
//! - [`study`]: measures of how well devices are used.
//!
//! Invariants: pure functions of values, without clock and randomness; no panic on any input; orders, errors and their texts are
//! those of `k8s.io/dynamic-resource-allocation` v0.34.1. Pools are looked at by driver and name, which is one of the orders that
//! 1.34 can take and the one that 1.36 always takes.
//!
//! A scheduler makes one [`Allocator`](allocator::Allocator) per pod (`PreFilter`) and asks it once per node (`Filter`);
//! [`Inventory`](inventory::Inventory), [`AllocatedState`](allocator::AllocatedState) and [`Selectors`](selector::Selectors) live as
//! long as the informers behind them, and a [`Slice`](inventory::Slice) as long as its object does not change.
//!
//! ```
//! use std::sync::Arc;
//!
//! use serde_json::{from_value, json};
//! use sim_dra::allocator::{AllocatedState, Allocator, Classes, DeviceId};
//! use sim_dra::features::Features;
//! use sim_dra::inventory::{Inventory, Node, Slice};
//! use sim_dra::selector::Selectors;
//!
//! let slice = json!({"spec": {"driver": "gpu.example.com", "nodeName": "node-1",
//!     "pool": {"name": "node-1", "generation": 1, "resourceSliceCount": 1},
//!     "devices": [{"name": "gpu-0", "attributes": {"model": {"string": "A100"}}},
//!                 {"name": "gpu-1", "attributes": {"model": {"string": "H100"}}},
//!                 {"name": "gpu-2", "attributes": {"model": {"string": "H100"}}}]}});
//! let class = json!({"metadata": {"name": "gpu"},
//!     "spec": {"selectors": [{"cel": {"expression": "device.driver == 'gpu.example.com'"}}]}});
//! let claim = json!({"metadata": {"name": "claim", "namespace": "default"}, "spec": {"devices": {"requests": [
//!     {"name": "gpu", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1,
//!         "selectors": [{"cel": {"expression": "device.attributes['gpu.example.com'].model == 'H100'"}}]}}]}}});
//!
//! // What lives long.
//! let inventory = Arc::new(Inventory::new(vec![Arc::new(Slice::new(Arc::new(from_value(slice)?)))]));
//! let classes: Classes = [("gpu".into(), Arc::new(from_value(class)?))].into();
//! let mut selectors = Selectors::stored();
//! let mut allocated = AllocatedState::default();
//! allocated.insert(DeviceId { driver: "gpu.example.com".into(), pool: "node-1".into(), device: "gpu-1".into() });
//!
//! // Once per pod, then once per node.
//! let claims = [Arc::new(from_value(claim)?)];
//! let allocator =
//!     Allocator::new(Features::default(), Arc::new(allocated), inventory, &classes, &mut selectors, &claims);
//! let node = |name| Node { name, labels: const { &std::collections::BTreeMap::new() } };
//! let results = allocator.allocate(node("node-1"))?.expect("one H100 is free");
//! assert_eq!(results[0].devices.results[0].device, "gpu-2");
//! assert!(allocator.allocate(node("node-2"))?.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod allocator;
pub mod api;
pub mod driver;
pub mod features;
pub mod inventory;
pub mod pod;
pub mod selector;
pub mod study;
pub mod taints;
pub mod topology;
