//! The pod-template-hash: FNV-32a over a dump of the Go value, so it needs Go's types and the order of their fields.
//!
//! `controller.ComputeHash` prints the template with `spew` (types shown, keys sorted, no addresses) and hashes the
//! text. The types are in `pod_template_types.txt`, taken from k8s.io/api v0.34.1 by reflection; a newer field changes
//! every hash, as it does upstream.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

use super::Fnv32a;
use super::go_types::{self, Types};
use crate::quantity::Quantity;

/// How the hashing component got the template. Quantities keep their text differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decoding {
    /// From JSON, as a client that asks for it.
    Json,
    /// From protobuf, as kube-controller-manager: quantities were printed once, and empty lists and maps are gone.
    #[default]
    Protobuf,
}

impl fmt::Write for Fnv32a {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

/// The hash of a pod template in its JSON form, with the collision count of its controller if there is one.
///
/// Templates with a `creationTimestamp`, `deletionTimestamp` or `managedFields` (none is stored) are hashed as if those
/// were absent.
///
/// ```
/// # use sim_core::names::{Decoding, pod_template_hash};
/// let template = serde_json::json!({"metadata": {"labels": {"app": "a"}},
///     "spec": {"containers": [{"name": "c", "image": "i"}]}});
/// assert_eq!(pod_template_hash(&template, Some(0), Decoding::Protobuf), "77bdbc7769");
/// ```
pub fn pod_template_hash(template: &Value, collision_count: Option<i32>, decoding: Decoding) -> String {
    let mut dump = Dump { types: go_types::read(), decoding, hash: Fnv32a::default() };
    // Writing to a hash does not fail.
    let _ = dump.value("v1.PodTemplateSpec", Some(template), true);
    let mut hash = dump.hash;
    if let Some(count) = collision_count {
        hash.write(&count.to_le_bytes());
        hash.write(&[0; 4]);
    }
    hash.safe_sum()
}

/// The hash of a template as kube-controller-manager has it: [`pod_template_hash`] of the wire form, by protobuf.
pub fn template_hash(template: &PodTemplateSpec, collision_count: Option<i32>) -> String {
    let value = serde_json::to_value(template).unwrap_or_default();
    pod_template_hash(&value, collision_count, Decoding::Protobuf)
}

struct Dump {
    types: Types,
    decoding: Decoding,
    hash: Fnv32a,
}

impl Dump {
    /// A value of a Go type. Elements of lists and maps do not show their type.
    fn value(&mut self, go: &str, value: Option<&Value>, show_type: bool) -> fmt::Result {
        let value = value.filter(|v| !v.is_null());
        if let Some(target) = go.strip_prefix('*') {
            write!(self.hash, "({go})")?;
            return match value.filter(|_| !matches!(target, "v1.Time" | "v1.FieldsV1")) {
                Some(_) => self.value(target, value, false),
                None => self.hash.write_str("<nil>"),
            };
        }
        if show_type {
            write!(self.hash, "({go})")?;
        }
        if let Some(element) = go.strip_prefix("[]") {
            return self.list(element, value);
        }
        if let Some((_, element)) = go.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
            return self.map(element, value);
        }
        match go {
            "bool" => write!(self.hash, "{}", value.and_then(Value::as_bool).unwrap_or_default()),
            "int32" | "int64" => write!(self.hash, "{}", value.and_then(Value::as_i64).unwrap_or_default()),
            "v1.Time" => self
                .hash
                .write_str("{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"),
            "intstr.IntOrString" => self.int_or_string(value),
            "resource.Quantity" => self.quantity(value),
            _ => match self.types.get(go).copied() {
                None => self.hash.write_str(value.and_then(Value::as_str).unwrap_or_default()),
                Some(definition) => match definition.strip_prefix("= ") {
                    Some(alias) => self.value(alias, value, false),
                    None => self.fields(definition, value),
                },
            },
        }
    }

    fn fields(&mut self, definition: &'static str, value: Option<&Value>) -> fmt::Result {
        self.hash.write_char('{')?;
        for (i, field) in go_types::fields(definition).enumerate() {
            let space = if i > 0 { " " } else { "" };
            write!(self.hash, "{space}{}:", field.name)?;
            // Fields of an inlined struct are in the same JSON object.
            let inner = if field.json.is_empty() { value } else { value.and_then(|v| v.get(field.json)) };
            self.value(field.go, inner, true)?;
        }
        self.hash.write_char('}')
    }

    fn list(&mut self, element: &str, value: Option<&Value>) -> fmt::Result {
        let protobuf = self.decoding == Decoding::Protobuf;
        let Some(items) = value.and_then(Value::as_array).filter(|l| !(protobuf && l.is_empty())) else {
            return self.hash.write_str("<nil>");
        };
        self.hash.write_char('[')?;
        for (i, item) in items.iter().enumerate() {
            self.hash.write_str(if i > 0 { " " } else { "" })?;
            self.value(element, Some(item), false)?;
        }
        self.hash.write_char(']')
    }

    fn map(&mut self, element: &str, value: Option<&Value>) -> fmt::Result {
        let protobuf = self.decoding == Decoding::Protobuf;
        let Some(items) = value.and_then(Value::as_object).filter(|m| !(protobuf && m.is_empty())) else {
            return self.hash.write_str("<nil>");
        };
        let sorted: BTreeMap<&String, &Value> = items.iter().collect();
        self.hash.write_str("map[")?;
        for (i, (key, item)) in sorted.into_iter().enumerate() {
            let space = if i > 0 { " " } else { "" };
            write!(self.hash, "{space}{key}:")?;
            self.value(element, Some(item), false)?;
        }
        self.hash.write_char(']')
    }

    fn int_or_string(&mut self, value: Option<&Value>) -> fmt::Result {
        let text = value.and_then(Value::as_str);
        let number = value.and_then(Value::as_i64).unwrap_or_default();
        let (kind, text) = (i32::from(text.is_some()), text.unwrap_or_default());
        write!(self.hash, "{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){text}}}")
    }

    fn quantity(&mut self, value: Option<&Value>) -> fmt::Result {
        let mut quantity = Quantity::default();
        if let Some(value) = value {
            // What does not parse is not in a stored template.
            let _ = quantity.unmarshal_json(&value.to_string());
        }
        if self.decoding == Decoding::Protobuf {
            quantity = Quantity::parse(&quantity.to_string()).unwrap_or_default();
        }
        quantity.write_go_dump(&mut self.hash)
    }
}
