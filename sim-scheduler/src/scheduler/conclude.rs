//! The end of a cycle: at once, or when the extenders have answered.

use std::sync::Arc;

use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::engine::component::Ctx;
use sim_core::engine::log::{EventType, Record};
use sim_core::time::Span;
use smol_str::SmolStr;

use super::attempt::Failure;
use super::{Scheduler, Timer, uid};
use crate::cache::Slot;
use crate::cycle::CycleState;
use crate::extender::ExtenderCalls;
use crate::framework::{Effects, Preemption};
use crate::pod::PodInfo;
use crate::queue::QueuedPod;

/// What a cycle comes to.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The pod gets a node.
    Node {
        slot: Slot,
        node: SmolStr,
        score: i64,
        feasible: usize,
        evaluated: usize,
        state: Option<CycleState>,
    },
    /// It does not; with what PostFilter plugins want done.
    Failed(Failure, Box<Effects>, Option<Preemption>),
}

/// A cycle that waits for its extenders.
#[derive(Clone, Debug)]
pub(super) struct Concluding {
    pub(super) pod: Box<QueuedPod>,
    outcome: Outcome,
    /// Set once the pod is gone from the API server, or bound by somebody else.
    gone: bool,
}

impl Scheduler {
    /// How long these calls take: those that are made at the same time as long as the slowest.
    pub(super) fn delay_of(&mut self, ctx: &Ctx<'_, Timer>, calls: ExtenderCalls) -> Span {
        let mut sample = || ctx.timing().extender_call.sample(&mut self.extender_cost);
        let in_turn = (0..calls.in_turn).fold(Span::ZERO, |sum, _| sum + sample());
        in_turn + (0..calls.at_once).map(|_| sample()).max().unwrap_or(Span::ZERO)
    }

    /// Ends the cycle as soon as the extenders have answered.
    pub(super) fn conclude_after(
        &mut self,
        ctx: &mut Ctx<'_, Timer>,
        calls: ExtenderCalls,
        pod: Box<QueuedPod>,
        outcome: Outcome,
    ) {
        let delay = self.delay_of(ctx, calls);
        self.metrics.algorithm(ctx.now() + delay - pod.cycle_started);
        if delay.is_zero() {
            return self.conclude(ctx, pod, outcome);
        }
        ctx.set_timer(delay, Timer::Conclusion);
        self.concluding = Some(Box::new(Concluding { pod, outcome, gone: false }));
    }

    /// The extenders have answered.
    pub(super) fn conclude_cycle(&mut self, ctx: &mut Ctx<'_, Timer>) {
        let Some(cycle) = self.concluding.take() else { return };
        let Concluding { pod, outcome, gone } = *cycle;
        if gone {
            self.queue.done(uid(&pod.object));
        }
        match outcome {
            outcome if !gone => self.conclude(ctx, pod, outcome),
            Outcome::Failed(failure, effects, preemption) => {
                self.help(ctx, &pod, *effects, preemption);
                self.count_failure(ctx.now(), &pod, failure.rejected);
                ctx.event(&pod.object, EventType::Warning, "FailedScheduling", &failure.note());
            }
            // DIFFERS: upstream takes the place for the pod that is gone, and gives it back when the API server refuses
            // the binding.
            Outcome::Node { .. } => {}
        }
    }

    fn conclude(&mut self, ctx: &mut Ctx<'_, Timer>, pod: Box<QueuedPod>, outcome: Outcome) {
        match outcome {
            Outcome::Node { slot, node, score, feasible, evaluated, state } => {
                ctx.record(Record::Decision {
                    namespace: pod.object.meta.namespace(),
                    name: pod.object.meta.name(),
                    node: &node,
                    feasible: feasible as u32,
                    evaluated: evaluated as u32,
                    score,
                });
                self.place(ctx, pod, slot, node, state);
            }
            Outcome::Failed(failure, effects, preemption) => {
                self.help(ctx, &pod, *effects, preemption);
                self.failed(ctx, pod, failure);
            }
        }
    }

    /// Does what PostFilter plugins want done.
    fn help(
        &mut self,
        ctx: &mut Ctx<'_, Timer>,
        pod: &QueuedPod,
        effects: Effects,
        preemption: Option<Preemption>,
    ) {
        self.apply(ctx, effects);
        if let Some(preemption) = preemption {
            self.preempt(ctx, pod, preemption);
        }
    }

    /// The pod whose extenders have not answered yet changed.
    pub(super) fn concluding_pod_changed(&mut self, new: &Arc<Object>, info: &Arc<PodInfo>) {
        if let Some(cycle) = self.concluding.as_mut().filter(|cycle| uid(&cycle.pod.object) == uid(new)) {
            cycle.pod.object = new.clone();
            cycle.pod.info = info.clone();
        }
    }

    /// A pod is gone, or bound.
    pub(super) fn concluding_pod_gone(&mut self, id: Uid) {
        if let Some(cycle) = self.concluding.as_mut().filter(|cycle| uid(&cycle.pod.object) == id) {
            cycle.gone = true;
        }
    }
}
