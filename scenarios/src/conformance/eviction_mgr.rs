//! `kubelet/eviction_mgr.json`: runs of the whole eviction manager. The tables give the node and its pods; what is done to
//! the node step by step, and what must come of it, is the same for all rows of an upstream test.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};
use sim_core::quantity::Quantity;
use sim_core::time::{Time, mins};
use sim_kubelet::eviction::manager::{Config, Host, Manager, Outcome, SplitFilesystem};
use sim_kubelet::eviction::observe::{ContainerStats, FsStats, FsUsage, PodStats, Summary};
use sim_kubelet::eviction::rank::Candidate;
use sim_kubelet::eviction::threshold::{Condition, Disks, Threshold};

use super::cgroup_pod_config::spec;
use super::eviction::{threshold, thresholds};
use super::quantity::{same, text};

/// `evictionMaxPodGracePeriod` of all runs.
const SOFT_GRACE: i64 = 5;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let mut run = Run::new(input)?;
    if !input["evictionMessage"].is_null() {
        run.pod_status(input, expected)
    } else if !expected["expectImageGcCall"].is_null() {
        run.reclaim(input, expected)
    } else {
        run.pressure(input)
    }
}

/// Where pressure is put, and how full the disks are.
#[derive(Clone, Default)]
struct Machine {
    /// Bytes or inodes left of node, image and container file system, and of how many.
    left: [i64; 3],
    all: [i64; 3],
    inodes: bool,
    /// What is left after the next clean-up.
    after_gc: Option<[i64; 3]>,
    pods: BTreeMap<smol_str::SmolStr, PodStats>,
    images_deleted: bool,
    containers_deleted: bool,
}

impl Host for Machine {
    fn summary(&mut self) -> Summary {
        let fs = |i: usize| {
            let pair = Some((self.left[i], self.all[i]));
            let (bytes, inodes) = if self.inodes { (None, pair) } else { (pair, None) };
            Some(FsStats { bytes, inodes, time: None })
        };
        Summary {
            node_fs: fs(0),
            image_fs: fs(1),
            container_fs: fs(2),
            pods: self.pods.clone(),
            ..Summary::default()
        }
    }

    fn delete_unused_containers(&mut self) {
        self.containers_deleted = true;
        self.left = self.after_gc.unwrap_or(self.left);
    }

    fn delete_unused_images(&mut self) {
        self.images_deleted = true;
        self.left = self.after_gc.unwrap_or(self.left);
    }
}

struct Run {
    manager: Manager,
    machine: Machine,
    disks: Disks,
    pods: Vec<(String, PodSpec)>,
    /// The state without pressure.
    calm: [i64; 3],
    now: Time,
}

impl Run {
    fn new(input: &Value) -> Result<Run, String> {
        let inodes = !input["nodeFsInodesFree"].is_null();
        let (left, all) = if inodes {
            let of = |suffix: &str| {
                Ok::<_, String>([
                    amount(input, &format!("nodeFs{suffix}"))?,
                    amount(input, &format!("imageFs{suffix}"))?,
                    amount(input, &format!("containerFs{suffix}"))?,
                ])
            };
            (of("InodesFree")?, of("Inodes")?)
        } else {
            let left = [
                amount(input, "nodeFsStats")?,
                amount(input, "imageFsStats")?,
                amount(input, "containerFsStats")?,
            ];
            (left, left.map(|bytes| bytes * 2))
        };
        let mut machine = Machine { left, all, inodes, ..Machine::default() };
        let mut pods = Vec::new();
        for row in input["podToMakes"].as_array().into_iter().flatten() {
            let (spec, stats) = pod(row)?;
            machine.pods.insert(text(row, "name").into(), stats);
            pods.push((text(row, "name").to_string(), spec));
        }
        let config = Config {
            thresholds: monitored(input)?,
            max_pod_grace_period: SOFT_GRACE,
            local_storage: false,
            separate_disk_gc: input["kubeletSeparateDiskFeature"] == true,
            ..Config::default()
        };
        let disks = Disks {
            dedicated_image_fs: input["dedicatedImageFs"] == true,
            split_container_fs: input["writeableSeparateFromReadOnly"] == true,
        };
        Ok(Run { manager: Manager::new(config), calm: left, machine, disks, pods, now: Time(0) })
    }

    fn round(&mut self, minutes: i64) -> Result<Outcome, SplitFilesystem> {
        self.now += mins(minutes);
        let candidate = |(name, spec)| Candidate { name, uid: name, spec, critical: false };
        let pods: Vec<Candidate<'_>> = self.pods.iter().map(|(n, s)| candidate((n.as_str(), s))).collect();
        self.manager.synchronize(self.now, self.disks, &pods, &mut self.machine)
    }

    /// A round after so many minutes: whether the disk is under pressure then, and who is evicted.
    fn step(&mut self, what: &str, minutes: i64, pressure: bool, evicted: Option<i64>) -> Result<(), String> {
        let outcome = self.round(minutes).map_err(|e| format!("{what}: {e}"))?;
        let under = self.manager.conditions().contains(&Condition::Disk);
        let first = self.pods.first().map(|(name, _)| name.as_str()).unwrap_or_default();
        let who = outcome.evicted.first().map(|e| (e.uid.as_str(), e.grace_period));
        let wanted = evicted.map(|grace| (first, grace));
        if (under, who) == (pressure, wanted) {
            return Ok(());
        }
        Err(format!("{what}: pressure {under}, evicted {who:?}, want {pressure}, {wanted:?}"))
    }

    fn admits(&self, wanted: bool) -> Result<(), String> {
        let best_effort = spec(&json!({"spec": {"containers": [{"name": "pod-to-admit"}]}}))?;
        same("admit", self.manager.admit(&best_effort, false).is_ok(), &wanted.into())
    }

    /// Puts pressure of so much that is left on the file system of the table.
    fn squeeze(&mut self, input: &Value, left: i64) {
        let place = match text(input, "inducePressureOnWhichFs") {
            "nodefs" => 0,
            "imagefs" => 1,
            _ => 2,
        };
        self.machine.left[place] = left;
    }

    /// `TestDiskPressureNodeFs_VerifyPodStatus`.
    fn pod_status(&mut self, input: &Value, expected: &Value) -> Result<(), String> {
        let outcome = match self.round(0) {
            Err(error) => return same("error", error.to_string(), &expected["expectErr"]),
            Ok(outcome) => outcome,
        };
        same("error", "", &expected["expectErr"])?;
        let [eviction] = &outcome.evicted[..] else { return Err("nobody is evicted".into()) };
        same("message", eviction.message.as_str(), &input["evictionMessage"])?;
        same("DisruptionTarget", eviction.disruption_target, &true.into())?;
        same("pressure", self.manager.conditions() == [Condition::Disk], &true.into())
    }

    /// `TestDiskPressureNodeFs` and `TestInodePressureFsInodes`.
    fn pressure(&mut self, input: &Value) -> Result<(), String> {
        let field = |kind: &str| {
            let name = if input[format!("{kind}DiskPressure")].is_null() { "INode" } else { "Disk" };
            amount(input, &format!("{kind}{name}Pressure"))
        };
        let (soft, hard) = (field("soft")?, field("hard")?);
        self.step("calm", 0, false, None)?;
        self.admits(true)?;
        self.squeeze(input, soft);
        self.step("soft", 1, true, None)?;
        self.step("soft, grace over", 3, true, Some(SOFT_GRACE))?;
        self.machine.left = self.calm;
        self.step("calm again", 20, false, None)?;
        self.squeeze(input, hard);
        self.step("hard", 1, true, Some(1))?;
        self.admits(false)?;
        self.machine.left = self.calm;
        self.step("in transition", 1, true, None)?;
        self.admits(false)?;
        self.step("over", 5, false, None)?;
        self.admits(true)
    }

    /// `TestNodeReclaimFuncs`.
    fn reclaim(&mut self, input: &Value, expected: &Value) -> Result<(), String> {
        let hard = amount(input, "hardDiskPressure")?;
        self.step("calm", 0, false, None)?;
        self.squeeze(input, hard);
        self.machine.after_gc = Some(self.calm);
        self.step("enough reclaimed", 1, true, None)?;
        self.cleaned(expected)?;
        self.machine.left = self.calm;
        self.step("calm again", 20, false, None)?;
        self.step("still calm", 0, false, None)?;
        // Above the threshold, but less than what is to be reclaimed at least.
        self.squeeze(input, Quantity::parse("1.1G").map_err(|e| e.to_string())?.value());
        self.machine.after_gc = Some(self.machine.left);
        self.squeeze(input, hard);
        self.step("too little reclaimed", 1, true, Some(1))?;
        self.cleaned(expected)?;
        self.machine.left = self.calm;
        self.step("calm after that", 20, false, None)?;
        self.squeeze(input, hard);
        self.machine.after_gc = None;
        self.step("nothing reclaimed", 1, true, Some(1))?;
        self.cleaned(expected)?;
        self.machine.left = self.calm;
        self.step("in transition", 1, true, None)?;
        self.step("over", 5, false, None)?;
        same("cleaned", self.machine.images_deleted || self.machine.containers_deleted, &false.into())
    }

    fn cleaned(&mut self, expected: &Value) -> Result<(), String> {
        let images = std::mem::take(&mut self.machine.images_deleted);
        let containers = std::mem::take(&mut self.machine.containers_deleted);
        same("images deleted", images, &expected["expectImageGcCall"])?;
        same("containers deleted", containers, &expected["expectContainerGcCall"])
    }
}

fn amount(value: &Value, field: &str) -> Result<i64, String> {
    match text(value, field) {
        "" => Ok(0),
        number => Ok(Quantity::parse(number).map_err(|e| format!("{field}: {e}"))?.value()),
    }
}

/// One threshold or a list of them.
fn monitored(input: &Value) -> Result<Vec<Threshold>, String> {
    let given = &input["thresholdToMonitor"];
    if given.is_array() { thresholds(given) } else { Ok(vec![threshold(given)?]) }
}

fn pod(row: &Value) -> Result<(PodSpec, PodStats), String> {
    let name = text(row, "name");
    let container =
        json!({"name": name, "resources": {"requests": row["requests"], "limits": row["limits"]}});
    let spec = spec(&json!({"spec": {"priority": row["priority"], "containers": [container],
        "volumes": [{"name": "local-volume", "emptyDir": {}}]}}))?;
    let used = |bytes: &str, inodes: &str| {
        Ok::<_, String>(FsUsage { bytes: Some(amount(row, bytes)?), inodes: Some(amount(row, inodes)?) })
    };
    let containers = vec![ContainerStats {
        name: name.into(),
        memory: None,
        rootfs: used("rootFsUsed", "rootFsInodesUsed")?,
        logs: used("logsFsUsed", "logsFsInodesUsed")?,
    }];
    let volumes = vec![("local-volume".into(), used("perLocalVolumeUsed", "perLocalVolumeInodesUsed")?)];
    Ok((spec, PodStats { containers, volumes, ..PodStats::default() }))
}
