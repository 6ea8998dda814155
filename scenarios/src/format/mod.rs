//! Scenario files: `apiVersion: wavetank.dev/v1alpha1`, `kind: Scenario`.
//!
//! The types here are the format; its JSON Schema is made from them and committed as
//! `scenarios/schema/scenario.schema.json`.

mod behavior;
mod cluster;
mod compact;
mod devices;
mod duration;
pub(crate) mod nearest;
mod scenario;
mod target;
mod text;
mod timeline;
mod timing;

pub use behavior::{
    Answer, BehaviorSpec, DemandOverTime, DemandSpec, ImageSpec, MatchSpec, Point, RunSpec, RunTime, Wave,
    behaviors,
};
pub use cluster::{ClusterSpec, LongTaint, NodePool, NodeSize, TaintSpec};
pub use devices::{DeviceEffect, DeviceSpec, FailDeviceStep, FailPrepareStep, RepairDeviceStep, SharingSpec};
pub use duration::Duration;
pub use scenario::{ApiVersion, Scenario, ScenarioKind, TraceSpec, schema};
pub use target::Target;
pub(crate) use target::kind_named;
pub use text::Text;
pub use timeline::{
    Action, Cascade, DeleteStep, LongDelete, Manifest, PatchStep, PatchType, ScaleStep, Step,
};
pub use timing::{DelaySpec, Distribution, LogNormal, Preset, TimingOverrides, TimingSpec};
