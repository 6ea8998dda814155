//! Stopping containers: preStop, turn, stop signal, SIGKILL (kuberuntime_container.go: killContainer).

use sim_core::engine::component::TimerId;
use sim_core::engine::log::EventType;
use sim_core::time::{Span, secs};
use smallvec::SmallVec;

use crate::actions::{Kill, RuntimeState};
use crate::plan::Hook;
use crate::status::ExitReason;
use crate::termination::{container_grace, must_wait, remaining, stop_timeout};

use super::Timer;
use super::pod::{Busy, KillStage, Killing, Stage};
use super::worker::{Outcome, PodWorker};

/// 128 + SIGKILL.
const KILLED: i32 = 137;

impl PodWorker<'_, '_> {
    /// A sync kills the whole pod.
    pub(super) fn kill_pod(&mut self) -> Outcome {
        if self.kill_all(None) {
            self.pod.busy = Busy::Killing { pod: true };
            return Outcome::Busy;
        }
        self.drop_sandbox();
        Outcome::Done
    }

    fn drop_sandbox(&mut self) {
        if self.pod.sandbox.take().is_some() {
            self.node.release_ip(&self.pod.ip);
        }
    }

    /// A sync kills one container.
    pub(super) fn kill_one(&mut self, kill: &Kill) -> Outcome {
        let deletion = self.pod.object.meta.deletion.map(|d| d.grace_period_seconds);
        let grace = container_grace(self.pod.plan(), kill.container, kill.reason, deletion);
        let message = kill.message(self.pod.plan());
        if self.begin_kill(kill.container, grace, false, &message) {
            self.pod.busy = Busy::Killing { pod: false };
            return Outcome::Busy;
        }
        Outcome::Done
    }

    /// Begins to kill all running containers at once. False if none runs.
    pub(super) fn kill_all(&mut self, grace: Option<i64>) -> bool {
        let grace = grace.unwrap_or(self.pod.plan().grace);
        let ordered = self.pod.plan().has_sidecars;
        let running: SmallVec<[usize; 8]> =
            (0..self.pod.cells.len()).filter(|i| self.pod.cells[*i].is_running()).collect();
        // All of them are being killed before the first asks whether the others are gone.
        for i in &running {
            self.mark_kill(*i, grace, ordered);
        }
        for i in &running {
            let message = format!("Stopping container {}", self.pod.plan().containers[*i].name);
            self.pre_stop(*i, &message);
        }
        !running.is_empty()
    }

    /// Begins to kill one container alone. False if it does not run.
    pub(super) fn begin_kill(&mut self, i: usize, grace: i64, ordered: bool, message: &str) -> bool {
        if !self.pod.cells[i].is_running() {
            return false;
        }
        self.mark_kill(i, grace, ordered);
        self.pre_stop(i, message);
        true
    }

    fn mark_kill(&mut self, i: usize, grace: i64, ordered: bool) {
        let now = self.now();
        let old = self.pod.cells[i].kill.take();
        self.cancel(old.and_then(|k| k.timer));
        self.pod.cells[i].kill = Some(Box::new(Killing {
            stage: KillStage::PreStop,
            since: now,
            grace,
            ordered,
            exit_code: KILLED,
            timer: None,
        }));
    }

    fn cancel(&mut self, timer: Option<TimerId>) {
        if let Some(id) = timer {
            self.ctx.cancel(id);
        }
    }

    fn kill_timer(&mut self, i: usize, delay: Span) -> TimerId {
        self.ctx.set_timer(delay, Timer::Kill { pod: self.me, container: i as u16 })
    }

    fn pre_stop(&mut self, i: usize, message: &str) {
        self.event(EventType::Normal, "Killing", message);
        let grace = self.pod.cells[i].kill.as_ref().map_or(0, |k| k.grace);
        let Some(hook) = self.pod.plan().containers[i].pre_stop.filter(|_| grace > 0) else {
            self.take_turn(i);
            return;
        };
        let time = match hook {
            Hook::Sleep(time) => time,
            Hook::Handler => {
                let own = self.pod.cells[i].behavior.as_ref().and_then(|b| b.pre_stop);
                own.map_or(Span::ZERO, |delay| self.sample("behavior/pre-stop", i, delay))
            }
        };
        let timer = self.kill_timer(i, time.min(secs(grace)));
        if let Some(kill) = &mut self.pod.cells[i].kill {
            kill.timer = Some(timer);
        }
    }

    fn take_turn(&mut self, i: usize) {
        let Some(kill) = self.pod.cells[i].kill.as_deref().copied() else { return };
        let gone = |j: usize| self.pod.cells[j].kill.is_none();
        if !(kill.ordered && kill.grace > 0 && must_wait(self.pod.plan(), i, gone)) {
            self.stop(i);
            return;
        }
        let timer = self.kill_timer(i, secs(kill.grace));
        let since = self.now();
        if let Some(kill) = &mut self.pod.cells[i].kill {
            (kill.stage, kill.since, kill.timer) = (KillStage::Turn, since, Some(timer));
        }
    }

    /// Sends the stop signal; the container ends by itself in time or is killed.
    fn stop(&mut self, i: usize) {
        let Some(kill) = self.pod.cells[i].kill.as_deref().copied() else { return };
        let behavior = self.pod.cells[i].behavior.clone();
        let behavior = behavior.as_deref();
        let limit = stop_timeout(kill.grace);
        let deaf = behavior.is_some_and(|b| b.ignores_sigterm == Some(true));
        let own = behavior.and_then(|b| b.stop).unwrap_or(self.ctx.timing().stop);
        let time = if deaf { Span::MAX } else { self.sample("behavior/stop", i, own) };
        let code = behavior.and_then(|b| b.stop_exit_code).unwrap_or(0);
        let (time, exit_code) = if time <= limit { (time, code) } else { (limit, KILLED) };
        self.record(Some(i), "stopping", limit.as_secs());
        let timer = self.kill_timer(i, time);
        let since = self.now();
        if let Some(kill) = &mut self.pod.cells[i].kill {
            kill.stage = KillStage::Stopping;
            (kill.since, kill.exit_code, kill.timer) = (since, exit_code, Some(timer));
        }
    }

    /// The timer of a kill fired: its stage is over.
    pub(super) fn kill_stage_over(&mut self, i: usize) {
        let now = self.now();
        let Some(kill) = self.pod.cells.get_mut(i).and_then(|c| c.kill.as_mut()) else { return };
        kill.timer = None;
        let stage = kill.stage;
        if stage != KillStage::Stopping {
            kill.grace = remaining(kill.grace, now - kill.since);
        }
        match stage {
            KillStage::PreStop => self.take_turn(i),
            KillStage::Turn => self.stop(i),
            KillStage::Stopping => {
                let code = kill.exit_code;
                self.ended(i, code);
            }
        }
    }

    /// A second deletion has shortened the grace: kills under way go on with what is left of the shorter one.
    pub(super) fn shorten_kills(&mut self, grace: i64) {
        for i in 0..self.pod.cells.len() {
            let Some(kill) = self.pod.cells[i].kill.as_deref().copied() else { continue };
            if kill.grace <= grace {
                continue;
            }
            self.cancel(kill.timer);
            if let Some(kill) = &mut self.pod.cells[i].kill {
                (kill.grace, kill.timer) = (grace, None);
            }
            match kill.stage {
                KillStage::Stopping => self.stop(i),
                KillStage::PreStop | KillStage::Turn => self.take_turn(i),
            }
        }
    }

    /// A container's process has ended, by itself or by a kill.
    pub(super) fn ended(&mut self, i: usize, exit_code: i32) {
        let now = self.now();
        let Some(cell) = self.pod.cells.get_mut(i).filter(|c| c.is_running()) else { return };
        if let Some(instance) = &mut cell.instance {
            instance.state = RuntimeState::Exited;
            (instance.exit_code, instance.finished_at) = (exit_code, now);
            instance.reason = ExitReason::ByCode;
        }
        (cell.ready, cell.started) = (false, false);
        let kill = cell.kill.take();
        let probe = cell.probes.as_mut().and_then(|p| p.timer.take());
        let timers = [cell.exit.take(), kill.as_ref().and_then(|k| k.timer), probe];
        for timer in timers {
            self.cancel(timer);
        }
        self.record(Some(i), "exited", i64::from(exit_code));
        if kill.is_none() {
            self.notice();
            return;
        }
        self.let_next_stop();
        self.kills_over();
    }

    /// Somebody is gone: whoever waited for that gets the stop signal.
    fn let_next_stop(&mut self) {
        let now = self.now();
        for i in 0..self.pod.cells.len() {
            let waiting = self.pod.cells[i].kill.as_ref().filter(|k| k.stage == KillStage::Turn);
            let Some(kill) = waiting.map(|k| **k) else { continue };
            if must_wait(self.pod.plan(), i, |j| self.pod.cells[j].kill.is_none()) {
                continue;
            }
            self.cancel(kill.timer);
            if let Some(kill) = &mut self.pod.cells[i].kill {
                kill.grace = remaining(kill.grace, now - kill.since);
            }
            self.stop(i);
        }
    }

    /// Goes on once nothing is being killed any more.
    fn kills_over(&mut self) {
        let Busy::Killing { pod } = self.pod.busy else { return };
        if self.pod.cells.iter().any(|c| c.kill.is_some()) {
            return;
        }
        if self.pod.stage == Stage::Terminating {
            self.finish();
            return;
        }
        if pod {
            self.drop_sandbox();
        }
        self.notice();
        self.work();
    }
}
