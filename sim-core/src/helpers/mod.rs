//! Pure predicates that several components share: pod requests, QoS, node affinity, taints, ports, resource fit.
