//! The status of a pod as a compact row. The wire form (`k8s_openapi`'s `PodStatus`) is rendered when somebody looks.

use std::sync::Arc;

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::time::Time;

/// `status.phase`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodPhase {
    /// Accepted, but not all containers have started.
    #[default]
    Pending,
    /// Bound, and at least one container runs, starts or restarts.
    Running,
    /// All containers exited 0 and none will restart.
    Succeeded,
    /// All containers ended, at least one in failure.
    Failed,
    /// Not set by today's kubelets.
    Unknown,
}

impl PodPhase {
    /// The wire text.
    pub const fn as_str(self) -> &'static str {
        match self {
            PodPhase::Pending => "Pending",
            PodPhase::Running => "Running",
            PodPhase::Succeeded => "Succeeded",
            PodPhase::Failed => "Failed",
            PodPhase::Unknown => "Unknown",
        }
    }

    /// The phase of a wire text; unknown texts are `Unknown`, the empty one `Pending`.
    pub fn parse(text: &str) -> PodPhase {
        match text {
            "" | "Pending" => PodPhase::Pending,
            "Running" => PodPhase::Running,
            "Succeeded" => PodPhase::Succeeded,
            "Failed" => PodPhase::Failed,
            _ => PodPhase::Unknown,
        }
    }

    /// Succeeded or Failed.
    pub const fn is_terminal(self) -> bool {
        matches!(self, PodPhase::Succeeded | PodPhase::Failed)
    }
}

/// `status.qosClass`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QosClass {
    /// No cpu or memory request or limit anywhere.
    #[default]
    BestEffort,
    /// Neither of the others.
    Burstable,
    /// Requests equal limits for cpu and memory in every container.
    Guaranteed,
}

impl QosClass {
    /// The wire text.
    pub const fn as_str(self) -> &'static str {
        match self {
            QosClass::BestEffort => "BestEffort",
            QosClass::Burstable => "Burstable",
            QosClass::Guaranteed => "Guaranteed",
        }
    }
}

/// A condition's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionStatus {
    /// `False`.
    #[default]
    False,
    /// `True`.
    True,
    /// `Unknown`.
    Unknown,
}

impl ConditionStatus {
    /// The wire text.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConditionStatus::False => "False",
            ConditionStatus::True => "True",
            ConditionStatus::Unknown => "Unknown",
        }
    }

    /// The status of a wire text; anything unexpected is `Unknown`.
    pub fn parse(text: &str) -> ConditionStatus {
        match text {
            "True" => ConditionStatus::True,
            "False" => ConditionStatus::False,
            _ => ConditionStatus::Unknown,
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(b: bool) -> Self {
        if b { ConditionStatus::True } else { ConditionStatus::False }
    }
}

/// `status.conditions[]` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodCondition {
    /// e.g. `Ready`.
    pub kind: SmolStr,
    /// Its status.
    pub status: ConditionStatus,
    /// Empty if absent.
    pub reason: SmolStr,
    /// Empty if absent.
    pub message: SmolStr,
    /// When `status` last flipped.
    pub last_transition_time: Time,
    /// 0 = absent.
    pub observed_generation: i64,
}

/// `state.terminated`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terminated {
    /// Exit code of the container's first process.
    pub exit_code: i32,
    /// Signal that ended it, 0 = none.
    pub signal: i32,
    /// `Completed`, `Error`, `OOMKilled`, `ContainerStatusUnknown`, …
    pub reason: SmolStr,
    /// Empty if absent.
    pub message: SmolStr,
    /// When it had started.
    pub started_at: Time,
    /// When it ended.
    pub finished_at: Time,
}

/// `state` of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Not running yet, or again.
    Waiting {
        /// `ContainerCreating`, `PodInitializing`, `CrashLoopBackOff`, …; empty if absent.
        reason: SmolStr,
        /// Empty if absent.
        message: SmolStr,
    },
    /// Running.
    Running {
        /// Since when.
        started_at: Time,
    },
    /// Ended.
    Terminated(Box<Terminated>),
}

impl Default for ContainerState {
    fn default() -> Self {
        ContainerState::Waiting { reason: SmolStr::default(), message: SmolStr::default() }
    }
}

/// `containerStatuses[]` / `initContainerStatuses[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Container name.
    pub name: SmolStr,
    /// Current state.
    pub state: ContainerState,
    /// `lastState.terminated`, if any.
    pub last_terminated: Option<Box<Terminated>>,
    /// Readiness.
    pub ready: bool,
    /// `None` = absent.
    pub started: Option<bool>,
    /// Restarts so far.
    pub restart_count: i32,
    /// Image as in the spec.
    pub image: SmolStr,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodStatus {
    /// Phase.
    pub phase: PodPhase,
    /// QoS class, computed once at creation.
    pub qos_class: QosClass,
    /// Empty if absent (`Evicted`, `OutOfcpu`, …).
    pub reason: SmolStr,
    /// Empty if absent.
    pub message: SmolStr,
    /// Set by preemption; empty if absent.
    pub nominated_node_name: SmolStr,
    /// When the kubelet admitted it.
    pub start_time: Option<Time>,
    /// In the order the writer gave them.
    pub conditions: SmallVec<[PodCondition; 5]>,
    /// Spec order.
    pub init_container_statuses: Vec<ContainerStatus>,
    /// Sorted by name, as the kubelet writes them.
    pub container_statuses: Vec<ContainerStatus>,
    /// Of the pod; empty if it has none.
    pub pod_ip: SmolStr,
    /// Of the node; empty if absent.
    pub host_ip: SmolStr,
    /// 0 = absent.
    pub observed_generation: i64,
    /// Fields of a dumped status that are not modelled, kept as they were read.
    pub other: Option<Arc<serde_json::Map<String, serde_json::Value>>>,
}

impl PodStatus {
    /// A condition by type.
    pub fn condition(&self, kind: &str) -> Option<&PodCondition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }

    /// True if the condition is there with status True.
    pub fn is_true(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|c| c.status == ConditionStatus::True)
    }

    /// Adds or replaces the condition of that type (`podutil.UpdatePodCondition`): the transition time of the old one
    /// is kept while the status stays the same. Returns false if nothing changed.
    pub fn set_condition(&mut self, mut new: PodCondition) -> bool {
        let Some(old) = self.conditions.iter_mut().find(|c| c.kind == new.kind) else {
            self.conditions.push(new);
            return true;
        };
        if old.status == new.status {
            new.last_transition_time = old.last_transition_time;
        }
        let changed = *old != new;
        *old = new;
        changed
    }
}
