//! Drivers of devices: what the part of a driver that runs on a node does, as a small trait, and ready-made models.
//!
//! A driver publishes devices, and makes them ready for a claim before the first container of its first pod on the node
//! starts, and takes them back after the last has ended (`k8s.io/kubelet/pkg/apis/dra/v1`: `NodePrepareResources`,
//! `NodeUnprepareResources`). It has no clock: it says how long things take, and whoever asks lets that time pass. It draws
//! from the stream that comes with each question, so that its answers depend on nothing but its questions.
//!
//! The models: [`Gpus`] (whole, time-sliced or shared by MPS, or in MIG partitions), [`Nics`], [`Imex`]; what they publish
//! is a table and a function each. [`Service`] says how long they take and how often they fail.
//!
//! ```
//! use sim_dra::driver::{Claim, Driver, GpuGroup, Gpus, H100_80GB, Service};
//! use sim_core::engine::random::Seed;
//!
//! let mut driver = Gpus::new(vec![GpuGroup::whole(&H100_80GB, 8)], Service::INSTANT);
//! let pools = driver.pools("node-1");
//! assert_eq!(pools[0].slices[0].devices[7]["name"], "gpu-7");
//!
//! let claim = Claim { name: "training".into(), namespace: "default".into(), ..Claim::default() };
//! let answer = driver.prepare(&claim, &mut Seed(1).stream("driver"));
//! assert!(answer.result.is_ok());
//! ```

mod gpu;
mod mig;
mod net;
mod service;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;
use sim_core::api::meta::Uid;
use sim_core::engine::random::Stream;
use sim_core::time::Span;
use smol_str::SmolStr;

pub use gpu::{
    A100_40GB, A100_80GB, GPU_DRIVER, GpuGroup, Gpus, H100_80GB, H200_141GB, L4, PRODUCTS, Product, Sharing,
    T4,
};
pub use mig::Profile;
pub use net::{IMEX_DRIVER, Imex, NIC_DRIVER, Nics};
pub use service::Service;

use crate::api::{DeviceAllocationConfiguration, DeviceRequestAllocationResult};

/// The part of a driver that runs on one node. Every node has its own.
pub trait Driver: fmt::Debug + Send + Sync {
    /// The driver's name, a DNS subdomain: `spec.driver` of its slices.
    fn name(&self) -> &str;

    /// What it publishes, all devices healthy. Asked when it starts and whenever it has [`Driver::replaced`] a device.
    fn pools(&self, node: &str) -> Vec<Pool>;

    /// Makes the devices of a claim ready. May be asked again for a claim that is ready, and must then say the same.
    fn prepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<Vec<Prepared>>;

    /// Takes the devices of a claim back; also of one that it has never heard of. `results` and `config` are empty: the
    /// kubelet names the claim alone.
    fn unprepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<()>;

    /// Whether a device goes down with a part of the hardware that somebody names: the device itself, or for a name of
    /// something bigger all that is part of it.
    fn is_part(&self, device: &str, of: &str) -> bool {
        device == of
    }

    /// The hardware of this name is new.
    fn replaced(&mut self, _hardware: &str) {}

    /// A copy, for snapshots and for the next node.
    fn clone_box(&self) -> Box<dyn Driver>;
}

impl Clone for Box<dyn Driver> {
    fn clone(&self) -> Self {
        self.clone_box()
    }
}

/// Devices of one pool, as they are spread over slices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    /// The name; drivers of node-local devices take the node's.
    pub name: SmolStr,
    /// Its slices, in order.
    pub slices: Vec<SliceContent>,
}

/// What is in a slice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SliceContent {
    /// `spec.devices`, as on the wire.
    pub devices: Vec<Value>,
    /// `spec.sharedCounters`, as on the wire.
    pub shared_counters: Vec<Value>,
}

/// A claim, as a driver sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Its namespace.
    pub namespace: SmolStr,
    /// Its name.
    pub name: SmolStr,
    /// Its uid.
    pub uid: Uid,
    /// The devices that it got from this driver, in the order of allocation.
    pub results: Vec<DeviceRequestAllocationResult>,
    /// Configuration for this driver, of classes first, then of the claim.
    pub config: Vec<DeviceAllocationConfiguration>,
}

/// What a driver says, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    /// How long it takes to say it.
    pub after: Span,
    /// What it says; an error is a text for people.
    pub result: Result<T, SmolStr>,
}

/// A device that is ready (`drapb.Device`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// The request it is for, without the alternative.
    pub request: SmolStr,
    /// Its pool.
    pub pool: SmolStr,
    /// Its name.
    pub device: SmolStr,
    /// What the container runtime finds it by.
    pub cdi_ids: Vec<SmolStr>,
}

impl Claim {
    /// The devices of the claim as ready ones, each with one CDI id, `KIND=UID-DEVICE` with the claim's uid, which is how
    /// the drivers modelled here name what belongs to a claim.
    pub fn ready(&self, kind: &str) -> Vec<Prepared> {
        let one = |result: &DeviceRequestAllocationResult| Prepared {
            request: result.request.split('/').next().unwrap_or_default().into(),
            pool: result.pool.clone(),
            device: result.device.clone(),
            cdi_ids: vec![format!("{kind}={}-{}", self.uid, result.device).into()],
        };
        self.results.iter().map(one).collect()
    }
}
