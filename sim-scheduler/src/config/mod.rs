//! `KubeSchedulerConfiguration` v1, as far as it is used here. That type is not part of `k8s-openapi`.

pub mod args;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use sim_core::time::{Span, secs};
use smol_str::SmolStr;

use crate::framework::{PluginSet, Plugins, Point, Profile, ProfileError, Registry, Weighted};

/// Group and version of the configuration and of arguments.
const GROUP_VERSION: &str = "kubescheduler.config.k8s.io/v1";

/// A scheduler configuration.
///
/// ```
/// use sim_scheduler::config::SchedulerConfig;
/// let config = SchedulerConfig::from_json(serde_json::json!({
///     "apiVersion": "kubescheduler.config.k8s.io/v1",
///     "kind": "KubeSchedulerConfiguration",
///     "profiles": [{"plugins": {"score": {"disabled": [{"name": "ImageLocality"}]}}}],
/// })).unwrap();
/// assert_eq!(config.profiles(&sim_scheduler::framework::Registry::in_tree()).unwrap().len(), 1);
/// assert!(SchedulerConfig::from_json(serde_json::json!({"profilez": []})).is_err());
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SchedulerConfig {
    api_version: Option<String>,
    kind: Option<String>,
    /// Share of the nodes that is looked at in clusters of 100 nodes and more; 0 or absent: adaptive.
    pub percentage_of_nodes_to_score: Option<i32>,
    /// First back-off of a pod, in seconds; 1 if absent.
    pub pod_initial_backoff_seconds: Option<i64>,
    /// Longest back-off of a pod, in seconds; 10 if absent.
    pub pod_max_backoff_seconds: Option<i64>,
    profiles: Vec<ProfileConfig>,
    extenders: Vec<Value>,
    // Fields of a real deployment that have nothing to act on here.
    #[serde(rename = "parallelism")]
    _parallelism: Option<i32>,
    #[serde(rename = "leaderElection")]
    _leader_election: Value,
    #[serde(rename = "clientConnection")]
    _client_connection: Value,
    #[serde(rename = "enableProfiling")]
    _enable_profiling: Option<bool>,
    #[serde(rename = "enableContentionProfiling")]
    _enable_contention_profiling: Option<bool>,
    #[serde(rename = "delayCacheUntilActive")]
    _delay_cache_until_active: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ProfileConfig {
    scheduler_name: Option<SmolStr>,
    percentage_of_nodes_to_score: Option<i32>,
    plugins: PluginsConfig,
    plugin_config: Vec<PluginConfig>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PluginsConfig {
    multi_point: SetConfig,
    pre_enqueue: SetConfig,
    queue_sort: SetConfig,
    pre_filter: SetConfig,
    filter: SetConfig,
    post_filter: SetConfig,
    pre_score: SetConfig,
    score: SetConfig,
    reserve: SetConfig,
    permit: SetConfig,
    pre_bind: SetConfig,
    bind: SetConfig,
    post_bind: SetConfig,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SetConfig {
    enabled: Vec<PluginRef>,
    disabled: Vec<PluginRef>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginRef {
    name: SmolStr,
    #[serde(default)]
    weight: i64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginConfig {
    name: SmolStr,
    #[serde(default)]
    args: Value,
}

impl From<SetConfig> for PluginSet {
    fn from(set: SetConfig) -> PluginSet {
        PluginSet {
            enabled: set.enabled.into_iter().map(|p| Weighted { name: p.name, weight: p.weight }).collect(),
            disabled: set.disabled.into_iter().map(|p| p.name).collect(),
        }
    }
}

impl From<PluginsConfig> for Plugins {
    fn from(config: PluginsConfig) -> Plugins {
        let points = [
            (Point::PreEnqueue, config.pre_enqueue),
            (Point::QueueSort, config.queue_sort),
            (Point::PreFilter, config.pre_filter),
            (Point::Filter, config.filter),
            (Point::PostFilter, config.post_filter),
            (Point::PreScore, config.pre_score),
            (Point::Score, config.score),
            (Point::Reserve, config.reserve),
            (Point::Permit, config.permit),
            (Point::PreBind, config.pre_bind),
            (Point::Bind, config.bind),
            (Point::PostBind, config.post_bind),
        ];
        Plugins {
            multi_point: config.multi_point.into(),
            points: points.into_iter().map(|(point, set)| (point, set.into())).collect(),
        }
    }
}

impl SchedulerConfig {
    /// Reads a configuration. Fields of plugins' arguments are checked by [`SchedulerConfig::profiles`].
    ///
    /// # Errors
    /// Unknown fields, wrong types, another kind or version, extenders.
    pub fn from_json(value: Value) -> Result<SchedulerConfig, ProfileError> {
        let config: SchedulerConfig =
            serde_json::from_value(value).map_err(|e| ProfileError(e.to_string()))?;
        let group = config.api_version.as_deref().unwrap_or("kubescheduler.config.k8s.io/v1");
        let kind = config.kind.as_deref().unwrap_or("KubeSchedulerConfiguration");
        if (group, kind) != ("kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration") {
            return Err(ProfileError(format!("no kind {kind:?} is registered for version {group:?}")));
        }
        if !config.extenders.is_empty() {
            return Err(ProfileError("extenders are not modelled".to_owned()));
        }
        Ok(config)
    }

    /// The profiles; the default one if none are given.
    ///
    /// # Errors
    /// As [`Profile::build`], and two profiles of one name.
    pub fn profiles(&self, registry: &Registry) -> Result<Vec<Profile>, ProfileError> {
        let default = [ProfileConfig::default()];
        let configs = if self.profiles.is_empty() { &default[..] } else { &self.profiles };
        let mut profiles: Vec<Profile> = Vec::new();
        for config in configs {
            let name = config.scheduler_name.as_deref().unwrap_or("default-scheduler");
            if profiles.iter().any(|p| p.scheduler_name == name) {
                return Err(ProfileError(format!("duplicate profile with scheduler name {name:?}")));
            }
            let args: BTreeMap<SmolStr, Value> =
                config.plugin_config.iter().map(|p| (p.name.clone(), p.args.clone())).collect();
            let plugins = Plugins::from(config.plugins.clone());
            let mut profile = Profile::build(name, registry, &plugins, &args)?;
            profile.percentage_of_nodes_to_score = config.percentage_of_nodes_to_score;
            profiles.push(profile);
        }
        Ok(profiles)
    }

    /// First and longest back-off of a pod.
    pub fn backoff(&self) -> (Span, Span) {
        (
            secs(self.pod_initial_backoff_seconds.unwrap_or(1)),
            secs(self.pod_max_backoff_seconds.unwrap_or(10)),
        )
    }
}
