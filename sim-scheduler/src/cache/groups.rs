//! Pods by the value of a label, for plugins that schedule them together.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;
use sim_core::api::meta::{Labels, Uid};
use smol_str::SmolStr;

/// Pods of one namespace with one value of a label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// All that exist and have not ended, on a node or not.
    pub members: BTreeSet<Uid>,
    /// How many of them are on a node, or assumed to be.
    pub placed: usize,
}

/// Groups by label key, namespace and value, of the keys that plugins asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    keys: Vec<&'static str>,
    groups: FxHashMap<(usize, SmolStr, SmolStr), Group>,
}

impl Groups {
    pub(super) fn watch(&mut self, key: &'static str) {
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }

    pub(super) fn get(&self, key: &str, namespace: &SmolStr, value: &str) -> Option<&Group> {
        let key = self.keys.iter().position(|known| *known == key)?;
        self.groups.get(&(key, namespace.clone(), SmolStr::new(value)))
    }

    /// Changes the groups that a pod is in; those that become empty are forgotten.
    pub(super) fn change(&mut self, namespace: &SmolStr, labels: &Labels, change: impl Fn(&mut Group)) {
        for (i, key) in self.keys.iter().enumerate() {
            let Some(value) = labels.get(*key) else { continue };
            let place = (i, namespace.clone(), SmolStr::new(value));
            let group = self.groups.entry(place.clone()).or_default();
            change(group);
            if group.members.is_empty() && group.placed == 0 {
                self.groups.remove(&place);
            }
        }
    }
}
