//! Starting one container: back-off, image, create and start, postStart (kuberuntime_container.go: startContainer;
//! images/image_manager.go).

use sim_core::duration::Duration;
use sim_core::engine::log::EventType;
use sim_core::time::{Span, Time};
use smol_str::SmolStr;

use crate::actions::RuntimeState;
use crate::behavior::Run;
use crate::plan::{Hook, PullPolicy};
use crate::status::{ExitReason, Failure, Instance};

use super::Timer;
use super::pod::{Busy, PullJob};
use super::worker::{Outcome, PodWorker};

const BACK_OFF: &str = "BackOff";
const FAILED: &str = "Failed";

impl PodWorker<'_, '_> {
    /// Begins to start a container. `since` is the exit that its back-off counts from.
    pub(super) fn start(&mut self, container: usize, since: Option<Time>) -> Outcome {
        let now = self.now();
        if let Some(exit) = since {
            let limits = &self.config.restart_backoff;
            let entry = self.pod.cells[container].backoff;
            if let Some(until) = limits.until(entry.as_ref(), exit, now) {
                let delay = entry.map_or(Span::ZERO, |e| e.delay);
                return self.crash_loop(container, delay, until);
            }
            self.pod.cells[container].backoff = Some(limits.next(entry.as_ref(), exit, now));
        }
        self.ensure_image(container)
    }

    fn crash_loop(&mut self, container: usize, delay: Span, until: Time) -> Outcome {
        let meta = &self.pod.object.meta;
        let pod = format!("{}_{}({})", meta.name(), meta.namespace(), meta.uid);
        let name = &self.pod.plan().containers[container].name;
        let event = format!("Back-off restarting failed container {name} in pod {pod}");
        let message = format!("back-off {} restarting failed container={name} pod={pod}", Duration(delay));
        self.event(EventType::Warning, BACK_OFF, &event);
        self.fail(container, "CrashLoopBackOff", message.into(), Some(until))
    }

    /// Remembers why a start failed, and when another try makes sense (`None` = at the next retry).
    fn fail(
        &mut self,
        container: usize,
        reason: &'static str,
        message: SmolStr,
        until: Option<Time>,
    ) -> Outcome {
        let until = until.unwrap_or(self.ctx.now());
        let cell = &mut self.pod.cells[container];
        self.pod.fresh_failure |= cell.failure.as_ref().is_none_or(|f| f.reason != reason);
        cell.failure = Some(Box::new(Failure { reason, message }));
        self.pod.retry_at = Some(self.pod.retry_at.map_or(until, |at| at.min(until)));
        Outcome::Failed
    }

    fn ensure_image(&mut self, container: usize) -> Outcome {
        let now = self.now();
        let plan = &self.pod.compiled.plan.containers[container];
        let (image, policy) = (plan.image.clone(), plan.pull_policy);
        let present = self.node.images.has(&image, now);
        match policy {
            PullPolicy::Never if !present => {
                let message = SmolStr::from(format!(
                    "Container image \"{image}\" is not present with pull policy of Never"
                ));
                self.event(EventType::Warning, "ErrImageNeverPull", &message);
                self.event(EventType::Warning, FAILED, "Error: ErrImageNeverPull");
                self.fail(container, "ErrImageNeverPull", message, None)
            }
            PullPolicy::Never | PullPolicy::IfNotPresent if present => {
                let message = format!("Container image \"{image}\" already present on machine");
                self.event(EventType::Normal, "Pulled", &message);
                self.create(container)
            }
            _ => self.pull(container, image),
        }
    }

    fn pull(&mut self, container: usize, image: SmolStr) -> Outcome {
        let now = self.now();
        if let Some(trouble) = &self.pod.cells[container].image {
            let (entry, error) = &**trouble;
            if let Some(until) = self.config.image_backoff.until(Some(entry), entry.updated, now) {
                let event = format!("Back-off pulling image \"{image}\"");
                let message = format!("{event}: ErrImagePull: {error}");
                self.event(EventType::Normal, BACK_OFF, &event);
                self.event(EventType::Warning, FAILED, "Error: ImagePullBackOff");
                return self.fail(container, "ImagePullBackOff", message.into(), Some(until));
            }
        }
        self.event(EventType::Normal, "Pulling", &format!("Pulling image \"{image}\""));
        let own = self.pod.cells[container].behavior.as_ref().and_then(|b| b.image.as_ref());
        let outcome = self.config.registry.look_up(&image, own);
        let latency = self.sample("kubelet/pull", container, self.ctx.timing().image_pull_latency);
        let transfer = transfer(*outcome.as_ref().unwrap_or(&0), self.ctx.timing().image_bytes_per_second);
        let serialize = self.config.registry.serialize_pulls;
        let pull = self.node.images.pull(&image, now, latency, transfer, serialize, outcome.is_ok());
        self.record(Some(container), "pulling", *outcome.as_ref().unwrap_or(&0));
        let job = PullJob { container, asked: now, transfer: pull.transfer, outcome };
        self.pod.busy = Busy::Pulling(Box::new(job));
        self.begin_step(pull.end - now);
        Outcome::Busy
    }

    /// A pull has ended.
    pub(super) fn pulled(&mut self, pull: &PullJob) -> Outcome {
        let container = pull.container;
        let image = self.pod.plan().containers[container].image.clone();
        match &pull.outcome {
            Ok(size) => {
                let waited = Duration(whole_millis(self.now() - pull.asked));
                let spent = Duration(whole_millis(pull.transfer));
                let message = format!(
                    "Successfully pulled image \"{image}\" in {spent} ({waited} including waiting). \
                     Image size: {size} bytes."
                );
                self.event(EventType::Normal, "Pulled", &message);
                self.create(container)
            }
            Err(error) => {
                let now = self.now();
                let trouble = self.pod.cells[container].image.take();
                let before = trouble.map(|t| t.0);
                let entry = self.config.image_backoff.next(before.as_ref(), now, now);
                self.pod.cells[container].image = Some(Box::new((entry, error.clone())));
                self.event(EventType::Warning, FAILED, &format!("Failed to pull image \"{image}\": {error}"));
                self.event(EventType::Warning, FAILED, "Error: ErrImagePull");
                let outcome = self.fail(container, "ErrImagePull", error.clone(), None);
                self.after_start(container, outcome);
                outcome
            }
        }
    }

    fn create(&mut self, container: usize) -> Outcome {
        if let Some(why) = self.unknown_claim(container) {
            self.event(EventType::Warning, FAILED, &format!("Error: {why}"));
            let outcome = self.fail(container, "CreateContainerConfigError", why, None);
            self.after_start(container, outcome);
            return outcome;
        }
        let delay = self.sample("kubelet/container-start", container, self.ctx.timing().container_start);
        self.pod.busy = Busy::Starting(container);
        self.begin_step(delay);
        Outcome::Busy
    }

    /// A container's process has been started.
    pub(super) fn started(&mut self, container: usize) -> Outcome {
        let now = self.now();
        let cell = &mut self.pod.cells[container];
        if let Some(old) = cell.instance.filter(|i| i.state == RuntimeState::Exited) {
            cell.last = Some(Box::new(old.terminated()));
            cell.last_finished = Some(old.finished_at);
        }
        cell.instance = Some(Instance {
            state: RuntimeState::Running,
            exit_code: 0,
            reason: ExitReason::ByCode,
            started_at: now,
            finished_at: now,
        });
        cell.runs += 1;
        (cell.started, cell.ready, cell.fresh, cell.changed) = (false, false, true, false);
        cell.failure = None;
        let restarts = i64::from(cell.restarts());
        let name = self.pod.plan().containers[container].name.clone();
        self.event(EventType::Normal, "Created", &format!("Created container: {name}"));
        self.event(EventType::Normal, "Started", &format!("Started container {name}"));
        self.record(Some(container), "started", restarts);
        self.plan_exit(container, now);
        self.notice();
        self.post_start(container)
    }

    /// Sets the timer of a running instance's own end.
    pub(super) fn plan_exit(&mut self, container: usize, started: Time) {
        let cell = &self.pod.cells[container];
        let run = match &cell.behavior {
            Some(behavior) => behavior.run_of(&self.pod.object.meta, cell.restarts()).clone(),
            None => Run::FOREVER,
        };
        let Some(time) = run.time else { return };
        let at = started + self.sample("behavior/run", container, time);
        let timer = Timer::Exit { pod: self.me, container: container as u16, exit_code: run.exit_code };
        self.pod.cells[container].exit = Some(self.ctx.set_timer_at(at, timer));
    }

    fn post_start(&mut self, container: usize) -> Outcome {
        let behavior = self.pod.cells[container].behavior.clone();
        let own = || behavior.as_ref().and_then(|b| b.post_start);
        let time = match self.pod.plan().containers[container].post_start {
            None => return Outcome::Done,
            Some(Hook::Sleep(time)) => time,
            Some(Hook::Handler) => {
                own().map_or(Span::ZERO, |delay| self.sample("behavior/post-start", container, delay))
            }
        };
        self.pod.busy = Busy::PostStart(container);
        self.begin_step(time);
        Outcome::Busy
    }

    /// The postStart hook has ended. If it failed the container is killed before the next one starts.
    pub(super) fn post_started(&mut self, container: usize) -> Outcome {
        let behavior = self.pod.cells[container].behavior.as_ref();
        if behavior.is_none_or(|b| b.post_start_fails != Some(true)) {
            return Outcome::Done;
        }
        self.event(EventType::Warning, "FailedPostStartHook", "PostStartHook failed");
        let outcome = self.fail(container, "PostStartHookError", "PostStartHook failed".into(), None);
        self.after_start(container, outcome);
        let grace = self.pod.plan().grace;
        if self.begin_kill(container, grace, false, "FailedPostStartHook") {
            self.pod.busy = Busy::Killing { pod: false };
            return Outcome::Busy;
        }
        Outcome::Failed
    }
}

fn transfer(bytes: i64, bytes_per_second: i64) -> Span {
    if bytes_per_second <= 0 {
        return Span::ZERO;
    }
    let nanos = i128::from(bytes) * 1_000_000_000 / i128::from(bytes_per_second);
    Span(i64::try_from(nanos).unwrap_or(i64::MAX))
}

fn whole_millis(span: Span) -> Span {
    Span(span.0 - span.0 % 1_000_000)
}
