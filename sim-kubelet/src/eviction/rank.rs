//! Who is evicted first (`rankMemoryPressure`, `rankDiskPressureFunc`, `rankPIDPressure` in
//! pkg/kubelet/eviction/helpers.go). The QoS class is no key of its own.

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::{PodSpec, Volume};
use sim_core::helpers::resources::{PodResourcesOptions, pod_requests};
use sim_core::quantity::{Format, Quantity};

use super::observe::{FsUsage, PodStats, Summary};
use super::threshold::{Disks, Signal};
use crate::cgroup::pod::has_own_resources;

/// A pod that could leave.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Name, for messages.
    pub name: &'a str,
    /// UID, by which stats are found.
    pub uid: &'a str,
    /// What it asks for.
    pub spec: &'a PodSpec,
    /// [`crate::cgroup::oom_score::is_critical`]: is never evicted.
    pub critical: bool,
}

impl Candidate<'_> {
    fn priority(&self) -> i32 {
        self.spec.priority.unwrap_or(0)
    }

    /// What it requests of a resource in all (`GetResourceRequestQuantity`): overhead counts where something is requested,
    /// and only the pod's own resources if it has any.
    fn request(&self, resource: &str) -> Quantity {
        let options = PodResourcesOptions {
            skip_container_level_resources: has_own_resources(self.spec),
            exclude_overhead: true,
            ..PodResourcesOptions::default()
        };
        let list = pod_requests(self.spec, &options);
        let mut sum = list.get(resource).cloned().unwrap_or_else(|| Quantity::new(0, Format::BinarySI));
        let overhead = self.spec.overhead.as_ref().and_then(|o| o.get(resource));
        if let Some(overhead) = overhead.filter(|_| !sum.is_zero()) {
            sum.add(&Quantity::from_wire(overhead));
        }
        sum
    }
}

/// Which files of a pod count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Files {
    rootfs: bool,
    logs: bool,
    volumes: bool,
}

/// The files that are on the file system of a signal (`buildSignalToRankFunc`).
fn files(signal: Signal, disks: Disks) -> Files {
    let node = matches!(signal, Signal::NodeFsAvailable | Signal::NodeFsInodesFree);
    let image = matches!(signal, Signal::ImageFsAvailable | Signal::ImageFsInodesFree);
    let all = Files { rootfs: true, logs: true, volumes: true };
    match (disks.dedicated_image_fs, disks.split_container_fs) {
        (true, false) if node => Files { rootfs: false, ..all },
        (true, false) => Files { rootfs: true, ..Files::default() },
        (true, true) if image => Files::default(),
        _ => all,
    }
}

/// Whether a volume takes local storage of the node (`localVolumeNames`).
fn is_local(volume: &Volume) -> bool {
    let disk_backed = |medium: Option<&str>| medium.unwrap_or_default().is_empty();
    volume.host_path.is_some()
        || volume.git_repo.is_some()
        || volume.config_map.is_some()
        || volume.empty_dir.as_ref().is_some_and(|dir| disk_backed(dir.medium.as_deref()))
}

/// What a pod uses of a file system (`podDiskUsage`).
fn disk_usage(spec: &PodSpec, stats: &PodStats, files: Files, inodes: bool) -> i64 {
    let of = |usage: &FsUsage| if inodes { usage.inodes } else { usage.bytes }.unwrap_or(0);
    let mut sum = 0_i64;
    for container in &stats.containers {
        for (counts, usage) in [(files.rootfs, &container.rootfs), (files.logs, &container.logs)] {
            sum = sum.saturating_add(if counts { of(usage) } else { 0 });
        }
    }
    for volume in spec.volumes.iter().flatten().filter(|v| files.volumes && is_local(v)) {
        let usage = stats.volumes.iter().find(|(name, _)| *name == volume.name);
        sum = sum.saturating_add(usage.map_or(0, |(_, usage)| of(usage)));
    }
    sum
}

/// Sorts the pods for a signal, who is evicted first first. Pods that nothing is known of come before the others. Equal
/// ones keep their order, where upstream's is random.
pub fn rank(pods: &mut [Candidate<'_>], signal: Signal, disks: Disks, summary: &Summary) {
    let stats = |pod: &Candidate<'_>| summary.pods.get(pod.uid);
    match signal.resource() {
        Some("pids") => pods.sort_by_key(|pod| {
            let found = stats(pod);
            (pod.priority(), found.is_some(), Reverse(found.and_then(|s| s.processes).unwrap_or(0)))
        }),
        Some("memory") => pods.sort_by_cached_key(|pod| {
            let Some(stats) = stats(pod) else { return unknown(pod) };
            let used = Quantity::new(stats.memory.unwrap_or(0), Format::BinarySI);
            let request = pod.request("memory");
            known(pod, used > request, used, &request)
        }),
        Some(resource) => {
            let files = files(signal, disks);
            pods.sort_by_cached_key(|pod| {
                let Some(stats) = stats(pod) else { return unknown(pod) };
                let inodes = resource == "inodes";
                let used = disk_usage(pod.spec, stats, files, inodes);
                let used = Quantity::new(used, Format::BinarySI);
                // Inodes too are compared with the request for storage, as upstream does.
                let request = pod.request("ephemeral-storage");
                let exceeds = if inodes { used > pod.request("inodes") } else { used > request };
                known(pod, exceeds, used, &request)
            });
        }
        None => {}
    }
}

type Key = (bool, bool, i32, Reverse<Quantity>);

fn unknown(pod: &Candidate<'_>) -> Key {
    (false, false, pod.priority(), Reverse(Quantity::new(0, Format::BinarySI)))
}

fn known(pod: &Candidate<'_>, exceeds: bool, mut used: Quantity, request: &Quantity) -> Key {
    used.sub(request);
    (true, !exceeds, pod.priority(), Reverse(used))
}

#[cfg(test)]
mod tests {
    use super::super::observe::ContainerStats;
    use super::*;
    use serde_json::{Value, json};

    /// Ranks pods of (name, spec, stats).
    fn check(signal: Signal, disks: Disks, pods: &[(&str, Value, Option<PodStats>)], want: &[&str]) {
        let specs: Vec<PodSpec> =
            pods.iter().map(|(_, spec, _)| serde_json::from_value(spec.clone()).unwrap()).collect();
        let mut summary = Summary::default();
        for (name, _, stats) in pods {
            summary.pods.extend(stats.clone().map(|s| ((*name).into(), s)));
        }
        let mut candidates: Vec<Candidate<'_>> = pods
            .iter()
            .zip(&specs)
            .map(|((name, ..), spec)| Candidate { name, uid: name, spec, critical: false })
            .collect();
        rank(&mut candidates, signal, disks, &summary);
        let got: Vec<&str> = candidates.iter().map(|c| c.name).collect();
        assert_eq!(got, want);
    }

    fn spec(priority: i32, requests: Value) -> Value {
        json!({"priority": priority, "containers": [{"name": "c", "resources": {"requests": requests}}],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}]})
    }

    #[test]
    fn memory_by_excess_after_priority() {
        let used = |mib: i64| Some(PodStats { memory: Some(mib << 20), ..PodStats::default() });
        let asks = |n: &str| json!({"memory": n});
        check(
            Signal::MemoryAvailable,
            Disks::default(),
            &[
                ("within", spec(-1, asks("1Gi")), used(900)),
                ("over-less", spec(0, asks("100Mi")), used(300)),
                ("over-more", spec(0, asks("100Mi")), used(400)),
                ("high-over", spec(9, json!({})), used(5000)),
                ("lost", spec(9, asks("1Gi")), None),
            ],
            &["lost", "over-more", "over-less", "high-over", "within"],
        );
    }

    #[test]
    fn processes_by_priority_first() {
        let used = |n| Some(PodStats { processes: Some(n), ..PodStats::default() });
        check(
            Signal::PidAvailable,
            Disks::default(),
            &[
                ("low-few", spec(-1, json!({})), used(1)),
                ("low-many", spec(-1, json!({})), used(2)),
                ("high", spec(1, json!({})), used(900)),
                ("low-lost", spec(-1, json!({})), None),
            ],
            &["low-lost", "low-many", "low-few", "high"],
        );
    }

    /// Three pods that use 100 of one kind each, and one that uses a little of all.
    fn kinds(inodes: bool) -> Vec<(&'static str, Value, Option<PodStats>)> {
        let usage = |n| match inodes {
            true => FsUsage { inodes: Some(n), bytes: None },
            false => FsUsage { bytes: Some(n), inodes: None },
        };
        let pod = |root, logs, volume, memory_volume| {
            let containers =
                vec![ContainerStats { rootfs: usage(root), logs: usage(logs), ..Default::default() }];
            let volumes = vec![("v".into(), usage(volume)), ("m".into(), usage(memory_volume))];
            Some(PodStats { containers, volumes, ..PodStats::default() })
        };
        vec![
            ("even", spec(0, json!({})), pod(20, 20, 20, 500)),
            ("root", spec(0, json!({})), pod(100, 0, 0, 0)),
            ("logs", spec(0, json!({})), pod(0, 90, 0, 0)),
            ("volume", spec(0, json!({})), pod(0, 0, 80, 0)),
        ]
    }

    #[test]
    fn files_count_where_they_are() {
        let disks = |image, split| Disks { dedicated_image_fs: image, split_container_fs: split };
        use Signal::{ContainerFsInodesFree, ImageFsAvailable, NodeFsAvailable};
        for (signal, disks, want) in [
            (NodeFsAvailable, disks(false, false), ["root", "logs", "volume", "even"]),
            (ImageFsAvailable, disks(false, false), ["root", "logs", "volume", "even"]),
            (NodeFsAvailable, disks(true, false), ["logs", "volume", "even", "root"]),
            (ImageFsAvailable, disks(true, false), ["root", "even", "logs", "volume"]),
            (NodeFsAvailable, disks(true, true), ["root", "logs", "volume", "even"]),
            (ImageFsAvailable, disks(true, true), ["even", "root", "logs", "volume"]),
            (ContainerFsInodesFree, disks(true, true), ["root", "logs", "volume", "even"]),
        ] {
            let inodes = signal == ContainerFsInodesFree;
            check(signal, disks, &kinds(inodes), &want);
        }
    }

    #[test]
    fn overhead_counts_where_something_is_requested() {
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "c", "resources": {"requests": {"memory": "1Gi"}}}],
            "overhead": {"memory": "1Gi", "ephemeral-storage": "1Gi"}}))
        .unwrap();
        let pod = Candidate { name: "p", uid: "p", spec: &spec, critical: false };
        assert_eq!((pod.request("memory").value(), pod.request("ephemeral-storage").value()), (2 << 30, 0));
    }
}
