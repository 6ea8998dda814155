//! Uids that were met lately: caches of what is known to be gone (`absentOwnerCache`, `uidCache`).

use std::collections::VecDeque;

use rustc_hash::FxHashSet;
use sim_core::api::meta::Uid;

/// How many are remembered (`maxUIDCacheEntries` and its like).
const LIMIT: usize = 500;

/// The last uids that were added, each once.
// Upstream's caches forget what was not asked for longest; for what is gone that is as good as what was added first.
#[derive(Clone, Debug, Default)]
pub struct RecentUids {
    known: FxHashSet<Uid>,
    order: VecDeque<Uid>,
}

impl RecentUids {
    /// Adds one; the oldest is forgotten if there are too many.
    pub fn insert(&mut self, uid: Uid) {
        if self.known.insert(uid) {
            self.order.push_back(uid);
        }
        if self.order.len() > LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// True if it is remembered.
    pub fn contains(&self, uid: Uid) -> bool {
        self.known.contains(&uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut recent = RecentUids::default();
        (0..501).chain([1]).for_each(|n| recent.insert(Uid(n)));
        assert!(!recent.contains(Uid(0)));
        assert!(recent.contains(Uid(1)) && recent.contains(Uid(500)));
    }
}
