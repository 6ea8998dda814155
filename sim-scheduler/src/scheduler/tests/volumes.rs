//! Pods whose volumes are bound before they are.

use sim_core::api::meta::Key;

use super::*;
use crate::testing::volumes::{annotated, claim, pod_with, volume, wait};

impl World {
    /// A node, a volume and a claim for it, and a pod that uses the claim, which has just been tried.
    fn with_claim(objects: &[Object]) -> World {
        let mut world = World::new(Scheduler::default());
        world.add(&node("n").build());
        world.add(&wait());
        for object in objects {
            world.add(object);
        }
        world.add(&pod_with("p", &["c"]));
        world.run_until(Time::ZERO);
        world
    }

    /// The update that was sent last.
    fn update(&self) -> (Object, Tag) {
        match self.port.requests.last() {
            Some((Request::Update(object), Some(tag))) => ((**object).clone(), *tag),
            other => panic!("no update: {other:?}"),
        }
    }

    /// Accepts the update, and shows it.
    fn accept(&mut self) -> Object {
        let (mut written, tag) = self.update();
        written.meta.resource_version = 2;
        self.see(ChangeKind::Modified, None, &written);
        self.reply(tag, Ok(written.clone()));
        written
    }

    /// The claim is bound, as the PersistentVolume controller does it.
    fn bind_claim(&mut self, seen: Object) {
        let mut body = seen.as_json().expect("JSON").clone();
        body["spec"]["volumeName"] = json!("v");
        let mut bound = annotated(
            Object { body: Body::Json(Arc::new(body)), ..seen },
            "pv.kubernetes.io/bind-completed",
            "yes",
        );
        bound.meta.resource_version = 3;
        self.see(ChangeKind::Modified, None, &bound);
    }

    fn assumed_claim(&self) -> Option<&str> {
        let volume = self.scheduler.cache.objects().get(Kind::PERSISTENT_VOLUME, &Key::cluster("v"))?;
        volume.as_json()?.pointer("/spec/claimRef/name")?.as_str()
    }

    fn why_waiting(&self) -> Option<String> {
        self.scheduler.why_pending(&Key::new("default", "p"))
    }
}

fn both() -> [Object; 2] {
    [volume("v", json!({})), claim("c", json!({}))]
}

#[test]
fn a_pod_waits_until_its_volume_is_bound() {
    let mut world = World::with_claim(&both());
    let (written, _) = world.update();
    assert_eq!((written.kind, written.meta.resource_version), (Kind::PERSISTENT_VOLUME, 1));
    assert_eq!(world.assumed_claim(), Some("c"));
    world.accept();
    world.run_until(Time::ZERO + millis(2_300));
    world.bind_claim(claim("c", json!({})));
    assert_eq!(world.bindings(), [], "upstream looks every second");
    world.run_until(Time::ZERO + millis(2_999));
    assert_eq!(world.bindings(), []);
    world.run_until(Time::ZERO + secs(3));
    assert_eq!(world.bindings()[0].0, "p");
}

#[test]
fn a_volume_is_made_for_the_node() {
    let mut world = World::with_claim(&[claim("c", json!({}))]);
    let written = world.accept();
    assert_eq!(written.meta.annotation("volume.kubernetes.io/selected-node"), Some("n"));
    // The claim is bound first, and the volume comes later.
    world.bind_claim(written);
    world.run_until(Time::ZERO + millis(1_500));
    assert_eq!(world.bindings(), []);
    world.add(&volume("v", json!({})));
    world.run_until(Time::ZERO + secs(2));
    assert_eq!(world.bindings()[0].0, "p");
}

#[test]
fn without_a_controller_the_time_runs_out() {
    let mut world = World::with_claim(&both());
    world.accept();
    let timers = world.port.timers.len();
    world.run_until(Time::ZERO + millis(599_999));
    assert!(world.port.timers.len() <= timers + 1, "waiting costs nothing");
    assert!(world.scheduler.cache.is_assumed(sim_core::api::meta::Uid::parse("p")));
    world.run_until(Time::ZERO + secs(600));
    let text = "running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded";
    assert_eq!(world.why_waiting().as_deref(), Some(text));
    assert!(!world.scheduler.cache.is_assumed(sim_core::api::meta::Uid::parse("p")));
}

#[test]
fn what_ends_the_waiting() {
    let failed = |why: &str| Some(format!("running PreBind plugin \"VolumeBinding\": {why}"));
    let given_up = |world: &mut World| {
        let (mut written, _) = world.update();
        let mut body = written.as_json().expect("JSON").clone();
        body["spec"]["claimRef"] = json!(null);
        written.body = Body::Json(Arc::new(body));
        written.meta.resource_version = 4;
        world.see(ChangeKind::Modified, None, &written);
    };
    let gone = |world: &mut World| world.see(ChangeKind::Deleted, None, &claim("c", json!({})));
    let node_gone = |world: &mut World| world.see(ChangeKind::Deleted, None, &node("n").build());
    type Act<'a> = &'a dyn Fn(&mut World);
    let cases: [(&str, Act<'_>, Option<String>); 3] = [
        ("given up", &given_up, failed("binding volumes: ClaimRef got reset for pv \"v\"")),
        (
            "claim gone",
            &gone,
            failed(
                "binding volumes: failed to check binding: could not find v1.PersistentVolumeClaim \"default/c\"",
            ),
        ),
        ("node gone", &node_gone, failed("binding volumes: failed to get node \"n\": node \"n\" not found")),
    ];
    for (case, act, why) in cases {
        let mut world = World::with_claim(&both());
        world.accept();
        world.run_until(Time::ZERO + millis(1_200));
        act(&mut world);
        world.run_until(Time::ZERO + millis(1_999));
        assert_eq!(world.why_waiting(), None, "{case}");
        world.run_until(Time::ZERO + secs(2));
        assert_eq!(world.why_waiting(), why, "{case}");
    }
}

#[test]
fn a_deleted_pod_gives_its_place_back() {
    let mut world = World::with_claim(&both());
    world.accept();
    world.run_until(Time::ZERO + millis(1_200));
    let pod = pod_with("p", &["c"]);
    world.see(ChangeKind::Deleted, Some(&pod), &pod);
    assert!(world.scheduler.cache.is_assumed(pod.meta.uid));
    world.run_until(Time::ZERO + secs(2));
    assert!(!world.scheduler.cache.is_assumed(pod.meta.uid));
    assert!(world.scheduler.held.is_empty());
    assert_eq!(world.next_timer(), None);
}

#[test]
fn a_refused_update_takes_everything_back() {
    let mut world = World::with_claim(&both());
    let (_, tag) = world.update();
    world.reply(tag, Err(ApiError::new(Reason::Conflict, "somebody was faster")));
    let text = "running PreBind plugin \"VolumeBinding\": somebody was faster";
    assert_eq!(world.why_waiting().as_deref(), Some(text));
    assert_eq!(world.assumed_claim(), None);
}
