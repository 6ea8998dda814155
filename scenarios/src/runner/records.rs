//! Log records as lines of JSON.

use std::io::{self, Write};

use serde::Serialize;
use sim_core::engine::log::{CommitVerb, EventType, Record};
use sim_core::time::{Epoch, Time};

/// A record as `events.jsonl` has it. Fields that a type of record does not have are left out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    /// Nanoseconds since the start.
    ns: i64,
    /// The same as a date.
    time: String,
    #[serde(rename = "type")]
    record: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verb: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feasible: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluated: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<i64>,
}

fn verb(verb: CommitVerb) -> &'static str {
    match verb {
        CommitVerb::Create => "create",
        CommitVerb::Update => "update",
        CommitVerb::Status => "status",
        CommitVerb::Bind => "bind",
        CommitVerb::MarkDeleted => "markDeleted",
        CommitVerb::Delete => "delete",
    }
}

/// Writes one record as one line.
///
/// # Errors
/// The writer's.
pub fn write_line(out: &mut dyn Write, epoch: Epoch, at: Time, record: &Record<'_>) -> io::Result<()> {
    let head = Line { ns: at.0, time: epoch.timestamp(at).to_string(), ..Line::default() };
    let line = match *record {
        Record::Commit { verb: v, kind, namespace, name, uid, revision } => Line {
            record: "commit",
            verb: Some(verb(v)),
            kind: Some(kind),
            namespace: Some(namespace).filter(|n| !n.is_empty()),
            name: Some(name),
            uid: Some(uid.to_string()),
            revision: Some(revision),
            ..head
        },
        Record::Refused { by, code, message } => {
            Line { record: "refused", by: Some(by), code: Some(code), message: Some(message), ..head }
        }
        Record::Event { kind, namespace, name, uid, event_type, reason, message } => Line {
            record: "event",
            kind: Some(kind),
            namespace: Some(namespace).filter(|n| !n.is_empty()),
            name: Some(name),
            uid: Some(uid.to_string()),
            event_type: Some(match event_type {
                EventType::Normal => "Normal",
                EventType::Warning => "Warning",
            }),
            reason: Some(reason),
            message: Some(message),
            ..head
        },
        Record::Decision { namespace, name, node, feasible, evaluated, score } => Line {
            record: "decision",
            namespace: Some(namespace),
            name: Some(name),
            node: Some(node).filter(|n| !n.is_empty()),
            feasible: Some(feasible),
            evaluated: Some(evaluated),
            score: Some(score),
            ..head
        },
        Record::Container { namespace, name, container, step, value } => Line {
            record: "container",
            namespace: Some(namespace),
            name: Some(name),
            container: Some(container).filter(|c| !c.is_empty()),
            step: Some(step),
            value: Some(value),
            ..head
        },
        Record::Note { by, text } => Line { record: "note", by: Some(by), message: Some(text), ..head },
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
