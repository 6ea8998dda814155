//! Whole rounds, told as stories.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};

use super::super::observe::{FsStats, MemoryStats, PodStats};
use super::super::threshold::{Operator, ThresholdConfig, ThresholdValue};
use super::*;

const GIB: i64 = 1 << 30;

/// A node of 10 GiB whose dead containers and unused images are so many GiB.
#[derive(Default)]
struct Node {
    memory_left: i64,
    disk_left: i64,
    garbage: [i64; 2],
    pods: BTreeMap<SmolStr, PodStats>,
    called: Vec<&'static str>,
}

impl Host for Node {
    fn summary(&mut self) -> Summary {
        let disk = FsStats { bytes: Some((self.disk_left, 10 * GIB)), inodes: None, time: None };
        let memory =
            MemoryStats { available: self.memory_left, working_set: 10 * GIB - self.memory_left, time: None };
        Summary {
            memory: Some(memory),
            node_fs: Some(disk),
            image_fs: Some(disk),
            container_fs: Some(disk),
            pods: self.pods.clone(),
            ..Summary::default()
        }
    }

    fn delete_unused_containers(&mut self) {
        self.disk_left += std::mem::take(&mut self.garbage[0]) * GIB;
        self.called.push("containers");
    }

    fn delete_unused_images(&mut self) {
        self.disk_left += std::mem::take(&mut self.garbage[1]) * GIB;
        self.called.push("images");
    }
}

struct Story {
    manager: Manager,
    node: Node,
    specs: Vec<(&'static str, PodSpec)>,
    now: Time,
}

impl Story {
    fn new(config: Config, pods: &[(&'static str, Value, i64)]) -> Story {
        let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
        let used = |gib: i64| PodStats { memory: Some(gib * GIB), ..PodStats::default() };
        let node = Node {
            memory_left: 5 * GIB,
            disk_left: 5 * GIB,
            pods: pods.iter().map(|(name, _, gib)| ((*name).into(), used(*gib))).collect(),
            ..Node::default()
        };
        let specs = pods.iter().map(|(name, spec, _)| (*name, read(spec))).collect();
        Story { manager: Manager::new(config), node, specs, now: Time::ZERO }
    }

    fn round(&mut self, seconds: i64) -> Outcome {
        self.now += secs(seconds);
        let pods: Vec<Candidate<'_>> = self
            .specs
            .iter()
            .map(|(name, spec)| Candidate { name, uid: name, spec, critical: spec.priority > Some(1 << 30) })
            .collect();
        self.manager.synchronize(self.now, Disks::default(), &pods, &mut self.node).unwrap()
    }

    fn who(&mut self, seconds: i64) -> Vec<(String, i64)> {
        self.round(seconds).evicted.into_iter().map(|e| (e.uid.to_string(), e.grace_period)).collect()
    }
}

fn threshold(signal: Signal, value: &str, grace: i64) -> Threshold {
    Threshold {
        signal,
        operator: Operator::LessThan,
        value: ThresholdValue::parse(value).unwrap(),
        grace_period: secs(grace),
        min_reclaim: None,
    }
}

fn pod(request: &str) -> Value {
    json!({"terminationGracePeriodSeconds": 30,
        "containers": [{"name": "c", "resources": {"requests": {"memory": request}}}]})
}

#[test]
fn soft_thresholds_wait_and_hard_ones_do_not() {
    let thresholds =
        vec![threshold(Signal::MemoryAvailable, "1Gi", 0), threshold(Signal::MemoryAvailable, "2Gi", 60)];
    let config = Config { thresholds, max_pod_grace_period: 45, ..Config::default() };
    let mut story = Story::new(config, &[("small", pod("1Gi"), 1), ("big", pod("1Gi"), 4)]);
    assert_eq!(story.who(0), []);
    assert_eq!(story.manager.conditions(), []);

    story.node.memory_left = 3 * GIB / 2;
    assert_eq!(story.who(10), []);
    assert_eq!(story.manager.conditions(), [Condition::Memory]);
    assert_eq!(story.who(59), []);
    assert_eq!(story.who(1), [("big".to_string(), 30)]);

    story.node.memory_left = GIB / 2;
    assert_eq!(story.who(1), [("big".to_string(), 1)]);

    story.node.memory_left = 5 * GIB;
    assert_eq!(story.who(299), []);
    assert_eq!(story.manager.conditions(), [Condition::Memory]);
    assert_eq!(story.who(1), []);
    assert_eq!(story.manager.conditions(), []);
}

#[test]
fn a_minimum_is_reclaimed_before_it_ends() {
    let mut hard = threshold(Signal::MemoryAvailable, "1Gi", 0);
    hard.min_reclaim = Some(ThresholdValue::parse("1Gi").unwrap());
    let mut story =
        Story::new(Config { thresholds: vec![hard], ..Config::default() }, &[("a", pod("1Gi"), 2)]);
    story.node.memory_left = GIB - 1;
    assert_eq!(story.who(0).len(), 1);
    story.node.memory_left = 2 * GIB - 1;
    assert_eq!(story.who(10).len(), 1);
    story.node.memory_left = 2 * GIB;
    assert_eq!(story.who(10), []);
}

#[test]
fn garbage_goes_before_pods() {
    let thresholds = vec![threshold(Signal::NodeFsAvailable, "1Gi", 0)];
    let mut story = Story::new(Config { thresholds, ..Config::default() }, &[("a", pod("1Gi"), 2)]);
    story.node.disk_left = 0;
    story.node.garbage = [0, 2];
    let outcome = story.round(0);
    assert_eq!((outcome.evicted.len(), outcome.reclaiming), (0, Some("ephemeral-storage")));
    assert_eq!(story.node.called, ["containers", "images"]);
    story.node.disk_left = 0;
    assert_eq!(story.who(10), [("a".to_string(), 1)]);
}

#[test]
fn critical_pods_stay_and_are_admitted() {
    let thresholds = vec![threshold(Signal::MemoryAvailable, "1Gi", 0)];
    let critical = json!({"priority": 2_000_000_000, "containers": [{"name": "c"}]});
    let mut story = Story::new(
        Config { thresholds, ..Config::default() },
        &[("critical", critical.clone(), 9), ("other", pod("4Gi"), 1)],
    );
    story.node.memory_left = 0;
    assert_eq!(story.who(0), [("other".to_string(), 1)]);
    let admit = |story: &Story, spec: Value, critical| {
        story.manager.admit(&serde_json::from_value(spec).unwrap(), critical)
    };
    let refused = Err("The node had condition: [MemoryPressure]. ".to_string());
    assert_eq!(admit(&story, critical.clone(), true), Ok(()));
    assert_eq!(admit(&story, critical, false), refused);
    assert_eq!(admit(&story, pod("1"), false), Ok(()));
    let tolerant = json!({"containers": [], "tolerations":
        [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]});
    assert_eq!(admit(&story, tolerant.clone(), false), Ok(()));
    story.manager.config.thresholds.push(threshold(Signal::NodeFsAvailable, "9Gi", 0));
    story.round(10);
    let both = Err("The node had condition: [MemoryPressure DiskPressure]. ".to_string());
    assert_eq!(admit(&story, tolerant, false), both);
    assert_eq!(admit(&story, pod("1"), false), both);
}

#[test]
fn split_file_systems_need_their_gate() {
    let config = Config {
        thresholds: vec![threshold(Signal::MemoryAvailable, "1Gi", 0)],
        separate_disk_gc: false,
        ..Config::default()
    };
    let mut manager = Manager::new(config);
    let split = Disks { dedicated_image_fs: true, split_container_fs: true };
    let mut node = Node::default();
    assert_eq!(manager.synchronize(Time::ZERO, split, &[], &mut node), Err(SplitFilesystem));
    let later = manager.synchronize(Time::ZERO, split, &[], &mut node).unwrap();
    assert_eq!((later.evicted.len(), later.reclaiming), (0, Some("memory")));
}

#[test]
fn the_defaults_of_upstream_read_well() {
    let all = ThresholdConfig::defaults().parse(true).unwrap();
    let text: Vec<String> = all
        .iter()
        .map(|t| match &t.value.quantity {
            Some(q) => format!("{}<{q}", t.signal.as_str()),
            None => format!("{}<{}", t.signal.as_str(), t.value.percentage),
        })
        .collect();
    assert_eq!(
        text,
        [
            "imagefs.available<0.15",
            "imagefs.inodesFree<0.05",
            "memory.available<100Mi",
            "nodefs.available<0.1",
            "nodefs.inodesFree<0.05",
            "allocatableMemory.available<100Mi",
        ]
    );
}
