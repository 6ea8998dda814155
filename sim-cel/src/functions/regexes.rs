//! Regular expressions, RE2's as far as the `regex` crate has them (`common/types/string.go`, library `regex.go`).

use regex::{Regex, RegexBuilder};

use super::{integer, string, text};
use crate::failure::Failure;
use crate::meter::Meter;
use crate::value::{List, Value};

type Outcome = Result<Value, Failure>;

/// Largest compiled pattern in bytes.
const MAX_PROGRAM: usize = 1 << 20;

/// Compiles a pattern.
///
/// # Errors
/// In the words of Go's `regexp` for the common mistakes.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_PROGRAM)
        .nest_limit(200)
        .build()
        .map_err(|error| format!("error parsing regexp: {}", explain(pattern, &error)))
}

/// Go's name for what is wrong.
fn explain(pattern: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let has = |part: &str| text.contains(part);
    if has("unclosed group") {
        format!("missing closing ): `{pattern}`")
    } else if has("unopened group") {
        format!("unexpected ): `{pattern}`")
    } else if has("unclosed character class") {
        let at = pattern.rfind('[').unwrap_or(0);
        format!("missing closing ]: `{}`", &pattern[at..])
    } else if has("repetition operator missing expression") {
        let operator = pattern.chars().find(|c| matches!(c, '*' | '+' | '?')).unwrap_or('*');
        format!("missing argument to repetition operator: `{operator}`")
    } else if has("incomplete escape") {
        "trailing backslash at end of expression: ``".to_owned()
    } else if has("invalid repetition count range") {
        format!("invalid repeat count: `{pattern}`")
    } else {
        let line = text.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
        format!("{line}: `{pattern}`")
    }
}

pub(crate) fn matches(_: &mut Meter, args: &[Value]) -> Outcome {
    if !matches!(args.first(), Some(Value::String(_))) {
        return Err(Failure::no_function("matches"));
    }
    let regex = compile(string(args, 1)?).map_err(Failure::error)?;
    Ok(Value::Bool(regex.is_match(text(args)?)))
}

pub(crate) fn find(meter: &mut Meter, args: &[Value]) -> Outcome {
    run(meter, "find", &dynamic(args)?, args)
}

pub(crate) fn find_all(meter: &mut Meter, args: &[Value]) -> Outcome {
    run(meter, "findAll", &dynamic(args)?, args)
}

fn dynamic(args: &[Value]) -> Result<Regex, Failure> {
    compile(string(args, 1)?).map_err(|why| Failure::error(format!("Illegal regex: {why}")))
}

/// Runs one of the functions with a pattern that is compiled already.
pub(crate) fn run(meter: &mut Meter, function: &str, regex: &Regex, args: &[Value]) -> Outcome {
    let text = text(args)?;
    match function {
        "matches" => Ok(Value::Bool(regex.is_match(text))),
        "find" => Ok(Value::string(regex.find(text).map_or("", |found| found.as_str()))),
        _ => {
            let limit = if args.len() > 2 { integer(args, 2)? } else { -1 };
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let found: Vec<Value> =
                regex.find_iter(text).take(limit).map(|m| Value::string(m.as_str())).collect();
            meter.allow(found.len())?;
            Ok(Value::List(List::new(found)))
        }
    }
}
