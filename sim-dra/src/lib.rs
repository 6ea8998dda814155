//! Devices: dynamic resource allocation of Kubernetes 1.34 (`resource.k8s.io/v1`).
//!
//! - [`api`]: the objects, as far as allocation reads and writes them, from their JSON bodies;
//! - [`selector`]: CEL conditions on devices, compiled once per expression.
//!
//! Invariants: pure functions of values, without clock and randomness; no panic on any input; orders, errors and their texts are
//! those of `k8s.io/dynamic-resource-allocation` v0.34.1.
//!
//! ```
//! use sim_dra::api::Device;
//! use sim_dra::selector::{Selectors, device_value};
//!
//! let device: Device = serde_json::from_str(
//!     r#"{"name": "gpu-0", "attributes": {"model": {"string": "H100"}}, "capacity": {"memory": {"value": "80Gi"}}}"#,
//! )?;
//! let device = device_value("gpu.example.com", &device)?;
//! let mut selectors = Selectors::stored();
//! let selector = selectors.get(
//!     &"device.capacity['gpu.example.com'].memory.compareTo(quantity('40Gi')) >= 0".into(),
//! );
//! assert_eq!(selector.matches(&device).unwrap().outcome, Ok(true));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod api;
pub mod selector;
