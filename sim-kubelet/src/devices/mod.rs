//! Devices on a node: which claims are ready there, and for which pods (`pkg/kubelet/cm/dra`).
//!
//! [`claims`] is the kubelet's cache of claims, [`slices`] what a driver's helper does to publish devices. Both are pure;
//! the fleet carries out what they say.

pub mod claims;
pub mod slices;
