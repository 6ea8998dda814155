//! Pure predicates that several components share: pod requests, QoS, node affinity, taints, ports, resource fit.

pub mod ports;
pub mod qos;
pub mod resources;
pub mod taints;
