//! Profiles: which plugins take part at which extension point, in which order and with which weight
//! (`pkg/scheduler/framework/runtime/framework.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use sim_core::syntax::go_quote;
use smol_str::SmolStr;

use super::erased::{AnyPlugin, Point, Registration};
use super::event::{ClusterEvent, Registered};
use super::plugin::Plugin;
use super::registry::Registry;
use super::rejectors::Rejectors;
use crate::config::{PluginRef, PluginSet, Plugins, ProfileConfig, SchedulerConfig};

/// Highest score of a node, before weights.
const MAX_NODE_SCORE: i64 = 100;

/// The order in which upstream goes through the extension points, which decides what it complains of first.
const UPSTREAM_ORDER: [Point; Point::ALL.len()] = [
    Point::PreFilter,
    Point::Filter,
    Point::PostFilter,
    Point::Reserve,
    Point::PreScore,
    Point::Score,
    Point::PreBind,
    Point::Bind,
    Point::PostBind,
    Point::Permit,
    Point::PreEnqueue,
    Point::QueueSort,
];

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
    /// Names at each point, in order, and weights at Score.
    listed: [Vec<(SmolStr, i64)>; Point::ALL.len()],
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
        let config = SchedulerConfig::default();
        let profiles = config.profiles(&Registry::in_tree()).expect("the default profile is complete");
        profiles.into_iter().next().expect("a configuration has a profile")
    }

    /// A profile from its configuration, in which the defaults are merged (`NewFramework`).
    ///
    /// # Errors
    /// Unknown plugins, plugins at points that they do not have, arguments that a plugin refuses, no or several ways
    /// to sort the queue, no way to bind, weights that overflow.
    pub fn build(config: &ProfileConfig, registry: &Registry) -> Result<Profile, ProfileError> {
        let none = Plugins::default();
        let plugins = config.plugins.as_ref().unwrap_or(&none);
        let mut profile = Profile {
            scheduler_name: config.scheduler_name.clone(),
            percentage_of_nodes_to_score: config.percentage_of_nodes_to_score,
            plugins: Vec::new(),
            at: Default::default(),
            listed: Default::default(),
            weights: Vec::new(),
            registered: Vec::new(),
        };
        let built = profile.make_plugins(config, plugins, registry)?;
        for point in UPSTREAM_ORDER {
            check_single(point, plugins.at(point), &built)?;
        }
        for point in UPSTREAM_ORDER {
            let names = expand(point, plugins, &built)?;
            let indices = names.iter().filter_map(|name| built.get(name.as_str())?.index);
            // A plugin of ours may need a point that upstream's does without.
            let own = built.values().filter(|plugin| !plugin.points.contains(&point)).filter_map(|p| p.index);
            let at = indices.chain(own).filter(|i| profile.plugins[*i].points().contains(&point)).collect();
            profile.at[point as usize] = at;
            profile.listed[point as usize] = names.into_iter().map(|name| (name, 0)).collect();
        }
        profile.check_ends()?;
        profile.weigh(plugins, &built)?;
        Ok(profile)
    }

    /// Makes all plugins that are enabled somewhere.
    fn make_plugins<'a>(
        &mut self,
        config: &ProfileConfig,
        plugins: &'a Plugins,
        registry: &Registry,
    ) -> Result<BTreeMap<&'a str, Built>, ProfileError> {
        let mut given = BTreeSet::new();
        if let Some(twice) = config.plugin_config.iter().find(|c| !given.insert(&c.name)) {
            return Err(ProfileError(format!("repeated config for plugin {}", twice.name)));
        }
        let mut built: BTreeMap<&str, Built> = BTreeMap::new();
        for name in plugins.enabled() {
            if built.contains_key(name.as_str()) || !registry.has(name) {
                continue;
            }
            let made = match registry.get(name) {
                Some(factory) => Some(
                    factory(config.args(name).unwrap_or(&Value::Null))
                        .map_err(|e| ProfileError(format!("initializing plugin {}: {e}", go_quote(name))))?,
                ),
                None => None,
            };
            let points = match (registry.points(name), &made) {
                (Some(declared), _) => declared.iter().copied().collect(),
                (None, Some(plugin)) => plugin.points().clone(),
                (None, None) => BTreeSet::new(),
            };
            let index = made.map(|plugin| self.insert(plugin));
            built.insert(name, Built { index, points });
        }
        Ok(built)
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

    fn check_ends(&self) -> Result<(), ProfileError> {
        let sorters = self.list(Point::QueueSort).count();
        let name = go_quote(&self.scheduler_name);
        if sorters != 1 {
            return Err(ProfileError(format!(
                "only one queue sort plugin required for profile with scheduler name {name}, but got {sorters}"
            )));
        }
        if self.list(Point::Bind).next().is_none() {
            return Err(ProfileError(format!(
                "at least one bind plugin is needed for profile with scheduler name {name}"
            )));
        }
        Ok(())
    }

    /// `getScoreWeights`: those given at Score come before those of multiPoint, none means 1.
    fn weigh(&mut self, plugins: &Plugins, built: &BTreeMap<&str, Built>) -> Result<(), ProfileError> {
        let mut weights: BTreeMap<&str, i64> = BTreeMap::new();
        let mut total = 0_i64;
        for PluginRef { name, weight } in plugins.score.enabled.iter().chain(&plugins.multi_point.enabled) {
            let Some(plugin) = built.get(name.as_str()) else { continue };
            if !plugin.points.contains(&Point::Score) || weights.contains_key(name.as_str()) {
                continue;
            }
            let weight = if *weight == 0 { 1 } else { i64::from(*weight) };
            weights.insert(name, weight);
            // Wraps as in Go: behind a negative weight, any other one is too much.
            if weight * MAX_NODE_SCORE > i64::MAX.wrapping_sub(total) {
                return Err(ProfileError("total score of Score plugins could overflow".to_owned()));
            }
            total = total.wrapping_add(weight * MAX_NODE_SCORE);
            if let Some(i) = plugin.index {
                self.weights[i] = weight;
            }
        }
        for (name, weight) in &mut self.listed[Point::Score as usize] {
            *weight = weights.get(name.as_str()).copied().unwrap_or(1);
        }
        Ok(())
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
        let name = self.plugins[index].name();
        for point in self.plugins[index].points().clone() {
            let (list, listed) = (&mut self.at[point as usize], &mut self.listed[point as usize]);
            if point == Point::QueueSort {
                list.clear();
                listed.clear();
            }
            // A binder that comes last would never be asked.
            let first = point == Point::Bind;
            list.insert(if first { 0 } else { list.len() }, index);
            let weight = if point == Point::Score { weight } else { 0 };
            listed.insert(if first { 0 } else { listed.len() }, (SmolStr::new_static(name), weight));
        }
        self
    }

    /// Names of the plugins at a point, in order, with their weights if it is Score (`ListPlugins`): also of those in-tree
    /// plugins that have nothing to do there in this implementation.
    pub fn list(&self, point: Point) -> impl Iterator<Item = (&str, i64)> {
        self.listed[point as usize].iter().map(|(name, weight)| (name.as_str(), *weight))
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

    /// There are extenders, and what helps pods that they refused is not known.
    pub(crate) fn register_extenders(&mut self) {
        if !self.registered.iter().any(|r| r.plugin == Rejectors::OTHERS) {
            self.registered.extend(Registered::of(Rejectors::OTHERS, ClusterEvent::ALL, false));
        }
    }

    /// Plugins by name. Names that are not here, like that of extenders, count as others.
    pub fn rejectors<'a>(&self, names: impl IntoIterator<Item = &'a SmolStr>) -> Rejectors {
        let number = |name: &SmolStr| self.plugins.iter().position(|p| p.name() == name);
        names.into_iter().map(|name| number(name).unwrap_or(Rejectors::OTHERS)).collect()
    }

    /// True if an event may wake pods that a plugin refused.
    pub fn wakes(&self, plugin: &str, event: ClusterEvent) -> bool {
        let plugins = self.rejectors([&SmolStr::new(plugin)]);
        self.registered.iter().any(|r| plugins.has(r.plugin) && r.event.matches(event))
    }
}

/// A plugin of a profile that is being built.
struct Built {
    /// Its number; `None` if the registry only knows its name.
    index: Option<usize>,
    /// Extension points at which it can be configured.
    points: BTreeSet<Point>,
}

/// `updatePluginList`: what is enabled for one point alone.
fn check_single(point: Point, set: &PluginSet, built: &BTreeMap<&str, Built>) -> Result<(), ProfileError> {
    let mut seen = BTreeSet::new();
    for PluginRef { name, .. } in &set.enabled {
        let quoted = go_quote(name);
        let Some(plugin) = built.get(name.as_str()) else { return Err(absent(point, name)) };
        if !plugin.points.contains(&point) {
            return Err(ProfileError(format!("plugin {quoted} does not extend {point:?}Plugin plugin")));
        }
        if !seen.insert(name) {
            return Err(twice(point, name));
        }
    }
    Ok(())
}

fn absent(point: Point, name: &str) -> ProfileError {
    ProfileError(format!("{point:?}Plugin {} does not exist", go_quote(name)))
}

fn twice(point: Point, name: &str) -> ProfileError {
    ProfileError(format!("plugin {} already registered as \"{point:?}Plugin\"", go_quote(name)))
}

/// `expandMultiPointPlugins` for one point: first the plugins that it overrides, in its own order, then the others of
/// multiPoint, then its further ones.
fn expand(
    point: Point,
    plugins: &Plugins,
    built: &BTreeMap<&str, Built>,
) -> Result<Vec<SmolStr>, ProfileError> {
    let set = plugins.at(point);
    let mut single: Vec<&SmolStr> = set.enabled.iter().map(|p| &p.name).collect();
    let (mut overridden, mut others) = (Vec::new(), Vec::new());
    if !set.disables("*") {
        for PluginRef { name, .. } in &plugins.multi_point.enabled {
            let Some(plugin) = built.get(name.as_str()) else { return Err(absent(point, name)) };
            if !plugin.points.contains(&point) || set.disables(name) {
                continue;
            }
            if single.contains(&name) {
                overridden.push(name);
            } else if others.contains(&name) {
                return Err(twice(point, name));
            } else {
                others.push(name);
            }
        }
    }
    let mut list: Vec<&SmolStr> = single.iter().filter(|name| overridden.contains(name)).copied().collect();
    list.extend(others);
    single.retain(|name| !overridden.contains(name));
    list.extend(single);
    Ok(list.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(enabled: &[(&str, i32)], disabled: &[&str]) -> PluginSet {
        let plugin = |name: &str, weight| PluginRef { name: SmolStr::new(name), weight };
        PluginSet {
            enabled: enabled.iter().map(|(n, w)| plugin(n, *w)).collect(),
            disabled: disabled.iter().map(|n| plugin(n, 0)).collect(),
        }
    }

    fn build(plugins: &Plugins) -> Result<Profile, ProfileError> {
        let plugins = Some(plugins.clone());
        let config = ProfileConfig { scheduler_name: "s".into(), plugins, ..ProfileConfig::default() };
        Profile::build(&config.with_defaults(), &Registry::in_tree())
    }

    fn scores(profile: &Profile) -> Vec<(&str, i64)> {
        profile.list(Point::Score).collect()
    }

    #[test]
    fn single_points_override_and_come_first() {
        let profile = build(&Plugins {
            multi_point: set(&[("TaintToleration", 9)], &["NodeResourcesFit"]),
            score: set(&[("ImageLocality", 7)], &["NodeAffinity", "VolumeBinding"]),
            ..Plugins::default()
        });
        let profile = profile.expect("a profile");
        let expected = [
            ("ImageLocality", 7),
            ("TaintToleration", 9),
            ("PodTopologySpread", 2),
            ("InterPodAffinity", 2),
            ("NodeResourcesBalancedAllocation", 1),
        ];
        assert_eq!(scores(&profile), expected);
        // What runs is what is listed, as far as it exists.
        let running =
            profile.at(Point::Score).iter().map(|i| (profile.plugin(*i).name(), profile.weight(*i)));
        let listed = expected.into_iter().filter(|(name, _)| Registry::in_tree().get(name).is_some());
        assert_eq!(running.collect::<Vec<_>>(), listed.collect::<Vec<_>>());
    }

    #[test]
    fn points_that_only_our_plugins_have_are_theirs_wherever_they_are_enabled() {
        let plugins = Plugins {
            multi_point: set(&[("PrioritySort", 0), ("DefaultBinder", 0)], &["*"]),
            score: set(&[("ImageLocality", 0)], &[]),
            ..Plugins::default()
        };
        let profile = build(&plugins).expect("a profile");
        assert_eq!(profile.list(Point::PreScore).count(), 0);
        let running = profile.at(Point::PreScore).iter().map(|i| profile.plugin(*i).name());
        assert_eq!(running.collect::<Vec<_>>(), ["ImageLocality"]);
    }

    #[test]
    fn profiles_that_cannot_be() {
        let multi = |s| Plugins { multi_point: s, ..Plugins::default() };
        let filter = |s| Plugins { filter: s, ..Plugins::default() };
        let score = |s| Plugins { score: s, ..Plugins::default() };
        let none = || set(&[], &["*"]);
        for (plugins, text) in [
            (multi(set(&[("Nope", 0)], &[])), "PreFilterPlugin \"Nope\" does not exist"),
            (multi(set(&[("Fo\"o", 0)], &["*"])), "PreFilterPlugin \"Fo\\\"o\" does not exist"),
            (
                multi(set(&[("NodeName", 0), ("NodeName", 0)], &[])),
                "plugin \"NodeName\" already registered as \"FilterPlugin\"",
            ),
            (
                filter(set(&[("NodeName", 0), ("NodeName", 0)], &[])),
                "plugin \"NodeName\" already registered as \"FilterPlugin\"",
            ),
            (
                multi(set(&[], &["PrioritySort"])),
                "only one queue sort plugin required for profile with scheduler name \"s\", but got 0",
            ),
            (
                multi(set(&[], &["DefaultBinder"])),
                "at least one bind plugin is needed for profile with scheduler name \"s\"",
            ),
            (
                Plugins { bind: none(), ..Plugins::default() },
                "at least one bind plugin is needed for profile with scheduler name \"s\"",
            ),
            (
                filter(set(&[("ImageLocality", 0)], &[])),
                "plugin \"ImageLocality\" does not extend FilterPlugin plugin",
            ),
            (score(set(&[("ImageLocality", -5)], &[])), "total score of Score plugins could overflow"),
        ] {
            assert_eq!(build(&plugins).expect_err("must be refused").0, text);
        }
    }

    #[test]
    fn a_negative_weight_that_comes_last_passes_as_upstream() {
        let plugins = Plugins { multi_point: set(&[("ImageLocality", -1)], &[]), ..Plugins::default() };
        assert_eq!(scores(&build(&plugins).expect("a profile")).last(), Some(&("ImageLocality", -1)));
    }
}
