//! Rules for names and other short texts, with upstream's messages (`k8s.io/apimachinery/pkg/util/validation`).
//!
//! Each function returns the complaints about a text; none means that it is valid.

const ENV_VAR_NAME: &str = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must \
     not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is \
     '[-._a-zA-Z][-._a-zA-Z0-9]*')";
const RELAXED_ENV_VAR_NAME: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const CONFIG_MAP_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
     'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const HTTP_HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for \
     validation is '[-A-Za-z0-9]+')";
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used \
     for validation is '[0-9]+%')";
const C_IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric \
     characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is \
     '[A-Za-z_][A-Za-z0-9_]*')";
const CONDITION_REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
     characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or \
     'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";
const WILDCARD_SUBDOMAIN: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of \
     lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex \
     used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

pub use crate::syntax::{
    is_dns1035_label as dns1035_label, is_dns1123_label as dns1123_label,
    is_dns1123_subdomain as dns1123_subdomain, is_qualified_name as qualified_name,
    is_valid_label_value as label_value,
};

/// Complaints about a text.
pub type Messages = Vec<String>;

/// A check of a text.
pub type Check = fn(&str) -> Messages;

/// `must be no more than 63 characters`.
pub fn max_length(length: usize) -> String {
    format!("must be no more than {length} characters")
}

fn is_lower(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|label| dns1123_label(label).iter().all(|m| *m == max_length(63)))
}

fn limited(text: &str, length: usize, ok: bool, complaint: &str) -> Messages {
    let mut messages = Vec::new();
    if text.len() > length {
        messages.push(max_length(length));
    }
    if !ok {
        messages.push(complaint.to_string());
    }
    messages
}

/// `*.` and a DNS name.
pub fn wildcard_subdomain(text: &str) -> Messages {
    limited(text, 253, text.strip_prefix("*.").is_some_and(is_subdomain), WILDCARD_SUBDOMAIN)
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(text: &str) -> Messages {
    let ok = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let mut messages = limited(text, 253, ok, CONFIG_MAP_KEY);
    messages.extend(dots(text));
    messages
}

/// The name of an environment variable, strictly.
pub fn env_var_name(text: &str) -> Messages {
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let ok = !text.is_empty() && text.bytes().all(word) && !text.starts_with(|c: char| c.is_ascii_digit());
    let mut messages = limited(text, usize::MAX, ok, ENV_VAR_NAME);
    messages.extend(dots(text));
    messages
}

/// The name of an environment variable as 1.34 has it (gate RelaxedEnvironmentVariableValidation).
pub fn relaxed_env_var_name(text: &str) -> Messages {
    let ok = !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=');
    if ok { Vec::new() } else { vec![RELAXED_ENV_VAR_NAME.to_string()] }
}

fn dots(text: &str) -> Option<String> {
    match text {
        "." => Some("must not be '.'".to_string()),
        ".." => Some("must not be '..'".to_string()),
        t if t.starts_with("..") => Some("must not start with '..'".to_string()),
        _ => None,
    }
}

/// The name of a port.
pub fn port_name(text: &str) -> Messages {
    let mut messages = Vec::new();
    if text.len() > 15 {
        messages.push(max_length(15));
    }
    if text.is_empty() || !text.bytes().all(|b| is_lower(b) || b == b'-') {
        messages.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_string());
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        messages.push("must contain at least one letter (a-z)".to_string());
    }
    if text.contains("--") {
        messages.push("must not contain consecutive hyphens".to_string());
    }
    if text.starts_with('-') || text.ends_with('-') {
        messages.push("must not begin or end with a hyphen".to_string());
    }
    messages
}

/// A TCP or UDP port; `None` if it is one.
pub fn port_number(port: i64) -> Option<&'static str> {
    if (1..=65535).contains(&port) { None } else { Some("must be between 1 and 65535, inclusive") }
}

/// The name of an HTTP header.
pub fn http_header(text: &str) -> Messages {
    let ok = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    limited(text, usize::MAX, ok, HTTP_HEADER)
}

/// `25%`.
pub fn percent(text: &str) -> Messages {
    let digits = text.strip_suffix('%').unwrap_or("");
    let ok = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    limited(text, usize::MAX, ok, PERCENT)
}

/// An identifier of the language C.
pub fn c_identifier(text: &str) -> Messages {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let ok = !text.is_empty() && text.bytes().all(word) && !text.starts_with(|c: char| c.is_ascii_digit());
    limited(text, usize::MAX, ok, C_IDENTIFIER)
}

/// A reason of a condition (`isValidConditionReason`).
pub fn condition_reason(text: &str) -> Messages {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let ok = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| word(b) || b == b',' || b == b':')
        && text.bytes().next_back().is_some_and(word);
    limited(text, usize::MAX, ok, CONDITION_REASON)
}

/// A `generateName` for which [`dns1123_subdomain`] names are wanted: a dash at the end is fine.
pub fn dns_subdomain_prefix(text: &str) -> Messages {
    dns1123_subdomain(&mask_trailing_dash(text))
}

/// A `generateName` for which [`dns1123_label`] names are wanted: a dash at the end is fine.
pub fn dns_label_prefix(text: &str) -> Messages {
    dns1123_label(&mask_trailing_dash(text))
}

/// A `generateName` for which [`dns1035_label`] names are wanted: a dash at the end is fine.
pub fn dns1035_label_prefix(text: &str) -> Messages {
    dns1035_label(&mask_trailing_dash(text))
}

/// `my-name-` becomes `my-naa`: the shape of the name to come. A text that is only a dash stays.
fn mask_trailing_dash(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let mut cut = rest.to_string();
            cut.pop();
            cut + "a"
        }
        _ => text.to_string(),
    }
}

/// A segment of a path: object names of kinds without rules of their own.
pub fn path_segment(text: &str) -> Messages {
    match text {
        "." | ".." => vec![format!("may not be '{text}'")],
        _ => ["/", "%"]
            .into_iter()
            .filter(|illegal| text.contains(illegal))
            .map(|illegal| format!("may not contain '{illegal}'"))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
        and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
        '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

    #[test]
    fn texts_and_their_first_complaint() {
        let table: &[(Check, &str, &str)] = &[
            (dns1123_label, "a-b", ""),
            (dns1123_label, "a.b", "must not contain dots"),
            (dns1123_label, "A", LABEL),
            (dns1123_subdomain, "a.b", ""),
            (qualified_name, "example.com/Name_1", ""),
            (qualified_name, "/a", "prefix part must be non-empty"),
            (qualified_name, "", "name part must be non-empty"),
            (label_value, "", ""),
            (env_var_name, "1A", ENV_VAR_NAME),
            (relaxed_env_var_name, "1 A", ""),
            (relaxed_env_var_name, "a=b", RELAXED_ENV_VAR_NAME),
            (port_name, "http", ""),
            (port_name, "1", "must contain at least one letter (a-z)"),
            (percent, "25%", ""),
            (percent, "%", PERCENT),
            (dns_label_prefix, "web-", ""),
            (dns_label_prefix, "-", LABEL),
            (path_segment, "a/b", "may not contain '/'"),
        ];
        for (check, text, first) in table {
            assert_eq!(check(text).first().map_or("", String::as_str), *first, "{text:?}");
        }
    }
}
