//! What one sync decides (`computePodActions`, pkg/kubelet/kuberuntime/kuberuntime_manager.go). Pure.

use smallvec::SmallVec;

use crate::plan::{ContainerPlan, Plan, RestartPolicy, Role};

/// State of a container's newest record in the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeState {
    /// Created, not started.
    Created,
    /// Running.
    Running,
    /// Ended.
    Exited,
    /// The runtime cannot tell.
    Unknown,
}

/// A probe's published result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// No verdict yet.
    Unknown,
    /// Success.
    Success,
    /// Failure.
    Failure,
}

/// A container's newest record in the runtime, and what the probes say of that instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// State.
    pub state: RuntimeState,
    /// Meaningful once exited.
    pub exit_code: i32,
    /// The spec is no longer the one it was created from.
    pub changed: bool,
    /// Startup probe, if it has a result.
    pub startup: Option<ProbeResult>,
    /// Liveness probe, if it has a result.
    pub liveness: Option<ProbeResult>,
}

/// A pod sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// State READY.
    pub ready: bool,
    /// Which attempt made it.
    pub attempt: u32,
    /// It has a pod IP.
    pub has_ip: bool,
    /// Its network namespace mode is the pod's.
    pub same_network: bool,
}

/// Everything a decision looks at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Sandboxes, newest first.
    pub sandboxes: &'a [Sandbox],
    /// Aligned with `plan.containers`; `None` = the runtime has no record.
    pub records: &'a [Option<Record>],
    /// Which of `plan.ephemeral` have a record.
    pub ephemeral: &'a [bool],
    /// `deletionTimestamp` is set.
    pub deleting: bool,
}

/// Why a single container is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    /// Its spec changed.
    Changed,
    /// Liveness probe failed.
    Liveness,
    /// Startup probe failed.
    Startup,
    /// The runtime does not know its state.
    Unknown,
}

/// A container to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Index into `plan.containers`.
    pub container: usize,
    /// Why.
    pub reason: KillReason,
    /// It is started again in the same sync.
    pub restart: bool,
}

impl Kill {
    /// The text of the `Killing` event.
    pub fn message(&self, plan: &Plan) -> String {
        let Some(c) = plan.containers.get(self.container) else { return String::new() };
        let init = c.role != Role::Main;
        let kind = if init { "Init container" } else { "Container" };
        let cause = match self.reason {
            KillReason::Changed => "definition changed",
            KillReason::Liveness => "failed liveness probe",
            KillReason::Startup => "failed startup probe",
            KillReason::Unknown => {
                return format!("{kind} is in \"unknown\" state, try killing it before restart");
            }
        };
        let intent = if self.restart && !init { ", will be restarted" } else { "" };
        format!("{kind} {} {cause}{intent}", c.name)
    }
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    /// Stop everything, sandbox included.
    pub kill_pod: bool,
    /// Make a sandbox.
    pub create_sandbox: bool,
    /// Attempt of the sandbox in use or to be made.
    pub attempt: u32,
    /// Ephemeral containers to start, as indices into `plan.ephemeral`.
    pub start_ephemeral: SmallVec<[usize; 1]>,
    /// Init containers to start, ascending indices into `plan.containers`.
    pub start_init: SmallVec<[usize; 2]>,
    /// Main containers to start, ascending indices into `plan.containers`.
    pub start: SmallVec<[usize; 4]>,
    /// Containers to kill first, ascending.
    // DIFFERS: upstream kills them in the random order of a map.
    pub kill: SmallVec<[Kill; 1]>,
}

impl Actions {
    /// True if there is nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.kill_pod
            && !self.create_sandbox
            && self.kill.is_empty()
            && self.start_ephemeral.is_empty()
            && self.start_init.is_empty()
            && self.start.is_empty()
    }
}

/// Whether a new sandbox is needed, and the attempt in use or to be made (`PodSandboxChanged`).
pub fn sandbox_changed(plan: &Plan, sandboxes: &[Sandbox]) -> (bool, u32) {
    let Some(newest) = sandboxes.first() else { return (true, 0) };
    let too_many = sandboxes.iter().filter(|s| s.ready).count() > 1;
    let no_ip = !plan.host_network && !newest.has_ip;
    if too_many || !newest.ready || !newest.same_network || no_ip {
        return (true, newest.attempt + 1);
    }
    (false, newest.attempt)
}

/// Whether a container that does not run is to be started (`ShouldContainerBeRestarted`).
pub fn should_be_restarted(container: &ContainerPlan, record: Option<&Record>, deleting: bool) -> bool {
    if deleting {
        return false;
    }
    match record {
        None => true,
        Some(r) => match r.state {
            RuntimeState::Running => false,
            RuntimeState::Created | RuntimeState::Unknown => true,
            RuntimeState::Exited => container.restarts(r.exit_code),
        },
    }
}

/// The decision.
pub fn compute(plan: &Plan, facts: &Facts<'_>) -> Actions {
    let (create, attempt) = sandbox_changed(plan, facts.sandboxes);
    let mut out = Actions { kill_pod: create, create_sandbox: create, attempt, ..Actions::default() };
    if create {
        with_new_sandbox(plan, facts, &mut out);
        return out;
    }
    for (i, seen) in facts.ephemeral.iter().enumerate() {
        if !seen {
            out.start_ephemeral.push(i);
        }
    }
    let initialized = init_actions(plan, facts, &mut out);
    if out.kill_pod || !initialized {
        return out;
    }
    main_actions(plan, facts, &mut out);
    out.kill.sort_by_key(|k| k.container);
    out
}

fn record<'a>(facts: &'a Facts<'_>, i: usize) -> Option<&'a Record> {
    facts.records.get(i).and_then(Option::as_ref)
}

fn with_new_sandbox(plan: &Plan, facts: &Facts<'_>, out: &mut Actions) {
    let any_record = facts.records.iter().any(Option::is_some);
    let never = plan.restart_policy == RestartPolicy::Never
        && plan.containers.iter().all(|c| c.role == Role::Sidecar || c.policy == RestartPolicy::Never);
    if never && out.attempt != 0 && any_record {
        out.create_sandbox = false;
        return;
    }
    let mains = plan.init_count..plan.containers.len();
    let to_start = mains.clone().filter(|i| {
        let succeeded =
            record(facts, *i).is_some_and(|r| r.state != RuntimeState::Running && r.exit_code == 0);
        !(plan.containers[*i].policy == RestartPolicy::OnFailure && succeeded)
    });
    let to_start: SmallVec<[usize; 4]> = to_start.collect();
    let created = |r: &Record| r.state != RuntimeState::Unknown;
    if to_start.is_empty() && mains.clone().any(|i| record(facts, i).is_some_and(created)) {
        out.create_sandbox = false;
    } else if plan.init_count > 0 {
        out.start_init.push(0);
    } else {
        out.start = to_start;
    }
}

/// What became of one init container.
enum Init {
    /// It does not hold up the next.
    Done,
    /// It is still to be done.
    Pending,
    /// It failed for good: the pod is over.
    Fatal,
}

/// Walks the init containers from last to first. Returns true once the pod is initialized.
fn init_actions(plan: &Plan, facts: &Facts<'_>, out: &mut Actions) -> bool {
    if plan.init_count == 0 {
        return true;
    }
    let mut initialized = (plan.init_count..plan.containers.len()).any(|i| {
        record(facts, i).is_some_and(|r| matches!(r.state, RuntimeState::Created | RuntimeState::Running))
    });
    let mut previously = initialized;
    for (i, c) in plan.inits().iter().enumerate().rev() {
        let sidecar = c.role == Role::Sidecar;
        let Some(r) = record(facts, i) else {
            if previously && sidecar {
                out.start_init.push(i);
            }
            continue;
        };
        if previously && !sidecar {
            continue;
        }
        let step = if sidecar { sidecar_step(c, i, r, out) } else { init_step(c, i, r, out) };
        match step {
            Init::Done if i + 1 == plan.init_count => initialized = true,
            Init::Done if !previously => out.start_init.push(i + 1),
            Init::Done | Init::Pending => {}
            Init::Fatal => {
                out.kill_pod = true;
                out.start_init.clear();
                return false;
            }
        }
        previously = true;
    }
    if !previously {
        out.start_init.push(0);
    }
    // A sidecar that is killed and the next one that starts were found from last to first.
    out.start_init.sort_unstable();
    initialized
}

fn init_step(c: &ContainerPlan, i: usize, r: &Record, out: &mut Actions) -> Init {
    match r.state {
        RuntimeState::Created => out.start_init.push(i),
        RuntimeState::Running => {}
        RuntimeState::Exited if r.exit_code == 0 => return Init::Done,
        RuntimeState::Exited => {
            if !c.restarts(r.exit_code) {
                return Init::Fatal;
            }
            out.start_init.push(i);
        }
        RuntimeState::Unknown => {
            if c.policy == RestartPolicy::Never {
                return Init::Fatal;
            }
            out.kill.push(Kill { container: i, reason: KillReason::Unknown, restart: true });
            out.start_init.push(i);
        }
    }
    Init::Pending
}

fn sidecar_step(c: &ContainerPlan, i: usize, r: &Record, out: &mut Actions) -> Init {
    let mut again = |reason: Option<KillReason>| {
        out.kill.extend(reason.map(|reason| Kill { container: i, reason, restart: true }));
        out.start_init.push(i);
    };
    match r.state {
        RuntimeState::Created | RuntimeState::Exited => again(None),
        RuntimeState::Unknown => again(Some(KillReason::Unknown)),
        RuntimeState::Running => {
            if c.startup.is_some() && r.startup != Some(ProbeResult::Success) {
                if r.startup == Some(ProbeResult::Failure) {
                    again(Some(KillReason::Startup));
                }
                return Init::Pending;
            }
            if r.changed {
                again(Some(KillReason::Changed));
            } else if c.liveness.is_some() && r.liveness == Some(ProbeResult::Failure) {
                again(Some(KillReason::Liveness));
            }
            return Init::Done;
        }
    }
    Init::Pending
}

fn main_actions(plan: &Plan, facts: &Facts<'_>, out: &mut Actions) {
    let mut kept = 0;
    for (i, c) in plan.containers.iter().enumerate().skip(plan.init_count) {
        let r = record(facts, i);
        let Some(running) = r.filter(|r| r.state == RuntimeState::Running) else {
            if should_be_restarted(c, r, facts.deleting) {
                out.start.push(i);
                if r.is_some_and(|r| r.state == RuntimeState::Unknown) {
                    out.kill.push(Kill { container: i, reason: KillReason::Unknown, restart: true });
                }
            }
            continue;
        };
        let reason = if running.changed {
            KillReason::Changed
        } else if running.liveness == Some(ProbeResult::Failure) {
            KillReason::Liveness
        } else if running.startup == Some(ProbeResult::Failure) {
            KillReason::Startup
        } else {
            kept += 1;
            continue;
        };
        let restart = reason == KillReason::Changed || c.policy != RestartPolicy::Never;
        if restart {
            out.start.push(i);
        }
        out.kill.push(Kill { container: i, reason, restart });
    }
    if kept == 0 && out.start.is_empty() {
        out.kill_pod = true;
        out.start_init.clear();
    }
}

#[cfg(test)]
mod tests;
