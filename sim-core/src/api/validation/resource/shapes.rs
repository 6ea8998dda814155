//! The internal forms that messages about claims show.

use serde_json::{Map, Value};

use crate::api::validation::internal::Shape::{List, Number, Plain, Pointer, Struct, Text};
use crate::api::validation::internal::{Fields, NODE_SELECTOR, structure};

const SELECTOR: Fields = &[("CEL", Pointer(&[("Expression", Text)]))];
const TOLERATION: Fields =
    &[("Key", Text), ("Operator", Text), ("Value", Text), ("Effect", Text), ("TolerationSeconds", Plain)];
const CAPACITY: Fields = &[("Requests", Plain)];
const EXACT: Fields = &[
    ("DeviceClassName", Text),
    ("Selectors", List(SELECTOR)),
    ("AllocationMode", Text),
    ("Count", Number),
    ("AdminAccess", Plain),
    ("Tolerations", List(TOLERATION)),
    ("Capacity", Pointer(CAPACITY)),
];
const SUB: Fields = &[
    ("Name", Text),
    ("DeviceClassName", Text),
    ("Selectors", List(SELECTOR)),
    ("AllocationMode", Text),
    ("Count", Number),
    ("Tolerations", List(TOLERATION)),
    ("Capacity", Pointer(CAPACITY)),
];
const REQUEST: Fields = &[("Name", Text), ("Exactly", Pointer(EXACT)), ("FirstAvailable", List(SUB))];
const CONSTRAINT: Fields = &[("Requests", Plain), ("MatchAttribute", Plain), ("DistinctAttribute", Plain)];
const OPAQUE: Fields = &[("Driver", Text), ("Parameters", Plain)];
const CONFIG: Fields = &[("Requests", Plain), ("Opaque", Pointer(OPAQUE))];
const DEVICES: Fields =
    &[("Requests", List(REQUEST)), ("Constraints", List(CONSTRAINT)), ("Config", List(CONFIG))];
const CLAIM: Fields = &[("Devices", Struct(DEVICES))];

const RESULT: Fields = &[
    ("Request", Text),
    ("Driver", Text),
    ("Pool", Text),
    ("Device", Text),
    ("AdminAccess", Plain),
    ("Tolerations", List(TOLERATION)),
    ("BindingConditions", Plain),
    ("BindingFailureConditions", Plain),
    ("ShareID", Plain),
    ("ConsumedCapacity", Plain),
];
const SOURCED: Fields = &[("Source", Text), ("Requests", Plain), ("Opaque", Pointer(OPAQUE))];
const ALLOCATION: Fields = &[
    ("Devices", Struct(&[("Results", List(RESULT)), ("Config", List(SOURCED))])),
    ("NodeSelector", Pointer(NODE_SELECTOR)),
    ("AllocationTimestamp", Plain),
];

pub(super) fn claim_spec(spec: &Value) -> Value {
    structure(spec, CLAIM)
}

/// The metadata of a template is embedded, in its form on the wire.
pub(super) fn template_spec(spec: &Value) -> Value {
    let mut fields = spec.get("metadata").and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
    fields.insert("Spec".into(), claim_spec(spec.get("spec").unwrap_or(&Value::Null)));
    Value::Object(fields)
}

pub(super) fn allocation(allocation: &Value) -> Value {
    structure(allocation, ALLOCATION)
}
