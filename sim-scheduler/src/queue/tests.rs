use sim_core::time::millis;

use super::*;
use crate::testing::pod;
use serde_json::json;

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
        pod.unschedulable_plugins = plugins.iter().map(SmolStr::new).collect();
        self.queue.add_failed(with!(self), pod, &[], now);
    }

    fn wake(&mut self, wake: Wake, now: Time) {
        self.queue.move_all(with!(self), wake, now, |_| true);
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
fn refused_pods_wait_for_the_right_event() {
    let mut bench = Bench::new();
    let uid = bench.add(pod("p").build(), at(0));
    let popped = bench.queue.pop().expect("ready");
    bench.fail(popped, &["NodeAffinity"], at(10));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Unschedulable));
    bench.wake(Wake::PodDeleted, at(20));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Unschedulable));
    bench.wake(Wake::NodeLabels, at(20));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Backoff));
    // Nothing else is active, so the pod need not wait for its back-off.
    assert_eq!(bench.pop(), "p");
}

#[test]
fn backoffs_double_up_to_the_limit_in_windows_of_a_second() {
    let mut bench = Bench::new();
    let uid = bench.add(pod("p").build(), at(0));
    let mut now = 270;
    for expiry in [1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
        let popped = bench.queue.pop().expect("ready");
        bench.fail(popped, &["NodeAffinity"], at(now));
        bench.wake(Wake::NodeAdded, at(now));
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
    let gated = pod("p").with("schedulingGates", json!([{"name": "g"}]));
    let uid = bench.add(gated.build(), at(0));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Gated));
    assert_eq!(bench.queue.next_unschedulable_flush(), None);
    bench.wake(Wake::NodeAdded, at(1));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Gated));
    let open = Arc::new(pod("p").build());
    let info = bench.classes.of(&open).expect("a pod");
    bench.queue.update(with!(bench), open, info, &[Wake::OwnGatesEliminated], at(2));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Active));
}

#[test]
fn nobody_waits_much_longer_than_five_minutes() {
    let mut bench = Bench::new();
    let uid = bench.add(pod("p").build(), at(0));
    let popped = bench.queue.pop().expect("ready");
    bench.fail(popped, &["NodeResourcesFit"], at(0));
    assert_eq!(bench.queue.next_unschedulable_flush(), Some(at(330_000)), "strictly later than the limit");
    bench.queue.flush_unschedulable(with!(bench), at(300_000));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Unschedulable));
    bench.queue.flush_unschedulable(with!(bench), at(330_000));
    assert_eq!(bench.queue.place_of(uid), Some(QueueName::Active));
    assert!(bench.queue.remove(uid).is_some() && bench.queue.get(uid).is_none());
    assert_eq!(bench.queue.lengths(), (0, 0, 0));
}
