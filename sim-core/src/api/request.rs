//! What components ask of the API server, and what it answers.

use std::sync::Arc;

use serde_json::Value;
use smol_str::SmolStr;

use super::error::ApiError;
use super::kind::Kind;
use super::meta::{Key, OwnerReference, Uid};
use super::object::Object;
use super::patch::Patch;
use super::pod_status::{ContainerStatus, PodCondition, PodPhase};
use crate::time::Time;

/// A request. It commits at its arrival time and is answered later.
#[derive(Clone, Debug)]
pub enum Request {
    /// POST. `meta.key.name` empty and `generate_name` set asks for a generated name.
    Create(Box<Object>),
    /// PUT of the main resource: status is ignored. `resource_version` 0 = unconditional.
    Update(Box<Object>),
    /// PUT of `/status`: everything but status is ignored, and annotations if a `resource_version` is given (as upstream's
    /// strategies have it). `resource_version` 0 = unconditional.
    UpdateStatus(Box<Object>),
    /// PATCH of a pod's `/status`, as the kubelet and the scheduler send it.
    PatchPodStatus {
        /// The pod.
        key: Key,
        /// Precondition; a pod of another uid answers 409.
        uid: Uid,
        /// What to change.
        patch: Box<PodStatusPatch>,
    },
    /// PATCH of metadata only (adoption, release, annotations, finalizers). Labels and annotations merge; `None` deletes.
    PatchMeta {
        /// Kind of the object.
        kind: Kind,
        /// The object.
        key: Key,
        /// Precondition, unless unset.
        uid: Uid,
        /// What to change.
        patch: Box<MetaPatch>,
    },
    /// PATCH of the main resource.
    Patch {
        /// Kind of the object.
        kind: Kind,
        /// The object.
        key: Key,
        /// What to change.
        patch: Box<Patch>,
    },
    /// PUT of `/scale`.
    Scale {
        /// A kind with replicas.
        kind: Kind,
        /// The object.
        key: Key,
        /// New `spec.replicas`.
        replicas: i32,
    },
    /// DELETE.
    Delete {
        /// Kind of the object.
        kind: Kind,
        /// The object.
        key: Key,
        /// Options.
        options: DeleteOptions,
    },
    /// POST `pods/binding`.
    Bind {
        /// The pod.
        key: Key,
        /// Precondition.
        uid: Uid,
        /// Target node.
        node: SmolStr,
    },
}

/// Merge of a pod's status. Absent parts stay as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodStatusPatch {
    /// New phase. A terminal phase is never left.
    pub phase: Option<PodPhase>,
    /// New reason.
    pub reason: Option<SmolStr>,
    /// New message.
    pub message: Option<SmolStr>,
    /// New nominated node; empty clears it.
    pub nominated_node_name: Option<SmolStr>,
    /// New start time.
    pub start_time: Option<Time>,
    /// Conditions to add or replace, by type. Others stay.
    pub conditions: Vec<PodCondition>,
    /// Replaces the list.
    pub init_container_statuses: Option<Vec<ContainerStatus>>,
    /// Replaces the list.
    pub container_statuses: Option<Vec<ContainerStatus>>,
    /// New pod IP.
    pub pod_ip: Option<SmolStr>,
    /// New host IP.
    pub host_ip: Option<SmolStr>,
    /// New observed generation.
    pub observed_generation: Option<i64>,
    /// Claims made for entries of `spec.resourceClaims`, each with the name of the entry; `None` says that it needs none.
    /// Entries of other names stay.
    pub resource_claim_statuses: Vec<(SmolStr, Option<SmolStr>)>,
    /// New `extendedResourceClaimStatus`.
    pub extended_resource_claim_status: Option<Value>,
}

/// Merge of metadata. Absent parts stay as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetaPatch {
    /// `Some` sets, `None` removes.
    pub labels: Vec<(String, Option<String>)>,
    /// `Some` sets, `None` removes.
    pub annotations: Vec<(String, Option<String>)>,
    /// Replaces the owner references.
    pub owner_references: Option<Vec<OwnerReference>>,
    /// Finalizers to add.
    pub add_finalizers: Vec<SmolStr>,
    /// Finalizers to remove.
    pub remove_finalizers: Vec<SmolStr>,
}

/// What becomes of dependents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// The owner goes at once, dependents afterwards.
    #[default]
    Background,
    /// Dependents go first.
    Foreground,
    /// Dependents stay.
    Orphan,
}

/// `DeleteOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// `None` = the kind's default (30 s or the spec's for pods, 0 for others).
    pub grace_period_seconds: Option<i64>,
    /// Precondition, unless unset.
    pub uid: Uid,
    /// Precondition, unless 0.
    pub resource_version: u64,
    /// What becomes of dependents.
    pub propagation: Propagation,
}

/// Chosen by the sender of a request, given back with its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

/// The answer to a request: the object after the write (its last state for a completed deletion), or an error.
#[derive(Clone, Debug)]
pub struct Reply {
    /// As given with the request.
    pub tag: Tag,
    /// Outcome.
    pub result: Result<Arc<Object>, ApiError>,
}

/// What happened to a watched object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Created, or started to match the watch.
    Added,
    /// Written.
    Modified,
    /// Removed, or stopped to match the watch.
    Deleted,
}

/// A watch event. Both states are there, because queueing hints need both.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// State before; `None` when added.
    pub old: Option<Arc<Object>>,
    /// State after; the last state (with the final revision) when deleted.
    pub new: Arc<Object>,
}
