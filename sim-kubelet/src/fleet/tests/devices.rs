//! Stories of devices: published, prepared, shared, broken.

use std::sync::Mutex;

use sim_core::api::meta::Uid;
use sim_core::engine::random::Stream;
use sim_core::time::secs;
use sim_dra::driver::{Answer, Claim, Driver, GpuGroup, Gpus, H100_80GB, Pool, Prepared, Service};

use super::*;

/// A driver that writes down what it is asked.
#[derive(Clone, Debug)]
struct Diary(Gpus, Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, what: &str, claim: &Claim) {
        if let Ok(mut lines) = self.1.lock() {
            lines.push(format!("{what} {}", claim.name));
        }
    }
}

impl Driver for Diary {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn pools(&self, node: &str) -> Vec<Pool> {
        self.0.pools(node)
    }
    fn prepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<Vec<Prepared>> {
        self.note("prepare", claim);
        self.0.prepare(claim, random)
    }
    fn unprepare(&mut self, claim: &Claim, random: &mut Stream) -> Answer<()> {
        self.note("unprepare", claim);
        self.0.unprepare(claim, random)
    }
    fn replaced(&mut self, hardware: &str) {
        self.0.replaced(hardware);
    }
    fn clone_box(&self) -> Box<dyn Driver> {
        Box::new(self.clone())
    }
}

pub(super) struct Story {
    pub(super) world: World,
    diary: Arc<Mutex<Vec<String>>>,
}

/// One node with four GPUs, which take 3 s to prepare and 2 s to give back.
fn story() -> Story {
    let service = Service::taking(Delay::Constant(secs(3)), Delay::Constant(secs(2)));
    story_of(service)
}

pub(super) fn story_of(service: Service) -> Story {
    let diary = Arc::new(Mutex::new(Vec::new()));
    let gpus = Gpus::new(vec![GpuGroup::whole(&H100_80GB, 4)], service);
    let driver: Box<dyn Driver> = Box::new(Diary(gpus, diary.clone()));
    let drivers = [(SmolStr::new("n1"), Arc::from([driver]))].into();
    let config = FleetConfig { drivers, resync: Delay::Constant(secs(60)), stand_in: None, ..config() };
    Story { world: World::new(config, Timing::instant()), diary }
}

impl Story {
    pub(super) fn asked(&self) -> Vec<String> {
        self.diary.lock().map(|lines| lines.clone()).unwrap_or_default()
    }

    /// A claim that has got a device of a driver.
    pub(super) fn claim(&mut self, name: &str, driver: &str) {
        let results = json!([{"request": "r", "driver": driver, "pool": "n1", "device": "gpu-0"}]);
        let requests = json!([{"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}}]);
        let body = json!({"spec": {"devices": {"requests": requests}}, "status": {"allocation": {"devices": {"results": results}}}});
        let claim = Object::json(Kind::RESOURCE_CLAIM, Meta::named(Key::new("default", name)), body.clone());
        let made = self.world.ask(Request::Create(Box::new(claim)));
        let mut claim = Object::clone(&made);
        claim.body = Body::Json(Arc::new(body));
        self.world.ask(Request::UpdateStatus(Box::new(claim)));
    }

    fn reserve(&mut self, name: &str, pods: &[Uid]) {
        let key = Key::new("default", name);
        let claim =
            self.world.api.store.get(Kind::RESOURCE_CLAIM, &key).cloned().expect("the claim is there");
        let mut claim = Object::clone(&claim);
        let users = pods.iter().map(|uid| json!({"resource": "pods", "name": "p", "uid": uid.to_string()}));
        if let Body::Json(body) = &mut claim.body {
            Arc::make_mut(body)["status"]["reservedFor"] = users.collect();
        }
        self.world.ask(Request::UpdateStatus(Box::new(claim)));
    }

    /// A pod that uses claims, which are reserved for it before its node hears of it.
    pub(super) fn pod(&mut self, name: &str, claims: &[&str]) -> Uid {
        let made = self.unreserved(name, claims);
        for claim in claims {
            let before = self.users(claim);
            self.reserve(claim, &[before, vec![made]].concat());
        }
        made
    }

    fn users(&self, claim: &str) -> Vec<Uid> {
        let claim = self.world.api.store.get(Kind::RESOURCE_CLAIM, &Key::new("default", claim));
        let body = claim.and_then(|c| c.as_json()).cloned().unwrap_or_default();
        let users = body["status"]["reservedFor"].as_array().cloned().unwrap_or_default();
        users.iter().filter_map(|u| u["uid"].as_str()).map(Uid::parse).collect()
    }

    fn unreserved(&mut self, name: &str, claims: &[&str]) -> Uid {
        let pod_claims: Vec<Value> =
            claims.iter().map(|c| json!({"name": c, "resourceClaimName": c})).collect();
        let uses: Vec<Value> = claims.iter().map(|c| json!({"name": c})).collect();
        let main = container("main", json!({"resources": {"claims": uses}}));
        let pod = self.world.pod(name, json!({"containers": [main], "resourceClaims": pod_claims}));
        pod.meta.uid
    }

    fn slices(&self) -> Vec<Value> {
        let all = self.world.api.store.list(Kind::RESOURCE_SLICE);
        all.iter().map(|s| s.as_json().cloned().unwrap_or_default()["spec"].clone()).collect()
    }

    fn happened(&mut self) -> Vec<String> {
        self.world.lines(|record| match record {
            Record::Container { container, name, step, value, .. } => {
                let of = if container.is_empty() { name } else { container };
                (!["pulling", "sandbox"].contains(step)).then(|| format!("{of} {step} {value}"))
            }
            Record::Event { reason: "FailedPrepareDynamicResources", message, .. } => {
                Some(message.to_string())
            }
            _ => None,
        })
    }
}

#[test]
fn devices_are_ready_before_containers_start_and_given_back_before_the_pod_goes() {
    let mut story = story();
    story.claim("gpu", "gpu.nvidia.com");
    story.pod("a", &["gpu"]);
    story.world.run(secs(10));
    assert_eq!(story.world.says("a"), "Running Ready main=running+");
    story.world.delete("a", None);
    story.world.run(secs(1));
    assert!(story.world.get("a").is_some(), "its devices are not given back yet");
    story.world.run(secs(5));
    assert_eq!(story.world.says("a"), "gone");
    assert_eq!(
        story.happened(),
        [
            "3s a prepared 1",
            "3s main started 0",
            "10s main stopping 30",
            "10s main exited 0",
            "12s a unprepared 1",
            "12s a finished 0"
        ]
    );
    assert_eq!(story.asked(), ["prepare gpu", "unprepare gpu"]);
    assert!(story.world.fleet.node("n1").unwrap().devices().unwrap().claims().iter().next().is_none());
}

#[test]
fn a_shared_claim_is_prepared_once_and_given_back_with_its_last_pod() {
    let mut story = story();
    story.claim("gpu", "gpu.nvidia.com");
    story.pod("a", &["gpu"]);
    story.world.run(secs(10));
    story.pod("b", &["gpu"]);
    story.world.run(secs(1));
    assert_eq!(story.world.says("b"), "Running Ready main=running+");
    story.world.delete("a", Some(0));
    story.world.run(secs(10));
    assert_eq!(story.asked(), ["prepare gpu"]);
    story.world.delete("b", Some(0));
    story.world.run(secs(10));
    assert_eq!(story.asked(), ["prepare gpu", "unprepare gpu"]);
    assert_eq!(story.world.says("b"), "gone");
}

#[test]
fn a_pod_waits_for_what_it_may_not_have() {
    let mut story = story();
    story.claim("gpu", "gpu.nvidia.com");
    let pod = story.unreserved("a", &["gpu"]);
    story.world.run(secs(50));
    assert_eq!(story.world.says("a"), "Pending NotReady main=ContainerCreating");
    story.reserve("gpu", &[pod]);
    story.world.run(secs(20));
    assert_eq!(story.world.says("a"), "Running Ready main=running+");
    let said = story.happened();
    assert!(
        said[0].starts_with("0s Failed to prepare dynamic resources: prepare dynamic resources: pod a (")
            && said[0].contains("is not allowed to use ResourceClaim gpu ("),
        "{said:?}"
    );
    assert_eq!(said[1..], ["1m3s a prepared 1", "1m3s main started 0"]);

    for (claim, driver, why) in [
        ("nothing", "", "fetch ResourceClaim nothing: resourceclaims.resource.k8s.io \"nothing\" not found"),
        ("nic", "dra.net", "DRA driver dra.net is not registered"),
    ] {
        if driver.is_empty() {
            story.unreserved(claim, &[claim]);
        } else {
            story.claim(claim, driver);
            story.pod(claim, &[claim]);
        }
        story.world.run(secs(1));
        let said = story.happened();
        assert!(said.last().is_some_and(|line| line.ends_with(why)), "{said:?}");
    }
    assert_eq!(story.asked(), ["prepare gpu"]);
}

#[test]
fn a_driver_that_fails_is_asked_again_with_the_next_sync() {
    let mut story = story();
    let fault = Fault { times: Some(2), error: "no luck".into() };
    story.world.fleet.fail_prepare("n1", "gpu.nvidia.com", Some(fault)).unwrap();
    story.claim("gpu", "gpu.nvidia.com");
    story.pod("a", &["gpu"]);
    story.world.run(secs(200));
    let failed = "Failed to prepare dynamic resources: prepare dynamic resources: NodePrepareResources failed for \
                  ResourceClaim gpu: no luck";
    assert_eq!(
        story.happened(),
        [
            format!("3s {failed}"),
            format!("1m6s {failed}"),
            "2m9s a prepared 1".into(),
            "2m9s main started 0".into()
        ]
    );
    // It failed, but it was asked: what it may have done is undone.
    story.claim("other", "gpu.nvidia.com");
    let fault = Fault { times: None, error: "never".into() };
    story.world.fleet.fail_prepare("n1", "gpu.nvidia.com", Some(fault)).unwrap();
    story.pod("b", &["other"]);
    story.world.run(secs(10));
    story.world.delete("b", Some(0));
    story.world.run(secs(10));
    assert_eq!(story.world.says("b"), "gone");
    assert_eq!(story.asked()[3..], ["prepare other", "unprepare other"]);
}

#[test]
fn the_kubelet_does_not_wait_for_ever() {
    let mut story = story_of(Service::taking(Delay::Constant(secs(50)), Delay::ZERO));
    story.claim("gpu", "gpu.nvidia.com");
    story.pod("a", &["gpu"]);
    story.world.run(secs(46));
    let said = story.happened();
    assert!(said[0].starts_with("45s") && said[0].ends_with("desc = context deadline exceeded"), "{said:?}");
    // Deleted in the middle of the second try.
    story.world.run(secs(80));
    story.world.delete("a", Some(0));
    story.world.run(secs(1));
    assert_eq!(story.world.says("a"), "gone");
    assert_eq!(story.asked(), ["prepare gpu", "prepare gpu", "unprepare gpu"]);
}

/// As v1.34.1 does: see `Claims::begin`.
#[test]
fn a_container_does_not_start_without_the_claim_that_was_forgotten() {
    let mut story = story();
    story.claim("shared", "gpu.nvidia.com");
    story.claim("own", "gpu.nvidia.com");
    story.pod("a", &["shared"]);
    story.world.run(secs(10));
    story.pod("b", &["shared", "own"]);
    story.world.run(secs(10));
    assert_eq!(story.world.says("b"), "Pending NotReady main=CreateContainerConfigError");
    assert_eq!(story.asked(), ["prepare shared"]);
}

#[test]
fn a_kubelet_that_restarts_knows_who_uses_claims_but_not_that_they_are_ready() {
    let mut story = story();
    story.claim("gpu", "gpu.nvidia.com");
    story.pod("a", &["gpu"]);
    story.world.run(secs(10));
    // In the middle of preparing for another pod.
    story.claim("late", "gpu.nvidia.com");
    story.pod("b", &["late"]);
    story.world.run(secs(1));
    story.world.with_fleet(|fleet, ctx| fleet.restart_kubelet(ctx, "n1").unwrap());
    story.world.run(secs(1));
    assert_eq!(story.slices().len(), 0, "drivers have to register again");
    assert_eq!(story.world.says("a"), "Running Ready main=running+");
    story.pod("c", &["gpu"]);
    story.world.run(secs(40));
    assert_eq!(story.slices().len(), 1);
    assert_eq!(story.world.says("b"), "Running Ready main=running+");
    assert_eq!(story.world.says("c"), "Running Ready main=running+");
    for pod in ["a", "b", "c"] {
        story.world.delete(pod, None);
    }
    story.world.run(secs(10));
    assert_eq!(
        story.asked(),
        ["prepare gpu", "prepare late", "prepare late", "prepare gpu", "unprepare late", "unprepare gpu"]
    );
}

#[test]
fn broken_devices_show_in_the_slices_of_their_driver() {
    let mut story = story();
    let names = |story: &Story| -> Vec<String> {
        let slices = story.slices();
        assert_eq!(slices.len(), 1);
        assert_eq!(slices[0]["pool"]["generation"], 1, "one write is no new generation");
        let devices = slices[0]["devices"].as_array().cloned().unwrap_or_default();
        let show = |d: &Value| match &d["taints"][0] {
            Value::Null => d["name"].as_str().unwrap_or_default().to_owned(),
            t => format!(
                "{}:{}={}",
                d["name"].as_str().unwrap_or_default(),
                t["key"].as_str().unwrap_or_default(),
                t["timeAdded"]
            ),
        };
        devices.iter().map(show).collect()
    };
    assert_eq!(names(&story), ["gpu-0", "gpu-1", "gpu-2", "gpu-3"]);
    story.world.run(secs(10));
    let taint = Trouble::Taint { key: "broken".into(), value: "".into(), effect: "NoExecute".into() };
    let fail = |story: &mut Story, device: &str, trouble: Trouble| {
        story.world.with_fleet(|fleet, ctx| fleet.fail_device(ctx, "n1", device, trouble).unwrap());
        story.world.run(secs(10));
    };
    fail(&mut story, "gpu-1", taint.clone());
    let tainted = "gpu-1:broken=\"2025-01-01T00:00:10Z\"";
    assert_eq!(names(&story), ["gpu-0", tainted, "gpu-2", "gpu-3"]);
    fail(&mut story, "gpu-3", Trouble::Gone);
    assert_eq!(names(&story), ["gpu-0", tainted, "gpu-2"]);
    story.world.with_fleet(|fleet, ctx| {
        fleet.repair_device(ctx, "n1", "gpu-1", true).unwrap();
        fleet.repair_device(ctx, "n1", "gpu-3", false).unwrap();
        assert!(fleet.fail_device(ctx, "n1", "gpu-9", taint.clone()).is_err());
        assert!(fleet.fail_device(ctx, "n2", "gpu-1", taint.clone()).is_err());
    });
    story.world.run(secs(1));
    assert_eq!(names(&story), ["gpu-0", "gpu-1", "gpu-2", "gpu-3"]);
    let object = story.world.api.store.list(Kind::RESOURCE_SLICE).first().cloned().unwrap();
    assert!(object.meta.name().starts_with("n1-gpu.nvidia.com-"), "{}", object.meta.name());
    assert_eq!(object.meta.controller_of().map(|o| (o.kind.as_str(), o.name.as_str())), Some(("Node", "n1")));
}
