//! What counts as an event to the queue.

use super::*;
use crate::queue::QueueName;

/// Refuses the pod called `unlucky` after a node was chosen for it.
struct Moody;

impl Plugin for Moody {
    const NAME: &'static str = "Moody";
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl Reserve for Moody {
    fn reserve(&self, (): &mut (), attempt: &Attempt<'_>, _: &str, _: &mut Effects) -> Status {
        match attempt.object.meta.name() {
            "unlucky" => Status::new(Code::Unschedulable, "not today"),
            _ => Status::success(),
        }
    }

    fn unreserve(&self, (): &mut (), _: &Attempt<'_>, _: &str, _: &mut Effects) {}
}

fn place(world: &World, pod: &Object) -> Option<QueueName> {
    world.scheduler.queue().place_of(pod.meta.uid)
}

#[test]
fn a_pod_refused_in_its_cycle_leaves_nothing_for_others() {
    let profile = Profile::default_profile().with(plugin(Moody).reserve());
    let mut world = World::new(Scheduler::new(vec![profile]));
    world.add(&node("n").cpu("2").build());
    let big = pod("big").cpu("4").build();
    world.add(&big);
    world.run_until(Time::ZERO + secs(20));
    assert_eq!(place(&world, &big), Some(QueueName::Unschedulable));
    let unlucky = pod("unlucky").cpu("1").build();
    world.add(&unlucky);
    world.run_until(Time::ZERO + secs(25));
    assert_eq!(place(&world, &unlucky), Some(QueueName::Unschedulable));
    assert_eq!(
        place(&world, &big),
        Some(QueueName::Unschedulable),
        "nothing was taken that could be given back"
    );
    assert_eq!(world.scheduler.queue().in_flight().count(), 0);
}

#[test]
fn a_lost_promise_is_room_for_those_who_are_no_more_important() {
    let mut world = World::new(Scheduler::default());
    world.add(&node("n").cpu("2").build());
    let promised = |node: &str, version| {
        let mut object = pod("promised").cpu("4").with("priority", json!(5)).build();
        object.meta.resource_version = version;
        if let Body::Pod(body) = &mut object.body {
            Arc::make_mut(&mut body.status).nominated_node_name = node.into();
        }
        object
    };
    let waiting = [("less", 1), ("same", 5), ("more", 9)]
        .map(|(name, priority)| pod(name).cpu("4").with("priority", json!(priority)).build());
    waiting.iter().for_each(|pod| world.add(pod));
    world.add(&promised("n", 1));
    world.run_until(Time::ZERO + secs(20));
    let attempts = |world: &World| {
        let of = |pod: &Object| world.scheduler.last_attempt(&pod.meta.key).map(|last| last.attempt);
        waiting.each_ref().map(of)
    };
    assert_eq!(attempts(&world), [Some(1); 3]);
    world.see(ChangeKind::Modified, Some(&promised("n", 1)), &promised("", 2));
    world.run_until(Time::ZERO + secs(40));
    assert_eq!(attempts(&world), [Some(2), Some(2), Some(1)]);
}

#[test]
fn news_of_a_claim_older_than_what_is_assumed_are_no_event() {
    let claim = |version| {
        let mut meta = sim_core::api::meta::Meta::named(Key::new("default", "claim"));
        meta.resource_version = version;
        Arc::new(Object::json(Kind::RESOURCE_CLAIM, meta, json!({"spec": {}})))
    };
    let profile = Profile::default_profile().with(plugin(Anything).filter());
    let mut scheduler = Scheduler::new(vec![profile]);
    let see = |scheduler: &mut Scheduler, old: Option<u64>, new: u64| {
        let kind = if old.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        let change = Change { kind, old: old.map(claim), new: claim(new) };
        scheduler.observe(Time::ZERO, &change);
        scheduler.queue().in_flight().count()
    };
    let flying = Change { kind: ChangeKind::Added, old: None, new: Arc::new(pod("p").build()) };
    scheduler.observe(Time::ZERO, &flying);
    assert!(scheduler.with_queue(|queue, _| queue.pop()).is_some());
    assert_eq!(see(&mut scheduler, None, 1), 2);
    scheduler.cache.objects_mut().assume(claim(5));
    assert_eq!(see(&mut scheduler, Some(1), 5), 2);
    assert_eq!(see(&mut scheduler, Some(5), 6), 3);
}

/// Wakes on everything.
struct Anything;

impl Plugin for Anything {
    const NAME: &'static str = "Anything";
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl crate::framework::Filter for Anything {
    fn filter(&self, (): &(), _: &PodInfo, _: &crate::node::NodeInfo) -> crate::framework::Verdict {
        crate::framework::Fits
    }
}
