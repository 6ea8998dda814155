//! Plugins by name, for configurations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use smol_str::SmolStr;

use super::erased::AnyPlugin;

/// Makes a plugin from its arguments (`pluginConfig[].args`, null if there are none).
pub type Factory = Arc<dyn Fn(&Value) -> Result<Arc<dyn AnyPlugin>, String> + Send + Sync>;

/// Factories by plugin name.
#[derive(Clone, Default)]
pub struct Registry {
    factories: BTreeMap<SmolStr, Factory>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.factories.keys()).finish()
    }
}

impl Registry {
    /// The plugins that come with the scheduler.
    pub fn in_tree() -> Registry {
        let mut registry = Registry::default();
        crate::plugins::register(&mut registry);
        registry
    }

    /// Adds a plugin, or replaces the one of that name.
    pub fn register<F>(&mut self, name: &str, factory: F)
    where
        F: Fn(&Value) -> Result<Arc<dyn AnyPlugin>, String> + Send + Sync + 'static,
    {
        self.factories.insert(SmolStr::new(name), Arc::new(factory));
    }

    /// The factory of a plugin.
    pub fn get(&self, name: &str) -> Option<&Factory> {
        self.factories.get(name)
    }
}
