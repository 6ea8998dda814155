//! The states that expectations can name, and what they mean.

use sim_core::api::kind::Kind;
use sim_core::api::object::{Body, DaemonSet, Deployment, Job, Node, Object, Pod, ReplicaSet};
use sim_core::api::pod_status::{ContainerState, PodPhase};

use crate::format::nearest::nearest;

/// A state of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The object is there.
    Exists,
    /// The object is not there.
    Absent,
    /// It is being deleted.
    Terminating,
    /// Deployment: condition Available is True for the current generation.
    Available,
    /// Deployment: every replica is updated and available and no old one is left. Job: condition Complete is True.
    Complete,
    /// Pod: phase Failed. Job: condition Failed is True.
    Failed,
    /// Job: condition Suspended is True.
    Suspended,
    /// Deployment: its progress deadline was exceeded.
    Stalled,
    /// Pod and node: condition Ready is True. Workloads: all wanted replicas are ready.
    Ready,
    /// Pod: phase Pending.
    Pending,
    /// Pod: phase Running.
    Running,
    /// Pod: phase Succeeded.
    Succeeded,
    /// Pod: bound to a node.
    Scheduled,
    /// Pod: held back by scheduling gates.
    Gated,
    /// Pod: a container restarted at least once.
    Restarted,
    /// Pod: a container waits in CrashLoopBackOff.
    CrashLooping,
    /// Pod: a container waits in ErrImagePull or ImagePullBackOff.
    ImagePullFailing,
    /// Node: marked unschedulable.
    Cordoned,
    /// ResourceClaim: it has devices.
    Allocated,
    /// ResourceClaim: some pod has reserved it.
    Reserved,
}

/// Words, states, and the kinds they belong to (empty: all).
const WORDS: &[(&str, State, &[Kind])] = &[
    ("exists", State::Exists, &[]),
    ("absent", State::Absent, &[]),
    ("terminating", State::Terminating, &[]),
    ("available", State::Available, &[Kind::DEPLOYMENT]),
    ("complete", State::Complete, &[Kind::DEPLOYMENT, Kind::JOB]),
    ("failed", State::Failed, &[Kind::POD, Kind::JOB]),
    ("suspended", State::Suspended, &[Kind::JOB]),
    ("stalled", State::Stalled, &[Kind::DEPLOYMENT]),
    ("ready", State::Ready, &[Kind::POD, Kind::NODE, Kind::DEPLOYMENT, Kind::REPLICA_SET, Kind::DAEMON_SET]),
    ("pending", State::Pending, &[Kind::POD]),
    ("running", State::Running, &[Kind::POD]),
    ("succeeded", State::Succeeded, &[Kind::POD]),
    ("scheduled", State::Scheduled, &[Kind::POD]),
    ("gated", State::Gated, &[Kind::POD]),
    ("restarted", State::Restarted, &[Kind::POD]),
    ("crash-looping", State::CrashLooping, &[Kind::POD]),
    ("image-pull-failing", State::ImagePullFailing, &[Kind::POD]),
    ("cordoned", State::Cordoned, &[Kind::NODE]),
    ("allocated", State::Allocated, &[Kind::RESOURCE_CLAIM]),
    ("reserved", State::Reserved, &[Kind::RESOURCE_CLAIM]),
];

fn applies(kinds: &[Kind], kind: Kind) -> bool {
    kinds.is_empty() || kinds.contains(&kind)
}

impl State {
    /// The state that a word means for a kind; `Err` says what would do.
    pub(super) fn parse(word: &str, kind: Kind) -> Result<State, String> {
        if let Some((_, state, _)) = WORDS.iter().find(|(w, _, kinds)| *w == word && applies(kinds, kind)) {
            return Ok(*state);
        }
        let fitting: Vec<&str> =
            WORDS.iter().filter(|(_, _, kinds)| applies(kinds, kind)).map(|(w, _, _)| *w).collect();
        let what = kind.builtin_name().unwrap_or("object").to_lowercase();
        let known = WORDS.iter().any(|(w, _, _)| *w == word);
        Err(match nearest(word, fitting.iter().copied()) {
            Some(near) => format!("a {what} is never `{word}`: did you mean `{near}`?"),
            None if known => format!("a {what} is never `{word}`: it can be {}", fitting.join(", ")),
            None => format!("`{word}` is no state of a {what}: it can be {}", fitting.join(", ")),
        })
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        WORDS.iter().find(|(_, state, _)| *state == self).map_or("?", |(word, _, _)| word)
    }

    /// Whether an object that exists is in this state. `Restarted` looks at the object alone.
    pub(super) fn of(self, object: &Object) -> bool {
        match (self, &object.body) {
            (State::Exists, _) => true,
            (State::Absent, _) => false,
            (State::Terminating, _) => object.meta.is_deleting(),
            (_, Body::Pod(pod)) => self.of_pod(pod),
            (_, Body::Node(node)) => self.of_node(node),
            (_, Body::Deployment(deployment)) => self.of_deployment(deployment, object.meta.generation),
            (_, Body::Job(job)) => self.of_job(job),
            (State::Allocated, Body::Json(claim)) => !claim["status"]["allocation"].is_null(),
            (State::Reserved, Body::Json(claim)) => {
                claim["status"]["reservedFor"].as_array().is_some_and(|users| !users.is_empty())
            }
            (State::Ready, Body::ReplicaSet(set)) => replica_set_ready(set),
            (State::Ready, Body::DaemonSet(set)) => daemon_set_ready(set),
            _ => false,
        }
    }

    fn of_pod(self, pod: &Pod) -> bool {
        let status = &pod.status;
        let waits = |reasons: &[&str]| {
            let mut all = status.init_container_statuses.iter().chain(&status.container_statuses);
            all.any(|c| matches!(&c.state, ContainerState::Waiting { reason, .. } if reasons.contains(&reason.as_str())))
        };
        match self {
            State::Ready => status.is_true("Ready"),
            State::Pending => status.phase == PodPhase::Pending,
            State::Running => status.phase == PodPhase::Running,
            State::Succeeded => status.phase == PodPhase::Succeeded,
            State::Failed => status.phase == PodPhase::Failed,
            State::Scheduled => !pod.node_name.is_empty(),
            State::Gated => {
                pod.node_name.is_empty() && pod.spec.scheduling_gates.as_ref().is_some_and(|g| !g.is_empty())
            }
            State::Restarted => restarts(pod) > 0,
            State::CrashLooping => waits(&["CrashLoopBackOff"]),
            State::ImagePullFailing => waits(&["ErrImagePull", "ImagePullBackOff"]),
            _ => false,
        }
    }

    fn of_node(self, node: &Node) -> bool {
        match self {
            State::Ready => {
                let conditions = node.status.conditions.as_deref().unwrap_or_default();
                conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
            }
            State::Cordoned => node.spec.unschedulable == Some(true),
            _ => false,
        }
    }

    fn of_deployment(self, deployment: &Deployment, generation: i64) -> bool {
        let (spec, status) = (&deployment.spec, &deployment.status);
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let wanted = spec.replicas.unwrap_or(1);
        let current = status.observed_generation.unwrap_or(0) >= generation;
        match self {
            State::Available => {
                current && conditions.iter().any(|c| c.type_ == "Available" && c.status == "True")
            }
            State::Stalled => conditions
                .iter()
                .any(|c| c.type_ == "Progressing" && c.reason.as_deref() == Some("ProgressDeadlineExceeded")),
            State::Ready => current && status.ready_replicas.unwrap_or(0) == wanted,
            State::Complete => {
                let counts = [status.updated_replicas, status.replicas, status.available_replicas];
                current && counts.into_iter().all(|n| n.unwrap_or(0) == wanted)
            }
            _ => false,
        }
    }

    fn of_job(self, job: &Job) -> bool {
        let wanted = match self {
            State::Complete => "Complete",
            State::Failed => "Failed",
            State::Suspended => "Suspended",
            _ => return false,
        };
        let conditions = job.status.conditions.as_deref().unwrap_or_default();
        conditions.iter().any(|c| c.type_ == wanted && c.status == "True")
    }
}

fn replica_set_ready(set: &ReplicaSet) -> bool {
    set.status.ready_replicas.unwrap_or(0) == set.spec.replicas.unwrap_or(1)
}

fn daemon_set_ready(set: &DaemonSet) -> bool {
    set.status.number_ready == set.status.desired_number_scheduled
        && set.status.desired_number_scheduled > 0
        && set.status.updated_number_scheduled.unwrap_or(0) == set.status.desired_number_scheduled
}

/// Restarts of all containers of a pod.
pub(super) fn restarts(pod: &Pod) -> i64 {
    let status = &pod.status;
    let all = status.init_container_statuses.iter().chain(&status.container_statuses);
    all.map(|c| i64::from(c.restart_count)).sum()
}

/// What an object looks like, in a few words: the evidence of a failed expectation.
pub(super) fn describe(object: &Object) -> String {
    let mut words = match &object.body {
        Body::Pod(pod) => describe_pod(pod),
        Body::Deployment(d) => {
            let (wanted, status) = (d.spec.replicas.unwrap_or(1), &d.status);
            let n = |value: Option<i32>| value.unwrap_or(0);
            format!(
                "{}/{wanted} ready, {} updated, {} available{}",
                n(status.ready_replicas),
                n(status.updated_replicas),
                n(status.available_replicas),
                list_conditions(status.conditions.iter().flatten().map(|c| (&c.type_, &c.status, &c.reason))),
            )
        }
        Body::ReplicaSet(set) => {
            let wanted = set.spec.replicas.unwrap_or(1);
            format!("{}/{wanted} ready", set.status.ready_replicas.unwrap_or(0))
        }
        Body::DaemonSet(set) => {
            let status = &set.status;
            format!("{}/{} ready", status.number_ready, status.desired_number_scheduled)
        }
        Body::Job(job) => {
            let n = |value: Option<i32>| value.unwrap_or(0);
            format!(
                "{} active, {} succeeded, {} failed{}",
                n(job.status.active),
                n(job.status.succeeded),
                n(job.status.failed),
                list_conditions(
                    job.status.conditions.iter().flatten().map(|c| (&c.type_, &c.status, &c.reason))
                ),
            )
        }
        Body::Node(node) => {
            let cordoned = if node.spec.unschedulable == Some(true) { ", cordoned" } else { "" };
            let ready = if State::Ready.of_node(node) { "Ready" } else { "not Ready" };
            format!("{ready}{cordoned}")
        }
        Body::Json(_) if object.kind == Kind::RESOURCE_CLAIM => match State::Allocated.of(object) {
            true => "allocated".to_owned(),
            false => "not allocated".to_owned(),
        },
        Body::Json(_) => "exists".to_owned(),
    };
    if object.meta.is_deleting() {
        words.push_str(", being deleted");
    }
    words
}

fn list_conditions<'a>(
    conditions: impl Iterator<Item = (&'a String, &'a String, &'a Option<String>)>,
) -> String {
    let mut out = String::new();
    for (kind, status, reason) in conditions {
        out.push_str(&format!(", {kind}={status}"));
        if let Some(reason) = reason.as_deref().filter(|r| !r.is_empty()) {
            out.push_str(&format!(" ({reason})"));
        }
    }
    out
}

fn describe_pod(pod: &Pod) -> String {
    let status = &pod.status;
    let mut words = status.phase.as_str().to_owned();
    if status.phase == PodPhase::Running && !status.is_true("Ready") {
        words.push_str(", not ready");
    }
    for text in [&status.reason, &status.message] {
        if !text.is_empty() {
            words.push_str(&format!(", {text}"));
        }
    }
    for container in status.init_container_statuses.iter().chain(&status.container_statuses) {
        match &container.state {
            ContainerState::Waiting { reason, .. } if !reason.is_empty() => {
                words.push_str(&format!(", {} waits: {reason}", container.name));
            }
            ContainerState::Terminated(end) if end.exit_code != 0 => {
                words.push_str(&format!(", {} exited {}", container.name, end.exit_code));
            }
            _ => {}
        }
    }
    match restarts(pod) {
        0 => {}
        n => words.push_str(&format!(", {n} restarts")),
    }
    if let Some(unscheduled) = status.condition("PodScheduled").filter(|c| !c.message.is_empty()) {
        words.push_str(&format!(": {}", unscheduled.message));
    }
    words
}
