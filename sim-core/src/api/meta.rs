//! Object metadata in its compact form, and names for things that many objects share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::time::Time;

/// Labels or annotations: ordered by key, as the wire has them.
pub type Labels = BTreeMap<String, String>;

/// An object's identity over time: a UUID as a number, so that numeric order is upstream's string order.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u128);

impl Uid {
    /// Reads a UUID. Any other text (older tools and tests use some) becomes a stable hash of itself.
    pub fn parse(text: &str) -> Uid {
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        let is_uuid = text.len() == 36 && hex.len() == 32;
        match u128::from_str_radix(&hex, 16) {
            Ok(n) if is_uuid => Uid(n),
            _ => Uid(xxhash_rust::xxh3::xxh3_128(text.as_bytes())),
        }
    }

    /// True for the absent uid of an object that was not created yet.
    pub const fn is_unset(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            (n >> 80) & 0xffff,
            (n >> 64) & 0xffff,
            (n >> 48) & 0xffff,
            n & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Namespace and name. The namespace is empty for cluster-scoped objects. Orders as a list does.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Namespace, or empty.
    pub namespace: SmolStr,
    /// Name.
    pub name: SmolStr,
}

impl Key {
    /// A key of a namespaced object.
    pub fn new(namespace: impl Into<SmolStr>, name: impl Into<SmolStr>) -> Key {
        Key { namespace: namespace.into(), name: name.into() }
    }

    /// A key of a cluster-scoped object.
    pub fn cluster(name: impl Into<SmolStr>) -> Key {
        Key { namespace: SmolStr::default(), name: name.into() }
    }
}

/// `namespace/name`, or `name` if cluster-scoped.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// `metadata.ownerReferences[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerReference {
    /// e.g. `apps/v1`.
    pub api_version: SmolStr,
    /// e.g. `ReplicaSet`.
    pub kind: SmolStr,
    /// Name, in the dependent's own namespace or cluster-scoped.
    pub name: SmolStr,
    /// Must match, else the owner counts as absent.
    pub uid: Uid,
    /// The managing owner; at most one.
    pub controller: bool,
    /// `blockOwnerDeletion`.
    pub block_owner_deletion: bool,
}

/// `deletionTimestamp` and `deletionGracePeriodSeconds`, which are set together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// When the grace ends (request time + grace), whole seconds.
    pub timestamp: Time,
    /// Grace in seconds; only ever shortened.
    pub grace_period_seconds: i64,
}

/// `metadata`. Cloning is cheap: maps are shared and names are inline or shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// Namespace and name.
    pub key: Key,
    /// `generateName`, kept as upstream keeps it; empty if absent.
    pub generate_name: SmolStr,
    /// Set by the API server on create.
    pub uid: Uid,
    /// Revision of the last write; 0 = "not given" in requests.
    pub resource_version: u64,
    /// Counts changes of the desired state.
    pub generation: i64,
    /// Whole seconds.
    pub creation_timestamp: Time,
    /// Set while the object is being deleted.
    pub deletion: Option<Deletion>,
    /// Shared between objects of one template.
    pub labels: Arc<Labels>,
    /// Shared between objects of one template.
    pub annotations: Arc<Labels>,
    /// Owners, in wire order.
    pub owner_references: SmallVec<[OwnerReference; 1]>,
    /// Finalizers, in wire order.
    pub finalizers: SmallVec<[SmolStr; 1]>,
}

impl Meta {
    /// Fresh metadata with just a key.
    pub fn named(key: Key) -> Meta {
        Meta { key, ..Meta::default() }
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// Namespace, empty if cluster-scoped.
    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// True once `deletionTimestamp` is set.
    pub fn is_deleting(&self) -> bool {
        self.deletion.is_some()
    }

    /// The managing owner (`metav1.GetControllerOf`).
    pub fn controller_of(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|o| o.controller)
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_round_trip() {
        let text = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
        assert_eq!(Uid::parse(text).to_string(), text);
        assert_ne!(Uid::parse("default/a"), Uid::parse("default/b"));
    }
}
