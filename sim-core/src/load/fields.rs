//! Field checks of kinds that are kept as JSON: they are read through their wire type once, which is then dropped.

use k8s_openapi::api::{
    apps::v1 as apps, autoscaling::v2 as autoscaling, batch::v1 as batch, coordination::v1 as coordination,
    core::v1 as core, discovery::v1 as discovery, flowcontrol::v1 as flowcontrol,
    networking::v1 as networking, node::v1 as node, policy::v1 as policy, rbac::v1 as rbac,
    resource::v1 as resource, scheduling::v1 as scheduling, storage::v1 as storage,
};
use serde::de::DeserializeOwned;

use super::de::{De, DeError, Ignored};
use super::tree::{Node, Path};
use crate::api::kind::Kind;

fn read<T: DeserializeOwned>(node: &Node<'_>, ignored: &Ignored) -> Result<(), DeError> {
    De::new(node, &Path::Root, ignored).read(std::marker::PhantomData::<T>).map(drop)
}

macro_rules! checks {
    ($($kind:ident: $ty:ty),* $(,)?) => {
        /// Checks the types of all fields, and collects those the kind does not have.
        ///
        /// CustomResourceDefinitions are left unchecked: their schemas nest without end and nothing here reads them.
        pub(crate) fn check(kind: Kind, node: &Node<'_>, ignored: &Ignored) -> Result<(), DeError> {
            match kind {
                $(Kind::$kind => read::<$ty>(node, ignored),)*
                _ => Ok(()),
            }
        }

        /// True for kinds that [`check`] reads as a whole.
        pub(crate) fn is_checked(kind: Kind) -> bool {
            matches!(kind, $(Kind::$kind)|*)
        }
    };
}

checks! {
    NAMESPACE: core::Namespace,
    PRIORITY_CLASS: scheduling::PriorityClass,
    RUNTIME_CLASS: node::RuntimeClass,
    STORAGE_CLASS: storage::StorageClass,
    PERSISTENT_VOLUME_CLAIM: core::PersistentVolumeClaim,
    PERSISTENT_VOLUME: core::PersistentVolume,
    LEASE: coordination::Lease,
    EVENT: core::Event,
    SERVICE: core::Service,
    CONFIG_MAP: core::ConfigMap,
    SECRET: core::Secret,
    SERVICE_ACCOUNT: core::ServiceAccount,
    STATEFUL_SET: apps::StatefulSet,
    CRON_JOB: batch::CronJob,
    HORIZONTAL_POD_AUTOSCALER: autoscaling::HorizontalPodAutoscaler,
    POD_DISRUPTION_BUDGET: policy::PodDisruptionBudget,
    RESOURCE_CLAIM: resource::ResourceClaim,
    RESOURCE_CLAIM_TEMPLATE: resource::ResourceClaimTemplate,
    RESOURCE_SLICE: resource::ResourceSlice,
    DEVICE_CLASS: resource::DeviceClass,
    CSI_NODE: storage::CSINode,
    CSI_DRIVER: storage::CSIDriver,
    CSI_STORAGE_CAPACITY: storage::CSIStorageCapacity,
    VOLUME_ATTACHMENT: storage::VolumeAttachment,
    VOLUME_ATTRIBUTES_CLASS: storage::VolumeAttributesClass,
    ENDPOINT_SLICE: discovery::EndpointSlice,
    ROLE: rbac::Role,
    ROLE_BINDING: rbac::RoleBinding,
    CLUSTER_ROLE: rbac::ClusterRole,
    CLUSTER_ROLE_BINDING: rbac::ClusterRoleBinding,
    LIMIT_RANGE: core::LimitRange,
    RESOURCE_QUOTA: core::ResourceQuota,
    INGRESS: networking::Ingress,
    NETWORK_POLICY: networking::NetworkPolicy,
    FLOW_SCHEMA: flowcontrol::FlowSchema,
    CONTROLLER_REVISION: apps::ControllerRevision,
    REPLICATION_CONTROLLER: core::ReplicationController,
}
