//! Events and queueing hints: what happened in the cluster, and which refused pods it may help (`ClusterEvent` and
//! `QueueingHintFn` of `k8s.io/kube-scheduler/framework`).

use std::ops::BitOr;

use sim_core::api::object::Object;

use super::plugin::Plugin;
use crate::cache::Objects;
use crate::pod::PodInfo;

/// What an event is about (`EventResource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are upstream's")]
pub enum EventResource {
    /// Any pod. Registered by plugins; what happens is about one of the next two.
    Pod,
    /// A pod on a node, or assumed there.
    AssignedPod,
    /// A pod that waits.
    UnscheduledPod,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    CSINode,
    CSIDriver,
    VolumeAttachment,
    CSIStorageCapacity,
    StorageClass,
    ResourceClaim,
    ResourceSlice,
    DeviceClass,
    /// A custom kind, as `<plural>.<version>.<group>`.
    Custom(&'static str),
    /// Everything.
    WildCard,
}

/// What was done, as a set of bits (`ActionType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionType(pub u32);

#[expect(missing_docs, reason = "the names are upstream's")]
impl ActionType {
    pub const NONE: ActionType = ActionType(0);
    pub const ADD: ActionType = ActionType(1);
    pub const DELETE: ActionType = ActionType(1 << 1);
    pub const UPDATE_NODE_ALLOCATABLE: ActionType = ActionType(1 << 2);
    pub const UPDATE_NODE_LABEL: ActionType = ActionType(1 << 3);
    /// Also `spec.unschedulable`.
    pub const UPDATE_NODE_TAINT: ActionType = ActionType(1 << 4);
    pub const UPDATE_NODE_CONDITION: ActionType = ActionType(1 << 5);
    pub const UPDATE_NODE_ANNOTATION: ActionType = ActionType(1 << 6);
    pub const UPDATE_POD_LABEL: ActionType = ActionType(1 << 7);
    /// Some request went down.
    pub const UPDATE_POD_SCALE_DOWN: ActionType = ActionType(1 << 8);
    pub const UPDATE_POD_TOLERATION: ActionType = ActionType(1 << 9);
    pub const UPDATE_POD_SCHEDULING_GATES_ELIMINATED: ActionType = ActionType(1 << 10);
    pub const UPDATE_POD_GENERATED_RESOURCE_CLAIM: ActionType = ActionType(1 << 11);
    /// Any update, also of other kinds than nodes and pods.
    pub const UPDATE: ActionType = ActionType(4092);
    pub const ALL: ActionType = ActionType(4095);

    /// True if both have a bit in common.
    pub const fn intersects(self, other: ActionType) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for ActionType {
    type Output = ActionType;

    fn bitor(self, other: ActionType) -> ActionType {
        ActionType(self.0 | other.0)
    }
}

/// A kind of event: registered by a plugin, or happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterEvent {
    /// What it is about.
    pub resource: EventResource,
    /// What was done.
    pub action: ActionType,
}

/// One event, with the object before and after. Both are there for an update, the old one for a deletion.
#[derive(Clone, Copy, Debug)]
pub struct EventChange<'a> {
    /// What kind of event.
    pub event: ClusterEvent,
    /// The object before.
    pub old: Option<&'a Object>,
    /// The object after.
    pub new: Option<&'a Object>,
}

/// May an event help a pod? Where upstream's functions return an error, the answer is `Queue`, as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It cannot.
    Skip,
    /// It may.
    Queue,
}

/// Says exactly which events may help pods that the plugin refused.
pub trait QueueingHint: Plugin {
    /// The events it wants to hear of (`EventsToRegister`), in upstream's order.
    fn events(&self) -> Vec<ClusterEvent>;

    /// Whether one of them may help a pod. Never asked about others. A plugin that registers an event without a hint
    /// function upstream answers `Queue` to it.
    fn hint(&self, pod: &PodInfo, object: &Object, change: &EventChange<'_>, objects: &Objects) -> Hint;
}
