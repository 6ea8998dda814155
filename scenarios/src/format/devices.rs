//! `devices` of a pool, and the steps of a timeline that break and mend them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::timing::DelaySpec;

/// Equal devices of each node of a pool.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DeviceSpec {
    /// What they are: `h100-80gb`, `h200-141gb`, `a100-80gb`, `a100-40gb`, `l4`, `t4`, `nic` or `imex`.
    pub model: String,
    /// How many each node has; for `imex`, channels.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 128))]
    pub count: u32,
    /// How a GPU is given away.
    #[serde(default)]
    pub sharing: SharingSpec,
    /// How long the driver takes to prepare a claim.
    pub prepare: Option<DelaySpec>,
    /// How long the driver takes to give the devices of a claim back.
    pub unprepare: Option<DelaySpec>,
    /// What a MIG partition or a client of MPS takes on top of that.
    pub set_up: Option<DelaySpec>,
    /// Part of the preparations that fail.
    #[schemars(range(min = 0, max = 1))]
    pub failures: Option<f64>,
}

fn one() -> u32 {
    1
}

/// How a GPU is given away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SharingSpec {
    /// Whole, to one claim.
    #[default]
    Exclusive,
    /// Whole or in MIG partitions; needs `featureGates: {DRAPartitionableDevices: true}`.
    Mig,
    /// To so many claims at a time, in turns; needs `featureGates: {DRAConsumableCapacity: true}`.
    TimeSlicing(#[schemars(range(min = 1, max = 100))] u32),
    /// To several claims at a time, each with a part of its threads and memory, one of so many by default; needs
    /// `featureGates: {DRAConsumableCapacity: true}`.
    Mps(#[schemars(range(min = 1, max = 100))] u32),
}

/// A device of a node breaks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailDeviceStep {
    /// The node.
    pub node: String,
    /// The device, e.g. `gpu-3`; with a GPU all of its partitions.
    pub device: String,
    /// What its driver makes of it.
    #[serde(default)]
    pub effect: DeviceEffect,
    /// Key of the taint; by default the driver's name with `/unhealthy`.
    #[serde(default)]
    pub key: String,
    /// Value of the taint.
    #[serde(default)]
    pub value: String,
}

/// What a driver makes of a broken device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum DeviceEffect {
    /// A taint: pods that use it are evicted.
    #[default]
    NoExecute,
    /// A taint: nobody gets it any more.
    NoSchedule,
    /// It is not published any more.
    Gone,
}

/// A device of a node works again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepairDeviceStep {
    /// The node.
    pub node: String,
    /// The device.
    pub device: String,
    /// It is another piece of hardware, with another uuid.
    #[serde(default)]
    pub replaced: bool,
}

/// A driver fails to prepare claims from now on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailPrepareStep {
    /// The node.
    pub node: String,
    /// The driver, e.g. `gpu.nvidia.com`.
    pub driver: String,
    /// How often; without it until another step, and 0 ends it.
    pub times: Option<u32>,
    /// What it says.
    #[serde(default = "default_error")]
    pub error: String,
}

fn default_error() -> String {
    "device is not responding".to_owned()
}
