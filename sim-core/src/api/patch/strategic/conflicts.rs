//! Whether two patches contradict each other (`MergingMapsHaveConflicts`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::lists::{self, Type, element_type, type_of};
use super::schema::{self, Schema, Strategy};
use super::{DIRECTIVE, Error, Object, RETAIN_KEYS};
use crate::api::patch::show;
use crate::api::wire::value_to_yaml;

pub(super) fn maps(left: &Object, right: &Object, schema: Schema) -> Result<bool, Error> {
    if left.get(DIRECTIVE) != right.get(DIRECTIVE) {
        return Ok(true);
    }
    for (key, l) in left.iter().filter(|(k, _)| *k != DIRECTIVE && *k != RETAIN_KEYS) {
        let Some(r) = right.get(key) else { continue };
        let field = schema::field(schema, key);
        if values(l, r, field.schema, field.strategy)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn values(left: &Value, right: &Value, schema: Schema, strategy: Strategy) -> Result<bool, Error> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            if strategy == Strategy::Replace {
                return Ok(left.get(DIRECTIVE) != right.get(DIRECTIVE));
            }
            maps(left, right, schema)
        }
        (Value::Array(left), Value::Array(right)) => slices(left, right, schema, strategy),
        (left, right) => Ok(type_of(left) != type_of(right) || left != right),
    }
}

fn slices(left: &[Value], right: &[Value], schema: Schema, strategy: Strategy) -> Result<bool, Error> {
    let scalars = element_type(&[left, right])? != Type::Map;
    if let Strategy::Merge(key) = strategy {
        if scalars {
            return Ok(false);
        }
        let (left, right) = (by_key(left, key)?, by_key(right, key)?);
        for (name, l) in left {
            if let Some(r) = right.get(&name)
                && values(l, r, schema, Strategy::Default)?
            {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    if left.len() != right.len() {
        return Ok(true);
    }
    let (mut left, mut right) = (left.to_vec(), right.to_vec());
    if scalars {
        for list in [&mut left, &mut right] {
            lists::dedup_scalars(list);
            lists::sort_scalars(list);
        }
    }
    for (l, r) in left.iter().zip(&right) {
        if values(l, r, schema, Strategy::Default)? {
            return Ok(true);
        }
    }
    Ok(left.len() != right.len())
}

fn by_key<'a>(list: &'a [Value], key: &str) -> Result<BTreeMap<String, &'a Value>, Error> {
    list.iter().map(|v| Ok((show::value(lists::key_of(v, key)?), v))).collect()
}

/// The document as a message shows it.
pub(super) fn yaml(document: &Object) -> String {
    let mut sorted = Value::Object(document.clone());
    sorted.sort_all_objects();
    value_to_yaml(&sorted)
}
