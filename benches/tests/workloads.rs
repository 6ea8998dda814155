//! Every workload in its smallest size: all measured pods are placed, and both engines decide alike.

use benches::workloads::alone::Alone;
use benches::workloads::cluster::InCluster;
use benches::workloads::player::play;
use benches::workloads::{Size, Templates, Workload, all};
use sim_core::features::FeatureGates;
use sim_core::time::Span;
use sim_scheduler::Scheduler;
use sim_scheduler::cycle::Sampling;
use sim_scheduler::scheduler::Engine;

fn workloads() -> (Vec<Workload>, Templates) {
    (all().expect("the files are right"), Templates::load().expect("so are the templates"))
}

fn smallest(workload: &Workload) -> &Size {
    let size = workload.sizes.iter().min_by_key(|size| size.params.values().sum::<usize>());
    let size = size.expect("a workload has sizes");
    assert!(size.params.values().sum::<usize>() <= 600, "{}: no small size", workload.name);
    size
}

fn scheduler(engine: Engine, sampling: Sampling) -> Scheduler {
    let mut scheduler = Scheduler::default();
    (scheduler.engine, scheduler.sampling) = (engine, sampling);
    scheduler
}

fn features(workload: &Workload) -> FeatureGates {
    workload.features().expect("the gates are there")
}

fn cycle(workload: &Workload) -> Span {
    workload.scheduling_cycle.map_or(Span::ZERO, |cycle| cycle.0)
}

#[test]
fn both_engines_place_all_pods_and_alike() {
    let (workloads, templates) = workloads();
    for workload in &workloads {
        for sampling in [Sampling::All, Sampling::Percentage(0)] {
            let run = |engine| {
                let mut stage = Alone::new(scheduler(engine, sampling), cycle(workload), features(workload));
                play(workload, smallest(workload), &templates, &mut stage).expect("all pods are placed")
            };
            let (fast, plain) = (run(Engine::Fast), run(Engine::Plain));
            assert!(fast.pods > 0, "{}: nothing is measured", workload.name);
            assert_eq!(fast.pods, plain.pods, "{}", workload.name);
            assert_eq!(fast.digest, plain.digest, "{}: the engines differ", workload.name);
            assert_eq!(fast.attempts, plain.attempts, "{}", workload.name);
        }
    }
}

#[test]
fn clusters_place_all_pods() {
    let (workloads, templates) = workloads();
    for workload in &workloads {
        let scheduler = scheduler(Engine::Fast, Sampling::All);
        let mut stage = InCluster::new(scheduler, cycle(workload), features(workload));
        play(workload, smallest(workload), &templates, &mut stage).expect("all pods are placed");
    }
}

#[test]
fn sizes_are_named_once_and_have_what_steps_ask_for() {
    let (workloads, _) = workloads();
    for workload in &workloads {
        let mut names: Vec<_> = workload.sizes.iter().map(|size| &size.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), workload.sizes.len(), "{}", workload.name);
        let params = |size: &Size| size.params.keys().cloned().collect::<Vec<_>>();
        let first = params(smallest(workload));
        assert!(workload.sizes.iter().all(|size| params(size) == first), "{}", workload.name);
    }
}
