use std::collections::BTreeMap;

use sim_core::api::meta::Meta;
use sim_core::api::object::{Body, Pod};
use sim_core::api::pod_status::{ContainerStatus, PodPhase, PodStatus};
use sim_core::time::{mins, secs};

use super::*;

/// A world made of a few pods.
#[derive(Default)]
struct Fake {
    now: Time,
    revision: u64,
    objects: BTreeMap<(usize, Key), Arc<Object>>,
    events: Vec<String>,
    restarts: Vec<Restart>,
}

impl Fake {
    fn put_pod(&mut self, name: &str, app: &str, phase: PodPhase, restart_count: i32) {
        let mut meta = Meta::named(Key::new("default", name));
        self.revision += 1;
        meta.resource_version = self.revision;
        meta.labels = Arc::new([("app".to_owned(), app.to_owned())].into());
        let containers = vec![ContainerStatus { name: "c".into(), restart_count, ..Default::default() }];
        let status = PodStatus { phase, container_statuses: containers, ..PodStatus::default() };
        let pod = Pod { status: Arc::new(status), node_name: "n1".into(), ..Pod::default() };
        let object = Object::new(meta, Body::Pod(pod));
        self.objects.insert((object.kind.index(), object.key().clone()), Arc::new(object));
    }
}

impl World for Fake {
    fn now(&self) -> Time {
        self.now
    }
    fn get(&self, kind: Kind, key: &Key) -> Option<Arc<Object>> {
        self.objects.get(&(kind.index(), key.clone())).cloned()
    }
    fn each(&self, kind: Kind, visit: &mut dyn FnMut(&Object)) {
        self.objects.values().filter(|o| o.kind == kind).for_each(|o| visit(o));
    }
    fn event_count(&self, reason: &str, _: Option<&Target>) -> u64 {
        self.events.iter().filter(|e| *e == reason).count() as u64
    }
    fn restarts(&self) -> &[Restart] {
        &self.restarts
    }
    fn wire(&self, object: &Object) -> serde_json::Value {
        serde_json::json!({
            "metadata": {"name": object.meta.name(), "labels": &*object.meta.labels},
            "status": {"list": [{"n": 3}], "quantity": "4"},
        })
    }
}

fn holds(world: &Fake, text: &str) -> bool {
    text.parse::<Expectation>().unwrap_or_else(|e| panic!("{e}")).claim.observe(world).holds
}

/// The document and the parser cannot drift apart.
#[test]
fn every_documented_example_parses() {
    let doc = include_str!("../../../docs/expectations.md");
    let mut examples = 0;
    for block in doc.split("```expect\n").skip(1) {
        for line in block.split("```").next().unwrap_or("").lines() {
            line.parse::<Expectation>().unwrap_or_else(|e| panic!("{e}"));
            examples += 1;
        }
    }
    assert!(examples >= 20, "{examples} examples found");
}

#[test]
fn what_is_parsed_is_what_was_meant() {
    let parse = |text: &str| text.parse::<Expectation>().unwrap();
    let one = parse("  deployment/web available within 60s ");
    assert_eq!(one.text, "deployment/web available within 60s");
    assert_eq!(one.when, When::Within { span: secs(60), after: Time::ZERO });
    assert!(matches!(one.claim, Claim::State { negate: false, state: State::Available, .. }));

    let set = parse("pods where app=web, tier!=\"x y\" in shop on n1 not running <= 3 at 5m");
    assert_eq!(set.when, When::At(Time::ZERO + mins(5)));
    let Claim::Count { set, op: Op::Le, count: 3 } = set.claim else { panic!("{set:?}") };
    assert_eq!(set.labels, [("app".into(), true, "web".into()), ("tier".into(), false, "x y".into())]);
    assert_eq!((set.namespace.as_deref(), set.node.as_deref()), (Some("shop"), Some("n1")));
    assert_eq!(set.state, Some((false, State::Running)));
}

#[test]
fn errors_point_at_the_place() {
    for (text, at, part) in [
        ("", "", "an empty expectation"),
        ("deployment/web avaliable", "avaliable", "did you mean `available`"),
        ("job/etl running", "running", "a job is never `running`"),
        ("deployment/web available in 60s", "in", "expected the end, `at`, `within` or `always`"),
        ("deployment/web available within", "", "expected a duration, e.g. `60s`, found the end"),
        ("deployment/web available within 60", "60", "lacks a unit"),
        ("pods running", "", "expected a comparison"),
        ("pods running == many", "many", "not a number"),
        ("pods where app running == 1", "running", "expected `=` or `!=` after label `app`"),
        ("every pod", "", "expected a state"),
        ("event BackOff >= 1", ">=", "expected `count`"),
        ("gizmo/x ready", "gizmo/x", "unknown kind `gizmo`"),
        ("deploymnet/x ready", "deploymnet/x", "did you mean `deployment`"),
        ("node a/b ready", "a/b", "cluster-scoped"),
        ("pod \"x ready", "\"x ready", "a quote that does not end"),
        ("pod/x always from 2m until 1m", "always", "no state"),
        ("pod/x ready always from 2m until 1m", "until", "ends before it starts"),
    ] {
        let error = text.parse::<Expectation>().unwrap_err();
        assert!(error.message.contains(part), "{text}: {error}");
        assert_eq!(&text[error.span.clone()], at, "{text}: {error}");
    }
    let error = "pods runing == 3".parse::<Expectation>().unwrap_err().to_string();
    assert!(error.ends_with("\n  pods runing == 3\n       ^^^^^^"), "{error}");
}

#[test]
fn claims_are_evaluated() {
    let mut world = Fake::default();
    world.put_pod("a", "web", PodPhase::Running, 0);
    world.put_pod("b", "web", PodPhase::Pending, 2);
    world.put_pod("c", "db", PodPhase::Running, 0);
    world.events = vec!["BackOff".to_owned()];
    for (text, expected) in [
        ("pods where app=web == 2", true),
        ("pods where app=web running == 1", true),
        ("pods where app!=web running == 1", true),
        ("pods in other == 0", true),
        ("pods on n1 >= 3", true),
        ("every pod where app=db running", true),
        ("every pod where app=web running", false),
        ("every pod where app=none running", false),
        ("no pod where app=db restarted", true),
        ("no pod restarted", false),
        ("pod/b restarted", true),
        ("pod/a not pending", true),
        ("pod/zz not pending", false),
        ("pod/zz absent", true),
        ("pod/zz not exists", true),
        ("event BackOff count == 1", true),
        ("no event BackOff", false),
        ("pod/a status.list[0].n >= 3", true),
        ("pod/a status.quantity < 10", true),
        ("pod/a metadata.name == a", true),
        ("pod/a metadata.labels['app'] != web", false),
        ("pod/a status.nothing == 1", false),
        ("pod/a status.nothing != 1", true),
    ] {
        assert_eq!(holds(&world, text), expected, "{text}");
    }
}

#[test]
fn a_restart_is_remembered_when_the_pod_is_gone() {
    let mut world = Fake::default();
    world.put_pod("a", "web", PodPhase::Running, 1);
    let labels = world.objects.values().next().unwrap().meta.labels.clone();
    let (at, pod) = (Time::ZERO + secs(3), Key::new("default", "a"));
    world.restarts.push(Restart { at, pod, container: "c".into(), labels, node: "n1".into() });
    assert!(holds(&world, "pods restarted == 1"));
    world.objects.clear();
    assert!(holds(&world, "pods restarted == 1"));
    assert!(!holds(&world, "no pod where app=web restarted"));
    assert!(holds(&world, "no pod where app=db restarted"));
}

fn check(text: &str, course: &[(i64, PodPhase)], end: i64) -> Outcome {
    let mut checker = Checker::new([text.parse::<Expectation>().unwrap()]);
    let mut world = Fake::default();
    for second in 0..=end {
        world.now = Time::ZERO + secs(second);
        let change = course.iter().find(|(at, _)| *at == second);
        if let Some((_, phase)) = change {
            world.put_pod("a", "web", *phase, 0);
        }
        let due = checker.next_time(world.now - secs(1)) == Some(world.now);
        if due || (change.is_some() && checker.is_watching(world.now)) {
            checker.look(&world);
        }
    }
    checker.finish(&world).remove(0)
}

#[test]
fn expectations_hold_over_time_or_say_what_was_seen() {
    use PodPhase::{Failed, Pending, Running};
    let course = [(0, Pending), (5, Running), (9, Failed)];
    for (text, held, at) in [
        ("pod/a running within 5s", true, 5),
        ("pod/a running within 4s", false, 4),
        ("pod/a running within 2s after 9s", false, 11),
        ("pod/a running within 2s after 7s", true, 7),
        ("pod/a pending at 4s", true, 4),
        ("pod/a pending at 5s", false, 5),
        ("pod/a failed", true, 20),
        ("pod/a running", false, 20),
        ("pod/a not failed always until 8s", true, 8),
        ("pod/a not failed always", false, 9),
        ("pod/a exists always from 3s", true, 20),
        ("pod/a failed within 1m after 1m", false, 20),
    ] {
        let outcome = check(text, &course, 20);
        assert_eq!((outcome.held, outcome.at), (held, Time::ZERO + secs(at)), "{text}: {outcome:?}");
        assert_eq!(outcome.evidence.is_empty(), held, "{text}: {outcome:?}");
    }
    let outcome = check("pod/a running within 4s", &course, 20);
    assert_eq!(outcome.evidence, ["from 0s: Pending, c waits: "].map(|s| s.trim_end_matches(", c waits: ")));
    let outcome = check("pod/a running within 20s after 30s", &course, 20);
    assert!(outcome.evidence[0].contains("the run ended at 20s"), "{outcome:?}");
    let outcome = check("pods running == 1 at 10s", &course, 20);
    assert_eq!(outcome.evidence, ["from 10s: 0", "at 10s: default/a: Failed"]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    #[test]
    fn any_text_is_answered(text in "\\PC{0,40}") {
        if let Err(error) = text.parse::<Expectation>() {
            let _ = error.to_string();
        }
    }

    #[test]
    fn any_words_are_answered(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "pods", "pod", "x", "where", "app", "=", "!=", "==", "3", "at", "5m", "within", "no", "event", "every",
                "ready", "not", "in", "on", "count", "always", "from", "until", ",", "\"", "deployment/web", "status.x",
            ]),
            0..8,
        ),
    ) {
        if let Err(error) = words.join(" ").parse::<Expectation>() {
            let _ = error.to_string();
        }
    }
}
