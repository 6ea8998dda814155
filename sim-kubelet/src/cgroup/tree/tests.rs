//! One node with a pod of each class, as files.

use serde_json::{Value, json};
use sim_core::quantity::Quantity;

use super::super::container::SwapBehavior;
use super::*;

const GIB: i64 = 1 << 30;

fn config(memory_qos: bool) -> TreeConfig {
    let quantity = |text| Quantity::parse(text).unwrap();
    let kubepods = [("cpu", "3800m"), ("memory", "14Gi"), ("pid", "30000"), ("hugepages-2Mi", "1Gi")];
    let mut options = ContainerOptions {
        memory_capacity: 16 * GIB,
        swap_capacity: 4 * GIB,
        allocatable_memory: 14 * GIB - (100 << 20),
        swap: SwapBehavior::LimitedSwap,
        ..ContainerOptions::default()
    };
    options.pod.memory_qos = memory_qos;
    TreeConfig {
        kubepods: kubepods.into_iter().map(|(name, text)| (name, quantity(text))).collect(),
        pod_pids_limit: 1000,
        options,
        ..TreeConfig::default()
    }
}

fn specs() -> Vec<PodSpec> {
    let same = json!({"cpu": "1", "memory": "1Gi", "hugepages-2Mi": "4Mi"});
    let pods: [Value; 3] = [
        json!({"containers": [{"name": "c", "resources": {"requests": same, "limits": same}}]}),
        json!({"containers": [{"name": "c", "resources":
            {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1000001k"}}}]}),
        json!({"containers": [{"name": "c"}]}),
    ];
    pods.into_iter().map(|pod| serde_json::from_value(pod).unwrap()).collect()
}

fn tree(config: TreeConfig) -> CgroupTree {
    let specs = specs();
    let containers = [("c".into(), "1d".into())];
    let uids = ["g-1", "bu-1", "be-1"];
    let entry =
        |(uid, spec)| PodEntry { uid, spec, critical: false, exclusive_cpus: &[], containers: &containers };
    let pods: Vec<PodEntry<'_>> = uids.into_iter().zip(&specs).map(entry).collect();
    CgroupTree::new(config, &pods).unwrap()
}

const TREE: &str = "\
/kubepods.slice
  cpu.weight: 149
  hugetlb.1GB.max: 4611686018427387904
  hugetlb.2MB.max: 4611686018427387904
  memory.max: 15032385536
  pids.max: 30000
/kubepods.slice/kubepods-besteffort.slice
  cpu.weight: 1
  hugetlb.1GB.max: 4611686018427387904
  hugetlb.2MB.max: 4611686018427387904
/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podbe_1.slice
  cpu.weight: 1
  hugetlb.1GB.max: 0
  hugetlb.2MB.max: 0
  pids.max: 1000
/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podbe_1.slice/cri-containerd-1d.scope
  cpu.weight: 1
  hugetlb.1GB.max: 0
  hugetlb.2MB.max: 0
  memory.oom.group: 1
  memory.swap.max: 0
/kubepods.slice/kubepods-burstable.slice
  cpu.weight: 20
  hugetlb.1GB.max: 4611686018427387904
  hugetlb.2MB.max: 4611686018427387904
/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podbu_1.slice
  cpu.max: 200000 100000
  cpu.weight: 20
  hugetlb.1GB.max: 0
  hugetlb.2MB.max: 0
  memory.max: 999997440
  pids.max: 1000
/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podbu_1.slice/cri-containerd-1d.scope
  cpu.max: 200000 100000
  cpu.weight: 59
  hugetlb.1GB.max: 0
  hugetlb.2MB.max: 0
  memory.max: 999997440
  memory.oom.group: 1
  memory.swap.max: 268435456
/kubepods.slice/kubepods-podg_1.slice
  cpu.max: 100000 100000
  cpu.weight: 39
  hugetlb.1GB.max: 0
  hugetlb.2MB.max: 4194304
  memory.max: 1073741824
  pids.max: 1000
/kubepods.slice/kubepods-podg_1.slice/cri-containerd-1d.scope
  cpu.max: 100000 100000
  hugetlb.1GB.max: 0
  hugetlb.2MB.max: 4194304
  memory.max: 1073741824
  memory.oom.group: 1
  memory.swap.max: 0
";

#[test]
fn a_pod_of_each_class() {
    let dump = tree(config(false)).dump();
    assert_eq!(dump, TREE, "\n{dump}");
}

#[test]
fn memory_qos_protects_from_the_top_down() {
    let tree = tree(TreeConfig { driver: Driver::Cgroupfs, ..config(true) });
    for (path, min, high) in [
        ("/kubepods", "2147483648", "max"),
        ("/kubepods/burstable/", "1073741824", "max"),
        ("/kubepods/besteffort", "0", "max"),
        ("/kubepods/podg-1", "1073741824", "max"),
        // The limit is less than what is requested.
        ("/kubepods/burstable/podbu-1/1d", "1073741824", "max"),
        // Throttled by KEP-2570, not by the code.
        ("/kubepods/besteffort/podbe-1/1d", "0", "max"),
    ] {
        assert_eq!(tree.read(path, "memory.min").unwrap(), min, "{path}");
        assert_eq!(tree.read(path, "memory.high").unwrap(), high, "{path}");
    }
}

#[test]
fn exclusive_cpus_have_no_quota() {
    let specs = specs();
    let mut tree = tree(config(false));
    let (containers, exclusive) = ([("c".into(), "2e".into())], ["c".into()]);
    let pod = PodEntry {
        uid: "g-1",
        spec: &specs[0],
        critical: false,
        exclusive_cpus: &exclusive,
        containers: &containers,
    };
    tree.add_pod(&pod).unwrap();
    let path = tree.pod_path("g-1", &specs[0]).unwrap();
    let container = tree.container_path(&path, "2e");
    assert_eq!(tree.read(&path, "cpu.max").unwrap(), "max 100000");
    assert_eq!(tree.read(&container, "cpu.max").unwrap(), "max 100000");
    let old = tree.container_path(&path, "1d");
    assert_eq!(tree.read(&old, "cpu.max"), Err(ReadError::NoCgroup(old)));
}

#[test]
fn what_is_not_there_is_named() {
    let tree = tree(config(false));
    let error = |path, file| tree.read(path, file).unwrap_err().to_string();
    assert_eq!(error("/nowhere", "cpu.max"), "no cgroup /nowhere");
    assert_eq!(error("/kubepods.slice", "cpu.min"), "no file cpu.min in cgroup /kubepods.slice");
    let spec = PodSpec::default();
    let pod = PodEntry { uid: "a_b", spec: &spec, critical: false, exclusive_cpus: &[], containers: &[] };
    assert!(CgroupTree::new(TreeConfig::default(), &[pod]).is_err());
}
