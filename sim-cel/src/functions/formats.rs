//! Named formats (library `format.go`).

use sim_values::syntax::{
    is_dns1035_label, is_dns1123_label, is_dns1123_subdomain, is_qualified_name, is_valid_label_value,
};

use super::{convert, string, text, urls};
use crate::failure::Failure;
use crate::meter::Meter;
use crate::value::{List, Value};

/// A format by name.
#[derive(Debug)]
pub struct NamedFormat {
    pub(crate) key: &'static str,
    check: fn(&str) -> Vec<String>,
    /// Length of the pattern, or of one as expensive.
    pub(crate) regex_size: u64,
    pub(crate) constant: super::Function,
}

/// One entry of the table, whose constant is a function without arguments.
macro_rules! named {
    ($index:literal, $key:literal, $size:literal, $check:expr) => {
        NamedFormat {
            key: $key,
            check: $check,
            regex_size: $size,
            constant: |_, _| Ok(Value::Format(&FORMATS[$index])),
        }
    };
}

/// All formats.
pub(crate) static FORMATS: &[NamedFormat] = &[
    named!(0, "dns1123Label", 30, is_dns1123_label),
    named!(1, "dns1123Subdomain", 60, is_dns1123_subdomain),
    named!(2, "dns1035Label", 30, is_dns1035_label),
    named!(3, "qualifiedName", 60, is_qualified_name),
    named!(4, "dns1123LabelPrefix", 30, |text| is_dns1123_label(without_dash(text))),
    named!(5, "dns1123SubdomainPrefix", 60, |text| is_dns1123_subdomain(without_dash(text))),
    named!(6, "dns1035LabelPrefix", 30, |text| is_dns1035_label(without_dash(text))),
    named!(7, "labelValue", 40, is_valid_label_value),
    named!(8, "uri", 1103, |text| urls::complaint(text).into_iter().collect()),
    named!(9, "uuid", 72, |text| unless(uuid(text), "does not match the UUID format")),
    named!(10, "byte", 84, |text| unless(base64(text), "invalid base64")),
    named!(11, "date", 123, |text| unless(date(text), "invalid date")),
    named!(12, "datetime", 123, |text| unless(convert::parse_timestamp(text).is_some(), "invalid datetime")),
];

fn unless(valid: bool, why: &str) -> Vec<String> {
    if valid { Vec::new() } else { vec![why.to_owned()] }
}

/// Of a prefix, a dash at the end stands for what follows (`maskTrailingDash`).
fn without_dash(text: &str) -> &str {
    match text.strip_suffix('-') {
        Some(rest) if text.len() > 1 && !rest.ends_with('-') => rest,
        _ => text,
    }
}

fn uuid(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    plain.len() == 32
        && plain.bytes().all(|b| b.is_ascii_hexdigit())
        && (groups == [32] || groups == [8, 4, 4, 4, 12])
}

fn base64(text: &str) -> bool {
    let data = text.trim_end_matches('=');
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    !text.is_empty()
        && text.len().is_multiple_of(4)
        && text.len() - data.len() <= 2
        && data.bytes().all(known)
}

fn date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

pub(crate) fn named(_: &mut Meter, args: &[Value]) -> Result<Value, Failure> {
    let name = text(args)?;
    let found = FORMATS.iter().find(|format| format.key == name);
    Ok(found.map_or(Value::Optional(None), |format| Value::some(Value::Format(format))))
}

pub(crate) fn validate(_: &mut Meter, args: &[Value]) -> Result<Value, Failure> {
    let Some(Value::Format(format)) = args.first() else { return Err(Failure::no_overload()) };
    let wrong = (format.check)(string(args, 1)?);
    if wrong.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::some(Value::List(wrong.into_iter().map(Value::string).collect::<List>())))
}
