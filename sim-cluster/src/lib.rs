//! sim-cluster (skeleton).
