use std::collections::BTreeSet;

use serde_json::json;
use sim_core::time::millis;

use super::*;
use crate::framework::{ClusterEvent, Rejectors};
use crate::testing::{node, pod};

macro_rules! with {
    ($bench:expr) => {
        QueueContext {
            profiles: &$bench.profiles,
            surroundings: Surroundings { objects: &$bench.objects, preempting: &$bench.preempting },
        }
    };
}

struct Bench {
    profiles: Vec<Profile>,
    objects: crate::cache::Objects,
    preempting: BTreeSet<Uid>,
    queue: Queue,
    classes: crate::pod::Classes,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            profiles: vec![Profile::default_profile()],
            objects: crate::cache::Objects::default(),
            preempting: BTreeSet::new(),
            queue: Queue::new(secs(1), secs(10)),
            classes: crate::pod::Classes::default(),
        }
    }

    fn add(&mut self, object: Object, now: Time) -> Uid {
        let info = self.classes.of(&object).expect("a pod");
        let object = Arc::new(object);
        self.queue.add(with!(self), 0, object.clone(), info, now);
        object.meta.uid
    }

    fn fail(&mut self, mut pod: Box<QueuedPod>, plugins: &[&str], now: Time) {
        pod.unschedulable_plugins = self.plugins(plugins);
        self.queue.add_failed(with!(self), pod, now);
    }

    fn plugins(&self, names: &[&str]) -> Rejectors {
        let names: Vec<smol_str::SmolStr> = names.iter().map(smol_str::SmolStr::new).collect();
        self.profiles[0].rejectors(&names)
    }

    fn wake(&mut self, event: ClusterEvent, old: Option<Object>, new: Option<Object>, now: Time) {
        let (old, new) = (old.map(Arc::new), new.map(Arc::new));
        self.queue.move_all(with!(self), &Happening::new(event, old.as_ref(), new.as_ref()), now, |_| true);
    }

    fn update(&mut self, old: &Arc<Object>, new: Object, now: Time) -> Arc<Object> {
        let info = self.classes.of(&new).expect("a pod");
        let new = Arc::new(new);
        self.queue.update(with!(self), 0, old, (&new, info), now);
        new
    }

    fn pop(&mut self) -> String {
        self.queue.pop().map(|p| p.object.meta.name().to_owned()).unwrap_or_default()
    }
}

fn at(ms: i64) -> Time {
    Time::ZERO + millis(ms)
}

#[test]
fn priority_first_then_who_came_first() {
    let mut bench = Bench::new();
    for (name, priority, ms) in [("late", 0, 2), ("early", 0, 1), ("vip", 9, 3), ("low", -1, 0)] {
        bench.add(pod(name).with("priority", json!(priority)).build(), at(ms));
    }
    let order: Vec<String> = (0..4).map(|_| bench.pop()).collect();
    assert_eq!(order, ["vip", "early", "late", "low"]);
    assert!(!bench.queue.is_ready());
}

#[test]
fn refused_pods_wait_for_what_helps() {
    let mut bench = Bench::new();
    let picky = pod("p").with("nodeSelector", json!({"disk": "ssd"})).build();
    let uid = bench.add(picky, at(0));
    let popped = bench.queue.pop().expect("ready");
    bench.fail(popped, &["NodeAffinity"], at(10));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Unschedulable));
    let labelled = |disk: &str| Some(node("n").label("disk", disk).build());
    for (event, old, new) in [
        (Wake::PodDeleted, Some(pod("q").build()), None),
        (Wake::NodeAdded, None, labelled("hdd")),
        (Wake::NodeAllocatable, labelled("hdd"), labelled("ssd")),
    ] {
        bench.wake(event, old, new, at(20));
        assert_eq!(bench.queue.place_of(uid), Some(QueueName::Unschedulable), "{}", event.label());
    }
    bench.wake(Wake::NodeLabels, labelled("hdd"), labelled("ssd"), at(20));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Backoff));
    // Nothing else is active, so the pod need not wait for its back-off.
    assert_eq!(bench.pop(), "p");
    assert_eq!((bench.queue.cycle(), bench.queue.pending()), (2, PendingPods::default()));
}

#[test]
fn backoffs_double_up_to_the_limit_in_windows_of_a_second() {
    let mut bench = Bench::new();
    let uid = bench.add(pod("p").build(), at(0));
    let mut now = 270;
    for expiry in [1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
        let popped = bench.queue.pop().expect("ready");
        bench.fail(popped, &["NodeAffinity"], at(now));
        bench.wake(Wake::NodeAdded, None, Some(node("n").build()), at(now));
        let end = (now + expiry) / 1000 * 1000;
        assert_eq!(bench.queue.next_backoff_flush(), Some(at(end + 1000)), "after {expiry}");
        bench.queue.flush_backoff(with!(bench), at(end + 999));
        assert_eq!(bench.queue.place_of(uid), Some(QueueName::Backoff));
        now = end + 1000;
        bench.queue.flush_backoff(with!(bench), at(now));
        assert_eq!(bench.queue.place_of(uid), Some(QueueName::Active));
    }
}

#[test]
fn errors_back_off_for_real() {
    let mut bench = Bench::new();
    let uid = bench.add(pod("p").build(), at(0));
    let popped = bench.queue.pop().expect("ready");
    bench.fail(popped, &[], at(0));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Backoff));
    assert!(!bench.queue.is_ready(), "a pod that met an error is not taken before its time");
    bench.queue.flush_backoff(with!(bench), at(2_000));
    assert_eq!(bench.pop(), "p");
}

#[test]
fn gated_pods_wait_for_their_gates_only() {
    let mut bench = Bench::new();
    let gated = |gates: serde_json::Value| pod("p").with("schedulingGates", gates).build();
    let uid = bench.add(gated(json!([{"name": "g"}, {"name": "h"}])), at(0));
    let old = bench.queue.get(uid).expect("queued").object.clone();
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Gated));
    assert_eq!(bench.queue.next_unschedulable_flush(at(0)), None);
    bench.wake(Wake::NodeAdded, None, Some(node("n").build()), at(1));
    bench.wake(ClusterEvent::WILD_CARD, None, None, at(1));
    let old = bench.update(&old, gated(json!([{"name": "g"}])), at(1));
    assert_eq!(bench.queue.pending(), PendingPods { gated: 1, ..PendingPods::default() });
    bench.update(&old, gated(json!([])), at(2));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Active));
}

#[test]
fn what_happens_meanwhile_counts_when_the_pod_comes_back() {
    for (event, new, pending, queue) in [
        (Wake::NodeAdded, node("n").label("disk", "ssd"), false, QueueName::Backoff),
        (Wake::NodeAdded, node("n").label("disk", "ssd"), true, QueueName::Active),
        (Wake::NodeAdded, node("n").label("disk", "hdd"), true, QueueName::Unschedulable),
        (Wake::NodeAnnotations, node("n").label("disk", "ssd"), true, QueueName::Unschedulable),
    ] {
        let mut bench = Bench::new();
        let uid = bench.add(pod("p").with("nodeSelector", json!({"disk": "ssd"})).build(), at(0));
        bench.add(pod("q").build(), at(1));
        let mut popped = bench.queue.pop().expect("ready");
        let other = bench.queue.pop().expect("ready");
        bench.wake(event, None, Some(new.build()), at(2));
        let set = bench.plugins(&["NodeAffinity"]);
        if pending {
            popped.pending_plugins = set;
        } else {
            popped.unschedulable_plugins = set;
        }
        bench.queue.add_failed(with!(bench), popped, at(3));
        assert_eq!(bench.queue.place_of(uid), Some(queue), "{} {pending}", event.label());
        // The event is forgotten with the last pod that came before it.
        bench.queue.done(other.object.meta.uid);
        assert_eq!(bench.queue.in_flight().count(), 0);
    }
}

#[test]
fn activated_pods_are_tried_at_once_also_when_they_come_back() {
    let mut bench = Bench::new();
    let uid = bench.add(pod("p").build(), at(0));
    let popped = bench.queue.pop().expect("ready");
    let object = popped.object.clone();
    bench.queue.activate(with!(bench), &object, at(1));
    bench.fail(popped, &["NodePorts"], at(2));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Backoff));
    bench.queue.activate(with!(bench), &object, at(3));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Active));
    let came = bench.queue.incoming().get(&(QueueName::Active, Cause::ForceActivate));
    assert_eq!(came, Some(&1));
}

/// Counts how often it is asked.
struct Counting<const BY_CLASS: bool>(Arc<std::sync::atomic::AtomicUsize>);

impl<const BY_CLASS: bool> crate::framework::Plugin for Counting<BY_CLASS> {
    const NAME: &'static str = "Counting";
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl<const BY_CLASS: bool> crate::framework::Filter for Counting<BY_CLASS> {
    fn filter(&self, (): &(), _: &PodInfo, _: &crate::node::NodeInfo) -> crate::framework::Verdict {
        crate::framework::Fits
    }
}

impl<const BY_CLASS: bool> crate::framework::QueueingHint for Counting<BY_CLASS> {
    const BY_CLASS: bool = BY_CLASS;

    fn events(&self) -> Vec<ClusterEvent> {
        vec![Wake::PodDeleted]
    }

    fn hint(
        &self,
        _: &PodInfo,
        object: &Object,
        change: &crate::framework::EventChange<'_>,
        _: &crate::cache::Objects,
    ) -> crate::framework::Hint {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        crate::framework::Hint::queue_if(change.old.is_some_and(|old| old.meta.uid == object.meta.uid))
    }
}

#[test]
fn plugins_are_asked_once_per_class_if_they_may_be() {
    fn asked<const BY_CLASS: bool>(gone: &str) -> (usize, usize) {
        let mut bench = Bench::new();
        let count = Arc::<std::sync::atomic::AtomicUsize>::default();
        let plugin = crate::framework::plugin(Counting::<BY_CLASS>(count.clone())).filter().queueing_hints();
        bench.profiles = vec![Profile::default_profile().with(plugin)];
        for i in 0..10 {
            let cpu = if i % 2 == 0 { "1" } else { "2" };
            bench.add(pod(&format!("p{i}")).cpu(cpu).build(), at(i));
        }
        while let Some(popped) = bench.queue.pop() {
            bench.fail(popped, &["Counting"], at(20));
        }
        bench.wake(Wake::NodeAdded, None, Some(node("n").build()), at(30));
        bench.wake(Wake::PodDeleted, Some(pod(gone).build()), None, at(30));
        (count.load(std::sync::atomic::Ordering::Relaxed), bench.queue.pending().backoff)
    }
    assert_eq!(asked::<true>("other"), (2, 0));
    assert_eq!(asked::<true>("p4"), (3, 1), "the pod that an event is about is asked for itself");
    assert_eq!(asked::<false>("other"), (10, 0));
}

#[test]
fn nobody_waits_much_longer_than_five_minutes() {
    let mut bench = Bench::new();
    let uid = bench.add(pod("p").build(), at(0));
    let popped = bench.queue.pop().expect("ready");
    bench.fail(popped, &["NodeResourcesFit"], at(0));
    assert_eq!(
        bench.queue.next_unschedulable_flush(at(0)),
        Some(at(330_000)),
        "strictly later than the limit"
    );
    bench.queue.flush_unschedulable(with!(bench), at(300_000));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Unschedulable));
    bench.queue.flush_unschedulable(with!(bench), at(330_000));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Active));
    assert!(bench.queue.delete(uid).is_some() && bench.queue.get(uid).is_none());
    assert_eq!(bench.queue.pending(), PendingPods::default());
}
