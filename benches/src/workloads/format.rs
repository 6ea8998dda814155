//! What a workload file says.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize as Derive;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use sim_core::duration::Duration;
use sim_core::features::FeatureGates;

/// A test case: what happens, and in which sizes.
#[derive(Clone, Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Name; upstream's if it is one of upstream's.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// Upstream's file that has it, below `test/integration/scheduler_perf`.
    pub upstream: Option<String>,
    /// What a scheduling cycle takes of virtual time; nothing by default. Churn and deletions are paced by it.
    pub scheduling_cycle: Option<Duration>,
    /// Feature gates, by name; the others are as in v1.34.
    #[serde(default)]
    pub feature_gates: BTreeMap<String, bool>,
    /// What happens, one after the other.
    pub steps: Vec<Step>,
    /// In which sizes it is run.
    pub sizes: Vec<Size>,
}

impl Workload {
    /// The feature gates of the cluster.
    ///
    /// # Errors
    /// There is no such gate.
    pub fn features(&self) -> Result<FeatureGates, String> {
        let mut gates = FeatureGates::default();
        for (name, on) in &self.feature_gates {
            gates.set_by_name(name, *on).map_err(|e| e.to_string())?;
        }
        Ok(gates)
    }
}

/// A size of a workload.
#[derive(Clone, Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// Name.
    pub name: String,
    /// Numbers that steps refer to.
    pub params: BTreeMap<String, usize>,
    /// Least pods per CPU-second; a size without is run on demand only.
    pub thresholds: Option<Thresholds>,
    /// Most memory of the whole process, in MiB.
    pub peak_mib: Option<u64>,
    /// Least wall-clock pods per second of upstream's CI, for a whole control plane: for comparison by eye.
    pub upstream_floor: Option<u32>,
}

/// Least pods per CPU-second of the fast engine.
#[derive(Clone, Copy, Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub struct Thresholds {
    /// All nodes evaluated for every pod.
    pub all_nodes: u32,
    /// With upstream's sampling of nodes.
    pub sampled: u32,
}

/// A number, or the name of one: `$initNodes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    /// A number.
    Number(usize),
    /// A parameter of the size.
    Param(String),
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or a parameter, as $initNodes")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Count, E> {
                usize::try_from(number).map(Count::Number).map_err(E::custom)
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Count, E> {
                usize::try_from(number).map(Count::Number).map_err(E::custom)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Count, E> {
                let name = text.strip_prefix('$').ok_or_else(|| E::custom("a parameter starts with $"))?;
                Ok(Count::Param(name.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Count {
    /// The number in a size.
    ///
    /// # Errors
    /// The size has no such parameter.
    pub fn of(&self, size: &Size) -> Result<usize, String> {
        match self {
            Count::Number(number) => Ok(*number),
            Count::Param(name) => size
                .params
                .get(name)
                .copied()
                .ok_or_else(|| format!("size {}: no parameter {name}", size.name)),
        }
    }
}

/// One step.
#[derive(Clone, Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Nodes join.
    Nodes(Nodes),
    /// Namespaces are made: `prefix-0`, `prefix-1`, ….
    Namespaces(Namespaces),
    /// An object of any kind is made.
    Object(One),
    /// Every node that was made so far publishes GPUs.
    Devices(Devices),
    /// Pods are made, and waited for.
    Pods(Pods),
    /// The bound pods of an earlier step are deleted one by one from now on.
    DeletePods(DeletePods),
    /// Objects come (and go) from now on.
    Churn(Churn),
}

/// See [`Step::Nodes`].
#[derive(Clone, Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub struct Nodes {
    /// How many.
    pub count: Count,
    /// Template.
    pub template: String,
    /// Keeps the name of the template; for one node.
    #[serde(default)]
    pub keep_name: bool,
    /// Label values, given out in turns.
    #[serde(default)]
    pub labels: BTreeMap<String, Vec<String>>,
}

/// See [`Step::Namespaces`].
#[derive(Clone, Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub struct Namespaces {
    /// Names start with it.
    pub prefix: String,
    /// How many.
    pub count: Count,
    /// Template.
    pub template: String,
}

/// See [`Step::Object`].
#[derive(Clone, Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub struct One {
    /// Template.
    pub template: String,
    /// Namespace, `default` if it is a namespaced kind and none is given.
    pub namespace: Option<String>,
}

/// See [`Step::Devices`].
#[derive(Clone, Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub struct Devices {
    /// How many per node.
    pub gpus: usize,
}

/// See [`Step::Pods`].
#[derive(Clone, Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub struct Pods {
    /// How many; per namespace if there are several.
    pub count: Count,
    /// Template.
    pub template: String,
    /// Namespace, `default` if none is given.
    pub namespace: Option<String>,
    /// Makes pods in so many namespaces, of which `namespace` is the prefix.
    pub namespaces: Option<Count>,
    /// Every pod is a class of its own, as those of an Indexed Job are.
    #[serde(default)]
    pub indexed: bool,
    /// The ReplicaSet that owns them.
    pub replica_set: Option<String>,
    /// Templates of the ResourceClaims that are made for each pod, in the order of its `spec.resourceClaims`.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Their placement is what is measured.
    #[serde(default)]
    pub measured: bool,
    /// Does not wait until they are placed.
    #[serde(default)]
    pub no_wait: bool,
}

/// See [`Step::DeletePods`].
#[derive(Clone, Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub struct DeletePods {
    /// Number of the step that made them, counted from 0.
    pub made_by_step: usize,
    /// Time between two.
    pub interval: Duration,
}

/// See [`Step::Churn`].
#[derive(Clone, Debug, Derive)]
#[serde(rename_all = "camelCase")]
pub struct Churn {
    /// Templates; one object of each is made every time.
    pub templates: Vec<String>,
    /// Time between two rounds.
    pub interval: Duration,
    /// Deletes the objects of one round in the next, and so on in turns.
    #[serde(default)]
    pub recreate: bool,
}
