//! policies (skeleton).
