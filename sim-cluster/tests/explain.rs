//! Explanations, as a user's tests ask for them.

use sim_cluster::prelude::*;
use sim_core::api::meta::Key;
use sim_scheduler::explain::{Explained, Show};

/// A cluster that is too small for what comes: pods are placed, refused, preempted and tried again.
fn crowded(seed: u64, who: Explained) -> Cluster {
    let mut sim = Cluster::builder()
        .seed(seed)
        .nodes(104, |i| {
            let node = node(&format!("n{i}"))
                .cpu("2")
                .memory("8Gi")
                .label("disk", if i % 2 == 0 { "ssd" } else { "hdd" });
            if i % 5 == 0 { node.taint("team", "a", "NoSchedule") } else { node }
        })
        .build();
    sim.explain_pods(who);
    sim.create(deployment("web").replicas(90).pods(|p| p.cpu("1500m").memory("1Gi")));
    sim.create(pod("picky").cpu("1").node_selector("disk", "nvme"));
    sim.at(secs(20), |c| {
        c.create(pod("urgent").cpu("1500m").priority_class("system-cluster-critical"));
        c.create(pod("vast").cpu("64"));
    });
    sim.run_for(mins(2));
    sim
}

#[test]
fn explaining_changes_no_decision() {
    let plain = crowded(3, Explained::Nobody);
    let all = crowded(3, Explained::All);
    assert_eq!(plain.digest(), all.digest());
    assert!(plain.explain("urgent").is_empty());
    assert!(all.explain("urgent").len() >= 2 && all.explain("vast").len() >= 2);
    assert_eq!(all.pod("urgent").node(), all.explain("urgent").last().unwrap().chosen.as_deref());
}

#[test]
fn a_placed_pod_knows_what_every_node_was_worth() {
    let mut sim = Cluster::builder()
        .node(node("a").cpu("4").memory("8Gi"))
        .node(node("b").cpu("8").memory("8Gi"))
        .node(node("c").cpu("1").memory("8Gi").taint("team", "a", "NoSchedule"))
        .build();
    sim.run_for(secs(5));
    sim.explain_pod("web");
    sim.create(pod("web").cpu("2").memory("1Gi"));
    sim.run_for(secs(5));
    let attempts = sim.explain("web");
    let [only] = attempts.as_slice() else { panic!("one attempt, not {}", attempts.len()) };
    assert_eq!((only.chosen.as_deref(), only.message.as_str()), (Some("b"), ""));
    let ranked: Vec<(&str, Option<i64>)> = only.ranked().iter().map(|n| (n.node.as_str(), n.total)).collect();
    let [("b", Some(best)), ("a", Some(second))] = ranked[..] else { panic!("{ranked:?}") };
    assert!(best > second);
    let b = only.node("b").unwrap();
    assert_eq!(b.scores.iter().map(|score| score.weighted).sum::<i64>(), best);
    // Both plugins that refuse it are heard, though the scheduler stops at the first.
    let c = only.node("c").unwrap();
    assert_eq!(
        c.verdict(),
        "TaintToleration: node(s) had untolerated taint {team: a}; NodeResourcesFit: Insufficient cpu"
    );
    assert_eq!(only.node("d"), None);
}

#[test]
fn a_refused_pod_is_told_by_plugin_and_reason() {
    let sim = crowded(3, Explained::pod(Key::new("default", "vast")));
    let attempts = sim.explain("vast");
    let last = attempts.last().unwrap();
    assert_eq!(last.message, sim.why_pending("vast"));
    let groups: Vec<_> =
        last.groups().into_iter().map(|g| (g.plugin.to_string(), g.nodes, g.further)).collect();
    assert_eq!(groups, [("NodeResourcesFit".to_owned(), 83, 21), ("TaintToleration".to_owned(), 21, 0)]);
    let text = last.table(Show::Refused).to_string();
    assert!(text.contains("\nrefusals:\n") && text.contains("\nother nodes:\n"), "{text}");
    assert!(text.contains("104 nodes, 104 looked at, 0 fit"), "{text}");
}
