//! Whatever goes wrong on the way: what is wanted is reached in the end, and nobody loses a device in between.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, PodResourceClaim, PodSpec};
use proptest::prelude::*;
use serde_json::{Value, json};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::{Body, Object, Pod};
use sim_core::api::pod_status::PodPhase;
use sim_core::api::request::{DeleteOptions, PodStatusPatch, Request};
use sim_core::features::{FeatureGates, Gate};
use sim_core::time::{millis, mins, secs};
use sim_dra::pod::{self as claims, FINALIZER};

use super::POD_CLAIM_NAME;
use crate::faults::{Rates, World};

const DEVICES: usize = 4;

/// What somebody does, or what goes wrong. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    /// A pod with claims from a template, the shared one, or both.
    Create {
        generated: usize,
        shared: bool,
    },
    Delete(usize),
    /// The scheduler places a pod.
    Schedule(usize),
    /// A kubelet says that a pod is over.
    Finish(usize),
    /// A kubelet is through with a pod that is being deleted.
    Remove(usize),
    Taint(usize),
    Mend(usize),
    LoseWatch(usize),
    Restart,
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0usize..3, any::<bool>()).prop_map(|(generated, shared)| Step::Create { generated, shared }),
        2 => (0usize..8).prop_map(Step::Delete),
        6 => (0usize..8).prop_map(Step::Schedule),
        3 => (0usize..8).prop_map(Step::Finish),
        2 => (0usize..8).prop_map(Step::Remove),
        1 => (0..DEVICES).prop_map(Step::Taint),
        1 => (0..DEVICES).prop_map(Step::Mend),
        2 => (0usize..4).prop_map(Step::LoseWatch),
        1 => Just(Step::Restart),
        8 => (1i64..200).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..60)
}

struct Story {
    world: World,
    pods: usize,
    tainted: BTreeSet<usize>,
}

impl Story {
    fn new(seed: u64) -> Story {
        let gates = FeatureGates::default().with(Gate::DRADeviceTaints);
        let mut story = Story { world: World::new(seed, gates), pods: 0, tainted: BTreeSet::new() };
        let spec = json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}});
        story.create(
            Kind::RESOURCE_CLAIM_TEMPLATE,
            Key::new("default", "t"),
            json!({"spec": {"spec": spec}}),
        );
        story.create(Kind::RESOURCE_CLAIM, Key::new("default", "shared"), json!({"spec": spec}));
        story.create(Kind::RESOURCE_SLICE, Key::cluster("s"), slice(&story.tainted));
        story.world.watcher = check;
        story
    }

    fn create(&mut self, kind: Kind, key: Key, body: Value) {
        let object = Object::json(kind, Meta::named(key), body);
        self.world.act(Request::Create(Box::new(object))).expect("created");
    }

    /// One of the pods, by number.
    fn pod(&self, number: usize) -> Option<Arc<Object>> {
        let pods = self.world.list(Kind::POD);
        pods.get(number.checked_rem(pods.len())?).cloned()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Create { generated, shared } => self.create_pod(*generated, *shared),
            Step::Delete(n) => self.delete(*n),
            Step::Schedule(n) => self.schedule(*n),
            Step::Finish(n) => self.finish(*n),
            Step::Remove(n) => self.remove(*n),
            Step::Taint(n) => self.taint(*n, true),
            Step::Mend(n) => self.taint(*n, false),
            Step::LoseWatch(n) => {
                let kinds =
                    [Kind::POD, Kind::RESOURCE_CLAIM, Kind::RESOURCE_CLAIM_TEMPLATE, Kind::RESOURCE_SLICE];
                self.world.lose_watch(kinds[*n], millis(500));
            }
            Step::Restart => self.world.restart(),
            Step::Wait(time) => self.world.run_for(millis(*time)),
        }
    }

    fn create_pod(&mut self, generated: usize, shared: bool) {
        let claim = |number: usize| PodResourceClaim {
            name: format!("c{number}"),
            resource_claim_template_name: Some("t".into()),
            ..PodResourceClaim::default()
        };
        let mut all: Vec<PodResourceClaim> = (0..generated).map(claim).collect();
        all.extend(shared.then(|| PodResourceClaim {
            name: "shared".into(),
            resource_claim_name: Some("shared".into()),
            ..PodResourceClaim::default()
        }));
        let container = Container { name: "c".into(), image: Some("i".into()), ..Container::default() };
        let spec = PodSpec { containers: vec![container], resource_claims: Some(all), ..PodSpec::default() };
        // What upstream cannot know either is left out. A pod that comes and goes while the watch of pods is lost is never seen,
        // and what reserved it stays so. A pod that takes the name of another before the other is seen to be gone loses its
        // reservations, which are taken for stale ones.
        if self.world.is_lost(Kind::POD) {
            return;
        }
        self.world.show_all(Kind::POD);
        let meta = Meta::named(Key::new("default", format!("pod-{}", self.pods % 5)));
        self.pods += 1;
        let pod = Object::new(meta, Body::Pod(Pod { spec: Arc::new(spec), ..Pod::default() }));
        let _ = self.world.act(Request::Create(Box::new(pod)));
    }

    fn delete(&mut self, number: usize) {
        let Some(pod) = self.pod(number) else { return };
        let options = DeleteOptions { uid: pod.meta.uid, ..DeleteOptions::default() };
        let _ = self.world.act(Request::Delete { kind: Kind::POD, key: pod.key().clone(), options });
    }

    /// Gives a pod its devices and a node, unless something is not as it should be.
    fn schedule(&mut self, number: usize) {
        let Some(pod) = self.pod(number).filter(|pod| !is_over(pod) && !pod.meta.is_deleting()) else {
            return;
        };
        if pod.as_pod().is_none_or(|p| !p.node_name.is_empty()) {
            return;
        }
        let Some(wanted) = named_claims(&self.world, &pod) else { return };
        for claim in wanted {
            if claim.meta.is_deleting() || !self.reserve(&pod, &claim) {
                return;
            }
        }
        let bind = Request::Bind { key: pod.key().clone(), uid: pod.meta.uid, node: "node".into() };
        let _ = self.world.act(bind);
    }

    fn reserve(&mut self, pod: &Object, claim: &Object) -> bool {
        let mut next = claim.clone();
        if claims::allocation(claim).is_none() {
            let taken: BTreeSet<String> =
                self.world.list(Kind::RESOURCE_CLAIM).iter().filter_map(device).collect();
            let free = (0..DEVICES).find(|n| !self.tainted.contains(n) && !taken.contains(&format!("d{n}")));
            let Some(free) = free else { return false };
            next.meta.finalizers = vec![FINALIZER].into();
            next = match self.world.act(Request::Update(Box::new(next))) {
                Ok(written) => Object::clone(&written),
                Err(_) => return false,
            };
            let result = json!({"request": "r", "driver": "d", "pool": "p", "device": format!("d{free}")});
            set_status(&mut next, "allocation", json!({"devices": {"results": [result]}}));
        }
        if !claims::is_reserved_for(&next, pod.meta.uid) {
            let entry = json!({"resource": "pods", "name": pod.meta.name(), "uid": pod.meta.uid.to_string()});
            let mut users = claims::reserved_for(&next).to_vec();
            users.push(entry);
            set_status(&mut next, "reservedFor", users.into());
        }
        self.world.act(Request::UpdateStatus(Box::new(next))).is_ok()
    }

    fn finish(&mut self, number: usize) {
        let Some(pod) = self.pod(number).filter(|p| p.as_pod().is_some_and(|p| !p.node_name.is_empty()))
        else {
            return;
        };
        let patch = PodStatusPatch { phase: Some(PodPhase::Succeeded), ..PodStatusPatch::default() };
        let request =
            Request::PatchPodStatus { key: pod.key().clone(), uid: pod.meta.uid, patch: Box::new(patch) };
        let _ = self.world.act(request);
    }

    /// What a kubelet does at the end: containers have ended before the pod goes.
    fn remove(&mut self, number: usize) {
        let Some(pod) = self.pod(number).filter(|pod| pod.meta.is_deleting()) else { return };
        self.finish(number);
        let options =
            DeleteOptions { uid: pod.meta.uid, grace_period_seconds: Some(0), ..DeleteOptions::default() };
        let _ = self.world.act(Request::Delete { kind: Kind::POD, key: pod.key().clone(), options });
    }

    fn taint(&mut self, number: usize, on: bool) {
        if on {
            self.tainted.insert(number);
        } else {
            self.tainted.remove(&number);
        }
        let body = slice(&self.tainted);
        let mut object = Object::json(Kind::RESOURCE_SLICE, Meta::named(Key::cluster("s")), body);
        object.meta.resource_version = 0;
        self.world.act(Request::Update(Box::new(object))).expect("updated");
    }

    /// Nothing goes wrong any more, and kubelets do what they should.
    fn settle(&mut self) {
        self.world.rates = Rates::default();
        // An eviction is given up after five tries, until something about the device changes.
        for number in std::mem::take(&mut self.tainted) {
            self.world.run_for(secs(2));
            self.taint(number, false);
            self.world.run_for(secs(2));
            self.taint(number, true);
        }
        for _ in 0..20 {
            self.world.run_for(secs(30));
            for number in 0..self.world.list(Kind::POD).len() {
                self.remove(number);
            }
        }
        self.world.run_for(mins(20));
    }
}

/// The pod does not run and never will.
fn is_over(pod: &Object) -> bool {
    let body = pod.as_pod().expect("a pod");
    let was_never_bound = body.node_name.is_empty() && pod.meta.is_deleting();
    matches!(body.status.phase, PodPhase::Succeeded | PodPhase::Failed) || was_never_bound
}

fn slice(tainted: &BTreeSet<usize>) -> Value {
    let device = |n: usize| match tainted.contains(&n) {
        true => json!({"name": format!("d{n}"), "taints": [{"key": "k", "effect": "NoExecute"}]}),
        false => json!({"name": format!("d{n}")}),
    };
    let devices: Vec<Value> = (0..DEVICES).map(device).collect();
    let pool = json!({"name": "p", "generation": 1, "resourceSliceCount": 1});
    json!({"spec": {"driver": "d", "pool": pool, "nodeName": "node", "devices": devices}})
}

fn set_status(claim: &mut Object, field: &str, value: Value) {
    if let Body::Json(body) = &mut claim.body {
        Arc::make_mut(body)["status"][field] = value;
    }
}

fn device(claim: &Arc<Object>) -> Option<String> {
    let name = &claims::allocation(claim)?["devices"]["results"][0]["device"];
    name.as_str().map(str::to_owned)
}

/// A pod's claims, if all are there and its own.
fn named_claims(world: &World, pod: &Object) -> Option<Vec<Arc<Object>>> {
    let find = |claim| {
        let (name, own) = claims::claim_name(pod, claim).ok()??;
        let found = world.api.store.get(Kind::RESOURCE_CLAIM, &Key::new("default", name))?;
        (!own || claims::is_for(pod, found)).then(|| found.clone())
    };
    claims::claims_of(pod).iter().map(find).collect()
}

/// After every commit: who runs has its devices, no device has two claims, and no claim was made twice.
fn check(world: &World) {
    for pod in world.list(Kind::POD) {
        let runs = !is_over(&pod) && pod.as_pod().is_some_and(|p| !p.node_name.is_empty());
        if runs {
            let used = named_claims(world, &pod).expect("the claims of a pod that runs are there");
            for claim in used {
                assert!(claims::allocation(&claim).is_some(), "{} lost its device", claim.key());
                assert!(claims::is_reserved_for(&claim, pod.meta.uid), "{} lost {}", pod.key(), claim.key());
            }
        }
    }
    let (mut devices, mut made) = (BTreeSet::new(), BTreeSet::new());
    for claim in world.list(Kind::RESOURCE_CLAIM) {
        if let Some(device) = device(&claim) {
            assert!(devices.insert(device), "{} has the device of another", claim.key());
        }
        if let (Some(owner), Some(name)) =
            (claim.meta.controller_of(), claim.meta.annotations.get(POD_CLAIM_NAME))
        {
            assert!(made.insert((owner.uid, name.clone())), "{} was made twice", claim.key());
        }
    }
}

/// At the end: what is needed is there, and nothing else.
fn check_end(story: &Story) {
    let world = &story.world;
    for pod in world.list(Kind::POD).iter().filter(|pod| !is_over(pod)) {
        let claims = named_claims(world, pod);
        assert!(claims.is_some(), "{} lacks claims", pod.key());
        let broken: BTreeSet<String> = story.tainted.iter().map(|n| format!("d{n}")).collect();
        let is_bound = pod.as_pod().is_some_and(|p| !p.node_name.is_empty());
        let uses_broken = claims.iter().flatten().filter_map(device).any(|device| broken.contains(&device));
        assert!(!is_bound || !uses_broken, "{} uses a broken device", pod.key());
    }
    let pods = world.list(Kind::POD);
    let needs = |uid| pods.iter().any(|pod| pod.meta.uid == uid && !is_over(pod));
    for claim in world.list(Kind::RESOURCE_CLAIM) {
        let users = claims::reserved_for(&claim);
        assert!(users.iter().all(|user| needs(claims::consumer(user))), "{} keeps users", claim.key());
        if users.is_empty() {
            assert!(claims::allocation(&claim).is_none(), "{} keeps its device", claim.key());
            // The protection may outlive a refused write, as upstream; deletion takes it away.
            assert!(!claim.meta.is_deleting(), "{} is protected", claim.key());
        }
        let owner = claim.meta.controller_of();
        assert!(owner.is_none_or(|owner| needs(owner.uid)), "{} is needed by nobody", claim.key());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn claims_converge(
        seed in 0u64..1000,
        refused in 0usize..30,
        lost_answer in 0usize..20,
        steps in steps(),
    ) {
        let mut story = Story::new(seed);
        story.world.rates = Rates { refused, lost_answer };
        for step in &steps {
            story.step(step);
        }
        story.settle();
        check_end(&story);
    }
}
