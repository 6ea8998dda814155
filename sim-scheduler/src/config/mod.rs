//! `KubeSchedulerConfiguration` v1, read exactly as kube-scheduler 1.34 reads it.
//!
//! A configuration goes through four stages, each with upstream's words for what is wrong: it is decoded strictly,
//! defaulted, validated (these three when it is read), and built into profiles ([`SchedulerConfig::profiles`]), where
//! plugins see their arguments and extension points are filled.
//!
//! Upstream: `pkg/scheduler/apis/config` and below, `cmd/kube-scheduler/app/options/configfile.go`, `pkg/scheduler/scheduler.go`.

pub mod args;
mod decode;
mod defaults;
mod go_types;
mod strict;
mod syntax;
mod types;
mod validation;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sim_core::api::validation::field::{Errors, Path};
use sim_core::duration::Duration;
use sim_core::load::{LoadErrors, Source};
use sim_core::time::{Span, secs};

pub use types::*;

use crate::framework::{Point, Profile, ProfileError, Registry};

const GROUP: &str = "kubescheduler.config.k8s.io";
/// Group and version of the configuration and of arguments.
const GROUP_VERSION: &str = "kubescheduler.config.k8s.io/v1";

/// A scheduler configuration, with defaults.
///
/// ```
/// use sim_scheduler::config::SchedulerConfig;
/// use sim_scheduler::framework::Registry;
/// let config = SchedulerConfig::from_json(serde_json::json!({
///     "apiVersion": "kubescheduler.config.k8s.io/v1",
///     "kind": "KubeSchedulerConfiguration",
///     "profiles": [{"plugins": {"score": {"disabled": [{"name": "ImageLocality"}]}}}],
/// })).unwrap();
/// assert_eq!(config.profiles(&Registry::in_tree()).unwrap().len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SchedulerConfig {
    /// Number of goroutines upstream; nothing depends on it here.
    pub parallelism: i32,
    /// Competition of several schedulers.
    pub leader_election: LeaderElection,
    /// Connection to the API server.
    pub client_connection: ClientConnection,
    /// Profiling endpoints.
    pub enable_profiling: bool,
    /// Profiling of locks.
    pub enable_contention_profiling: bool,
    /// Share of the nodes that is looked at in clusters of 100 nodes and more; 0: adaptive.
    pub percentage_of_nodes_to_score: Option<i32>,
    /// First back-off of a pod, in seconds.
    pub pod_initial_backoff_seconds: i64,
    /// Longest back-off of a pod, in seconds.
    pub pod_max_backoff_seconds: i64,
    /// At least one.
    pub profiles: Vec<ProfileConfig>,
    /// Web services that take part. See [`SchedulerConfig::extenders_in_order`].
    pub extenders: Vec<Extender>,
    /// Whether informers start only when the instance leads.
    pub delay_cache_until_active: bool,
}

impl Default for SchedulerConfig {
    /// The configuration of a kube-scheduler that is given none.
    fn default() -> Self {
        let mut profile =
            ProfileConfig { scheduler_name: "default-scheduler".into(), ..ProfileConfig::default() };
        profile.set_defaults();
        SchedulerConfig {
            parallelism: 16,
            leader_election: LeaderElection::default(),
            client_connection: ClientConnection::default(),
            enable_profiling: true,
            enable_contention_profiling: true,
            percentage_of_nodes_to_score: Some(0),
            pod_initial_backoff_seconds: 1,
            pod_max_backoff_seconds: 10,
            profiles: vec![profile],
            extenders: Vec::new(),
            delay_cache_until_active: false,
        }
    }
}

/// Why a configuration is refused. Its text is upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read: syntax, kind, types, unknown fields.
    #[error("{message}")]
    Decode {
        /// Upstream's text.
        message: String,
        /// The same for people: each complaint with its place.
        places: LoadErrors,
    },
    /// It can be read, but must not be so.
    #[error("{}", errors.aggregate())]
    Invalid {
        /// Upstream's complaints, in order.
        errors: Errors,
        /// The same for people: each complaint with its place.
        places: LoadErrors,
    },
}

impl ConfigError {
    /// The complaints with their places in the source.
    pub fn into_places(self) -> LoadErrors {
        match self {
            ConfigError::Decode { places, .. } | ConfigError::Invalid { places, .. } => places,
        }
    }
}

impl SchedulerConfig {
    /// Reads a file, YAML or JSON: decoded strictly, defaulted, validated.
    ///
    /// # Errors
    /// Whatever kube-scheduler refuses before it builds its profiles.
    pub fn read(source: &Source) -> Result<SchedulerConfig, ConfigError> {
        let (config, document) = decode::decode(source)?;
        let errors = config.validate();
        if errors.is_empty() {
            return Ok(config);
        }
        let placed = errors.0.iter().map(|error| {
            let at = decode::place_of(&document.root, &error.field);
            document.error(at, &error.field, &error.message)
        });
        let places = LoadErrors(placed.collect());
        Err(ConfigError::Invalid { errors, places })
    }

    /// As [`SchedulerConfig::read`], from JSON.
    ///
    /// # Errors
    /// The same.
    pub fn from_json(value: Value) -> Result<SchedulerConfig, ConfigError> {
        SchedulerConfig::read(&Source::new("configuration", value.to_string()))
    }

    /// What the internal version has where nothing is given.
    fn zero() -> SchedulerConfig {
        let zero = Duration::default();
        SchedulerConfig {
            parallelism: 0,
            leader_election: LeaderElection {
                leader_elect: false,
                lease_duration: zero,
                renew_deadline: zero,
                retry_period: zero,
                resource_lock: String::new(),
                resource_name: String::new(),
                resource_namespace: String::new(),
            },
            client_connection: ClientConnection {
                content_type: String::new(),
                qps: 0.0,
                burst: 0,
                ..ClientConnection::default()
            },
            enable_profiling: false,
            enable_contention_profiling: false,
            percentage_of_nodes_to_score: None,
            pod_initial_backoff_seconds: 0,
            pod_max_backoff_seconds: 0,
            profiles: Vec::new(),
            extenders: Vec::new(),
            delay_cache_until_active: false,
        }
    }

    /// The configuration as the scheduler starts with it: extenders have their time-out, and what they take over is
    /// no longer the business of `NodeResourcesFit` (`buildExtenders`).
    ///
    /// # Errors
    /// Extenders that cannot be built.
    // DIFFERS: certificates are not looked at.
    pub fn completed(&self) -> Result<SchedulerConfig, ProfileError> {
        let fail = |why: &str| Err(ProfileError(format!("couldn't build extenders: {why}")));
        let mut config = self.clone();
        let mut ignored = Vec::new();
        for extender in &mut config.extenders {
            if extender.http_timeout.0.is_zero() {
                extender.http_timeout = Duration(secs(5));
            }
            let tls = extender.tls_config.clone().unwrap_or_default();
            if tls.insecure && !(tls.ca_file.is_empty() && tls.ca_data.0.is_empty()) {
                return fail("specifying a root certificates file with the insecure flag is not allowed");
            }
            let managed = extender.managed_resources.iter().flatten();
            ignored.extend(managed.filter(|r| r.ignored_by_scheduler).map(|r| r.name.clone()));
        }
        if ignored.is_empty() {
            return Ok(config);
        }
        for profile in &mut config.profiles {
            let fit = profile.plugin_config.iter_mut().find(|c| c.name == "NodeResourcesFit");
            let Some(Value::Object(args)) = fit.and_then(|c| c.args.as_mut()) else {
                return fail("can't find NodeResourcesFitArgs in plugin config");
            };
            args.insert("ignoredResources".to_owned(), json!(ignored));
        }
        Ok(config)
    }

    /// The extenders in the order in which they are asked: those that may fail come last.
    pub fn extenders_in_order(&self) -> Vec<&Extender> {
        let (ignorable, needed): (Vec<_>, Vec<_>) = self.extenders.iter().partition(|e| e.ignorable);
        [needed, ignorable].concat()
    }

    /// Builds the profiles.
    ///
    /// # Errors
    /// As [`Profile::build`], and profiles that do not go together.
    pub fn profiles(&self, registry: &Registry) -> Result<Vec<Profile>, ProfileError> {
        let config = self.completed()?;
        let mut profiles: Vec<Profile> = Vec::new();
        for profile in &config.profiles {
            let built = config.profile(profile, registry, &profiles);
            profiles.push(built.map_err(|why| ProfileError(format!("initializing profiles: {why}")))?);
        }
        if profiles.is_empty() {
            return Err(ProfileError("at least one profile is required".to_owned()));
        }
        Ok(profiles)
    }

    /// One profile, which must go together with those before (`profile.NewMap`).
    fn profile(
        &self,
        config: &ProfileConfig,
        registry: &Registry,
        before: &[Profile],
    ) -> Result<Profile, String> {
        let name = &config.scheduler_name;
        if config.plugins.is_none() {
            return Err(format!("plugins required for profile with scheduler name {name:?}"));
        }
        let built = Profile::build(config, registry)
            .map_err(|why| format!("creating profile for scheduler name {name}: {why}"))?;
        if name.is_empty() {
            return Err("scheduler name is needed".to_owned());
        }
        if before.iter().any(|p| p.scheduler_name == *name) {
            return Err(format!("duplicate profile with scheduler name {name:?}"));
        }
        let sorter =
            |profile: &Profile| profile.list(Point::QueueSort).next().map(|(name, _)| name.to_owned());
        if let (Some(first), Some(first_config)) = (before.first(), self.profiles.first()) {
            let (ours, theirs) = (sorter(&built).unwrap_or_default(), sorter(first).unwrap_or_default());
            if ours != theirs {
                return Err(format!(
                    "different queue sort plugins for profile {name:?}: {ours:?}, first: {theirs:?}"
                ));
            }
            if config.args(&ours) != first_config.args(&theirs) {
                return Err(format!("different queue sort plugin args for profile {name:?}"));
            }
        }
        Ok(built)
    }

    /// First and longest back-off of a pod.
    pub fn backoff(&self) -> (Span, Span) {
        (secs(self.pod_initial_backoff_seconds), secs(self.pod_max_backoff_seconds))
    }
}

/// A field of something, or of the whole.
fn field<'a>(path: Option<&'a Path<'a>>, name: &'a str) -> Path<'a> {
    path.map_or_else(|| Path::root(name), |path| path.child(name))
}
