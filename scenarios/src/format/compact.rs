//! Values with a short and a long form: `5s` or `{uniform: [1s, 5s]}`.
//!
//! `#[serde(untagged)]` would do, but its only error is "did not match any variant", without place or reason.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor, value,
};

/// A type that is written as a text (or number), or as a map (or list) of another type.
pub(crate) trait Compact: Sized {
    /// The long form.
    type Long: DeserializeOwned + JsonSchema;
    /// What is expected, for errors: `a duration or a distribution`.
    const EXPECTED: &'static str;
    /// Name in the schema.
    const NAME: &'static str;
    /// JSON types of the short form.
    const SHORT: &'static [&'static str];

    /// Reads the short form.
    fn from_text(text: &str) -> Result<Self, String>;
    /// Takes the long form.
    fn from_long(long: Self::Long) -> Result<Self, String>;
}

/// Deserializes a [`Compact`].
pub(crate) fn deserialize<'de, T: Compact, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(CompactVisitor(PhantomData))
}

/// The schema of a [`Compact`].
pub(crate) fn schema<T: Compact>(generator: &mut SchemaGenerator) -> Schema {
    let long = generator.subschema_for::<T::Long>();
    json_schema!({ "description": T::EXPECTED, "anyOf": [{ "type": T::SHORT }, long] })
}

/// Serde and schema of a [`Compact`] type, in one line.
macro_rules! compact {
    ($ty:ty) => {
        impl<'de> serde::Deserialize<'de> for $ty {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::format::compact::deserialize(deserializer)
            }
        }
        impl schemars::JsonSchema for $ty {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$ty as $crate::format::compact::Compact>::NAME.into()
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::format::compact::schema::<$ty>(generator)
            }
        }
    };
}
pub(crate) use compact;

struct CompactVisitor<T>(PhantomData<T>);

impl<T: Compact> CompactVisitor<T> {
    fn long<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::from_long(<T::Long as Deserialize>::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    fn number<E: Error>(json_type: &str, found: Unexpected<'_>, text: &str) -> Result<T, E> {
        if T::SHORT.contains(&json_type) || T::SHORT.contains(&"number") {
            T::from_text(text).map_err(E::custom)
        } else {
            Err(E::invalid_type(found, &T::EXPECTED))
        }
    }
}

impl<'de, T: Compact> Visitor<'de> for CompactVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<T, E> {
        Self::number("integer", Unexpected::Signed(n), &n.to_string())
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<T, E> {
        Self::number("integer", Unexpected::Unsigned(n), &n.to_string())
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<T, E> {
        Self::number("number", Unexpected::Float(n), &n.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        Self::long(value::MapAccessDeserializer::new(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
        Self::long(value::SeqAccessDeserializer::new(seq))
    }
}
