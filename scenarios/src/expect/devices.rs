//! Counting devices: `devices where type=gpu on node-1 allocated == 8`.

use std::collections::BTreeSet;

use serde_json::Value;
use sim_core::api::kind::Kind;
use sim_core::api::object::Object;

use super::World;

/// Some devices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Devices {
    /// `driver`, `pool`, `name` or attributes that are (true) or are not (false) so.
    pub labels: Vec<(String, bool, String)>,
    /// Only those of this node.
    pub node: Option<String>,
    /// In (true) or not in (false) this state.
    pub state: Option<(bool, DeviceState)>,
}

/// A state of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// A claim has it, or a share of it.
    Allocated,
    /// It has a taint.
    Tainted,
}

impl DeviceState {
    /// The state of a word.
    pub(super) fn parse(word: &str) -> Result<DeviceState, String> {
        match word {
            "allocated" => Ok(DeviceState::Allocated),
            "tainted" => Ok(DeviceState::Tainted),
            other => Err(format!("`{other}` is no state of a device: it can be allocated, tainted")),
        }
    }
}

type Id = [String; 3];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The devices that claims have.
fn allocated(world: &dyn World) -> BTreeSet<Id> {
    let mut out = BTreeSet::new();
    world.each(Kind::RESOURCE_CLAIM, &mut |claim| {
        let results =
            claim.as_json().and_then(|c| c.pointer("/status/allocation/devices/results")?.as_array());
        let used = results.into_iter().flatten().filter(|r| r["adminAccess"] != true);
        out.extend(used.map(|r| [text(&r["driver"]), text(&r["pool"]), text(&r["device"])]));
    });
    out
}

/// What a device says of something: `driver`, `pool`, `name` or an attribute.
fn says(spec: &Value, device: &Value, key: &str) -> Option<String> {
    match key {
        "driver" => Some(text(&spec["driver"])),
        "pool" => Some(text(&spec["pool"]["name"])),
        "name" => Some(text(&device["name"])),
        _ => {
            let value = device["attributes"][key].as_object()?.values().next()?;
            Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        }
    }
}

impl Devices {
    /// How many there are.
    pub(super) fn count(&self, world: &dyn World) -> u64 {
        let allocated = if self.state.is_some_and(|s| s.1 == DeviceState::Allocated) {
            allocated(world)
        } else {
            BTreeSet::new()
        };
        let mut found = 0;
        world.each(Kind::RESOURCE_SLICE, &mut |slice| found += self.count_in(slice, &allocated));
        found
    }

    fn count_in(&self, slice: &Object, allocated: &BTreeSet<Id>) -> u64 {
        let Some(spec) = slice.as_json().map(|body| &body["spec"]) else { return 0 };
        if self.node.as_ref().is_some_and(|node| spec["nodeName"] != node.as_str()) {
            return 0;
        }
        let fits = |device: &&Value| {
            let labels =
                self.labels.iter().all(|(k, eq, v)| (says(spec, device, k).as_ref() == Some(v)) == *eq);
            labels
                && self.state.is_none_or(|(wanted, state)| {
                    let id = || [text(&spec["driver"]), text(&spec["pool"]["name"]), text(&device["name"])];
                    wanted
                        == match state {
                            DeviceState::Allocated => allocated.contains(&id()),
                            DeviceState::Tainted => {
                                device["taints"].as_array().is_some_and(|t| !t.is_empty())
                            }
                        }
                })
        };
        spec["devices"].as_array().into_iter().flatten().filter(fits).count() as u64
    }
}
