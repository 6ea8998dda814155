//! Arguments of the in-tree plugins (`kube-scheduler/config/v1/types_pluginargs.go`), with upstream's defaults.
//!
//! A configuration hands every factory its arguments as JSON, defaulted and validated; [`read`] turns them into the
//! plugin's type:
//!
//! ```
//! use sim_scheduler::config::args::{InterPodAffinityArgs, read};
//! let json = serde_json::json!({"hardPodAffinityWeight": 5});
//! assert_eq!(read::<InterPodAffinityArgs>(&json).unwrap().hard_pod_affinity_weight, 5);
//! assert_eq!(read::<InterPodAffinityArgs>(&serde_json::Value::Null).unwrap().hard_pod_affinity_weight, 1);
//! ```

mod validation;

use k8s_openapi::api::core::v1::{NodeAffinity, TopologySpreadConstraint};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sim_core::api::validation::field::{Errors, Path};
use sim_core::duration::Duration;
use sim_core::time::secs;
use smol_str::SmolStr;

use super::GROUP_VERSION;

/// Arguments of one in-tree plugin. Fields that are not given have the values of `Default`.
pub trait PluginArgs: Default + Serialize + DeserializeOwned {
    /// The plugin; the kind of its arguments is this with `Args` behind it.
    const PLUGIN: &'static str;

    /// Fills in what depends on other fields.
    fn set_defaults(&mut self) {}

    /// Complains as `pkg/scheduler/apis/config/validation` does. Without a path, fields are named from the arguments on.
    fn validate(&self, path: Option<&Path<'_>>, errors: &mut Errors);
}

/// Arguments from JSON; null means none given. The type meta (`apiVersion`, `kind`) is allowed for.
///
/// # Errors
/// A value of a wrong type.
pub fn read<A: PluginArgs>(value: &Value) -> Result<A, String> {
    let mut args = match value {
        Value::Null => A::default(),
        value => A::deserialize(value).map_err(|e| e.to_string())?,
    };
    args.set_defaults();
    Ok(args)
}

/// Arguments as JSON, with their type.
pub fn write<A: PluginArgs>(args: &A) -> Value {
    let mut value = json!({"apiVersion": GROUP_VERSION, "kind": format!("{}Args", A::PLUGIN)});
    if let (Value::Object(all), Ok(Value::Object(fields))) = (&mut value, serde_json::to_value(args)) {
        all.extend(fields);
    }
    value
}

/// What the configuration does with the arguments of one in-tree plugin.
pub(super) struct Known {
    plugin: &'static str,
    pub(super) defaulted: fn(&Value) -> Result<Value, String>,
    pub(super) validate: fn(&Value, Option<&Path<'_>>, &mut Errors),
}

impl Known {
    const fn of<A: PluginArgs>() -> Known {
        Known {
            plugin: A::PLUGIN,
            defaulted: |value| read::<A>(value).map(|args| write(&args)),
            validate: |value, path, errors| {
                if let Ok(args) = read::<A>(value) {
                    args.validate(path, errors);
                }
            },
        }
    }
}

static KNOWN: [Known; 8] = [
    Known::of::<DefaultPreemptionArgs>(),
    Known::of::<DynamicResourcesArgs>(),
    Known::of::<InterPodAffinityArgs>(),
    Known::of::<NodeAffinityArgs>(),
    Known::of::<NodeResourcesBalancedAllocationArgs>(),
    Known::of::<NodeResourcesFitArgs>(),
    Known::of::<PodTopologySpreadArgs>(),
    Known::of::<VolumeBindingArgs>(),
];

/// The in-tree plugin of that name, if it has arguments.
pub(super) fn known(plugin: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.plugin == plugin)
}

/// `DefaultPreemptionArgs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultPreemptionArgs {
    /// Share of the nodes that are tried at least, in percent of all.
    pub min_candidate_nodes_percentage: i32,
    /// Number of nodes that are tried at least.
    pub min_candidate_nodes_absolute: i32,
}

impl Default for DefaultPreemptionArgs {
    fn default() -> Self {
        DefaultPreemptionArgs { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 }
    }
}

/// `DynamicResourcesArgs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DynamicResourcesArgs {
    /// Longest time that the search for devices may take per node; zero: no limit.
    pub filter_timeout: Option<Duration>,
}

impl Default for DynamicResourcesArgs {
    fn default() -> Self {
        DynamicResourcesArgs { filter_timeout: Some(Duration(secs(10))) }
    }
}

/// `InterPodAffinityArgs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InterPodAffinityArgs {
    /// Score of a required affinity of an existing pod to the incoming one, 0 to 100.
    pub hard_pod_affinity_weight: i32,
    /// Leaves preferred terms of existing pods out, unless the incoming pod has affinity of its own.
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for InterPodAffinityArgs {
    fn default() -> Self {
        InterPodAffinityArgs { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false }
    }
}

/// `NodeAffinityArgs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeAffinityArgs {
    /// Applied to all pods of the profile, in addition to their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_affinity: Option<NodeAffinity>,
}

/// `ResourceSpec`: a resource that counts, with its weight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceSpec {
    /// Name of the resource.
    pub name: SmolStr,
    /// Weight; after defaulting never 0.
    pub weight: i64,
}

/// CPU and memory, each with weight 1.
fn default_resources() -> Vec<ResourceSpec> {
    ["cpu", "memory"].map(|name| ResourceSpec { name: SmolStr::new_static(name), weight: 1 }).into()
}

fn default_weights(resources: &mut Vec<ResourceSpec>) {
    if resources.is_empty() {
        *resources = default_resources();
    }
    for resource in resources.iter_mut().filter(|r| r.weight == 0) {
        resource.weight = 1;
    }
}

/// `NodeResourcesBalancedAllocationArgs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeResourcesBalancedAllocationArgs {
    /// Resources that count; their weights are 1.
    pub resources: Vec<ResourceSpec>,
}

impl Default for NodeResourcesBalancedAllocationArgs {
    fn default() -> Self {
        NodeResourcesBalancedAllocationArgs { resources: default_resources() }
    }
}

/// `NodeResourcesFitArgs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeResourcesFitArgs {
    /// Extended resources that the filter leaves alone.
    pub ignored_resources: Vec<SmolStr>,
    /// Prefixes (before the `/`) of extended resources that the filter leaves alone.
    pub ignored_resource_groups: Vec<SmolStr>,
    /// How nodes are rated.
    pub scoring_strategy: ScoringStrategy,
}

/// `ScoringStrategy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoringStrategy {
    /// Which.
    #[serde(rename = "type", default = "ScoringStrategyType::none")]
    pub kind: ScoringStrategyType,
    /// Resources that count, with weights.
    #[serde(default)]
    pub resources: Vec<ResourceSpec>,
    /// The curve of [`ScoringStrategyType::RequestedToCapacityRatio`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_to_capacity_ratio: Option<RequestedToCapacityRatioParam>,
}

impl Default for ScoringStrategy {
    fn default() -> Self {
        ScoringStrategy {
            kind: ScoringStrategyType::LeastAllocated,
            resources: default_resources(),
            requested_to_capacity_ratio: None,
        }
    }
}

/// `ScoringStrategyType`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScoringStrategyType {
    /// Emptier is better.
    LeastAllocated,
    /// Fuller is better.
    MostAllocated,
    /// By a curve over the use in percent.
    RequestedToCapacityRatio,
    /// Anything else, which no plugin takes.
    #[serde(untagged)]
    Other(SmolStr),
}

impl ScoringStrategyType {
    fn none() -> ScoringStrategyType {
        ScoringStrategyType::Other(SmolStr::default())
    }
}

/// `RequestedToCapacityRatioParam`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestedToCapacityRatioParam {
    /// Points of the curve, by rising utilization.
    pub shape: Vec<UtilizationShapePoint>,
}

/// `UtilizationShapePoint`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UtilizationShapePoint {
    /// Percent, 0 to 100.
    pub utilization: i32,
    /// 0 to 10.
    pub score: i32,
}

/// `PodTopologySpreadArgs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTopologySpreadArgs {
    /// Constraints of pods that have none, with the selectors of what owns them.
    pub default_constraints: Vec<TopologySpreadConstraint>,
    /// Whether those or the built-in ones are taken.
    pub defaulting_type: PodTopologySpreadConstraintsDefaulting,
}

/// `PodTopologySpreadConstraintsDefaulting`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodTopologySpreadConstraintsDefaulting {
    /// Built-in: a skew of 3 over host names and of 5 over zones, if possible.
    #[default]
    System,
    /// Those of the arguments.
    List,
    /// Anything else, which validation refuses.
    #[serde(untagged)]
    Other(SmolStr),
}

/// `VolumeBindingArgs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeBindingArgs {
    /// Longest time that PreBind waits for volumes, in seconds.
    pub bind_timeout_seconds: i64,
    /// Curve over the used capacity; refused while the feature `StorageCapacityScoring` is off, as by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Vec<UtilizationShapePoint>>,
}

impl Default for VolumeBindingArgs {
    fn default() -> Self {
        VolumeBindingArgs { bind_timeout_seconds: 600, shape: None }
    }
}
