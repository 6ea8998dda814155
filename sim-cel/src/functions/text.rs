//! Values as text, as Go prints them.

/// `strconv.FormatFloat(value, 'g', -1, 64)`, which is what `string(double)` gives.
pub(crate) fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let exponent = scientific(value).1;
    if value != 0.0 && !(-4..21).contains(&exponent) {
        let (digits, exponent) = scientific(value);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

/// The shortest digits `d.ddd` and the power of ten.
fn scientific(value: f64) -> (String, i32) {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (digits.to_owned(), exponent.parse().unwrap_or(0))
}

/// `%.Nf`.
pub(crate) fn fixed(value: f64, precision: usize) -> String {
    format!("{value:.precision$}")
}
