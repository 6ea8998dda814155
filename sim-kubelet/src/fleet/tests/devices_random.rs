//! Random pods with claims, drivers that fail and kubelets that restart: what is prepared is given back, and nothing runs
//! without its devices.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sim_core::time::{millis, secs};
use sim_dra::driver::Service;

use super::devices::story_of;
use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// A pod that uses its own claim, or one of three that are shared.
    Pod(Option<usize>),
    /// Deletes a pod, with or without grace.
    Delete(usize, bool),
    Restart,
    Fail(u32),
    Wait(i64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop::option::of(0usize..3).prop_map(Op::Pod),
        3 => (0usize..12, any::<bool>()).prop_map(|(n, grace)| Op::Delete(n, grace)),
        1 => Just(Op::Restart),
        1 => (1u32..3).prop_map(Op::Fail),
        5 => (1i64..40).prop_map(Op::Wait),
    ]
}

/// Claims that the driver has ready, as it was told.
fn ready(asked: &[String]) -> BTreeSet<&str> {
    let mut out = BTreeSet::new();
    for line in asked {
        match line.split_once(' ') {
            Some(("prepare", claim)) => drop(out.insert(claim)),
            Some((_, claim)) => drop(out.remove(claim)),
            None => {}
        }
    }
    out
}

fn check(prepare: i64, unprepare: i64, ops: &[Op]) -> Result<(), TestCaseError> {
    let delay = |tenths: i64| Delay::Constant(millis(tenths * 100));
    let mut story = story_of(Service::taking(delay(prepare), delay(unprepare)));
    (0..3).for_each(|n| story.claim(&format!("shared-{n}"), "gpu.nvidia.com"));
    let mut pods: Vec<String> = Vec::new();
    for op in ops {
        match op {
            Op::Pod(shared) => {
                let name = format!("p{}", pods.len());
                let claim = match shared {
                    Some(n) => format!("shared-{n}"),
                    None => {
                        story.claim(&name, "gpu.nvidia.com");
                        name.clone()
                    }
                };
                story.pod(&name, &[&claim]);
                pods.push(name);
            }
            Op::Delete(n, grace) => {
                let found = pods.get(*n).filter(|name| story.world.get(name).is_some());
                if let Some(name) = found.cloned() {
                    story.world.delete(&name, (!grace).then_some(0));
                }
            }
            Op::Restart => story.world.with_fleet(|f, ctx| f.restart_kubelet(ctx, "n1").unwrap_or_default()),
            Op::Fail(times) => {
                let fault = Fault { times: Some(*times), error: "no".into() };
                let _ = story.world.fleet.fail_prepare("n1", "gpu.nvidia.com", Some(fault));
            }
            Op::Wait(seconds) => story.world.run(secs(*seconds)),
        }
        let asked = story.asked();
        let ready = ready(&asked);
        let runs = |name: &&String| {
            let uid = story.world.get(name).map(|object| object.meta.uid).unwrap_or_default();
            story.world.fleet.pod(uid).is_some_and(|pod| pod.running().next().is_some())
        };
        for name in pods.iter().filter(runs) {
            // A shared claim may be given back under a pod that runs: see `Claims::end`.
            let own = asked.iter().any(|line| line == &format!("prepare {name}"));
            prop_assert!(!own || ready.contains(name.as_str()), "{name} runs without its device: {asked:?}");
        }
    }
    story.world.run(secs(400));
    for name in pods.iter().filter(|name| story.world.get(name).is_some()).cloned().collect::<Vec<_>>() {
        let (own, says) = (story.asked().contains(&format!("prepare {name}")), story.world.says(&name));
        prop_assert!(!own || says.starts_with("Running"), "{}: {}", name, says);
        story.world.delete(&name, None);
    }
    story.world.run(secs(400));
    let asked = story.asked();
    // A shared claim that is taken up again while it is given back is forgotten: see `Claims::forget`.
    let kept = ready(&asked).into_iter().filter(|claim| unprepare == 0 || !claim.starts_with("shared"));
    prop_assert_eq!(kept.count(), 0, "not given back: {:?}", asked);
    let node = story.world.fleet.node("n1").and_then(|n| n.devices());
    prop_assert_eq!(node.map_or(0, |d| d.claims().iter().count()), 0);
    prop_assert_eq!(story.world.fleet.pod_count(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_prepared_is_given_back(
        prepare in 0i64..60,
        unprepare in 0i64..60,
        ops in prop::collection::vec(op(), 1..20),
    ) {
        check(prepare, unprepare, &ops)?;
    }
}
