//! Kinds: a small integer per kind, a static table for the built-in ones, and a registry for the rest.

use rustc_hash::FxHashMap;
use smol_str::SmolStr;

/// A kind of object. Built-in kinds are constants; others are numbered in the order a run meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u16);

/// What is known of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// API group; empty for the core group.
    pub group: SmolStr,
    /// Version, e.g. `v1`.
    pub version: SmolStr,
    /// Kind, e.g. `Pod`.
    pub kind: SmolStr,
    /// Resource name in URLs and messages, e.g. `pods`.
    pub plural: SmolStr,
    /// False for cluster-scoped kinds.
    pub namespaced: bool,
}

impl KindInfo {
    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> SmolStr {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            SmolStr::from(format!("{}/{}", self.group, self.version))
        }
    }

    /// `deployments.apps`, or `pods` for the core group: the form of upstream's messages.
    pub fn qualified_resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_string()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

macro_rules! builtins {
    ($($name:ident = $n:literal: $group:literal $version:literal $kind:literal $plural:literal $namespaced:literal;)*) => {
        impl Kind {
            $(#[doc = concat!("`", $kind, "`.")] pub const $name: Kind = Kind($n);)*
        }
        const BUILTINS: &[(&str, &str, &str, &str, bool)] = &[$(($group, $version, $kind, $plural, $namespaced)),*];
    };
}

builtins! {
    POD = 0: "" "v1" "Pod" "pods" true;
    NODE = 1: "" "v1" "Node" "nodes" false;
    DEPLOYMENT = 2: "apps" "v1" "Deployment" "deployments" true;
    REPLICA_SET = 3: "apps" "v1" "ReplicaSet" "replicasets" true;
    DAEMON_SET = 4: "apps" "v1" "DaemonSet" "daemonsets" true;
    JOB = 5: "batch" "v1" "Job" "jobs" true;
    NAMESPACE = 6: "" "v1" "Namespace" "namespaces" false;
    PRIORITY_CLASS = 7: "scheduling.k8s.io" "v1" "PriorityClass" "priorityclasses" false;
    RUNTIME_CLASS = 8: "node.k8s.io" "v1" "RuntimeClass" "runtimeclasses" false;
    STORAGE_CLASS = 9: "storage.k8s.io" "v1" "StorageClass" "storageclasses" false;
    PERSISTENT_VOLUME_CLAIM = 10: "" "v1" "PersistentVolumeClaim" "persistentvolumeclaims" true;
    PERSISTENT_VOLUME = 11: "" "v1" "PersistentVolume" "persistentvolumes" false;
    LEASE = 12: "coordination.k8s.io" "v1" "Lease" "leases" true;
    EVENT = 13: "" "v1" "Event" "events" true;
    SERVICE = 14: "" "v1" "Service" "services" true;
    CONFIG_MAP = 15: "" "v1" "ConfigMap" "configmaps" true;
    SECRET = 16: "" "v1" "Secret" "secrets" true;
    SERVICE_ACCOUNT = 17: "" "v1" "ServiceAccount" "serviceaccounts" true;
    STATEFUL_SET = 18: "apps" "v1" "StatefulSet" "statefulsets" true;
    CRON_JOB = 19: "batch" "v1" "CronJob" "cronjobs" true;
    HORIZONTAL_POD_AUTOSCALER = 20: "autoscaling" "v2" "HorizontalPodAutoscaler" "horizontalpodautoscalers" true;
    POD_DISRUPTION_BUDGET = 21: "policy" "v1" "PodDisruptionBudget" "poddisruptionbudgets" true;
    RESOURCE_CLAIM = 22: "resource.k8s.io" "v1" "ResourceClaim" "resourceclaims" true;
    RESOURCE_CLAIM_TEMPLATE = 23: "resource.k8s.io" "v1" "ResourceClaimTemplate" "resourceclaimtemplates" true;
    RESOURCE_SLICE = 24: "resource.k8s.io" "v1" "ResourceSlice" "resourceslices" false;
    DEVICE_CLASS = 25: "resource.k8s.io" "v1" "DeviceClass" "deviceclasses" false;
    CSI_NODE = 26: "storage.k8s.io" "v1" "CSINode" "csinodes" false;
    CSI_DRIVER = 27: "storage.k8s.io" "v1" "CSIDriver" "csidrivers" false;
    CSI_STORAGE_CAPACITY = 28: "storage.k8s.io" "v1" "CSIStorageCapacity" "csistoragecapacities" true;
    VOLUME_ATTACHMENT = 29: "storage.k8s.io" "v1" "VolumeAttachment" "volumeattachments" false;
    VOLUME_ATTRIBUTES_CLASS = 30: "storage.k8s.io" "v1" "VolumeAttributesClass" "volumeattributesclasses" false;
    ENDPOINT_SLICE = 31: "discovery.k8s.io" "v1" "EndpointSlice" "endpointslices" true;
    ROLE = 32: "rbac.authorization.k8s.io" "v1" "Role" "roles" true;
    ROLE_BINDING = 33: "rbac.authorization.k8s.io" "v1" "RoleBinding" "rolebindings" true;
    CLUSTER_ROLE = 34: "rbac.authorization.k8s.io" "v1" "ClusterRole" "clusterroles" false;
    CLUSTER_ROLE_BINDING = 35: "rbac.authorization.k8s.io" "v1" "ClusterRoleBinding" "clusterrolebindings" false;
    LIMIT_RANGE = 36: "" "v1" "LimitRange" "limitranges" true;
    RESOURCE_QUOTA = 37: "" "v1" "ResourceQuota" "resourcequotas" true;
    INGRESS = 38: "networking.k8s.io" "v1" "Ingress" "ingresses" true;
    NETWORK_POLICY = 39: "networking.k8s.io" "v1" "NetworkPolicy" "networkpolicies" true;
    CUSTOM_RESOURCE_DEFINITION = 40: "apiextensions.k8s.io" "v1" "CustomResourceDefinition" "customresourcedefinitions" false;
    FLOW_SCHEMA = 41: "flowcontrol.apiserver.k8s.io" "v1" "FlowSchema" "flowschemas" false;
    CONTROLLER_REVISION = 42: "apps" "v1" "ControllerRevision" "controllerrevisions" true;
    REPLICATION_CONTROLLER = 43: "" "v1" "ReplicationController" "replicationcontrollers" true;
    ENDPOINTS = 44: "" "v1" "Endpoints" "endpoints" true;
    POD_TEMPLATE = 45: "" "v1" "PodTemplate" "podtemplates" true;
    INGRESS_CLASS = 46: "networking.k8s.io" "v1" "IngressClass" "ingressclasses" false;
    IP_ADDRESS = 47: "networking.k8s.io" "v1" "IPAddress" "ipaddresses" false;
    SERVICE_CIDR = 48: "networking.k8s.io" "v1" "ServiceCIDR" "servicecidrs" false;
    PRIORITY_LEVEL_CONFIGURATION = 49: "flowcontrol.apiserver.k8s.io" "v1" "PriorityLevelConfiguration" "prioritylevelconfigurations" false;
    MUTATING_WEBHOOK_CONFIGURATION = 50: "admissionregistration.k8s.io" "v1" "MutatingWebhookConfiguration" "mutatingwebhookconfigurations" false;
    VALIDATING_WEBHOOK_CONFIGURATION = 51: "admissionregistration.k8s.io" "v1" "ValidatingWebhookConfiguration" "validatingwebhookconfigurations" false;
    VALIDATING_ADMISSION_POLICY = 52: "admissionregistration.k8s.io" "v1" "ValidatingAdmissionPolicy" "validatingadmissionpolicies" false;
    VALIDATING_ADMISSION_POLICY_BINDING = 53: "admissionregistration.k8s.io" "v1" "ValidatingAdmissionPolicyBinding" "validatingadmissionpolicybindings" false;
    API_SERVICE = 54: "apiregistration.k8s.io" "v1" "APIService" "apiservices" false;
    CERTIFICATE_SIGNING_REQUEST = 55: "certificates.k8s.io" "v1" "CertificateSigningRequest" "certificatesigningrequests" false;
    POD_GROUP = 56: "scheduling.x-k8s.io" "v1alpha1" "PodGroup" "podgroups" true;
    DEVICE_TAINT_RULE = 57: "resource.k8s.io" "v1alpha3" "DeviceTaintRule" "devicetaintrules" false;
}

/// The kinds of one run: the built-in table, and what was registered on top.
#[derive(Clone, Debug)]
pub struct Kinds {
    infos: Vec<KindInfo>,
    by_name: FxHashMap<(SmolStr, SmolStr), Kind>,
}

impl Default for Kinds {
    fn default() -> Self {
        let mut kinds = Kinds { infos: Vec::new(), by_name: FxHashMap::default() };
        for &(group, version, kind, plural, namespaced) in BUILTINS {
            kinds.push(KindInfo {
                group: SmolStr::new_static(group),
                version: SmolStr::new_static(version),
                kind: SmolStr::new_static(kind),
                plural: SmolStr::new_static(plural),
                namespaced,
            });
        }
        kinds
    }
}

impl Kinds {
    fn push(&mut self, info: KindInfo) -> Kind {
        let id = Kind(self.infos.len() as u16);
        self.by_name.insert((info.api_version(), info.kind.clone()), id);
        self.infos.push(info);
        id
    }

    /// The kind of an `apiVersion` and `kind`, if it is known.
    ///
    /// ```
    /// use sim_core::api::kind::{Kind, Kinds};
    /// assert_eq!(Kinds::default().resolve("apps/v1", "Deployment"), Some(Kind::DEPLOYMENT));
    /// ```
    pub fn resolve(&self, api_version: &str, kind: &str) -> Option<Kind> {
        self.by_name.get(&(SmolStr::new(api_version), SmolStr::new(kind))).copied()
    }

    /// Adds a custom kind (as a CustomResourceDefinition does), or returns the one that is there.
    pub fn register(&mut self, info: KindInfo) -> Kind {
        match self.resolve(&info.api_version(), &info.kind) {
            Some(known) => known,
            None => self.push(info),
        }
    }

    /// What is known of a kind.
    pub fn info(&self, kind: Kind) -> &KindInfo {
        &self.infos[usize::from(kind.0)]
    }

    /// All kinds, in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &KindInfo)> {
        self.infos.iter().enumerate().map(|(i, info)| (Kind(i as u16), info))
    }

    /// Finds a kind by what a person types: kind, plural or lower-case singular (`Pod`, `pods`, `deploy`…).
    pub fn by_resource(&self, text: &str) -> Option<Kind> {
        let short = match text {
            "po" => "pod",
            "no" => "node",
            "deploy" => "deployment",
            "rs" => "replicaset",
            "ds" => "daemonset",
            "sts" => "statefulset",
            "ns" => "namespace",
            "svc" => "service",
            "cm" => "configmap",
            "pvc" => "persistentvolumeclaim",
            "pv" => "persistentvolume",
            "pdb" => "poddisruptionbudget",
            "hpa" => "horizontalpodautoscaler",
            "cj" => "cronjob",
            other => other,
        };
        self.iter().find(|(_, i)| i.kind.eq_ignore_ascii_case(short) || i.plural == short).map(|(k, _)| k)
    }
}

impl Kind {
    /// The number of this kind: dense, from zero, for use as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Name of a built-in kind; `None` for custom ones.
    pub fn builtin_name(self) -> Option<&'static str> {
        BUILTINS.get(self.index()).map(|b| b.2)
    }
}
