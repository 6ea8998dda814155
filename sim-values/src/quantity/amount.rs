//! The number inside a quantity: scaled 64-bit integers, and decimals of any size where those do not suffice.
//!
//! Overflow behaves as upstream's `scale_int.go` and `math.go` on amd64 do: some paths wrap, some answer zero, and
//! callers that ignore the overflow flag see those numbers. They are reproduced, because decisions depend on them.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};

/// `value × 10^scale` (upstream's `int64Amount`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Int {
    pub(super) value: i64,
    pub(super) scale: i32,
}

/// `unscaled × 10^-scale` (the `inf.Dec` of upstream; note the sign of the scale).
#[derive(Clone, Debug)]
pub(super) struct Dec {
    pub(super) unscaled: BigInt,
    pub(super) scale: i32,
}

/// `value × 10^by`, and whether it fits. What does not fit is a wrapped product for the scales upstream has a short cut
/// for (1, 2, 3, 6, 9), zero for the others.
pub(super) fn scale_up(value: i64, by: i32) -> (i64, bool) {
    let factor = match u32::try_from(by) {
        Err(_) | Ok(0) => return (value, true),
        Ok(by) => 10i64.checked_pow(by),
    };
    if value == 0 {
        return (0, true);
    }
    let Some(factor) = factor.filter(|_| value != i64::MIN) else { return (0, false) };
    match value.checked_mul(factor) {
        Some(product) => (product, true),
        None if matches!(by, 1 | 2 | 3 | 6 | 9) => (value.wrapping_mul(factor), false),
        None => (0, false),
    }
}

/// `value ÷ 10^by` rounded away from zero, and whether it was exact.
pub(super) fn scale_down(value: i64, by: i32) -> (i64, bool) {
    let Ok(by) = u32::try_from(by) else { return (value, true) };
    let Some(divisor) = 10i64.checked_pow(by) else { return (value.signum(), value == 0) };
    match value % divisor {
        0 => (value / divisor, true),
        _ => (value / divisor + value.signum(), false),
    }
}

impl Int {
    pub(super) fn to_dec(self) -> Dec {
        Dec { unscaled: BigInt::from(self.value), scale: self.scale.saturating_neg() }
    }

    /// The value in units of `10^scale`, rounded away from zero; the flag is false if it did not fit.
    pub(super) fn as_scaled(self, scale: i32) -> (i64, bool) {
        if self.scale < scale {
            (scale_down(self.value, scale.saturating_sub(self.scale)).0, true)
        } else {
            scale_up(self.value, self.scale.saturating_sub(scale))
        }
    }

    /// The same with at least that scale, rounded away from zero; the flag tells whether it is still exact.
    pub(super) fn as_scale(self, scale: i32) -> (Int, bool) {
        if self.scale >= scale {
            return (self, true);
        }
        let (value, exact) = scale_down(self.value, scale.saturating_sub(self.scale));
        (Int { value, scale }, exact)
    }

    pub(super) fn cmp(self, other: Int) -> Ordering {
        if self.scale < other.scale {
            return other.cmp(self).reverse();
        }
        let by = self.scale.saturating_sub(other.scale);
        match u32::try_from(by).ok().filter(|by| *by < 20) {
            Some(by) => (i128::from(self.value) * 10i128.pow(by)).cmp(&i128::from(other.value)),
            // 10^20 is beyond any 64-bit value: unless zero, the coarser side decides by its sign.
            None if self.value == 0 => 0.cmp(&other.value),
            None => self.value.cmp(&0),
        }
    }

    /// Adds at the finer of both scales; `None` if that does not fit.
    pub(super) fn add(self, other: Int) -> Option<Int> {
        if other.value == 0 {
            return Some(self);
        }
        if self.value == 0 {
            return Some(other);
        }
        let scale = self.scale.min(other.scale);
        let (a, a_fits) = scale_up(self.value, self.scale.saturating_sub(scale));
        let (b, b_fits) = scale_up(other.value, other.scale.saturating_sub(scale));
        let value = a.checked_add(b).filter(|_| a_fits && b_fits)?;
        Some(Int { value, scale })
    }

    /// Multiplies; `None` where upstream leaves its fast path: on overflow (also of the unscaled value) and where the
    /// product of a fraction is not a whole number.
    pub(super) fn mul(self, by: i64) -> Option<Int> {
        if self.value == 0 {
            return Some(self);
        }
        if by == 0 {
            return Some(Int::default());
        }
        let fits = self.value == 1 || by == 1 || (self.value != i64::MIN && by != i64::MIN);
        let value = self.value.checked_mul(by).filter(|_| fits)?;
        let whole = if self.scale >= 0 {
            scale_up(value, self.scale).1
        } else {
            scale_down(value, self.scale.saturating_neg()).1
        };
        whole.then_some(Int { value, scale: self.scale })
    }
}

/// The low 64 bits with the sign, as Go's `big.Int.Int64` answers for numbers that do not fit.
fn low_i64(n: &BigInt) -> i64 {
    let low = n.iter_u64_digits().next().unwrap_or(0) as i64;
    if n.sign() == Sign::Minus { low.wrapping_neg() } else { low }
}

pub(super) fn pow10(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

impl Dec {
    /// Digits with at most one point and an optional sign; `None` without any digit.
    pub(super) fn parse(text: &str) -> Option<Dec> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if !text.bytes().any(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits = [whole, fraction].concat();
        let unscaled = BigInt::parse_bytes(digits.as_bytes(), 10)?;
        Some(Dec { unscaled, scale: i32::try_from(fraction.len()).ok()? })
    }

    pub(super) fn sign(&self) -> i32 {
        match self.unscaled.sign() {
            Sign::Minus => -1,
            Sign::NoSign => 0,
            Sign::Plus => 1,
        }
    }

    /// The unscaled number at another scale, rounded away from zero.
    fn unscaled_at(&self, scale: i32) -> BigInt {
        let finer = i64::from(scale) - i64::from(self.scale);
        if self.unscaled.sign() == Sign::NoSign {
            return BigInt::ZERO;
        }
        let by = u32::try_from(finer.unsigned_abs()).unwrap_or(u32::MAX);
        if finer >= 0 {
            return &self.unscaled * pow10(by);
        }
        // Everything is fraction if the divisor is larger than 2^bits: no need to build it.
        if u64::from(by) > self.unscaled.bits() {
            return BigInt::from(self.sign());
        }
        let divisor = pow10(by);
        let quotient = &self.unscaled / &divisor;
        if (&self.unscaled % &divisor).sign() == Sign::NoSign { quotient } else { quotient + self.sign() }
    }

    /// Rounds away from zero to `10^-scale`, and tells whether it was exact.
    pub(super) fn round_up(&self, scale: i32) -> (Dec, bool) {
        let rounded = Dec { unscaled: self.unscaled_at(scale), scale };
        let exact = rounded.cmp(self) == Ordering::Equal;
        (rounded, exact)
    }

    pub(super) fn cmp(&self, other: &Dec) -> Ordering {
        let scale = self.scale.max(other.scale);
        self.unscaled_at(scale).cmp(&other.unscaled_at(scale))
    }

    pub(super) fn add(&self, other: &Dec) -> Dec {
        let scale = self.scale.max(other.scale);
        Dec { unscaled: self.unscaled_at(scale) + other.unscaled_at(scale), scale }
    }

    /// In units of `10^scale`. Upstream's `scaledValue`: fractions count one up, also for negative numbers of the
    /// short path (-1500m is 0 here, where the integer form answers -2), and what is too large wraps.
    pub(super) fn scaled_value(&self, scale: i32) -> i64 {
        let coarser = i64::from(self.scale) + i64::from(scale);
        let low = low_i64(&self.unscaled);
        if coarser <= 0 {
            let power = u32::try_from(-coarser).ok().and_then(|by| 10i64.checked_pow(by));
            // A float beyond the range of int64 converts to the smallest int64 on amd64.
            return low.wrapping_mul(power.unwrap_or(i64::MIN));
        }
        let by = u32::try_from(coarser).unwrap_or(u32::MAX);
        if by < 19 && self.unscaled < BigInt::from(i64::MAX) {
            let divisor = 10i64.pow(by);
            return low / divisor + i64::from(low % divisor != 0);
        }
        if u64::from(by) > self.unscaled.bits() {
            return i64::from(self.sign() > 0);
        }
        let divisor = pow10(by);
        let quotient = &self.unscaled / &divisor;
        let inexact = (&self.unscaled % &divisor).sign() != Sign::NoSign;
        // Upstream takes the floor and adds one: for a negative number that is the truncated quotient.
        let up = i64::from(inexact && self.sign() > 0);
        low_i64(&quotient).wrapping_add(up)
    }
}
