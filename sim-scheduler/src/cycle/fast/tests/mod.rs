//! Fast equals plain: random clusters with churn, every decision made both ways.

mod devices;
mod world;

use std::cell::{Cell, RefCell};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sim_core::api::object::Object;
use sim_core::engine::random::Seed;
use sim_core::features::{FeatureGates, Gate};
use sim_core::time::Time;

use super::{FastCycles, FastOutcome};
use crate::cache::Slot;
use crate::cycle::{CycleState, Evaluation, Sampling, TieBreak, evaluate, run_post_filters};
use crate::framework::{
    Attempt, Diagnosis, Effects, Handle, Plugin, Point, PostFiltered, Profile, Reads, Score, plugin,
};
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use devices::DeviceStep;
use world::{Step, World, steps};

/// A plugin from outside with scores out of range on some nodes.
struct Wild;

impl Plugin for Wild {
    const NAME: &'static str = "Wild";
    const READS: Reads = Reads::NodeLocal;
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl Score for Wild {
    fn score(&self, (): &(), _: &PodInfo, node: &NodeInfo) -> i64 {
        if node.name == "n7" && node.pods.len() == 1 { 101 } else { node.pods.len() as i64 }
    }
}

/// How often the fast way was asked, and how often it knew.
#[derive(Clone, Copy, Default)]
struct Tally {
    decisions: usize,
    sure: usize,
    /// Of pods with claims that got a node.
    with_devices: usize,
}

impl std::ops::Add for Tally {
    type Output = Tally;
    fn add(self, other: Tally) -> Tally {
        Tally {
            decisions: self.decisions + other.decisions,
            sure: self.sure + other.sure,
            with_devices: self.with_devices + other.with_devices,
        }
    }
}

/// Both ways side by side.
struct Race<'a> {
    profile: &'a Profile,
    world: World,
    fast: FastCycles,
    fast_ties: TieBreak,
    plain_ties: TieBreak,
    start: usize,
    tally: Tally,
}

impl Race<'_> {
    fn attempt(&mut self, object: Object, sampling: Sampling, number: usize) -> Result<(), TestCaseError> {
        self.world.cache.refresh();
        if self.world.cache.order().is_empty() {
            return Ok(());
        }
        let info = self.world.classes.of(&object).expect("a pod");
        let World { cache, nominator, .. } = &self.world;
        let attempt = Attempt { pod: &info, object: &object, cluster: cache, now: Time::ZERO };
        let (plain, state) = evaluate(self.profile, attempt, nominator, sampling, self.start);
        let search = (sampling, self.start);
        let fast = self.fast.choose((0, self.profile), &attempt, nominator, search, &mut self.fast_ties);
        self.start = plain.next_start;
        self.tally.decisions += 1;
        self.tally.sure += usize::from(fast != FastOutcome::Unsure);
        // As the scheduler does: one draw per decision for a node.
        let chosen = match plain.error.is_none() && !plain.best.is_empty() {
            true => self.plain_ties.choose(cache, &plain.best),
            false => None,
        };
        if fast == FastOutcome::Unsure {
            // The scheduler would draw once for this decision, too.
            self.fast_ties = self.plain_ties.clone();
        }
        let mut preemption = None;
        match (&fast, chosen) {
            (FastOutcome::Unsure, _) => {}
            (FastOutcome::Chosen { .. }, Some(slot)) => {
                let want = FastOutcome::Chosen {
                    slot,
                    score: plain.score(),
                    feasible: plain.feasible.len(),
                    evaluated: plain.evaluated(),
                    next_start: plain.next_start,
                };
                prop_assert_eq!(&fast, &want);
            }
            (FastOutcome::Nothing(diagnosis), None) => {
                let refused = Refused { profile: self.profile, attempt, nominator, number };
                preemption = refused.both_ways(&mut self.fast, diagnosis, &plain, &state)?;
            }
            _ => prop_assert!(false, "fast: {:?}, plain: {:?}", fast, plain),
        }
        if let Some(slot) = chosen {
            let fastly = match fast {
                FastOutcome::Unsure => None,
                _ => self.fast.state_after_choice((0, self.profile), &attempt),
            };
            let fast = fastly.is_some();
            let effects = self.reserve(attempt, slot, state, fastly)?;
            self.tally.with_devices += usize::from(fast && !effects.pending.is_empty());
            self.world.claims.reserved(effects, self.world.cache.objects_mut());
            self.world.place(object, info, slot);
        } else if let Some(preemption) = preemption.and_then(|outcome| outcome.preemption) {
            self.world.preempt(&object, &info, &preemption);
        }
        Ok(())
    }
}

impl Race<'_> {
    /// What Reserve plugins want done for a pod that was given a node; both states must lead to the same.
    fn reserve(
        &self,
        attempt: Attempt<'_>,
        slot: Slot,
        plainly: CycleState,
        fastly: Option<CycleState>,
    ) -> Result<Effects, TestCaseError> {
        let node = &attempt.cluster.node(slot).name;
        let reserve = |mut state: CycleState| {
            let mut effects = Effects::default();
            let plugins = self.profile.at(Point::Reserve).iter();
            let said: Vec<_> = plugins
                .map(|&i| {
                    self.profile.plugin(i).reserve(state.of_mut(i), &attempt, node, &mut effects).message()
                })
                .collect();
            (said, effects)
        };
        let (said, effects) = reserve(plainly);
        let fast = fastly.map(reserve);
        if let Some((fast, wanted)) = fast {
            prop_assert_eq!(fast, said);
            prop_assert_eq!(format!("{wanted:?}"), format!("{effects:?}"));
        }
        Ok(effects)
    }
}

/// A pod that fits nowhere.
struct Refused<'a> {
    profile: &'a Profile,
    attempt: Attempt<'a>,
    nominator: &'a crate::cycle::Nominator,
    number: usize,
}

impl Refused<'_> {
    /// Compares what both ways say about it, and what PostFilter plugins make of that.
    fn both_ways(
        &self,
        fast: &mut FastCycles,
        diagnosis: &Diagnosis,
        plain: &Evaluation,
        state: &CycleState,
    ) -> Result<Option<PostFiltered>, TestCaseError> {
        let nodes = self.attempt.cluster.order().len();
        prop_assert_eq!(diagnosis.message(nodes), plain.diagnosis.message(nodes));
        prop_assert_eq!(&diagnosis.nodes, &plain.diagnosis.nodes);
        prop_assert_eq!(&diagnosis.unschedulable_plugins, &plain.diagnosis.unschedulable_plugins);
        let plainly = self.post_filter(state, None, &plain.diagnosis);
        if let Some((state, memory)) = fast.after_refusal((0, self.profile), &self.attempt) {
            let memory = memory.map(RefCell::new);
            let fastly = self.post_filter(&state, memory.as_ref(), diagnosis);
            if let Some(memory) = memory {
                fast.remember(0, self.attempt.pod.class, memory.into_inner());
            }
            prop_assert_eq!(&fastly, &plainly);
        }
        Ok(plainly)
    }

    fn post_filter(
        &self,
        state: &CycleState,
        memory: Option<&RefCell<crate::framework::Memory>>,
        diagnosis: &Diagnosis,
    ) -> Option<PostFiltered> {
        let handle = Handle {
            profile: self.profile,
            attempt: self.attempt,
            state,
            nominator: self.nominator,
            random: (self.number as u64) << 32 | self.number as u64,
            memory,
            extenders: None,
            explain: true,
        };
        run_post_filters(&handle, diagnosis, &mut Effects::default())
    }
}

/// Replays the steps; both ways must find the same in every attempt.
fn replay(
    steps: &[Step],
    profile: &Profile,
    ties: &TieBreak,
    gates: FeatureGates,
) -> Result<Tally, TestCaseError> {
    let mut race = Race {
        profile,
        world: World::default(),
        fast: FastCycles::default(),
        fast_ties: ties.clone(),
        plain_ties: ties.clone(),
        start: 0,
        tally: Tally::default(),
    };
    race.world.cache.objects_mut().set_features(gates);
    race.world.claims.step(&DeviceStep::Class(1), race.world.cache.objects_mut());
    for (number, step) in steps.iter().enumerate() {
        if let Some((object, sampling)) = race.world.step(step, number) {
            let attempted = race.attempt(object, sampling, number);
            attempted.map_err(|error| TestCaseError::fail(format!("step {number}: {error}")))?;
        }
    }
    Ok(race.tally)
}

#[test]
fn fast_equals_plain() {
    let total = Cell::new(Tally::default());
    let default = Profile::default_profile();
    let wild = Profile::default_profile().with_weight(plugin(Wild).score(), 2);
    let config = Config { cases: 240, ..Config::with_source_file(file!()) };
    let outcome =
        TestRunner::new(config).run(&(steps(), any::<u64>(), any::<bool>()), |(steps, seed, lowest)| {
            let ties = match lowest {
                true => TieBreak::LowestName,
                false => TieBreak::Random(Seed(seed).stream("scheduler/tie-break")),
            };
            let gates = FeatureGates::default();
            let tally = replay(&steps, &default, &ties, gates)?;
            let gates = gates.with(Gate::DRAPartitionableDevices).with(Gate::DRADeviceTaints);
            replay(&steps, &wild, &ties, gates)?;
            total.set(total.get() + tally);
            Ok(())
        });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let Tally { decisions, sure, with_devices } = total.get();
    assert!(decisions >= 10_000, "only {decisions} decisions");
    assert!(sure * 4 >= decisions * 3, "the fast way knew only {sure} of {decisions} decisions");
    assert!(with_devices >= 200, "only {with_devices} pods got devices the fast way");
}
