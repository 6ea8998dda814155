//! `machinery/quantity.json`: parsing, printing, rounding and arithmetic of quantities.

use serde_json::{Value, json};
use sim_core::quantity::{Format, Quantity};
use sim_core::yaml_scalar::Scalar;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    match text(input, "op") {
        "parse" => check_parse(text(input, "s"), expected),
        "ops" => check_ops(input, expected),
        "new" => check_facts(&construct(input)?, expected),
        "json" => check_json(text(input, "document"), expected),
        "yaml" => check_yaml(text(input, "document"), expected),
        other => Err(format!("unknown op {other:?}")),
    }
}

pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

pub(super) fn same(what: &str, ours: impl Into<Value>, expected: &Value) -> Result<(), String> {
    let ours = ours.into();
    if ours == *expected { Ok(()) } else { Err(format!("{what}: expected {expected}, got {ours}")) }
}

fn read(text: &str) -> Result<Quantity, String> {
    Quantity::parse(text).map_err(|e| format!("{text:?}: {e}"))
}

fn check_parse(text: &str, expected: &Value) -> Result<(), String> {
    match Quantity::parse(text) {
        Ok(quantity) => {
            same("ok", true, &expected["ok"])?;
            check_facts(&quantity, expected)
        }
        Err(error) => {
            same("ok", false, &expected["ok"])?;
            same("error", error.to_string(), &expected["error"])?;
            same("mustParsePanic", format!("cannot parse '{text}': {error}"), &expected["mustParsePanic"])
        }
    }
}

/// Everything that can be read off one quantity.
fn check_facts(q: &Quantity, expected: &Value) -> Result<(), String> {
    let canonical = q.canonical();
    same("string", canonical.as_str(), &expected["string"])?;
    let printed = q.to_string();
    let cached = if printed == canonical { Value::Null } else { printed.as_str().into() };
    same("cachedString", cached, &expected["cachedString"])?;
    same("json", json!(q).to_string(), &expected["json"])?;
    same("format", q.format().as_str(), &expected["format"])?;
    same("isZero", q.is_zero(), &expected["isZero"])?;
    same("sign", q.sign(), &expected["sign"])?;
    same("value", q.value().to_string(), &expected["value"])?;
    same("milliValue", q.milli_value().to_string(), &expected["milliValue"])?;
    same("asDec", q.decimal_text(), &expected["asDec"])?;
    same("asInt64.ok", q.as_int64().is_some(), &expected["asInt64"]["ok"])?;
    if let Some(value) = q.as_int64() {
        same("asInt64.value", value.to_string(), &expected["asInt64"]["value"])?;
    }
    same_float("approxFloat64", q.as_approximate_f64(), &expected["approxFloat64"])?;
    same_float("float64Slow", q.as_f64_slow(), &expected["float64Slow"])?;
    let mut negated = q.clone();
    negated.neg();
    same("neg", negated.canonical(), &expected["neg"])?;
    check_scales(q, expected)
}

fn check_scales(q: &Quantity, expected: &Value) -> Result<(), String> {
    for (scale, value) in expected["scaledValue"].as_object().into_iter().flatten() {
        let ours = q.scaled_value(scale.parse().map_err(|e| format!("scale {scale}: {e}"))?);
        same(&format!("scaledValue {scale}"), ours.to_string(), value)?;
    }
    for (scale, value) in expected["roundUp"].as_object().into_iter().flatten() {
        let mut rounded = q.clone();
        let exact = rounded.round_up(scale.parse().map_err(|e| format!("scale {scale}: {e}"))?);
        let ours = json!({"exact": exact, "string": rounded.canonical()});
        same(&format!("roundUp {scale}"), ours, value)?;
    }
    Ok(())
}

fn same_float(what: &str, ours: f64, expected: &Value) -> Result<(), String> {
    match expected.as_str().and_then(|e| e.trim_start_matches('+').parse::<f64>().ok()) {
        Some(e) if e.to_bits() == ours.to_bits() => Ok(()),
        _ => Err(format!("{what}: expected {expected}, got {ours:e}")),
    }
}

/// Whatever part of a result the vector shows.
fn check_result(what: &str, q: &Quantity, expected: &Value) -> Result<(), String> {
    if expected.get("value").is_some() {
        return check_facts(q, expected).map_err(|e| format!("{what}.{e}"));
    }
    same(&format!("{what}.string"), q.canonical(), &expected["string"])?;
    same(&format!("{what}.format"), q.format().as_str(), &expected["format"])
}

fn check_ops(input: &Value, expected: &Value) -> Result<(), String> {
    let (a, b) = (read(text(input, "a"))?, read(text(input, "b"))?);
    let by: i64 = text(input, "mul").parse().map_err(|e| format!("mul: {e}"))?;
    let added = |x: &Quantity, y: &Quantity| {
        let mut sum = x.clone();
        sum.add(y);
        sum
    };
    let taken = |x: &Quantity, y: &Quantity| {
        let mut difference = x.clone();
        difference.sub(y);
        difference
    };
    check_result("add", &added(&a, &b), &expected["add"])?;
    check_result("addReverse", &added(&b, &a), &expected["addReverse"])?;
    check_result("sub", &taken(&a, &b), &expected["sub"])?;
    check_result("zeroValueAddB", &added(&Quantity::default(), &b), &expected["zeroValueAddB"])?;
    check_result("zeroValueSubB", &taken(&Quantity::default(), &b), &expected["zeroValueSubB"])?;
    same("cmp", a.cmp(&b) as i32, &expected["cmp"])?;
    same("cmpReverse", b.cmp(&a) as i32, &expected["cmpReverse"])?;
    same("equal", a == b, &expected["equal"])?;
    same("cmpInt64", a.cmp_int(by) as i32, &expected["cmpInt64"])?;
    let mut product = a.clone();
    same("mul.ok", product.mul(by), &expected["mul"]["ok"])?;
    check_result("mul", &product, &expected["mul"])
}

fn construct(input: &Value) -> Result<Quantity, String> {
    let value: i64 = text(input, "value").parse().map_err(|e| format!("value: {e}"))?;
    let format = match text(input, "format") {
        "BinarySI" => Format::BinarySI,
        "DecimalSI" => Format::DecimalSI,
        "DecimalExponent" => Format::DecimalExponent,
        _ => Format::Unset,
    };
    let scale = input["scale"].as_i64().and_then(|s| i8::try_from(s).ok()).ok_or("scale out of range")?;
    match text(input, "kind") {
        "NewQuantity" => Ok(Quantity::new(value, format)),
        "NewMilliQuantity" => Ok(Quantity::new_milli(value, format)),
        "NewScaledQuantity" => Ok(Quantity::new_scaled(value, scale)),
        other => Err(format!("unknown constructor {other:?}")),
    }
}

/// The document is `{"q":<token>}`, read over a quantity of 7.
fn check_json(document: &str, expected: &Value) -> Result<(), String> {
    let token = document.trim().strip_prefix("{\"q\":").and_then(|d| d.strip_suffix('}'));
    let mut q = read("7")?;
    match q.unmarshal_json(token.ok_or("a document of another form")?.trim()) {
        Ok(()) => {
            same("ok", true, &expected["ok"])?;
            check_facts(&q, expected)
        }
        Err(error) => {
            same("ok", false, &expected["ok"])?;
            same("error", error.to_string(), &expected["error"])
        }
    }
}

/// The document is `q: <scalar>`.
fn check_yaml(document: &str, expected: &Value) -> Result<(), String> {
    let scalar = document.trim().strip_prefix("q:").ok_or("a document of another form")?.trim();
    let scalar = match scalar.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
        Some(quoted) => Scalar::Text(quoted),
        None => Scalar::resolve(scalar),
    };
    let token = match scalar.to_json() {
        Ok(token) => token,
        Err(error) => return same("error", error, &expected["error"]),
    };
    same("json", format!("{{\"q\":{token}}}"), &expected["json"])?;
    let mut q = Quantity::default();
    match q.unmarshal_json(&token) {
        Ok(()) => {
            same("string", q.canonical(), &expected["string"])?;
            same("format", q.format().as_str(), &expected["format"])
        }
        Err(error) => {
            let error = format!("error unmarshaling JSON: while decoding JSON: {error}");
            same("error", error, &expected["error"])
        }
    }
}
