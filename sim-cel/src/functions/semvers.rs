//! Semantic versions (`k8s.io/apiserver/pkg/cel/library/semverlib.go`).

use std::sync::Arc;

use super::text;
use crate::failure::Failure;
use crate::meter::Meter;
use crate::semver::Semver;
use crate::value::Value;

type Outcome = Result<Value, Failure>;

fn semver(args: &[Value], index: usize) -> Result<&Semver, Failure> {
    match args.get(index) {
        Some(Value::Semver(value)) => Ok(value),
        _ => Err(Failure::no_overload()),
    }
}

fn read(args: &[Value]) -> Result<Result<Semver, String>, Failure> {
    let text = text(args)?;
    let normalize = matches!(args.get(1), Some(Value::Bool(true)));
    Ok(if normalize { Semver::parse_normalized(text) } else { Semver::parse(text) })
}

pub(crate) fn parse(_: &mut Meter, args: &[Value]) -> Outcome {
    read(args)?.map(|v| Value::Semver(Arc::new(v))).map_err(Failure::error)
}

pub(crate) fn is(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(read(args)?.is_ok()))
}

pub(crate) fn greater(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(semver(args, 0)?.compare(semver(args, 1)?).is_gt()))
}

pub(crate) fn less(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(semver(args, 0)?.compare(semver(args, 1)?).is_lt()))
}

pub(crate) fn compare(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Int(semver(args, 0)?.compare(semver(args, 1)?) as i64))
}

pub(crate) fn major(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Int(semver(args, 0)?.major as i64))
}

pub(crate) fn minor(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Int(semver(args, 0)?.minor as i64))
}

pub(crate) fn patch(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Int(semver(args, 0)?.patch as i64))
}
