//! The status manager: one patch in flight per pod, with what changed only (pkg/kubelet/status/status_manager.go).

use sim_core::api::pod_status::{
    ConditionStatus, ContainerState, ContainerStatus, PodCondition, PodPhase, PodStatus, Terminated,
};
use sim_core::api::request::{PodStatusPatch, Request, Tag};
use sim_core::time::Time;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::actions::RuntimeState;
use crate::conditions::{Verdict, containers_ready, initialized, ready};
use crate::phase::{Seen, View};
use crate::status::{LOST_AT_END, convert};

use super::pod::{PodState, Stage};
use super::worker::PodWorker;

impl PodWorker<'_, '_> {
    /// A container's state as phase and conditions look at it.
    pub(super) fn seen(&self, i: usize) -> Seen {
        seen(self.pod, i)
    }

    /// Writes what has changed, or remembers to once the patch in flight is answered.
    pub(super) fn report(&mut self) {
        if self.pod.vanished {
            return;
        }
        if self.pod.in_flight {
            self.pod.dirty = true;
            return;
        }
        self.pod.dirty = false;
        let phase = self.phase(self.pod.stage == Stage::Finished);
        let Some(patch) = patch(self.pod, self.node.address(), phase, self.ctx.now()) else { return };
        self.pod.in_flight = true;
        let tag = Tag(u64::from(self.me.slot) << 32 | u64::from(self.me.generation));
        let (key, uid) = (self.pod.object.key().clone(), self.uid());
        self.ctx.request(Request::PatchPodStatus { key, uid, patch: Box::new(patch) }, tag);
    }

    /// The patch in flight was answered.
    pub(super) fn reported(&mut self) {
        self.pod.in_flight = false;
        if self.pod.dirty {
            self.report();
        }
        self.delete_if_due();
    }
}

fn seen(pod: &PodState, i: usize) -> Seen {
    let cell = &pod.cells[i];
    if cell.lost {
        return Seen::Terminated { exit_code: 137 };
    }
    let last_exit = || cell.last.as_ref().map(|t| t.exit_code);
    let ended = cell.instance.filter(|r| r.state == RuntimeState::Exited).map(|r| r.exit_code);
    if cell.failure.is_some() && will_start(pod, i) {
        return Seen::Waiting { last_exit: ended.or_else(last_exit) };
    }
    match cell.instance {
        None => Seen::Waiting { last_exit: last_exit() },
        Some(r) => match r.state {
            RuntimeState::Created | RuntimeState::Unknown => Seen::Waiting { last_exit: last_exit() },
            RuntimeState::Running => Seen::Running,
            RuntimeState::Exited => Seen::Terminated { exit_code: r.exit_code },
        },
    }
}

fn will_start(pod: &PodState, i: usize) -> bool {
    let deleting = pod.object.meta.is_deleting() || pod.stage != Stage::Syncing;
    let record = pod.cells[i].record();
    crate::actions::should_be_restarted(&pod.plan().containers[i], record.as_ref(), deleting)
}

fn container_status(pod: &PodState, i: usize) -> ContainerStatus {
    let (cell, plan) = (&pod.cells[i], &pod.plan().containers[i]);
    let default = if pod.plan().init_count > 0 { "PodInitializing" } else { "ContainerCreating" };
    let (mut state, last) = convert(
        cell.instance.as_ref(),
        cell.last.as_deref(),
        cell.failure.as_deref(),
        cell.failure.is_some() && will_start(pod, i),
        default,
    );
    if cell.lost {
        state = ContainerState::Terminated(Box::new(Terminated {
            exit_code: 137,
            reason: "ContainerStatusUnknown".into(),
            message: LOST_AT_END.into(),
            ..Terminated::default()
        }));
    }
    ContainerStatus {
        name: plan.name.clone(),
        state,
        last_terminated: last,
        ready: pod.is_ready(i),
        started: Some(cell.started && cell.is_running()),
        restart_count: cell.restarts(),
        image: plan.image.clone(),
    }
}

fn condition(kind: &'static str, verdict: Verdict, generation: i64, now: Time) -> PodCondition {
    PodCondition {
        kind: SmolStr::new_static(kind),
        status: verdict.status,
        reason: SmolStr::new_static(verdict.reason),
        message: SmolStr::from(verdict.message),
        last_transition_time: now.truncate_to_secs(),
        observed_generation: generation,
    }
}

fn conditions(pod: &PodState, status: &PodStatus, phase: PodPhase, now: Time) -> [PodCondition; 5] {
    let views: SmallVec<[Option<View>; 4]> = pod.views(|i| seen(pod, i));
    let (plan, generation) = (pod.plan(), pod.object.meta.generation);
    let all_ready = containers_ready(plan, Some(&views), phase);
    let gate = |name: &str| status.condition(name).map(|c| c.status);
    let is_ready = ready(plan, &all_ready, gate);
    let bare = |status: bool| Verdict { status: ConditionStatus::from(status), ..Verdict::TRUE };
    [
        condition("PodReadyToStartContainers", bare(pod.sandbox.is_some()), generation, now),
        condition("Initialized", initialized(plan, Some(&views), phase), generation, now),
        condition("Ready", is_ready, generation, now),
        condition("ContainersReady", all_ready, generation, now),
        condition("PodScheduled", Verdict::TRUE, generation, now),
    ]
}

/// What has to change in the status the API has; `None` = nothing.
fn patch(pod: &PodState, host_ip: &SmolStr, phase: PodPhase, now: Time) -> Option<PodStatusPatch> {
    let old = &pod.object.as_pod()?.status;
    let mut out = PodStatusPatch::default();
    let mut change = false;
    fn differ<T: PartialEq + Clone>(old: &T, new: &T, change: &mut bool) -> Option<T> {
        (old != new).then(|| {
            *change = true;
            new.clone()
        })
    }
    // A phase is terminal only once nothing runs any more.
    let phase = if phase.is_terminal() && pod.stage != Stage::Finished { old.phase } else { phase };
    out.phase = differ(&old.phase, &phase, &mut change);
    if let Some(failed) = pod.failed.as_ref().filter(|_| phase == PodPhase::Failed) {
        out.reason = differ(&old.reason, &failed.0, &mut change);
        out.message = differ(&old.message, &failed.1, &mut change);
    }
    if pod.rejected {
        return change.then_some(out);
    }
    out.start_time = differ(&old.start_time, &Some(pod.start_time.truncate_to_secs()), &mut change).flatten();
    out.observed_generation = differ(&old.observed_generation, &pod.object.meta.generation, &mut change);
    out.host_ip = differ(&old.host_ip, host_ip, &mut change);
    if !pod.ip.is_empty() {
        out.pod_ip = differ(&old.pod_ip, &pod.ip, &mut change);
    }
    for new in conditions(pod, old, phase, now) {
        let same = old.condition(&new.kind).is_some_and(|c| {
            (c.status, &c.reason, &c.message, c.observed_generation)
                == (new.status, &new.reason, &new.message, new.observed_generation)
        });
        if !same {
            change = true;
            out.conditions.push(new);
        }
    }
    let plan = pod.plan();
    let init: Vec<_> = (0..plan.init_count).map(|i| container_status(pod, i)).collect();
    let mains: Vec<_> = plan.mains_by_name.iter().map(|i| container_status(pod, usize::from(*i))).collect();
    out.init_container_statuses = differ(&old.init_container_statuses, &init, &mut change);
    out.container_statuses = differ(&old.container_statuses, &mains, &mut change);
    change.then_some(out)
}
