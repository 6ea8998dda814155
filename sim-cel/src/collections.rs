//! Lists, maps and objects.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use smol_str::SmolStr;

use crate::value::Value;

/// Concatenations up to this length are copied into one piece.
const COPIED: usize = 64;

/// A list. Concatenation is cheap, as the cost model assumes: long lists share their parts.
#[derive(Clone)]
pub struct List(Repr);

#[derive(Clone)]
enum Repr {
    Flat(Arc<Vec<Value>>),
    Joined(Arc<Joined>),
}

struct Joined {
    left: List,
    right: List,
    len: usize,
}

impl List {
    /// A list of values.
    pub fn new(values: Vec<Value>) -> List {
        List(Repr::Flat(Arc::new(values)))
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Flat(values) => values.len(),
            Repr::Joined(joined) => joined.len,
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An element.
    pub fn get(&self, index: usize) -> Option<&Value> {
        let (mut list, mut index) = (self, index);
        loop {
            match &list.0 {
                Repr::Flat(values) => return values.get(index),
                Repr::Joined(joined) => {
                    let left = joined.left.len();
                    list = if index < left { &joined.left } else { &joined.right };
                    index = if index < left { index } else { index - left };
                }
            }
        }
    }

    /// The elements in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { pending: vec![self], current: [].iter() }
    }

    /// Both, one after the other.
    pub fn concat(&self, other: &List) -> List {
        if self.is_empty() {
            return other.clone();
        }
        if other.is_empty() {
            return self.clone();
        }
        let len = self.len().saturating_add(other.len());
        if len <= COPIED {
            return self.iter().chain(other.iter()).cloned().collect();
        }
        List(Repr::Joined(Arc::new(Joined { left: self.clone(), right: other.clone(), len })))
    }

    /// Appends, in place if nobody else holds the list.
    pub(crate) fn append(&mut self, values: Vec<Value>) {
        if let Repr::Flat(own) = &mut self.0
            && let Some(own) = Arc::get_mut(own)
        {
            own.extend(values);
            return;
        }
        *self = self.concat(&List::new(values));
    }
}

impl FromIterator<Value> for List {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> List {
        List::new(values.into_iter().collect())
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().take(COPIED)).finish()
    }
}

/// The elements of a list.
pub struct Iter<'a> {
    pending: Vec<&'a List>,
    current: std::slice::Iter<'a, Value>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Value;

    fn next(&mut self) -> Option<&'a Value> {
        loop {
            if let Some(value) = self.current.next() {
                return Some(value);
            }
            match &self.pending.pop()?.0 {
                Repr::Flat(values) => self.current = values.iter(),
                Repr::Joined(joined) => self.pending.extend([&joined.right, &joined.left]),
            }
        }
    }
}

/// A key as it is looked up: numbers are equal across their types.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(SmolStr),
}

impl Key {
    fn of(value: &Value) -> Option<Key> {
        Some(match value {
            Value::Bool(b) => Key::Bool(*b),
            Value::Int(i) => Key::Int(*i),
            Value::Uint(u) => i64::try_from(*u).map_or(Key::Uint(*u), Key::Int),
            Value::Double(d) if *d == d.trunc() && d.abs() < 9.2e18 => Key::Int(*d as i64),
            Value::String(s) => Key::String(s.clone()),
            _ => return None,
        })
    }
}

/// A map, in the order of insertion, with a value for keys that are missing if it was given one.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: IndexMap<Key, (Value, Value), FxBuildHasher>,
    default: Option<Value>,
}

impl Map {
    /// An empty map.
    pub fn new() -> Map {
        Map::default()
    }

    /// What look-ups of missing keys find; tests of membership and iteration do not see it.
    pub fn with_default(mut self, value: Value) -> Map {
        self.default = Some(value);
        self
    }

    /// Sets a key. False if the value cannot be a key.
    pub fn insert(&mut self, key: Value, value: Value) -> bool {
        match Key::of(&key) {
            Some(found) => {
                self.entries.insert(found, (key, value));
                true
            }
            None => false,
        }
    }

    pub(crate) fn remove(&mut self, key: &Value) {
        if let Some(key) = Key::of(key) {
            self.entries.shift_remove(&key);
        }
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key, or the default.
    pub fn find(&self, key: &Value) -> Option<&Value> {
        self.get(key).or(self.default.as_ref())
    }

    /// The value of a key that is there.
    pub fn get(&self, key: &Value) -> Option<&Value> {
        let (_, value) = self.entries.get(&Key::of(key)?)?;
        Some(value)
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.entries.values().map(|(key, value)| (key, value))
    }

    pub(crate) fn at(&self, index: usize) -> Option<(&Value, &Value)> {
        self.entries.get_index(index).map(|(_, (key, value))| (key, value))
    }
}

/// An object of a declared type.
#[derive(Clone, Debug)]
pub struct Object {
    type_name: SmolStr,
    fields: Vec<(SmolStr, Value)>,
}

impl Object {
    /// An object with its fields.
    pub fn new(type_name: &str, fields: Vec<(SmolStr, Value)>) -> Object {
        Object { type_name: type_name.into(), fields }
    }

    /// The name of its type.
    pub fn type_name(&self) -> &SmolStr {
        &self.type_name
    }

    /// A field.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }
}
