//! A pod's worker: one sync at a time (pkg/kubelet/pod_workers.go, kubelet.go: SyncPod).

use sim_core::api::meta::Uid;
use sim_core::api::pod_status::PodPhase;
use sim_core::api::request::{DeleteOptions, Request};
use sim_core::engine::component::Ctx;
use sim_core::engine::log::{EventType, Record};
use sim_core::engine::timing::Delay;
use sim_core::time::{Span, Time, secs};
use smallvec::SmallVec;

use crate::actions::{self, Actions, Facts, RuntimeState, Sandbox};
use crate::behavior::draw;
use crate::plan::Role;
use crate::status::Instance;

use super::nodes::NodeState;
use super::pod::{Busy, Job, PodRef, PodState, Stage};
use super::{FleetConfig, Timer};

/// A pod with everything its worker needs, for the length of one input.
pub(super) struct PodWorker<'a, 'c> {
    pub pod: &'a mut PodState,
    pub node: &'a mut NodeState,
    pub config: &'a FleetConfig,
    pub me: PodRef,
    pub ctx: &'a mut Ctx<'c, Timer>,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Done; the next job may begin.
    Done,
    /// It takes time.
    Busy,
    /// It failed.
    Failed,
}

impl PodWorker<'_, '_> {
    pub(super) fn now(&self) -> Time {
        self.ctx.now()
    }

    pub(super) fn uid(&self) -> Uid {
        self.pod.object.meta.uid
    }

    /// Key of the draws for a container's current or coming instance.
    pub(super) fn key(&self, container: usize, run: i32) -> [u8; 24] {
        let mut key = [0; 24];
        key[..16].copy_from_slice(&self.uid().0.to_le_bytes());
        key[16..20].copy_from_slice(&(container as u32).to_le_bytes());
        key[20..].copy_from_slice(&run.to_le_bytes());
        key
    }

    /// A draw for a container's current or coming instance.
    pub(super) fn sample(&self, name: &str, container: usize, delay: Delay) -> Span {
        draw(self.ctx.seed(), name, &self.key(container, self.pod.cells[container].runs), delay)
    }

    pub(super) fn event(&mut self, event_type: EventType, reason: &str, message: &str) {
        self.ctx.event(&self.pod.object, event_type, reason, message);
    }

    pub(super) fn record(&mut self, container: Option<usize>, step: &str, value: i64) {
        let name = container.map_or("", |c| self.pod.compiled.plan.containers[c].name.as_str());
        let meta = &self.pod.object.meta;
        let (namespace, pod) = (meta.namespace(), meta.name());
        self.ctx.record(Record::Container { namespace, name: pod, container: name, step, value });
    }

    /// Looks at the pod and does what is to be done, or remembers to if the worker is busy.
    pub(super) fn sync(&mut self) {
        if self.pod.stage != Stage::Syncing {
            self.look_at_probes();
            self.report();
            return;
        }
        if self.pod.busy != Busy::Idle {
            self.pod.wake = true;
            return;
        }
        self.pod.wake = false;
        if let Some(id) = self.pod.retry.take() {
            self.ctx.cancel(id);
        }
        self.look_at_probes();
        if self.pod.failed.is_some() || self.phase(false).is_terminal() {
            self.terminate(None);
            return;
        }
        self.report();
        let actions = self.decide();
        self.enqueue(&actions);
        self.work();
    }

    fn decide(&self) -> Actions {
        let sandbox = self.pod.sandbox.map(|attempt| Sandbox {
            ready: true,
            attempt,
            has_ip: true,
            same_network: true,
        });
        let records: SmallVec<[_; 4]> = self.pod.cells.iter().map(|c| c.record()).collect();
        let facts = Facts {
            sandboxes: sandbox.as_slice(),
            records: &records,
            ephemeral: &[],
            deleting: self.pod.object.meta.is_deleting(),
        };
        actions::compute(self.pod.plan(), &facts)
    }

    fn enqueue(&mut self, actions: &Actions) {
        self.pod.retry_at = None;
        self.pod.fresh_failure = false;
        let jobs = &mut self.pod.jobs;
        jobs.clear();
        if actions.kill_pod {
            jobs.push_back(Job::KillPod);
        } else {
            jobs.extend(actions.kill.iter().map(|k| Job::Kill(*k)));
        }
        if actions.create_sandbox {
            jobs.push_back(Job::Sandbox);
        }
        for container in actions.start_init.iter().chain(&actions.start).copied() {
            let cell = &self.pod.cells[container];
            // Only records that had ended when the sync began count: one killed by this very sync does not.
            let ended = cell.instance.filter(|i| i.state == RuntimeState::Exited).map(|i| i.finished_at);
            jobs.push_back(Job::Start { container, since: ended.or(cell.last_finished) });
        }
    }

    /// Does the jobs of this sync until one takes time or all are done.
    pub(super) fn work(&mut self) {
        self.pod.busy = Busy::Idle;
        while let Some(job) = self.pod.jobs.pop_front() {
            let outcome = match job {
                Job::KillPod => self.kill_pod(),
                Job::Kill(kill) => self.kill_one(&kill),
                Job::Sandbox => self.make_sandbox(),
                Job::Start { container, since } => {
                    let outcome = self.start(container, since);
                    self.after_start(container, outcome);
                    outcome
                }
            };
            if outcome == Outcome::Busy {
                return;
            }
        }
        self.rest();
    }

    /// A regular init container that cannot be started ends the sync; any other failure does not.
    pub(super) fn after_start(&mut self, container: usize, outcome: Outcome) {
        if outcome == Outcome::Failed && self.pod.plan().containers[container].role == Role::Init {
            self.pod.jobs.clear();
        }
    }

    /// A sync is over: try again later if something failed, at once if something happened meanwhile.
    fn rest(&mut self) {
        if let Some(until) = self.pod.retry_at.take() {
            let at = self.retry_time(until);
            let timer = Timer::Retry(self.me);
            self.pod.retry = Some(self.ctx.set_timer_at(at, timer));
        }
        if self.pod.wake {
            self.sync();
        }
    }

    /// When a failed sync is tried again: the first try shows the failure in the status, the next that matters is the
    /// first after the end of the back-off. Those between would change nothing, so they are only counted.
    // DIFFERS: upstream syncs at each of them, and repeats its BackOff event; an idle back-off costs nothing here.
    fn retry_time(&self, until: Time) -> Time {
        let mut at = self.now();
        for round in 0..64 {
            let pause = self.sample_retry(at, round);
            if pause <= Span::ZERO {
                // Nothing to wait for is no reason to turn in circles.
                let next = if until > at { until } else { at + secs(10) };
                return if self.pod.fresh_failure { at } else { next };
            }
            at += pause;
            if at >= until || self.pod.fresh_failure {
                return at;
            }
        }
        at.max(until)
    }

    fn sample_retry(&self, at: Time, round: i32) -> Span {
        let mut key = self.key(0, round);
        for (place, byte) in key[16..].iter_mut().zip(at.0.to_le_bytes()) {
            *place ^= byte;
        }
        draw(self.ctx.seed(), "kubelet/retry", &key, self.config.retry)
    }

    /// A relist will notice what has just happened.
    pub(super) fn notice(&mut self) {
        if self.pod.relist || self.pod.stage == Stage::Finished {
            return;
        }
        self.pod.relist = true;
        let happened = self.pod.cells.iter().map(|c| c.runs).sum();
        let mut key = self.key(0, happened);
        key[16..20].copy_from_slice(&(self.now().0 as u32).to_le_bytes());
        let delay = draw(self.ctx.seed(), "kubelet/pleg", &key, self.ctx.timing().pleg);
        self.ctx.set_timer(delay, Timer::Relist(self.me));
    }

    fn make_sandbox(&mut self) -> Outcome {
        if self.has_claims() { self.prepare_claims() } else { self.begin_sandbox() }
    }

    pub(super) fn begin_sandbox(&mut self) -> Outcome {
        let key = self.key(usize::MAX & 0xffff, 0);
        let delay = draw(self.ctx.seed(), "kubelet/sandbox", &key, self.ctx.timing().sandbox);
        self.pod.busy = Busy::Sandbox;
        self.begin_step(delay);
        Outcome::Busy
    }

    pub(super) fn begin_step(&mut self, delay: Span) {
        self.pod.step = Some(self.ctx.set_timer(delay, Timer::Step(self.me)));
    }

    /// The step the worker waited for is done.
    pub(super) fn step_done(&mut self) {
        self.pod.step = None;
        let outcome = match std::mem::take(&mut self.pod.busy) {
            busy @ (Busy::Idle | Busy::Killing { .. } | Busy::LookingUp(_)) => {
                self.pod.busy = busy;
                return;
            }
            Busy::Sandbox => {
                self.pod.sandbox = Some(0);
                self.pod.ip = self.node.pod_ip(self.pod.plan().host_network);
                self.record(None, "sandbox", 0);
                Outcome::Done
            }
            Busy::Pulling(pull) => self.pulled(&pull),
            Busy::Starting(container) => self.started(container),
            Busy::PostStart(container) => self.post_started(container),
            Busy::Calling(calls) => self.called(*calls),
            Busy::GivingBackLater => {
                self.finish();
                Outcome::Busy
            }
        };
        if outcome != Outcome::Busy {
            self.work();
        }
    }

    /// Ends the pod's life: stops what runs, in order, and writes the last status. `grace` is that of an evictor.
    pub(super) fn terminate(&mut self, grace: Option<i64>) {
        let deletion = self.pod.object.meta.deletion.map(|d| d.grace_period_seconds);
        let before = self.pod.grace;
        let grace = crate::termination::effective_grace(self.pod.plan(), deletion, grace, before);
        self.pod.grace = Some(grace);
        match self.pod.stage {
            Stage::Finished => self.delete_if_due(),
            Stage::Terminating => {
                if before.is_some_and(|before| grace < before) {
                    self.shorten_kills(grace);
                }
                self.report();
            }
            Stage::Syncing => {
                self.pod.stage = Stage::Terminating;
                self.pod.jobs.clear();
                self.pod.busy = Busy::Killing { pod: true };
                for timer in [self.pod.step.take(), self.pod.retry.take()].into_iter().flatten() {
                    self.ctx.cancel(timer);
                }
                self.stop_probing();
                if self.kill_all(Some(grace)) {
                    self.report();
                } else {
                    self.finish();
                }
            }
        }
    }

    /// All containers are stopped for good: devices are given back before the last status is written.
    pub(super) fn finish(&mut self) {
        if !self.has_claims() || !self.unprepare_claims() {
            self.finished();
        }
    }

    pub(super) fn finished(&mut self) {
        if self.pod.sandbox.take().is_some() {
            self.node.release_ip(&self.pod.ip);
        }
        self.pod.stage = Stage::Finished;
        self.pod.busy = Busy::Idle;
        self.release();
        self.settle();
        self.record(None, "finished", 0);
        self.report();
        self.delete_if_due();
    }

    /// What is left of the containers at the end of their pod (`TerminatePod`): ended ones, and those that never came
    /// to their turn. Of the rest nobody can say how they ended.
    fn settle(&mut self) {
        let initialized = self.was_initialized();
        let attempted = self.pod.cells[..self.pod.plan().init_count].iter().rposition(|c| c.runs > 0);
        let inits_met = attempted.unwrap_or(0) + 1;
        for (i, container) in self.pod.compiled.plan.containers.iter().enumerate() {
            let cell = &mut self.pod.cells[i];
            cell.probes = None;
            cell.failure = None;
            let ended = cell.instance.is_some_and(|r: Instance| r.state == RuntimeState::Exited);
            let met = if container.role == Role::Main { initialized } else { i < inits_met };
            cell.lost = !ended && met;
        }
    }

    /// Some main container has been started, or nothing held them back any more (`hasPodInitialized`).
    fn was_initialized(&self) -> bool {
        let plan = self.pod.plan();
        let (inits, mains) = self.pod.cells.split_at(plan.init_count);
        let last = inits.last().zip(plan.inits().last());
        let last_done = last.is_none_or(|(cell, container)| match container.role {
            Role::Sidecar => cell.is_running() && cell.started,
            _ => cell.instance.is_some_and(|r| r.state == RuntimeState::Exited && r.exit_code == 0),
        });
        last_done || mains.iter().any(|c| c.runs > 0)
    }

    pub(super) fn release(&mut self) {
        if std::mem::take(&mut self.pod.holds) {
            self.node.release(&self.pod.compiled.ask);
        }
    }

    /// A finished pod that is being deleted leaves the API once its last status is there.
    pub(super) fn delete_if_due(&mut self) {
        let pod = &mut *self.pod;
        let due = pod.stage == Stage::Finished && pod.object.meta.is_deleting() && !pod.vanished;
        if !due || pod.in_flight || pod.dirty || pod.delete_sent {
            return;
        }
        pod.delete_sent = true;
        let options =
            DeleteOptions { grace_period_seconds: Some(0), uid: pod.object.meta.uid, ..Default::default() };
        let (kind, key) = (pod.object.kind, pod.object.key().clone());
        self.ctx.send(Request::Delete { kind, key, options });
    }

    /// `activeDeadlineSeconds` has passed.
    pub(super) fn deadline(&mut self) {
        if self.pod.stage != Stage::Syncing {
            return;
        }
        let message = "Pod was active on the node longer than the specified deadline";
        self.event(EventType::Normal, "DeadlineExceeded", message);
        self.pod.failed = Some(Box::new(("DeadlineExceeded".into(), message.into())));
        self.terminate(None);
    }

    /// The worker of an admitted pod begins.
    pub(super) fn begin(&mut self) {
        if let Some(deadline) = self.pod.plan().active_deadline.filter(|d| *d > secs(0)) {
            let at = self.pod.start_time + deadline;
            self.ctx.set_timer_at(at, Timer::Deadline(self.me));
        }
        self.make_probes();
        if self.pod.object.meta.is_deleting() {
            self.terminate(None);
        } else {
            self.sync();
        }
    }

    /// The phase the containers add up to.
    pub(super) fn phase(&self, terminal: bool) -> PodPhase {
        let old = self.pod.object.as_pod().map(|p| p.status.phase).unwrap_or_default();
        if old.is_terminal() {
            return old;
        }
        if self.pod.failed.is_some() {
            return PodPhase::Failed;
        }
        let views = self.pod.views(|i| self.seen(i));
        let mains = &self.pod.cells[self.pod.plan().init_count..];
        let active = |i: Instance| matches!(i.state, RuntimeState::Created | RuntimeState::Running);
        let initialized = mains.iter().any(|c| c.instance.is_some_and(active));
        let progress = crate::phase::PodProgress { terminal, initialized };
        match crate::phase::phase(self.pod.plan(), &views, progress) {
            // A pod that never got anywhere has failed once nothing will be tried any more.
            phase if terminal && !phase.is_terminal() => PodPhase::Failed,
            phase => phase,
        }
    }
}
