//! How quantities print: canonical form, JSON, decimal text and floats.

use std::fmt;

use num_bigint::BigInt;

use super::amount::{Dec, pow10};
use super::{Amount, Format, Quantity};

/// Suffix of a decimal exponent. Upstream prints none where its table has none (beyond exa).
fn decimal_suffix(exponent: i32, format: Format) -> String {
    if format == Format::DecimalExponent {
        return if exponent == 0 { String::new() } else { format!("e{exponent}") };
    }
    let suffix = match exponent {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => "",
    };
    suffix.to_string()
}

/// Suffix of a power of 1024; none beyond exbi, as upstream.
fn binary_suffix(power: u64) -> &'static str {
    match power {
        1 => "Ki",
        2 => "Mi",
        3 => "Gi",
        4 => "Ti",
        5 => "Pi",
        6 => "Ei",
        _ => "",
    }
}

/// Whole digits with the largest exponent that is a multiple of three.
fn decimal(digits: &str, exponent: i32, format: Format) -> String {
    let stripped = digits.trim_end_matches('0');
    let zeros = i32::try_from(digits.len() - stripped.len()).unwrap_or(i32::MAX);
    let exponent = exponent.saturating_add(zeros);
    let padding = exponent.rem_euclid(3);
    let zeros = &"00"[..usize::try_from(padding).unwrap_or(0)];
    format!("{stripped}{zeros}{}", decimal_suffix(exponent.saturating_sub(padding), format))
}

fn binary_int(value: i64) -> String {
    // The one number without a positive counterpart is printed as it is.
    let power = if value == i64::MIN { 0 } else { value.trailing_zeros() / 10 };
    format!("{}{}", value >> (10 * power), binary_suffix(u64::from(power)))
}

fn binary_dec(value: &BigInt) -> String {
    let power = value.trailing_zeros().unwrap_or(0) / 10;
    format!("{}{}", value >> (10 * power), binary_suffix(power))
}

/// Whole number in binary form, or `None` if it has a fraction.
fn binary(amount: &Amount) -> Option<String> {
    match amount {
        Amount::Int(int) => {
            let (whole, exact) = int.as_scale(0);
            match whole.as_scaled(0) {
                _ if !exact => None,
                (value, true) => Some(binary_int(value)),
                (_, false) => Some(binary_dec(&int.to_dec().round_up(0).0.unscaled)),
            }
        }
        Amount::Dec(dec) => {
            let (whole, exact) = dec.round_up(0);
            exact.then(|| binary_dec(&whole.unscaled))
        }
    }
}

impl Quantity {
    /// The canonical form, computed afresh (`CanonicalizeBytes`): no fraction, the largest suffix that loses nothing.
    /// Differs from [`Display`](fmt::Display) where the text of the input was kept.
    pub fn canonical(&self) -> String {
        if self.is_zero() {
            return "0".to_string();
        }
        let mut format = self.format;
        if format == Format::BinarySI {
            let small = self.cmp_int(-1024).is_gt() && self.cmp_int(1024).is_lt();
            match binary(&self.amount).filter(|_| !small) {
                Some(text) => return text,
                None => format = Format::DecimalSI,
            }
        }
        if format == Format::Unset {
            format = Format::DecimalExponent;
        }
        match &self.amount {
            Amount::Int(int) => decimal(&int.value.to_string(), int.scale, format),
            Amount::Dec(dec) => decimal(&dec.unscaled.to_string(), dec.scale.saturating_neg(), format),
        }
    }

    /// Plain decimal digits with as many places as the representation has (`AsDec().String()`).
    pub fn decimal_text(&self) -> String {
        let dec = self.amount.to_dec();
        let digits = dec.unscaled.magnitude().to_string();
        let sign = if dec.sign() < 0 { "-" } else { "" };
        let Ok(places) = usize::try_from(dec.scale) else {
            let zeros = if dec.sign() == 0 { 0 } else { dec.scale.unsigned_abs() as usize };
            return format!("{sign}{digits}{}", "0".repeat(zeros));
        };
        if places == 0 {
            return format!("{sign}{digits}");
        }
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        format!("{sign}{whole}.{fraction}")
    }

    /// The number times a float power of ten: fast and inexact (`AsApproximateFloat64`).
    pub fn as_approximate_f64(&self) -> f64 {
        let (base, exponent) = match &self.amount {
            Amount::Int(int) => (int.value as f64, int.scale),
            Amount::Dec(dec) => (nearest(&dec.unscaled), dec.scale.saturating_neg()),
        };
        if exponent == 0 { base } else { base * go_pow10(exponent) }
    }

    /// The float nearest to the number, by upstream's rounding (`AsFloat64Slow`).
    pub fn as_f64_slow(&self) -> f64 {
        let dec = self.amount.to_dec();
        match u32::try_from(dec.scale) {
            Err(_) => nearest(&(&dec.unscaled * pow10(dec.scale.unsigned_abs()))),
            Ok(places) => quotient(&dec, &pow10(places)),
        }
    }
}

/// Prints as upstream's `String()`: the text it was parsed from where upstream keeps it, else the canonical form.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() { f.pad(&self.canonical()) } else { f.pad(&self.text) }
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantity({self})")
    }
}

/// Nearest float, ties to even: what reading its digits gives.
fn nearest(n: &BigInt) -> f64 {
    n.to_string().parse().unwrap_or(f64::INFINITY)
}

/// `big.Float.Quo` at the precision of the dividend (at least 64 bits), then to float64: two roundings, as upstream.
fn quotient(dividend: &Dec, divisor: &BigInt) -> f64 {
    let n = dividend.unscaled.magnitude();
    let d = divisor.magnitude();
    if dividend.sign() == 0 {
        return 0.0;
    }
    let precision = n.bits().max(64);
    // Enough bits that the quotient has at least one more than the precision.
    let shift = precision + 2 + d.bits();
    let shifted = n << shift;
    let mut q = &shifted / d;
    let sticky = &q * d != shifted;
    let extra = q.bits() - precision;
    let half = num_bigint::BigUint::from(1u8) << (extra - 1);
    let rest = &q - ((&q >> extra) << extra);
    q >>= extra;
    if rest > half || (rest == half && (sticky || q.bit(0))) {
        q += 1u8;
    }
    let mantissa = nearest(&BigInt::from(q));
    let exponent = i64::try_from(extra).unwrap_or(i64::MAX) - i64::try_from(shift).unwrap_or(i64::MAX);
    let exponent = i32::try_from(exponent).unwrap_or(i32::MIN / 2);
    libm::ldexp(mantissa, exponent) * f64::from(dividend.sign())
}

/// `math.Pow10`: products of two table entries, as Go computes them.
fn go_pow10(exponent: i32) -> f64 {
    const SMALL: [f64; 32] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
        1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31,
    ];
    const LARGE: [f64; 10] = [1e0, 1e32, 1e64, 1e96, 1e128, 1e160, 1e192, 1e224, 1e256, 1e288];
    const TINY: [f64; 11] =
        [1e-0, 1e-32, 1e-64, 1e-96, 1e-128, 1e-160, 1e-192, 1e-224, 1e-256, 1e-288, 1e-320];
    let n = exponent.unsigned_abs() as usize;
    match exponent {
        0..=308 => LARGE[n / 32] * SMALL[n % 32],
        -323..=-1 => TINY[n / 32] / SMALL[n % 32],
        309.. => f64::INFINITY,
        _ => 0.0,
    }
}

impl Quantity {
    /// The Go value as `spew` dumps it (`%#v`, without its outer type): what template hashes are made of.
    pub fn write_go_dump(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let (value, scale) = match &self.amount {
            Amount::Int(int) => (int.value, int.scale),
            Amount::Dec(_) => (0, 0),
        };
        write!(out, "{{i:(resource.int64Amount){{value:(int64){value} scale:(resource.Scale){scale}}} ")?;
        out.write_str("d:(resource.infDecAmount){Dec:(*inf.Dec)")?;
        match &self.amount {
            Amount::Int(_) => out.write_str("<nil>")?,
            Amount::Dec(dec) => {
                let words: Vec<String> = dec.unscaled.iter_u64_digits().map(|w| w.to_string()).collect();
                let words =
                    if words.is_empty() { "<nil>".to_string() } else { format!("[{}]", words.join(" ")) };
                let negative = dec.sign() < 0;
                write!(out, "{{unscaled:(big.Int){{neg:(bool){negative} abs:(big.nat){words}}} ")?;
                write!(out, "scale:(inf.Scale){}}}", dec.scale)?;
            }
        }
        let (text, format) = (&self.text, self.format.as_str());
        write!(out, "}} s:(string){text} Format:(resource.Format){format}}}")
    }
}
