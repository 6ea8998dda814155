//! A stored object: compact metadata, a shared spec and a status.
//!
//! Specs are immutable and shared: the replicas of a template point to one `Arc`, which is what makes them one *pod
//! class* for the scheduler. An object as a whole is immutable too and travels as `Arc<Object>`; a write makes a new one.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{
    DaemonSetSpec, DaemonSetStatus, DeploymentSpec, DeploymentStatus, ReplicaSetSpec, ReplicaSetStatus,
};
use k8s_openapi::api::batch::v1::{JobSpec, JobStatus};
use k8s_openapi::api::core::v1::{NodeSpec, NodeStatus, PodSpec};
use serde_json::Value;
use smol_str::SmolStr;

use super::kind::Kind;
use super::meta::{Key, Meta};
use super::pod_status::PodStatus;

/// A pod's spec and status. `spec.nodeName` lives beside the shared spec and is `None` inside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Shared by all pods of one template; its own `node_name` is always `None`.
    pub spec: Arc<PodSpec>,
    /// `spec.nodeName`; empty until bound.
    pub node_name: SmolStr,
    /// Status row.
    pub status: Arc<PodStatus>,
}

/// Spec and status of a kind whose wire types are used as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Typed<S, T> {
    /// Desired state.
    pub spec: Arc<S>,
    /// Observed state.
    pub status: Arc<T>,
}

/// A node.
pub type Node = Typed<NodeSpec, NodeStatus>;
/// A Deployment.
pub type Deployment = Typed<DeploymentSpec, DeploymentStatus>;
/// A ReplicaSet.
pub type ReplicaSet = Typed<ReplicaSetSpec, ReplicaSetStatus>;
/// A DaemonSet.
pub type DaemonSet = Typed<DaemonSetSpec, DaemonSetStatus>;
/// A Job.
pub type Job = Typed<JobSpec, JobStatus>;

/// What an object is beside its metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// `v1` Pod.
    Pod(Pod),
    /// `v1` Node.
    Node(Node),
    /// `apps/v1` Deployment.
    Deployment(Deployment),
    /// `apps/v1` ReplicaSet.
    ReplicaSet(ReplicaSet),
    /// `apps/v1` DaemonSet.
    DaemonSet(DaemonSet),
    /// `batch/v1` Job.
    Job(Job),
    /// Every other kind: the whole object as JSON, without `apiVersion`, `kind` and `metadata`.
    Json(Arc<Value>),
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its kind; agrees with the variant of `body`.
    pub kind: Kind,
    /// Metadata.
    pub meta: Meta,
    /// Spec, status and the rest.
    pub body: Body,
}

macro_rules! accessors {
    ($($name:ident, $variant:ident, $ty:ty, $kind:expr;)*) => { $(
        #[doc = concat!("The ", stringify!($variant), ", if this is one.")]
        pub fn $name(&self) -> Option<&$ty> {
            match &self.body { Body::$variant(inner) => Some(inner), _ => None }
        }
    )* };
}

impl Object {
    /// An object of one of the typed kinds.
    pub fn new(meta: Meta, body: Body) -> Object {
        let kind = match &body {
            Body::Pod(_) => Kind::POD,
            Body::Node(_) => Kind::NODE,
            Body::Deployment(_) => Kind::DEPLOYMENT,
            Body::ReplicaSet(_) => Kind::REPLICA_SET,
            Body::DaemonSet(_) => Kind::DAEMON_SET,
            Body::Job(_) => Kind::JOB,
            Body::Json(_) => unreachable!("a JSON body needs its kind: use Object::json"),
        };
        Object { kind, meta, body }
    }

    /// An object of any other kind.
    pub fn json(kind: Kind, meta: Meta, body: Value) -> Object {
        Object { kind, meta, body: Body::Json(Arc::new(body)) }
    }

    /// Namespace and name.
    pub fn key(&self) -> &Key {
        &self.meta.key
    }

    accessors! {
        as_pod, Pod, Pod, Kind::POD;
        as_node, Node, Node, Kind::NODE;
        as_deployment, Deployment, Deployment, Kind::DEPLOYMENT;
        as_replica_set, ReplicaSet, ReplicaSet, Kind::REPLICA_SET;
        as_daemon_set, DaemonSet, DaemonSet, Kind::DAEMON_SET;
        as_job, Job, Job, Kind::JOB;
    }

    /// The JSON body, if this is not one of the typed kinds.
    pub fn as_json(&self) -> Option<&Value> {
        match &self.body {
            Body::Json(value) => Some(value),
            _ => None,
        }
    }
}
