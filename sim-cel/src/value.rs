//! Values at run time.

use std::net::IpAddr;
use std::sync::Arc;

use sim_values::quantity::Quantity;
use smol_str::SmolStr;

pub(crate) use crate::collections::{List, Map, Object};
use crate::functions::formats::NamedFormat;
use crate::functions::urls::Url;
use crate::semver::Semver;
use crate::types::Type;

/// A value. Clones are cheap: what is large is shared.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`.
    Null,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i64),
    /// `uint`.
    Uint(u64),
    /// `double`.
    Double(f64),
    /// `string`.
    String(SmolStr),
    /// `bytes`.
    Bytes(Arc<[u8]>),
    /// `list`.
    List(List),
    /// `map`.
    Map(Arc<Map>),
    /// An object with named fields.
    Object(Arc<Object>),
    /// A type.
    Type(Arc<Type>),
    /// `google.protobuf.Duration`, in nanoseconds.
    Duration(i64),
    /// `google.protobuf.Timestamp`.
    Timestamp(Timestamp),
    /// `optional_type`.
    Optional(Option<Arc<Value>>),
    /// `kubernetes.Quantity`.
    Quantity {
        /// The number.
        value: Arc<Quantity>,
        /// Whether it is the result of `add` or `sub`, which upstream holds by pointer and cannot have on the right of `==`.
        computed: bool,
    },
    /// `kubernetes.Semver`.
    Semver(Arc<Semver>),
    /// `kubernetes.URL`.
    Url(Arc<Url>),
    /// `net.IP`.
    Ip(IpAddr),
    /// `net.CIDR`: an address and the length of the prefix.
    Cidr(IpAddr, u8),
    /// `kubernetes.NamedFormat`.
    Format(&'static NamedFormat),
}

/// An instant: seconds since 1970 and nanoseconds within the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970, also before.
    pub seconds: i64,
    /// Nanoseconds, below a billion.
    pub nanos: u32,
}

impl Value {
    /// A string.
    pub fn string(text: impl AsRef<str>) -> Value {
        Value::String(SmolStr::new(text))
    }

    /// A quantity as it is written somewhere.
    pub fn quantity(value: Quantity) -> Value {
        Value::Quantity { value: Arc::new(value), computed: false }
    }

    /// An optional with a value.
    pub fn some(value: Value) -> Value {
        Value::Optional(Some(Arc::new(value)))
    }

    /// The type, without parameters of containers.
    pub fn type_of(&self) -> Type {
        match self {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Uint(_) => Type::Uint,
            Value::Double(_) => Type::Double,
            Value::String(_) => Type::String,
            Value::Bytes(_) => Type::Bytes,
            Value::List(_) => Type::list(Type::Dyn),
            Value::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Value::Object(object) => Type::Object(object.type_name().clone()),
            Value::Type(_) => Type::Meta(None),
            Value::Duration(_) => Type::Duration,
            Value::Timestamp(_) => Type::Timestamp,
            Value::Optional(_) => Type::optional(Type::Dyn),
            Value::Quantity { .. } => Type::Object(SmolStr::new_static("kubernetes.Quantity")),
            Value::Semver(_) => Type::Object(SmolStr::new_static("kubernetes.Semver")),
            Value::Url(_) => Type::Object(SmolStr::new_static("kubernetes.URL")),
            Value::Ip(_) => Type::Opaque(SmolStr::new_static("net.IP"), Arc::new([])),
            Value::Cidr(..) => Type::Opaque(SmolStr::new_static("net.CIDR"), Arc::new([])),
            Value::Format(_) => Type::Object(SmolStr::new_static("kubernetes.NamedFormat")),
        }
    }

    /// What `size()` and the cost model take for its size: `None` for what has no size and counts as one.
    pub fn size(&self) -> Option<u64> {
        match self {
            Value::String(text) if text.is_ascii() => Some(text.len() as u64),
            Value::String(text) => Some(text.chars().count() as u64),
            Value::Bytes(bytes) => Some(bytes.len() as u64),
            Value::List(list) => Some(list.len() as u64),
            Value::Map(map) => Some(map.len() as u64),
            Value::Ip(IpAddr::V4(_)) => Some(4),
            Value::Ip(IpAddr::V6(_)) => Some(16),
            Value::Cidr(_, bits) => Some(u64::from(*bits).div_ceil(8)),
            _ => None,
        }
    }

    /// As text where it is the key of a map or the index of a list in a message.
    pub(crate) fn key_text(&self) -> String {
        match self {
            Value::Null => "null".into(),
            Value::Bool(b) => b.to_string(),
            Value::Int(i) => i.to_string(),
            Value::Uint(u) => u.to_string(),
            Value::Double(d) => crate::functions::text::double(*d),
            Value::String(s) => s.to_string(),
            other => other.type_of().name().to_owned(),
        }
    }

    /// The result of a condition, or why it is none (`ConvertToNative(bool)`).
    ///
    /// # Errors
    /// In the words of cel-go's types.
    pub fn as_condition(&self) -> Result<bool, String> {
        let why = match self {
            Value::Bool(b) => return Ok(*b),
            Value::String(_) => "unsupported native conversion from string to 'bool'",
            Value::Int(_) => "unsupported type conversion from 'int' to bool",
            Value::Uint(_) => "unsupported type conversion from 'uint' to bool",
            Value::Double(_) => "type conversion error from Double to 'bool'",
            Value::Bytes(_) => "type conversion error from Bytes to 'bool'",
            Value::Semver(_) => "type conversion error from 'Semver' to 'bool'",
            Value::Quantity { .. } => "type conversion error from 'Quantity' to 'bool'",
            Value::Url(_) => "type conversion error from 'URL' to 'bool'",
            Value::Ip(_) => "type conversion error from 'IP' to 'bool'",
            Value::Cidr(..) => "type conversion error from 'CIDR' to 'bool'",
            other => {
                let name = other.type_of().name().to_owned();
                return Err(condition_error(
                    &name,
                    &format!("type conversion error from '{name}' to 'bool'"),
                ));
            }
        };
        Err(condition_error(self.type_of().name(), why))
    }
}

fn condition_error(name: &str, why: &str) -> String {
    format!("CEL result of type {name} could not be converted to bool: {why}")
}
