//! YAML output: block style, keys in the order given, texts quoted whenever a YAML 1.1 or 1.2 reader could take them
//! for something else.

use std::fmt::Write;

use serde_json::Value;

use super::to_json;
use crate::api::kind::Kinds;
use crate::api::object::Object;
use crate::load::{resolve_scalar, tree::Data};
use crate::time::Epoch;

/// Objects as one YAML text of several documents, as `kubectl apply -f` takes them.
pub fn to_yaml<'a>(objects: impl IntoIterator<Item = &'a Object>, kinds: &Kinds, epoch: Epoch) -> String {
    let mut out = String::new();
    for object in objects {
        if !out.is_empty() {
            out.push_str("---\n");
        }
        out.push_str(&value_to_yaml(&to_json(object, kinds, epoch)));
    }
    out
}

/// A JSON value as a YAML document, with a line break at the end.
///
/// ```
/// use serde_json::json;
/// let text = sim_core::api::wire::value_to_yaml(&json!({"a": ["yes", 1], "b": {}}));
/// assert_eq!(text, "a:\n- \"yes\"\n- 1\nb: {}\n");
/// ```
pub fn value_to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(&mut out, value, 0),
        Value::Array(items) if !items.is_empty() => block(&mut out, value, 0),
        _ => {
            scalar(&mut out, value, 0);
            out.push('\n');
        }
    }
    out
}

/// Writes a non-empty list or object, assuming that the first line is indented already.
fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) => {
            for (i, (key, value)) in map.iter().enumerate() {
                pad(out, i, indent);
                text(out, key, None);
                out.push(':');
                field(out, value, indent);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                pad(out, i, indent);
                out.push_str("- ");
                if is_block(item) {
                    block(out, item, indent + 2);
                } else {
                    scalar(out, item, indent + 2);
                    out.push('\n');
                }
            }
        }
        _ => {}
    }
}

fn pad(out: &mut String, i: usize, indent: usize) {
    if i > 0 {
        out.extend(std::iter::repeat_n(' ', indent));
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

/// The value after `key:`. Lists stay at the key's indentation, as Go's YAML writes them.
fn field(out: &mut String, value: &Value, indent: usize) {
    if is_block(value) {
        let inner = if value.is_array() { indent } else { indent + 2 };
        out.push('\n');
        pad(out, 1, inner);
        block(out, value, inner);
    } else {
        out.push(' ');
        scalar(out, value, indent + 2);
        out.push('\n');
    }
}

fn scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&n.to_string()),
        Value::String(s) => text(out, s, Some(indent)),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// A text: plain if nothing could misread it, a literal block if it has lines (and may have one), else quoted.
fn text(out: &mut String, s: &str, block: Option<usize>) {
    if is_plain(s) {
        out.push_str(s);
    } else if let (Some(indent), true) = (block, is_literal(s)) {
        out.push_str(if s.ends_with('\n') { "|" } else { "|-" });
        for line in s.trim_end_matches('\n').split('\n') {
            out.push('\n');
            if !line.is_empty() {
                pad(out, 1, indent);
                out.push_str(line);
            }
        }
    } else {
        quoted(out, s);
    }
}

fn is_plain(s: &str) -> bool {
    let starts_well =
        s.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '$'));
    starts_well
        && s.chars().all(|c| c.is_ascii_alphanumeric() || " /._-:=+@$%^(),;<>~".contains(c))
        && !s.ends_with([' ', ':'])
        && !s.contains(": ")
        && matches!(resolve_scalar(s), Data::Str(_))
        && !looks_numeric(s)
}

/// Numbers and times of other readers: quoted, so that nobody has to know.
fn looks_numeric(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && s.chars().all(|c| c.is_ascii_digit() || "+-._:eExXoOTZ ".contains(c))
}

fn is_literal(s: &str) -> bool {
    let body = s.strip_suffix('\n').unwrap_or(s);
    body.contains('\n')
        && !body.ends_with('\n')
        && !s.starts_with([' ', '\n', '\t'])
        && s.chars().all(|c| c == '\n' || c == '\t' || (!c.is_control() && c != '\u{feff}' && !is_break(c)))
}

fn is_break(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn quoted(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || is_break(c) || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\U{:08X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
