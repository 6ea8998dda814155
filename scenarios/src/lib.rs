//! scenarios (skeleton).
