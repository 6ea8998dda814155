//! The strategic patch between two documents (`diffMaps`, `diffLists`).

use serde_json::{Value, json};

use super::lists::{self, Type, element_type, key_of, type_of};
use super::schema::{self, Schema, Strategy};
use super::{DELETE, DELETE_PRIMITIVES, DIRECTIVE, ELEMENT_ORDER, Error, Object, RETAIN_KEYS};
use crate::api::patch::show;

/// What to put into the patch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    /// Changed and added fields.
    pub changes: bool,
    /// Deleted fields.
    pub deletions: bool,
    /// `$setElementOrder` of merged lists.
    pub order: bool,
    /// `$retainKeys` of the object at hand.
    pub retain_keys: bool,
}

pub(super) fn maps(
    original: &Object,
    modified: &Object,
    schema: Schema,
    options: Options,
) -> Result<Object, Error> {
    let mut patch = Object::new();
    let mut retained = Vec::new();
    for (key, new) in modified {
        if options.retain_keys && !new.is_null() {
            retained.push(json!(key));
        }
        let Some(old) = original.get(key) else {
            if options.changes {
                patch.insert(key.clone(), new.clone());
            }
            continue;
        };
        if key == DIRECTIVE {
            if !old.is_string() || !new.is_string() {
                return Err(Error::Invalid(format!("invalid value for special key: {DIRECTIVE}")));
            }
            if old != new {
                patch.insert(key.clone(), new.clone());
            }
            continue;
        }
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => {
                map_field(&mut patch, key, old, new, schema, options)?;
            }
            (Value::Array(old), Value::Array(new)) => {
                list_field(&mut patch, key, old, new, schema, options)?;
            }
            (old, new) => {
                let differ = type_of(old) != type_of(new) || old != new;
                if options.changes && differ {
                    patch.insert(key.clone(), new.clone());
                }
            }
        }
    }
    if options.deletions {
        for key in original.keys().filter(|k| !modified.contains_key(*k)) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    let dropped = original.iter().any(|(k, v)| !v.is_null() && !modified.contains_key(k));
    if !retained.is_empty() && (!patch.is_empty() || dropped) {
        lists::sort_scalars(&mut retained);
        patch.insert(RETAIN_KEYS.to_string(), Value::Array(retained));
    }
    Ok(patch)
}

fn map_field(
    patch: &mut Object,
    key: &str,
    old: &Object,
    new: &Object,
    schema: Schema,
    options: Options,
) -> Result<(), Error> {
    let field = schema::field(schema, key);
    if field.strategy == Strategy::Replace {
        if options.changes {
            patch.insert(key.to_string(), Value::Object(new.clone()));
        }
        return Ok(());
    }
    let options = Options { retain_keys: field.retain_keys, ..options };
    let inner = maps(old, new, field.schema, options)?;
    if !inner.is_empty() {
        patch.insert(key.to_string(), Value::Object(inner));
    }
    Ok(())
}

fn list_field(
    patch: &mut Object,
    key: &str,
    old: &[Value],
    new: &[Value],
    schema: Schema,
    options: Options,
) -> Result<(), Error> {
    let field = schema::field(schema, key);
    let Strategy::Merge(merge_key) = field.strategy else {
        if options.changes && old != new {
            patch.insert(key.to_string(), Value::Array(new.to_vec()));
        }
        return Ok(());
    };
    let options = Options { retain_keys: field.retain_keys, ..options };
    let found = list(old, new, field.schema, merge_key, options)?;
    for (name, values) in [
        (key.to_string(), found.changes),
        (format!("{DELETE_PRIMITIVES}/{key}"), found.deletions),
        (format!("{ELEMENT_ORDER}/{key}"), found.order),
    ] {
        if !values.is_empty() {
            patch.insert(name, Value::Array(values));
        }
    }
    Ok(())
}

/// What becomes of a merged list.
#[derive(Default)]
struct Found {
    changes: Vec<Value>,
    deletions: Vec<Value>,
    order: Vec<Value>,
}

fn list(old: &[Value], new: &[Value], schema: Schema, key: &str, options: Options) -> Result<Found, Error> {
    let mut found = Found::default();
    if old.is_empty() {
        if options.changes {
            found.changes = new.to_vec();
        }
        return Ok(found);
    }
    if element_type(&[old, new])? == Type::Map {
        let (changes, mut deletions) = list_of_maps(old, new, schema, key, options)?;
        found.changes = lists::sort_like(changes, new, key)?;
        found.changes.append(&mut deletions);
        let same_order = old.len() == new.len() && {
            let mut same = true;
            for (a, b) in old.iter().zip(new) {
                same &= key_of(a, key)? == key_of(b, key)?;
            }
            same
        };
        let some = !found.changes.is_empty();
        if options.order && ((options.changes && (some || !same_order)) || (options.deletions && some)) {
            for element in new {
                let value = element.get(key).cloned().unwrap_or_default();
                found.order.push(json!({ key: value }));
            }
        }
    } else {
        let (changes, deletions) = list_of_scalars(old, new, options);
        found.changes = lists::sort_like(changes, new, "")?;
        found.deletions = deletions;
        let deleted = options.deletions && !found.deletions.is_empty();
        if options.order && (deleted || (options.changes && old != new)) {
            found.order = new.to_vec();
        }
    }
    Ok(found)
}

/// Walks two sorted lists: added ones, deleted ones.
fn list_of_scalars(old: &[Value], new: &[Value], options: Options) -> (Vec<Value>, Vec<Value>) {
    let (mut old, mut new) = (old.to_vec(), new.to_vec());
    lists::sort_scalars(&mut old);
    lists::sort_scalars(&mut new);
    let (mut added, mut deleted) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(o), Some(n)) => show::value(o).cmp(&show::value(n)),
        };
        if order.is_eq() {
            old.next();
            new.next();
        } else if order.is_lt() {
            deleted.extend(old.next().filter(|_| options.deletions));
        } else {
            added.extend(new.next().filter(|_| options.changes));
        }
    }
    lists::dedup_scalars(&mut deleted);
    (added, deleted)
}

/// Walks two lists sorted by their merge key: patches and added elements, deletions.
fn list_of_maps(
    old: &[Value],
    new: &[Value],
    schema: Schema,
    key: &str,
    options: Options,
) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let (mut old, mut new) = (old.to_vec(), new.to_vec());
    lists::sort_by_field(&mut old, key);
    lists::sort_by_field(&mut new, key);
    let (mut changes, mut deletions) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let (before, after) = (old.peek().copied(), new.peek().copied());
        let key_before = before.map(|b| key_of(b, key)).transpose()?;
        let key_after = after.map(|a| key_of(a, key)).transpose()?;
        let order = match (key_before, key_after) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(o), Some(n)) => show::value(o).cmp(&show::value(n)),
        };
        if let (true, Some(before), Some(after)) = (order.is_eq(), before, after) {
            let mut patch = maps(lists::as_map(before)?, lists::as_map(after)?, schema, options)?;
            if let (false, Some(value)) = (patch.is_empty(), key_after) {
                patch.insert(key.to_string(), value.clone());
                changes.push(Value::Object(patch));
            }
            old.next();
            new.next();
        } else if order.is_gt() {
            changes.extend(new.next().filter(|_| options.changes).cloned());
        } else {
            if options.deletions {
                deletions.push(json!({ key: key_before, DIRECTIVE: DELETE }));
            }
            old.next();
        }
    }
    Ok((changes, deletions))
}
