//! A month of Jobs with claims on a cluster of GPUs, where devices break and are mended.
//!
//! Everything a device goes through takes part: kubelets publish slices, Jobs make pods, the ResourceClaim controller makes
//! claims of templates, the scheduler allocates, kubelets prepare, broken devices get a `NoExecute` taint, the device-taint
//! manager evicts, Jobs try again, and what is over is released and deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PodResourceClaim, PodSpec};
use serde_json::{Value, json};
use sim_cluster::WatchEvent;
use sim_cluster::prelude::*;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::{Body, Object};
use sim_core::engine::component::Watch;
use sim_core::engine::random::{Seed, Stream};
use sim_core::features::{FeatureGates, Gate};
use sim_dra::driver::{A100_80GB, Driver, GPU_DRIVER, GpuGroup, Gpus, H100_80GB, Product, Service, T4};
use sim_kubelet::fleet::Trouble;
use smol_str::SmolStr;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Nodes: 5 of 20 have 8 H100, 7 have 8 A100, 8 have 4 T4.
    pub nodes: usize,
    /// Jobs, of 1 to 4 pods with 1 to 8 GPUs each.
    pub jobs: usize,
    /// For how long Jobs arrive; they have two days more to end.
    pub span: Span,
    /// Devices that break, each for some hours.
    pub failures: usize,
}

impl Size {
    /// 200 nodes, 5,000 Jobs, 30 days.
    pub const MONTH: Size = Size { nodes: 200, jobs: 5_000, span: days(30), failures: 500 };
    /// The same in small.
    pub const DAY: Size = Size { nodes: 20, jobs: 20, span: hours(12), failures: 40 };
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of everything that happened.
    pub digest: String,
    /// Events that were handled.
    pub events: u64,
    /// Jobs that came to a good end.
    pub complete: usize,
    /// Pods that were evicted from broken devices.
    pub evicted: usize,
    /// Claims that are left.
    pub claims: usize,
    /// Objects that were written.
    pub writes: u64,
}

/// Models of GPUs, by the name of their class; and how many a node has.
const MODELS: [(&str, &Product, usize); 3] =
    [("h100", &H100_80GB, 8), ("a100", &A100_80GB, 8), ("t4", &T4, 4)];
/// How many GPUs a pod wants.
const COUNTS: [usize; 4] = [1, 2, 4, 8];

fn model_of(node: usize) -> usize {
    match node % 20 {
        0..5 => 0,
        5..12 => 1,
        _ => 2,
    }
}

fn drivers(nodes: usize) -> BTreeMap<SmolStr, Arc<[Box<dyn Driver>]>> {
    let service = Service::taking(Delay::Uniform(secs(1), secs(3)), Delay::Constant(secs(1)));
    let driver = |node: usize| -> Arc<[Box<dyn Driver>]> {
        let (_, product, count) = MODELS[model_of(node)];
        Arc::from([
            Box::new(Gpus::new(vec![GpuGroup::whole(product, count)], service.clone())) as Box<dyn Driver>
        ])
    };
    (0..nodes).map(|node| (node_name(node), driver(node))).collect()
}

fn node_name(node: usize) -> SmolStr {
    smol_str::format_smolstr!("node-{node:04}")
}

fn object(kind: Kind, key: Key, body: Value) -> Object {
    Object::json(kind, Meta::named(key), body)
}

/// Classes of devices, and a template for every model and number; the last ones take what there is.
fn prepare(sim: &mut Cluster) {
    for (class, product, _) in MODELS {
        let name = product.name;
        let expression = format!(
            "device.driver == '{GPU_DRIVER}' && device.attributes['{GPU_DRIVER}'].productName == '{name}'"
        );
        let body = json!({"spec": {"selectors": [{"cel": {"expression": expression}}]}});
        sim.create(object(Kind::DEVICE_CLASS, Key::cluster(class), body));
    }
    let mut template = |name: String, request: Value| {
        let spec = json!({"devices": {"requests": [request]}});
        let key = Key::new("default", name);
        sim.create(object(Kind::RESOURCE_CLAIM_TEMPLATE, key, json!({"spec": {"spec": spec}})));
    };
    for count in COUNTS {
        for (class, _, _) in MODELS {
            let exactly = json!({"deviceClassName": class, "count": count});
            template(format!("{class}-{count}"), json!({"name": "gpus", "exactly": exactly}));
        }
        let one = |class: &str| json!({"name": class, "deviceClassName": class, "count": count});
        template(
            format!("any-{count}"),
            json!({"name": "gpus", "firstAvailable": [one("h100"), one("a100")]}),
        );
    }
}

/// One Job: what it wants and for how long.
fn work(number: usize, random: &mut Stream) -> Object {
    let count = COUNTS[random.below(COUNTS.len())];
    let template = match random.below(8) {
        0 | 1 => format!("h100-{count}"),
        2 | 3 => format!("a100-{count}"),
        4 | 5 => format!("t4-{}", count.min(4)),
        _ => format!("any-{count}"),
    };
    let pods = 1 + random.below(4) as i32;
    let run = Delay::LogNormal(hours(3), 0.8).sample(random);
    let claim = PodResourceClaim {
        name: "gpus".into(),
        resource_claim_template_name: Some(template),
        ..PodResourceClaim::default()
    };
    let with_claim = move |spec: &mut PodSpec| spec.resource_claims = Some(vec![claim]);
    let template = |pod: PodBuilder| {
        let pod = pod.annotation("wavetank.dev/run", &format!("{}s", run.0 / secs(1).0));
        pod.annotation("wavetank.dev/stop-exit-code", "143").cpu("4").memory("16Gi").with(with_claim)
    };
    let mut job = Object::from(job(&format!("job-{number:05}")).replicas(pods).pods(template));
    if let Body::Job(body) = &mut job.body {
        let spec = Arc::make_mut(&mut body.spec);
        spec.backoff_limit = Some(100);
        spec.ttl_seconds_after_finished = Some(3600);
    }
    job
}

/// Breaks devices at random, and mends them after some hours.
fn plan_failures(sim: &mut Cluster, size: Size, random: &mut Stream) {
    for _ in 0..size.failures {
        let at = Delay::Uniform(Span::ZERO, size.span).sample(random);
        let node = random.below(size.nodes);
        let device = format!("gpu-{}", random.below(MODELS[model_of(node)].2));
        let for_how_long = Delay::Uniform(hours(1), hours(24)).sample(random);
        let (name, mended) = (node_name(node), device.clone());
        let broken = name.clone();
        sim.at(at, move |sim| {
            let trouble = Trouble::Taint { key: "".into(), value: "".into(), effect: "NoExecute".into() };
            // A device that is broken already stays so.
            let _ = sim.fail_device(&broken, &device, trouble);
        });
        sim.at(at + for_how_long, move |sim| {
            let _ = sim.repair_device(&name, &mended, false);
        });
    }
}

/// The cluster, with all that is going to happen to it.
pub fn cluster(seed: u64, size: Size) -> Cluster {
    let mut sim = Cluster::builder()
        .seed(seed)
        .features(FeatureGates::default().with(Gate::DRADeviceTaints))
        .drivers(drivers(size.nodes))
        .nodes(size.nodes, |i| node(&node_name(i)).cpu("128").memory("1Ti"))
        .build();
    prepare(&mut sim);
    let mut random = Seed(seed).stream("month/jobs");
    for number in 0..size.jobs {
        let at = Delay::Uniform(Span::ZERO, size.span).sample(&mut random);
        let job = work(number, &mut random);
        sim.at(at, move |sim| {
            sim.create(job.clone());
        });
    }
    plan_failures(&mut sim, size, &mut Seed(seed).stream("month/failures"));
    sim
}

/// Plays it.
///
/// # Errors
/// In a livelock.
pub fn play(seed: u64, size: Size) -> Result<Outcome, Box<dyn std::error::Error>> {
    let mut sim = cluster(seed, size);
    let end = sim.now() + size.span + days(2);
    let [jobs, pods] = [Kind::JOB, Kind::POD].map(Watch::all);
    let (jobs, pods) = (sim.watch(jobs, None, false)?, sim.watch(pods, None, false)?);
    let (mut complete, mut evicted) = (0, 0);
    while sim.now() < end {
        sim.try_run_for(mins(10).min(end - sim.now()))?;
        complete += sim.poll(jobs)?.iter().filter(|event| is_complete(event)).count();
        evicted += sim.poll(pods)?.iter().filter(|event| was_evicted(event)).count();
    }
    let claims = sim.list(Kind::RESOURCE_CLAIM).len();
    let (digest, events, writes) = (sim.digest(), sim.events_handled(), sim.api().store.revision());
    Ok(Outcome { digest, events, complete, evicted, claims, writes })
}

/// A Job that goes was complete.
fn is_complete(event: &WatchEvent) -> bool {
    let WatchEvent::Deleted(job) = event else { return false };
    let conditions = job.as_job().and_then(|job| job.status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Complete" && c.status == "True")
}

/// A pod that goes was evicted.
fn was_evicted(event: &WatchEvent) -> bool {
    let WatchEvent::Deleted(pod) = event else { return false };
    let condition = pod.as_pod().and_then(|pod| pod.status.condition("DisruptionTarget"));
    condition.is_some_and(|condition| condition.reason == "DeletionByDeviceTaintManager")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_ends_and_nothing_is_left() {
        let first = play(1, Size::DAY).expect("no livelock");
        assert_eq!((first.complete, first.claims), (Size::DAY.jobs, 0), "{first:?}");
        assert!(first.evicted > 0, "{first:?}");
        assert_eq!(first, play(1, Size::DAY).expect("no livelock"));
        assert_ne!(first.digest, play(2, Size::DAY).expect("no livelock").digest);
    }
}
