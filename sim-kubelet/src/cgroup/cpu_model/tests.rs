//! Work that takes as long as arithmetic says.

use proptest::prelude::*;
use sim_core::time::{millis, secs};

use super::*;

fn weight(cpu_weight: u64) -> Knobs {
    Knobs { cpu_weight, ..Knobs::default() }
}

fn quota(ms: i64) -> Knobs {
    Knobs { cpu_quota: Some(ms * 1_000), ..Knobs::default() }
}

fn at(span: Span) -> Time {
    Time::ZERO + span
}

#[test]
fn work_stretches_while_cpu_is_short() {
    let mut node = CpuModel::new(Time::ZERO, 1);
    let (a, b) = (node.add(GroupId::ROOT, &weight(100)), node.add(GroupId::ROOT, &weight(300)));
    node.start(a, 1, Some(secs(1)));
    node.start(b, 1, Some(secs(3)));
    // A quarter and three quarters: both end after four seconds.
    assert_eq!(node.advance(at(secs(9))), [(at(secs(4)), a), (at(secs(4)), b)]);
    node.start(a, 1, Some(secs(2)));
    node.start(b, 1, Some(secs(3)));
    // The second ends first, at four seconds; the first has one left and the CPU for itself.
    assert_eq!(node.advance(at(secs(99))), [(at(secs(13)), b), (at(secs(14)), a)]);
}

#[test]
fn a_throttled_neighbour_leaves_room() {
    let mut node = CpuModel::new(Time::ZERO, 1);
    let (a, b) = (node.add(GroupId::ROOT, &quota(10)), node.add(GroupId::ROOT, &weight(100)));
    node.start(a, 1, None);
    node.start(b, 1, None);
    node.advance(at(secs(1)));
    // Both share the CPU for 20 ms of each period, then the second is alone.
    assert_eq!((node.stat(a).usage_usec, node.stat(b).usage_usec), (100_000, 900_000));
    assert_eq!((node.stat(a).nr_throttled, node.stat(a).throttled_usec), (10, 800_000));
    assert_eq!(node.stat(GroupId::ROOT).usage_usec, 1_000_000);
}

#[test]
fn a_pods_quota_throttles_all_its_containers() {
    let mut node = CpuModel::new(Time::ZERO, 8);
    let pod = node.add(GroupId::ROOT, &quota(100));
    let (a, b) = (node.add(pod, &weight(100)), node.add(pod, &quota(50)));
    node.start(a, 2, None);
    node.start(b, 2, None);
    node.advance(at(secs(1)));
    // 4 CPUs for 25 ms use up the pod's 100 ms and the container's 50 at once.
    assert_eq!(node.stat(pod).usage_usec, 1_000_000);
    assert_eq!((node.stat(a).usage_usec, node.stat(b).usage_usec), (500_000, 500_000));
    assert_eq!(node.stat(pod).throttled_usec, 10 * 4 * 75_000);
}

#[test]
fn a_nodes_cgroups_run() {
    use super::super::tree::{PodEntry, TreeConfig};
    let spec = |cpu: &str, limit: Option<&str>| {
        let resources = serde_json::json!({"requests": {"cpu": cpu}, "limits": limit.map(|l| serde_json::json!({"cpu": l}))});
        serde_json::from_value(serde_json::json!({"containers": [{"name": "c", "resources": resources}]}))
            .unwrap()
    };
    let (small, big) = (spec("1", Some("1500m")), spec("3", None));
    let containers = [("c".into(), "c".into())];
    let entry =
        |uid, spec| PodEntry { uid, spec, critical: false, exclusive_cpus: &[], containers: &containers };
    let tree = CgroupTree::new(TreeConfig::default(), &[entry("a", &small), entry("b", &big)]).unwrap();
    let (mut node, ids) = CpuModel::of(Time::ZERO, 4, &tree);
    let of =
        |pod: &str| ids.iter().find(|(path, _)| path.contains(pod) && path.ends_with(".scope")).unwrap().1;
    let (a, b) = (of("poda"), of("podb"));
    node.start(a, 4, None);
    node.start(b, 4, None);
    // Weights of 39 and 118, as the kubelet makes them.
    assert!(node.rate(a).abs_diff(4 * CPU * 39 / 157) <= 1);
    node.advance(at(secs(1)));
    assert_eq!(node.stat(GroupId::ROOT).usage_usec, 4_000_000);
    node.start(b, 0, None);
    let before = node.stat(a).usage_usec;
    node.advance(at(secs(2)));
    assert_eq!(node.stat(a).usage_usec - before, 1_500_000);
}

#[test]
fn pressure_tells_who_waits() {
    let mut node = CpuModel::new(Time::ZERO, 2);
    let (a, b) = (node.add(GroupId::ROOT, &weight(100)), node.add(GroupId::ROOT, &weight(100)));
    node.start(a, 2, None);
    node.start(b, 2, None);
    node.advance(at(secs(600)));
    let half = "avg10=50.00 avg60=50.00";
    assert!(node.pressure(a).starts_with(&format!("some {half}")), "{}", node.pressure(a));
    assert!(node.pressure(a).contains(&format!("full {half}")), "{}", node.pressure(a));
    let root = node.pressure(GroupId::ROOT);
    assert!(root.starts_with("some avg10=100.00") && root.contains("full avg10=0.00"), "{root}");
}

#[test]
fn an_idle_node_has_no_events() {
    let mut node = CpuModel::new(Time::ZERO, 2);
    let a = node.add(GroupId::ROOT, &quota(10));
    assert_eq!(node.next_event(), None);
    node.start(a, 1, Some(millis(9)));
    assert_eq!(node.advance(at(secs(86_400))), [(at(millis(9)), a)]);
    assert_eq!(node.next_event(), None);
    assert_eq!(node.stat(a).nr_periods, 2);
}

proptest! {
    /// Nothing is lost: what all used is what the CPUs gave, never more than there is, and everything ends.
    #[test]
    fn conservation(
        cpus in 1_u64..5,
        groups in prop::collection::vec((0_usize..4, 1_u64..1000, prop::option::of(5_i64..300), 0_u64..5, 1_i64..400), 1..8),
    ) {
        let mut node = CpuModel::new(Time::ZERO, cpus);
        let mut leaves = Vec::new();
        let pods: Vec<GroupId> = (0..4).map(|i| node.add(GroupId::ROOT, &weight(100 + i))).collect();
        for (pod, weight, quota_ms, threads, work_ms) in &groups {
            let knobs = Knobs { cpu_weight: *weight, cpu_quota: quota_ms.map(|ms| ms * 1_000), ..Knobs::default() };
            let id = node.add(pods[*pod], &knobs);
            node.start(id, *threads, Some(millis(*work_ms)));
            leaves.push((id, *threads, *work_ms));
        }
        let mut used_before = 0;
        for step in 1..=6 {
            node.advance(at(millis(step * 50)));
            let used: Work = node.groups[0].bandwidth.usage();
            prop_assert!(used - used_before <= work(millis(50)) * i128::from(cpus));
            used_before = used;
        }
        node.advance(at(secs(3_600)));
        let sum: Work = leaves.iter().map(|(id, ..)| node.groups[id.0 as usize].bandwidth.usage()).sum();
        prop_assert_eq!(sum, node.groups[0].bandwidth.usage());
        for (id, threads, ms) in leaves {
            let used = node.groups[id.0 as usize].bandwidth.usage();
            let wanted = if threads == 0 { 0 } else { work(millis(ms)) };
            // Up to the nanosecond in which it ended.
            prop_assert!(used >= wanted && used - wanted <= i128::from(cpus * CPU), "{used} {wanted}");
        }
    }
}
