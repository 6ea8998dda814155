//! Sharing of equal parts between loaded objects: the pods of a dump mostly repeat a few specs and label sets.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use rustc_hash::{FxHashMap, FxHasher};

use super::tree::{Data, Node};
use crate::api::meta::Labels;
use crate::api::object::{Body, Object};

/// Parts seen so far. The hash of the tree only finds candidates; equality decides.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    specs: FxHashMap<u64, Vec<Arc<PodSpec>>>,
    labels: FxHashMap<u64, Vec<Arc<Labels>>>,
}

impl Shared {
    /// Replaces parts of an object by equal ones that were there before.
    pub(crate) fn share(&mut self, object: &mut Object, node: &Node<'_>) {
        if let (Body::Pod(pod), Some(spec)) = (&mut object.body, node.get("spec")) {
            intern(&mut self.specs, hash(spec, Some("nodeName")), &mut pod.spec);
        }
        let meta = &mut object.meta;
        for labels in [&mut meta.labels, &mut meta.annotations] {
            let mut hasher = FxHasher::default();
            labels.hash(&mut hasher);
            intern(&mut self.labels, hasher.finish(), labels);
        }
    }
}

fn intern<T: PartialEq>(seen: &mut FxHashMap<u64, Vec<Arc<T>>>, hash: u64, part: &mut Arc<T>) {
    let bucket = seen.entry(hash).or_default();
    match bucket.iter().find(|known| ***known == **part) {
        Some(known) => *part = known.clone(),
        None => bucket.push(part.clone()),
    }
}

fn hash(node: &Node<'_>, except: Option<&str>) -> u64 {
    let mut hasher = FxHasher::default();
    feed(node, except, &mut hasher);
    hasher.finish()
}

fn feed(node: &Node<'_>, except: Option<&str>, hasher: &mut FxHasher) {
    match &node.data {
        Data::Null => 0u8.hash(hasher),
        Data::Bool(b) => b.hash(hasher),
        Data::Int(n) => n.hash(hasher),
        Data::UInt(n) => n.hash(hasher),
        Data::Float { value, .. } => value.to_bits().hash(hasher),
        Data::Str(text) => text.hash(hasher),
        Data::Seq(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| feed(item, None, hasher));
        }
        Data::Map(entries) => {
            for entry in entries.iter().filter(|e| except.is_none_or(|k| e.key != k)) {
                entry.key.hash(hasher);
                feed(&entry.value, None, hasher);
            }
        }
    }
}
