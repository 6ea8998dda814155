//! Decoding a tree into a Go type as `sigs.k8s.io/json` does, strictly: what it accepts, and its words for what it does not.
//!
//! The first value of a wrong type fails the document, unless a type that reads itself fails later. Fields that the type
//! does not have, and those given twice, are only told if nothing else is wrong.

use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};
use sim_core::api::validation::field::Path;
use sim_core::duration::Duration;
use sim_core::load::nearest;
use sim_core::load::tree::{Data, Duplicate, Entry, Node};
use sim_core::syntax::go_quote;
use sim_core::yaml_scalar::Scalar;

use super::go_types::{Go, Struct};
use super::{field, syntax};

/// Something wrong, where in the text, and what to do.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) at: u32,
    pub(super) help: Option<String>,
}

impl Fault {
    pub(super) fn new(message: String, at: u32) -> Fault {
        Fault { message, at, help: None }
    }
}

/// Upstream stops counting slips here.
const MAX_SLIPS: usize = 100;

/// What is read, without nulls and unknown fields; and the slips.
pub(super) type Decoded = (Value, Vec<Fault>);

/// Decodes a tree. `duplicates` are those of a JSON document, with the paths of the document, in which the tree is at
/// `prefix`.
pub(super) fn decode(
    node: &Node<'_>,
    of: &'static Struct,
    duplicates: &[Duplicate],
    prefix: &str,
) -> Result<Decoded, Fault> {
    let mut walk =
        Walk { duplicates, prefix, slips: Vec::new(), first: None, inside: None, fields: Vec::new() };
    let value = walk.value(node, Go::Struct(of), None)?;
    if let Some(first) = walk.first {
        return Err(first);
    }
    if !duplicates.is_empty() {
        walk.slips.sort_by_key(|slip| slip.at);
    }
    walk.slips.truncate(MAX_SLIPS);
    Ok((value, walk.slips))
}

/// Kind of a value, as messages about types name it.
pub(super) fn kind_of(data: &Data<'_>) -> &'static str {
    match data {
        Data::Null => "null",
        Data::Bool(_) => "bool",
        Data::Int(_) | Data::UInt(_) | Data::Float { .. } => "number",
        Data::Str(_) => "string",
        Data::Seq(_) => "array",
        Data::Map(_) => "object",
    }
}

/// The digits of a number.
fn number(data: &Data<'_>) -> Option<String> {
    match data {
        Data::Int(n) => Some(n.to_string()),
        Data::UInt(n) => Some(n.to_string()),
        Data::Float { value, text: "" } => Scalar::Float(*value).to_json().ok(),
        Data::Float { text, .. } => Some((*text).to_owned()),
        _ => None,
    }
}

struct Walk<'d> {
    duplicates: &'d [Duplicate],
    prefix: &'d str,
    slips: Vec<Fault>,
    first: Option<Fault>,
    /// The struct of the innermost field, and the fields down to it.
    inside: Option<&'static Struct>,
    fields: Vec<&'static str>,
}

impl Walk<'_> {
    /// Reads a value. What has a wrong type is noted and read as null.
    fn value(&mut self, node: &Node<'_>, go: Go, path: Option<&Path<'_>>) -> Result<Value, Fault> {
        Ok(match (go, &node.data) {
            (Go::Raw, _) => node.to_value(),
            (Go::Duration { .. }, _) => self.duration(node, go)?,
            (_, Data::Null) => Value::Null,
            (Go::Bool, Data::Bool(b)) => json!(b),
            (Go::Uint8, Data::Int(n)) if u8::try_from(*n).is_ok() => json!(n),
            (Go::Int32, Data::Int(n)) if i32::try_from(*n).is_ok() => json!(n),
            (Go::Int64, Data::Int(n)) => json!(n),
            (Go::Float32, Data::Int(_) | Data::UInt(_) | Data::Float { .. }) => self.float(node, go),
            (Go::Str(_), Data::Str(text)) => json!(text),
            (Go::Bytes, Data::Str(text)) => {
                if let Some(offset) = syntax::base64_error(text) {
                    let message = format!("illegal base64 data at input byte {offset}");
                    self.first.get_or_insert(Fault::new(message, node.at));
                }
                json!(text)
            }
            (Go::Bytes, Data::Seq(items)) => {
                let bytes = self.list(items, Go::Uint8, path)?;
                json!(ByteString(serde_json::from_value(bytes).unwrap_or_default()))
            }
            (Go::StringMap, Data::Map(entries)) => self.map(entries, path)?,
            (Go::List(item), Data::Seq(items)) => self.list(items, *item, path)?,
            (Go::Struct(of), Data::Map(entries)) => self.object(entries, of, path)?,
            _ => {
                let fault = self.wrong_type(node, go);
                self.first.get_or_insert(fault);
                Value::Null
            }
        })
    }

    fn wrong_type(&self, node: &Node<'_>, go: Go) -> Fault {
        let numeric = matches!(go, Go::Uint8 | Go::Int32 | Go::Int64 | Go::Float32);
        let what = match number(&node.data).filter(|_| numeric) {
            Some(digits) => format!("number {digits}"),
            None => kind_of(&node.data).to_owned(),
        };
        let target = match self.inside {
            Some(of) => format!("Go struct field {}.{}", of.short_name(), self.fields.join(".")),
            None => "Go value".to_owned(),
        };
        Fault::new(format!("json: cannot unmarshal {what} into {target} of type {go}"), node.at)
    }

    /// A type that reads itself: its errors end the decoding.
    fn duration(&self, node: &Node<'_>, go: Go) -> Result<Value, Fault> {
        let text = match (&node.data, go) {
            (Data::Null, Go::Duration { pointer: true }) => return Ok(Value::Null),
            (Data::Null, _) => "",
            (Data::Str(text), _) => text,
            _ => return Err(self.wrong_type(node, go)),
        };
        match text.parse::<Duration>() {
            Ok(duration) => Ok(json!(duration)),
            Err(message) => Err(Fault::new(message, node.at)),
        }
    }

    fn float(&mut self, node: &Node<'_>, go: Go) -> Value {
        match number(&node.data).and_then(|digits| digits.parse::<f32>().ok()).filter(|f| f.is_finite()) {
            Some(float) => json!(float),
            None => {
                let fault = self.wrong_type(node, go);
                self.first.get_or_insert(fault);
                Value::Null
            }
        }
    }

    fn list(&mut self, items: &[Node<'_>], go: Go, path: Option<&Path<'_>>) -> Result<Value, Fault> {
        let mut list = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let path = path.map(|p| p.index(i));
            list.push(match (self.value(item, go, path.as_ref())?, go) {
                (Value::Null, Go::Struct(_)) => json!({}),
                (Value::Null, Go::Str(_)) => json!(""),
                (Value::Null, _) => json!(0),
                (value, _) => value,
            });
        }
        Ok(Value::Array(list))
    }

    fn map(&mut self, entries: &[Entry<'_>], path: Option<&Path<'_>>) -> Result<Value, Fault> {
        let mut map = Map::new();
        for entry in entries {
            let path = field(path, &entry.key);
            self.note_duplicate(&path);
            let value = self.value(&entry.value, Go::Str("string"), Some(&path))?;
            map.insert(entry.key.to_string(), if value.is_null() { json!("") } else { value });
        }
        Ok(Value::Object(map))
    }

    fn object(
        &mut self,
        entries: &[Entry<'_>],
        of: &'static Struct,
        path: Option<&Path<'_>>,
    ) -> Result<Value, Fault> {
        let mut object = Map::new();
        let (outer, depth) = (self.inside, self.fields.len());
        for entry in entries {
            let path = field(path, &entry.key);
            let Some((name, go)) = of.fields.iter().find(|(name, _)| *name == entry.key) else {
                let message = format!("unknown field {}", go_quote(&path.to_string()));
                let names: Vec<&str> = of.fields.iter().map(|(name, _)| *name).collect();
                let help = nearest(&entry.key, &names).map(|near| format!("did you mean {near:?}?"));
                self.slips.push(Fault { message, at: entry.key_at, help });
                continue;
            };
            self.note_duplicate(&path);
            self.fields.push(name);
            self.inside = Some(of);
            let value = self.value(&entry.value, *go, Some(&path))?;
            self.fields.truncate(depth);
            self.inside = outer;
            if !value.is_null() {
                object.insert((*name).to_owned(), value);
            }
        }
        Ok(Value::Object(object))
    }

    fn note_duplicate(&mut self, path: &Path<'_>) {
        if self.duplicates.is_empty() {
            return;
        }
        let inner = path.to_string();
        let full = format!("{}{inner}", self.prefix);
        if let Some(duplicate) = self.duplicates.iter().find(|d| d.path == full) {
            let message = format!("duplicate field {}", go_quote(&inner));
            self.slips.push(Fault::new(message, duplicate.at));
        }
    }
}
