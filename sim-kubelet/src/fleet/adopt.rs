//! Pods that run already when the fleet meets them: a cluster dump, or a restarted kubelet.

use sim_core::api::pod_status::{ContainerState, ContainerStatus, PodStatus, Terminated};

use crate::actions::{ProbeResult, RuntimeState};
use crate::status::{ExitReason, Instance};

use super::pod::Cell;
use super::worker::PodWorker;

/// Whether a status tells of containers that have been started.
pub(super) fn runs_already(status: &PodStatus) -> bool {
    let all = status.init_container_statuses.iter().chain(&status.container_statuses);
    status.start_time.is_some()
        && all.into_iter().any(|c| c.restart_count > 0 || !matches!(c.state, ContainerState::Waiting { .. }))
}

impl PodWorker<'_, '_> {
    /// Takes a pod over as its status tells: nothing is restarted that runs.
    pub(super) fn adopt(&mut self) {
        let object = self.pod.object.clone();
        let Some(status) = object.as_pod().map(|p| &p.status) else { return };
        self.make_probes();
        self.pod.sandbox = Some(0);
        self.pod.ip = status.pod_ip.clone();
        self.node.keep_ip(&status.pod_ip);
        if self.has_claims() {
            self.adopt_claims();
        }
        let statuses = || status.init_container_statuses.iter().chain(&status.container_statuses);
        for i in 0..self.pod.cells.len() {
            let name = &self.pod.compiled.plan.containers[i].name;
            let Some(found) = statuses().find(|s| s.name == *name) else { continue };
            let image = self.pod.compiled.plan.containers[i].image.clone();
            self.node.images.preload(image);
            restore(&mut self.pod.cells[i], found);
            let started = self.pod.cells[i].instance.filter(|r| r.state == RuntimeState::Running);
            if let Some(instance) = started {
                self.plan_exit(i, instance.started_at);
                self.resume_probes(i);
            }
        }
        if let Some(deadline) = self.pod.plan().active_deadline {
            let at = self.pod.start_time + deadline;
            self.ctx.set_timer_at(at, super::Timer::Deadline(self.me));
        }
        if object.meta.is_deleting() {
            self.terminate(None);
        } else if !self.pod.cells.iter().skip(self.pod.plan().init_count).all(Cell::is_running) {
            self.sync();
        }
    }
}

fn restore(cell: &mut Cell, status: &ContainerStatus) {
    let ended = |t: &Terminated| Instance {
        state: RuntimeState::Exited,
        exit_code: t.exit_code,
        reason: if t.reason == "OOMKilled" { ExitReason::OomKilled } else { ExitReason::ByCode },
        started_at: t.started_at,
        finished_at: t.finished_at,
    };
    let last = status.last_terminated.as_deref();
    cell.instance = match &status.state {
        ContainerState::Running { started_at } => Some(Instance {
            state: RuntimeState::Running,
            exit_code: 0,
            reason: ExitReason::ByCode,
            started_at: *started_at,
            finished_at: *started_at,
        }),
        ContainerState::Terminated(t) => Some(ended(t)),
        // What waits for its next start has ended before.
        ContainerState::Waiting { .. } => last.map(ended),
    };
    if !matches!(status.state, ContainerState::Waiting { .. }) {
        cell.last = status.last_terminated.clone();
        cell.last_finished = last.map(|t| t.finished_at);
    }
    cell.runs = if cell.instance.is_some() { status.restart_count.max(0).saturating_add(1) } else { 0 };
    cell.ready = status.ready;
    cell.started = status.started.unwrap_or(status.ready);
    if let Some(probes) = &mut cell.probes {
        let [startup, _, readiness] = &mut probes.workers;
        if let Some(w) = startup.as_mut().filter(|_| cell.started) {
            w.result = ProbeResult::Success;
        }
        if let Some(w) = readiness.as_mut().filter(|_| cell.ready) {
            w.result = ProbeResult::Success;
        }
    }
}
