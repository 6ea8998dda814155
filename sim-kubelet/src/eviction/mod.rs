//! The eviction manager: pods leave before a node runs out of memory, storage or process numbers
//! (pkg/kubelet/eviction).
//!
//! [`threshold`] reads the configuration, [`observe`] what is measured; [`decide`] tells which thresholds are met and
//! which conditions follow, [`rank`] who leaves first, [`message`] what they are told. [`manager`] puts one round together.

pub mod decide;
mod local_storage;
pub mod manager;
pub mod message;
pub mod observe;
pub mod rank;
pub mod threshold;
