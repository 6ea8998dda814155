//! Profiles: which plugins take part at which extension point, in which order and with which weight
//! (`pkg/scheduler/framework/runtime/framework.go`, `apis/config/v1/default_plugins.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use smol_str::SmolStr;

use super::erased::{AnyPlugin, Point, Registration};
use super::event::{ClusterEvent, Registered};
use super::plugin::Plugin;
use super::registry::Registry;

/// Upstream's default plugins in their order, with weights (0: none given). Those that the registry does not have are
/// left out.
const DEFAULT: &[(&str, i64)] = &[
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

/// A plugin in a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weighted {
    /// Name.
    pub name: SmolStr,
    /// Weight of its score, 0 if none is given.
    pub weight: i64,
}

/// `enabled` and `disabled` of one extension point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSet {
    /// In order.
    pub enabled: Vec<Weighted>,
    /// Names, or `*`.
    pub disabled: BTreeSet<SmolStr>,
}

/// `plugins` of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plugins {
    /// For all points at once.
    pub multi_point: PluginSet,
    /// For single points.
    pub points: BTreeMap<Point, PluginSet>,
}

/// A profile that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProfileError(pub String);

/// The plugins of one `schedulerName`.
#[derive(Clone)]
pub struct Profile {
    /// `spec.schedulerName` of its pods.
    pub scheduler_name: SmolStr,
    /// `percentageOfNodesToScore`, if the profile has its own.
    pub percentage_of_nodes_to_score: Option<i32>,
    plugins: Vec<Arc<dyn AnyPlugin>>,
    /// Numbers of the plugins at each point, in order.
    at: [Vec<usize>; Point::ALL.len()],
    /// Weight of each plugin's score, by plugin.
    weights: Vec<i64>,
    registered: Vec<Registered>,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.plugins.iter().map(|p| p.name()).collect();
        f.debug_struct("Profile").field("name", &self.scheduler_name).field("plugins", &names).finish()
    }
}

impl Profile {
    /// Upstream's default profile, as far as its plugins exist here.
    pub fn default_profile() -> Profile {
        Profile::build("default-scheduler", &Registry::in_tree(), &Plugins::default(), &BTreeMap::new())
            .expect("the default profile is complete")
    }

    /// A profile from a configuration: upstream's defaults, changed by `plugins`, with arguments by plugin name.
    ///
    /// # Errors
    /// Unknown plugins, plugins at points that they do not have, arguments that a plugin refuses, no or several ways
    /// to sort the queue, no way to bind.
    pub fn build(
        scheduler_name: &str,
        registry: &Registry,
        plugins: &Plugins,
        args: &BTreeMap<SmolStr, Value>,
    ) -> Result<Profile, ProfileError> {
        let multi_point = merged_multi_point(&plugins.multi_point);
        let mut profile = Profile {
            scheduler_name: SmolStr::new(scheduler_name),
            percentage_of_nodes_to_score: None,
            plugins: Vec::new(),
            at: Default::default(),
            weights: Vec::new(),
            registered: Vec::new(),
        };
        let singles = plugins.points.values().flat_map(|set| &set.enabled);
        let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
        for Weighted { name, .. } in multi_point.iter().chain(singles) {
            if by_name.contains_key(name.as_str()) {
                continue;
            }
            let Some(factory) = registry.get(name) else {
                if multi_point_default(name) && !plugins.multi_point.enabled.iter().any(|p| p.name == *name) {
                    continue;
                }
                return Err(ProfileError(format!("plugin {name:?} does not exist")));
            };
            let made = factory(args.get(name).unwrap_or(&Value::Null))
                .map_err(|e| ProfileError(format!("initializing plugin {name:?}: {e}")))?;
            by_name.insert(name, profile.insert(made));
        }
        let empty = PluginSet::default();
        for point in Point::ALL {
            let set = plugins.points.get(&point).unwrap_or(&empty);
            profile.expand(point, set, &multi_point, &by_name)?;
        }
        profile.weigh(plugins.points.get(&Point::Score).unwrap_or(&empty), &multi_point, &by_name);
        profile.validated()
    }

    fn insert(&mut self, plugin: Arc<dyn AnyPlugin>) -> usize {
        let index = self.plugins.len();
        // Others cannot refuse a pod.
        let refuse = [Point::PreEnqueue, Point::PreFilter, Point::Filter, Point::Reserve, Point::Permit];
        if refuse.iter().any(|point| plugin.points().contains(point)) {
            self.registered.extend(Registered::of(index, &plugin.events(), plugin.has_hints()));
        }
        self.plugins.push(plugin);
        self.weights.push(1);
        index
    }

    /// `expandMultiPointPlugins` for one point: first the plugins that it overrides, in its own order, then the others
    /// of multiPoint, then its further ones.
    fn expand(
        &mut self,
        point: Point,
        set: &PluginSet,
        multi_point: &[Weighted],
        by_name: &BTreeMap<&str, usize>,
    ) -> Result<(), ProfileError> {
        let mut list = Vec::new();
        let mut single: Vec<&str> = Vec::new();
        for Weighted { name, .. } in &set.enabled {
            let has = by_name.get(name.as_str()).is_some_and(|i| self.plugins[*i].points().contains(&point));
            if !has {
                return Err(ProfileError(format!("plugin {name:?} does not extend {point:?} plugin")));
            }
            if single.contains(&name.as_str()) {
                return Err(ProfileError(format!("plugin {name:?} already registered as {point:?}")));
            }
            single.push(name);
        }
        if !set.disabled.contains("*") {
            let multi = multi_point.iter().map(|p| p.name.as_str()).filter(|name| {
                let has = by_name.get(name).is_some_and(|i| self.plugins[*i].points().contains(&point));
                has && !set.disabled.contains(*name)
            });
            let (overridden, others): (Vec<&str>, Vec<&str>) = multi.partition(|name| single.contains(name));
            list.extend(single.iter().filter(|name| overridden.contains(name)));
            list.extend(others);
            single.retain(|name| !overridden.contains(name));
        }
        list.extend(single);
        self.at[point as usize] = list.iter().filter_map(|name| by_name.get(name).copied()).collect();
        Ok(())
    }

    /// `getScoreWeights`: those given at Score come before those of multiPoint, none means 1.
    fn weigh(&mut self, score: &PluginSet, multi_point: &[Weighted], by_name: &BTreeMap<&str, usize>) {
        let mut seen = BTreeSet::new();
        for Weighted { name, weight } in score.enabled.iter().chain(multi_point) {
            if let Some(i) = by_name.get(name.as_str())
                && seen.insert(name)
            {
                self.weights[*i] = if *weight == 0 { 1 } else { *weight };
            }
        }
    }

    fn validated(self) -> Result<Profile, ProfileError> {
        let sorters = self.at(Point::QueueSort).len();
        let name = &self.scheduler_name;
        if sorters != 1 {
            return Err(ProfileError(format!(
                "only one queue sort plugin required for profile with scheduler name {name:?}, but got {sorters}"
            )));
        }
        if self.at(Point::Bind).is_empty() {
            return Err(ProfileError(format!(
                "at least one bind plugin is needed for profile with scheduler name {name:?}"
            )));
        }
        Ok(self)
    }

    /// Adds a plugin behind the others, at every point it has.
    #[must_use]
    pub fn with<P: Plugin>(self, plugin: Registration<P>) -> Profile {
        self.with_weight(plugin, 1)
    }

    /// Adds a plugin behind the others, with a weight for its score.
    #[must_use]
    pub fn with_weight<P: Plugin>(mut self, plugin: Registration<P>, weight: i64) -> Profile {
        let index = self.insert(plugin.into());
        self.weights[index] = weight;
        for point in self.plugins[index].points().clone() {
            let list = &mut self.at[point as usize];
            if point == Point::QueueSort {
                list.clear();
            }
            // A binder that comes last would never be asked.
            let place = if point == Point::Bind { 0 } else { list.len() };
            list.insert(place, index);
        }
        self
    }

    /// Plugins at a point, in order.
    pub fn at(&self, point: Point) -> &[usize] {
        &self.at[point as usize]
    }

    /// A plugin by its number.
    pub fn plugin(&self, index: usize) -> &dyn AnyPlugin {
        &*self.plugins[index]
    }

    /// Number of plugins.
    pub fn len(&self) -> usize {
        self.plugins.len()
    }

    /// True for no plugins; a built profile has some.
    pub fn is_empty(&self) -> bool {
        self.plugins.is_empty()
    }

    /// Weight of a plugin's score.
    pub fn weight(&self, index: usize) -> i64 {
        self.weights[index]
    }

    /// True if some plugin's state depends on pods.
    pub fn follows_pods(&self) -> bool {
        self.at(Point::PreFilter).iter().any(|i| self.plugins[*i].follows_pods())
    }

    /// What its plugins registered.
    pub fn registered(&self) -> &[Registered] {
        &self.registered
    }

    /// True if an event may wake pods that a plugin refused.
    pub fn wakes(&self, plugin: &str, event: ClusterEvent) -> bool {
        self.registered.iter().any(|r| self.plugins[r.plugin].name() == plugin && r.event.matches(event))
    }
}

fn multi_point_default(name: &str) -> bool {
    DEFAULT.iter().any(|(n, _)| *n == name)
}

/// `mergePluginSet` with the defaults.
fn merged_multi_point(custom: &PluginSet) -> Vec<Weighted> {
    let mut merged = Vec::new();
    if !custom.disabled.contains("*") {
        for (name, weight) in DEFAULT {
            if custom.disabled.contains(*name) {
                continue;
            }
            match custom.enabled.iter().find(|p| p.name == *name) {
                Some(replaced) => merged.push(replaced.clone()),
                None => merged.push(Weighted { name: SmolStr::new_static(name), weight: *weight }),
            }
        }
    }
    for plugin in &custom.enabled {
        if !merged.iter().any(|p| p.name == plugin.name) {
            merged.push(plugin.clone());
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(enabled: &[(&str, i64)], disabled: &[&str]) -> PluginSet {
        PluginSet {
            enabled: enabled.iter().map(|(n, w)| Weighted { name: SmolStr::new(n), weight: *w }).collect(),
            disabled: disabled.iter().map(SmolStr::new).collect(),
        }
    }

    fn build(plugins: &Plugins) -> Result<Profile, ProfileError> {
        Profile::build("s", &Registry::in_tree(), plugins, &BTreeMap::new())
    }

    fn scores(profile: &Profile) -> Vec<(&str, i64)> {
        profile.at(Point::Score).iter().map(|i| (profile.plugin(*i).name(), profile.weight(*i))).collect()
    }

    #[test]
    fn defaults_have_upstreams_order_and_weights() {
        assert_eq!(
            scores(&Profile::default_profile()),
            [
                ("TaintToleration", 3),
                ("NodeAffinity", 2),
                ("NodeResourcesFit", 1),
                ("NodeResourcesBalancedAllocation", 1),
                ("ImageLocality", 1)
            ]
        );
    }

    #[test]
    fn single_points_override_and_come_first() {
        let points = [(Point::Score, set(&[("ImageLocality", 7)], &["NodeAffinity"]))].into();
        let multi_point = set(&[("TaintToleration", 9)], &["NodeResourcesFit"]);
        let profile = build(&Plugins { multi_point, points }).expect("a profile");
        assert_eq!(
            scores(&profile),
            [("ImageLocality", 7), ("TaintToleration", 9), ("NodeResourcesBalancedAllocation", 1)]
        );
    }

    #[test]
    fn profiles_that_cannot_be() {
        let multi = |s| Plugins { multi_point: s, ..Plugins::default() };
        for (plugins, text) in [
            (multi(set(&[("Nope", 0)], &[])), "plugin \"Nope\" does not exist"),
            (
                multi(set(&[], &["PrioritySort"])),
                "only one queue sort plugin required for profile with scheduler name \"s\", but got 0",
            ),
            (
                multi(set(&[], &["DefaultBinder"])),
                "at least one bind plugin is needed for profile with scheduler name \"s\"",
            ),
            (
                Plugins {
                    points: [(Point::Filter, set(&[("ImageLocality", 0)], &[]))].into(),
                    ..Plugins::default()
                },
                "plugin \"ImageLocality\" does not extend Filter plugin",
            ),
        ] {
            assert_eq!(build(&plugins).expect_err("must be refused").0, text);
        }
    }
}
