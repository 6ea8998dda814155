//! Which lists merge, and by which key: the `patchStrategy` and `patchMergeKey` tags of `k8s.io/api` 1.34.
//!
//! A field that is not in the tables has no strategy: objects merge field by field, lists are replaced.

use crate::api::kind::Kind;

/// What a patch needs to know of a type.
pub(in crate::api::patch) type Schema = &'static [Field];

/// What a patch needs to know of a field.
#[derive(Clone, Copy, Debug)]
pub(in crate::api::patch) struct Field {
    name: &'static str,
    /// How a list or an object is patched.
    pub strategy: Strategy,
    /// Patching drops fields that the patch does not list (unions).
    pub retain_keys: bool,
    /// The type of the object or of the elements.
    pub schema: Schema,
}

/// `patchStrategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api::patch) enum Strategy {
    /// None given.
    Default,
    /// Elements are merged by this key; scalars, as a set, if it is empty.
    Merge(&'static str),
    /// The whole object is replaced.
    Replace,
}

const fn inside(name: &'static str, schema: Schema) -> Field {
    Field { name, strategy: Strategy::Default, retain_keys: false, schema }
}

const fn merge(name: &'static str, key: &'static str, schema: Schema) -> Field {
    Field { name, strategy: Strategy::Merge(key), retain_keys: false, schema }
}

const fn union(name: &'static str, key: &'static str, schema: Schema) -> Field {
    Field { name, strategy: Strategy::Merge(key), retain_keys: true, schema }
}

static PLAIN: Field = inside("", NONE);

const NONE: Schema = &[];
const META: Schema = &[merge("ownerReferences", "uid", NONE), merge("finalizers", "", NONE)];
const CONDITIONS: Schema = &[merge("conditions", "type", NONE)];
const CONTAINER: Schema = &[
    merge("ports", "containerPort", NONE),
    merge("env", "name", NONE),
    merge("volumeMounts", "mountPath", NONE),
    merge("volumeDevices", "devicePath", NONE),
];
const CONTAINER_STATUS: Schema =
    &[merge("volumeMounts", "mountPath", NONE), merge("allocatedResourcesStatus", "name", NONE)];
const CLAIM_TEMPLATE: Schema = &[inside("metadata", META)];
const VOLUME: Schema = &[inside("ephemeral", &[inside("volumeClaimTemplate", CLAIM_TEMPLATE)])];
const POD_SPEC: Schema = &[
    union("volumes", "name", VOLUME),
    merge("initContainers", "name", CONTAINER),
    merge("containers", "name", CONTAINER),
    merge("ephemeralContainers", "name", CONTAINER),
    merge("imagePullSecrets", "name", NONE),
    merge("hostAliases", "ip", NONE),
    merge("topologySpreadConstraints", "topologyKey", NONE),
    merge("schedulingGates", "name", NONE),
    union("resourceClaims", "name", NONE),
];
const POD_STATUS: Schema = &[
    merge("conditions", "type", NONE),
    merge("hostIPs", "ip", NONE),
    merge("podIPs", "ip", NONE),
    inside("initContainerStatuses", CONTAINER_STATUS),
    inside("containerStatuses", CONTAINER_STATUS),
    inside("ephemeralContainerStatuses", CONTAINER_STATUS),
    union("resourceClaimStatuses", "name", NONE),
];
const POD: Schema = &[inside("metadata", META), inside("spec", POD_SPEC), inside("status", POD_STATUS)];
const TEMPLATE: Schema = &[inside("metadata", META), inside("spec", POD_SPEC)];
const TEMPLATED_SPEC: Schema = &[inside("template", TEMPLATE)];
const TEMPLATED: Schema =
    &[inside("metadata", META), inside("spec", TEMPLATED_SPEC), inside("status", CONDITIONS)];
const DEPLOYMENT: Schema = &[
    inside("metadata", META),
    inside(
        "spec",
        &[
            inside("template", TEMPLATE),
            Field { name: "strategy", strategy: Strategy::Default, retain_keys: true, schema: NONE },
        ],
    ),
    inside("status", CONDITIONS),
];
const CLAIM: Schema = &[inside("metadata", META), inside("status", CONDITIONS)];
const STATEFUL_SET: Schema = &[
    inside("metadata", META),
    inside("spec", &[inside("template", TEMPLATE), inside("volumeClaimTemplates", CLAIM)]),
    inside("status", CONDITIONS),
];
const CRON_JOB: Schema = &[
    inside("metadata", META),
    inside("spec", &[inside("jobTemplate", &[inside("metadata", META), inside("spec", TEMPLATED_SPEC)])]),
];
const NODE: Schema = &[
    inside("metadata", META),
    inside("spec", &[merge("podCIDRs", "", NONE)]),
    inside("status", &[merge("conditions", "type", NONE), merge("addresses", "type", NONE)]),
];
const SERVICE: Schema = &[
    inside("metadata", META),
    inside("spec", &[merge("ports", "port", NONE)]),
    inside("status", CONDITIONS),
];
const DISRUPTION_BUDGET: Schema = &[
    inside("metadata", META),
    inside(
        "spec",
        &[Field { name: "selector", strategy: Strategy::Replace, retain_keys: false, schema: NONE }],
    ),
    inside("status", CONDITIONS),
];
const RESOURCE_CLAIM: Schema =
    &[inside("metadata", META), inside("status", &[merge("reservedFor", "uid", NONE)])];
const RESOURCE_CLAIM_TEMPLATE: Schema =
    &[inside("metadata", META), inside("spec", &[inside("metadata", META)])];
const CSI_NODE: Schema = &[inside("metadata", META), inside("spec", &[merge("drivers", "name", NONE)])];
const SERVICE_ACCOUNT: Schema = &[inside("metadata", META), merge("secrets", "name", NONE)];
const WITH_CONDITIONS: Schema = CLAIM;
const WITH_META: Schema = &[inside("metadata", META)];

/// The schema of a built-in kind; `None` for custom kinds, which have no strategic patches. CustomResourceDefinitions
/// are a built-in kind to kubectl, too.
pub(in crate::api::patch) fn of(kind: Kind) -> Option<Schema> {
    kind.builtin_name()?;
    Some(match kind {
        Kind::POD => POD,
        Kind::NODE => NODE,
        Kind::DEPLOYMENT => DEPLOYMENT,
        Kind::REPLICA_SET | Kind::DAEMON_SET | Kind::JOB | Kind::REPLICATION_CONTROLLER => TEMPLATED,
        Kind::STATEFUL_SET => STATEFUL_SET,
        Kind::CRON_JOB => CRON_JOB,
        Kind::SERVICE => SERVICE,
        Kind::POD_DISRUPTION_BUDGET => DISRUPTION_BUDGET,
        Kind::RESOURCE_CLAIM => RESOURCE_CLAIM,
        Kind::RESOURCE_CLAIM_TEMPLATE => RESOURCE_CLAIM_TEMPLATE,
        Kind::CSI_NODE => CSI_NODE,
        Kind::SERVICE_ACCOUNT => SERVICE_ACCOUNT,
        Kind::NAMESPACE
        | Kind::PERSISTENT_VOLUME_CLAIM
        | Kind::HORIZONTAL_POD_AUTOSCALER
        | Kind::FLOW_SCHEMA => WITH_CONDITIONS,
        _ => WITH_META,
    })
}

/// A field of a type.
pub(super) fn field(schema: Schema, name: &str) -> &'static Field {
    schema.iter().find(|f| f.name == name).unwrap_or(&PLAIN)
}
