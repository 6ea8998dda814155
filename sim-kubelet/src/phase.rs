//! Pod phase from container statuses (`getPhase`, pkg/kubelet/kubelet_pods.go). Pure.

use sim_core::api::pod_status::{ContainerState, ContainerStatus, PodPhase};

use crate::plan::{Plan, RestartPolicy, Role};

/// What a status says of a container, as far as phase and conditions look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A status without any state.
    Unknown,
    /// Waiting, for the first time or after an instance that ended with this code.
    Waiting {
        /// Exit code in `lastState.terminated`.
        last_exit: Option<i32>,
    },
    /// Running.
    Running,
    /// Ended.
    Terminated {
        /// Its exit code.
        exit_code: i32,
    },
}

/// One container's status as phase and conditions look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// State.
    pub seen: Seen,
    /// `ready`.
    pub ready: bool,
    /// `started` is there and true.
    pub started: bool,
}

impl From<&ContainerStatus> for View {
    fn from(status: &ContainerStatus) -> View {
        let seen = match &status.state {
            ContainerState::Waiting { .. } => {
                Seen::Waiting { last_exit: status.last_terminated.as_ref().map(|t| t.exit_code) }
            }
            ContainerState::Running { .. } => Seen::Running,
            ContainerState::Terminated(t) => Seen::Terminated { exit_code: t.exit_code },
        };
        View { seen, ready: status.ready, started: status.started == Some(true) }
    }
}

/// Whether an earlier round of containers counts towards the phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodProgress {
    /// The worker has stopped all containers for good.
    pub terminal: bool,
    /// Some main container has an active record in the runtime.
    pub initialized: bool,
}

#[derive(Default)]
struct Count {
    pending_init: u32,
    failed_init: u32,
    failed_init_for_good: u32,
    pending_sidecar: u32,
    unknown: u32,
    running: u32,
    waiting: u32,
    stopped: u32,
    stopped_for_good: u32,
    succeeded: u32,
}

impl Count {
    fn init(&mut self, view: Option<View>, restarts: impl Fn(i32) -> bool) {
        let ended = match view.map(|v| v.seen) {
            Some(Seen::Terminated { exit_code }) => Some(exit_code),
            Some(Seen::Waiting { last_exit }) => last_exit,
            _ => None,
        };
        match ended {
            None => self.pending_init += 1,
            Some(0) => {}
            Some(code) => {
                self.failed_init += 1;
                self.failed_init_for_good += u32::from(!restarts(code));
            }
        }
    }

    fn sidecar(&mut self, view: Option<View>) {
        let Some(view) = view else {
            self.unknown += 1;
            return;
        };
        match view.seen {
            Seen::Running => {
                self.pending_sidecar += u32::from(!view.started);
                self.running += 1;
            }
            Seen::Terminated { .. } | Seen::Waiting { last_exit: Some(_) } => {}
            Seen::Waiting { last_exit: None } => {
                self.pending_sidecar += 1;
                self.waiting += 1;
            }
            Seen::Unknown => {
                self.pending_sidecar += 1;
                self.unknown += 1;
            }
        }
    }

    fn main(&mut self, view: Option<View>, restarts: impl Fn(i32) -> bool) {
        let mut stop = |exit_code: i32| {
            self.stopped += 1;
            self.stopped_for_good += u32::from(!restarts(exit_code));
        };
        match view.map(|v| v.seen) {
            Some(Seen::Running) => self.running += 1,
            Some(Seen::Terminated { exit_code }) => {
                stop(exit_code);
                self.succeeded += u32::from(exit_code == 0);
            }
            Some(Seen::Waiting { last_exit: Some(exit_code) }) => stop(exit_code),
            Some(Seen::Waiting { last_exit: None }) => self.waiting += 1,
            None | Some(Seen::Unknown) => self.unknown += 1,
        }
    }
}

/// The phase of a pod. `views` are aligned with `plan.containers`; `None` is a missing status.
pub fn phase(plan: &Plan, views: &[Option<View>], progress: PodProgress) -> PodPhase {
    let mut n = Count::default();
    for (i, c) in plan.containers.iter().enumerate() {
        let view = views.get(i).copied().flatten();
        match c.role {
            Role::Init => n.init(view, |code| c.restarts(code)),
            Role::Sidecar => n.sidecar(view),
            Role::Main => n.main(view, |code| c.restarts(code)),
        }
    }
    let init_failed = match plan.container_restart_rules {
        true => n.failed_init_for_good > 0,
        false => n.failed_init > 0 && plan.restart_policy == RestartPolicy::Never,
    };
    if init_failed {
        PodPhase::Failed
    } else if n.pending_init > 0
        || (n.pending_sidecar > 0 && !progress.initialized)
        || n.waiting > 0
        || n.unknown > 0
    {
        PodPhase::Pending
    } else if n.running > 0 {
        PodPhase::Running
    } else if n.stopped > 0 {
        stopped_phase(plan, &n, progress.terminal)
    } else {
        PodPhase::Pending
    }
}

fn stopped_phase(plan: &Plan, n: &Count, terminal: bool) -> PodPhase {
    let ended = if n.stopped == n.succeeded { PodPhase::Succeeded } else { PodPhase::Failed };
    if terminal {
        return ended;
    }
    if plan.container_restart_rules {
        return if n.stopped == n.stopped_for_good { ended } else { PodPhase::Running };
    }
    match plan.restart_policy {
        RestartPolicy::Always => PodPhase::Running,
        _ if ended == PodPhase::Succeeded => PodPhase::Succeeded,
        RestartPolicy::Never => PodPhase::Failed,
        RestartPolicy::OnFailure => PodPhase::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Gates;

    const RUN: Seen = Seen::Running;
    const DONE: Seen = Seen::Terminated { exit_code: 0 };
    const CRASHED: Seen = Seen::Terminated { exit_code: 1 };
    const NEW: Seen = Seen::Waiting { last_exit: None };
    const LOOP: Seen = Seen::Waiting { last_exit: Some(1) };

    /// `i` init, `s` sidecar, `m` main.
    fn check(policy: &str, roles: &str, seen: &[Seen], progress: PodProgress, want: PodPhase) {
        let of = |kind: char| {
            roles.chars().enumerate().filter(move |(_, r)| (*r == 'm') == (kind == 'm')).map(move |(i, r)| {
                let mut c = serde_json::json!({"name": format!("c{i}")});
                if r == 's' {
                    c["restartPolicy"] = "Always".into();
                }
                c
            })
        };
        let spec = serde_json::json!({"restartPolicy": policy,
            "initContainers": of('i').collect::<Vec<_>>(), "containers": of('m').collect::<Vec<_>>()});
        let plan = Plan::compile(&serde_json::from_value(spec).unwrap(), Gates::default());
        let views: Vec<_> =
            seen.iter().map(|s| Some(View { seen: *s, ready: true, started: *s == RUN })).collect();
        assert_eq!(phase(&plan, &views, progress), want, "{policy} {roles} {seen:?}");
    }

    #[test]
    fn phases() {
        let now = PodProgress::default();
        let over = PodProgress { terminal: true, initialized: true };
        let up = PodProgress { terminal: false, initialized: true };
        check("Always", "m", &[NEW], now, PodPhase::Pending);
        check("Always", "mm", &[RUN, LOOP], now, PodPhase::Running);
        check("Always", "mm", &[RUN, NEW], now, PodPhase::Pending);
        check("Always", "m", &[DONE], now, PodPhase::Running);
        check("Always", "m", &[DONE], over, PodPhase::Succeeded);
        check("Always", "m", &[CRASHED], over, PodPhase::Failed);
        check("OnFailure", "m", &[CRASHED], now, PodPhase::Running);
        check("OnFailure", "m", &[DONE], now, PodPhase::Succeeded);
        check("Never", "im", &[CRASHED, NEW], now, PodPhase::Failed);
        check("Always", "im", &[CRASHED, NEW], now, PodPhase::Pending);
        check("Never", "sm", &[RUN, DONE], up, PodPhase::Running);
        check("Never", "sm", &[CRASHED, DONE], up, PodPhase::Succeeded);
        check("Never", "sm", &[NEW, RUN], now, PodPhase::Pending);
    }

    #[test]
    fn no_statuses_is_pending() {
        let spec = serde_json::json!({"containers": [{"name": "a"}]});
        let plan = Plan::compile(&serde_json::from_value(spec).unwrap(), Gates::default());
        assert_eq!(phase(&plan, &[], PodProgress::default()), PodPhase::Pending);
    }
}
