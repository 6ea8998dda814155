//! The log: every commit, decision and lifecycle step is one typed record with a running hash.
//!
//! A record is encoded once, into an explicit, versioned, length-prefixed form; the hash runs over those bytes, so the
//! digest never depends on `Debug` output, struct layout, or what is kept or printed.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

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

impl CommitVerb {
    fn from_byte(byte: u8) -> Option<CommitVerb> {
        use CommitVerb::*;
        [Create, Update, Status, Bind, MarkDeleted, Delete].into_iter().find(|v| *v as u8 == byte)
    }
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

/// What of the log is kept in memory beside its hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The hash and the count only.
    #[default]
    Digest,
    /// Every record, until [`Log::take`] fetches them.
    Records,
}

/// Bytes gathered before they are hashed.
const CHUNK: usize = 1 << 14;

/// The running log: its hash is XXH3-128 over the encoded records.
#[derive(Clone)]
pub struct Log {
    count: u64,
    hasher: Xxh3,
    /// Encoded, not hashed yet.
    fresh: Vec<u8>,
    kept: Vec<u8>,
    keep: Keep,
}

impl Default for Log {
    fn default() -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(&LOG_VERSION.to_le_bytes());
        Log { count: 0, hasher, fresh: Vec::with_capacity(CHUNK + 512), kept: Vec::new(), keep: Keep::Digest }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log {{ count: {}, digest: {} }}", self.count, self.digest())
    }
}

impl Log {
    /// Appends a record.
    #[inline]
    pub fn append(&mut self, at: Time, record: Record<'_>) {
        self.count += 1;
        encode(&mut self.fresh, at, &record);
        if self.fresh.len() >= CHUNK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.hasher.update(&self.fresh);
        if self.keep == Keep::Records {
            self.kept.extend_from_slice(&self.fresh);
        }
        self.fresh.clear();
    }

    /// Says what to keep from now on. Never changes the digest.
    pub fn set_keep(&mut self, keep: Keep) {
        self.flush();
        self.keep = keep;
    }

    /// Records so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The digest of everything so far, as 32 hex digits.
    ///
    /// ```
    /// use sim_core::engine::log::{Log, Record};
    /// use sim_core::time::Time;
    /// let (mut a, b) = (Log::default(), Log::default());
    /// assert_eq!(a.digest(), b.digest());
    /// a.append(Time::ZERO, Record::Note { by: "test", text: "hello" });
    /// assert_ne!(a.digest(), b.digest());
    /// ```
    pub fn digest(&self) -> String {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.fresh);
        format!("{:032x}", hasher.digest128())
    }

    /// The kept records, encoded; read them with [`records`].
    pub fn kept(&mut self) -> &[u8] {
        self.flush();
        &self.kept
    }

    /// Fetches the kept records, encoded, and forgets them: for streaming a long log out.
    pub fn take(&mut self) -> Vec<u8> {
        self.flush();
        std::mem::take(&mut self.kept)
    }
}

#[inline]
fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut n = text.len();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out.extend_from_slice(text.as_bytes());
}

#[inline]
fn encode(out: &mut Vec<u8>, at: Time, record: &Record<'_>) {
    let mut head = |tag: u8| {
        let mut bytes = [tag; 9];
        bytes[1..].copy_from_slice(&at.0.to_le_bytes());
        out.extend_from_slice(&bytes);
    };
    match *record {
        Record::Commit { verb, kind, namespace, name, uid, revision } => {
            head(1);
            out.push(verb as u8);
            [kind, namespace, name].iter().for_each(|t| put_text(out, t));
            out.extend_from_slice(&uid.0.to_le_bytes());
            out.extend_from_slice(&revision.to_le_bytes());
        }
        Record::Refused { by, code, message } => {
            head(2);
            out.extend_from_slice(&code.to_le_bytes());
            [by, message].iter().for_each(|t| put_text(out, t));
        }
        Record::Event { kind, namespace, name, uid, event_type, reason, message } => {
            head(3);
            out.push(event_type as u8);
            [kind, namespace, name, reason, message].iter().for_each(|t| put_text(out, t));
            out.extend_from_slice(&uid.0.to_le_bytes());
        }
        Record::Decision { namespace, name, node, feasible, evaluated, score } => {
            head(4);
            [namespace, name, node].iter().for_each(|t| put_text(out, t));
            out.extend_from_slice(&feasible.to_le_bytes());
            out.extend_from_slice(&evaluated.to_le_bytes());
            out.extend_from_slice(&score.to_le_bytes());
        }
        Record::Container { namespace, name, container, step, value } => {
            head(5);
            [namespace, name, container, step].iter().for_each(|t| put_text(out, t));
            out.extend_from_slice(&value.to_le_bytes());
        }
        Record::Note { by, text } => {
            head(6);
            [by, text].iter().for_each(|t| put_text(out, t));
        }
    }
}

/// Reads encoded records back, in order. Ends early at bytes that are no record (which only a truncated or foreign
/// buffer has).
pub fn records(bytes: &[u8]) -> Records<'_> {
    Records { rest: bytes }
}

/// Iterator over encoded records.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    fn text(&mut self) -> Option<&'a str> {
        let (mut len, mut shift) = (0usize, 0u32);
        loop {
            let [byte] = self.bytes::<1>()?;
            len |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        std::str::from_utf8(head).ok()
    }

    fn u128(&mut self) -> Option<u128> {
        self.bytes().map(u128::from_le_bytes)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (Time, Record<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let [tag] = self.bytes::<1>()?;
        let at = Time(i64::from_le_bytes(self.bytes()?));
        let record = match tag {
            1 => {
                let verb = CommitVerb::from_byte(self.bytes::<1>()?[0])?;
                let (kind, namespace, name) = (self.text()?, self.text()?, self.text()?);
                let uid = Uid(self.u128()?);
                Record::Commit {
                    verb,
                    kind,
                    namespace,
                    name,
                    uid,
                    revision: u64::from_le_bytes(self.bytes()?),
                }
            }
            2 => {
                let code = u16::from_le_bytes(self.bytes()?);
                Record::Refused { by: self.text()?, code, message: self.text()? }
            }
            3 => {
                let warning = self.bytes::<1>()?[0] == EventType::Warning as u8;
                let event_type = if warning { EventType::Warning } else { EventType::Normal };
                let (kind, namespace, name) = (self.text()?, self.text()?, self.text()?);
                let (reason, message) = (self.text()?, self.text()?);
                Record::Event { kind, namespace, name, uid: Uid(self.u128()?), event_type, reason, message }
            }
            4 => Record::Decision {
                namespace: self.text()?,
                name: self.text()?,
                node: self.text()?,
                feasible: u32::from_le_bytes(self.bytes()?),
                evaluated: u32::from_le_bytes(self.bytes()?),
                score: i64::from_le_bytes(self.bytes()?),
            },
            5 => Record::Container {
                namespace: self.text()?,
                name: self.text()?,
                container: self.text()?,
                step: self.text()?,
                value: i64::from_le_bytes(self.bytes()?),
            },
            6 => Record::Note { by: self.text()?, text: self.text()? },
            _ => return None,
        };
        Some((at, record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Record<'static>> {
        let long: &'static str = "x".repeat(300).leak();
        vec![
            Record::Commit {
                verb: CommitVerb::Bind,
                kind: "Pod",
                namespace: "default",
                name: "p",
                uid: Uid(7),
                revision: 3,
            },
            Record::Refused { by: "scheduler", code: 409, message: long },
            Record::Event {
                kind: "Pod",
                namespace: "default",
                name: "p",
                uid: Uid(u128::MAX),
                event_type: EventType::Warning,
                reason: "FailedScheduling",
                message: "0/1 nodes are available",
            },
            Record::Decision {
                namespace: "a",
                name: "b",
                node: "",
                feasible: 1,
                evaluated: 2,
                score: i64::MIN,
            },
            Record::Container { namespace: "a", name: "b", container: "c", step: "exited", value: -1 },
            Record::Note { by: "", text: "ü" },
        ]
    }

    #[test]
    fn records_read_back_as_they_were_written() {
        let mut log = Log::default();
        log.set_keep(Keep::Records);
        for (i, record) in samples().into_iter().enumerate() {
            log.append(Time(i as i64), record);
        }
        let bytes = log.take();
        let read: Vec<_> = records(&bytes).collect();
        let expected: Vec<_> = samples().into_iter().enumerate().map(|(i, r)| (Time(i as i64), r)).collect();
        assert_eq!(read, expected);
        assert_eq!(records(&bytes[..bytes.len() - 1]).count(), expected.len() - 1);
    }

    /// Golden: a change here means a new [`LOG_VERSION`].
    #[test]
    fn the_digest_is_pinned() {
        let mut log = Log::default();
        for record in samples() {
            log.append(Time(1), record);
        }
        assert_eq!(log.digest(), "9dbfb2f14b8988effc4d51a4d7123d4f");
    }

    #[test]
    fn keeping_records_does_not_change_the_digest() {
        let (mut a, mut b) = (Log::default(), Log::default());
        b.set_keep(Keep::Records);
        for i in 0..2_000 {
            for log in [&mut a, &mut b] {
                log.append(Time(i), Record::Note { by: "test", text: "the same" });
            }
        }
        assert_eq!(a.digest(), b.digest());
        assert_eq!(records(b.kept()).count(), 2_000);
        assert!(a.kept().is_empty());
    }
}
