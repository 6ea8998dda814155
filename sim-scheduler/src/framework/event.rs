//! Events and queueing hints: what happened in the cluster, and which refused pods it may help (`ClusterEvent` and
//! `QueueingHintFn` of `k8s.io/kube-scheduler/framework`).

use std::ops::BitOr;

use sim_core::api::kind::Kind;
use sim_core::api::object::Object;
use smol_str::{SmolStr, format_smolstr};

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
    /// A pod that waits. A plugin that registers it means the refused pod itself.
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

impl EventResource {
    /// What changes of a kind are about; `None` if no plugin can register it. Pods are told apart by whether they are
    /// on a node.
    pub fn of(kind: Kind) -> Option<EventResource> {
        Some(match kind {
            Kind::NODE => EventResource::Node,
            Kind::PERSISTENT_VOLUME => EventResource::PersistentVolume,
            Kind::PERSISTENT_VOLUME_CLAIM => EventResource::PersistentVolumeClaim,
            Kind::CSI_NODE => EventResource::CSINode,
            Kind::CSI_DRIVER => EventResource::CSIDriver,
            Kind::VOLUME_ATTACHMENT => EventResource::VolumeAttachment,
            Kind::CSI_STORAGE_CAPACITY => EventResource::CSIStorageCapacity,
            Kind::STORAGE_CLASS => EventResource::StorageClass,
            Kind::RESOURCE_CLAIM => EventResource::ResourceClaim,
            Kind::RESOURCE_SLICE => EventResource::ResourceSlice,
            Kind::DEVICE_CLASS => EventResource::DeviceClass,
            Kind::POD_GROUP => EventResource::Custom("podgroups.v1alpha1.scheduling.x-k8s.io"),
            _ => return None,
        })
    }

    /// Upstream's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventResource::Pod => "Pod",
            EventResource::AssignedPod => "AssignedPod",
            EventResource::UnscheduledPod => "UnschedulablePod",
            EventResource::Node => "Node",
            EventResource::PersistentVolume => "PersistentVolume",
            EventResource::PersistentVolumeClaim => "PersistentVolumeClaim",
            EventResource::CSINode => "storage.k8s.io/CSINode",
            EventResource::CSIDriver => "storage.k8s.io/CSIDriver",
            EventResource::VolumeAttachment => "storage.k8s.io/VolumeAttachment",
            EventResource::CSIStorageCapacity => "storage.k8s.io/CSIStorageCapacity",
            EventResource::StorageClass => "storage.k8s.io/StorageClass",
            EventResource::ResourceClaim => "resource.k8s.io/ResourceClaim",
            EventResource::ResourceSlice => "resource.k8s.io/ResourceSlice",
            EventResource::DeviceClass => "resource.k8s.io/DeviceClass",
            EventResource::Custom(name) => name,
            EventResource::WildCard => "*",
        }
    }

    fn covers(self, happening: EventResource) -> bool {
        let pod = matches!(happening, EventResource::AssignedPod | EventResource::UnscheduledPod);
        self == EventResource::WildCard || self == happening || self == EventResource::Pod && pod
    }
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

    /// Upstream's name; empty for sets that have none.
    pub const fn as_str(self) -> &'static str {
        match self {
            ActionType::ADD => "Add",
            ActionType::DELETE => "Delete",
            ActionType::UPDATE_NODE_ALLOCATABLE => "UpdateNodeAllocatable",
            ActionType::UPDATE_NODE_LABEL => "UpdateNodeLabel",
            ActionType::UPDATE_NODE_TAINT => "UpdateNodeTaint",
            ActionType::UPDATE_NODE_CONDITION => "UpdateNodeCondition",
            ActionType::UPDATE_NODE_ANNOTATION => "UpdateNodeAnnotation",
            ActionType::UPDATE_POD_LABEL => "UpdatePodLabel",
            ActionType::UPDATE_POD_SCALE_DOWN => "UpdatePodScaleDown",
            ActionType::UPDATE_POD_TOLERATION => "UpdatePodToleration",
            ActionType::UPDATE_POD_SCHEDULING_GATES_ELIMINATED => "UpdatePodSchedulingGatesEliminated",
            ActionType::UPDATE_POD_GENERATED_RESOURCE_CLAIM => "UpdatePodGeneratedResourceClaim",
            ActionType::UPDATE => "Update",
            ActionType::ALL => "All",
            _ => "",
        }
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

impl ClusterEvent {
    /// Everything: forces pods out of the unschedulable ones whatever refused them, but for gated ones.
    pub const WILD_CARD: ClusterEvent = ClusterEvent::new(EventResource::WildCard, ActionType::ALL);

    /// An event.
    pub const fn new(resource: EventResource, action: ActionType) -> ClusterEvent {
        ClusterEvent { resource, action }
    }

    /// True if this registered event stands for what happens (`MatchClusterEvents`): that is the same or more specific.
    /// An update in general is no specific one.
    pub fn matches(self, happening: ClusterEvent) -> bool {
        self == ClusterEvent::WILD_CARD
            || self.resource.covers(happening.resource)
                && self.action.intersects(happening.action)
                && happening.action <= self.action
    }

    /// Its name in metrics.
    pub fn label(self) -> SmolStr {
        format_smolstr!("{}{}", self.resource.as_str(), self.action.as_str())
    }
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

impl<'a> EventChange<'a> {
    /// The objects before and after, if both are of a kind (`util.As`). Upstream's functions end in an error otherwise, to
    /// which the answer is [`Hint::Queue`].
    pub fn of(&self, kind: Kind) -> Option<(Option<&'a Object>, Option<&'a Object>)> {
        let right = |object: Option<&Object>| object.is_none_or(|o| o.kind == kind);
        (right(self.old) && right(self.new)).then_some((self.old, self.new))
    }
}

/// May an event help a pod? Where upstream's functions return an error, the answer is `Queue`, as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It cannot.
    Skip,
    /// It may.
    Queue,
}

impl Hint {
    /// `Queue` if the event may help.
    pub fn queue_if(helps: bool) -> Hint {
        if helps { Hint::Queue } else { Hint::Skip }
    }
}

/// An event that a plugin of a profile registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The event.
    pub event: ClusterEvent,
    /// Number of the plugin in its profile.
    pub plugin: usize,
    /// True if the plugin is asked about each event; otherwise all of them may help.
    pub asks: bool,
}

impl Registered {
    /// What a plugin registers in a profile (`buildQueueingHintMap`). A plugin that waits for nodes to be added also hears
    /// of all changes of taints.
    pub(super) fn of(plugin: usize, events: &[ClusterEvent], asks: bool) -> Vec<Registered> {
        let mut registered: Vec<_> =
            events.iter().map(|event| Registered { event: *event, plugin, asks }).collect();
        let of_nodes =
            |action| events.iter().any(|e| e.resource == EventResource::Node && e.action.intersects(action));
        if of_nodes(ActionType::ADD) && !of_nodes(ActionType::UPDATE_NODE_TAINT) {
            let event = ClusterEvent::new(EventResource::Node, ActionType::UPDATE_NODE_TAINT);
            registered.push(Registered { event, plugin, asks: false });
        }
        registered
    }
}

/// Says exactly which events may help pods that the plugin refused.
pub trait QueueingHint: Plugin {
    /// True if the answer is the same for all pods of a class, but for the pod that an event is about itself. Then the
    /// queue asks once per class.
    const BY_CLASS: bool = false;

    /// The events it wants to hear of (`EventsToRegister`), in upstream's order.
    fn events(&self) -> Vec<ClusterEvent>;

    /// Whether one of them may help a pod. Never asked about others, and not about every change of taints if it only
    /// registered new nodes. A plugin that registers an event without a hint function upstream answers `Queue` to it.
    fn hint(&self, pod: &PodInfo, object: &Object, change: &EventChange<'_>, objects: &Objects) -> Hint;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::Wake;

    #[test]
    fn what_stands_for_what() {
        use ActionType as A;
        use EventResource as R;
        let event = ClusterEvent::new;
        for (registered, happening, matches) in [
            (event(R::Pod, A::DELETE), event(R::AssignedPod, A::DELETE), true),
            (event(R::Pod, A::DELETE), event(R::UnscheduledPod, A::DELETE), true),
            (event(R::AssignedPod, A::DELETE), event(R::UnscheduledPod, A::DELETE), false),
            (event(R::Node, A::ADD | A::UPDATE_NODE_LABEL), Wake::NodeLabels, true),
            (event(R::Node, A::ADD | A::UPDATE_NODE_LABEL), Wake::NodeAllocatable, false),
            // Bits in common are not enough: the general update is more than what was registered.
            (event(R::Pod, A::UPDATE_POD_LABEL), event(R::AssignedPod, A::UPDATE), false),
            (event(R::Pod, A::UPDATE), event(R::AssignedPod, A::UPDATE), true),
            (event(R::StorageClass, A::ADD | A::UPDATE), event(R::StorageClass, A::UPDATE), true),
            (event(R::WildCard, A::ADD), event(R::Node, A::ADD), true),
            (event(R::WildCard, A::ADD), event(R::Node, A::DELETE), false),
            (ClusterEvent::WILD_CARD, event(R::Node, A::DELETE), true),
            (event(R::Node, A::ALL), ClusterEvent::WILD_CARD, false),
        ] {
            assert_eq!(
                registered.matches(happening),
                matches,
                "{} {}",
                registered.label(),
                happening.label()
            );
        }
    }

    #[test]
    fn plugins_that_wait_for_nodes_hear_of_taints() {
        let of = |events| Registered::of(3, events, true);
        assert_eq!(
            of(&[Wake::PodDeleted, Wake::NodeAdded])[2],
            Registered { event: Wake::NodeTaints, plugin: 3, asks: false }
        );
        assert_eq!(of(&[Wake::NodeAdded, Wake::NodeTaints]).len(), 2);
        assert_eq!(of(&[Wake::NodeLabels]).len(), 1);
    }
}
