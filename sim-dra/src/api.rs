//! Objects of `resource.k8s.io/v1`, as far as allocation reads and writes them, from their JSON bodies.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::NodeSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;
use sim_core::quantity::Quantity;
use smol_str::SmolStr;

/// Most devices that one claim may hold (`AllocationResultsMaxSize`).
pub const MAX_RESULTS: usize = 32;

/// As Go decodes: `null` is nothing.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The part of the metadata that allocation looks at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// The name.
    pub name: SmolStr,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: SmolStr,
}

/// A condition on devices.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DeviceSelector {
    /// In CEL; a kind of selector that this version does not know has none.
    pub cel: Option<CelDeviceSelector>,
}

/// A condition on devices in CEL.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CelDeviceSelector {
    /// The expression.
    pub expression: SmolStr,
}

/// A kind of device that claims can ask for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DeviceClass {
    /// Name.
    pub metadata: Metadata,
    /// What the class says.
    pub spec: DeviceClassSpec,
}

/// What a class says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceClassSpec {
    /// Conditions, all of which a device must meet.
    #[serde(deserialize_with = "or_default")]
    pub selectors: Vec<DeviceSelector>,
    /// Configuration for drivers, given on with every allocation.
    #[serde(deserialize_with = "or_default")]
    pub config: Vec<DeviceConfiguration>,
    /// The extended resource that means this class.
    pub extended_resource_name: Option<SmolStr>,
}

/// Configuration for one driver.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct DeviceConfiguration {
    /// Driver and parameters, not looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opaque: Option<Json>,
}

/// Devices that a driver offers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceSlice {
    /// Name.
    pub metadata: Metadata,
    /// What is offered.
    pub spec: ResourceSliceSpec,
}

/// What a slice offers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceSliceSpec {
    /// The driver.
    pub driver: SmolStr,
    /// The pool that the slice is a part of.
    pub pool: ResourcePool,
    /// The one node that has the devices.
    pub node_name: Option<SmolStr>,
    /// The nodes that reach the devices.
    pub node_selector: Option<NodeSelector>,
    /// All nodes reach the devices.
    pub all_nodes: Option<bool>,
    /// Each device says for itself.
    pub per_device_node_selection: Option<bool>,
    /// The devices.
    #[serde(deserialize_with = "or_default")]
    pub devices: Vec<Device>,
    /// What the devices consume together.
    #[serde(deserialize_with = "or_default")]
    pub shared_counters: Vec<CounterSet>,
}

/// A pool of devices, published in one or more slices.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourcePool {
    /// The name, unique for the driver.
    pub name: SmolStr,
    /// Slices of an older generation are out of date.
    pub generation: i64,
    /// How many slices a complete pool has.
    pub resource_slice_count: i64,
}

/// One device.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Device {
    /// The name, unique in the pool.
    pub name: SmolStr,
    /// What it is like.
    #[serde(deserialize_with = "or_default")]
    pub attributes: BTreeMap<SmolStr, DeviceAttribute>,
    /// How much it has.
    #[serde(deserialize_with = "or_default")]
    pub capacity: BTreeMap<SmolStr, DeviceCapacity>,
    /// What it takes from shared counters.
    #[serde(deserialize_with = "or_default")]
    pub consumes_counters: Vec<DeviceCounterConsumption>,
    /// The one node that has it, if each device says for itself.
    pub node_name: Option<SmolStr>,
    /// The nodes that reach it, if each device says for itself.
    pub node_selector: Option<NodeSelector>,
    /// All nodes reach it, if each device says for itself.
    pub all_nodes: Option<bool>,
    /// What keeps claims away.
    #[serde(deserialize_with = "or_default")]
    pub taints: Vec<DeviceTaint>,
    /// An allocation is bound to the node it was made for.
    pub binds_to_node: Option<bool>,
    /// Conditions that must be met before a pod is bound; also an empty list says something.
    pub binding_conditions: Option<Vec<SmolStr>>,
    /// Conditions that end the waiting.
    pub binding_failure_conditions: Option<Vec<SmolStr>>,
    /// Several claims may share the device.
    pub allow_multiple_allocations: Option<bool>,
}

/// A value of one of four types; none for a type this version does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(default)]
pub struct DeviceAttribute {
    /// A number.
    pub int: Option<i64>,
    /// True or false.
    pub bool: Option<bool>,
    /// A text.
    pub string: Option<SmolStr>,
    /// A semantic version.
    pub version: Option<SmolStr>,
}

/// How much of something a device has.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceCapacity {
    /// The amount.
    pub value: Quantity,
    /// How a shared device may be portioned.
    pub request_policy: Option<CapacityRequestPolicy>,
}

/// Which portions of a capacity may be asked for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CapacityRequestPolicy {
    /// Taken where nothing is asked for.
    pub default: Option<Quantity>,
    /// The portions there are, ascending.
    pub valid_values: Option<Vec<Quantity>>,
    /// A range of portions.
    pub valid_range: Option<CapacityRequestPolicyRange>,
}

/// A range of portions.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CapacityRequestPolicyRange {
    /// The least.
    pub min: Option<Quantity>,
    /// The most.
    pub max: Option<Quantity>,
    /// The difference between portions, from the least on.
    pub step: Option<Quantity>,
}

/// Counters that devices of a slice share.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CounterSet {
    /// The name.
    pub name: SmolStr,
    /// The counters by name.
    #[serde(deserialize_with = "or_default")]
    pub counters: BTreeMap<SmolStr, Counter>,
}

/// An amount.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Counter {
    /// The amount.
    pub value: Quantity,
}

/// What a device takes from one counter set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceCounterConsumption {
    /// The set.
    pub counter_set: SmolStr,
    /// How much of each counter.
    #[serde(deserialize_with = "or_default")]
    pub counters: BTreeMap<SmolStr, Counter>,
}

/// What keeps claims away from a device.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceTaint {
    /// The key.
    pub key: SmolStr,
    /// The value.
    pub value: SmolStr,
    /// `NoSchedule` or `NoExecute`.
    pub effect: SmolStr,
    /// Since when; the API server sets it where the writer did not.
    pub time_added: Option<Time>,
}

/// A taint for all devices that are selected (`resource.k8s.io/v1alpha3`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DeviceTaintRule {
    /// Name.
    pub metadata: Metadata,
    /// What the rule says.
    pub spec: DeviceTaintRuleSpec,
}

/// What a rule says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceTaintRuleSpec {
    /// Which devices; all, if unset.
    pub device_selector: Option<DeviceTaintSelector>,
    /// The taint that they get.
    pub taint: DeviceTaint,
}

/// Devices that a rule is about: all that meet every condition given.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceTaintSelector {
    /// Those that the selectors of this class select; none, if there is no such class.
    pub device_class_name: Option<SmolStr>,
    /// Those of this driver.
    pub driver: Option<SmolStr>,
    /// Those of this pool.
    pub pool: Option<SmolStr>,
    /// Those of this name.
    pub device: Option<SmolStr>,
    /// Those that meet these conditions.
    #[serde(deserialize_with = "or_default")]
    pub selectors: Vec<DeviceSelector>,
}

/// What lets a request have tainted devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceToleration {
    /// The key; empty for all.
    #[serde(skip_serializing_if = "SmolStr::is_empty")]
    pub key: SmolStr,
    /// `Equal`, which is the default, or `Exists`.
    #[serde(skip_serializing_if = "SmolStr::is_empty")]
    pub operator: SmolStr,
    /// The value to equal.
    #[serde(skip_serializing_if = "SmolStr::is_empty")]
    pub value: SmolStr,
    /// The effect; empty for all.
    #[serde(skip_serializing_if = "SmolStr::is_empty")]
    pub effect: SmolStr,
    /// For how long a `NoExecute` taint is tolerated, in seconds; forever if unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

impl DeviceToleration {
    /// Whether it tolerates a taint (`resourceclaim.ToleratesTaint`).
    pub fn tolerates(&self, taint: &DeviceTaint) -> bool {
        let any_or = |wanted: &SmolStr, is: &SmolStr| wanted.is_empty() || wanted == is;
        any_or(&self.effect, &taint.effect)
            && any_or(&self.key, &taint.key)
            && match self.operator.as_str() {
                "" | "Equal" => self.value == taint.value,
                "Exists" => true,
                _ => false,
            }
    }
}

/// A wish for devices.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceClaim {
    /// Name and namespace.
    pub metadata: Metadata,
    /// What is wished for.
    pub spec: ResourceClaimSpec,
}

impl ResourceClaim {
    /// `namespace/name`, or the name where there is no namespace (`klog.KObj`).
    pub fn reference(&self) -> String {
        let Metadata { name, namespace } = &self.metadata;
        if namespace.is_empty() { name.to_string() } else { format!("{namespace}/{name}") }
    }
}

/// What a claim wishes for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceClaimSpec {
    /// The devices.
    pub devices: DeviceClaim,
}

/// The devices of a claim.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DeviceClaim {
    /// One request after the other.
    #[serde(deserialize_with = "or_default")]
    pub requests: Vec<DeviceRequest>,
    /// What holds across requests.
    #[serde(deserialize_with = "or_default")]
    pub constraints: Vec<DeviceConstraint>,
    /// Configuration for drivers.
    #[serde(deserialize_with = "or_default")]
    pub config: Vec<DeviceClaimConfiguration>,
}

/// A request for devices of one kind, or for the first available of several kinds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceRequest {
    /// The name, unique in the claim.
    pub name: SmolStr,
    /// What exactly.
    pub exactly: Option<DeviceSubRequest>,
    /// Alternatives, the most wanted first.
    #[serde(deserialize_with = "or_default")]
    pub first_available: Vec<DeviceSubRequest>,
}

/// What exactly is requested; the name is that of an alternative.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceSubRequest {
    /// The name of an alternative.
    pub name: SmolStr,
    /// The class.
    pub device_class_name: SmolStr,
    /// Conditions beyond those of the class.
    #[serde(deserialize_with = "or_default")]
    pub selectors: Vec<DeviceSelector>,
    /// `ExactCount` or `All`.
    pub allocation_mode: SmolStr,
    /// How many, for `ExactCount`.
    pub count: i64,
    /// Access without keeping others away; not for alternatives.
    pub admin_access: Option<bool>,
    /// Taints that do not matter.
    #[serde(deserialize_with = "or_default")]
    pub tolerations: Vec<DeviceToleration>,
    /// Portions of shared devices.
    pub capacity: Option<CapacityRequirements>,
}

/// Portions of capacities by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CapacityRequirements {
    /// How much of each.
    pub requests: Option<BTreeMap<SmolStr, Quantity>>,
}

/// What holds across the devices of several requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceConstraint {
    /// The requests, or alternatives as `request/alternative`; none means all.
    #[serde(deserialize_with = "or_default")]
    pub requests: Vec<SmolStr>,
    /// All have the same value of this attribute.
    pub match_attribute: Option<SmolStr>,
    /// All have different values of this attribute.
    pub distinct_attribute: Option<SmolStr>,
}

/// Configuration in a claim.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DeviceClaimConfiguration {
    /// For these requests; none means all.
    #[serde(deserialize_with = "or_default")]
    pub requests: Vec<SmolStr>,
    /// The configuration.
    #[serde(flatten)]
    pub device: DeviceConfiguration,
}

/// The devices that a claim got.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AllocationResult {
    /// Devices and their configuration.
    pub devices: DeviceAllocationResult,
    /// The nodes that reach all of them; `None` for all nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<NodeSelector>,
}

/// Devices and their configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceAllocationResult {
    /// In the order of allocation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<DeviceRequestAllocationResult>,
    /// Of classes first, then of the claim.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<DeviceAllocationConfiguration>,
}

/// One device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceRequestAllocationResult {
    /// `request` or `request/alternative`.
    pub request: SmolStr,
    /// The driver.
    pub driver: SmolStr,
    /// The pool.
    pub pool: SmolStr,
    /// The device.
    pub device: SmolStr,
    /// Set where it is access without keeping others away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_access: Option<bool>,
    /// Taints of the device that do not matter. Allocators of this version leave it empty (those of 1.35 do not), so it takes
    /// somebody else's status to have an effect.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<DeviceToleration>,
    /// Conditions to wait for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub binding_conditions: Vec<SmolStr>,
    /// Conditions that end the waiting.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub binding_failure_conditions: Vec<SmolStr>,
    /// The share of a device that several claims have.
    #[serde(rename = "shareID", skip_serializing_if = "Option::is_none")]
    pub share_id: Option<SmolStr>,
    /// The portion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_capacity: Option<BTreeMap<SmolStr, Quantity>>,
}

/// Configuration with where it came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceAllocationConfiguration {
    /// `FromClass` or `FromClaim`.
    pub source: SmolStr,
    /// For these requests; none means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<SmolStr>,
    /// The configuration.
    #[serde(flatten)]
    pub device: DeviceConfiguration,
}
