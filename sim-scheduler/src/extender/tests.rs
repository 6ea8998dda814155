use serde_json::json;

use super::*;
use crate::cache::Cache;
use crate::config::SchedulerConfig;
use crate::cycle::{Evaluation, Nominator, Sampling, TieBreak, evaluate_with_extenders};
use crate::framework::{
    Attempt, Code, NormalizeScore, Plugin, PreScore, Profile, Registry, Score, Status, plugin,
};
use crate::node::NodeInfo;
use crate::pod::{Classes, PodInfo};
use crate::testing::{node, pod};
use sim_core::api::object::Body;
use sim_core::api::request::{Change, ChangeKind};

/// An extender by a table.
#[derive(Clone, Default)]
struct Scripted {
    /// Nodes that pass; all if absent.
    only: Option<Vec<&'static str>>,
    /// Of the others: those that preemption would not help.
    lost: Vec<&'static str>,
    /// Whether it answers with objects.
    objects: bool,
    /// Rated 10, others 1.
    favourite: &'static str,
    /// Text of its errors, if it has nothing else to say.
    error: &'static str,
}

impl Scripted {
    fn only(nodes: &[&'static str]) -> Scripted {
        Scripted { only: Some(nodes.to_vec()), ..Scripted::default() }
    }

    fn prefers(favourite: &'static str) -> Scripted {
        Scripted { favourite, ..Scripted::default() }
    }

    fn fails() -> Scripted {
        Scripted { error: "some error", ..Scripted::default() }
    }

    fn check(&self) -> Result<(), ExtenderError> {
        if self.error.is_empty() { Ok(()) } else { Err(ExtenderError::failed(self.error)) }
    }
}

impl Extender for Scripted {
    fn filter(&self, _: &Asked<'_>, nodes: &[Arc<Object>]) -> Result<Filtered, ExtenderError> {
        self.check()?;
        let name = |node: &Arc<Object>| node.key().name.clone();
        let passes = |node: &&Arc<Object>| self.only.as_ref().is_none_or(|only| only.contains(&&*name(node)));
        let refused = nodes.iter().filter(|node| !passes(node)).map(|node| (name(node), "not mine".into()));
        let (lost, failed) = refused.partition(|(name, _): &(SmolStr, _)| self.lost.contains(&&**name));
        let passed = nodes.iter().filter(passes);
        let passed = match self.objects {
            true => Passed::Objects(passed.cloned().collect()),
            false => Passed::Names(passed.map(name).collect()),
        };
        Ok(Filtered { passed, failed, failed_and_unresolvable: lost })
    }

    fn prioritize(&self, _: &Asked<'_>, nodes: &[Arc<Object>]) -> Result<Ratings, ExtenderError> {
        self.check()?;
        let rate = |name: SmolStr| (name.clone(), if name == self.favourite { 10 } else { 1 });
        Ok(nodes.iter().map(|node| rate(node.key().name.clone())).collect())
    }
}

/// Scores one node 100, others 10.
struct Prefers(&'static str);

impl Plugin for Prefers {
    const NAME: &'static str = "Prefers";
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl Score for Prefers {
    fn score(&self, (): &(), _: &PodInfo, node: &NodeInfo) -> i64 {
        if node.name == self.0 { 100 } else { 10 }
    }
}

/// A profile that can queue and bind, and nothing else.
fn bare_profile() -> Profile {
    let config = SchedulerConfig::from_json(json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [{"plugins": {"multiPoint": {
            "disabled": [{"name": "*"}],
            "enabled": [{"name": "PrioritySort"}, {"name": "DefaultBinder"}],
        }}}],
    }));
    let profiles = config.expect("a configuration").profiles(&Registry::in_tree());
    profiles.expect("profiles").remove(0)
}

fn extenders(list: Vec<(ExtenderSettings, Scripted)>) -> Extenders {
    let mut extenders = Extenders::default();
    for (settings, extender) in list {
        extenders.add(settings, Arc::new(extender));
    }
    extenders
}

/// A cluster that the extenders know, too.
fn cluster(nodes: Vec<Object>, extenders: &mut Extenders) -> Cache {
    let mut cache = Cache::default();
    for object in nodes {
        cache.set_node(&object);
        extenders.node_changed(&Change { kind: ChangeKind::Added, old: None, new: Arc::new(object) });
    }
    cache.refresh();
    cache
}

fn search(profile: &Profile, cache: &Cache, object: &Object, extenders: &Extenders) -> Evaluation {
    let info = Classes::default().of(object).expect("a pod");
    let attempt = Attempt { pod: &info, object, cluster: cache, now: Time::ZERO };
    let from = (Sampling::Percentage(0), 0);
    evaluate_with_extenders(profile, attempt, &Nominator::default(), from, extenders).0
}

fn asked(name: &str) -> ExtenderSettings {
    ExtenderSettings::named(name)
}

/// What comes of an attempt: the node, or the message, with nodes that passed and that were looked at.
fn outcome(cache: &Cache, found: &Evaluation) -> String {
    if let Some(error) = &found.error {
        return format!("error: {}", error.message());
    }
    let counts = format!("{} of {}", found.feasible.len(), found.evaluated());
    match TieBreak::LowestName.choose(cache, &found.best) {
        Some(slot) => format!("{}, {counts}", cache.node(slot).name),
        None => format!("{} ({counts})", found.diagnosis.message(cache.order().len())),
    }
}

#[test]
fn extenders_filter_and_rate() {
    let filter = || asked("first").filter();
    let second = || asked("second").filter();
    let two = ["node1", "node2"];
    let plain = bare_profile;
    let prefers_2 = |weight| bare_profile().with_weight(plugin(Prefers("node2")).score(), weight);
    let all = Scripted::default;
    for (name, profile, list, nodes, want) in [
        (
            "an error of one of them ends the attempt",
            plain(),
            vec![(filter(), all()), (second(), Scripted::fails())],
            &two[..],
            "error: some error",
        ),
        (
            "one that lets no node pass",
            plain(),
            vec![(filter(), all()), (second(), Scripted::only(&[]))],
            &two,
            "0/2 nodes are available: 2 not mine. (0 of 2)",
        ),
        (
            "the later one is asked about what the earlier one let pass",
            plain(),
            vec![(filter(), Scripted::only(&["node2"])), (second(), Scripted::only(&["node1"]))],
            &two,
            "0/2 nodes are available: 2 not mine. (0 of 2)",
        ),
        (
            "one node is left, so nobody rates it",
            prefers_2(1),
            vec![(filter(), all()), (second().prioritize(9), Scripted::only(&["node1"]))],
            &two,
            "node1, 1 of 2",
        ),
        (
            "an error of a rating is no opinion",
            plain(),
            vec![(asked("x").prioritize(1), Scripted::fails())],
            &two,
            "node1, 2 of 2",
        ),
        (
            "ratings are weighed",
            plain(),
            vec![
                (filter().prioritize(1), Scripted::prefers("node1")),
                (second().prioritize(5), Scripted::prefers("node2")),
            ],
            &two,
            "node2, 2 of 2",
        ),
        (
            "scores of plugins count as much as ratings times ten",
            prefers_2(20),
            vec![(filter().prioritize(1), Scripted::prefers("node1"))],
            &two,
            "node2, 2 of 2",
        ),
        (
            "a rating can win over a score",
            prefers_2(1),
            vec![(filter().prioritize(2), Scripted::prefers("node1"))],
            &two,
            "node1, 2 of 2",
        ),
        (
            "one that is not interested is not asked",
            prefers_2(1),
            vec![(filter().prioritize(1).manages("example.com/gpu"), Scripted::fails())],
            &two,
            "node2, 2 of 2",
        ),
        (
            "one that can be ignored does not end the attempt",
            plain(),
            vec![(filter().ignorable(), Scripted::fails()), (second(), Scripted::only(&["node1"]))],
            &two,
            "node1, 1 of 2",
        ),
        (
            "a filter is reason enough to look at all nodes",
            plain(),
            vec![(filter(), Scripted::only(&["node2"]))],
            &two,
            "node2, 1 of 2",
        ),
        ("one that only binds is not", plain(), vec![(asked("b").bind(), all())], &two, "node1, 1 of 1"),
        (
            "one that does not filter lets all pass",
            plain(),
            vec![(asked("x").prioritize(1), Scripted { only: Some(vec![]), ..Scripted::prefers("node2") })],
            &two,
            "node2, 2 of 2",
        ),
    ] {
        let mut extenders = extenders(list);
        let cache = cluster(nodes.iter().map(|name| node(name).build()).collect(), &mut extenders);
        let found = search(&profile, &cache, &pod("p").build(), &extenders);
        assert_eq!(outcome(&cache, &found), want, "{name}");
    }
}

#[test]
fn who_is_interested() {
    let managing = || asked("x").manages("example.com/gpu").manages("example.com/fpga");
    let plain = pod("p");
    let with = |at: &str, kind: &str| {
        let container = json!([{"name": "c", "image": "i", "resources": {kind: {"example.com/gpu": "1"}}}]);
        pod("p").with(at, container).build()
    };
    for (settings, object, want) in [
        (asked("x"), plain.build(), true),
        (managing(), pod("p").cpu("1").build(), false),
        (managing(), pod("p").request("example.com/gpu", "1").build(), true),
        (managing(), with("containers", "limits"), true),
        (managing(), with("initContainers", "requests"), true),
        (managing(), with("initContainers", "limits"), true),
    ] {
        let spec = &object.as_pod().expect("a pod").spec;
        assert_eq!(settings.is_interested(spec), want, "{settings:?} {spec:?}");
    }
}

#[test]
fn refusals_are_told_and_help_preemption() {
    let script = Scripted { lost: vec!["c"], ..Scripted::only(&[]) };
    let mut extenders = extenders(vec![(asked("x").filter(), script)]);
    let nodes = ["a", "b", "c"].map(|name| node(name).cpu(if name == "a" { "1" } else { "4" }).build());
    let cache = cluster(nodes.to_vec(), &mut extenders);
    let found = search(&Profile::default_profile(), &cache, &pod("p").cpu("2").build(), &extenders);
    let told: Vec<_> = found
        .diagnosis
        .nodes
        .iter()
        .map(|(slot, status)| (cache.node(slot).name.as_str(), status.code, status.message()))
        .collect();
    assert_eq!(
        told,
        [
            ("a", Code::UnschedulableAndUnresolvable, "Insufficient cpu".to_owned()),
            ("c", Code::UnschedulableAndUnresolvable, "not mine".to_owned()),
            ("b", Code::Unschedulable, "not mine".to_owned()),
        ]
    );
    let blamed: Vec<_> = found.diagnosis.unschedulable_plugins.iter().collect();
    assert_eq!(blamed, [EXTENDER, "NodeResourcesFit"]);
    assert_eq!((found.extender_calls.in_turn, found.extender_calls.at_once), (1, 0));
}

/// An extender that answers with whatever it was given.
struct Says(Filtered);

impl Extender for Says {
    fn filter(&self, _: &Asked<'_>, _: &[Arc<Object>]) -> Result<Filtered, ExtenderError> {
        Ok(self.0.clone())
    }
}

#[test]
fn answers_about_nodes_that_nobody_asked_about() {
    let names = |names: &[&str]| Passed::Names(names.iter().map(SmolStr::new).collect());
    let why = |nodes: &[&str]| nodes.iter().map(|n| (SmolStr::new(n), SmolStr::new("why"))).collect();
    let claim =
        "error: extender \"x\" claims a filtered node \"z\" which is not found in the input node list";
    for (passed, failed, lost, want) in [
        (names(&["a", "z"]), why(&[]), why(&[]), claim),
        (Passed::Objects(vec![Arc::new(node("z").build())]), why(&[]), why(&[]), claim),
        // No word about who passes: nobody does.
        (names(&[]), why(&[]), why(&[]), "0/2 nodes are available: (0 of 0)"),
        (names(&[]), why(&["z", "a"]), why(&[]), "0/2 nodes are available: 1 why. (0 of 1)"),
        // What is said twice counts once.
        (names(&[]), why(&["a", "b"]), why(&["a"]), "0/2 nodes are available: 2 why. (0 of 2)"),
        (names(&["b", "b"]), why(&[]), why(&[]), "b, 2 of 2"),
    ] {
        let mut extenders = Extenders::default();
        let says = Says(Filtered { passed, failed, failed_and_unresolvable: lost });
        extenders.add(asked("x").filter(), Arc::new(says));
        let cache = cluster(vec![node("a").build(), node("b").build()], &mut extenders);
        let found = search(&bare_profile(), &cache, &pod("p").build(), &extenders);
        assert_eq!(outcome(&cache, &found), want);
    }
}

#[test]
fn what_preemption_cannot_help_wins() {
    let mut extenders = Extenders::default();
    let both: BTreeMap<SmolStr, SmolStr> = [("a".into(), "why".into())].into();
    let says = Filtered { failed: both.clone(), failed_and_unresolvable: both, ..Filtered::names([]) };
    extenders.add(asked("x").filter(), Arc::new(Says(says)));
    let cache = cluster(vec![node("a").build()], &mut extenders);
    let found = search(&bare_profile(), &cache, &pod("p").build(), &extenders);
    assert_eq!(found.diagnosis.code_of(cache.slot("a")), Code::UnschedulableAndUnresolvable);
}

#[test]
fn nodes_that_are_given_back_have_no_pods_for_scores() {
    for (objects, want) in [(false, "empty"), (true, "full")] {
        let script = Scripted { objects, ..Scripted::default() };
        let mut extenders = extenders(vec![(asked("x").filter(), script)]);
        let nodes = vec![node("empty").cpu("4").build(), node("full").cpu("8").build()];
        let mut cache = cluster(nodes, &mut extenders);
        let mut classes = Classes::default();
        let there = Arc::new(pod("there").cpu("7").build());
        cache.set_pod(&there, classes.of(&there).expect("a pod"), &"full".into());
        cache.refresh();
        let found = search(&Profile::default_profile(), &cache, &pod("p").cpu("1").build(), &extenders);
        let best = found.best.iter().map(|slot| cache.node(*slot).name.as_str()).collect::<Vec<_>>();
        assert_eq!(best, [want], "{found:?}");
    }
}

/// Scores by a label: what PreScore saw of it, and what Score sees.
struct Labels;

impl Plugin for Labels {
    const NAME: &'static str = "Labels";
    type Cycle = i64;
    fn pre_filter(&self, _: &PodInfo) -> i64 {
        0
    }
}

fn label(node: &NodeInfo) -> i64 {
    node.label("n").and_then(|n| n.parse().ok()).unwrap_or(0)
}

impl PreScore for Labels {
    fn pre_score(&self, cycle: &mut i64, attempt: &Attempt<'_>, feasible: &[crate::cache::Slot]) -> Status {
        *cycle = feasible.iter().map(|slot| label(attempt.cluster.node(*slot))).sum();
        Status::success()
    }
}

impl Score for Labels {
    const NORMALIZE: crate::framework::Normalize = crate::framework::Normalize::Custom;
    fn score(&self, before: &i64, _: &PodInfo, node: &NodeInfo) -> i64 {
        10 * before + label(node)
    }
}

impl NormalizeScore for Labels {
    fn normalize(&self, _: &i64, _: &PodInfo, _: &mut [i64]) -> Status {
        Status::success()
    }
}

#[test]
fn changed_nodes_are_seen_by_scores_only() {
    let mut extenders = Extenders::default();
    let changed = ["a", "b"].map(|name| Arc::new(node(name).label("n", "5").build()));
    let says = Filtered { passed: Passed::Objects(changed.to_vec()), ..Filtered::names([]) };
    extenders.add(asked("x").filter(), Arc::new(Says(says)));
    let nodes = ["a", "b"].map(|name| node(name).label("n", "2").build());
    let cache = cluster(nodes.to_vec(), &mut extenders);
    let profile = bare_profile().with(plugin(Labels).pre_score().score().normalize_score());
    let found = search(&profile, &cache, &pod("p").build(), &extenders);
    assert_eq!(found.scores.first().map(|s| s.raw.clone()), Some(vec![45, 45]));
}

#[test]
fn a_nominated_node_must_pass_the_extenders_too() {
    let nominated = |node: &str| {
        let mut object = pod("p").build();
        if let Body::Pod(body) = &mut object.body {
            Arc::make_mut(&mut body.status).nominated_node_name = node.into();
        }
        object
    };
    for (script, want, first, calls) in [
        (Scripted::default(), "b, 1 of 1", true, 1),
        // Refused twice, and counted once.
        (Scripted::only(&["a"]), "a, 1 of 2", false, 2),
        // An error about the nominated node alone is none; the next one is.
        (Scripted::fails(), "error: some error", false, 2),
    ] {
        let mut extenders = extenders(vec![(asked("x").filter(), script)]);
        let cache = cluster(vec![node("a").build(), node("b").build()], &mut extenders);
        let found = search(&bare_profile(), &cache, &nominated("b"), &extenders);
        assert_eq!(outcome(&cache, &found), want);
        assert_eq!((found.nominated_first, found.extender_calls.in_turn), (first, calls));
    }
}

#[test]
fn those_that_can_be_ignored_come_last() {
    let list = [asked("a").ignorable(), asked("b"), asked("c").ignorable(), asked("d")];
    let extenders = extenders(list.map(|settings| (settings, Scripted::default())).to_vec());
    assert_eq!(extenders.names().collect::<Vec<_>>(), ["b", "d", "a", "c"]);
}

/// Counts its questions.
struct Counting(std::sync::Mutex<i64>);

impl Extender for Counting {
    fn prioritize(&self, _: &Asked<'_>, nodes: &[Arc<Object>]) -> Result<Ratings, ExtenderError> {
        let mut count = self.0.lock().map_err(|_| ExtenderError::failed("lock"))?;
        *count += 1;
        Ok(nodes.iter().map(|node| (node.key().name.clone(), *count)).collect())
    }

    fn fork(&self) -> Fork {
        let count = self.0.lock().map_or(0, |count| *count);
        Fork::Own(Arc::new(Counting(std::sync::Mutex::new(count))))
    }
}

/// Is only once.
struct Singular;

impl Extender for Singular {
    fn fork(&self) -> Fork {
        Fork::Impossible("there is only one".to_owned())
    }
}

#[test]
fn forks_have_extenders_of_their_own() {
    let mut first = Extenders::default();
    first.add(asked("x").prioritize(1), Arc::new(Counting(std::sync::Mutex::new(0))));
    let cache = cluster(vec![node("a").build(), node("b").build()], &mut first);
    let rating = |extenders: &Extenders| {
        search(&bare_profile(), &cache, &pod("p").build(), extenders).extender_scores[0].weighted[0]
    };
    assert_eq!(rating(&first), 10);
    let second = first.clone();
    assert_eq!((rating(&first), rating(&first), rating(&second)), (20, 30, 20));
}

#[test]
fn what_cannot_be_forked_says_so_and_is_never_ignored() {
    let mut first = Extenders::default();
    first.add(asked("x").prioritize(1).ignorable(), Arc::new(Singular));
    let cache = cluster(vec![node("a").build(), node("b").build()], &mut first);
    let second = first.clone();
    assert_eq!(outcome(&cache, &search(&bare_profile(), &cache, &pod("p").build(), &first)), "a, 2 of 2");
    assert_eq!(first.broken(), None);
    let found = search(&bare_profile(), &cache, &pod("p").build(), &second);
    let text = "extender \"x\" cannot be forked: there is only one";
    assert_eq!(outcome(&cache, &found), format!("error: {text}"));
    assert_eq!(second.broken(), Some(text));
}
