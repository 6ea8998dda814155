//! The engine as a whole, seen through components that users write.

use sim_cluster::prelude::*;
use sim_core::api::meta::Key;
use sim_core::api::request::{Change, ChangeKind, Reply, Request, Tag};
use sim_core::engine::component::{Component, Ctx, Watch};

/// Labels every pod it sees, and counts what it is told.
#[derive(Clone, Default)]
struct Labeller {
    seen: Vec<(Time, ChangeKind)>,
    answers: Vec<(Time, bool)>,
}

impl Component for Labeller {
    type Timer = u64;

    fn name(&self) -> &'static str {
        "labeller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(Kind::POD)]
    }

    fn changed(&mut self, ctx: &mut Ctx<'_, u64>, batch: &[Change]) {
        for change in batch {
            self.seen.push((ctx.now(), change.kind));
            if change.kind == ChangeKind::Added {
                let patch = sim_core::api::request::MetaPatch {
                    labels: vec![("seen".into(), Some("yes".into()))],
                    ..Default::default()
                };
                let request = Request::PatchMeta {
                    kind: Kind::POD,
                    key: change.new.key().clone(),
                    uid: change.new.meta.uid,
                    patch: Box::new(patch),
                };
                ctx.request(request, Tag(1));
            }
        }
        let seen = self.seen.len();
        ctx.record(sim_core::engine::log::Record::Note { by: "labeller", text: &format!("{seen}") });
    }

    fn fired(&mut self, _: &mut Ctx<'_, u64>, _: u64) {}

    fn replied(&mut self, ctx: &mut Ctx<'_, u64>, reply: Reply) {
        self.answers.push((ctx.now(), reply.result.is_ok()));
        let text = format!("{:?}", self.answers);
        ctx.record(sim_core::engine::log::Record::Note { by: "labeller", text: &text });
    }
}

/// Sets a timer for now whenever one fires.
#[derive(Clone)]
struct Spinner;

impl Component for Spinner {
    type Timer = u64;
    fn name(&self) -> &'static str {
        "spinner"
    }
    fn watches(&self) -> Vec<Watch> {
        Vec::new()
    }
    fn started(&mut self, ctx: &mut Ctx<'_, u64>) {
        ctx.set_timer(secs(5), 0);
    }
    fn changed(&mut self, _: &mut Ctx<'_, u64>, _: &[Change]) {}
    fn fired(&mut self, ctx: &mut Ctx<'_, u64>, timer: u64) {
        ctx.set_timer(Span::ZERO, timer + 1);
    }
}

fn labelled(sim: &Cluster) -> usize {
    sim.list(Kind::POD).iter().filter(|p| p.meta.label("seen").is_some()).count()
}

#[test]
fn requests_and_watches_take_their_time() {
    let mut sim = Cluster::builder().seed(1).timing(Timing::typical()).build_empty();
    sim.add_component(Labeller::default());
    sim.create(pod("a"));
    // Watch 5 ms, then the request 2 ms: the label is there after 7 ms and not before.
    sim.run_for(millis(6));
    assert_eq!(labelled(&sim), 0);
    sim.run_for(millis(1));
    assert_eq!(labelled(&sim), 1);
}

#[test]
fn runs_repeat_and_forks_go_their_own_way() {
    let run = |seed| {
        let mut sim = Cluster::builder().seed(seed).build_empty();
        sim.add_component(Labeller::default());
        sim.create(pod("a"));
        sim.run_for(secs(1));
        sim
    };
    let (first, second, other) = (run(1), run(1), run(2));
    assert_eq!(first.digest(), second.digest());
    assert_ne!(first.digest(), other.digest(), "uids differ");

    let mut left = first.fork();
    let mut right = first.fork();
    left.create(pod("b"));
    right.create(pod("b"));
    left.run_for(secs(1));
    right.run_for(secs(1));
    assert_eq!(left.digest(), right.digest(), "one history, one future");
    assert_eq!(labelled(&left), 2);
    assert_eq!(labelled(&first), 1, "the trunk does not move");
}

#[test]
fn runs_fail_by_name() {
    let mut sim = Cluster::builder().seed(7).livelock_events(1_000).build_empty();
    let nothing = sim.run_until(|c| c.pod("a").exists(), mins(1)).expect_err("nothing to happen");
    assert_eq!(nothing.name(), "Quiescent");

    sim.at(hours(1), |c| {
        c.create(pod("a"));
    });
    let late = sim.run_until(|c| c.pod("a").exists(), mins(1)).expect_err("too early");
    assert_eq!(late.to_string(), "Timeout: not so after 1m (now at 1m); replay with seed 7");
    sim.run_until(|c| c.pod("a").exists(), hours(2)).expect("in time");
    assert_eq!(sim.now(), Time::ZERO + hours(1));

    sim.add_component(Spinner);
    let stuck = sim.try_run_for(mins(1)).expect_err("spins");
    assert_eq!(stuck.name(), "Livelock");
    assert!(stuck.to_string().contains("replay with seed 7"), "{stuck}");
}

#[test]
fn actions_come_after_what_is_due() {
    let mut sim = Cluster::builder().build_empty();
    for i in 0..3 {
        sim.at(secs(1), move |c| {
            c.create(pod(&format!("p{i}")));
        });
    }
    sim.run_for(secs(2));
    let versions: Vec<_> = (0..3)
        .filter_map(|i| sim.get(Kind::POD, &Key::new("default", format!("p{i}"))))
        .map(|p| p.meta.resource_version)
        .collect();
    assert!(versions.windows(2).all(|w| w[0] < w[1]));
    assert_eq!(versions.len(), 3);
}

#[test]
fn clients_watch_with_bookmarks_and_are_told_when_they_are_too_late() {
    use sim_cluster::WatchEvent;
    let mut sim = Cluster::builder().build_empty();
    sim.create(pod("a"));
    let open = sim.watch(Watch::all(Kind::POD), None, true).expect("open");
    let revision = match sim.poll(open).expect("alive").as_slice() {
        [WatchEvent::Added(pod), WatchEvent::Bookmark(revision)] => {
            assert_eq!(pod.meta.name(), "a");
            *revision
        }
        other => panic!("{other:?}"),
    };
    sim.create(pod("b"));
    sim.delete(Kind::POD, "a").expect("deleted");
    let again = sim.watch(Watch::all(Kind::POD), Some(revision), false).expect("still there");
    for watch in [open, again] {
        let events = sim.poll(watch).expect("alive");
        assert!(matches!(events[..2], [WatchEvent::Added(_), WatchEvent::Deleted(_)]), "{events:?}");
    }
    sim.api_mut().store.compact(revision + 1);
    let late = sim.watch(Watch::all(Kind::POD), Some(revision), false).expect_err("410");
    assert_eq!((late.reason.code(), late.to_string()), (410, "too old resource version: 5 (7)".to_owned()));
}

#[test]
fn apply_creates_then_merges() {
    use sim_cluster::Applied;
    let mut sim = Cluster::builder().build_empty();
    let web = || deployment("web").replicas(3);
    assert_eq!(sim.apply(web()), Ok(Applied::Created));
    assert_eq!(sim.apply(web()), Ok(Applied::Unchanged));
    sim.scale(Kind::DEPLOYMENT, "web", 5).expect("scaled by somebody else");
    assert_eq!(sim.apply(web().pods(|pod| pod.image("app:2"))), Ok(Applied::Configured));
    let now =
        sim.get(Kind::DEPLOYMENT, "web").expect("there").as_deployment().expect("a deployment").spec.clone();
    assert_eq!(now.replicas, Some(3), "the configuration says 3");
    let containers = now.template.spec.as_ref().map(|s| s.containers.clone()).unwrap_or_default();
    assert_eq!(containers[0].image.as_deref(), Some("app:2"));
}
