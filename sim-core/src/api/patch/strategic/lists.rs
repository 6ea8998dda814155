//! Order, sets and merge keys of lists. Upstream: `strategicpatch/patch.go`.
//!
//! Go sorts short slices by insertion, with comparisons that are not strict; where elements are equal or not in the
//! order list, its outcome can be seen, so the same steps are taken here.

use serde_json::Value;

use super::{DELETE, DIRECTIVE, Error, Object};
use crate::api::patch::show;

/// What Go's `reflect.TypeOf` tells apart in decoded JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Bool,
    Integer,
    Float,
    Text,
    List,
    Map,
}

pub(super) fn type_of(value: &Value) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Number(n) if n.is_f64() => Type::Float,
        Value::Number(_) => Type::Integer,
        Value::String(_) => Type::Text,
        Value::Array(_) => Type::List,
        Value::Object(_) => Type::Map,
    }
}

fn go_type(value: &Value) -> &'static str {
    match type_of(value) {
        Type::Null => "%!s(<nil>)",
        Type::Bool => "bool",
        Type::Integer => "int64",
        Type::Float => "float64",
        Type::Text => "string",
        Type::List => "[]interface {}",
        Type::Map => "map[string]interface {}",
    }
}

pub(super) fn not_a_list(actual: &Value) -> Error {
    Error::Invalid(format!("expected a []interface {{}}, but received a {}", go_type(actual)))
}

/// The fields of an element.
pub(super) fn as_map(value: &Value) -> Result<&Object, Error> {
    value.as_object().ok_or_else(|| {
        Error::Invalid(format!("expected a map[string]interface {{}}, but received a {}", go_type(value)))
    })
}

/// The value of the merge key of an element.
pub(super) fn key_of<'a>(element: &'a Value, key: &str) -> Result<&'a Value, Error> {
    let fields = as_map(element)?;
    fields.get(key).ok_or_else(|| no_merge_key(fields, key))
}

pub(super) fn no_merge_key(fields: &Object, key: &str) -> Error {
    Error::Invalid(format!("map: {} does not contain declared merge key: {key}", show::map(fields)))
}

/// The one type of all elements.
pub(super) fn element_type(lists: &[&[Value]]) -> Result<Type, Error> {
    let mut found = None;
    for value in lists.iter().copied().flatten() {
        let this = type_of(value);
        match found {
            None if this == Type::List => {
                return Err(Error::Invalid("lists of lists are not supported".to_string()));
            }
            None => found = Some(this),
            Some(before) if before != this => {
                let shown: Vec<String> = lists.iter().map(|l| show::list(l)).collect();
                let message = format!("list element types are not identical: [{}]", shown.join(" "));
                return Err(Error::Invalid(message));
            }
            Some(_) => {}
        }
    }
    found.ok_or_else(|| Error::Invalid("no elements in any of the given slices".to_string()))
}

/// Where an element (by its merge key, or itself) is in a list.
fn position(list: &[Value], element: &Value, key: &str) -> Option<usize> {
    let null = Value::Null;
    let own = |value: &'_ Value| -> Value {
        match key {
            "" => value.clone(),
            key => value.get(key).unwrap_or(&null).clone(),
        }
    };
    let wanted = own(element);
    list.iter().position(|v| own(v) == wanted)
}

pub(super) fn is_delete(element: &Value) -> bool {
    element.get(DIRECTIVE).and_then(Value::as_str) == Some(DELETE)
}

/// Go's insertion sort: `less(a, b)` for an element and the one before it.
pub(super) fn insertion_sort(list: &mut [Value], less: impl Fn(&Value, &Value) -> bool) {
    for i in 1..list.len() {
        let mut j = i;
        while j > 0 && less(&list[j], &list[j - 1]) {
            list.swap(j, j - 1);
            j -= 1;
        }
    }
}

/// Sorts scalars by their text; equal ones change places, as Go's comparison has it.
pub(super) fn sort_scalars(list: &mut [Value]) {
    insertion_sort(list, |a, b| show::value(a) <= show::value(b));
}

/// Sorts elements by the text of a field.
pub(super) fn sort_by_field(list: &mut [Value], key: &str) {
    let text = |v: &Value| show::value(v.get(key).unwrap_or(&Value::Null));
    insertion_sort(list, |a, b| text(a) <= text(b));
}

/// Leaves the first of equal scalars; the last element takes the place of one that goes.
pub(super) fn dedup_scalars(list: &mut Vec<Value>) {
    let mut i = 0;
    while i + 1 < list.len() {
        let mut j = i + 1;
        while j < list.len() {
            if list[i] == list[j] {
                list.swap_remove(j);
            } else {
                j += 1;
            }
        }
        i += 1;
    }
}

/// Sorts elements as an order list has them; deletions come last.
pub(super) fn sort_like(list: Vec<Value>, order: &[Value], key: &str) -> Result<Vec<Value>, Error> {
    let (mut kept, mut deletions) = (Vec::new(), Vec::new());
    if key.is_empty() {
        kept = list;
    } else {
        for element in list.iter().chain(order) {
            key_of(element, key)?;
        }
        for element in list {
            if is_delete(&element) { deletions.push(element) } else { kept.push(element) }
        }
    }
    insertion_sort(&mut kept, |a, b| match (position(order, a, key), position(order, b, key)) {
        (Some(a), Some(b)) => a < b,
        _ => true,
    });
    kept.append(&mut deletions);
    Ok(kept)
}

/// Elements that the patch knows, in its order, and those that only the server has, in the server's.
pub(super) fn order(
    patch: Vec<Value>,
    server_only: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    key: &str,
) -> Result<Vec<Value>, Error> {
    let patch = sort_like(patch, patch_order, key)?;
    let server_only = sort_like(server_only, server_order, key)?;
    let mut out = Vec::with_capacity(patch.len() + server_only.len());
    let (mut left, mut right) = (server_only.into_iter().peekable(), patch.into_iter().peekable());
    loop {
        let take_left = match (left.peek(), right.peek()) {
            (None, None) => return Ok(out),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(l), Some(r)) => {
                let places = (position(server_order, l, key), position(server_order, r, key));
                matches!(places, (Some(l), Some(r)) if l < r)
            }
        };
        out.extend(if take_left { left.next() } else { right.next() });
    }
}

/// Splits a list by what is in another: those in it, those not.
pub(super) fn partition(
    list: Vec<Value>,
    by: &[Value],
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for element in list {
        let found = match key {
            "" => by.contains(&element),
            key => find(by, key, key_of(&element, key)?)?.is_some(),
        };
        if found { inside.push(element) } else { outside.push(element) }
    }
    Ok((inside, outside))
}

/// The first element with this value of the merge key.
pub(super) fn find(list: &[Value], key: &str, value: &Value) -> Result<Option<usize>, Error> {
    for (i, element) in list.iter().enumerate() {
        let Some(fields) = element.as_object() else {
            return Err(Error::Invalid(format!("value for key {i} is not a map")));
        };
        if fields.get(key) == Some(value) {
            return Ok(Some(i));
        }
    }
    Ok(None)
}
