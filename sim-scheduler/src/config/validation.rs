//! Which configurations are refused (`apis/config/validation/validation.go`, `component-base/config/validation`).

use std::collections::BTreeSet;

use sim_core::api::validation::field::{Errors, Path, Shown};
use sim_core::api::validation::names;
use sim_core::duration::Duration;
use sim_core::syntax::go_quote;
use sim_core::time::Span;
use smol_str::SmolStr;

use super::{
    Extender, GROUP_VERSION, LeaderElection, PluginRef, PluginSet, Plugins, ProfileConfig, SchedulerConfig,
    args,
};
use crate::framework::Point;
use crate::resources::is_extended;

/// Plugins that there are no more.
const REMOVED: &[&str] = &["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"];

impl SchedulerConfig {
    /// Complaints in upstream's order and words; none if all is well.
    pub fn validate(&self) -> Errors {
        let mut errors = Errors::default();
        let e = &mut errors;
        let burst = self.client_connection.burst;
        if burst < 0 {
            e.invalid(&Path::root("clientConnection").child("burst"), burst, "must be non-negative");
        }
        leader_election(e, &self.leader_election);
        if self.parallelism <= 0 {
            let why = "should be an integer value greater than zero";
            e.invalid(&Path::root("parallelism"), self.parallelism, why);
        }
        profiles(e, &self.profiles);
        percentage(e, &Path::root("percentageOfNodesToScore"), self.percentage_of_nodes_to_score);
        let (initial, max) = (self.pod_initial_backoff_seconds, self.pod_max_backoff_seconds);
        if initial <= 0 {
            e.invalid(&Path::root("podInitialBackoffSeconds"), initial, "must be greater than 0");
        }
        if max < initial {
            let why = "must be greater than or equal to PodInitialBackoffSeconds";
            e.invalid(&Path::root("podMaxBackoffSeconds"), max, why);
        }
        extenders(e, &self.extenders);
        errors
    }
}

fn leader_election(e: &mut Errors, election: &LeaderElection) {
    if !election.leader_elect {
        return;
    }
    let path = Path::root("leaderElection");
    let shown = |duration: &Duration| Shown::json(duration);
    for (field, duration) in [
        ("leaseDuration", &election.lease_duration),
        ("renewDeadline", &election.renew_deadline),
        ("retryPeriod", &election.retry_period),
    ] {
        if duration.0 <= Span::ZERO {
            e.invalid(&path.child(field), shown(duration), "must be greater than zero");
        }
    }
    if election.lease_duration <= election.renew_deadline {
        // Upstream, too, shows the deadline.
        let deadline = shown(&election.renew_deadline);
        e.invalid(&path.child("leaseDuration"), deadline, "must be greater than `RenewDeadline`");
    }
    for (field, text) in [
        ("resourceLock", &election.resource_lock),
        ("resourceNamespace", &election.resource_namespace),
        ("resourceName", &election.resource_name),
    ] {
        if text.is_empty() {
            e.required(&path.child(field), "");
        }
    }
    if election.resource_lock != "leases" {
        let why = "resourceLock value must be \"leases\"";
        e.invalid(&path.child("resourceLock"), &election.resource_lock, why);
    }
}

fn percentage(e: &mut Errors, path: &Path<'_>, percentage: Option<i32>) {
    if let Some(percentage) = percentage.filter(|p| !(0..=100).contains(p)) {
        e.invalid(path, percentage, "not in valid range [0-100]");
    }
}

fn profiles(e: &mut Errors, profiles: &[ProfileConfig]) {
    let path = Path::root("profiles");
    let Some((first, others)) = profiles.split_first() else { return e.required(&path, "") };
    let mut names = BTreeSet::new();
    for (i, config) in profiles.iter().enumerate() {
        let path = path.index(i);
        profile(e, &path, config);
        if !names.insert(&config.scheduler_name) {
            // Upstream shows a field path, which has nothing that JSON would print.
            e.duplicate(&path.child("schedulerName"), Shown::raw("{}"));
        }
    }
    common_queue_sort(e, &path, first, others);
}

fn profile(e: &mut Errors, path: &Path<'_>, profile: &ProfileConfig) {
    if profile.scheduler_name.is_empty() {
        e.required(&path.child("schedulerName"), "");
    }
    percentage(e, &path.child("percentageOfNodesToScore"), profile.percentage_of_nodes_to_score);
    if let Some(plugins) = &profile.plugins {
        removed_plugins(e, &path.child("plugins"), plugins);
    }
    let mut seen = BTreeSet::new();
    let configs = path.child("pluginConfig");
    for (i, config) in profile.plugin_config.iter().enumerate() {
        let path = configs.index(i);
        if !seen.insert(&config.name) {
            e.duplicate(&path, config.name.as_str());
        }
        if REMOVED.contains(&config.name.as_str()) {
            removed(e, &path, &config.name);
        } else if let (Some(known), Some(args)) = (args::known(&config.name), &config.args)
            // Upstream's table has a wrong key for it, so that the plugin itself is the first to look.
            && config.name != "NodeResourcesFit"
        {
            let mut found = Errors::default();
            (known.validate)(args, Some(&path.child("args")), &mut found);
            // As an aggregate has it, each message is told once.
            let mut told = BTreeSet::new();
            e.0.extend(found.0.into_iter().filter(|error| told.insert(error.to_string())));
        }
    }
}

fn removed(e: &mut Errors, path: &Path<'_>, plugin: &SmolStr) {
    let why =
        format!("was invalid in version \"v1\" (KubeSchedulerConfiguration is version \"{GROUP_VERSION}\")");
    e.invalid(path, plugin.as_str(), &why);
}

/// Only single points are looked at. Upstream goes through them in the order of a Go map.
fn removed_plugins(e: &mut Errors, path: &Path<'_>, plugins: &Plugins) {
    for point in Point::ALL {
        let name = format!("{point:?}");
        let field = name[..1].to_ascii_lowercase() + &name[1..];
        let path = path.child(&field);
        let enabled = path.child("enabled");
        for (i, plugin) in plugins.at(point).enabled.iter().enumerate() {
            if REMOVED.contains(&plugin.name.as_str()) {
                removed(e, &enabled.index(i), &plugin.name);
            }
        }
    }
}

/// All profiles share the queue, so they must sort it alike.
fn common_queue_sort(e: &mut Errors, path: &Path<'_>, first: &ProfileConfig, others: &[ProfileConfig]) {
    let none = PluginSet::default();
    let set = |profile: &ProfileConfig| profile.plugins.as_ref().map(|p| p.queue_sort.clone());
    let canon = set(first).unwrap_or_default();
    if canon.enabled.len() > 1 {
        let (path, count) = (path.index(0), canon.enabled.len());
        let (plugins, why) = (path.child("plugins"), "only one queue sort plugin can be enabled");
        e.invalid(&plugins.child("queueSort").child("Enabled"), Shown::raw(count.to_string()), why);
    }
    let sorter = canon.enabled.first().map_or("", |p| p.name.as_str());
    let args = if sorter.is_empty() { None } else { first.args(sorter) };
    for (i, profile) in others.iter().enumerate() {
        let path = path.index(i + 1);
        let current = set(profile);
        let current = current.as_ref().unwrap_or(&none);
        if *current != canon {
            let (plugins, why) = (path.child("plugins"), "must be the same for all profiles");
            e.invalid(&plugins.child("queueSort"), show_set(current), why);
        }
        for config in profile.plugin_config.iter().filter(|c| c.name == sorter && c.args.as_ref() != args) {
            let (configs, why) = (path.child("pluginConfig"), "queueSort must be the same for all profiles");
            e.invalid(&configs.child("args"), Shown::json(&config.args), why);
        }
    }
}

/// The internal type as JSON: with Go's names.
fn show_set(set: &PluginSet) -> Shown {
    let list = |plugins: &[PluginRef]| match plugins {
        [] => "null".to_owned(),
        plugins => {
            let one = |p: &PluginRef| format!("{{\"Name\":{},\"Weight\":{}}}", go_quote(&p.name), p.weight);
            format!("[{}]", plugins.iter().map(one).collect::<Vec<_>>().join(","))
        }
    };
    Shown::raw(format!("{{\"Enabled\":{},\"Disabled\":{}}}", list(&set.enabled), list(&set.disabled)))
}

fn extenders(e: &mut Errors, extenders: &[Extender]) {
    let root = Path::root("extenders");
    let mut resources = BTreeSet::new();
    for (i, extender) in extenders.iter().enumerate() {
        let path = root.index(i);
        if !extender.prioritize_verb.is_empty() && extender.weight <= 0 {
            let why = "must have a positive weight applied to it";
            e.invalid(&path.child("weight"), extender.weight, why);
        }
        let managed = path.child("managedResources");
        for (j, resource) in extender.managed_resources.iter().flatten().enumerate() {
            let path = managed.index(j);
            let path = path.child("name");
            extended_resource_name(e, &path, &resource.name);
            if !resources.insert(&resource.name) {
                e.invalid(&path, resource.name.as_str(), "duplicate extender managed resource name");
            }
        }
    }
    let binders = extenders.iter().filter(|x| !x.bind_verb.is_empty()).count();
    if binders > 1 {
        let found = format!("found {binders} extenders implementing bind");
        e.invalid(&root, &found, "only one extender can implement bind");
    }
}

fn extended_resource_name(e: &mut Errors, path: &Path<'_>, name: &str) {
    let wrong = names::qualified_name(name);
    for message in &wrong {
        e.invalid(path, Shown::json(&name), message);
    }
    if wrong.is_empty() && !is_extended(name) {
        e.invalid(path, name, "is an invalid extended resource name");
    }
}
