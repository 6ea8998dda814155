//! Objects beside nodes and pods that plugins look up: what listers and assume caches are upstream
//! (`pkg/scheduler/util/assumecache`).

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::object::Object;

#[derive(Clone, Debug)]
struct Entry {
    /// As last seen.
    seen: Arc<Object>,
    /// As assumed, until it is seen in this or a later version, or restored.
    assumed: Option<Arc<Object>>,
}

#[derive(Clone, Debug, Default)]
struct Table {
    entries: BTreeMap<Key, Entry>,
    generation: u64,
}

/// Objects by kind, namespace and name.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    tables: BTreeMap<Kind, Table>,
}

impl Objects {
    /// An object as it is assumed to be, or else as last seen.
    pub fn get(&self, kind: Kind, key: &Key) -> Option<&Arc<Object>> {
        let entry = self.tables.get(&kind)?.entries.get(key)?;
        Some(entry.assumed.as_ref().unwrap_or(&entry.seen))
    }

    /// An object as last seen, whatever is assumed.
    pub fn seen(&self, kind: Kind, key: &Key) -> Option<&Arc<Object>> {
        Some(&self.tables.get(&kind)?.entries.get(key)?.seen)
    }

    /// All objects of a kind as assumed or seen, by namespace and name.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        let entries = self.tables.get(&kind).into_iter().flat_map(|table| table.entries.values());
        entries.map(|entry| entry.assumed.as_ref().unwrap_or(&entry.seen))
    }

    /// Those of a namespace, by name.
    pub fn in_namespace<'a>(
        &'a self,
        kind: Kind,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        let table = self.tables.get(&kind);
        let entries = table.into_iter().flat_map(move |table| table.entries.range(Key::new(namespace, "")..));
        let entries = entries.take_while(move |(key, _)| key.namespace == namespace);
        entries.map(|(_, entry)| entry.assumed.as_ref().unwrap_or(&entry.seen))
    }

    /// Rises with every change of an object of that kind, seen or assumed.
    pub fn generation(&self, kind: Kind) -> u64 {
        self.tables.get(&kind).map_or(0, |table| table.generation)
    }

    /// An object was seen. As in upstream's assume cache, a version that is not newer than an assumed one is ignored.
    pub fn set(&mut self, object: Arc<Object>) {
        let table = self.tables.entry(object.kind).or_default();
        let key = object.meta.key.clone();
        let version = object.meta.resource_version;
        let assumed = table.entries.get(&key).and_then(|entry| entry.assumed.as_ref());
        if assumed.is_some_and(|assumed| version <= assumed.meta.resource_version) {
            return;
        }
        table.generation += 1;
        table.entries.insert(key, Entry { seen: object, assumed: None });
    }

    /// An object is gone.
    pub fn remove(&mut self, kind: Kind, key: &Key) {
        if let Some(table) = self.tables.get_mut(&kind) {
            table.generation += 1;
            table.entries.remove(key);
        }
    }

    /// Goes on as if the object were this one. False if it is not known.
    pub fn assume(&mut self, object: Arc<Object>) -> bool {
        let Some(table) = self.tables.get_mut(&object.kind) else { return false };
        let Some(entry) = table.entries.get_mut(&object.meta.key) else { return false };
        table.generation += 1;
        entry.assumed = Some(object);
        true
    }

    /// Forgets what was assumed of an object.
    pub fn restore(&mut self, kind: Kind, key: &Key) {
        let Some(table) = self.tables.get_mut(&kind) else { return };
        if let Some(entry) = table.entries.get_mut(key)
            && entry.assumed.take().is_some()
        {
            table.generation += 1;
        }
    }
}
