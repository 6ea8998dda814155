//! Plugins by name, for configurations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use smol_str::SmolStr;

use super::erased::{AnyPlugin, Point};

/// Makes a plugin from its arguments (`pluginConfig[].args`, null if there are none).
pub type Factory = Arc<dyn Fn(&Value) -> Result<Arc<dyn AnyPlugin>, String> + Send + Sync>;

/// Factories by plugin name.
#[derive(Clone, Default)]
pub struct Registry {
    entries: BTreeMap<SmolStr, Entry>,
}

#[derive(Clone, Default)]
struct Entry {
    /// Extension points of an in-tree plugin. `None`: those that the plugin has.
    points: Option<&'static [Point]>,
    /// `None`: an in-tree plugin that does not exist here; it can be configured and does nothing.
    factory: Option<Factory>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

impl Registry {
    /// The plugins that come with the scheduler.
    pub fn in_tree() -> Registry {
        let mut registry = Registry::default();
        crate::plugins::register(&mut registry);
        for (name, points) in IN_TREE {
            registry.entries.entry(SmolStr::new_static(name)).or_default().points = Some(points);
        }
        registry
    }

    /// Adds a plugin, or replaces the one of that name.
    pub fn register<F>(&mut self, name: &str, factory: F)
    where
        F: Fn(&Value) -> Result<Arc<dyn AnyPlugin>, String> + Send + Sync + 'static,
    {
        let entry = Entry { points: None, factory: Some(Arc::new(factory)) };
        self.entries.insert(SmolStr::new(name), entry);
    }

    /// The factory of a plugin.
    pub fn get(&self, name: &str) -> Option<&Factory> {
        self.entries.get(name)?.factory.as_ref()
    }

    /// True if a plugin of that name can be configured.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Extension points at which an in-tree plugin can be configured.
    pub fn points(&self, name: &str) -> Option<&'static [Point]> {
        self.entries.get(name)?.points
    }
}

/// The in-tree plugins and the extension points that they have upstream (`framework/plugins/registry.go`). Ours may lack
/// PreFilter and PreScore where their `Cycle` does the same, or have them where upstream's look things up.
const IN_TREE: &[(&str, &[Point])] = {
    use Point::*;
    &[
        ("DefaultBinder", &[Bind]),
        ("DefaultPreemption", &[PreEnqueue, PostFilter]),
        ("DynamicResources", &[PreEnqueue, PreFilter, Filter, PostFilter, Reserve, PreBind]),
        ("ImageLocality", &[Score]),
        ("InterPodAffinity", &[PreFilter, Filter, PreScore, Score]),
        ("NodeAffinity", &[PreFilter, Filter, PreScore, Score]),
        ("NodeName", &[Filter]),
        ("NodePorts", &[PreFilter, Filter]),
        ("NodeResourcesBalancedAllocation", &[PreScore, Score]),
        ("NodeResourcesFit", &[PreFilter, Filter, PreScore, Score]),
        ("NodeUnschedulable", &[Filter]),
        ("NodeVolumeLimits", &[PreFilter, Filter]),
        ("PodTopologySpread", &[PreFilter, Filter, PreScore, Score]),
        ("PrioritySort", &[QueueSort]),
        ("SchedulingGates", &[PreEnqueue]),
        ("TaintToleration", &[Filter, PreScore, Score]),
        ("VolumeBinding", &[PreFilter, Filter, PreScore, Score, Reserve, PreBind]),
        ("VolumeRestrictions", &[PreFilter, Filter]),
        ("VolumeZone", &[PreFilter, Filter]),
    ]
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn plugins_have_upstreams_extension_points() {
        let registry = Registry::in_tree();
        for (name, entry) in &registry.entries {
            let declared: BTreeSet<Point> =
                entry.points.unwrap_or_else(|| panic!("{name} is not in tree")).iter().copied().collect();
            let Some(factory) = &entry.factory else { continue };
            let made = factory(&Value::Null).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(made.name(), name);
            let differ: Vec<_> = declared
                .symmetric_difference(made.points())
                .filter(|p| !matches!(p, Point::PreFilter | Point::PreScore))
                .collect();
            assert!(differ.is_empty(), "{name}: {differ:?}");
        }
    }
}
