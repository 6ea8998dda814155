use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Deletion, Key, Meta, Uid};
use sim_core::api::object::Body;
use sim_core::api::pod_status::{PodCondition, PodStatus};
use sim_core::time::{Time, secs};

use super::*;
use crate::cache::Cache;
use crate::config::{PluginConfig, ProfileConfig};
use crate::cycle::{Nominator, Sampling, evaluate, run_post_filters};
use crate::extender::{
    Asked, Extender, ExtenderError, ExtenderMetaVictims, ExtenderSettings, ExtenderVictims, Extenders,
};
use crate::framework::{Attempt, Memory, Profile, Registry};
use crate::pod::Classes;
use crate::testing::{node, pod};

/// A cluster under construction: every node has 4 cores.
#[derive(Default)]
struct World {
    cache: Cache,
    classes: Classes,
    nominator: Nominator,
    percentage: Option<i32>,
    extenders: Extenders,
}

impl World {
    fn new(nodes: &[&str]) -> World {
        let mut world = World::default();
        for name in nodes {
            world.cache.set_node(&node(name).build());
        }
        world
    }

    /// Pods on a node, as (name, priority, CPU, start in seconds).
    fn with(mut self, on: &str, pods: &[Bound<'_>]) -> World {
        for (name, priority, cpu, start) in pods {
            let mut object =
                pod(name).label("app", &name[..1]).cpu(cpu).with("priority", json!(priority)).build();
            status(&mut object).start_time = start.map(|s| Time::ZERO + secs(s));
            self.place(object, on);
        }
        self
    }

    fn place(&mut self, object: Object, on: &str) {
        let info = self.classes.of(&object).expect("a pod");
        self.cache.set_pod(&Arc::new(object), info, &on.into());
    }

    fn budget(mut self, app: &str, allowed: i32) -> World {
        let body = json!({"spec": {"selector": {"matchLabels": {"app": app}}},
            "status": {"disruptionsAllowed": allowed}});
        let meta = Meta::named(Key::new("default", app));
        let object = Object::json(Kind::POD_DISRUPTION_BUDGET, meta, body);
        self.cache.objects_mut().set(Arc::new(object));
        self
    }

    /// What the PostFilter plugins say to a pod that fits nowhere.
    fn post_filter(mut self, object: &Object, random: u64) -> PostFiltered {
        self.ask(object, random, None)
    }

    fn ask(&mut self, object: &Object, random: u64, memory: Option<&RefCell<Memory>>) -> PostFiltered {
        self.cache.refresh();
        let args = self
            .percentage
            .map(|p| json!({"minCandidateNodesPercentage": p, "minCandidateNodesAbsolute": 0}));
        let config = ProfileConfig {
            plugin_config: vec![PluginConfig { name: "DefaultPreemption".into(), args }],
            ..ProfileConfig::default()
        };
        let profile = Profile::build(&config.with_defaults(), &Registry::in_tree()).expect("a profile");
        let info = self.classes.of(object).expect("a pod");
        let attempt = Attempt { pod: &info, object, cluster: &self.cache, now: Time::ZERO + secs(1000) };
        let (found, state) = evaluate(&profile, attempt, &self.nominator, Sampling::All, 0);
        assert!(found.feasible.is_empty() && found.error.is_none(), "{found:?}");
        let handle = Handle {
            profile: &profile,
            attempt,
            state: &state,
            nominator: &self.nominator,
            random,
            memory,
            extenders: Some(&self.extenders),
            explain: true,
        };
        run_post_filters(&handle, &found.diagnosis, &mut Effects::default()).expect("there are such plugins")
    }
}

fn status(object: &mut Object) -> &mut PodStatus {
    match &mut object.body {
        Body::Pod(body) => Arc::make_mut(&mut body.status),
        _ => unreachable!("only called for pods"),
    }
}

fn high(cpu: &str) -> Object {
    pod("high").cpu(cpu).with("priority", json!(100)).build()
}

/// The chosen node, its victims and the nodes that were as good.
fn chosen(outcome: PostFiltered) -> (String, Vec<String>, Vec<String>) {
    let preemption = outcome.preemption.unwrap_or_else(|| panic!("no preemption: {}", outcome.status));
    assert_eq!((outcome.status.code, outcome.nominated_node), (Code::Success, Some(preemption.node.clone())));
    let names = ["a1", "a2", "b1", "b2", "c1", "c2"];
    let name = |uid: &Uid| names.iter().find(|n| Uid::parse(n) == *uid).expect("known").to_string();
    (
        preemption.node.to_string(),
        preemption.victims.iter().map(name).collect(),
        preemption.tied.iter().map(SmolStr::to_string).collect(),
    )
}

fn refused(outcome: PostFiltered) -> (String, Option<SmolStr>) {
    assert_eq!((outcome.status.code, outcome.preemption), (Code::Unschedulable, None));
    (outcome.status.message(), outcome.nominated_node)
}

type Bound<'a> = (&'a str, i32, &'a str, Option<i64>);

/// Victims for a pod that asks for so much CPU, on a node with these pods and under these budgets.
fn check_victims(cpu: &str, pods: &[Bound<'_>], budgets: &[(&str, i32)], expected: &[&str]) {
    let mut world = World::new(&["n"]).with("n", pods);
    for (app, allowed) in budgets {
        world = world.budget(app, *allowed);
    }
    let (_, victims, _) = chosen(world.post_filter(&high(cpu), 0));
    assert_eq!(victims, expected, "{pods:?} {budgets:?}");
}

#[test]
fn the_less_important_pods_of_a_node_go() {
    check_victims("2", &[("a1", 5, "2", None), ("a2", 3, "2", None)], &[], &["a2"]);
    check_victims("2", &[("a1", 3, "2", Some(9)), ("a2", 3, "2", Some(5))], &[], &["a1"]);
    // A pod that has not started counts as the youngest; of two such pods, the first goes.
    check_victims("2", &[("a1", 3, "2", None), ("a2", 3, "2", Some(9))], &[], &["a1"]);
    check_victims("2", &[("a1", 3, "2", None), ("a2", 3, "2", None)], &[], &["a1"]);
    check_victims("4", &[("a1", 3, "2", Some(9)), ("a2", 5, "2", Some(9))], &[], &["a2", "a1"]);
    let three = [("a1", 3, "1", Some(1)), ("a2", 3, "2", Some(2)), ("b1", 3, "1", Some(3))];
    check_victims("3", &three, &[], &["a2", "b1"]);
}

#[test]
fn budgets_protect_as_far_as_possible() {
    let two = [("a1", 5, "2", None), ("b1", 3, "2", None)];
    check_victims("2", &two, &[("b", 0)], &["a1"]);
    check_victims("2", &two, &[("b", 1)], &["b1"]);
    // Victims of both sorts are put in order again.
    check_victims("4", &two, &[("b", 0)], &["a1", "b1"]);
}

#[test]
fn what_is_remembered_of_a_promised_node_is_not_for_the_pod_that_was_promised_it() {
    let mut world = World::new(&["n"]).with("n", &[("a1", 0, "4", None)]);
    let (own, twin) = (high("4"), pod("twin").cpu("4").with("priority", json!(100)).build());
    let info = world.classes.of(&own).expect("a pod");
    world.nominator.nominate(own.meta.uid, &info, "n");
    let memory = RefCell::default();
    refused(world.ask(&twin, 0, Some(&memory)));
    assert_eq!(chosen(world.ask(&own, 0, Some(&memory))).0, "n");
    refused(world.ask(&twin, 0, Some(&memory)));
    world.nominator.remove(own.meta.uid);
    assert_eq!(chosen(world.ask(&twin, 0, Some(&memory))).0, "n", "the promise was taken back");
}

#[test]
fn the_cheapest_node_and_ties() {
    let world = || {
        World::new(&["x", "y", "z"])
            .with("x", &[("a1", 5, "4", Some(1))])
            .with("y", &[("b1", 3, "4", Some(1))])
            .with("z", &[("c1", 3, "4", Some(1))])
    };
    let (node, victims, tied) = chosen(world().post_filter(&high("1"), 0));
    assert_eq!(
        (node.as_str(), victims, tied),
        ("y", vec!["b1".to_owned()], vec!["y".to_owned(), "z".to_owned()])
    );
    assert_eq!(chosen(world().post_filter(&high("1"), 1 << 32)).0, "z");
    let spared = world().budget("b", 0).budget("c", 0);
    assert_eq!(chosen(spared.post_filter(&high("1"), 0)).0, "x", "no violation beats a low priority");
}

#[test]
fn a_search_ends_with_enough_candidates() {
    // A third of three nodes is one; where it starts is random.
    for (random, expected) in [(0, "x"), (1, "y"), (2, "z")] {
        let mut world = World::new(&["x", "y", "z"])
            .with("x", &[("a1", 3, "4", None)])
            .with("y", &[("b1", 3, "4", None)])
            .with("z", &[("c1", 3, "4", None)]);
        world.percentage = Some(34);
        assert_eq!(chosen(world.post_filter(&high("1"), random)).2, [expected]);
    }
}

#[test]
fn why_there_is_no_preemption() {
    let help = "no new claims to deallocate, preemption: 0/2 nodes are available: ";
    let cleared = Some(SmolStr::default());
    let world =
        || World::new(&["x", "y"]).with("x", &[("a1", 5, "4", None)]).with("y", &[("b1", 200, "4", None)]);

    let (text, nominated) = refused(world().post_filter(&high("8"), 0));
    assert_eq!(text, format!("{help}2 Preemption is not helpful for scheduling."));
    assert_eq!(nominated, cleared);

    let low = pod("low").cpu("1").with("priority", json!(5)).build();
    assert_eq!(
        refused(world().post_filter(&low, 0)).0,
        format!("{help}2 No preemption victims found for incoming pod.")
    );

    let full = world().with("x", &[("c1", 100, "2", None)]);
    let text = format!("{help}1 Insufficient cpu, 1 No preemption victims found for incoming pod.");
    assert_eq!(refused(full.post_filter(&high("3"), 0)).0, text);

    let never =
        pod("never").cpu("1").with("priority", json!(100)).with("preemptionPolicy", json!("Never")).build();
    let text = "no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.";
    assert_eq!(refused(world().post_filter(&never, 0)), (text.to_owned(), None));
}

#[test]
fn victims_that_end_are_waited_for() {
    let mut nominated = high("1");
    status(&mut nominated).nominated_node_name = "x".into();
    for (reason, deleting, waits) in [
        ("PreemptionByScheduler", true, true),
        ("PreemptionByScheduler", false, false),
        ("Eviction", true, false),
    ] {
        let mut world = World::new(&["x"]);
        let mut victim = pod("a1").cpu("4").build();
        victim.meta.deletion =
            deleting.then_some(Deletion { timestamp: Time::ZERO, grace_period_seconds: 30 });
        status(&mut victim).conditions.push(PodCondition {
            kind: "DisruptionTarget".into(),
            status: ConditionStatus::True,
            reason: reason.into(),
            ..PodCondition::default()
        });
        world.place(victim, "x");
        let outcome = world.post_filter(&nominated, 0);
        if waits {
            let text = "no new claims to deallocate, preemption: not eligible due to a terminating pod on the nominated node.";
            assert_eq!(refused(outcome), (text.to_owned(), None));
        } else {
            assert_eq!(chosen(outcome).1, ["a1"], "{reason} {deleting}");
        }
    }
}

#[test]
fn promised_room_counts() {
    let mut world = World::new(&["x"]).with("x", &[("a1", 5, "4", None)]);
    let promised = pod("promised").cpu("4").with("priority", json!(100)).build();
    let info = world.classes.of(&promised).expect("a pod");
    world.nominator.nominate(Uid(1), &info, "x");
    let text = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Insufficient cpu.";
    assert_eq!(refused(world.post_filter(&high("1"), 0)).0, text);
}

#[test]
fn pods_wait_while_their_preemption_is_carried_out() {
    let (objects, waiting) = (Objects::default(), high("1"));
    let gate = |preempting: &BTreeSet<Uid>| {
        DefaultPreemption::default().pre_enqueue(&waiting, Surroundings { objects: &objects, preempting })
    };
    assert_eq!(gate(&BTreeSet::new()), Fits);
    let text = "waiting for the preemption for this pod to be finished";
    assert_eq!(gate(&BTreeSet::from([waiting.meta.uid])), Unresolvable(text));
}

#[test]
fn how_many_candidates_are_enough() {
    for (percentage, absolute, expected) in
        [(10, 100, [5, 100, 500]), (0, 1, [1, 1, 1]), (100, 0, [5, 200, 5000])]
    {
        let made = DefaultPreemption::new(DefaultPreemptionArgs {
            min_candidate_nodes_percentage: percentage,
            min_candidate_nodes_absolute: absolute,
        });
        assert_eq!([5, 200, 5000].map(|nodes| made.enough(nodes)), expected);
    }
}

/// An extender that answers with what a table says: nodes, their victims and violated budgets.
struct Says(Result<Vec<NodeSaid>, &'static str>);

type NodeSaid = (&'static str, &'static [&'static str], i64);

impl Extender for Says {
    fn preempt(
        &self,
        _: &Asked<'_>,
        candidates: &BTreeMap<SmolStr, ExtenderVictims>,
    ) -> Result<BTreeMap<SmolStr, ExtenderMetaVictims>, ExtenderError> {
        let on_node = |(node, victims): (&SmolStr, &ExtenderVictims)| {
            victims.pods.iter().all(|pod| pod.as_pod().is_some_and(|pod| pod.node_name == *node))
        };
        assert!(candidates.iter().all(on_node), "pods are sent with their nodes: {candidates:?}");
        let answer = self.0.clone().map_err(ExtenderError::failed)?;
        let victims = |pods: &[&str], pdb_violations| ExtenderMetaVictims {
            pods: pods.iter().map(|pod| Uid::parse(pod)).collect(),
            pdb_violations,
        };
        Ok(answer
            .into_iter()
            .map(|(node, pods, violations)| (node.into(), victims(pods, violations)))
            .collect())
    }
}

#[test]
fn extenders_have_a_say_in_candidates() {
    let asked = || ExtenderSettings::named("x").preempt();
    let outcome = |list: Vec<(ExtenderSettings, Says)>| {
        let mut world = World::new(&["a", "b"])
            .with("a", &[("a1", 1, "2", Some(1)), ("a2", 2, "2", Some(2))])
            .with("b", &[("b1", 1, "2", Some(1)), ("b2", 5, "2", Some(2))]);
        for (settings, extender) in list {
            world.extenders.add(settings, Arc::new(extender));
        }
        let outcome = world.post_filter(&high("4"), 0);
        match outcome.preemption {
            Some(_) => {
                let (node, victims, _) = chosen(outcome);
                format!("{node}: {}", victims.join(" "))
            }
            None => format!("{:?}: {}", outcome.status.code, outcome.status.message()),
        }
    };
    let says = |answer: &[NodeSaid]| Says(Ok(answer.to_vec()));
    assert_eq!(outcome(vec![]), "a: a2 a1");
    for (name, list, want) in [
        ("takes a node out", vec![(asked(), says(&[("b", &["b2", "b1"], 0)]))], "b: b2 b1"),
        ("changes the victims", vec![(asked(), says(&[("a", &["a1"], 0)]))], "a: a1"),
        (
            "counts budgets its own way",
            vec![(asked(), says(&[("a", &["a2", "a1"], 2), ("b", &["b2", "b1"], 1)]))],
            "b: b2 b1",
        ),
        (
            "the first victim counts as the most important",
            vec![(asked(), says(&[("a", &["a2", "a1"], 0), ("b", &["b1", "b2"], 0)]))],
            "b: b1 b2",
        ),
        (
            "is not asked about other pods",
            vec![(asked().manages("example.com/gpu"), Says(Err("down")))],
            "a: a2 a1",
        ),
        ("is not asked at all", vec![(ExtenderSettings::named("x").filter(), Says(Err("down")))], "a: a2 a1"),
        ("fails", vec![(asked(), Says(Err("down")))], "Error: preemption: down"),
        ("fails and is ignored", vec![(asked().ignorable(), Says(Err("down")))], "a: a2 a1"),
        (
            "leaves nothing",
            vec![(asked(), says(&[]))],
            "Unschedulable: no new claims to deallocate, preemption: no candidate node for preemption",
        ),
        (
            "names no victim",
            vec![(asked(), says(&[("a", &[], 0)]))],
            "Error: preemption: expected at least one victim pod on node \"a\"",
        ),
        (
            "names no victim and is ignored",
            vec![(asked().ignorable(), says(&[("a", &[], 0), ("b", &["b1"], 0)]))],
            "b: b1",
        ),
        (
            "names a node that is not there",
            vec![(asked(), says(&[("z", &["a1"], 0)]))],
            "Error: preemption: nodeinfo not found for node name \"z\"",
        ),
        (
            "the second one hears of what the first one left",
            vec![(asked(), says(&[])), (asked(), Says(Err("nobody asks when nothing is left")))],
            "Unschedulable: no new claims to deallocate, preemption: no candidate node for preemption",
        ),
    ] {
        assert_eq!(outcome(list), want, "{name}");
    }
    let elsewhere = outcome(vec![(asked(), says(&[("a", &["b1"], 0)]))]);
    let uid = Uid::parse("b1");
    assert_eq!(
        elsewhere,
        format!(
            "Error: preemption: extender: x claims to preempt pod (UID: &{{{uid}}}) on node: a, but the pod is not \
             found on that node"
        )
    );
}
