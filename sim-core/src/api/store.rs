//! The store: one revision counter, optimistic concurrency, a compacted history, and watches fed by routing.
//!
//! Invariant: the revision grows by exactly one with every commit, and an object's `resource_version` is the revision
//! of its last write. Objects are immutable and shared, so a watch event costs two pointers.

use std::collections::VecDeque;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::kind::Kind;
use super::meta::Key;
use super::object::Object;
use super::watch::{Routing, WatcherId, Watchers};
use crate::api::request::{Change, ChangeKind};
use crate::engine::component::Watch;
use crate::time::Time;

type Shelf = IndexMap<Key, Arc<Object>, FxBuildHasher>;

/// Changes kept for watches that start from an older revision (upstream's watch cache starts at about this size).
pub const DEFAULT_HISTORY: usize = 1024;

/// A commit, as the history keeps it.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Revision of the commit.
    pub revision: u64,
    /// What it did.
    pub change: Change,
}

/// Objects by kind and key.
#[derive(Clone, Debug)]
pub struct Store {
    revision: u64,
    shelves: Vec<Shelf>,
    history: VecDeque<Committed>,
    history_limit: usize,
    /// Revision up to which the history is gone.
    compacted: u64,
    /// Watches and what waits for them.
    pub watchers: Watchers,
}

impl Default for Store {
    fn default() -> Self {
        Store {
            revision: 0,
            shelves: Vec::new(),
            history: VecDeque::new(),
            history_limit: DEFAULT_HISTORY,
            compacted: 0,
            watchers: Watchers::default(),
        }
    }
}

impl Store {
    /// Revision of the last commit.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Sets how many changes are kept for late watches; 0 keeps none.
    pub fn set_history_limit(&mut self, changes: usize) {
        self.history_limit = changes;
        self.compact_to_limit();
    }

    /// An object.
    pub fn get(&self, kind: Kind, key: &Key) -> Option<&Arc<Object>> {
        self.shelves.get(kind.index())?.get(key)
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.shelves.get(kind.index()).map_or(0, Shelf::len)
    }

    /// All objects of a kind in no promised (but deterministic) order: for counting and searching.
    pub fn iter(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.shelves.get(kind.index()).into_iter().flat_map(Shelf::values)
    }

    /// All objects of a kind as a LIST has them: by namespace and name.
    pub fn list(&self, kind: Kind) -> Vec<Arc<Object>> {
        let mut all: Vec<_> = self.iter(kind).cloned().collect();
        all.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        all
    }

    /// Kinds that have objects, in order of their numbers.
    pub fn kinds_in_use(&self) -> impl Iterator<Item = Kind> {
        self.shelves.iter().flat_map(|shelf| shelf.values().next()).map(|object| object.kind)
    }

    /// Writes an object (new or changed): stamps the next revision and routes the change.
    pub fn put(&mut self, now: Time, mut object: Object) -> Arc<Object> {
        self.revision += 1;
        object.meta.resource_version = self.revision;
        let object = Arc::new(object);
        let old = self.shelf(object.kind).insert(object.key().clone(), object.clone());
        let kind = if old.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        self.commit(now, Change { kind, old, new: object.clone() });
        object
    }

    /// Removes an object. The change carries its last state under the revision of the removal.
    pub fn remove(&mut self, now: Time, kind: Kind, key: &Key) -> Option<Arc<Object>> {
        let old = self.shelves.get_mut(kind.index())?.swap_remove(key)?;
        self.revision += 1;
        let mut last = Object::clone(&old);
        last.meta.resource_version = self.revision;
        let last = Arc::new(last);
        self.commit(now, Change { kind: ChangeKind::Deleted, old: Some(old), new: last.clone() });
        Some(last)
    }

    fn shelf(&mut self, kind: Kind) -> &mut Shelf {
        if self.shelves.len() <= kind.index() {
            self.shelves.resize_with(kind.index() + 1, Shelf::default);
        }
        &mut self.shelves[kind.index()]
    }

    fn commit(&mut self, now: Time, change: Change) {
        self.watchers.route(now, &change);
        if self.history_limit == 0 {
            self.compacted = self.revision;
            return;
        }
        self.history.push_back(Committed { revision: self.revision, change });
        self.compact_to_limit();
    }

    fn compact_to_limit(&mut self) {
        while self.history.len() > self.history_limit {
            if let Some(gone) = self.history.pop_front() {
                self.compacted = gone.revision;
            }
        }
        if self.history_limit == 0 {
            self.compacted = self.revision;
        }
    }

    /// Forgets the history up to a revision (etcd's compaction): watches from before it answer 410.
    pub fn compact(&mut self, revision: u64) {
        while self.history.front().is_some_and(|c| c.revision <= revision) {
            self.history.pop_front();
        }
        self.compacted = self.compacted.max(revision.min(self.revision));
    }

    /// Opens a watch. Without a revision, existing objects come first as `Added`, in list order; with one, the changes
    /// after it, or `None` if they are compacted (410).
    pub fn watch(
        &mut self,
        now: Time,
        filter: Watch,
        routing: Routing,
        since: Option<u64>,
    ) -> Option<WatcherId> {
        let kind = filter.kind;
        let backlog: Vec<Change> = match since {
            None => {
                let added = |new| Change { kind: ChangeKind::Added, old: None, new };
                self.list(kind).into_iter().map(added).collect()
            }
            Some(revision) if revision < self.compacted => return None,
            Some(revision) => self
                .history
                .iter()
                .filter(|c| c.revision > revision && c.change.new.kind == kind)
                .map(|c| c.change.clone())
                .collect(),
        };
        let id = self.watchers.open(filter, routing);
        for change in &backlog {
            self.watchers.offer(now, id, change);
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::meta::Meta;
    use crate::api::object::{Body, Pod};

    fn pod(name: &str) -> Object {
        Object::new(Meta::named(Key::new("default", name)), Body::Pod(Pod::default()))
    }

    #[test]
    fn every_commit_is_one_revision_and_lists_are_sorted() {
        let mut store = Store::default();
        for name in ["c", "a", "b"] {
            store.put(Time::ZERO, pod(name));
        }
        assert_eq!(store.revision(), 3);
        let last = store.remove(Time::ZERO, Kind::POD, &Key::new("default", "c")).expect("is there");
        assert_eq!(last.meta.resource_version, 4);
        let names: Vec<_> = store.list(Kind::POD).iter().map(|o| o.meta.name().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(store.remove(Time::ZERO, Kind::POD, &Key::new("default", "c")).is_none());
        assert_eq!(store.revision(), 4);
    }

    #[test]
    fn late_watches_get_the_history_or_410() {
        let mut store = Store::default();
        for i in 0..5 {
            store.put(Time::ZERO, pod(&format!("p{i}")));
        }
        let routing = Routing::external();
        let id =
            store.watch(Time::ZERO, Watch::all(Kind::POD), routing.clone(), Some(3)).expect("still there");
        let got = store.watchers.take(Time::ZERO, id);
        assert_eq!(got.iter().map(|c| c.new.meta.resource_version).collect::<Vec<_>>(), [4, 5]);
        store.compact(4);
        assert!(store.watch(Time::ZERO, Watch::all(Kind::POD), routing.clone(), Some(3)).is_none());
        assert!(store.watch(Time::ZERO, Watch::all(Kind::POD), routing, Some(4)).is_some());
    }
}
