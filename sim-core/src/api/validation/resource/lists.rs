//! Lists, sets, names and opaque values, as the device kinds check them.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::Value;

use crate::api::validation::common::{dns_label, dns_subdomain};
use crate::api::validation::field::{Errors, Path, Shown};
use crate::api::validation::names;

const DRIVER_LENGTH: usize = 63;
const POOL_LENGTH: usize = 253;
const ID_LENGTH: usize = 32;
/// A domain, a slash and an identifier.
pub(super) const QUALIFIED_LENGTH: usize = 63 + 1 + ID_LENGTH;
/// Names of counters are labels.
pub(super) const LABEL_LENGTH: usize = 63;

/// More items than allowed.
pub(super) fn limit<T>(e: &mut Errors, path: &Path<'_>, items: &[T], max: usize) {
    if items.len() > max {
        e.too_many(path, items.len(), max);
    }
}

/// Items of a set that are there twice; `field` is the key's field, empty if the item is the key.
pub(super) fn unique<K: Ord>(
    e: &mut Errors,
    path: &Path<'_>,
    field: &str,
    keys: impl Iterator<Item = K>,
    shown: impl Fn(&K) -> Shown,
) {
    let mut known = BTreeSet::new();
    for (i, key) in keys.enumerate() {
        if known.contains(&key) {
            let item = path.index(i);
            let at = if field.is_empty() { item } else { item.child(field) };
            e.duplicate(&at, shown(&key));
        } else {
            known.insert(key);
        }
    }
}

/// [`unique`] of texts.
pub(super) fn unique_texts<'a>(
    e: &mut Errors,
    path: &Path<'_>,
    field: &str,
    keys: impl Iterator<Item = &'a str>,
) {
    unique(e, path, field, keys, |key| Shown::from(*key));
}

/// The key of a map in a path: its middle is left out if it is longer than any valid one.
pub(super) fn shortened(key: &str, max: usize) -> String {
    let max = max.max(16);
    if key.len() <= max {
        return key.to_owned();
    }
    let left = max - 3;
    let (head, tail) = (left.div_ceil(2), key.len() - left / 2);
    let head = String::from_utf8_lossy(&key.as_bytes()[..head]);
    format!("{head}...{}", String::from_utf8_lossy(&key.as_bytes()[tail..]))
}

/// `ValidateCSIDriverName`.
pub(super) fn driver(e: &mut Errors, path: &Path<'_>, name: &str) {
    if name.is_empty() {
        e.required(path, "");
    }
    if name.len() > DRIVER_LENGTH {
        e.too_long(path, DRIVER_LENGTH);
    }
    e.invalid_each(path, name, names::dns1123_subdomain(&name.to_lowercase()));
}

/// `validatePoolName`.
pub(super) fn pool(e: &mut Errors, path: &Path<'_>, name: &str) {
    if name.is_empty() {
        e.required(path, "");
        return;
    }
    if name.len() > POOL_LENGTH {
        e.too_long(path, POOL_LENGTH);
    }
    name.split('/').for_each(|part| dns_subdomain(e, path, part));
}

pub(super) fn device(e: &mut Errors, path: &Path<'_>, name: &str) {
    dns_label(e, path, name);
}

/// `validateQualifiedName`.
pub(super) fn qualified(e: &mut Errors, path: &Path<'_>, name: &str) {
    if name.is_empty() {
        e.required(path, "name required");
        return;
    }
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [id] => identifier(e, path, id),
        [domain, id] => {
            match *domain {
                "" => e.required(path, "the domain must not be empty"),
                domain => driver(e, path, domain),
            }
            match *id {
                "" => e.required(path, "the name must not be empty"),
                id => identifier(e, path, id),
            }
        }
        // Upstream does not look at longer ones.
        _ => {}
    }
}

/// `validateFullyQualifiedName`.
pub(super) fn fully_qualified(e: &mut Errors, path: &Path<'_>, name: &str) {
    qualified(e, path, name);
    if !name.is_empty() && !name.contains('/') {
        e.invalid(path, name, "must include a domain");
    }
}

fn identifier(e: &mut Errors, path: &Path<'_>, id: &str) {
    if id.len() > ID_LENGTH {
        e.too_long(path, ID_LENGTH);
    }
    e.invalid_each(path, id, names::c_identifier(id));
}

/// `validateUID`, with the messages of Go's uuid library.
pub(super) fn uid(e: &mut Errors, path: &Path<'_>, uid: &str) {
    if let Some(why) = uuid_complaint(uid) {
        e.invalid(path, uid, &format!("error validating uid: {why}"));
    } else if uid.len() != 36 || uid != uid.to_lowercase() {
        let detail = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase \
            hexadecimal characters";
        e.invalid(path, uid, detail);
    }
}

fn uuid_complaint(uid: &str) -> Option<String> {
    const FORMAT: &str = "invalid UUID format";
    let hex = |text: &[u8]| text.iter().all(u8::is_ascii_hexdigit);
    let bytes = uid.as_bytes();
    let dashed = match bytes.len() {
        32 => return (!hex(bytes)).then(|| FORMAT.into()),
        36 => bytes,
        45 => {
            let (prefix, rest) = bytes.split_at(9);
            if !prefix.eq_ignore_ascii_case(b"urn:uuid:") {
                let prefix = crate::syntax::go_quote(&String::from_utf8_lossy(prefix));
                return Some(format!("invalid urn prefix: {prefix}"));
            }
            rest
        }
        38 if bytes.starts_with(b"{") && bytes.ends_with(b"}") => &bytes[1..37],
        38 => return Some("invalid bracketed UUID format".into()),
        length => return Some(format!("invalid UUID length: {length}")),
    };
    let fits = |(i, b): (usize, &u8)| {
        if matches!(i, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() }
    };
    (!dashed.iter().enumerate().all(fits)).then(|| FORMAT.into())
}

/// `validateRawExtension`: a JSON object of limited size.
// DIFFERS: the size is that of the compact form; how it was written is not kept.
pub(super) fn raw(e: &mut Errors, path: &Path<'_>, raw: &RawExtension, max: Option<usize>) {
    match (&raw.0, max) {
        (Value::Null, _) => e.required(path, ""),
        (value, Some(max)) if value.to_string().len() > max => e.too_long(path, max),
        (Value::Object(_), _) => {}
        _ => e.invalid(path, "<value omitted>", "must be a valid JSON object"),
    }
}
