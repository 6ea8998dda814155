use serde_json::json;
use sim_core::api::error::{ApiError, Reason};
use sim_core::api::object::Body;
use sim_core::api::request::{ChangeKind, Request};
use sim_core::engine::component::{Env, Recorder};
use sim_core::engine::log::{Keep, Log, Record, records};
use sim_core::engine::timing::Timing;
use sim_core::time::{millis, secs};

use super::*;
use crate::framework::{
    Attempt, Code, Effects, Permission, Permit, Plugin, Profile, Reserve, Status, Waiting, plugin,
};
use crate::pod::PodInfo;
use crate::testing::{node, pod};

mod events;
mod explain;
mod extenders;
mod metrics;
mod preemption;
mod volumes;

/// The scheduler with a hand-driven clock.
struct World {
    scheduler: Scheduler,
    env: Env,
    log: Log,
    port: Recorder<Timer>,
    now: Time,
}

impl World {
    fn new(scheduler: Scheduler) -> World {
        let env = Env { timing: Timing::instant(), ..Env::default() };
        let mut world =
            World { scheduler, env, log: Log::default(), port: Recorder::default(), now: Time::ZERO };
        world.with(|s, ctx| s.started(ctx));
        world
    }

    fn with(&mut self, act: impl FnOnce(&mut Scheduler, &mut Ctx<'_, Timer>)) {
        let mut ctx = Ctx::new(self.now, &self.env, &mut self.log, &mut self.port);
        act(&mut self.scheduler, &mut ctx);
    }

    fn see(&mut self, kind: ChangeKind, old: Option<&Object>, new: &Object) {
        let change = Change { kind, old: old.cloned().map(Arc::new), new: Arc::new(new.clone()) };
        self.with(|s, ctx| s.changed(ctx, &[change]));
    }

    fn add(&mut self, object: &Object) {
        self.see(ChangeKind::Added, None, object);
    }

    /// Fires timers up to an instant.
    fn run_until(&mut self, end: Time) {
        while let Some(next) =
            self.next_timer().filter(|i| self.port.timers[*i].is_some_and(|(at, _)| at <= end))
        {
            let Some((at, timer)) = self.port.timers[next].take() else { return };
            self.now = self.now.max(at);
            self.with(|s, ctx| s.fired(ctx, timer));
        }
        self.now = end;
    }

    fn next_timer(&self) -> Option<usize> {
        let set = self.port.timers.iter().enumerate().filter_map(|(i, t)| t.map(|(at, _)| (at, i)));
        set.min().map(|(_, i)| i)
    }

    fn bindings(&self) -> Vec<(String, String, Tag)> {
        let requests = self.port.requests.iter();
        let bind = |(request, tag): &(Request, Option<Tag>)| match request {
            Request::Bind { key, node, .. } => Some((key.name.to_string(), node.to_string(), (*tag)?)),
            _ => None,
        };
        requests.filter_map(bind).collect()
    }

    fn patches(&self) -> Vec<(String, String)> {
        let requests = self.port.requests.iter();
        let patch = |(request, _): &(Request, Option<Tag>)| match request {
            Request::PatchPodStatus { patch, .. } => {
                let condition = patch.conditions.first()?;
                Some((condition.reason.to_string(), condition.message.to_string()))
            }
            _ => None,
        };
        requests.filter_map(patch).collect()
    }

    fn reply(&mut self, tag: Tag, result: Result<Object, ApiError>) {
        self.with(|s, ctx| s.replied(ctx, Reply { tag, result: result.map(Arc::new) }));
    }
}

fn on(object: &Object, node: &str) -> Object {
    let mut bound = object.clone();
    if let Body::Pod(body) = &mut bound.body {
        body.node_name = node.into();
    }
    bound
}

#[test]
fn a_pod_is_bound_to_the_better_node() {
    let mut world = World::new(Scheduler::default());
    world.add(&node("small").cpu("2").build());
    world.add(&node("big").cpu("8").build());
    let web = pod("web").cpu("1").build();
    world.add(&web);
    world.run_until(Time::ZERO);
    let [(name, node, tag)] = &world.bindings()[..] else { panic!("one binding: {:?}", world.bindings()) };
    assert_eq!((name.as_str(), node.as_str()), ("web", "big"));
    let tag = *tag;
    assert!(world.scheduler.cache().is_assumed(web.meta.uid));
    world.see(ChangeKind::Modified, Some(&web), &on(&web, "big"));
    assert!(!world.scheduler.cache().is_assumed(web.meta.uid));
    world.reply(tag, Ok(on(&web, "big")));
    assert_eq!(world.next_timer(), None, "an idle scheduler sets no timers");
    assert!(world.scheduler.held.is_empty() && world.scheduler.bindings.is_empty());
}

#[test]
fn a_pod_that_fits_nowhere_says_why_and_wakes_when_a_node_joins() {
    let mut world = World::new(Scheduler::default());
    world.add(&node("small").cpu("2").build());
    let web = pod("web").cpu("4").build();
    world.add(&web);
    world.run_until(Time::ZERO + secs(30));
    let text = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
                available: 1 Preemption is not helpful for scheduling.";
    assert_eq!(world.patches(), [("Unschedulable".to_owned(), text.to_owned())]);
    assert_eq!(world.scheduler.why_pending(&web.meta.key).as_deref(), Some(text));
    let verdicts = &world.scheduler.last_attempt(&web.meta.key).expect("an attempt").verdicts;
    assert_eq!((verdicts[0].plugin.as_str(), verdicts[0].nodes), ("NodeResourcesFit", 1));
    world.add(&node("big").cpu("8").build());
    world.run_until(Time::ZERO + secs(31));
    assert_eq!(world.bindings()[0].1, "big");
    world.see(ChangeKind::Modified, Some(&web), &on(&web, "big"));
    assert_eq!(world.scheduler.why_pending(&web.meta.key), None);
}

#[test]
fn without_nodes_pods_are_tried_again_after_a_back_off() {
    let mut world = World::new(Scheduler::default());
    let web = pod("web").build();
    world.add(&web);
    world.run_until(Time::ZERO + millis(4_500));
    let text = "no nodes available to schedule pods";
    assert_eq!(world.scheduler.why_pending(&web.meta.key).as_deref(), Some(text));
    assert_eq!(world.scheduler.last_attempt(&web.meta.key).map(|last| last.attempt), Some(2));
    world.add(&node("n").build());
    world.run_until(Time::ZERO + secs(10));
    assert_eq!(world.bindings().len(), 1);
}

#[test]
fn a_failed_binding_gives_the_room_back() {
    let mut world = World::new(Scheduler::default());
    world.add(&node("n").cpu("1").build());
    let (a, b) = (pod("a").cpu("1").build(), pod("b").cpu("1").build());
    world.add(&a);
    world.add(&b);
    world.run_until(Time::ZERO);
    let [(first, _, tag)] = &world.bindings()[..] else { panic!("room for one only") };
    assert_eq!(first, "a");
    let tag = *tag;
    world.reply(tag, Err(ApiError::new(Reason::InternalError, "etcd is away")));
    assert!(world.patches().contains(&(
        "SchedulerError".to_owned(),
        "running Bind plugin \"DefaultBinder\": etcd is away".to_owned()
    )));
    world.run_until(Time::ZERO + secs(1));
    assert_eq!(world.bindings().last().map(|b| b.0.as_str()), Some("b"));
}

#[test]
fn pods_of_others_gated_and_deleting_pods_are_left_alone() {
    let mut world = World::new(Scheduler::default());
    world.add(&node("n").build());
    world.add(&pod("foreign").with("schedulerName", json!("other")).build());
    let gated = pod("gated").with("schedulingGates", json!([{"name": "g"}])).build();
    world.add(&gated);
    let mut deleting = pod("deleting").build();
    deleting.meta.deletion =
        Some(sim_core::api::meta::Deletion { timestamp: Time::ZERO, grace_period_seconds: 0 });
    world.add(&deleting);
    world.run_until(Time::ZERO + secs(600));
    assert_eq!(world.bindings(), []);
    let why = world.scheduler.why_pending(&gated.meta.key);
    assert_eq!(why.as_deref(), Some("waiting for scheduling gates: [g]"));
    let mut open = pod("gated").build();
    open.meta.resource_version = 2;
    world.see(ChangeKind::Modified, Some(&gated), &open);
    world.run_until(Time::ZERO + secs(600));
    assert_eq!(world.bindings()[0].0, "gated");
}

#[test]
fn ended_pods_leave_their_room() {
    let mut world = World::new(Scheduler::default());
    world.add(&node("n").cpu("1").build());
    let running = on(&pod("running").cpu("1").build(), "n");
    world.add(&running);
    world.add(&pod("next").cpu("1").build());
    world.run_until(Time::ZERO + secs(1));
    assert_eq!(world.bindings(), []);
    let mut ended = running.clone();
    if let Body::Pod(body) = &mut ended.body {
        Arc::make_mut(&mut body.status).phase = sim_core::api::pod_status::PodPhase::Succeeded;
    }
    world.see(ChangeKind::Modified, Some(&running), &ended);
    world.run_until(Time::ZERO + secs(2));
    assert_eq!(world.bindings()[0].0, "next");
}

/// Lets pods wait until two of them are there.
struct Pair;

impl Plugin for Pair {
    const NAME: &'static str = "Pair";
    type Cycle = u32;
    fn pre_filter(&self, _: &PodInfo) -> u32 {
        0
    }
}

impl Reserve for Pair {
    fn reserve(&self, reserved: &mut u32, _: &Attempt<'_>, _: &str, _: &mut Effects) -> Status {
        *reserved += 1;
        Status::success()
    }

    fn unreserve(&self, reserved: &mut u32, _: &Attempt<'_>, _: &str, _: &mut Effects) {
        assert_eq!(*reserved, 1, "the state of the cycle is kept until the pod is bound");
        *reserved -= 1;
    }
}

impl Permit for Pair {
    fn permit(&self, _: &mut u32, _: &Attempt<'_>, _: &str, waiting: &mut Waiting) -> Permission {
        let others: Vec<_> = waiting.iter().map(|pod| pod.object.meta.uid).collect();
        if others.is_empty() {
            return Permission::Wait(secs(10));
        }
        others.into_iter().for_each(|uid| waiting.allow(uid, "Pair"));
        Permission::Allow
    }
}

#[test]
fn permit_plugins_make_pods_wait_let_them_go_and_lose_patience() {
    let profile = Profile::default_profile().with(plugin(Pair).reserve().permit());
    let mut world = World::new(Scheduler::new(vec![profile]));
    world.add(&node("n").build());
    world.add(&pod("one").build());
    world.run_until(Time::ZERO + secs(5));
    assert_eq!(world.bindings(), []);
    world.add(&pod("two").build());
    world.run_until(Time::ZERO + secs(6));
    let names: Vec<String> = world.bindings().into_iter().map(|b| b.0).collect();
    assert_eq!(names, ["two", "one"]);

    let lonely = pod("lonely").build();
    world.add(&lonely);
    world.run_until(Time::ZERO + millis(16_500));
    let last = world.scheduler.last_attempt(&lonely.meta.key).expect("an attempt");
    assert_eq!(
        last.message,
        "0/1 nodes are available: 1 rejected due to timeout after waiting 10s at plugin Pair."
    );
    assert_eq!(last.verdicts[0].code, Code::Unschedulable);
    assert!(!world.scheduler.cache().is_assumed(lonely.meta.uid));
}

#[test]
fn a_waiting_pod_that_is_deleted_is_told_of_once_more() {
    let profile = Profile::default_profile().with(plugin(Pair).reserve().permit());
    let mut world = World::new(Scheduler::new(vec![profile]));
    world.log.set_keep(Keep::Records);
    world.add(&node("n").build());
    let lonely = pod("lonely").build();
    world.add(&lonely);
    world.run_until(Time::ZERO + secs(1));
    world.see(ChangeKind::Deleted, None, &lonely);
    let encoded = world.log.take();
    let events: Vec<String> = records(&encoded)
        .filter_map(|(_, record)| match record {
            Record::Event { reason, message, .. } => Some(format!("{reason}: {message}")),
            _ => None,
        })
        .collect();
    assert_eq!(events, ["FailedScheduling: 0/1 nodes are available: 1 removed."]);
}

#[test]
fn both_engines_bind_alike() {
    let run = |engine| {
        let scheduler = Scheduler { engine, ..Scheduler::default() };
        let mut world = World::new(scheduler);
        for i in 0..130 {
            world.add(&node(&format!("n{i}")).cpu("4").build());
        }
        for i in 0..60 {
            world.add(&pod(&format!("p{i}")).cpu(if i % 3 == 0 { "1" } else { "500m" }).build());
        }
        world.run_until(Time::ZERO);
        world.bindings()
    };
    let fast = run(Engine::Fast);
    assert_eq!(fast.len(), 60);
    assert_eq!(fast, run(Engine::Plain));
}
