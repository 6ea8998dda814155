//! Quantities of resources, digit for digit as `k8s.io/apimachinery/pkg/api/resource` (v1.34).
//!
//! A [`Quantity`] is a number (a 64-bit integer with a decimal scale, or a decimal of any size), the family of suffixes
//! it prints with, and, where upstream keeps it, the text it was read from. Numbers that upstream gets wrong (wrapped
//! overflows, lost suffixes beyond exa) are wrong here in the same way.

mod amount;
mod format;
mod parse;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cmp::Ordering;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use smol_str::SmolStr;

use amount::{Dec, Int};

/// The family of suffixes a quantity prints with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Of the zero value; prints like `DecimalExponent`, and takes the format of what is added to it.
    #[default]
    Unset,
    /// `12e6`.
    DecimalExponent,
    /// `12Mi`.
    BinarySI,
    /// `12M`.
    DecimalSI,
}

impl Format {
    /// Upstream's name; empty if unset.
    pub const fn as_str(self) -> &'static str {
        match self {
            Format::Unset => "",
            Format::DecimalExponent => "DecimalExponent",
            Format::BinarySI => "BinarySI",
            Format::DecimalSI => "DecimalSI",
        }
    }
}

/// Why a text is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// No digits, or an exponent beyond ±10000.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// An unknown suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

#[derive(Clone, Debug)]
enum Amount {
    Int(Int),
    Dec(Box<Dec>),
}

impl Amount {
    fn to_dec(&self) -> Cow<'_, Dec> {
        match self {
            Amount::Int(int) => Cow::Owned(int.to_dec()),
            Amount::Dec(dec) => Cow::Borrowed(dec),
        }
    }
}

/// An amount of something. Equality and order are those of the numbers, whatever their formats.
#[derive(Clone)]
pub struct Quantity {
    amount: Amount,
    format: Format,
    /// The text it was parsed from, where upstream keeps it; any arithmetic clears it.
    text: SmolStr,
}

/// Zero without a format: upstream's `Quantity{}`.
impl Default for Quantity {
    fn default() -> Quantity {
        Quantity::new(0, Format::Unset)
    }
}

impl Quantity {
    /// `resource.NewQuantity`: so many units.
    pub const fn new(value: i64, format: Format) -> Quantity {
        Quantity::with_scale(value, 0, format)
    }

    /// `resource.NewMilliQuantity`: so many thousandths.
    pub const fn new_milli(value: i64, format: Format) -> Quantity {
        Quantity::with_scale(value, -3, format)
    }

    /// `resource.NewScaledQuantity`: `value × 10^scale`, in `DecimalSI`.
    pub const fn new_scaled(value: i64, scale: i8) -> Quantity {
        Quantity::with_scale(value, scale as i32, Format::DecimalSI)
    }

    const fn with_scale(value: i64, scale: i32, format: Format) -> Quantity {
        Quantity { amount: Amount::Int(Int { value, scale }), format, text: SmolStr::new_static("") }
    }

    /// Reads the wire form. Text that is no quantity is zero: the API server lets none in.
    pub fn from_wire(wire: &WireQuantity) -> Quantity {
        Quantity::parse(&wire.0).unwrap_or_default()
    }

    /// The wire form.
    pub fn to_wire(&self) -> WireQuantity {
        WireQuantity(self.to_string())
    }

    /// The family of suffixes it prints with.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Whole units, rounded away from zero. Overflow is upstream's (wrapped or zero, see [`Quantity::scaled_value`]).
    pub fn value(&self) -> i64 {
        self.scaled_value(0)
    }

    /// Thousandths, rounded away from zero.
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(-3)
    }

    /// In units of `10^scale`, rounded away from zero. What does not fit 64 bits is wrapped or zero, as upstream's
    /// `ScaledValue` has it: `10E` has the value 0.
    pub fn scaled_value(&self, scale: i8) -> i64 {
        match &self.amount {
            Amount::Int(int) => int.as_scaled(scale.into()).0,
            Amount::Dec(dec) => dec.scaled_value(scale.into()),
        }
    }

    /// The number, if it is held as a whole 64-bit integer (`AsInt64`); `None` does not mean that it would not fit.
    pub fn as_int64(&self) -> Option<i64> {
        match &self.amount {
            Amount::Int(int) if int.scale >= 0 => match amount::scale_up(int.value, int.scale) {
                (value, true) => Some(value),
                (_, false) => None,
            },
            _ => None,
        }
    }

    /// True for zero.
    pub fn is_zero(&self) -> bool {
        self.sign() == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        match &self.amount {
            Amount::Int(int) => int.value.signum() as i32,
            Amount::Dec(dec) => dec.sign(),
        }
    }

    /// Compares with whole units.
    pub fn cmp_int(&self, units: i64) -> Ordering {
        self.cmp(&Quantity::new(units, Format::Unset))
    }

    /// Rounds away from zero to a multiple of `10^scale`, and tells whether nothing was lost.
    pub fn round_up(&mut self, scale: i8) -> bool {
        let scale = i32::from(scale);
        match &mut self.amount {
            Amount::Int(int) if int.scale >= scale => true,
            Amount::Int(int) => {
                let (rounded, exact) = int.as_scale(scale);
                *int = rounded;
                self.text = SmolStr::default();
                exact
            }
            Amount::Dec(dec) => {
                let (rounded, exact) = dec.round_up(-scale);
                **dec = rounded;
                self.text = SmolStr::default();
                exact
            }
        }
    }

    /// Adds. A zero takes the format of what is added to it.
    pub fn add(&mut self, other: &Quantity) {
        if self.is_zero() {
            self.format = other.format;
        }
        self.text = SmolStr::default();
        let sum = match (&self.amount, &other.amount) {
            (Amount::Int(a), Amount::Int(b)) => a.add(*b),
            _ => None,
        };
        self.amount = match sum {
            Some(int) => Amount::Int(int),
            None => Amount::Dec(Box::new(self.amount.to_dec().add(&other.amount.to_dec()))),
        };
    }

    /// Subtracts. A zero takes the format of what is taken from it.
    pub fn sub(&mut self, other: &Quantity) {
        let mut negated = other.clone();
        if let (Amount::Int(a), Amount::Int(b)) = (&self.amount, &other.amount) {
            // The smallest integer has no negative: upstream's fast path wraps, its slow path is exact.
            let wrapped = Int { value: b.value.wrapping_neg(), scale: b.scale };
            if b.value == i64::MIN && a.add(wrapped).is_none() {
                negated.amount = Amount::Dec(Box::new(b.to_dec()));
            }
        }
        negated.neg();
        self.add(&negated);
    }

    /// Multiplies. False if upstream's result does not fit its unscaled 64 bits; the product is exact nevertheless.
    pub fn mul(&mut self, by: i64) -> bool {
        self.text = SmolStr::default();
        if let Amount::Int(int) = &mut self.amount
            && let Some(product) = int.mul(by)
        {
            *int = product;
            return true;
        }
        let mut dec = self.amount.to_dec().into_owned();
        dec.unscaled *= by;
        let fits = i64::try_from(&dec.unscaled).is_ok();
        self.amount = Amount::Dec(Box::new(dec));
        fits
    }

    /// Whether the two are held alike, as Go's `==` on the struct has it: same digits, scale, suffix family and kept
    /// text. Numbers beyond 64 bits are never alike, because upstream compares pointers there.
    pub fn identical(&self, other: &Quantity) -> bool {
        let same = match (&self.amount, &other.amount) {
            (Amount::Int(a), Amount::Int(b)) => (a.value, a.scale) == (b.value, b.scale),
            _ => false,
        };
        same && self.format == other.format && self.text == other.text
    }

    /// Turns the sign.
    pub fn neg(&mut self) {
        self.text = SmolStr::default();
        match &mut self.amount {
            Amount::Int(int) => int.value = int.value.wrapping_neg(),
            Amount::Dec(dec) => dec.unscaled = -std::mem::take(&mut dec.unscaled),
        }
    }

    /// Reads a JSON token, raw as it stands in the document, over this value (`UnmarshalJSON`). `null` zeroes the
    /// number and, as upstream, leaves the kept text.
    ///
    /// # Errors
    /// As [`Quantity::parse`]; escapes in strings are not understood.
    pub fn unmarshal_json(&mut self, token: &str) -> Result<(), QuantityError> {
        if token == "null" {
            self.amount = Amount::Int(Int::default());
            return Ok(());
        }
        let text = token.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(token);
        *self = Quantity::parse(text.trim())?;
        Ok(())
    }
}

/// Whole units of a text, rounded up.
///
/// # Errors
/// As [`Quantity::parse`].
pub fn parse_value(text: &str) -> Result<i64, QuantityError> {
    Quantity::parse(text).map(|q| q.value())
}

/// Thousandths of a text, rounded up.
///
/// # Errors
/// As [`Quantity::parse`].
pub fn parse_milli(text: &str) -> Result<i64, QuantityError> {
    Quantity::parse(text).map(|q| q.milli_value())
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        match (&self.amount, &other.amount) {
            (Amount::Int(a), Amount::Int(b)) => a.cmp(*b),
            (a, b) => a.to_dec().cmp(&b.to_dec()),
        }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Quantity {}

impl std::str::FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        Quantity::parse(text)
    }
}

impl serde::Serialize for Quantity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From a string or a number.
impl<'de> serde::Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let mut quantity = Quantity::default();
        quantity.unmarshal_json(&value.to_string()).map_err(serde::de::Error::custom)?;
        Ok(quantity)
    }
}
