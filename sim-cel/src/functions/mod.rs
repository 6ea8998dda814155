//! What the functions do. Each takes its arguments with the receiver first, and checks what the declaration does not.

pub(crate) mod convert;
pub(crate) mod format;
pub(crate) mod formats;
pub(crate) mod lists;
pub(crate) mod net;
pub(crate) mod operators;
pub(crate) mod optionals;
pub(crate) mod quantities;
pub(crate) mod regexes;
pub(crate) mod semvers;
pub(crate) mod strings;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod urls;

use crate::failure::Failure;
use crate::meter::Meter;
use crate::value::Value;

/// An implementation.
pub(crate) type Function = fn(&mut Meter, &[Value]) -> Result<Value, Failure>;

/// The first argument as a string.
pub(crate) fn text(args: &[Value]) -> Result<&str, Failure> {
    string(args, 0)
}

/// An argument as a string.
pub(crate) fn string(args: &[Value], index: usize) -> Result<&str, Failure> {
    match args.get(index) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(Failure::no_overload()),
    }
}

/// An argument as an integer.
pub(crate) fn integer(args: &[Value], index: usize) -> Result<i64, Failure> {
    match args.get(index) {
        Some(Value::Int(i)) => Ok(*i),
        _ => Err(Failure::no_overload()),
    }
}
