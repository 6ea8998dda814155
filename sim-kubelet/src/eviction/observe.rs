//! What the eviction manager sees: the stats summary, and observations per signal (`makeSignalObservations`).

use std::collections::BTreeMap;

use sim_core::quantity::{Format, Quantity};
use sim_core::time::Time;
use smol_str::SmolStr;

use super::threshold::Signal;

/// Memory of a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Bytes that are left.
    pub available: i64,
    /// Bytes in use that cannot be had back easily: `memory.current` less `inactive_file`.
    pub working_set: i64,
    /// When it was measured; `None` counts as always new.
    pub time: Option<Time>,
}

/// A file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsStats {
    /// Bytes left and in all.
    pub bytes: Option<(i64, i64)>,
    /// Inodes left and in all.
    pub inodes: Option<(i64, i64)>,
    /// When it was measured; `None` counts as always new.
    pub time: Option<Time>,
}

/// Process numbers of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessStats {
    /// The largest there may be.
    pub max_pid: i64,
    /// How many are taken.
    pub running: i64,
    /// When it was measured; `None` counts as always new.
    pub time: Option<Time>,
}

/// What is used of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsUsage {
    /// Bytes, if known.
    pub bytes: Option<i64>,
    /// Inodes, if known.
    pub inodes: Option<i64>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerStats {
    /// Name.
    pub name: SmolStr,
    /// Working set in bytes.
    pub memory: Option<i64>,
    /// Its writable layer.
    pub rootfs: FsUsage,
    /// Its logs.
    pub logs: FsUsage,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodStats {
    /// Working set in bytes.
    pub memory: Option<i64>,
    /// Number of processes.
    pub processes: Option<u64>,
    /// Local storage in all, in bytes.
    pub ephemeral_storage: Option<i64>,
    /// Its containers.
    pub containers: Vec<ContainerStats>,
    /// Its volumes, by name.
    pub volumes: Vec<(SmolStr, FsUsage)>,
}

/// The stats of a node. What is `None` gives no observation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Memory of the node.
    pub memory: Option<MemoryStats>,
    /// Memory of the pods' cgroup.
    pub pods_memory: Option<MemoryStats>,
    /// Where the kubelet keeps its files.
    pub node_fs: Option<FsStats>,
    /// Where images are.
    pub image_fs: Option<FsStats>,
    /// Where containers write.
    pub container_fs: Option<FsStats>,
    /// Process numbers.
    pub processes: Option<ProcessStats>,
    /// Pods, by UID.
    pub pods: BTreeMap<SmolStr, PodStats>,
}

/// What was measured for a signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// What is left.
    pub available: Quantity,
    /// Of how much.
    pub capacity: Quantity,
    /// When it was measured; `None` counts as always new.
    pub time: Option<Time>,
}

/// Observations by signal.
pub type Observations = BTreeMap<Signal, Observation>;

/// The observations of a summary.
pub fn observations(summary: &Summary) -> Observations {
    let mut all = Observations::new();
    let mut set = |signal, (available, capacity): (i64, i64), format, time| {
        let (available, capacity) = (Quantity::new(available, format), Quantity::new(capacity, format));
        all.insert(signal, Observation { available, capacity, time });
    };
    for (signal, memory) in
        [(Signal::MemoryAvailable, summary.memory), (Signal::AllocatableMemoryAvailable, summary.pods_memory)]
    {
        if let Some(m) = memory {
            let capacity = m.available.saturating_add(m.working_set);
            set(signal, (m.available, capacity), Format::BinarySI, m.time);
        }
    }
    for (bytes, inodes, fs) in [
        (Signal::NodeFsAvailable, Signal::NodeFsInodesFree, summary.node_fs),
        (Signal::ImageFsAvailable, Signal::ImageFsInodesFree, summary.image_fs),
        (Signal::ContainerFsAvailable, Signal::ContainerFsInodesFree, summary.container_fs),
    ] {
        let Some(fs) = fs else { continue };
        if let Some(pair) = fs.bytes {
            set(bytes, pair, Format::BinarySI, fs.time);
        }
        if let Some(pair) = fs.inodes {
            set(inodes, pair, Format::DecimalSI, fs.time);
        }
    }
    if let Some(p) = summary.processes {
        let left = p.max_pid.saturating_sub(p.running);
        set(Signal::PidAvailable, (left, p.max_pid), Format::DecimalSI, p.time);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_its_source() {
        let memory = |available| Some(MemoryStats { available, working_set: 10, time: None });
        let fs = |n: i64| Some(FsStats { bytes: Some((n, 100)), inodes: Some((n + 1, 100)), time: None });
        let summary = Summary {
            memory: memory(1),
            pods_memory: memory(2),
            node_fs: fs(3),
            image_fs: fs(5),
            container_fs: fs(7),
            processes: Some(ProcessStats { max_pid: 100, running: 91, time: None }),
            ..Summary::default()
        };
        let seen = observations(&summary);
        let left: Vec<i64> = [
            Signal::MemoryAvailable,
            Signal::AllocatableMemoryAvailable,
            Signal::NodeFsAvailable,
            Signal::NodeFsInodesFree,
            Signal::ImageFsAvailable,
            Signal::ImageFsInodesFree,
            Signal::ContainerFsAvailable,
            Signal::ContainerFsInodesFree,
            Signal::PidAvailable,
        ]
        .iter()
        .map(|signal| seen[signal].available.value())
        .collect();
        assert_eq!(left, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(seen[&Signal::MemoryAvailable].capacity.value(), 11);
        assert!(observations(&Summary::default()).is_empty());
    }
}
