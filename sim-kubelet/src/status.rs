//! Container statuses from what the runtime knows (`convertToAPIContainerStatuses`, pkg/kubelet/kubelet_pods.go). Pure.

use sim_core::api::pod_status::{ContainerState, Terminated};
use sim_core::time::Time;
use smol_str::SmolStr;

use crate::actions::RuntimeState;

/// Text of `ContainerStatusUnknown` for a container whose record is gone at the end of its pod.
pub const LOST_AT_END: &str = "The container could not be located when the pod was terminated";

/// Why an instance ended, as the runtime reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExitReason {
    /// `Completed` for exit code 0, else `Error`.
    #[default]
    ByCode,
    /// `OOMKilled`.
    OomKilled,
    /// `StartError`: the process could not be started.
    StartError,
}

impl ExitReason {
    /// The wire text.
    pub const fn as_str(self, exit_code: i32) -> &'static str {
        match self {
            ExitReason::ByCode if exit_code == 0 => "Completed",
            ExitReason::ByCode => "Error",
            ExitReason::OomKilled => "OOMKilled",
            ExitReason::StartError => "StartError",
        }
    }
}

/// One instance of a container, as the runtime records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// State.
    pub state: RuntimeState,
    /// Once exited.
    pub exit_code: i32,
    /// Once exited.
    pub reason: ExitReason,
    /// Once started.
    pub started_at: Time,
    /// Once exited.
    pub finished_at: Time,
}

impl Instance {
    /// `state.terminated` of an exited instance.
    pub fn terminated(&self) -> Terminated {
        Terminated {
            exit_code: self.exit_code,
            signal: 0,
            reason: SmolStr::new_static(self.reason.as_str(self.exit_code)),
            message: SmolStr::default(),
            started_at: self.started_at.truncate_to_secs(),
            finished_at: self.finished_at.truncate_to_secs(),
        }
    }
}

/// Why the last attempt to start a container failed: reason and message of its Waiting state (the reason cache).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// e.g. `CrashLoopBackOff`.
    pub reason: &'static str,
    /// Text.
    pub message: SmolStr,
}

/// State and last state of a container.
///
/// `last` is the instance before the current one. `failure` counts only while the container is to be started again
/// (`will_start`): it shows as Waiting, and an ended instance moves to the last state. That is how `CrashLoopBackOff`
/// appears one sync after `Error`.
pub fn convert(
    current: Option<&Instance>,
    last: Option<&Terminated>,
    failure: Option<&Failure>,
    will_start: bool,
    default_reason: &'static str,
) -> (ContainerState, Option<Box<Terminated>>) {
    let waiting = |reason: &'static str, message: &SmolStr| ContainerState::Waiting {
        reason: SmolStr::new_static(reason),
        message: message.clone(),
    };
    let keep = |last: Option<&Terminated>| last.cloned().map(Box::new);
    let state = match current {
        None => waiting(default_reason, &SmolStr::default()),
        Some(i) => match i.state {
            RuntimeState::Created | RuntimeState::Unknown => ContainerState::default(),
            RuntimeState::Running => ContainerState::Running { started_at: i.started_at.truncate_to_secs() },
            RuntimeState::Exited => ContainerState::Terminated(Box::new(i.terminated())),
        },
    };
    let Some(failure) = failure.filter(|_| will_start) else { return (state, keep(last)) };
    match state {
        ContainerState::Terminated(t) => (waiting(failure.reason, &failure.message), Some(t)),
        _ => (waiting(failure.reason, &failure.message), keep(last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::time::millis;

    fn instance(state: RuntimeState, exit_code: i32) -> Instance {
        let at = |ms| Time::ZERO + millis(ms);
        Instance { state, exit_code, reason: ExitReason::ByCode, started_at: at(1500), finished_at: at(4200) }
    }

    #[test]
    fn states() {
        let crash = Failure { reason: "CrashLoopBackOff", message: "back-off".into() };
        let ended = instance(RuntimeState::Exited, 1);
        let say = |current: Option<&Instance>, failure: Option<&Failure>, will_start: bool| {
            let (state, last) = convert(current, None, failure, will_start, "ContainerCreating");
            let text = match state {
                ContainerState::Waiting { reason, .. } => reason.to_string(),
                ContainerState::Running { started_at } => format!("running since {started_at}"),
                ContainerState::Terminated(t) => format!("{} {}", t.reason, t.exit_code),
            };
            (text, last.map(|t| t.exit_code))
        };
        assert_eq!(say(None, None, true), ("ContainerCreating".into(), None));
        assert_eq!(
            say(Some(&instance(RuntimeState::Running, 0)), None, false),
            ("running since 1s".into(), None)
        );
        assert_eq!(say(Some(&ended), None, true), ("Error 1".into(), None));
        assert_eq!(say(Some(&ended), Some(&crash), true), ("CrashLoopBackOff".into(), Some(1)));
        assert_eq!(say(Some(&ended), Some(&crash), false), ("Error 1".into(), None));
        assert_eq!(say(Some(&instance(RuntimeState::Exited, 0)), None, false), ("Completed 0".into(), None));
    }
}
