//! Specs as upstream's *internal* types print them.
//!
//! Some messages show a value of an internal type (Go field names, every field, no `omitempty`), or the difference of
//! two. Types that are not in the tables below are printed with the first letter of each field raised, which keeps
//! different values different.

use serde_json::{Map, Value, json};

use k8s_openapi::api::core::v1::{NodeSelector, PodSpec};

use crate::api::wire::encode;

/// The shape of an internal field.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// A text, `""` if absent.
    Text,
    /// A flag, `false` if absent.
    Flag,
    /// A number, 0 if absent.
    Number,
    /// A quantity, `"0"` if absent.
    Amount,
    /// A pointer, a map or a list of scalars: as on the wire, `null` if absent.
    Plain,
    /// A list of structs.
    List(Fields),
    /// A struct that is always there.
    Struct(Fields),
    /// A pointer to a struct.
    Pointer(Fields),
}

/// The fields of an internal struct, in Go's order.
pub(super) type Fields = &'static [(&'static str, Shape)];

use Shape::{Amount, Flag, List, Number, Plain, Pointer, Struct, Text};

const NAME: Fields = &[("Name", Text)];
const PORT: Fields =
    &[("Name", Text), ("HostPort", Number), ("ContainerPort", Number), ("Protocol", Text), ("HostIP", Text)];
const OPTIONAL_REFERENCE: Fields = &[("Name", Text), ("Optional", Plain)];
const ENV_FROM: Fields = &[
    ("Prefix", Text),
    ("ConfigMapRef", Pointer(OPTIONAL_REFERENCE)),
    ("SecretRef", Pointer(OPTIONAL_REFERENCE)),
];
const KEY_REFERENCE: Fields = &[("Name", Text), ("Key", Text), ("Optional", Plain)];
const FIELD_REFERENCE: Fields = &[("APIVersion", Text), ("FieldPath", Text)];
const RESOURCE_REFERENCE: Fields = &[("ContainerName", Text), ("Resource", Text), ("Divisor", Amount)];
const VALUE_FROM: Fields = &[
    ("FieldRef", Pointer(FIELD_REFERENCE)),
    ("ResourceFieldRef", Pointer(RESOURCE_REFERENCE)),
    ("ConfigMapKeyRef", Pointer(KEY_REFERENCE)),
    ("SecretKeyRef", Pointer(KEY_REFERENCE)),
    ("FileKeyRef", Plain),
];
const ENV: Fields = &[("Name", Text), ("Value", Text), ("ValueFrom", Pointer(VALUE_FROM))];
const CLAIM: Fields = &[("Name", Text), ("Request", Text)];
const RESOURCES: Fields = &[("Limits", Plain), ("Requests", Plain), ("Claims", List(CLAIM))];
const MOUNT: Fields = &[
    ("Name", Text),
    ("ReadOnly", Flag),
    ("RecursiveReadOnly", Plain),
    ("MountPath", Text),
    ("SubPath", Text),
    ("MountPropagation", Plain),
    ("SubPathExpr", Text),
];
const EXEC: Fields = &[("Command", Plain)];
const HEADER: Fields = &[("Name", Text), ("Value", Text)];
const HTTP_GET: Fields =
    &[("Path", Text), ("Port", Plain), ("Host", Text), ("Scheme", Text), ("HTTPHeaders", List(HEADER))];
const TCP_SOCKET: Fields = &[("Port", Plain), ("Host", Text)];
const GRPC: Fields = &[("Port", Number), ("Service", Plain)];
const PROBE: Fields = &[
    ("Exec", Pointer(EXEC)),
    ("HTTPGet", Pointer(HTTP_GET)),
    ("TCPSocket", Pointer(TCP_SOCKET)),
    ("GRPC", Pointer(GRPC)),
    ("InitialDelaySeconds", Number),
    ("TimeoutSeconds", Number),
    ("PeriodSeconds", Number),
    ("SuccessThreshold", Number),
    ("FailureThreshold", Number),
    ("TerminationGracePeriodSeconds", Plain),
];
const HOOK: Fields = &[
    ("Exec", Pointer(EXEC)),
    ("HTTPGet", Pointer(HTTP_GET)),
    ("TCPSocket", Pointer(TCP_SOCKET)),
    ("Sleep", Pointer(&[("Seconds", Number)])),
];
const LIFECYCLE: Fields = &[("PostStart", Pointer(HOOK)), ("PreStop", Pointer(HOOK)), ("StopSignal", Plain)];
const PROFILE: Fields = &[("Type", Text), ("LocalhostProfile", Plain)];
const SE_LINUX: Fields = &[("User", Text), ("Role", Text), ("Type", Text), ("Level", Text)];
const SECURITY: Fields = &[
    ("Capabilities", Pointer(&[("Add", Plain), ("Drop", Plain)])),
    ("Privileged", Plain),
    ("SELinuxOptions", Pointer(SE_LINUX)),
    ("WindowsOptions", Plain),
    ("RunAsUser", Plain),
    ("RunAsGroup", Plain),
    ("RunAsNonRoot", Plain),
    ("ReadOnlyRootFilesystem", Plain),
    ("AllowPrivilegeEscalation", Plain),
    ("ProcMount", Plain),
    ("SeccompProfile", Pointer(PROFILE)),
    ("AppArmorProfile", Pointer(PROFILE)),
];
const CONTAINER: Fields = &[
    ("Name", Text),
    ("Image", Text),
    ("Command", Plain),
    ("Args", Plain),
    ("WorkingDir", Text),
    ("Ports", List(PORT)),
    ("EnvFrom", List(ENV_FROM)),
    ("Env", List(ENV)),
    ("Resources", Struct(RESOURCES)),
    ("ResizePolicy", List(&[("ResourceName", Text), ("RestartPolicy", Text)])),
    ("RestartPolicy", Plain),
    ("RestartPolicyRules", Plain),
    ("VolumeMounts", List(MOUNT)),
    ("VolumeDevices", List(&[("Name", Text), ("DevicePath", Text)])),
    ("LivenessProbe", Pointer(PROBE)),
    ("ReadinessProbe", Pointer(PROBE)),
    ("StartupProbe", Pointer(PROBE)),
    ("Lifecycle", Pointer(LIFECYCLE)),
    ("TerminationMessagePath", Text),
    ("TerminationMessagePolicy", Text),
    ("ImagePullPolicy", Text),
    ("SecurityContext", Pointer(SECURITY)),
    ("Stdin", Flag),
    ("StdinOnce", Flag),
    ("TTY", Flag),
];
const KEY_TO_PATH: Fields = &[("Key", Text), ("Path", Text), ("Mode", Plain)];
const VOLUME: Fields = &[
    ("Name", Text),
    ("HostPath", Pointer(&[("Path", Text), ("Type", Plain)])),
    ("EmptyDir", Pointer(&[("Medium", Text), ("SizeLimit", Plain)])),
    ("GCEPersistentDisk", Plain),
    ("AWSElasticBlockStore", Plain),
    ("GitRepo", Plain),
    (
        "Secret",
        Pointer(&[
            ("SecretName", Text),
            ("Items", List(KEY_TO_PATH)),
            ("DefaultMode", Plain),
            ("Optional", Plain),
        ]),
    ),
    ("NFS", Pointer(&[("Server", Text), ("Path", Text), ("ReadOnly", Flag)])),
    ("ISCSI", Plain),
    ("Glusterfs", Plain),
    ("PersistentVolumeClaim", Pointer(&[("ClaimName", Text), ("ReadOnly", Flag)])),
    ("RBD", Plain),
    ("Quobyte", Plain),
    ("FlexVolume", Plain),
    ("Cinder", Plain),
    ("CephFS", Plain),
    ("Flocker", Plain),
    ("DownwardAPI", Plain),
    ("FC", Plain),
    ("AzureFile", Plain),
    (
        "ConfigMap",
        Pointer(&[("Name", Text), ("Items", List(KEY_TO_PATH)), ("DefaultMode", Plain), ("Optional", Plain)]),
    ),
    ("VsphereVolume", Plain),
    ("AzureDisk", Plain),
    ("PhotonPersistentDisk", Plain),
    ("Projected", Plain),
    ("PortworxVolume", Plain),
    ("ScaleIO", Plain),
    ("StorageOS", Plain),
    ("CSI", Plain),
    ("Ephemeral", Plain),
    ("Image", Plain),
];
const REQUIREMENT: Fields = &[("Key", Text), ("Operator", Text), ("Values", Plain)];
const NODE_TERM: Fields = &[("MatchExpressions", List(REQUIREMENT)), ("MatchFields", List(REQUIREMENT))];
pub(super) const NODE_SELECTOR: Fields = &[("NodeSelectorTerms", List(NODE_TERM))];
const NODE_AFFINITY: Fields = &[
    ("RequiredDuringSchedulingIgnoredDuringExecution", Pointer(NODE_SELECTOR)),
    (
        "PreferredDuringSchedulingIgnoredDuringExecution",
        List(&[("Weight", Number), ("Preference", Struct(NODE_TERM))]),
    ),
];
const POD_TERM: Fields = &[
    ("LabelSelector", Plain),
    ("Namespaces", Plain),
    ("TopologyKey", Text),
    ("NamespaceSelector", Plain),
    ("MatchLabelKeys", Plain),
    ("MismatchLabelKeys", Plain),
];
const POD_AFFINITY: Fields = &[
    ("RequiredDuringSchedulingIgnoredDuringExecution", List(POD_TERM)),
    (
        "PreferredDuringSchedulingIgnoredDuringExecution",
        List(&[("Weight", Number), ("PodAffinityTerm", Struct(POD_TERM))]),
    ),
];
const AFFINITY: Fields = &[
    ("NodeAffinity", Pointer(NODE_AFFINITY)),
    ("PodAffinity", Pointer(POD_AFFINITY)),
    ("PodAntiAffinity", Pointer(POD_AFFINITY)),
];
const TOLERATION: Fields =
    &[("Key", Text), ("Operator", Text), ("Value", Text), ("Effect", Text), ("TolerationSeconds", Plain)];
const SPREAD: Fields = &[
    ("MaxSkew", Number),
    ("TopologyKey", Text),
    ("WhenUnsatisfiable", Text),
    ("LabelSelector", Plain),
    ("MinDomains", Plain),
    ("NodeAffinityPolicy", Plain),
    ("NodeTaintsPolicy", Plain),
    ("MatchLabelKeys", Plain),
];
const POD_CLAIM: Fields =
    &[("Name", Text), ("ResourceClaimName", Plain), ("ResourceClaimTemplateName", Plain)];
/// Four of its fields are the spec's own on the wire.
const POD_SECURITY: Fields = &[
    ("HostNetwork", Flag),
    ("HostPID", Flag),
    ("HostIPC", Flag),
    ("ShareProcessNamespace", Plain),
    ("HostUsers", Plain),
    ("SELinuxOptions", Pointer(SE_LINUX)),
    ("WindowsOptions", Plain),
    ("RunAsUser", Plain),
    ("RunAsGroup", Plain),
    ("RunAsNonRoot", Plain),
    ("SupplementalGroups", Plain),
    ("SupplementalGroupsPolicy", Plain),
    ("FSGroup", Plain),
    ("FSGroupChangePolicy", Plain),
    ("Sysctls", List(HEADER)),
    ("SeccompProfile", Pointer(PROFILE)),
    ("AppArmorProfile", Pointer(PROFILE)),
    ("SELinuxChangePolicy", Plain),
];
const POD_SPEC: Fields = &[
    ("Volumes", List(VOLUME)),
    ("InitContainers", List(CONTAINER)),
    ("Containers", List(CONTAINER)),
    ("EphemeralContainers", Plain),
    ("RestartPolicy", Text),
    ("TerminationGracePeriodSeconds", Plain),
    ("ActiveDeadlineSeconds", Plain),
    ("DNSPolicy", Text),
    ("NodeSelector", Plain),
    ("ServiceAccountName", Text),
    ("AutomountServiceAccountToken", Plain),
    ("NodeName", Text),
    ("SecurityContext", Pointer(POD_SECURITY)),
    ("ImagePullSecrets", List(NAME)),
    ("Hostname", Text),
    ("Subdomain", Text),
    ("SetHostnameAsFQDN", Plain),
    ("Affinity", Pointer(AFFINITY)),
    ("SchedulerName", Text),
    ("Tolerations", List(TOLERATION)),
    ("HostAliases", List(&[("IP", Text), ("Hostnames", Plain)])),
    ("PriorityClassName", Text),
    ("Priority", Plain),
    ("PreemptionPolicy", Plain),
    (
        "DNSConfig",
        Pointer(&[
            ("Nameservers", Plain),
            ("Searches", Plain),
            ("Options", List(&[("Name", Text), ("Value", Plain)])),
        ]),
    ),
    ("ReadinessGates", List(&[("ConditionType", Text)])),
    ("RuntimeClassName", Plain),
    ("Overhead", Plain),
    ("EnableServiceLinks", Plain),
    ("TopologySpreadConstraints", List(SPREAD)),
    ("OS", Pointer(NAME)),
    ("SchedulingGates", List(NAME)),
    ("ResourceClaims", List(POD_CLAIM)),
    ("Resources", Pointer(RESOURCES)),
    ("HostnameOverride", Plain),
];

/// The internal form of a pod spec.
pub(super) fn pod_spec(spec: &PodSpec) -> Value {
    let mut wire = encode(spec);
    if let Some(fields) = wire.as_object_mut() {
        let mut host = Map::new();
        for field in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"] {
            if let Some(value) = fields.get(field) {
                host.insert(field.to_string(), value.clone());
            }
        }
        if let Some(security) = fields.get_mut("securityContext").and_then(Value::as_object_mut) {
            security.extend(host);
        } else if !host.is_empty() {
            fields.insert("securityContext".to_string(), Value::Object(host));
        }
    }
    structure(&wire, POD_SPEC)
}

/// The internal form of a node selector's terms.
pub(super) fn node_selector_terms(selector: &NodeSelector) -> Value {
    structure(&encode(selector), NODE_SELECTOR).get("NodeSelectorTerms").cloned().unwrap_or_default()
}

/// The internal form of a wire object.
pub(super) fn structure(wire: &Value, fields: Fields) -> Value {
    let mut out = Map::new();
    for (name, shape) in fields {
        let given = wire.get(wire_name(name)).filter(|v| !v.is_null());
        let value = match (shape, given) {
            (Text, None) => json!(""),
            (Flag, None) => json!(false),
            (Number, None) => json!(0),
            (Amount, None) => json!("0"),
            (Struct(fields), given) => structure(given.unwrap_or(&Value::Null), fields),
            (_, None) => Value::Null,
            (Text | Flag | Number | Amount | Plain, Some(value)) => plain(value),
            (Pointer(fields), Some(value)) => structure(value, fields),
            (List(fields), Some(value)) => {
                value.as_array().into_iter().flatten().map(|v| structure(v, fields)).collect()
            }
        };
        out.insert((*name).to_string(), value);
    }
    Value::Object(out)
}

/// Scalars, and maps and selectors that print alike in both forms.
fn plain(value: &Value) -> Value {
    value.clone()
}

/// The wire name of a Go field: the leading capitals lowered, but not the one that starts a word.
fn wire_name(go: &str) -> String {
    match go {
        "CephFS" | "StorageOS" => return go.to_lowercase(),
        _ => {}
    }
    let capitals = go.chars().take_while(char::is_ascii_uppercase).count();
    let lowered = if capitals > 1 && capitals < go.len() { capitals - 1 } else { capitals };
    go.chars().enumerate().map(|(i, c)| if i < lowered { c.to_ascii_lowercase() } else { c }).collect()
}

/// The unified difference of two internal values, with three lines of context: `k8s.io/apimachinery/pkg/util/diff`.
pub(super) fn diff(old: &Value, new: &Value) -> String {
    super::unified::diff(&lines(old), &lines(new))
}

fn lines(value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    // Writing JSON to memory fails only for values that are no JSON, which a Value never is.
    let _ = serde::Serialize::serialize(value, &mut serializer);
    String::from_utf8_lossy(&out).lines().map(str::to_string).collect()
}
