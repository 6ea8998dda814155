//! Quantities (`k8s.io/apiserver/pkg/cel/library/quantity.go`).

use std::sync::Arc;

use sim_values::quantity::{Format, Quantity};

use super::text;
use crate::failure::Failure;
use crate::meter::Meter;
use crate::value::Value;

type Outcome = Result<Value, Failure>;

fn own(args: &[Value]) -> Result<&Quantity, Failure> {
    quantity(args, 0)
}

fn quantity(args: &[Value], index: usize) -> Result<&Quantity, Failure> {
    match args.get(index) {
        Some(Value::Quantity { value, .. }) => Ok(value),
        _ => Err(Failure::no_overload()),
    }
}

fn computed(value: Quantity) -> Value {
    Value::Quantity { value: Arc::new(value), computed: true }
}

pub(crate) fn parse(_: &mut Meter, args: &[Value]) -> Outcome {
    Quantity::parse(text(args)?).map(Value::quantity).map_err(|e| Failure::error(e.to_string()))
}

pub(crate) fn is(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(Quantity::parse(text(args)?).is_ok()))
}

pub(crate) fn sign(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Int(own(args)?.sign().into()))
}

pub(crate) fn greater(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(own(args)? > quantity(args, 1)?))
}

pub(crate) fn less(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(own(args)? < quantity(args, 1)?))
}

pub(crate) fn compare(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Int(own(args)?.cmp(quantity(args, 1)?) as i64))
}

pub(crate) fn float(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Double(own(args)?.as_approximate_f64()))
}

pub(crate) fn integer(_: &mut Meter, args: &[Value]) -> Outcome {
    own(args)?.as_int64().map(Value::Int).ok_or_else(|| Failure::error("cannot convert value to integer"))
}

pub(crate) fn is_integer(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(own(args)?.as_int64().is_some()))
}

/// The second argument, which may be an integer.
fn other(args: &[Value]) -> Result<Quantity, Failure> {
    match args.get(1) {
        Some(Value::Int(units)) => Ok(Quantity::new(*units, Format::DecimalExponent)),
        _ => quantity(args, 1).cloned(),
    }
}

pub(crate) fn add(_: &mut Meter, args: &[Value]) -> Outcome {
    let mut sum = own(args)?.clone();
    sum.add(&other(args)?);
    Ok(computed(sum))
}

pub(crate) fn sub(_: &mut Meter, args: &[Value]) -> Outcome {
    let mut difference = own(args)?.clone();
    difference.sub(&other(args)?);
    Ok(computed(difference))
}
