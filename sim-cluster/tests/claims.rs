//! Devices from the claim of a pod's template to the last pod that used them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PodResourceClaim, PodSpec};
use serde_json::{Value, json};
use sim_cluster::prelude::*;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::Object;
use sim_core::features::{FeatureGates, Gate};
use sim_dra::driver::{Driver, GpuGroup, Gpus, H100_80GB, Service};
use sim_kubelet::fleet::Trouble;
use smol_str::SmolStr;

/// Two nodes with two GPUs each. Pods of Jobs run for half a minute.
fn cluster(seed: u64) -> Cluster {
    let driver = || -> Arc<[Box<dyn Driver>]> {
        Arc::from([
            Box::new(Gpus::new(vec![GpuGroup::whole(&H100_80GB, 2)], Service::INSTANT)) as Box<dyn Driver>
        ])
    };
    let drivers: BTreeMap<SmolStr, _> = ["n0", "n1"].map(|name| (name.into(), driver())).into();
    let mut sim = Cluster::builder()
        .seed(seed)
        .features(FeatureGates::default().with(Gate::DRADeviceTaints))
        .drivers(drivers)
        .nodes(2, |i| node(&format!("n{i}")).cpu("8").memory("32Gi"))
        .build();
    let selector = json!([{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}]);
    sim.create(object(Kind::DEVICE_CLASS, Key::cluster("gpu"), json!({"spec": {"selectors": selector}})));
    sim.create(object(
        Kind::RESOURCE_CLAIM_TEMPLATE,
        Key::new("default", "one-gpu"),
        json!({"spec": {"spec": one_gpu()}}),
    ));
    sim
}

fn one_gpu() -> Value {
    json!({"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}})
}

fn object(kind: Kind, key: Key, body: Value) -> Object {
    Object::json(kind, Meta::named(key), body)
}

fn from_template(spec: &mut PodSpec) {
    spec.resource_claims = Some(vec![PodResourceClaim {
        name: "gpu".into(),
        resource_claim_template_name: Some("one-gpu".into()),
        ..PodResourceClaim::default()
    }]);
}

fn shared(spec: &mut PodSpec) {
    spec.resource_claims = Some(vec![PodResourceClaim {
        name: "gpu".into(),
        resource_claim_name: Some("shared".into()),
        ..PodResourceClaim::default()
    }]);
}

/// Of every claim: its devices as `node/device`, and for how many pods it is reserved.
fn claims(sim: &Cluster) -> Vec<(String, usize)> {
    let facts = |claim: &Arc<Object>| {
        let status = &claim.as_json().expect("JSON")["status"];
        let results = status["allocation"]["devices"]["results"].as_array().cloned().unwrap_or_default();
        let names = results.iter().map(|r| format!("{}/{}", text(&r["pool"]), text(&r["device"])));
        let users = status["reservedFor"].as_array().map_or(0, Vec::len);
        (names.collect::<Vec<_>>().join(","), users)
    };
    sim.list(Kind::RESOURCE_CLAIM).iter().map(facts).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn running(sim: &Cluster) -> usize {
    sim.pods().iter().filter(|pod| pod.is_running()).count()
}

#[test]
fn a_job_gets_devices_and_gives_them_back() {
    let mut sim = cluster(1);
    let train = sim.create(job("train").replicas(4).pods(|pod| pod.with(from_template)));
    sim.run_until(|c| running(c) == 4, mins(1)).unwrap();
    let mut taken = claims(&sim);
    taken.sort();
    let all = ["n0/gpu-0", "n0/gpu-1", "n1/gpu-0", "n1/gpu-1"];
    assert_eq!(taken, all.map(|device| (device.to_owned(), 1)));
    let claim = &sim.list(Kind::RESOURCE_CLAIM)[0];
    assert!(claim.meta.name().starts_with("train-"), "{}", claim.meta.name());
    assert_eq!(claim.meta.annotations.get("resource.kubernetes.io/pod-claim-name").unwrap(), "gpu");

    let done = |c: &Cluster| {
        c.get(Kind::JOB, train).is_some_and(|o| o.as_job().unwrap().status.succeeded == Some(4))
    };
    sim.run_until(done, mins(5)).unwrap();
    sim.run_for(secs(5));
    assert_eq!(sim.pods().len(), 4, "the pods are still there");
    assert_eq!(claims(&sim), [], "the claims of finished pods are not");
}

#[test]
fn pods_wait_for_the_devices_of_others() {
    let mut sim = cluster(2);
    sim.create(job("train").replicas(6).pods(|pod| pod.with(from_template)));
    sim.run_until(|c| running(c) == 4, mins(1)).unwrap();
    assert_eq!(claims(&sim).iter().filter(|claim| claim.1 == 0).count(), 2, "two wait");
    sim.run_until(|c| running(c) == 2 && claims(c).len() == 2, mins(2)).unwrap();
}

#[test]
fn a_claim_is_shared_until_the_last_pod_is_gone() {
    let mut sim = cluster(3);
    sim.create(object(Kind::RESOURCE_CLAIM, Key::new("default", "shared"), json!({"spec": one_gpu()})));
    let first = sim.create(pod("a").with(shared));
    let second = sim.create(pod("b").with(shared));
    sim.run_until(|c| running(c) == 2, mins(1)).unwrap();
    let taken = claims(&sim);
    assert_eq!((taken.len(), taken[0].1), (1, 2));
    assert_eq!(sim.pod(first).node(), sim.pod(second).node());
    sim.delete(Kind::POD, first).unwrap();
    sim.run_until(|c| c.pods().len() == 1, mins(2)).unwrap();
    sim.run_for(secs(1));
    assert_eq!(claims(&sim), [(taken[0].0.clone(), 1)], "the other still uses it");
    sim.delete(Kind::POD, second).unwrap();
    sim.run_until(|c| c.pods().is_empty(), mins(2)).unwrap();
    sim.run_for(secs(1));
    assert_eq!(claims(&sim), [(String::new(), 0)], "a claim that a user made stays, without devices");
    let claim = &sim.list(Kind::RESOURCE_CLAIM)[0];
    assert!(claim.meta.finalizers.is_empty(), "{:?}", claim.meta.finalizers);
}

#[test]
fn a_pod_that_is_deleted_before_it_has_a_node() {
    let mut sim = cluster(4);
    let waiting = sim.create(pod("waiting").cpu("100").with(from_template));
    sim.run_until(|c| claims(c).len() == 1, mins(1)).unwrap();
    sim.delete(Kind::POD, waiting).unwrap();
    sim.run_until(|c| claims(c).is_empty(), mins(1)).unwrap();
    assert!(sim.pods().is_empty());
}

#[test]
fn a_claim_that_is_deleted_while_it_is_used_waits() {
    let mut sim = cluster(5);
    sim.create(object(Kind::RESOURCE_CLAIM, Key::new("default", "shared"), json!({"spec": one_gpu()})));
    let user = sim.create(pod("a").with(shared));
    sim.run_until(|c| running(c) == 1, mins(1)).unwrap();
    sim.delete(Kind::RESOURCE_CLAIM, "shared").unwrap();
    sim.run_for(mins(5));
    assert_eq!(claims(&sim).len(), 1);
    sim.delete(Kind::POD, user).unwrap();
    sim.run_until(|c| claims(c).is_empty(), mins(2)).unwrap();
}

#[test]
fn a_template_that_comes_late() {
    let mut sim = cluster(6);
    sim.delete(Kind::RESOURCE_CLAIM_TEMPLATE, "one-gpu").unwrap();
    sim.run_for(secs(1));
    sim.create(pod("a").with(from_template));
    sim.run_for(mins(1));
    assert_eq!(running(&sim), 0);
    let template = json!({"spec": {"spec": one_gpu()}});
    sim.create(object(Kind::RESOURCE_CLAIM_TEMPLATE, Key::new("default", "one-gpu"), template));
    sim.run_until(|c| running(c) == 1, mins(20)).unwrap();
}

#[test]
fn a_pod_goes_from_a_device_that_breaks_and_its_replacement_gets_another() {
    let mut sim = cluster(7);
    // Whoever is stopped has not succeeded.
    let train = |pod: PodBuilder| {
        let pod =
            pod.annotation("wavetank.dev/run", "forever").annotation("wavetank.dev/stop-exit-code", "143");
        pod.with(from_template)
    };
    sim.create(job("train").pods(train));
    sim.run_until(|c| running(c) == 1, mins(1)).unwrap();
    let (broken, first) = (claims(&sim)[0].0.clone(), sim.pods()[0].object().unwrap().meta.uid);
    let (node, device) = broken.split_once('/').unwrap();
    let trouble = Trouble::Taint { key: "".into(), value: "".into(), effect: "NoExecute".into() };
    sim.fail_device(node, device, trouble).unwrap();
    let condition = |c: &Cluster| {
        c.pods().iter().any(|pod| {
            let pod = pod.object().and_then(|o| o.as_pod());
            let condition = pod.and_then(|pod| pod.status.condition("DisruptionTarget").cloned());
            condition.is_some_and(|condition| condition.reason == "DeletionByDeviceTaintManager")
        })
    };
    sim.run_until(condition, mins(1)).unwrap();
    let replaced = |c: &Cluster| {
        running(c) == 1 && c.pods().iter().all(|p| p.object().is_some_and(|o| o.meta.uid != first))
    };
    sim.run_until(replaced, mins(2)).unwrap();
    sim.run_for(secs(1));
    let now = claims(&sim);
    assert_eq!((now.len(), now[0].1), (1, 1));
    assert_ne!(now[0].0, broken);
}

#[test]
fn a_rule_taints_devices_until_it_is_deleted() {
    let mut sim = cluster(8);
    sim.create(deployment("serve").replicas(4).pods(|pod| pod.with(from_template)));
    sim.run_until(|c| running(c) == 4, mins(1)).unwrap();
    let taint = json!({"key": "example.com/maintenance", "effect": "NoExecute"});
    let rule = json!({"spec": {"deviceSelector": {"pool": "n1"}, "taint": taint}});
    sim.create(object(Kind::DEVICE_TAINT_RULE, Key::cluster("maintenance"), rule));
    let on_n1 = |c: &Cluster| claims(c).iter().filter(|claim| claim.0.starts_with("n1/")).count();
    sim.run_until(|c| running(c) == 2 && on_n1(c) == 0, mins(2)).unwrap();
    sim.run_for(mins(5));
    assert_eq!((running(&sim), on_n1(&sim)), (2, 0), "nobody goes back");
    sim.delete(Kind::DEVICE_TAINT_RULE, "maintenance").unwrap();
    sim.run_until(|c| running(c) == 4, mins(10)).unwrap();
}
