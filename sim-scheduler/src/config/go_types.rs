//! The Go types that a configuration is decoded into, as far as errors name them.
//!
//! Upstream: `kube-scheduler/config/v1/types.go` and `types_pluginargs.go`, `component-base/config/v1alpha1/types.go`, and
//! the types of `api/core/v1` that arguments have.

/// A type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Go {
    Bool,
    Uint8,
    Int32,
    Int64,
    Float32,
    /// `string`, or a type made of it.
    Str(&'static str),
    /// `metav1.Duration`; a pointer to one may be null.
    Duration {
        pointer: bool,
    },
    /// `[]byte`.
    Bytes,
    /// `runtime.RawExtension`: kept as it is.
    Raw,
    /// `map[string]string`.
    StringMap,
    List(&'static Go),
    Struct(&'static Struct),
}

/// A struct.
#[derive(Debug)]
pub(super) struct Struct {
    /// With the package.
    pub(super) name: &'static str,
    pub(super) fields: &'static [(&'static str, Go)],
}

impl Struct {
    /// Name without the package.
    pub(super) fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }
}

/// As Go prints a type.
impl std::fmt::Display for Go {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Go::Bool => "bool",
            Go::Uint8 => "uint8",
            Go::Int32 => "int32",
            Go::Int64 => "int64",
            Go::Float32 => "float32",
            Go::Str(name) => name,
            // It decodes a string first, and that is what fails.
            Go::Duration { .. } => "string",
            Go::Bytes => "[]uint8",
            Go::Raw => "runtime.RawExtension",
            Go::StringMap => "map[string]string",
            Go::List(item) => return write!(f, "[]{item}"),
            Go::Struct(of) => of.name,
        })
    }
}

use Go::{Bool, Bytes, Duration, Float32, Int32, Int64, List, Raw, Str, StringMap};

const STRING: Go = Str("string");
const STRINGS: Go = List(&STRING);
const DURATION: Go = Duration { pointer: false };

/// `NAME = "package.Name" { field: type, … }`: a constant for the type and one for lists of it.
macro_rules! structs {
    ($($id:ident = $name:literal { $($field:ident: $go:expr),* $(,)? })*) => { $(
        pub(super) const $id: Go =
            Go::Struct(&Struct { name: $name, fields: &[$((stringify!($field), $go)),*] });
    )* };
}

structs! {
    CONFIGURATION = "v1.KubeSchedulerConfiguration" {
        kind: STRING, apiVersion: STRING, parallelism: Int32, leaderElection: LEADER_ELECTION,
        clientConnection: CLIENT_CONNECTION, enableProfiling: Bool, enableContentionProfiling: Bool,
        percentageOfNodesToScore: Int32, podInitialBackoffSeconds: Int64, podMaxBackoffSeconds: Int64,
        profiles: List(&PROFILE), extenders: List(&EXTENDER), delayCacheUntilActive: Bool,
    }
    LEADER_ELECTION = "v1alpha1.LeaderElectionConfiguration" {
        leaderElect: Bool, leaseDuration: DURATION, renewDeadline: DURATION, retryPeriod: DURATION,
        resourceLock: STRING, resourceName: STRING, resourceNamespace: STRING,
    }
    CLIENT_CONNECTION = "v1alpha1.ClientConnectionConfiguration" {
        kubeconfig: STRING, acceptContentTypes: STRING, contentType: STRING, qps: Float32, burst: Int32,
    }
    PROFILE = "v1.KubeSchedulerProfile" {
        schedulerName: STRING, percentageOfNodesToScore: Int32, plugins: PLUGINS,
        pluginConfig: List(&PLUGIN_CONFIG),
    }
    PLUGINS = "v1.Plugins" {
        preEnqueue: PLUGIN_SET, queueSort: PLUGIN_SET, preFilter: PLUGIN_SET, filter: PLUGIN_SET,
        postFilter: PLUGIN_SET, preScore: PLUGIN_SET, score: PLUGIN_SET, reserve: PLUGIN_SET, permit: PLUGIN_SET,
        preBind: PLUGIN_SET, bind: PLUGIN_SET, postBind: PLUGIN_SET, multiPoint: PLUGIN_SET,
    }
    PLUGIN_SET = "v1.PluginSet" { enabled: List(&PLUGIN), disabled: List(&PLUGIN) }
    PLUGIN = "v1.Plugin" { name: STRING, weight: Int32 }
    PLUGIN_CONFIG = "v1.PluginConfig" { name: STRING, args: Raw }
    EXTENDER = "v1.Extender" {
        urlPrefix: STRING, filterVerb: STRING, preemptVerb: STRING, prioritizeVerb: STRING, weight: Int64,
        bindVerb: STRING, enableHTTPS: Bool, tlsConfig: EXTENDER_TLS, httpTimeout: DURATION,
        nodeCacheCapable: Bool, managedResources: List(&MANAGED_RESOURCE), ignorable: Bool,
    }
    MANAGED_RESOURCE = "v1.ExtenderManagedResource" { name: STRING, ignoredByScheduler: Bool }
    EXTENDER_TLS = "v1.ExtenderTLSConfig" {
        insecure: Bool, serverName: STRING, certFile: STRING, keyFile: STRING, caFile: STRING, certData: Bytes,
        keyData: Bytes, caData: Bytes,
    }
    DEFAULT_PREEMPTION_ARGS = "v1.DefaultPreemptionArgs" {
        kind: STRING, apiVersion: STRING, minCandidateNodesPercentage: Int32, minCandidateNodesAbsolute: Int32,
    }
    DYNAMIC_RESOURCES_ARGS = "v1.DynamicResourcesArgs" {
        kind: STRING, apiVersion: STRING, filterTimeout: Duration { pointer: true },
    }
    INTER_POD_AFFINITY_ARGS = "v1.InterPodAffinityArgs" {
        kind: STRING, apiVersion: STRING, hardPodAffinityWeight: Int32,
        ignorePreferredTermsOfExistingPods: Bool,
    }
    NODE_AFFINITY_ARGS = "v1.NodeAffinityArgs" {
        kind: STRING, apiVersion: STRING, addedAffinity: NODE_AFFINITY,
    }
    NODE_RESOURCES_BALANCED_ALLOCATION_ARGS = "v1.NodeResourcesBalancedAllocationArgs" {
        kind: STRING, apiVersion: STRING, resources: List(&RESOURCE_SPEC),
    }
    NODE_RESOURCES_FIT_ARGS = "v1.NodeResourcesFitArgs" {
        kind: STRING, apiVersion: STRING, ignoredResources: STRINGS, ignoredResourceGroups: STRINGS,
        scoringStrategy: SCORING_STRATEGY,
    }
    POD_TOPOLOGY_SPREAD_ARGS = "v1.PodTopologySpreadArgs" {
        kind: STRING, apiVersion: STRING, defaultConstraints: List(&TOPOLOGY_SPREAD_CONSTRAINT),
        defaultingType: Str("v1.PodTopologySpreadConstraintsDefaulting"),
    }
    VOLUME_BINDING_ARGS = "v1.VolumeBindingArgs" {
        kind: STRING, apiVersion: STRING, bindTimeoutSeconds: Int64, shape: List(&SHAPE_POINT),
    }
    SCORING_STRATEGY = "v1.ScoringStrategy" {
        type: Str("v1.ScoringStrategyType"), resources: List(&RESOURCE_SPEC),
        requestedToCapacityRatio: REQUESTED_TO_CAPACITY_RATIO,
    }
    REQUESTED_TO_CAPACITY_RATIO = "v1.RequestedToCapacityRatioParam" { shape: List(&SHAPE_POINT) }
    SHAPE_POINT = "v1.UtilizationShapePoint" { utilization: Int32, score: Int32 }
    RESOURCE_SPEC = "v1.ResourceSpec" { name: STRING, weight: Int64 }
    NODE_AFFINITY = "v1.NodeAffinity" {
        requiredDuringSchedulingIgnoredDuringExecution: NODE_SELECTOR,
        preferredDuringSchedulingIgnoredDuringExecution: List(&PREFERRED_TERM),
    }
    NODE_SELECTOR = "v1.NodeSelector" { nodeSelectorTerms: List(&NODE_SELECTOR_TERM) }
    NODE_SELECTOR_TERM = "v1.NodeSelectorTerm" {
        matchExpressions: List(&NODE_REQUIREMENT), matchFields: List(&NODE_REQUIREMENT),
    }
    NODE_REQUIREMENT = "v1.NodeSelectorRequirement" {
        key: STRING, operator: Str("v1.NodeSelectorOperator"), values: STRINGS,
    }
    PREFERRED_TERM = "v1.PreferredSchedulingTerm" { weight: Int32, preference: NODE_SELECTOR_TERM }
    TOPOLOGY_SPREAD_CONSTRAINT = "v1.TopologySpreadConstraint" {
        maxSkew: Int32, topologyKey: STRING, whenUnsatisfiable: Str("v1.UnsatisfiableConstraintAction"),
        labelSelector: LABEL_SELECTOR, minDomains: Int32, nodeAffinityPolicy: Str("v1.NodeInclusionPolicy"),
        nodeTaintsPolicy: Str("v1.NodeInclusionPolicy"), matchLabelKeys: STRINGS,
    }
    LABEL_SELECTOR = "v1.LabelSelector" { matchLabels: StringMap, matchExpressions: List(&LABEL_REQUIREMENT) }
    LABEL_REQUIREMENT = "v1.LabelSelectorRequirement" {
        key: STRING, operator: Str("v1.LabelSelectorOperator"), values: STRINGS,
    }
}

/// The kinds of the group.
pub(super) const KINDS: &[Go] = &[
    CONFIGURATION,
    DEFAULT_PREEMPTION_ARGS,
    DYNAMIC_RESOURCES_ARGS,
    INTER_POD_AFFINITY_ARGS,
    NODE_AFFINITY_ARGS,
    NODE_RESOURCES_BALANCED_ALLOCATION_ARGS,
    NODE_RESOURCES_FIT_ARGS,
    POD_TOPOLOGY_SPREAD_ARGS,
    VOLUME_BINDING_ARGS,
];

/// The kind of a name.
pub(super) fn kind(name: &str) -> Option<&'static Struct> {
    KINDS.iter().find_map(|go| match go {
        Go::Struct(of) if of.short_name() == name => Some(*of),
        _ => None,
    })
}
