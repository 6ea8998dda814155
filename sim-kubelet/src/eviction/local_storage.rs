//! Pods over their own limits of local storage (`localStorageEviction`, pkg/kubelet/eviction/eviction_manager.go). No
//! pressure is needed, and any number of them may leave at once.

use sim_core::helpers::resources::{PodResourcesOptions, pod_limits};
use sim_core::quantity::{Format, Quantity};

use super::manager::{Eviction, IMMEDIATE_GRACE};
use super::observe::{PodStats, Summary};
use super::rank::Candidate;
use super::threshold::Disks;
use crate::cgroup::pod::container_resource;

/// The pods that leave, in the order given.
pub(super) fn local_storage_eviction(
    pods: &[Candidate<'_>],
    summary: &Summary,
    disks: Disks,
) -> Vec<Eviction> {
    let over = |pod: &Candidate<'_>| {
        let stats = summary.pods.get(pod.uid)?;
        let message = empty_dir(pod, stats)
            .or_else(|| whole_pod(pod, stats))
            .or_else(|| container(pod, stats, disks))?;
        Some(Eviction {
            uid: pod.uid.into(),
            grace_period: IMMEDIATE_GRACE,
            message,
            annotations: Vec::new(),
            disruption_target: false,
        })
    };
    pods.iter().filter(|pod| !pod.critical).filter_map(over).collect()
}

fn bytes(used: i64) -> Quantity {
    Quantity::new(used, Format::BinarySI)
}

fn empty_dir(pod: &Candidate<'_>, stats: &PodStats) -> Option<String> {
    pod.spec.volumes.iter().flatten().find_map(|volume| {
        let limit = Quantity::from_wire(volume.empty_dir.as_ref()?.size_limit.as_ref()?);
        let (_, usage) = stats.volumes.iter().find(|(name, _)| *name == volume.name)?;
        let over = limit.sign() > 0 && bytes(usage.bytes?) > limit;
        over.then(|| format!("Usage of EmptyDir volume {:?} exceeds the limit \"{limit}\". ", volume.name))
    })
}

fn whole_pod(pod: &Candidate<'_>, stats: &PodStats) -> Option<String> {
    let limits = pod_limits(pod.spec, &PodResourcesOptions::default());
    let limit = limits.get("ephemeral-storage")?;
    let over = bytes(stats.ephemeral_storage.unwrap_or(0)) > *limit;
    over.then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "))
}

fn container(pod: &Candidate<'_>, stats: &PodStats, disks: Disks) -> Option<String> {
    stats.containers.iter().find_map(|container| {
        let spec = pod.spec.containers.iter().find(|c| container.name == c.name)?;
        let limit = container_resource(spec, true, "ephemeral-storage").filter(|q| q.value() != 0)?;
        // The writable layer counts where it shares a file system with the logs.
        let rootfs = if disks.dedicated_image_fs { 0 } else { container.rootfs.bytes.unwrap_or(0) };
        let used = container.logs.bytes.unwrap_or(0).saturating_add(rootfs);
        let name = &container.name;
        (bytes(used) > limit)
            .then(|| format!("Container {name} exceeded its local ephemeral storage limit \"{limit}\". "))
    })
}

#[cfg(test)]
mod tests {
    use super::super::observe::{ContainerStats, FsUsage};
    use super::*;
    use k8s_openapi::api::core::v1::PodSpec;
    use serde_json::json;

    #[test]
    fn each_limit_has_its_message() {
        let usage = |gib: i64| FsUsage { bytes: Some(gib << 30), inodes: None };
        let stats = |pod: i64, volume: i64, rootfs: i64, logs: i64| PodStats {
            ephemeral_storage: Some(pod << 30),
            volumes: vec![("v".into(), usage(volume))],
            containers: vec![ContainerStats {
                name: "c".into(),
                rootfs: usage(rootfs),
                logs: usage(logs),
                memory: None,
            }],
            ..PodStats::default()
        };
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "c", "resources": {"limits": {"ephemeral-storage": "4Gi"}}}],
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
        }))
        .unwrap();
        let dedicated = Disks { dedicated_image_fs: true, split_container_fs: false };
        for (stats, disks, want) in [
            (stats(4, 1, 2, 2), Disks::default(), None),
            (
                stats(9, 2, 0, 0),
                Disks::default(),
                Some("Usage of EmptyDir volume \"v\" exceeds the limit \"1Gi\". "),
            ),
            (
                stats(5, 1, 0, 0),
                Disks::default(),
                Some("Pod ephemeral local storage usage exceeds the total limit of containers 4Gi. "),
            ),
            (
                stats(4, 1, 3, 2),
                Disks::default(),
                Some("Container c exceeded its local ephemeral storage limit \"4Gi\". "),
            ),
            (stats(4, 1, 3, 2), dedicated, None),
        ] {
            let summary = Summary { pods: [("u".into(), stats)].into(), ..Summary::default() };
            let pod = Candidate { name: "p", uid: "u", spec: &spec, critical: false };
            let got = local_storage_eviction(&[pod], &summary, disks);
            assert_eq!(got.first().map(|e| e.message.as_str()), want);
            let critical = Candidate { critical: true, ..pod };
            assert_eq!(local_storage_eviction(&[critical], &summary, disks), []);
        }
    }
}
