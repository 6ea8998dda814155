//! `machinery/validation.json`: what the API server refuses on create and update, cause by cause, and what it warns of.

use serde_json::{Value, json};
use sim_core::api::kind::Kinds;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::api::validation::{self, Rules, Warnings, field::Errors};
use sim_core::api::{defaults, strategy, wire};
use sim_core::features::FeatureGates;
use sim_core::time::Epoch;

/// As the recorder gave every object.
const UID: &str = "11111111-1111-1111-1111-111111111111";

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let (kinds, gates, mut rules) = (Kinds::default(), FeatureGates::default(), Rules::default());
    let (object, got) = match input["op"].as_str() {
        Some("create") => {
            let object = match decoded(&input["object"], &kinds) {
                Ok(mut object) => {
                    strategy::prepare_create(&mut object, gates);
                    defaults::apply_internal(&mut object);
                    object
                }
                Err(error) => return undecoded(&error, expected),
            };
            let got = validation::check_create(&object, &kinds, &mut rules, None);
            (object, got)
        }
        Some("update") => {
            let old = decoded(&input["old"], &kinds)?;
            let mut new = decoded(&input["new"], &kinds)?;
            strategy::prepare_update(&mut new, &old, gates);
            defaults::apply_internal(&mut new);
            let got = validation::check_update(&new, &old, &kinds, &mut rules);
            (new, got)
        }
        other => return Err(format!("unknown op {other:?}")),
    };
    compare(&object, &kinds, got, expected)
}

fn decoded(wire: &Value, kinds: &Kinds) -> Result<Object, String> {
    let mut object = wire::from_json(wire, kinds, Epoch::default()).map_err(|e| e.message().to_string())?;
    defaults::apply(&mut object, &|| Epoch::default().rfc3339(sim_core::time::Time::ZERO));
    object.meta.uid = Uid::parse(UID);
    Ok(object)
}

fn undecoded(error: &str, expected: &Value) -> Result<(), String> {
    if expected["stage"] == "decode" && expected["error"] == *error {
        return Ok(());
    }
    Err(format!("expected {expected}, but it could not be read: {error}"))
}

fn compare(
    object: &Object,
    kinds: &Kinds,
    (errors, warnings): (Errors, Warnings),
    expected: &Value,
) -> Result<(), String> {
    let shown = |e: &sim_core::api::validation::field::FieldError| json!({"field": e.field, "message": e.message, "reason": e.kind.reason()});
    let mut causes: Vec<Value> = errors.0.iter().map(shown).collect();
    let mut wanted = expected["causes"].as_array().cloned().unwrap_or_default();
    if expected["orderUnstable"] == true {
        for list in [&mut causes, &mut wanted] {
            list.sort_by_key(Value::to_string);
        }
    }
    same("causes", &Value::from(causes), &Value::from(wanted))?;
    same("warnings", &json!(warnings), expected.get("warnings").unwrap_or(&json!([])))?;
    let refused = errors.into_result(kinds.info(object.kind), object.meta.name());
    match (refused, expected["error"].as_str()) {
        (Err(error), Some(message)) => same("error", &json!(error.message), &json!(message)),
        (Ok(()), Some(message)) => Err(format!("expected the error {message:?}, it was accepted")),
        (got, None) => same("valid", &json!(got.is_ok()), &expected["valid"]),
    }
}

fn same(what: &str, got: &Value, expected: &Value) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("{what}: expected {expected}, got {got}")) }
}
