//! Go's types below a pod template, as a table: names, JSON names and order of fields.

use std::collections::BTreeMap;

const TYPES: &str = include_str!("pod_template_types.txt");

/// Definitions by type name: fields of a struct, or `= ` and another type. A named type that is not there is a string.
pub(super) type Types = BTreeMap<&'static str, &'static str>;

pub(super) fn read() -> Types {
    TYPES.lines().filter_map(|line| line.split_once(' ')).collect()
}

/// A field of a struct.
pub(super) struct Field {
    pub(super) name: &'static str,
    /// Empty for an inlined struct.
    pub(super) json: &'static str,
    pub(super) omit_empty: bool,
    pub(super) go: &'static str,
}

pub(super) fn fields(definition: &'static str) -> impl Iterator<Item = Field> {
    definition.split(' ').map(|field| {
        let mut parts = field.splitn(3, ':');
        let name = parts.next().unwrap_or_default();
        let json = parts.next().unwrap_or_default();
        let go = parts.next().unwrap_or_default();
        let stripped = json.strip_suffix('?');
        Field { name, json: stripped.unwrap_or(json), omit_empty: stripped.is_some(), go }
    })
}
