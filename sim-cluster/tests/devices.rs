//! No device, share of a device or counter is given twice at any time of a run, whatever breaks and restarts on the way, and
//! at the end all of them are free.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PodResourceClaim;
use proptest::prelude::*;
use serde_json::{Value, json};
use sim_cluster::prelude::*;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::Object;
use sim_core::features::{FeatureGates, Gate};
use sim_dra::driver::{Driver, GpuGroup, Gpus, H100_80GB, Pool, Service, Sharing};
use sim_kubelet::fleet::{Fault, Trouble};
use smol_str::SmolStr;

const CLASSES: [(&str, &str); 4] = [
    ("whole", "!device.allowMultipleAllocations && device.attributes['gpu.nvidia.com'].type == 'gpu'"),
    ("small", "device.attributes['gpu.nvidia.com'].?profile.orValue('') == '1g.10gb'"),
    ("large", "device.attributes['gpu.nvidia.com'].?profile.orValue('') == '3g.40gb'"),
    ("turns", "device.allowMultipleAllocations"),
];

#[derive(Clone, Debug)]
enum Op {
    /// A pod with a device of a class; it ends by itself or stays.
    Pod(usize, bool),
    Delete(usize),
    Break(usize, usize, bool),
    Mend(usize, usize, bool),
    Fail(usize),
    Restart(usize),
    Wait(i64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0usize..CLASSES.len(), any::<bool>()).prop_map(|(class, ends)| Op::Pod(class, ends)),
        3 => (0usize..20).prop_map(Op::Delete),
        1 => (0usize..2, 0usize..4, any::<bool>()).prop_map(|(n, d, gone)| Op::Break(n, d, gone)),
        1 => (0usize..2, 0usize..4, any::<bool>()).prop_map(|(n, d, new)| Op::Mend(n, d, new)),
        1 => (0usize..2).prop_map(Op::Fail),
        1 => (0usize..2).prop_map(Op::Restart),
        5 => (1i64..60).prop_map(Op::Wait),
    ]
}

fn gpus() -> Gpus {
    let group = |count, sharing| GpuGroup { product: &H100_80GB, count, sharing };
    let groups =
        vec![group(2, Sharing::Exclusive), group(1, Sharing::Mig), group(1, Sharing::TimeSlicing(4))];
    Gpus::new(groups, Service::TYPICAL)
}

fn object(kind: Kind, key: Key, body: Value) -> Object {
    Object::json(kind, Meta::named(key), body)
}

fn cluster(seed: u64) -> Cluster {
    let driver = || -> Arc<[Box<dyn Driver>]> { Arc::from([Box::new(gpus()) as Box<dyn Driver>]) };
    let drivers: BTreeMap<SmolStr, _> = ["n0", "n1"].map(|name| (name.into(), driver())).into();
    let gates = [Gate::DRADeviceTaints, Gate::DRAPartitionableDevices, Gate::DRAConsumableCapacity];
    let mut sim = Cluster::builder()
        .seed(seed)
        .features(gates.into_iter().fold(FeatureGates::default(), FeatureGates::with))
        .drivers(drivers)
        .nodes(2, |i| node(&format!("n{i}")).cpu("64").memory("256Gi"))
        .build();
    for (name, condition) in CLASSES {
        let selectors = json!([{"cel": {"expression": condition}}]);
        let class = json!({"spec": {"selectors": selectors}});
        sim.create(object(Kind::DEVICE_CLASS, Key::cluster(name), class));
        let requests = json!([{"name": "gpu", "exactly": {"deviceClassName": name}}]);
        let template = json!({"spec": {"spec": {"devices": {"requests": requests}}}});
        sim.create(object(Kind::RESOURCE_CLAIM_TEMPLATE, Key::new("default", name), template));
    }
    sim
}

/// Results of all claims, by device.
fn given(sim: &Cluster) -> BTreeMap<(String, String), Vec<Value>> {
    let mut out: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for claim in sim.api().store.list(Kind::RESOURCE_CLAIM) {
        let results = claim.as_json().and_then(|c| c.pointer("/status/allocation/devices/results"));
        for result in results.and_then(Value::as_array).into_iter().flatten() {
            let text = |field: &str| result[field].as_str().unwrap_or_default().to_owned();
            out.entry((text("pool"), text("device"))).or_default().push(result.clone());
        }
    }
    out
}

fn amount(value: &Value) -> i64 {
    value["value"].as_str().and_then(|v| v.trim_end_matches("Mi").parse().ok()).unwrap_or(0)
}

fn check(sim: &Cluster, pools: &[(&str, Vec<Pool>)]) -> Result<(), TestCaseError> {
    let given = given(sim);
    for ((node, device), results) in &given {
        let shared = results.iter().all(|r| r["shareID"].is_string());
        prop_assert!(results.len() == 1 || shared, "{node}/{device} is given twice: {results:?}");
        prop_assert!(results.len() <= 4, "{node}/{device} has four slices of time: {results:?}");
    }
    for (node, pools) in pools {
        for slice in pools.iter().flat_map(|pool| &pool.slices) {
            let mut used: BTreeMap<String, i64> = BTreeMap::new();
            let taken = |d: &&Value| {
                given.contains_key(&((*node).to_owned(), d["name"].as_str().unwrap_or("").to_owned()))
            };
            for device in slice.devices.iter().filter(taken) {
                for (name, counter) in
                    device["consumesCounters"][0]["counters"].as_object().into_iter().flatten()
                {
                    *used.entry(name.clone()).or_default() += amount(counter);
                }
            }
            for (name, used) in used {
                let there = amount(&slice.shared_counters[0]["counters"][&name]);
                prop_assert!(used <= there, "{node}: {used} of {there} {name} are given");
            }
        }
    }
    Ok(())
}

fn act(sim: &mut Cluster, op: &Op, pods: &mut Vec<String>) {
    let node = |n: &usize| format!("n{n}");
    // What is not there cannot break: that is an answer, too.
    match op {
        Op::Pod(class, ends) => {
            let name = format!("p{}", pods.len());
            let claim = PodResourceClaim {
                name: "gpu".into(),
                resource_claim_template_name: Some(CLASSES[*class].0.into()),
                ..PodResourceClaim::default()
            };
            let mut made =
                pod(&name).restart_policy("Never").with(|spec| spec.resource_claims = Some(vec![claim]));
            if *ends {
                made = made.annotation("wavetank.dev/run", "20s");
            }
            sim.create(made);
            pods.push(name);
        }
        Op::Delete(n) => {
            if let Some(name) = pods.get(*n) {
                let _ = sim.delete(Kind::POD, name.as_str());
            }
        }
        Op::Break(n, device, gone) => {
            let taint = Trouble::Taint { key: "".into(), value: "".into(), effect: "NoExecute".into() };
            let trouble = if *gone { Trouble::Gone } else { taint };
            let _ = sim.fail_device(&node(n), &format!("gpu-{device}"), trouble);
        }
        Op::Mend(n, device, new) => drop(sim.repair_device(&node(n), &format!("gpu-{device}"), *new)),
        Op::Fail(n) => {
            let fault = Fault { times: Some(1), error: "no".into() };
            let _ = sim.fail_prepare(&node(n), "gpu.nvidia.com", Some(fault));
        }
        Op::Restart(n) => drop(sim.restart_kubelet(&node(n))),
        Op::Wait(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_given_twice(seed in any::<u64>(), ops in prop::collection::vec(op(), 1..40)) {
        let mut sim = cluster(seed);
        let mut pods = Vec::new();
        let pools = ["n0", "n1"].map(|node| (node, gpus().pools(node)));
        for op in &ops {
            act(&mut sim, op, &mut pods);
            let steps = if let Op::Wait(seconds) = op { *seconds / 5 } else { 1 };
            for _ in 0..=steps {
                sim.run_for(millis(2_500));
                check(&sim, &pools)?;
            }
        }
        for name in &pods {
            let _ = sim.delete(Kind::POD, name.as_str());
        }
        sim.run_for(secs(600));
        prop_assert_eq!(sim.api().store.list(Kind::RESOURCE_CLAIM).len(), 0, "claims outlive their pods");
        let kept = sim.kubelets().map_or(0, |k| {
            k.nodes().filter_map(|n| n.devices()).map(|d| d.claims().iter().count()).sum::<usize>()
        });
        prop_assert_eq!(kept, 0, "claims are not given back");
    }
}
