//! sim-scheduler (skeleton).
