//! The tree that every input becomes: values with the places they came from.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Number, Value};

/// Nesting beyond this is refused: real objects stay below 40, and every walk of a tree may then recurse.
pub(crate) const MAX_DEPTH: usize = 128;

/// A value and where it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Node<'s> {
    /// Byte offset in the source.
    pub at: u32,
    /// The value.
    pub data: Data<'s>,
}

/// A value, as JSON has them.
#[derive(Clone, Debug, PartialEq)]
pub enum Data<'s> {
    /// `null`, or nothing at all in YAML.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above `i64::MAX`.
    UInt(u64),
    /// Any other number; `text` is how JSON wrote it (a quantity keeps it), else empty.
    Float {
        /// Value.
        value: f64,
        /// As written, or empty.
        text: &'s str,
    },
    /// A text.
    Str(Cow<'s, str>),
    /// A list.
    Seq(Vec<Node<'s>>),
    /// An object: keys are unique, in the order of their first appearance.
    Map(Vec<Entry<'s>>),
}

/// One field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'s> {
    /// Field name.
    pub key: Cow<'s, str>,
    /// Byte offset of the name.
    pub key_at: u32,
    /// Value.
    pub value: Node<'s>,
}

/// A field that was given twice; the last one won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Field path.
    pub path: String,
    /// Field name.
    pub key: String,
    /// Byte offset of the second field.
    pub at: u32,
    /// Byte offset of its value.
    pub value_at: u32,
}

impl<'s> Node<'s> {
    /// A node.
    pub fn new(at: u32, data: Data<'s>) -> Node<'s> {
        Node { at, data }
    }

    /// The fields, if this is an object.
    pub fn entries(&self) -> Option<&[Entry<'s>]> {
        match &self.data {
            Data::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items, if this is a list.
    pub fn items(&self) -> Option<&[Node<'s>]> {
        match &self.data {
            Data::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// A field's value; `None` if this is no object or has no such field.
    pub fn get(&self, key: &str) -> Option<&Node<'s>> {
        self.entries()?.iter().find(|e| e.key == key).map(|e| &e.value)
    }

    /// Takes a field out.
    pub fn take(&mut self, key: &str) -> Option<Entry<'s>> {
        let Data::Map(entries) = &mut self.data else { return None };
        let i = entries.iter().position(|e| e.key == key)?;
        Some(entries.remove(i))
    }

    /// The text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::Str(text) => Some(text),
            _ => None,
        }
    }

    /// True for `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    /// As a JSON value. A number that JSON cannot have (YAML's `.inf`) becomes `null`.
    pub fn to_value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(b) => Value::Bool(*b),
            Data::Int(n) => Value::Number((*n).into()),
            Data::UInt(n) => Value::Number((*n).into()),
            Data::Float { value, .. } => Number::from_f64(*value).map_or(Value::Null, Value::Number),
            Data::Str(text) => Value::String(text.clone().into_owned()),
            Data::Seq(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Data::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|e| (e.key.clone().into_owned(), e.value.to_value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// A tree of a JSON value, without places. Texts are borrowed.
    ///
    /// The value must not be nested deeper than any input may be (128 levels); what came through this module is not.
    pub fn of_value(value: &'s Value) -> Node<'s> {
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(b) => Data::Bool(*b),
            Value::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(n), _) => Data::Int(n),
                (_, Some(n)) => Data::UInt(n),
                _ => Data::Float { value: n.as_f64().unwrap_or(f64::NAN), text: "" },
            },
            Value::String(text) => Data::Str(Cow::Borrowed(text)),
            Value::Array(items) => Data::Seq(items.iter().map(Node::of_value).collect()),
            Value::Object(map) => Data::Map(
                map.iter()
                    .map(|(k, v)| Entry { key: Cow::Borrowed(k), key_at: 0, value: Node::of_value(v) })
                    .collect(),
            ),
        };
        Node { at: 0, data }
    }

    /// What it is, for messages: `the text "x"`, `the number 5`, `a list`.
    pub(crate) fn describe(&self) -> String {
        match &self.data {
            Data::Null => "null".to_string(),
            Data::Bool(b) => format!("the boolean {b}"),
            Data::Int(n) => format!("the number {n}"),
            Data::UInt(n) => format!("the number {n}"),
            Data::Float { value, text: "" } => format!("the number {value}"),
            Data::Float { text, .. } => format!("the number {text}"),
            Data::Str(text) => {
                let cut: String = text.chars().take(40).collect();
                let dots = if cut.len() < text.len() { "…" } else { "" };
                format!("the text {cut:?}{dots}")
            }
            Data::Seq(_) => "a list".to_string(),
            Data::Map(_) => "an object".to_string(),
        }
    }
}

/// The field path of a node that is being visited: a list on the stack, turned into text only when needed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Key(Path::Root, key) => f.write_str(key),
            Path::Key(parent, key) => write!(f, "{parent}.{key}"),
            Path::Index(parent, i) => write!(f, "{parent}[{i}]"),
        }
    }
}

/// Makes the fields of an object unique: the last of a name wins and is reported.
pub(crate) fn unique<'s>(
    entries: Vec<Entry<'s>>,
    path: &Path<'_>,
    found: &mut Vec<Duplicate>,
) -> Vec<Entry<'s>> {
    if !has_duplicates(&entries) {
        return entries;
    }
    let mut kept: indexmap::IndexMap<Cow<'s, str>, Entry<'s>, rustc_hash::FxBuildHasher> = Default::default();
    for entry in entries {
        if let Some(first) = kept.get_mut(&entry.key) {
            let path = Path::Key(path, &entry.key).to_string();
            let (key, at, value_at) = (entry.key.to_string(), entry.key_at, entry.value.at);
            found.push(Duplicate { path, key, at, value_at });
            *first = entry;
        } else {
            kept.insert(entry.key.clone(), entry);
        }
    }
    kept.into_values().collect()
}

fn has_duplicates(entries: &[Entry<'_>]) -> bool {
    if entries.len() <= 24 {
        return entries.iter().enumerate().any(|(i, e)| entries[..i].iter().any(|o| o.key == e.key));
    }
    let mut keys: Vec<&str> = entries.iter().map(|e| &*e.key).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}
