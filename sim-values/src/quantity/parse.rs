//! `resource.ParseQuantity`.

use num_bigint::BigInt;
use smol_str::SmolStr;

use super::amount::{Dec, Int};
use super::{Amount, Format, Quantity, QuantityError};

/// Decimal digits that always fit 64 bits.
const MAX_INT_DIGITS: i32 = 18;
/// Decimal digits kept after the point.
const NANO_DIGITS: i32 = 9;
/// Largest exponent accepted, in either direction.
const MAX_EXPONENT: i32 = 10_000;

/// The parts of a quantity's text.
struct Parts<'a> {
    negative: bool,
    /// Sign and digits, as `inf.Dec` reads them.
    value: &'a str,
    /// Digits before the point without leading zeros, "0" if there are none.
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

fn end_of(text: &str, from: usize, is: impl Fn(u8) -> bool) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    from + rest.iter().take_while(|b| is(**b)).count()
}

fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    let digit = |b: u8| b.is_ascii_digit();
    let signed = usize::from(text.starts_with(['-', '+']));
    let negative = text.starts_with('-');
    let zeros = end_of(text, signed, |b| b == b'0');
    if zeros == text.len() {
        return Ok(Parts { negative, value: "0", whole: "0", fraction: "", suffix: "" });
    }
    let point = end_of(text, zeros, digit);
    let whole = if point == zeros { "0" } else { &text[zeros..point] };
    let (fraction, number) = match text.as_bytes().get(point) {
        Some(b'.') => {
            let end = end_of(text, point + 1, digit);
            (&text[point + 1..end], end)
        }
        _ => ("", point),
    };
    let letters = end_of(text, number, |b| b"eEinumkKMGTP".contains(&b));
    let sign = usize::from(matches!(text.as_bytes().get(letters), Some(b'-' | b'+')));
    if end_of(text, letters + sign, digit) != text.len() {
        return Err(QuantityError::Format);
    }
    Ok(Parts { negative, value: &text[..number], whole, fraction, suffix: &text[number..] })
}

/// Base-10 or base-2 exponent and format of a suffix.
fn interpret(suffix: &str) -> Result<(i32, Format), QuantityError> {
    let known = match suffix {
        "" => (0, Format::DecimalSI),
        "n" => (-9, Format::DecimalSI),
        "u" => (-6, Format::DecimalSI),
        "m" => (-3, Format::DecimalSI),
        "k" => (3, Format::DecimalSI),
        "M" => (6, Format::DecimalSI),
        "G" => (9, Format::DecimalSI),
        "T" => (12, Format::DecimalSI),
        "P" => (15, Format::DecimalSI),
        "E" => (18, Format::DecimalSI),
        "Ki" => (10, Format::BinarySI),
        "Mi" => (20, Format::BinarySI),
        "Gi" => (30, Format::BinarySI),
        "Ti" => (40, Format::BinarySI),
        "Pi" => (50, Format::BinarySI),
        "Ei" => (60, Format::BinarySI),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
            // Cut to 32 bits, as upstream does.
            let exponent = exponent.parse::<i64>().map_err(|_| QuantityError::Suffix)? as i32;
            // DIFFERS: upstream has no bound, and needs unbounded time and memory beyond it.
            if exponent.checked_abs().is_none_or(|e| e > MAX_EXPONENT) {
                return Err(QuantityError::Numeric);
            }
            (exponent, Format::DecimalExponent)
        }
    };
    Ok(known)
}

impl Quantity {
    /// Reads a quantity as `resource.ParseQuantity` does.
    ///
    /// Texts whose number fits 64 bits keep their text where upstream keeps it, so that they print as they were
    /// written. Larger or finer numbers are rounded up to nano; binary suffixes are capped at 2^63 - 1.
    ///
    /// # Errors
    /// [`QuantityError`], in upstream's words.
    ///
    /// ```
    /// # use sim_values::quantity::Quantity;
    /// let q = Quantity::parse("1500m")?;
    /// assert_eq!((q.value(), q.milli_value(), q.to_string().as_str()), (2, 1500, "1500m"));
    /// assert!(Quantity::parse("1 Gi").is_err());
    /// # Ok::<(), sim_values::quantity::QuantityError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let parts = split(text)?;
        let (exponent, format) = interpret(parts.suffix)?;
        if text == "0" {
            return Ok(Quantity { text: SmolStr::new_static("0"), ..Quantity::new(0, Format::DecimalSI) });
        }
        match parse_int(text, &parts, exponent, format) {
            Some(quantity) => Ok(quantity),
            None => parse_dec(&parts, exponent, format),
        }
    }
}

/// The fast path: at most 18 digits, at most nano precision.
fn parse_int(text: &str, parts: &Parts<'_>, exponent: i32, format: Format) -> Option<Quantity> {
    let whole_len = i32::try_from(parts.whole.len()).ok()?;
    let fraction_len = i32::try_from(parts.fraction.len()).ok()?;
    let binary = format == Format::BinarySI;
    let (room, scale, factor) = if binary {
        if fraction_len > 0 {
            return None;
        }
        (15 - whole_len - exponent * 3 / 10 - 1, 0, 1i64 << exponent)
    } else {
        (
            MAX_INT_DIGITS.checked_sub(whole_len.checked_add(fraction_len)?)?,
            exponent.saturating_sub(fraction_len),
            1,
        )
    };
    if room < 0 || scale < -NANO_DIGITS {
        return None;
    }
    let digits = parts.whole.bytes().chain(parts.fraction.bytes());
    let number = digits.clone().fold(0i64, |n, b| n * 10 + i64::from(b - b'0'));
    let value = number.checked_mul(factor)?;
    let value = if parts.negative { -value } else { value };
    let keeps_text = if binary {
        number & 7 != 0
    } else {
        let thousands = digits.clone().count() >= 3 && digits.clone().rev().take(3).all(|b| b == b'0');
        scale % 3 == 0 && !thousands && digits.clone().next() != Some(b'0')
    };
    let text = if keeps_text { SmolStr::new(text) } else { SmolStr::default() };
    Some(Quantity { amount: Amount::Int(Int { value, scale }), format, text })
}

fn parse_dec(parts: &Parts<'_>, exponent: i32, format: Format) -> Result<Quantity, QuantityError> {
    let mut dec = Dec::parse(parts.value).ok_or(QuantityError::Numeric)?;
    let mut format = format;
    if format == Format::BinarySI {
        dec.unscaled <<= exponent;
    } else {
        dec.scale = dec.scale.checked_sub(exponent).ok_or(QuantityError::Numeric)?;
    }
    if dec.sign() != 0 {
        dec = dec.round_up(NANO_DIGITS).0;
    }
    if format == Format::BinarySI && dec.sign() != 0 {
        let magnitude = Dec { unscaled: dec.unscaled.magnitude().clone().into(), scale: dec.scale };
        let max = Int { value: i64::MAX, scale: 0 }.to_dec();
        if magnitude.cmp(&max).is_gt() {
            dec = Dec { unscaled: BigInt::from(i64::MAX) * dec.sign(), scale: 0 };
        }
        // Fractions are never printed with a binary suffix.
        if magnitude.cmp(&Int { value: 1, scale: 0 }.to_dec()).is_lt() {
            format = Format::DecimalSI;
        }
    }
    Ok(Quantity { amount: Amount::Dec(Box::new(dec)), format, text: SmolStr::default() })
}
