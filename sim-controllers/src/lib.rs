//! sim-controllers (skeleton).
