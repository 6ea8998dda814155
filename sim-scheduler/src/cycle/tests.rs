use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use sim_core::api::meta::Uid;
use sim_core::api::object::{Body, Object};
use sim_core::engine::random::Seed;
use sim_core::time::Time;

use super::*;
use crate::framework::{Attempt, Effects, Handle, plugin};
use crate::pod::Classes;
use crate::testing::{node, pod};

/// One change of a random cluster.
#[derive(Clone, Debug)]
enum Step {
    SetNode {
        name: u8,
        cpu: u8,
        memory: u8,
        pods: u8,
        taints: u8,
        labels: u8,
        image: u8,
        cordoned: bool,
    },
    RemoveNode(u8),
    RemovePod(u8),
    /// A pod of a class and priority is promised a node.
    Promise {
        class: u8,
        priority: u8,
        name: u8,
    },
    /// The oldest promise is taken back.
    TakeBack,
    Place {
        class: u8,
        priority: u8,
        sampled: bool,
        promised: Option<u8>,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let set = (0_u8..12, 1_u8..5, 1_u8..5, 1_u8..6, 0_u8..4, 0_u8..4, 0_u8..3, prop::bool::weighted(0.1));
    let set = set.prop_map(|(name, cpu, memory, pods, taints, labels, image, cordoned)| Step::SetNode {
        name,
        cpu,
        memory,
        pods,
        taints,
        labels,
        image,
        cordoned,
    });
    let place = (0_u8..8, 0_u8..3, any::<bool>(), prop::option::weighted(0.1, 0_u8..12));
    let place = place.prop_map(|(class, priority, sampled, promised)| Step::Place {
        class,
        priority,
        sampled,
        promised,
    });
    let promise = (0_u8..8, 0_u8..3, 0_u8..12);
    let promise = promise.prop_map(|(class, priority, name)| Step::Promise { class, priority, name });
    let step = prop_oneof![
        3 => set,
        1 => (0_u8..12).prop_map(Step::RemoveNode),
        2 => any::<u8>().prop_map(Step::RemovePod),
        1 => promise,
        1 => Just(Step::TakeBack),
        8 => place,
    ];
    prop::collection::vec(step, 1..120)
}

fn random_node(step: &Step) -> Object {
    let &Step::SetNode { name, cpu, memory, pods, taints, labels, image, cordoned } = step else {
        unreachable!("only called for nodes")
    };
    let taints = match taints {
        1 => json!([{"key": "k", "value": "v", "effect": "PreferNoSchedule"}]),
        2 => json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]),
        3 => json!([{"key": "a", "effect": "PreferNoSchedule"}, {"key": "b", "effect": "PreferNoSchedule"}]),
        _ => json!([]),
    };
    let mut built = node(&format!("n{name}"))
        .cpu(&cpu.to_string())
        .memory(&format!("{memory}Gi"))
        .allocatable("pods", &pods.to_string())
        .label("disk", ["", "ssd", "hdd", "nvme"][usize::from(labels)])
        .label("topology.kubernetes.io/zone", ["", "a", "b"][usize::from(name % 3)])
        .spec(json!({"taints": taints, "unschedulable": cordoned}));
    if image > 0 {
        built = built.image("i:1", i64::from(image) * 700_000_000);
    }
    built.build()
}

fn class_of(class: u8, priority: u8, name: &str) -> Object {
    let prefer = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 7, "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}},
        {"weight": 3, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}]}});
    let broken = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 7, "preference": {"matchExpressions": [{"key": "disk", "operator": "Gt", "values": ["x"]}]}}]}});
    let named = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]}}});
    let pod = pod(name).with("priority", json!(priority));
    match class {
        0 => pod,
        1 => pod.cpu("500m").memory("512Mi"),
        2 => pod.cpu("1").with("nodeSelector", json!({"disk": "ssd"})),
        3 => pod.cpu("100m").with("affinity", prefer),
        4 => pod.memory("1Gi").with("tolerations", json!([{"operator": "Exists"}])),
        5 => pod.container("ports", json!([{"containerPort": 80, "hostPort": 80}])),
        6 => pod.cpu("200m").with("affinity", broken),
        _ => pod.cpu("300m").with("affinity", named),
    }
    .build()
}

/// A plugin from outside with scores out of range on some nodes.
struct Wild;

impl crate::framework::Plugin for Wild {
    const NAME: &'static str = "Wild";
    const READS: crate::framework::Reads = crate::framework::Reads::NodeLocal;
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl crate::framework::Score for Wild {
    fn score(&self, (): &(), _: &PodInfo, node: &crate::node::NodeInfo) -> i64 {
        if node.name == "n7" && node.pods.len() == 1 { 101 } else { node.pods.len() as i64 }
    }
}

/// Replays the steps; both ways must find the same in every attempt.
fn replay(steps: &[Step], profile: &Profile, ties: &TieBreak, wild: bool) -> Result<usize, TestCaseError> {
    let mut cache = Cache::default();
    let mut classes = Classes::default();
    let mut fast = FastCycles::default();
    let mut nominator = Nominator::default();
    let mut promises = std::collections::VecDeque::new();
    let (mut fast_ties, mut plain_ties) = (ties.clone(), ties.clone());
    let (mut start, mut decisions) = (0, 0);
    let mut placed: Vec<Uid> = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        match step {
            Step::SetNode { .. } => cache.set_node(&random_node(step)),
            Step::RemoveNode(name) => cache.remove_node(&format!("n{name}")),
            Step::RemovePod(_) if placed.is_empty() => {}
            Step::RemovePod(at) => {
                let uid = placed.swap_remove(usize::from(*at) % placed.len());
                cache.remove_pod(uid);
            }
            Step::Promise { class, priority, name } => {
                let object = class_of(*class, *priority, &format!("promised{i}"));
                let info = classes.of(&object).expect("a pod");
                nominator.nominate(object.meta.uid, &info, &format!("n{name}"));
                promises.push_back(object.meta.uid);
            }
            Step::TakeBack => {
                if let Some(uid) = promises.pop_front() {
                    nominator.remove(uid);
                }
            }
            Step::Place { class, priority, sampled, promised } => {
                cache.refresh();
                if cache.order().is_empty() {
                    continue;
                }
                let mut object = class_of(*class, *priority, &format!("p{i}"));
                if let (Some(name), Body::Pod(body)) = (promised, &mut object.body) {
                    std::sync::Arc::make_mut(&mut body.status).nominated_node_name =
                        format!("n{name}").into();
                }
                let info = classes.of(&object).expect("a pod");
                let attempt = Attempt { pod: &info, object: &object, cluster: &cache, now: Time::ZERO };
                // Windows of few nodes stand in for what upstream does from 100 nodes on.
                let sampling = if *sampled { Sampling::Window(3) } else { Sampling::All };
                let (plain, plain_state) = evaluate(profile, attempt, &nominator, sampling, start);
                let outcome =
                    fast.choose((0, profile), &attempt, &nominator, (sampling, start), &mut fast_ties);
                decisions += 1;
                let chosen = match (&plain.error, plain.best.is_empty(), &outcome) {
                    (None, false, FastOutcome::Unsure) => {
                        // Only the class with named nodes, and scores out of range somewhere.
                        prop_assert!(*class == 7 || wild, "step {}", i);
                        plain_ties.choose(&cache, &plain.best)
                    }
                    (None, false, _) => {
                        let slot = plain_ties.choose(&cache, &plain.best);
                        let want = FastOutcome::Chosen {
                            slot: slot.expect("some node is best"),
                            score: plain.score(),
                            feasible: plain.feasible.len(),
                            evaluated: plain.evaluated(),
                            next_start: plain.next_start,
                        };
                        prop_assert_eq!(&outcome, &want, "step {}", i);
                        slot
                    }
                    (Some(_), ..) => {
                        prop_assert_eq!(&outcome, &FastOutcome::Unsure, "step {}", i);
                        None
                    }
                    (None, true, FastOutcome::Nothing(diagnosis)) => {
                        let nodes = cache.order().len();
                        prop_assert_eq!(diagnosis.message(nodes), plain.diagnosis.message(nodes));
                        prop_assert_eq!(diagnosis.nodes.len(), plain.diagnosis.nodes.len());
                        let blamed = &plain.diagnosis.unschedulable_plugins;
                        prop_assert_eq!(&diagnosis.unschedulable_plugins, blamed, "step {}", i);
                        let handle = |state, memory, random| Handle {
                            profile,
                            attempt,
                            state,
                            nominator: &nominator,
                            random,
                            memory,
                            explain: true,
                        };
                        let random = (i as u64) << 32 | i as u64;
                        let plainly = run_post_filters(
                            &handle(&plain_state, None, random),
                            &plain.diagnosis,
                            &mut Effects::default(),
                        );
                        let (state, memory) =
                            fast.after_refusal(0, info.class).expect("only node-local plugins");
                        let memory = std::cell::RefCell::new(memory);
                        let handle = handle(&state, Some(&memory), random);
                        let fastly = run_post_filters(&handle, diagnosis, &mut Effects::default());
                        fast.remember(0, info.class, memory.into_inner());
                        prop_assert_eq!(&fastly, &plainly, "step {}", i);
                        if let Some(preemption) = plainly.and_then(|outcome| outcome.preemption) {
                            for victim in &preemption.victims {
                                cache.remove_pod(*victim);
                                placed.retain(|uid| uid != victim);
                            }
                            nominator.nominate(object.meta.uid, &info, &preemption.node);
                            promises.push_back(object.meta.uid);
                        }
                        None
                    }
                    (None, true, _) => {
                        let unsure = outcome == FastOutcome::Unsure && *class == 7;
                        prop_assert!(unsure, "step {}: {:?}", i, outcome);
                        None
                    }
                };
                if outcome == FastOutcome::Unsure && chosen.is_some() {
                    // The scheduler would draw once for this decision, too.
                    fast_ties = plain_ties.clone();
                }
                start = plain.next_start;
                if let Some(slot) = chosen {
                    let name = cache.node(slot).name.clone();
                    cache.assume(&std::sync::Arc::new(object.clone()), info, &name);
                    placed.push(object.meta.uid);
                }
            }
        }
    }
    Ok(decisions)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn fast_equals_plain(steps in steps(), seed in any::<u64>(), lowest in any::<bool>()) {
        let ties = match lowest {
            true => TieBreak::LowestName,
            false => TieBreak::Random(Seed(seed).stream("scheduler/tie-break")),
        };
        replay(&steps, &Profile::default_profile(), &ties, false)?;
        let wild = Profile::default_profile().with_weight(plugin(Wild).score(), 2);
        replay(&steps, &wild, &ties, true)?;
    }
}

#[test]
fn how_many_nodes_are_enough() {
    let profile = Profile::default_profile();
    for (nodes, percentage, want) in [
        (99, 0, 99),
        (100, 0, 100),
        (1000, 0, 420),
        (5000, 0, 500),
        (10_000, 0, 500),
        (400, 45, 180),
        (150, 5, 100),
        (300, 100, 300),
    ] {
        assert_eq!(Sampling::Percentage(percentage).enough(nodes, &profile), want, "{nodes} {percentage}");
        assert_eq!(Sampling::All.enough(nodes, &profile), nodes);
    }
}

#[test]
fn nominated_pods_take_room_from_lower_priorities_only() {
    let mut cache = Cache::default();
    cache.set_node(&node("a").cpu("1").build());
    cache.refresh();
    let mut classes = Classes::default();
    let mut nominator = Nominator::default();
    let promised = pod("promised").cpu("1").with("priority", json!(5)).build();
    nominator.nominate(Uid(1), &classes.of(&promised).expect("a pod"), "a");
    let profile = Profile::default_profile();
    let mut feasible = |priority: i32| {
        let object = pod("p").cpu("1").with("priority", json!(priority)).build();
        let info = classes.of(&object).expect("a pod");
        let attempt = Attempt { pod: &info, object: &object, cluster: &cache, now: Time::ZERO };
        evaluate(&profile, attempt, &nominator, Sampling::All, 0).0.feasible.len()
    };
    assert_eq!((feasible(4), feasible(5), feasible(6)), (0, 0, 1));
    nominator.remove(Uid(1));
    assert!(nominator.is_empty());
}

#[test]
fn the_nominated_node_comes_first() {
    let mut cache = Cache::default();
    for name in ["a", "b"] {
        cache.set_node(&node(name).cpu("1").build());
    }
    cache.refresh();
    let profile = Profile::default_profile();
    let try_with = |cpu: &str| {
        let mut object = pod("p").cpu(cpu).build();
        if let Body::Pod(body) = &mut object.body {
            Arc::make_mut(&mut body.status).nominated_node_name = "b".into();
        }
        let info = Classes::default().of(&object).expect("a pod");
        let attempt = Attempt { pod: &info, object: &object, cluster: &cache, now: Time::ZERO };
        evaluate(&profile, attempt, &Nominator::default(), Sampling::All, 0).0
    };
    let found = try_with("1");
    assert_eq!((found.nominated_first, found.feasible.len(), found.scores.len()), (true, 1, 0));
    let refused = try_with("2");
    assert_eq!(refused.diagnosis.nodes.len(), 2, "each node is told once");
}
