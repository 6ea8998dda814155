//! What a configuration is made of (`pkg/scheduler/apis/config/types.go`), after defaulting.

use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sim_core::duration::Duration;
use sim_core::time::secs;
use smol_str::SmolStr;

use crate::framework::Point;

/// `LeaderElectionConfiguration`. Read and checked; one scheduler has nobody to compete with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderElection {
    /// Whether instances compete.
    pub leader_elect: bool,
    /// How long others wait for a leader that is silent.
    pub lease_duration: Duration,
    /// How long a leader tries to renew before it gives up.
    pub renew_deadline: Duration,
    /// Time between tries.
    pub retry_period: Duration,
    /// Kind of the object that stands for the lock.
    pub resource_lock: String,
    /// Its name.
    pub resource_name: String,
    /// Its namespace.
    pub resource_namespace: String,
}

impl Default for LeaderElection {
    fn default() -> Self {
        LeaderElection {
            leader_elect: true,
            lease_duration: Duration(secs(15)),
            renew_deadline: Duration(secs(10)),
            retry_period: Duration(secs(2)),
            resource_lock: "leases".to_owned(),
            resource_name: "kube-scheduler".to_owned(),
            resource_namespace: "kube-system".to_owned(),
        }
    }
}

/// `ClientConnectionConfiguration`. Read and checked; nothing is connected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientConnection {
    /// Path of a kubeconfig file.
    pub kubeconfig: String,
    /// `Accept` header, if not the default one.
    pub accept_content_types: String,
    /// `Content-Type` header.
    pub content_type: String,
    /// Requests per second.
    pub qps: f32,
    /// Requests at once.
    pub burst: i32,
}

impl Default for ClientConnection {
    fn default() -> Self {
        ClientConnection {
            kubeconfig: String::new(),
            accept_content_types: String::new(),
            content_type: "application/vnd.kubernetes.protobuf".to_owned(),
            qps: 50.0,
            burst: 100,
        }
    }
}

/// `KubeSchedulerProfile`: what the pods of one `schedulerName` get.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProfileConfig {
    /// `spec.schedulerName` of its pods.
    pub scheduler_name: SmolStr,
    /// Instead of the one of the configuration.
    pub percentage_of_nodes_to_score: Option<i32>,
    /// Upstream's default plugins, changed as configured. `None` only in the internal version, which has no defaults.
    pub plugins: Option<Plugins>,
    /// Arguments: first those that were given, in their order, then the defaults of others.
    pub plugin_config: Vec<PluginConfig>,
}

impl ProfileConfig {
    /// The profile with upstream's default plugins and arguments, where it does not say otherwise.
    #[must_use]
    pub fn with_defaults(mut self) -> ProfileConfig {
        self.set_defaults();
        self
    }

    /// Arguments of a plugin.
    pub fn args(&self, plugin: &str) -> Option<&Value> {
        self.plugin_config.iter().find(|c| c.name == plugin)?.args.as_ref()
    }
}

/// `Plugins`: which take part, for all extension points at once and for single ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are upstream's extension points")]
pub struct Plugins {
    /// At every extension point that a plugin has.
    pub multi_point: PluginSet,
    pub pre_enqueue: PluginSet,
    pub queue_sort: PluginSet,
    pub pre_filter: PluginSet,
    pub filter: PluginSet,
    pub post_filter: PluginSet,
    pub pre_score: PluginSet,
    pub score: PluginSet,
    pub reserve: PluginSet,
    pub permit: PluginSet,
    pub pre_bind: PluginSet,
    pub bind: PluginSet,
    pub post_bind: PluginSet,
}

impl Plugins {
    /// The set of one extension point.
    pub fn at(&self, point: Point) -> &PluginSet {
        match point {
            Point::PreEnqueue => &self.pre_enqueue,
            Point::QueueSort => &self.queue_sort,
            Point::PreFilter => &self.pre_filter,
            Point::Filter => &self.filter,
            Point::PostFilter => &self.post_filter,
            Point::PreScore => &self.pre_score,
            Point::Score => &self.score,
            Point::Reserve => &self.reserve,
            Point::Permit => &self.permit,
            Point::PreBind => &self.pre_bind,
            Point::Bind => &self.bind,
            Point::PostBind => &self.post_bind,
        }
    }

    /// All plugins that are enabled somewhere; some more than once.
    pub fn enabled(&self) -> impl Iterator<Item = &SmolStr> {
        let points = Point::ALL.into_iter().flat_map(|point| &self.at(point).enabled);
        self.multi_point.enabled.iter().chain(points).map(|plugin| &plugin.name)
    }
}

/// `PluginSet`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginSet {
    /// In order.
    pub enabled: Vec<PluginRef>,
    /// Those that multiPoint or the defaults do not enable here; `*` is all of them.
    pub disabled: Vec<PluginRef>,
}

impl PluginSet {
    /// True if a plugin is disabled by its name.
    pub fn disables(&self, plugin: &str) -> bool {
        self.disabled.iter().any(|p| p.name == plugin)
    }
}

/// `Plugin`: a name in a set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginRef {
    /// Name.
    pub name: SmolStr,
    /// Weight of its score; 0 if none is given.
    pub weight: i32,
}

/// `PluginConfig`: arguments of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginConfig {
    /// The plugin.
    pub name: SmolStr,
    /// Its arguments: of in-tree plugins those of [`args`](super::args), defaulted, with `apiVersion` and `kind`; of others
    /// what was given.
    pub args: Option<Value>,
}

/// `Extender`: a web service that takes part in decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Extender {
    /// Where it is; the verbs follow.
    pub url_prefix: String,
    /// Verb of Filter; empty: it does not filter.
    pub filter_verb: String,
    /// Verb of preemption; empty: it has no say.
    pub preempt_verb: String,
    /// Verb of Prioritize; empty: it does not rate.
    pub prioritize_verb: String,
    /// Weight of its ratings.
    pub weight: i64,
    /// Verb of Bind; empty: it does not bind.
    pub bind_verb: String,
    /// Whether to talk HTTPS.
    #[serde(rename = "enableHTTPS")]
    pub enable_https: bool,
    /// How to talk HTTPS.
    pub tls_config: Option<ExtenderTlsConfig>,
    /// Longest time that a call may take; the default is set when the scheduler is built.
    pub http_timeout: Duration,
    /// Whether it knows the nodes, so that names will do.
    pub node_cache_capable: bool,
    /// Only pods that ask for one of these are sent to it; all pods if empty.
    pub managed_resources: Option<Vec<ExtenderManagedResource>>,
    /// Whether decisions go on when it does not answer.
    pub ignorable: bool,
}

/// `ExtenderManagedResource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtenderManagedResource {
    /// Name of an extended resource.
    pub name: SmolStr,
    /// Whether the scheduler itself leaves it alone.
    pub ignored_by_scheduler: bool,
}

/// `ExtenderTLSConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names say it; nothing is connected")]
pub struct ExtenderTlsConfig {
    pub insecure: bool,
    pub server_name: String,
    pub cert_file: String,
    pub key_file: String,
    pub ca_file: String,
    pub cert_data: ByteString,
    pub key_data: ByteString,
    pub ca_data: ByteString,
}
