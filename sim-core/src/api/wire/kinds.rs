//! Kinds that are kept as JSON are read through their wire type once: that checks every field, drops what the kind does
//! not have, and gives quantities and times their canonical text, as the API server's own decoding does.

use k8s_openapi::api::{
    admissionregistration::v1 as admissionregistration, apps::v1 as apps, autoscaling::v2 as autoscaling,
    batch::v1 as batch, certificates::v1 as certificates, coordination::v1 as coordination, core::v1 as core,
    discovery::v1 as discovery, flowcontrol::v1 as flowcontrol, networking::v1 as networking,
    node::v1 as node, policy::v1 as policy, rbac::v1 as rbac, resource::v1 as resource, resource::v1alpha3,
    scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::encode;
use crate::api::kind::Kind;
use crate::load::de::{De, DeError, Ignored};
use crate::load::tree::{Node, Path};

fn read<T: DeserializeOwned + Serialize>(
    node: &Node<'_>,
    ignored: &Ignored,
) -> Result<Option<Value>, DeError> {
    let value: T = De::wire(node, &Path::Root, ignored).read(std::marker::PhantomData)?;
    Ok(Some(encode(&value)))
}

macro_rules! kinds {
    ($($kind:ident: $ty:ty),* $(,)?) => {
        /// The whole object in canonical form; `None` for kinds whose fields are not known here.
        ///
        /// CustomResourceDefinitions are not checked: their schemas nest without end and nothing reads them.
        pub(super) fn canonical(
            kind: Kind,
            node: &Node<'_>,
            ignored: &Ignored,
        ) -> Result<Option<Value>, DeError> {
            match kind {
                $(Kind::$kind => read::<$ty>(node, ignored),)*
                _ => Ok(None),
            }
        }
    };
}

kinds! {
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
    DEVICE_TAINT_RULE: v1alpha3::DeviceTaintRule,
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
    ENDPOINTS: core::Endpoints,
    POD_TEMPLATE: core::PodTemplate,
    INGRESS_CLASS: networking::IngressClass,
    IP_ADDRESS: networking::IPAddress,
    SERVICE_CIDR: networking::ServiceCIDR,
    PRIORITY_LEVEL_CONFIGURATION: flowcontrol::PriorityLevelConfiguration,
    MUTATING_WEBHOOK_CONFIGURATION: admissionregistration::MutatingWebhookConfiguration,
    VALIDATING_WEBHOOK_CONFIGURATION: admissionregistration::ValidatingWebhookConfiguration,
    VALIDATING_ADMISSION_POLICY: admissionregistration::ValidatingAdmissionPolicy,
    VALIDATING_ADMISSION_POLICY_BINDING: admissionregistration::ValidatingAdmissionPolicyBinding,
    API_SERVICE: APIService,
    CERTIFICATE_SIGNING_REQUEST: certificates::CertificateSigningRequest,
}
