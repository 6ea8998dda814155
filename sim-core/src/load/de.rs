//! The one deserializer: every typed object and every configuration file comes through here.
//!
//! It knows the place and the path of what it reads, and collects fields that the type does not have. As in Go, a
//! `null` field of a struct counts as absent.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};

use super::tree::{Data, Entry, Node, Path};
use crate::quantity::Quantity;

/// A field that the type does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredField {
    /// Field path.
    pub path: String,
    /// Byte offset of the field name in the source.
    pub at: u32,
}

/// An error with the place of the innermost value it is about.
#[derive(Debug, PartialEq)]
pub(crate) struct DeError(Box<Inner>);

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Inner {
    pub(crate) at: u32,
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    placed: bool,
}

impl DeError {
    fn new(message: String) -> DeError {
        DeError(Box::new(Inner { message, ..Inner::default() }))
    }

    fn placed(mut self, at: u32, path: &Path<'_>) -> DeError {
        if !self.0.placed {
            self.0.at = at;
            self.0.path = path.to_string();
            self.0.placed = true;
        }
        self
    }

    pub(crate) fn into_inner(self) -> Inner {
        *self.0
    }
}

impl fmt::Display for DeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for DeError {}

impl de::Error for DeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        DeError::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        DeError::new(format!("expected {expected}, found {}", describe(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        DeError::new(format!("expected {expected}, found {}", describe(found)))
    }

    fn missing_field(field: &'static str) -> Self {
        DeError::new(format!("missing required field {field:?}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mut error = DeError::new(format!("unknown field {field:?}"));
        error.0.help = nearest(field, expected)
            .map(|near| format!("did you mean {near:?}?"))
            .or_else(|| (!expected.is_empty()).then(|| format!("known fields: {}", expected.join(", "))));
        error
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let mut error = DeError::new(format!("unknown value {variant:?}"));
        error.0.help = (!expected.is_empty()).then(|| format!("one of: {}", expected.join(", ")));
        error
    }
}

fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(b) => format!("the boolean {b}"),
        Unexpected::Unsigned(n) => format!("the number {n}"),
        Unexpected::Signed(n) => format!("the number {n}"),
        Unexpected::Float(n) => format!("the number {n}"),
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Unit => "null".to_string(),
        Unexpected::Seq => "a list".to_string(),
        Unexpected::Map => "an object".to_string(),
        other => other.to_string(),
    }
}

/// The known name that is a slip of the given one: other letter case, or one edit away.
pub fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .find(|k| k.eq_ignore_ascii_case(given))
        .or_else(|| {
            known.iter().find(|k| given.len() > 2 && edits_at_most_two(given.as_bytes(), k.as_bytes()))
        })
        .copied()
}

/// Two names of ordinary length whose Levenshtein distance is 1 or 2, the latter only for longer names.
fn edits_at_most_two(a: &[u8], b: &[u8]) -> bool {
    let limit = if a.len() > 5 { 2 } else { 1 };
    if a.len() > 64 || b.len() > 64 || a.len().abs_diff(b.len()) > limit {
        return false;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = if x == y { corner } else { 1 + corner.min(row[j]).min(row[j + 1]) };
            corner = row[j + 1];
            row[j + 1] = cost;
        }
    }
    row[b.len()] <= limit
}

/// Where ignored fields go.
pub(crate) type Ignored = RefCell<Vec<IgnoredField>>;

/// A node about to be read.
#[derive(Clone, Copy)]
pub(crate) struct De<'t, 'p> {
    node: &'t Node<'t>,
    /// Place of the field name, for ignored fields; the node's own place otherwise.
    name_at: u32,
    path: &'p Path<'p>,
    ignored: &'p Ignored,
    /// Reading a type of Kubernetes: an empty list in an optional field counts as absent, as Go's `omitempty` has it.
    wire: bool,
}

impl<'t, 'p> De<'t, 'p> {
    pub(crate) fn new(node: &'t Node<'t>, path: &'p Path<'p>, ignored: &'p Ignored) -> De<'t, 'p> {
        De { node, name_at: node.at, path, ignored, wire: false }
    }

    /// For Kubernetes' own types.
    pub(crate) fn wire(node: &'t Node<'t>, path: &'p Path<'p>, ignored: &'p Ignored) -> De<'t, 'p> {
        De { wire: true, ..De::new(node, path, ignored) }
    }

    /// Another node, read in the same way.
    fn inner<'q>(&self, node: &'t Node<'t>, path: &'q Path<'q>) -> De<'t, 'q>
    where
        'p: 'q,
    {
        De { node, name_at: node.at, path, ignored: self.ignored, wire: self.wire }
    }

    /// Reads, and gives an error the place of this node unless it has one from further inside.
    pub(crate) fn read<S: DeserializeSeed<'t>>(self, seed: S) -> Result<S::Value, DeError> {
        let (at, path) = (self.node.at, self.path);
        seed.deserialize(self).map_err(|e| e.placed(at, path))
    }

    fn wrong(self, expected: impl fmt::Display, help: Option<String>) -> DeError {
        let mut error = DeError::new(format!("expected {expected}, found {}", self.node.describe()));
        error.0.help = help;
        error
    }

    fn integer<V: Visitor<'t>>(self, visitor: V, what: &str) -> Result<V::Value, DeError> {
        match &self.node.data {
            Data::Int(n) => visitor.visit_i64(*n).map_err(|_: DeError| self.wrong(what, None)),
            Data::UInt(n) => visitor.visit_u64(*n).map_err(|_: DeError| self.wrong(what, None)),
            Data::Null => visitor.visit_i64(0),
            Data::Str(text) if text.parse::<i64>().is_ok() => {
                Err(self.wrong(what, Some(format!("write it without quotes: {text}"))))
            }
            _ => Err(self.wrong(what, None)),
        }
    }

    /// The text that Go keeps of a quantity: what was written, or its canonical form.
    fn quantity(self) -> Result<String, DeError> {
        let text = match &self.node.data {
            Data::Str(text) => Cow::Borrowed(&**text),
            Data::Int(n) => n.to_string().into(),
            Data::UInt(n) => n.to_string().into(),
            Data::Float { value, text: "" } => value.to_string().into(),
            Data::Float { text, .. } => Cow::Borrowed(*text),
            Data::Null => "0".into(),
            _ => return Err(self.wrong("a quantity", None)),
        };
        match Quantity::parse(&text) {
            Ok(quantity) => Ok(quantity.to_string()),
            Err(error) => {
                let help = "write a number with an optional suffix, e.g. 500m, 2, 1.5Gi";
                let mut wrong = self.wrong("a quantity", Some(help.into()));
                wrong.0.message = format!("{}: {error}", wrong.0.message);
                Err(wrong)
            }
        }
    }

    fn float<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.node.data {
            Data::Int(n) => visitor.visit_f64(*n as f64),
            Data::UInt(n) => visitor.visit_f64(*n as f64),
            Data::Float { value, .. } => visitor.visit_f64(*value),
            Data::Null => visitor.visit_f64(0.0),
            _ => Err(self.wrong("a number", None)),
        }
    }

    fn text<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.node.data {
            Data::Str(text) => visitor.visit_borrowed_str(text),
            Data::Null => visitor.visit_borrowed_str(""),
            Data::Int(_) | Data::UInt(_) | Data::Float { .. } => {
                let found = self.node.describe();
                let number = found.trim_start_matches("the number ");
                Err(self.wrong("a text", Some(format!("quote it: \"{number}\""))))
            }
            Data::Bool(_) => {
                let help = "quote it: y, n, yes, no, on and off are booleans too";
                Err(self.wrong("a text", Some(help.into())))
            }
            _ => Err(self.wrong("a text", None)),
        }
    }

    fn list<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        let items = match &self.node.data {
            Data::Seq(items) => &items[..],
            Data::Null => &[],
            _ => return Err(self.wrong("a list", None)),
        };
        visitor.visit_seq(Items { items: items.iter().enumerate(), of: self })
    }

    fn object<V: Visitor<'t>>(
        self,
        visitor: V,
        name: Option<&'static str>,
        fields: &'static [&'static str],
    ) -> Result<V::Value, DeError> {
        let entries = match &self.node.data {
            Data::Map(entries) => &entries[..],
            Data::Null => &[],
            _ => {
                return Err(match name {
                    Some(name) => self.wrong(format_args!("an object ({name})"), None),
                    None => self.wrong("an object", None),
                });
            }
        };
        visitor.visit_map(Fields { entries: entries.iter(), value: None, of: self, known: fields })
    }
}

macro_rules! numbers {
    ($($method:ident $what:literal),*) => { $(
        fn $method<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
            self.integer(visitor, $what)
        }
    )* };
}

impl<'t> Deserializer<'t> for De<'t, '_> {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.node.data {
            Data::Null => visitor.visit_unit(),
            Data::Bool(b) => visitor.visit_bool(*b),
            Data::Int(n) => visitor.visit_i64(*n),
            Data::UInt(n) => visitor.visit_u64(*n),
            Data::Float { value, .. } => visitor.visit_f64(*value),
            Data::Str(text) => visitor.visit_borrowed_str(text),
            Data::Seq(_) => self.list(visitor),
            Data::Map(_) => self.object(visitor, None, &[]),
        }
    }

    numbers!(
        deserialize_i8 "a whole number of 8 bits", deserialize_i16 "a whole number of 16 bits",
        deserialize_i32 "a whole number of 32 bits", deserialize_i64 "a whole number",
        deserialize_u8 "a whole number from 0 to 255", deserialize_u16 "a whole number from 0 to 65535",
        deserialize_u32 "a whole number from 0", deserialize_u64 "a whole number from 0",
        deserialize_i128 "a whole number", deserialize_u128 "a whole number from 0"
    );

    fn deserialize_bool<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.node.data {
            Data::Bool(b) => visitor.visit_bool(*b),
            Data::Null => visitor.visit_bool(false),
            Data::Str(text) if matches!(&**text, "true" | "false") => {
                Err(self.wrong("true or false", Some(format!("write it without quotes: {text}"))))
            }
            _ => Err(self.wrong("true or false", None)),
        }
    }

    fn deserialize_f32<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.float(visitor)
    }

    fn deserialize_f64<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.float(visitor)
    }

    fn deserialize_char<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.text(visitor)
    }

    fn deserialize_str<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.text(visitor)
    }

    fn deserialize_bytes<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.text(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.text(visitor)
    }

    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.node.data {
            Data::Null => visitor.visit_none(),
            Data::Seq(items) if items.is_empty() && self.wire => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        if self.node.is_null() { visitor.visit_unit() } else { Err(self.wrong("null", None)) }
    }

    fn deserialize_unit_struct<V: Visitor<'t>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'t>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeError> {
        if name == "Quantity" {
            let text = self.quantity()?;
            return visitor.visit_newtype_struct(StringDeserializer::new(text));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'t>>(self, _: usize, visitor: V) -> Result<V::Value, DeError> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'t>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DeError> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.object(visitor, None, &[])
    }

    fn deserialize_struct<V: Visitor<'t>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        self.object(visitor, Some(name), fields)
    }

    fn deserialize_enum<V: Visitor<'t>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        match &self.node.data {
            Data::Str(text) => visitor.visit_enum(Variant { name: text, content: None, of: self }),
            Data::Map(entries) if entries.len() == 1 => {
                let entry = &entries[0];
                visitor.visit_enum(Variant { name: &entry.key, content: Some(entry), of: self })
            }
            _ => Err(self.wrong("one choice", Some(format!("one of: {}", variants.join(", "))))),
        }
    }

    fn deserialize_identifier<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.text(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.ignored.borrow_mut().push(IgnoredField { path: self.path.to_string(), at: self.name_at });
        visitor.visit_unit()
    }
}

struct Items<'t, 'p> {
    items: std::iter::Enumerate<std::slice::Iter<'t, Node<'t>>>,
    of: De<'t, 'p>,
}

impl<'t> SeqAccess<'t> for Items<'t, '_> {
    type Error = DeError;

    fn next_element_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, DeError> {
        let Some((i, node)) = self.items.next() else { return Ok(None) };
        self.of.inner(node, &Path::Index(self.of.path, i)).read(seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Fields<'t, 'p> {
    entries: std::slice::Iter<'t, Entry<'t>>,
    value: Option<&'t Entry<'t>>,
    of: De<'t, 'p>,
    known: &'static [&'static str],
}

impl<'t> MapAccess<'t> for Fields<'t, '_> {
    type Error = DeError;

    fn next_key_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, DeError> {
        for entry in self.entries.by_ref() {
            if entry.value.is_null() && self.known.contains(&&*entry.key) {
                continue;
            }
            self.value = Some(entry);
            let key = BorrowedStrDeserializer::new(&entry.key);
            return seed
                .deserialize(key)
                .map(Some)
                .map_err(|e: DeError| e.placed(entry.key_at, &Path::Key(self.of.path, &entry.key)));
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<S::Value, DeError> {
        let Some(entry) = self.value.take() else { return Err(de::Error::custom("a value without a field")) };
        let path = Path::Key(self.of.path, &entry.key);
        let mut value = self.of.inner(&entry.value, &path);
        value.name_at = entry.key_at;
        value.read(seed)
    }
}

struct Variant<'t, 'p> {
    name: &'t str,
    content: Option<&'t Entry<'t>>,
    of: De<'t, 'p>,
}

impl<'t, 'p> EnumAccess<'t> for Variant<'t, 'p> {
    type Error = DeError;
    type Variant = Variant<'t, 'p>;

    fn variant_seed<S: DeserializeSeed<'t>>(self, seed: S) -> Result<(S::Value, Self::Variant), DeError> {
        let name = StrDeserializer::new(self.name);
        let at = self.content.map_or(self.of.node.at, |e| e.key_at);
        let value = seed.deserialize(name).map_err(|e: DeError| e.placed(at, self.of.path))?;
        Ok((value, self))
    }
}

impl<'t> VariantAccess<'t> for Variant<'t, '_> {
    type Error = DeError;

    fn unit_variant(self) -> Result<(), DeError> {
        match self.content {
            Some(entry) if !entry.value.is_null() => {
                Err(self.of.wrong(format_args!("just {}", self.name), None))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'t>>(self, seed: S) -> Result<S::Value, DeError> {
        let entry = self.entry()?;
        self.of.inner(&entry.value, &Path::Key(self.of.path, &entry.key)).read(seed)
    }

    fn tuple_variant<V: Visitor<'t>>(self, _: usize, visitor: V) -> Result<V::Value, DeError> {
        let entry = self.entry()?;
        let path = Path::Key(self.of.path, &entry.key);
        De::new(&entry.value, &path, self.of.ignored)
            .list(visitor)
            .map_err(|e| e.placed(entry.value.at, &path))
    }

    fn struct_variant<V: Visitor<'t>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        let entry = self.entry()?;
        let path = Path::Key(self.of.path, &entry.key);
        let value = self.of.inner(&entry.value, &path);
        value.object(visitor, None, fields).map_err(|e| e.placed(entry.value.at, &path))
    }
}

impl<'t> Variant<'t, '_> {
    fn entry(&self) -> Result<&'t Entry<'t>, DeError> {
        self.content.ok_or_else(|| DeError::new(format!("{} needs a value", self.name)))
    }
}
