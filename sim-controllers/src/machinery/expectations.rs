//! Expectations: what a controller has asked for and not seen yet (`controller.UIDTrackingControllerExpectations`).
//!
//! While creations or deletions are outstanding a controller must not decide again on a cache that does not show them.

use rustc_hash::{FxHashMap, FxHashSet};
use sim_core::api::meta::Key;
use sim_core::time::{Span, Time, mins};

/// `ExpectationsTimeout`.
pub const TIMEOUT: Span = mins(5);

#[derive(Clone, Debug, Default)]
struct Expected {
    creations: i64,
    deletions: i64,
    /// The pods whose deletion is awaited, so that a later event of the same pod is not counted twice.
    deleting: FxHashSet<Key>,
    since: Time,
}

/// Expectations of one controller, by the key of the owning object.
#[derive(Clone, Debug, Default)]
pub struct Expectations(FxHashMap<Key, Expected>);

impl Expectations {
    /// True if nothing is outstanding, nothing was ever expected, or the expectation is too old to be trusted.
    pub fn satisfied(&self, owner: &Key, now: Time) -> bool {
        self.0.get(owner).is_none_or(|e| (e.creations <= 0 && e.deletions <= 0) || now - e.since > TIMEOUT)
    }

    /// `n` creations have been asked for.
    pub fn expect_creations(&mut self, owner: &Key, n: usize, now: Time) {
        self.0.insert(owner.clone(), Expected { creations: n as i64, since: now, ..Expected::default() });
    }

    /// These deletions have been asked for.
    pub fn expect_deletions(&mut self, owner: &Key, pods: impl IntoIterator<Item = Key>, now: Time) {
        let deleting: FxHashSet<Key> = pods.into_iter().collect();
        let deletions = deleting.len() as i64;
        self.0.insert(owner.clone(), Expected { creations: 0, deletions, deleting, since: now });
    }

    /// Sets both at once (`SetExpectations`).
    pub fn expect(&mut self, owner: &Key, creations: usize, deletions: usize, now: Time) {
        let e = Expected {
            creations: creations as i64,
            deletions: deletions as i64,
            since: now,
            ..Expected::default()
        };
        self.0.insert(owner.clone(), e);
    }

    /// A creation was seen, or failed.
    pub fn creation_observed(&mut self, owner: &Key) {
        if let Some(e) = self.0.get_mut(owner) {
            e.creations -= 1;
        }
    }

    /// The deletion of a tracked pod was seen, or failed.
    pub fn deletion_observed(&mut self, owner: &Key, pod: &Key) {
        if let Some(e) = self.0.get_mut(owner)
            && e.deleting.remove(pod)
        {
            e.deletions -= 1;
        }
    }

    /// A deletion was seen, or failed, for controllers that only count.
    pub fn deletion_counted(&mut self, owner: &Key) {
        if let Some(e) = self.0.get_mut(owner) {
            e.deletions -= 1;
        }
    }

    /// The owner is gone.
    pub fn forget(&mut self, owner: &Key) {
        self.0.remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creations_are_awaited_until_seen_or_too_old() {
        let (mut e, rs) = (Expectations::default(), Key::new("d", "rs"));
        assert!(e.satisfied(&rs, Time::ZERO));
        e.expect_creations(&rs, 2, Time::ZERO);
        e.creation_observed(&rs);
        assert!(!e.satisfied(&rs, Time::ZERO + TIMEOUT));
        assert!(e.satisfied(&rs, Time::ZERO + TIMEOUT + Span(1)));
        e.creation_observed(&rs);
        assert!(e.satisfied(&rs, Time::ZERO));
    }

    #[test]
    fn a_deletion_counts_once() {
        let (mut e, rs) = (Expectations::default(), Key::new("d", "rs"));
        let (a, b) = (Key::new("d", "a"), Key::new("d", "b"));
        e.expect_deletions(&rs, [a.clone(), b.clone()], Time::ZERO);
        e.deletion_observed(&rs, &a);
        e.deletion_observed(&rs, &a);
        assert!(!e.satisfied(&rs, Time::ZERO));
        e.deletion_observed(&rs, &b);
        assert!(e.satisfied(&rs, Time::ZERO));
    }
}
