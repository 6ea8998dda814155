//! sim-kubelet (skeleton).
