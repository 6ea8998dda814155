//! `timeline`: what happens from outside, and when.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::cluster::NodePool;
use super::compact::{Compact, compact};
use super::devices::{FailDeviceStep, FailPrepareStep, RepairDeviceStep};
use super::duration::Duration;
use super::target::Target;

/// Objects from a file, or written in place.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// A file of one or more documents, YAML or JSON; relative to the scenario's folder.
    File(PathBuf),
    /// One object, in place.
    Inline(Box<Value>),
}

impl Compact for Manifest {
    type Long = Value;
    const EXPECTED: &'static str = "a file name, or an object with apiVersion and kind";
    const NAME: &'static str = "Manifest";
    const SHORT: &'static [&'static str] = &["string"];

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty file name".to_owned());
        }
        Ok(Manifest::File(PathBuf::from(text)))
    }

    fn from_long(long: Value) -> Result<Self, String> {
        if !long.is_object() {
            return Err(format!("expected {}", Self::EXPECTED));
        }
        for field in ["apiVersion", "kind"] {
            if !long.get(field).is_some_and(Value::is_string) {
                return Err(format!("an object without `{field}`"));
            }
        }
        Ok(Manifest::Inline(Box::new(long)))
    }
}
compact!(Manifest);

/// One step. Exactly one action beside `at`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Step {
    /// When, after the start of the run.
    pub at: Duration,
    /// Creates what is not there, merges what is (as `kubectl apply` does).
    pub apply: Option<Manifest>,
    /// Deletes an object.
    pub delete: Option<DeleteStep>,
    /// Sets the replicas of an object.
    pub scale: Option<ScaleStep>,
    /// Patches an object.
    pub patch: Option<PatchStep>,
    /// Marks a node unschedulable.
    pub cordon: Option<String>,
    /// Marks a node schedulable again.
    pub uncordon: Option<String>,
    /// Nodes join.
    pub join: Option<NodePool>,
    /// A node leaves: its Node object is deleted.
    pub leave: Option<String>,
    /// The kubelet of a node restarts.
    pub restart_kubelet: Option<String>,
    /// A device of a node breaks.
    pub fail_device: Option<FailDeviceStep>,
    /// A device of a node works again.
    pub repair_device: Option<RepairDeviceStep>,
    /// A driver fails to prepare claims from now on.
    pub fail_prepare: Option<FailPrepareStep>,
}

/// What a step does.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// `apply`.
    Apply(&'a Manifest),
    /// `delete`.
    Delete(&'a DeleteStep),
    /// `scale`.
    Scale(&'a ScaleStep),
    /// `patch`.
    Patch(&'a PatchStep),
    /// `cordon` (true) or `uncordon` (false).
    Cordon(&'a str, bool),
    /// `join`.
    Join(&'a NodePool),
    /// `leave`.
    Leave(&'a str),
    /// `restartKubelet`.
    RestartKubelet(&'a str),
    /// `failDevice`.
    FailDevice(&'a FailDeviceStep),
    /// `repairDevice`.
    RepairDevice(&'a RepairDeviceStep),
    /// `failPrepare`.
    FailPrepare(&'a FailPrepareStep),
}

impl Step {
    /// A step that applies a manifest.
    pub fn apply(at: Duration, manifest: Manifest) -> Step {
        Step {
            at,
            apply: Some(manifest),
            delete: None,
            scale: None,
            patch: None,
            cordon: None,
            uncordon: None,
            join: None,
            leave: None,
            restart_kubelet: None,
            fail_device: None,
            repair_device: None,
            fail_prepare: None,
        }
    }

    /// The one action of the step, or what is wrong with the step.
    pub fn action(&self) -> Result<Action<'_>, String> {
        let actions: Vec<(&str, Action<'_>)> = [
            self.apply.as_ref().map(|a| ("apply", Action::Apply(a))),
            self.delete.as_ref().map(|a| ("delete", Action::Delete(a))),
            self.scale.as_ref().map(|a| ("scale", Action::Scale(a))),
            self.patch.as_ref().map(|a| ("patch", Action::Patch(a))),
            self.cordon.as_deref().map(|a| ("cordon", Action::Cordon(a, true))),
            self.uncordon.as_deref().map(|a| ("uncordon", Action::Cordon(a, false))),
            self.join.as_ref().map(|a| ("join", Action::Join(a))),
            self.leave.as_deref().map(|a| ("leave", Action::Leave(a))),
            self.restart_kubelet.as_deref().map(|a| ("restartKubelet", Action::RestartKubelet(a))),
            self.fail_device.as_ref().map(|a| ("failDevice", Action::FailDevice(a))),
            self.repair_device.as_ref().map(|a| ("repairDevice", Action::RepairDevice(a))),
            self.fail_prepare.as_ref().map(|a| ("failPrepare", Action::FailPrepare(a))),
        ]
        .into_iter()
        .flatten()
        .collect();
        match actions.as_slice() {
            [(_, action)] => Ok(*action),
            [] => {
                Err("a step without an action: give one of apply, delete, scale, patch, cordon, uncordon, \
                       join, leave, restartKubelet, failDevice, repairDevice, failPrepare"
                    .to_owned())
            }
            several => {
                let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
                Err(format!("a step has one action, this has {}: make a step of each", names.join(" and ")))
            }
        }
    }
}

/// What to delete, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteStep {
    /// The object.
    pub target: Target,
    /// Grace for pods; the pod's own if absent.
    pub grace_period_seconds: Option<u32>,
    /// What becomes of dependents.
    pub propagation: Cascade,
}

/// The long form of a deletion.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LongDelete {
    /// The object.
    pub target: Target,
    /// Grace for pods; the pod's own if absent.
    pub grace_period_seconds: Option<u32>,
    /// What becomes of dependents.
    #[serde(default)]
    pub propagation: Cascade,
}

/// What becomes of dependents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cascade {
    /// They go afterwards.
    #[default]
    Background,
    /// They go first.
    Foreground,
    /// They stay.
    Orphan,
}

impl Compact for DeleteStep {
    type Long = LongDelete;
    const EXPECTED: &'static str =
        "an object such as pod/web-1, or {target: pod/web-1, gracePeriodSeconds: 0}";
    const NAME: &'static str = "Delete";
    const SHORT: &'static [&'static str] = &["string"];

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(DeleteStep { target: text.parse()?, grace_period_seconds: None, propagation: Cascade::Background })
    }

    fn from_long(long: LongDelete) -> Result<Self, String> {
        let LongDelete { target, grace_period_seconds, propagation } = long;
        Ok(DeleteStep { target, grace_period_seconds, propagation })
    }
}
compact!(DeleteStep);

/// New replicas of an object.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleStep {
    /// An object with replicas.
    pub target: Target,
    /// How many.
    #[schemars(range(min = 0))]
    pub replicas: u32,
}

/// A patch of an object.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchStep {
    /// The object.
    pub target: Target,
    /// How the patch is read.
    #[serde(default, rename = "type")]
    pub patch_type: PatchType,
    /// The patch: a map, or a list for type `json`.
    pub patch: Value,
}

/// How a patch is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PatchType {
    /// `kubectl patch`'s default: lists merge by their keys.
    #[default]
    Strategic,
    /// RFC 7386: lists are replaced.
    Merge,
    /// RFC 6902: a list of operations.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn step(value: Value) -> Result<Step, String> {
        serde_json::from_value(value).map_err(|e| e.to_string())
    }

    #[test]
    fn a_step_has_one_action() {
        let good = step(json!({"at": "5m", "delete": "pod/web-1"})).unwrap();
        assert!(
            matches!(good.action(), Ok(Action::Delete(d)) if d.target.to_string() == "pod/default/web-1")
        );
        assert!(step(json!({"at": "5m"})).unwrap().action().unwrap_err().contains("without an action"));
        let two = step(json!({"at": "5m", "cordon": "n1", "leave": "n1"})).unwrap();
        assert!(two.action().unwrap_err().contains("cordon and leave"));
    }

    #[test]
    fn bad_steps_are_refused_with_reasons() {
        for (value, part) in [
            (json!({"delete": "pod/a"}), "missing field `at`"),
            (json!({"at": "5m", "delete": "pood/a"}), "did you mean `pod`"),
            (json!({"at": "5m", "apply": {"kind": "Pod"}}), "without `apiVersion`"),
            (json!({"at": "5m", "apply": 7}), "invalid type: integer `7`, expected a file name"),
            (json!({"at": "5m", "scale": {"target": "deploy/web", "replicas": -1}}), "-1"),
            (json!({"at": "5m", "reboot": "n1"}), "unknown field `reboot`"),
        ] {
            let error = step(value.clone()).unwrap_err();
            assert!(error.contains(part), "{value}: {error}");
        }
    }
}
