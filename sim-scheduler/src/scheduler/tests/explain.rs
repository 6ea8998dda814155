use super::*;
use crate::cycle::Sampling;
use crate::explain::{Explained, Explanation, Show};

/// What is kept of a pod's attempts so far.
fn kept(world: &World, pod: &Object) -> Vec<Explanation> {
    world.scheduler.explanations().of(&pod.meta.key).map(|e| (**e).clone()).collect()
}

fn explained() -> World {
    let mut world = World::new(Scheduler::default());
    world.scheduler.explanations_mut().who = Explained::All;
    world
}

#[test]
fn nodes_that_the_search_did_not_come_to_are_asked_as_well() {
    let mut world = explained();
    world.scheduler.sampling = Sampling::Window(1);
    for (name, cpu) in [("a", "1"), ("b", "4"), ("c", "4"), ("d", "1")] {
        world.add(&node(name).cpu(cpu).build());
    }
    let web = pod("web").cpu("2").build();
    world.add(&web);
    world.run_until(Time::ZERO);
    let [attempt] = &kept(&world, &web)[..] else { panic!("one attempt") };
    let answers: Vec<String> = attempt.nodes().map(|answer| answer.to_string()).collect();
    assert_eq!(
        answers,
        [
            "a: NodeResourcesFit: Insufficient cpu",
            "b: fits",
            "c: not looked at; it would fit",
            "d: not looked at; NodeResourcesFit: Insufficient cpu"
        ]
    );
    assert_eq!((attempt.looked_at(), attempt.feasible()), (2, 1));
    let [group] = &attempt.groups()[..] else { panic!("one group") };
    assert_eq!((group.nodes, group.further), (1, 1), "only what the search came to counts");
}

#[test]
fn the_oldest_are_dropped_for_new_ones() {
    let mut world = explained();
    world.add(&node("n").cpu("1").build());
    let web = pod("web").cpu("2").build();
    world.add(&web);
    world.run_until(Time::ZERO);
    let one = kept(&world, &web)[0].bytes();
    world.scheduler.explanations_mut().limit = 2 * one + one / 2;
    // Flushed every five minutes.
    world.run_until(Time::ZERO + secs(4 * 330));
    let attempts: Vec<u32> = kept(&world, &web).iter().map(|e| e.attempt).collect();
    assert_eq!(attempts, [4, 5]);
    assert_eq!(world.scheduler.explanations().dropped(), 3);
}

#[test]
fn five_thousand_nodes_take_some_bytes_each() {
    let mut world = explained();
    world.scheduler.sampling = Sampling::All;
    for i in 0..5000 {
        world.add(&node(&format!("n{i}")).cpu(if i % 2 == 0 { "1" } else { "8" }).build());
    }
    let web = pod("web").cpu("2").build();
    world.add(&web);
    world.run_until(Time::ZERO);
    let [attempt] = &kept(&world, &web)[..] else { panic!("one attempt") };
    assert_eq!((attempt.len(), attempt.feasible(), attempt.best().len()), (5000, 2500, 2500));
    assert_eq!(attempt.scorers().count(), 4);
    // A verdict for every node; position, total, rank and four pairs of scores for every other one.
    let per_node = attempt.bytes() / 5000;
    assert!((2 + 11..2 + 11 + 3).contains(&per_node), "{per_node} bytes per node");
    assert_eq!(
        attempt.node("n4998").map(|answer| answer.verdict()),
        Some("NodeResourcesFit: Insufficient cpu".into())
    );
}

#[test]
fn without_nodes_there_is_still_a_message() {
    let mut world = explained();
    let web = pod("web").build();
    world.add(&web);
    world.run_until(Time::ZERO);
    let [attempt] = &kept(&world, &web)[..] else { panic!("one attempt") };
    assert_eq!((attempt.message.as_str(), attempt.len()), ("no nodes available to schedule pods", 0));
}

#[test]
fn tables_say_it_all() {
    let mut world = explained();
    world.add(&node("small").cpu("1").build());
    world.add(&node("big").cpu("8").build());
    world.add(
        &node("other").cpu("8").spec(json!({"taints": [{"key": "team", "effect": "NoSchedule"}]})).build(),
    );
    let web = pod("web").cpu("500m").build();
    world.add(&web);
    world.run_until(Time::ZERO);
    let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        lines(kept(&world, &web)[0].table(Show::All).to_string()),
        [
            "attempt 1 of default/web at 0s, by default-scheduler: big",
            "3 nodes, 3 looked at, 2 fit",
            "",
            "refusals:",
            "  nodes  further  plugin           reason                                  eviction       e.g.",
            "  1      0        TaintToleration  node(s) had untolerated taint {team: }  does not help  other",
            "",
            "scores (times weight; as the plugin gave it):",
            "     node   total  TaintToleration  NodeResourcesFit  NodeResourcesBalancedAllocation  ImageLocality",
            "  *  big    491    300 (0)          95                96                               0",
            "     small  448    300 (0)          73                75                               0",
            "",
            "other nodes:",
            "  node   what is said",
            "  other  TaintToleration: node(s) had untolerated taint {team: }",
        ]
    );
    world.see(ChangeKind::Modified, Some(&web), &on(&web, "big"));
    let urgent = pod("urgent").cpu("8").with("priority", json!(10)).build();
    world.add(&urgent);
    world.run_until(Time::ZERO);
    assert_eq!(
        lines(kept(&world, &urgent)[0].to_string()),
        [
            "attempt 1 of default/urgent at 0s, by default-scheduler: no node",
            "0/3 nodes are available: 1 node(s) had untolerated taint {team: }, 2 Insufficient cpu.",
            "3 nodes, 3 looked at, 0 fit",
            "",
            "refusals:",
            "  nodes  further  plugin            reason                                  eviction       e.g.",
            "  1      0        NodeResourcesFit  Insufficient cpu                        may help       big",
            "  1      0        NodeResourcesFit  Insufficient cpu                        does not help  small",
            "  1      0        TaintToleration   node(s) had untolerated taint {team: }  does not help  other",
            "",
            "preemption:",
            "     node  budgets violated  victims",
            "  *  big   0                 default/web",
        ]
    );
}
