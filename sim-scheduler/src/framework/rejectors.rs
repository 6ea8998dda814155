//! Sets of plugins, as small as the queue needs them.

use std::fmt;

/// Plugins of one profile by their numbers. From number 63 on they share one place, with everybody who is not a plugin of
/// the profile: real profiles have some twenty.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rejectors(u64);

impl Rejectors {
    /// Whoever is not one of the first 63 plugins.
    pub const OTHERS: usize = 63;

    fn bit(plugin: usize) -> u64 {
        1 << plugin.min(Rejectors::OTHERS)
    }

    /// Adds a plugin.
    pub fn insert(&mut self, plugin: usize) {
        self.0 |= Rejectors::bit(plugin);
    }

    /// True if the plugin is one of them.
    pub fn has(self, plugin: usize) -> bool {
        self.0 & Rejectors::bit(plugin) != 0
    }

    /// True if both have a plugin in common.
    pub fn intersects(self, other: Rejectors) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    #[must_use]
    pub fn union(self, other: Rejectors) -> Rejectors {
        Rejectors(self.0 | other.0)
    }

    /// True for no plugin.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their numbers, rising.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..=Rejectors::OTHERS).filter(move |plugin| self.has(*plugin))
    }
}

impl FromIterator<usize> for Rejectors {
    fn from_iter<I: IntoIterator<Item = usize>>(plugins: I) -> Rejectors {
        let mut set = Rejectors::default();
        plugins.into_iter().for_each(|plugin| set.insert(plugin));
        set
    }
}

impl fmt::Debug for Rejectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let set: Rejectors = [3, 0, 900].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 3, Rejectors::OTHERS]);
        assert!(set.has(3) && !set.has(2) && set.has(64));
        let other: Rejectors = [2].into_iter().collect();
        assert!(!set.intersects(other) && set.union(other).has(2) && Rejectors::default().is_empty());
    }
}
