//! The root of a scenario file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::behavior::BehaviorSpec;
use super::cluster::ClusterSpec;
use super::duration::Duration;
use super::timeline::{Manifest, Step};
use super::timing::TimingSpec;

/// A scenario: a cluster, what is put into it, what happens to it, and what must come of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Scenario {
    /// Version of the format.
    pub api_version: ApiVersion,
    /// Always `Scenario`.
    pub kind: ScenarioKind,
    /// What the scenario tells.
    #[serde(default)]
    pub description: String,
    /// Seed of all randomness.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Date of the start of the run, e.g. 2025-01-01T00:00:00Z (which is the default).
    pub epoch: Option<String>,
    /// How long things take.
    #[serde(default)]
    pub timing: TimingSpec,
    /// Other scenarios whose clusters, manifests, behaviors, traces, timelines and expectations are added to this one's.
    #[serde(default)]
    pub include: Vec<PathBuf>,
    /// What is there at the start.
    #[serde(default)]
    pub cluster: ClusterSpec,
    /// A KubeSchedulerConfiguration file.
    pub scheduler_config: Option<PathBuf>,
    /// Answers of the extenders of that configuration, as `wavetank run --record` put them down.
    pub extender_cassette: Option<PathBuf>,
    /// Refuse objects in namespaces that nobody created, as upstream does; else they are created with a notice.
    #[serde(default)]
    pub strict_namespaces: bool,
    /// Feature gates by name, for all components at once, e.g. `DRADeviceTaints: true`; the others are as in v1.34.
    #[serde(default)]
    pub feature_gates: BTreeMap<String, bool>,
    /// Objects that are applied at the start, in order.
    #[serde(default)]
    pub manifests: Vec<Manifest>,
    /// What containers do; the first rule that matches a container wins.
    #[serde(default)]
    pub behaviors: Vec<BehaviorSpec>,
    /// Pods that come and go at recorded times.
    #[serde(default)]
    pub traces: Vec<TraceSpec>,
    /// What happens from outside, and when.
    #[serde(default)]
    pub timeline: Vec<Step>,
    /// When the run ends. Without it: ten minutes after the last step, arrival or expectation.
    pub until: Option<Duration>,
    /// What must come of it; see docs/expectations.md.
    #[serde(default)]
    pub expect: Vec<String>,
}

fn default_seed() -> u64 {
    1
}

impl Scenario {
    /// An empty scenario with all defaults.
    pub fn empty() -> Scenario {
        Scenario {
            api_version: ApiVersion::V1Alpha1,
            kind: ScenarioKind::Scenario,
            description: String::new(),
            seed: default_seed(),
            epoch: None,
            timing: TimingSpec::default(),
            include: Vec::new(),
            cluster: ClusterSpec::default(),
            scheduler_config: None,
            extender_cassette: None,
            strict_namespaces: false,
            feature_gates: BTreeMap::new(),
            manifests: Vec::new(),
            behaviors: Vec::new(),
            traces: Vec::new(),
            timeline: Vec::new(),
            until: None,
            expect: Vec::new(),
        }
    }
}

/// Versions of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first.
    #[serde(rename = "wavetank.dev/v1alpha1")]
    V1Alpha1,
}

/// The kind of a scenario file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ScenarioKind {
    /// The only one.
    Scenario,
}

/// A trace: pods of a few classes with their times.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TraceSpec {
    /// CSV with a header and the columns `name,class,create,delete`: seconds after the start; an empty `delete` means
    /// that the pod stays.
    pub pods: PathBuf,
    /// Pods whose names are the classes, YAML or JSON; a pod of the trace is made from its class.
    pub classes: PathBuf,
    /// Namespace of the pods.
    #[serde(default = "default_namespace")]
    pub namespace: String,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// The JSON Schema of scenario files.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Scenario).to_value();
    if let Some(map) = schema.as_object_mut() {
        map.insert("title".to_owned(), "Wavetank scenario".into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_EXPECT=1` rewrites the committed file.
    #[test]
    fn the_committed_schema_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/scenario.schema.json");
        let mut text = serde_json::to_string_pretty(&schema()).unwrap();
        text.push('\n');
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == text, "{path} is not current: run the test with UPDATE_EXPECT=1");
    }
}
