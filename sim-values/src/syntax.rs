//! Syntax of names and labels, and how Go quotes, with upstream's messages (`k8s.io/apimachinery/pkg/util/validation`).
//!
//! Every function returns the list of what is wrong; an empty list means valid. Lengths are in bytes.

use std::fmt::Write;

const QUALIFIED_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1035_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";

/// The common form of the messages about a pattern.
fn regex_error(rule: &str, regex: &str, examples: &[&str]) -> String {
    let mut text = format!("{rule} (e.g. ");
    for (i, example) in examples.iter().enumerate() {
        let or = if i > 0 { " or " } else { "" };
        let _ = write!(text, "{or}'{example}', ");
    }
    let _ = write!(text, "regex used for validation is '{regex}')");
    text
}

fn max_length(length: usize) -> String {
    format!("must be no more than {length} characters")
}

/// Non-empty, of `inner` characters only, and of `edge` characters at both ends.
fn bounded(text: &str, edge: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => edge(*first) && edge(*last) && bytes.iter().all(|b| inner(*b)),
        _ => false,
    }
}

fn matches_qualified_name(text: &str) -> bool {
    bounded(text, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn matches_dns1123_label(text: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bounded(text, edge, |b| edge(b) || b == b'-')
}

fn matches_dns1123_subdomain(text: &str) -> bool {
    text.split('.').all(matches_dns1123_label)
}

/// A key of labels, annotations and taints: an optional DNS prefix with a slash, and a name.
pub fn is_qualified_name(value: &str) -> Vec<String> {
    const RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
        alphanumeric character";
    let mut errors = Vec::new();
    let syntax = |part: &str| {
        format!("{part} {}", regex_error(RULE, QUALIFIED_NAME, &["MyName", "my.name", "123-abc"]))
    };
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => {
            let tail = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            errors.push(format!("{} {tail}", syntax("a qualified name")));
            return errors;
        }
        Some(("", name)) => {
            errors.push("prefix part must be non-empty".to_string());
            name
        }
        Some((prefix, name)) => {
            errors.extend(is_dns1123_subdomain(prefix).iter().map(|e| format!("prefix part {e}")));
            name
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_string());
    } else if name.len() > 63 {
        errors.push(format!("name part {}", max_length(63)));
    }
    if !matches_qualified_name(name) {
        errors.push(syntax("name part"));
    }
    errors
}

/// A value of a label: empty, or a name of at most 63 characters.
pub fn is_valid_label_value(value: &str) -> Vec<String> {
    const RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
        and must start and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > 63 {
        errors.push(max_length(63));
    }
    if !value.is_empty() && !matches_qualified_name(value) {
        let regex = format!("({QUALIFIED_NAME})?");
        errors.push(regex_error(RULE, &regex, &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// A name of most objects.
pub fn is_dns1123_subdomain(value: &str) -> Vec<String> {
    const RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
        and must start and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > 253 {
        errors.push(max_length(253));
    }
    if !matches_dns1123_subdomain(value) {
        let regex = format!(r"{DNS1123_LABEL}(\.{DNS1123_LABEL})*");
        errors.push(regex_error(RULE, &regex, &["example.com"]));
    }
    errors
}

/// A name of namespaces, containers, claims in a pod and the like.
pub fn is_dns1123_label(value: &str) -> Vec<String> {
    const RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
        start and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > 63 {
        errors.push(max_length(63));
    }
    if !matches_dns1123_label(value) {
        errors.push(if matches_dns1123_subdomain(value) {
            "must not contain dots".to_string()
        } else {
            regex_error(RULE, DNS1123_LABEL, &["my-name", "123-abc"])
        });
    }
    errors
}

/// A name of services.
pub fn is_dns1035_label(value: &str) -> Vec<String> {
    const RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
        alphabetic character, and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > 63 {
        errors.push(max_length(63));
    }
    if !matches_dns1123_label(value) || !value.starts_with(|c: char| c.is_ascii_lowercase()) {
        errors.push(regex_error(RULE, DNS1035_LABEL, &["my-name", "abc-123"]));
    }
    errors
}

/// A DNS name of at least two segments, with or without a dot at its end: whole field errors for the path given
/// (`IsFullyQualifiedDomainName`).
pub fn is_fully_qualified_domain_name(path: &str, name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec![format!("{path}: Required value")];
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let invalid = |value: &str, detail: &str| format!("{path}: Invalid value: {}: {detail}", go_quote(value));
    let errors = is_dns1123_subdomain(name);
    if !errors.is_empty() {
        return vec![invalid(name, &errors.join(","))];
    }
    if !name.contains('.') {
        return vec![invalid(name, "should be a domain with at least two segments separated by dots")];
    }
    let labels = name.split('.').map(|label| (label, is_dns1123_label(label)));
    labels.filter(|(_, e)| !e.is_empty()).map(|(label, e)| invalid(label, &e.join(","))).collect()
}

/// Go's `%q`: a double-quoted text with Go's escapes.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\x07' => write!(out, "\\a"),
            '\x08' => write!(out, "\\b"),
            '\x0c' => write!(out, "\\f"),
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            '\x0b' => write!(out, "\\v"),
            '\'' => write!(out, "'"),
            c if c.is_ascii_control() => write!(out, "\\x{:02x}", c as u32),
            // Rust escapes what it cannot print, as Go does.
            c if c.escape_debug().len() == 1 => write!(out, "{c}"),
            c if u32::from(c) > 0xffff => write!(out, "\\U{:08x}", u32::from(c)),
            c => write!(out, "\\u{:04x}", u32::from(c)),
        };
    }
    out.push('"');
    out
}

/// A value as `encoding/json` prints it: compact, with HTML characters escaped.
pub fn go_json(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, valid) in [
            ("a", true),
            ("a.b/c_d", true),
            ("", false),
            ("/a", false),
            ("a/", false),
            ("A/b", false),
            ("a/b/c", false),
        ] {
            assert_eq!(is_qualified_name(name).is_empty(), valid, "{name:?}");
        }
        for (name, label, subdomain) in
            [("a-1", true, true), ("a.b", false, true), ("A", false, false), ("", false, false)]
        {
            assert_eq!(is_dns1123_label(name).is_empty(), label, "{name:?}");
            assert_eq!(is_dns1123_subdomain(name).is_empty(), subdomain, "{name:?}");
        }
        assert_eq!(is_dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(is_valid_label_value(&"v".repeat(64)), ["must be no more than 63 characters"]);
    }

    #[test]
    fn quotes_as_go() {
        assert_eq!(go_quote("a\"'\\\n\x01é\u{200b}"), r#""a\"'\\\n\x01é\u200b""#);
    }
}
