//! Extenders through the component: what they decide, what they cost, and what happens in the meantime.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sim_core::engine::log::Keep;
use sim_core::engine::timing::Delay;
use sim_core::time::mins;
use smol_str::SmolStr;

use super::*;
use crate::extender::{Asked, ExtenderError, ExtenderMetaVictims, ExtenderVictims, Filtered};

/// Lets one node pass, or fails, and binds or does not.
#[derive(Clone, Copy)]
struct Only {
    node: &'static str,
    bind_error: Option<&'static str>,
}

impl Extender for Only {
    fn filter(&self, _: &Asked<'_>, nodes: &[Arc<Object>]) -> Result<Filtered, ExtenderError> {
        if self.node.is_empty() {
            return Err(ExtenderError::failed("Post \"http://x/filter\": connection refused"));
        }
        Ok(Filtered::names(nodes.iter().filter(|node| node.key().name == self.node)))
    }

    fn bind(&self, _: &Asked<'_>, _: &str) -> Result<(), ExtenderError> {
        self.bind_error.map_or(Ok(()), |text| Err(ExtenderError::failed(text)))
    }
}

fn only(node: &'static str) -> Only {
    Only { node, bind_error: None }
}

fn asked() -> ExtenderSettings {
    ExtenderSettings::named("x")
}

/// A world of two nodes in which an extender's answer takes a second.
fn slow_world(settings: ExtenderSettings, extender: Only) -> World {
    let mut world = World::new(Scheduler::default().with_extender(settings, Arc::new(extender)));
    world.env.timing.extender_call = Delay::Constant(secs(1));
    world.add(&node("a").build());
    world.add(&node("b").build());
    world
}

fn names(world: &World) -> Vec<(String, String)> {
    world.bindings().into_iter().map(|(pod, node, _)| (pod, node)).collect()
}

fn pair(pod: &str, node: &str) -> (String, String) {
    (pod.to_owned(), node.to_owned())
}

#[test]
fn a_cycle_ends_when_its_extenders_have_answered() {
    let mut world = slow_world(asked().filter(), only("b"));
    world.add(&pod("first").build());
    world.add(&pod("second").build());
    world.run_until(Time::ZERO + millis(999));
    assert!(names(&world).is_empty());
    assert!(!world.scheduler.cache().is_assumed(pod("first").build().meta.uid));
    world.run_until(Time::ZERO + secs(1));
    assert_eq!(names(&world), [pair("first", "b")], "the other one waits for its turn");
    world.run_until(Time::ZERO + secs(2));
    assert_eq!(names(&world), [pair("first", "b"), pair("second", "b")]);
}

#[test]
fn pods_that_are_none_of_its_business_cost_nothing() {
    let mut world = slow_world(asked().filter().manages("example.com/gpu"), only("b"));
    world.scheduler.ties = Ties::LowestName;
    world.with(|s, ctx| s.started(ctx));
    world.add(&pod("p").build());
    world.run_until(Time::ZERO);
    assert_eq!(names(&world), [pair("p", "a")]);
}

#[test]
fn a_pod_may_go_while_extenders_answer() {
    for extender in [only("b"), only("")] {
        let mut world = slow_world(asked().filter(), extender);
        let web = pod("web").build();
        world.add(&web);
        world.run_until(Time::ZERO + millis(500));
        world.see(ChangeKind::Deleted, None, &web);
        world.run_until(Time::ZERO + mins(10));
        assert!(names(&world).is_empty() && world.patches().is_empty(), "nothing is to be done for it");
        assert!(world.scheduler.cache().pod(web.meta.uid).is_none());
        assert_eq!(world.next_timer(), None);
    }
}

#[test]
fn a_pod_may_change_while_extenders_answer() {
    let mut world = slow_world(asked().filter(), only("b"));
    let before = pod("web").cpu("1").build();
    world.add(&before);
    world.run_until(Time::ZERO + millis(500));
    let mut after = pod("web").cpu("1").build();
    after.meta.labels = Arc::new([("app".to_owned(), "web".to_owned())].into());
    after.meta.resource_version = 2;
    world.see(ChangeKind::Modified, Some(&before), &after);
    world.run_until(Time::ZERO + secs(1));
    assert_eq!(names(&world), [pair("web", "b")]);
    let assumed = world.scheduler.cache().pod(after.meta.uid).expect("assumed");
    assert_eq!(assumed.labels, after.meta.labels);
}

#[test]
fn errors_are_told_as_they_are() {
    let text = "Post \"http://x/filter\": connection refused";
    let mut world = slow_world(asked().filter(), only(""));
    world.add(&pod("web").build());
    world.run_until(Time::ZERO + secs(1));
    assert_eq!(world.patches(), [("SchedulerError".to_owned(), text.to_owned())]);
    let mut world = slow_world(asked().filter().ignorable(), only(""));
    world.add(&pod("web").build());
    world.run_until(Time::ZERO + secs(1));
    assert_eq!(world.bindings().len(), 1);
}

#[test]
fn whom_an_extender_refused_any_event_may_help() {
    let mut world = slow_world(asked().filter(), only("c"));
    world.env.timing = Timing::instant();
    world.add(&pod("web").build());
    world.run_until(Time::ZERO);
    assert_eq!(world.patches().len(), 1);
    let (reason, message) = world.patches().remove(0);
    assert_eq!(reason, "Unschedulable");
    assert!(message.starts_with("0/2 nodes are available:"), "{message}");
    let there = pod("there").build();
    world.now = Time::ZERO + secs(5);
    world.add(&on(&there, "a"));
    world.add(&node("c").build());
    world.run_until(Time::ZERO + secs(10));
    assert_eq!(names(&world), [pair("web", "c")]);
}

#[test]
fn an_extender_binds() {
    let binds = |settings: ExtenderSettings, bind_error| {
        let mut world = slow_world(settings, Only { node: "a", bind_error });
        world.add(&pod("web").build());
        world.run_until(Time::ZERO + millis(999));
        assert!(world.bindings().is_empty(), "it takes its time");
        world.run_until(Time::ZERO + secs(1));
        world
    };
    let mut world = binds(asked().bind(), None);
    let (_, _, tag) = world.bindings().remove(0);
    world.reply(tag, Err(ApiError::new(Reason::Conflict, "pod web is already assigned to node \"z\"")));
    let told = world.patches();
    assert_eq!(told, [("SchedulerError".to_owned(), "pod web is already assigned to node \"z\"".to_owned())]);

    let world = binds(asked().bind(), Some("no room"));
    assert!(world.bindings().is_empty());
    assert_eq!(world.patches(), [("SchedulerError".to_owned(), "no room".to_owned())]);
    assert!(!world.scheduler.cache().is_assumed(pod("web").build().meta.uid));

    // Somebody else has to do it then.
    let world = binds(asked().bind().ignorable(), Some("no room"));
    assert_eq!(world.bindings().len(), 1);
}

/// What a scheduler does with nodes and pods of some sizes: its requests and the digest of its log.
fn decisions(scheduler: Scheduler, nodes: &[u8], pods: &[(u8, bool)]) -> (Vec<String>, String) {
    let mut world = World::new(scheduler);
    world.log.set_keep(Keep::Digest);
    for (i, cpu) in nodes.iter().enumerate() {
        world.add(&node(&format!("n{i}")).cpu(&cpu.to_string()).build());
    }
    for (i, (cpu, gpu)) in pods.iter().enumerate() {
        let mut pod = pod(&format!("p{i}")).cpu(&cpu.to_string());
        if *gpu {
            pod = pod.request("example.com/gpu", "0");
        }
        world.add(&pod.build());
        world.run_until(world.now + secs(1));
    }
    world.run_until(world.now + mins(1));
    (world.port.requests.iter().map(|r| format!("{r:?}")).collect(), world.log.digest())
}

/// Says yes to everything.
struct Yes;

impl Extender for Yes {}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn extenders_that_say_nothing_change_nothing(
        nodes in prop::collection::vec(1_u8..6, 1..160),
        pods in prop::collection::vec((1_u8..5, any::<bool>()), 1..30),
    ) {
        let without = decisions(Scheduler::default(), &nodes, &pods);
        let all = asked().filter().prioritize(7).preempt().bind();
        for settings in [all.clone(), all.manages("example.com/gpu"), asked()] {
            let scheduler = Scheduler::default().with_extender(settings, Arc::new(Yes));
            prop_assert_eq!(&decisions(scheduler, &nodes, &pods), &without);
        }
    }
}

/// Its answer takes the name of the pod's node from an annotation.
struct Annotated;

impl Extender for Annotated {
    fn filter(&self, asked: &Asked<'_>, nodes: &[Arc<Object>]) -> Result<Filtered, ExtenderError> {
        let wanted = asked.pod.meta.annotations.get("node").map(SmolStr::new).unwrap_or_default();
        Ok(Filtered::names(nodes.iter().filter(|node| node.key().name == wanted)))
    }
}

#[test]
fn an_extender_sees_the_pod_itself() {
    let mut world = World::new(Scheduler::default().with_extender(asked().filter(), Arc::new(Annotated)));
    for name in ["a", "b", "c"] {
        world.add(&node(name).build());
    }
    for name in ["c", "a"] {
        let mut object = pod(&format!("to-{name}")).build();
        object.meta.annotations = Arc::new([("node".to_owned(), name.to_owned())].into());
        world.add(&object);
    }
    world.run_until(Time::ZERO);
    assert_eq!(names(&world), [pair("to-c", "c"), pair("to-a", "a")]);
}

#[test]
fn filters_take_their_time_in_turn_and_ratings_together() {
    let scheduler = Scheduler::default()
        .with_extender(ExtenderSettings::named("x").filter().prioritize(1), Arc::new(Yes))
        .with_extender(ExtenderSettings::named("y").filter().prioritize(1), Arc::new(Yes));
    let mut world = World::new(scheduler);
    world.env.timing.extender_call = Delay::Constant(secs(1));
    world.add(&node("a").build());
    world.add(&node("b").build());
    world.add(&pod("web").build());
    world.run_until(Time::ZERO + millis(2999));
    assert!(names(&world).is_empty());
    world.run_until(Time::ZERO + secs(3));
    assert_eq!(names(&world).len(), 1);
}

/// Lets victims go from one node only.
struct Spares(&'static str);

impl Extender for Spares {
    fn preempt(
        &self,
        _: &Asked<'_>,
        candidates: &BTreeMap<SmolStr, ExtenderVictims>,
    ) -> Result<BTreeMap<SmolStr, ExtenderMetaVictims>, ExtenderError> {
        let left = candidates.iter().filter(|(node, _)| *node != self.0);
        let meta = |victims: &ExtenderVictims| ExtenderMetaVictims {
            pods: victims.pods.iter().map(|pod| pod.meta.uid).collect(),
            pdb_violations: victims.pdb_violations,
        };
        Ok(left.map(|(node, victims)| (node.clone(), meta(victims))).collect())
    }
}

#[test]
fn a_preemption_waits_for_its_extenders() {
    let settings = ExtenderSettings::named("x").preempt();
    let mut world = World::new(Scheduler::default().with_extender(settings, Arc::new(Spares("a"))));
    world.env.timing.extender_call = Delay::Constant(secs(1));
    for name in ["a", "b"] {
        world.add(&node(name).cpu("1").build());
        // The victim on the spared node would be the cheaper one.
        let priority = json!(if name == "a" { 1 } else { 2 });
        world.add(&on(&pod(&format!("on-{name}")).cpu("1").with("priority", priority).build(), name));
    }
    world.add(&pod("high").cpu("1").with("priority", json!(100)).build());
    world.run_until(Time::ZERO + millis(999));
    assert!(world.port.requests.is_empty(), "nobody is evicted before the extender has spoken");
    world.run_until(Time::ZERO + secs(1));
    let told = world.port.requests.iter().filter_map(|(request, _)| match request {
        Request::PatchPodStatus { key, patch, .. } => {
            Some((key.name.as_str(), patch.nominated_node_name.as_deref()))
        }
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [("on-b", None), ("high", Some("b"))]);
}

#[test]
fn resources_that_an_extender_takes_over_are_not_counted() {
    let config = |ignored: bool| {
        SchedulerConfig::from_json(json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "extenders": [{
                "urlPrefix": "http://gpus", "filterVerb": "filter",
                "managedResources": [{"name": "example.com/gpu", "ignoredByScheduler": ignored}],
            }],
        }))
        .expect("a configuration")
    };
    for (ignored, bound) in
        [(true, vec![pair("gpu", "b"), pair("plain", "a")]), (false, vec![pair("plain", "a")])]
    {
        let mut asked_for = Vec::new();
        let scheduler = Scheduler::from_config_with_extenders(
            &config(ignored),
            &Registry::in_tree(),
            |number, extender| {
                asked_for.push((number, extender.url_prefix.clone()));
                Ok::<Arc<dyn Extender>, String>(Arc::new(only("b")))
            },
        );
        let mut scheduler = scheduler.expect("a scheduler");
        assert_eq!(asked_for, [(0, "http://gpus".to_owned())]);
        scheduler.ties = Ties::LowestName;
        let mut world = World::new(scheduler);
        world.add(&node("a").build());
        world.add(&node("b").build());
        world.add(&pod("gpu").request("example.com/gpu", "1").build());
        world.add(&pod("plain").build());
        world.run_until(Time::ZERO);
        assert_eq!(names(&world), bound);
    }
    let refused = Scheduler::from_config(&config(true), &Registry::in_tree()).expect_err("nobody to ask");
    assert_eq!(refused.0, "extender \"http://gpus\" is a service outside of the simulation");
}
