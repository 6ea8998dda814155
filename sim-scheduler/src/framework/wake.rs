//! Short names of events, for plugins without hints of their own.

use super::event::{ActionType, ClusterEvent, EventResource};

/// A kind of event by its short name, e.g. `Wake::NodeAdded`. A plugin that lists it in
/// [`WAKES_ON`](super::Plugin::WAKES_ON) has all pods that it refused tried again whenever that happens.
pub type Wake = ClusterEvent;

macro_rules! wakes {
    ($($(#[$doc:meta])* $name:ident: $resource:ident $action:ident;)*) => {
        #[expect(non_upper_case_globals, reason = "they read as the variants of an enum")]
        impl ClusterEvent {
            $($(#[$doc])*
            pub const $name: Wake = ClusterEvent::new(EventResource::$resource, ActionType::$action);)*
        }
    };
}

wakes! {
    /// A node joined.
    NodeAdded: Node ADD;
    /// Something about a node changed.
    NodeUpdated: Node UPDATE;
    /// `status.allocatable` of a node changed.
    NodeAllocatable: Node UPDATE_NODE_ALLOCATABLE;
    /// Labels of a node changed.
    NodeLabels: Node UPDATE_NODE_LABEL;
    /// Taints of a node changed, or it was uncordoned.
    NodeTaints: Node UPDATE_NODE_TAINT;
    /// Conditions of a node changed.
    NodeConditions: Node UPDATE_NODE_CONDITION;
    /// Annotations of a node changed.
    NodeAnnotations: Node UPDATE_NODE_ANNOTATION;
    /// A node left.
    NodeDeleted: Node DELETE;
    /// A pod was bound.
    PodAdded: AssignedPod ADD;
    /// A bound pod left, or gave its place back.
    PodDeleted: AssignedPod DELETE;
    /// A bound pod asks for less.
    PodScaledDown: AssignedPod UPDATE_POD_SCALE_DOWN;
    /// Labels of a bound pod changed.
    PodLabels: AssignedPod UPDATE_POD_LABEL;
    /// Something about a bound pod changed.
    PodUpdated: AssignedPod UPDATE;
    /// A pod came that is to be scheduled. Nobody is asked about it.
    OwnAdded: UnscheduledPod ADD;
    /// The refused pod's own last scheduling gate went.
    OwnGatesEliminated: UnscheduledPod UPDATE_POD_SCHEDULING_GATES_ELIMINATED;
    /// The refused pod itself got a toleration.
    OwnTolerations: UnscheduledPod UPDATE_POD_TOLERATION;
    /// The refused pod's own labels changed.
    OwnLabels: UnscheduledPod UPDATE_POD_LABEL;
    /// The refused pod itself asks for less.
    OwnScaledDown: UnscheduledPod UPDATE_POD_SCALE_DOWN;
    /// Something about the refused pod itself changed.
    OwnUpdated: UnscheduledPod UPDATE;
}

impl ClusterEvent {
    /// Whatever happens to objects that plugins usually look at: what a plugin wakes on unless it says better
    /// (`UnrollWildCardResource`).
    pub const ALL: &'static [Wake] = &[
        ClusterEvent::new(EventResource::Pod, ActionType::ALL),
        ClusterEvent::new(EventResource::Node, ActionType::ALL),
        ClusterEvent::new(EventResource::PersistentVolume, ActionType::ALL),
        ClusterEvent::new(EventResource::PersistentVolumeClaim, ActionType::ALL),
        ClusterEvent::new(EventResource::CSINode, ActionType::ALL),
        ClusterEvent::new(EventResource::CSIDriver, ActionType::ALL),
        ClusterEvent::new(EventResource::CSIStorageCapacity, ActionType::ALL),
        ClusterEvent::new(EventResource::StorageClass, ActionType::ALL),
        ClusterEvent::new(EventResource::ResourceClaim, ActionType::ALL),
        ClusterEvent::new(EventResource::DeviceClass, ActionType::ALL),
    ];
}
