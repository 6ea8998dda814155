//! Merging a patch into a document, or into another patch (`mergeMap`).

use serde_json::Value;

use super::lists::{self, Type, element_type, key_of, not_a_list, type_of};
use super::schema::{self, Schema, Strategy};
use super::{DELETE, DELETE_PRIMITIVES, DIRECTIVE, ELEMENT_ORDER, Error, Object, REPLACE, RETAIN_KEYS};
use crate::api::patch::show;

/// What is merged into what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A patch into a document: directives are carried out.
    Apply,
    /// A patch into a patch: directives are kept.
    Combine,
}

pub(super) fn maps(mut into: Object, mut patch: Object, schema: Schema, mode: Mode) -> Result<Object, Error> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some(REPLACE) => {
                patch.shift_remove(DIRECTIVE);
                Ok(patch)
            }
            Some(DELETE) => Ok(Object::new()),
            _ => Err(unknown_directive(directive, &patch)),
        };
    }
    retain_keys(&mut into, &mut patch, mode)?;
    ordered_lists(&mut into, &mut patch, schema, mode)?;
    for (key, new) in patch {
        if key.starts_with(DELETE_PRIMITIVES) && mode == Mode::Combine {
            into.insert(key, new);
            continue;
        }
        let deletes = key.starts_with(DELETE_PRIMITIVES);
        let key = match deletes {
            true => named_by(&key, DELETE_PRIMITIVES, Error::PRIMITIVES)?,
            false => key,
        };
        one(&mut into, key, new, deletes, schema, mode)?;
    }
    Ok(into)
}

fn one(
    into: &mut Object,
    key: String,
    mut new: Value,
    deletes: bool,
    schema: Schema,
    mode: Mode,
) -> Result<(), Error> {
    if new.is_null() {
        into.shift_remove(&key);
        if mode == Mode::Apply {
            return Ok(());
        }
    }
    let same_type = into.get(&key).is_some_and(|old| type_of(old) == type_of(&new));
    if !same_type {
        if !deletes {
            if mode == Mode::Apply {
                discard_nulls(&mut new);
            }
            set(into, key, new);
        }
        return Ok(());
    }
    let field = schema::field(schema, &key);
    let Some(slot) = into.get_mut(&key) else { return Ok(()) };
    match (slot.take(), new) {
        (Value::Object(old), Value::Object(new)) => {
            *slot = Value::Object(match field.strategy {
                Strategy::Replace => new,
                _ => maps(old, new, field.schema, mode)?,
            });
        }
        (Value::Array(old), Value::Array(new)) => {
            let merge_key = match field.strategy {
                Strategy::Merge(key) => Some(key),
                _ if deletes => Some(""),
                _ => None,
            };
            *slot = Value::Array(match merge_key {
                Some(merge_key) => list(old, new, field.schema, merge_key, deletes, mode)?,
                None => new,
            });
        }
        (_, new) => set(into, key, new),
    }
    Ok(())
}

fn set(into: &mut Object, key: String, value: Value) {
    match without_directives(value) {
        Some(value) => {
            into.insert(key, value);
        }
        None => {
            into.shift_remove(&key);
        }
    }
}

fn unknown_directive(directive: &Value, patch: &Object) -> Error {
    Error::Invalid(format!("unknown patch type: {} in map: {}", show::value(directive), show::map(patch)))
}

/// The field that a directive like `$setElementOrder/containers` is about.
fn named_by(directive: &str, prefix: &str, error: Error) -> Result<String, Error> {
    match directive.split_once('/') {
        Some((before, field)) if before == prefix => Ok(field.to_string()),
        _ => Err(error),
    }
}

fn retain_keys(into: &mut Object, patch: &mut Object, mode: Mode) -> Result<(), Error> {
    let Some(wanted) = patch.shift_remove(RETAIN_KEYS) else { return Ok(()) };
    if mode == Mode::Combine {
        match into.get(RETAIN_KEYS) {
            Some(other) if *other != wanted => {
                return Err(Error::Invalid(format!(
                    "{} and {} are not deep equal: this may happen when calculating the 3-way diff patch",
                    show::value(other),
                    show::value(&wanted)
                )));
            }
            Some(_) => {}
            None => {
                into.insert(RETAIN_KEYS.to_string(), wanted);
            }
        }
        return Ok(());
    }
    let Value::Array(wanted) = wanted else { return Err(Error::RETAIN_KEYS) };
    let retained = |key: &String| wanted.iter().any(|w| w.as_str() == Some(key));
    let directive = |key: &str| key.starts_with(DELETE_PRIMITIVES) || key.starts_with(ELEMENT_ORDER);
    if patch.iter().any(|(k, v)| !v.is_null() && !directive(k) && !retained(k)) {
        return Err(Error::RETAIN_KEYS);
    }
    into.retain(|key, _| retained(key));
    Ok(())
}

/// Lists whose order the patch states (`mergePatchIntoOriginal`).
fn ordered_lists(into: &mut Object, patch: &mut Object, schema: Schema, mode: Mode) -> Result<(), Error> {
    let directives: Vec<String> = patch.keys().filter(|k| k.starts_with(ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let Some(order) = patch.shift_remove(&directive) else { continue };
        if mode == Mode::Combine {
            match into.get(&directive) {
                Some(other) if *other != order => return Err(Error::ELEMENT_ORDER),
                Some(_) => {}
                None => {
                    into.insert(directive.clone(), order.clone());
                }
            }
        }
        let Value::Array(order) = order else { return Err(not_a_list(&order)) };
        let key = named_by(&directive, ELEMENT_ORDER, Error::ELEMENT_ORDER)?;
        for found in [into.get(&key), patch.get(&key)].into_iter().flatten() {
            if !found.is_array() {
                return Err(not_a_list(found));
            }
        }
        let field = schema::field(schema, &key);
        let Strategy::Merge(merge_key) = field.strategy else { continue };
        ordered_list(into, patch, &key, &order, field.schema, merge_key, mode)?;
    }
    Ok(())
}

fn ordered_list(
    into: &mut Object,
    patch: &mut Object,
    key: &str,
    order: &[Value],
    schema: Schema,
    merge_key: &str,
    mode: Mode,
) -> Result<(), Error> {
    let list_of = |value: Option<&Value>| value.and_then(Value::as_array).cloned();
    let (old, new) = (list_of(into.get(key)), list_of(patch.get(key)));
    if let Some(new) = &new {
        in_order(new, order, merge_key)?;
    }
    let merged = match (&old, &new) {
        (None, None) => return Ok(()),
        (Some(old), None) => old.clone(),
        (None, Some(new)) => new.iter().cloned().filter_map(without_directives).collect(),
        (Some(old), Some(new)) => list(old.clone(), new.clone(), schema, merge_key, false, mode)?,
    };
    let (known, server_only) = lists::partition(merged, order, merge_key)?;
    let old = old.unwrap_or_default();
    element_type(&[&old, &new.unwrap_or_default()])?;
    let both = lists::order(known, server_only, order, &old, merge_key)?;
    into.insert(key.to_string(), Value::Array(both));
    patch.shift_remove(key);
    Ok(())
}

/// Elements of the patch must come in the stated order (`validatePatchWithSetOrderList`).
fn in_order(patch: &[Value], order: &[Value], merge_key: &str) -> Result<(), Error> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    if !merge_key.is_empty() {
        for element in patch {
            lists::as_map(element)?;
        }
    }
    let mut elements = patch.iter().filter(|e| merge_key.is_empty() || !lists::is_delete(e)).peekable();
    let mut places = order.iter();
    while let Some(element) = elements.peek() {
        if element.get(DIRECTIVE).is_some() {
            elements.next();
            continue;
        }
        let Some(place) = places.next() else {
            return Err(Error::Invalid(format!(
                "The order in patch list:\n{}\n doesn't match {ELEMENT_ORDER} list:\n{}\n",
                show::list(patch),
                show::list(order)
            )));
        };
        let equal = match merge_key {
            "" => *element == place,
            key => key_of(element, key)? == key_of(place, key)?,
        };
        if equal {
            elements.next();
        }
    }
    Ok(())
}

/// `mergeSlice`.
fn list(
    old: Vec<Value>,
    new: Vec<Value>,
    schema: Schema,
    merge_key: &str,
    deletes: bool,
    mode: Mode,
) -> Result<Vec<Value>, Error> {
    if old.is_empty() && new.is_empty() {
        return Ok(old);
    }
    if element_type(&[&old, &new])? != Type::Map {
        if deletes && mode == Mode::Apply {
            return Ok(old.into_iter().filter(|v| !new.contains(v)).collect());
        }
        let mut merged: Vec<Value> = old.iter().chain(&new).cloned().collect();
        lists::dedup_scalars(&mut merged);
        let (known, server_only) = lists::partition(merged, &new, merge_key)?;
        return lists::order(known, server_only, &new, &old, merge_key);
    }
    if merge_key.is_empty() {
        return Err(Error::Invalid("cannot merge lists without merge key".to_string()));
    }
    let (old, new) = special_elements(old, new, merge_key)?;
    let mut merged = old.clone();
    for element in &new {
        let value = key_of(element, merge_key)?;
        match lists::find(&merged, merge_key, value)? {
            Some(at) => {
                let before = lists::as_map(&merged[at])?.clone();
                let patch = lists::as_map(element)?.clone();
                merged[at] = Value::Object(maps(before, patch, schema, mode)?);
            }
            None => merged.push(element.clone()),
        }
    }
    let (known, server_only) = lists::partition(merged, &new, merge_key)?;
    lists::order(known, server_only, &new, &old, merge_key)
}

/// Carries out the `$patch` elements of a list: what is left of the old, and of the patch.
fn special_elements(
    mut old: Vec<Value>,
    new: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let mut plain = Vec::new();
    let mut replace = false;
    for element in new {
        let Some(directive) = element.get(DIRECTIVE) else {
            plain.push(element);
            continue;
        };
        match directive.as_str() {
            Some(DELETE) => {
                let value = key_of(&element, merge_key)?;
                while let Some(at) = lists::find(&old, merge_key, value)? {
                    old.remove(at);
                }
            }
            Some(REPLACE) => replace = true,
            Some("merge") => {
                let message = "merging lists cannot yet be specified in the patch";
                return Err(Error::Invalid(message.to_string()));
            }
            _ => return Err(unknown_directive(directive, lists::as_map(&element)?)),
        }
    }
    Ok(if replace { (plain, Vec::new()) } else { (old, plain) })
}

/// A value that is new has nothing to delete.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, v| !v.is_null());
            fields.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// The value without parts that are directives; `None` if it is one itself.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(DIRECTIVE) => None,
        Value::Object(fields) => Some(Value::Object(
            fields.into_iter().filter_map(|(k, v)| Some((k, without_directives(v)?))).collect(),
        )),
        Value::Array(items) => Some(items.into_iter().filter_map(without_directives).collect()),
        other => Some(other),
    }
}
