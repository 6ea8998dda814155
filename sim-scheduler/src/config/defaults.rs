//! Defaults (`apis/config/v1/defaults.go`, `default_plugins.go`). Those that are mere values are in `Default` of the types.

use std::collections::BTreeSet;

use serde_json::Value;
use smol_str::SmolStr;

use super::{
    ClientConnection, LeaderElection, PluginConfig, PluginRef, PluginSet, Plugins, ProfileConfig,
    SchedulerConfig, args,
};

/// Default plugins in their order, with weights (0: none given).
const DEFAULT: &[(&str, i32)] = &[
    ("SchedulingGates", 0),
    ("PrioritySort", 0),
    ("NodeUnschedulable", 0),
    ("NodeName", 0),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodePorts", 0),
    ("NodeResourcesFit", 1),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 0),
    ("VolumeZone", 0),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("DynamicResources", 0),
    ("DefaultPreemption", 0),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
    ("DefaultBinder", 0),
];

impl SchedulerConfig {
    pub(super) fn set_defaults(&mut self) {
        self.percentage_of_nodes_to_score.get_or_insert(0);
        for profile in &mut self.profiles {
            profile.set_defaults();
        }
        self.leader_election.set_defaults();
        let (connection, default) = (&mut self.client_connection, ClientConnection::default());
        if connection.content_type.is_empty() {
            connection.content_type = default.content_type;
        }
        if connection.qps == 0.0 {
            connection.qps = default.qps;
        }
        if connection.burst == 0 {
            connection.burst = default.burst;
        }
    }
}

impl LeaderElection {
    fn set_defaults(&mut self) {
        let default = LeaderElection::default();
        for (text, default) in [
            (&mut self.resource_lock, default.resource_lock),
            (&mut self.resource_name, default.resource_name),
            (&mut self.resource_namespace, default.resource_namespace),
        ] {
            if text.is_empty() {
                *text = default;
            }
        }
        for (duration, default) in [
            (&mut self.lease_duration, default.lease_duration),
            (&mut self.renew_deadline, default.renew_deadline),
            (&mut self.retry_period, default.retry_period),
        ] {
            if duration.0.is_zero() {
                *duration = default;
            }
        }
    }
}

impl ProfileConfig {
    /// `setDefaults_KubeSchedulerProfile`: default plugins come in, and arguments of those that have some.
    pub(super) fn set_defaults(&mut self) {
        let plugins = merged(self.plugins.take().unwrap_or_default());
        let mut given: BTreeSet<SmolStr> = BTreeSet::new();
        for config in &mut self.plugin_config {
            given.insert(config.name.clone());
            // Arguments of other plugins stay as they are.
            if let Some(known) = args::known(&config.name)
                && let Ok(args) = (known.defaulted)(config.args.as_ref().unwrap_or(&Value::Null))
            {
                config.args = Some(args);
            }
        }
        let names: BTreeSet<&SmolStr> = plugins.enabled().filter(|name| !given.contains(*name)).collect();
        for name in names {
            if let Some(known) = args::known(name) {
                let args = (known.defaulted)(&Value::Null).ok();
                self.plugin_config.push(PluginConfig { name: name.clone(), args });
            }
        }
        self.plugins = Some(plugins);
    }
}

/// `mergePlugins`: by default all plugins are enabled for all points at once.
fn merged(custom: Plugins) -> Plugins {
    let names_only = |set: PluginSet| PluginSet {
        disabled: set.disabled.into_iter().map(|p| PluginRef { name: p.name, weight: 0 }).collect(),
        ..set
    };
    Plugins {
        multi_point: names_only(merged_multi_point(custom.multi_point)),
        pre_enqueue: names_only(custom.pre_enqueue),
        queue_sort: names_only(custom.queue_sort),
        pre_filter: names_only(custom.pre_filter),
        filter: names_only(custom.filter),
        post_filter: names_only(custom.post_filter),
        pre_score: names_only(custom.pre_score),
        score: names_only(custom.score),
        reserve: names_only(custom.reserve),
        permit: names_only(custom.permit),
        pre_bind: names_only(custom.pre_bind),
        bind: names_only(custom.bind),
        post_bind: names_only(custom.post_bind),
    }
}

/// `mergePluginSet`: a default plugin that is given takes what was given last, in its place; the others follow.
fn merged_multi_point(custom: PluginSet) -> PluginSet {
    let mut enabled = Vec::new();
    let mut taken = BTreeSet::new();
    if !custom.disables("*") {
        for (name, weight) in DEFAULT.iter().filter(|(name, _)| !custom.disables(name)) {
            match custom.enabled.iter().rposition(|p| p.name == *name) {
                Some(i) => {
                    taken.insert(i);
                    enabled.push(custom.enabled[i].clone());
                }
                None => enabled.push(PluginRef { name: SmolStr::new_static(name), weight: *weight }),
            }
        }
    }
    let others = custom.enabled.into_iter().enumerate().filter(|(i, _)| !taken.contains(i));
    enabled.extend(others.map(|(_, plugin)| plugin));
    PluginSet { enabled, disabled: custom.disabled }
}
