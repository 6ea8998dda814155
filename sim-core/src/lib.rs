//! sim-core (skeleton).
