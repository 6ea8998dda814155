//! Upstream's JSON (`kube-scheduler/extender/v1/types.go`), as Go writes and reads it: the types have no tags, so keys are
//! the names of Go's fields, and are read whatever their case.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sim_core::api::kind::Kinds;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::api::wire::{from_json, to_json};
use sim_core::time::Epoch;
use sim_scheduler::extender::{
    Asked, ExtenderError, ExtenderMetaVictims, ExtenderVictims, Filtered, Passed, Ratings,
};
use smol_str::SmolStr;

/// `ExtenderArgs`. With a cache of its own, the extender needs names only.
pub(crate) fn args(asked: &Asked<'_>, nodes: &[Arc<Object>], names_only: bool) -> Value {
    let objects = || nodes.iter().map(|node| untyped(node, asked.epoch)).collect::<Vec<_>>();
    let names = || nodes.iter().map(|node| node.key().name.as_str()).collect::<Vec<_>>();
    let pod = untyped(asked.pod, asked.epoch);
    match names_only {
        true => json!({"Pod": pod, "Nodes": null, "NodeNames": names()}),
        false => json!({"Pod": pod, "Nodes": {"metadata": {}, "items": objects()}, "NodeNames": null}),
    }
}

/// `ExtenderPreemptionArgs`.
pub(crate) fn preemption_args(
    asked: &Asked<'_>,
    candidates: &BTreeMap<SmolStr, ExtenderVictims>,
    names_only: bool,
) -> Value {
    let pod = |object: &Arc<Object>| match names_only {
        true => json!({"UID": object.meta.uid.to_string()}),
        false => untyped(object, asked.epoch),
    };
    let victims = |(node, victims): (&SmolStr, &ExtenderVictims)| {
        let pods: Vec<Value> = victims.pods.iter().map(pod).collect();
        (node.to_string(), json!({"Pods": pods, "NumPDBViolations": victims.pdb_violations}))
    };
    let all: Map<String, Value> = candidates.iter().map(victims).collect();
    let (full, meta) = if names_only { (Value::Null, all.into()) } else { (all.into(), Value::Null) };
    json!({
        "Pod": untyped(asked.pod, asked.epoch),
        "NodeNameToVictims": full,
        "NodeNameToMetaVictims": meta,
    })
}

/// `ExtenderBindingArgs`.
pub(crate) fn binding_args(asked: &Asked<'_>, node: &str) -> Value {
    let meta = &asked.pod.meta;
    json!({
        "PodName": meta.name(),
        "PodNamespace": meta.namespace(),
        "PodUID": meta.uid.to_string(),
        "Node": node,
    })
}

/// An object without its type, as upstream's caches have it.
fn untyped(object: &Object, epoch: Epoch) -> Value {
    let mut json = to_json(object, &Kinds::default(), epoch);
    if let Value::Object(map) = &mut json {
        map.retain(|key, _| key != "apiVersion" && key != "kind");
    }
    json
}

/// Reads `ExtenderFilterResult`.
pub(crate) fn filtered(response: &Value, names_only: bool, epoch: Epoch) -> Result<Filtered, ExtenderError> {
    let result = Struct::of("ExtenderFilterResult", response)?;
    result.check_error()?;
    let names = result.get("NodeNames").filter(|_| names_only);
    let passed = match (names, result.get("Nodes")) {
        (Some(names), _) => Passed::Names(texts(names, || result.field("NodeNames", "[]string"))?),
        (None, Some(nodes)) => Passed::Objects(node_list(nodes, epoch)?),
        (None, None) => Passed::Names(Vec::new()),
    };
    Ok(Filtered {
        passed,
        failed: result.text_map("FailedNodes")?,
        failed_and_unresolvable: result.text_map("FailedAndUnresolvableNodes")?,
    })
}

/// Reads `HostPriorityList`.
pub(crate) fn ratings(response: &Value) -> Result<Ratings, ExtenderError> {
    let list = match response {
        Value::Null => return Ok(Ratings::new()),
        Value::Array(list) => list,
        other => return Err(cannot(other, "Go value", "v1.HostPriorityList")),
    };
    let rating = |item: &Value| {
        let item = Struct::of("HostPriority", item)?;
        Ok((item.text("Host")?, item.integer("Score")?))
    };
    list.iter().map(rating).collect()
}

/// Reads `ExtenderPreemptionResult`.
pub(crate) fn victims(response: &Value) -> Result<BTreeMap<SmolStr, ExtenderMetaVictims>, ExtenderError> {
    let result = Struct::of("ExtenderPreemptionResult", response)?;
    let nodes = match result.get("NodeNameToMetaVictims") {
        None => return Ok(BTreeMap::new()),
        Some(Value::Object(nodes)) => nodes,
        Some(other) => {
            let field = result.field("NodeNameToMetaVictims", "map[string]*v1.MetaVictims");
            return Err(cannot(other, &field.0, field.1));
        }
    };
    let victims = |(node, victims): (&String, &Value)| {
        let victims = Struct::of("MetaVictims", victims)?;
        let pods = match victims.get("Pods") {
            None => Vec::new(),
            Some(Value::Array(pods)) => pods.iter().map(uid).collect::<Result<_, _>>()?,
            Some(other) => {
                let field = victims.field("Pods", "[]*v1.MetaPod");
                return Err(cannot(other, &field.0, field.1));
            }
        };
        let pdb_violations = victims.integer("NumPDBViolations")?;
        Ok((SmolStr::new(node), ExtenderMetaVictims { pods, pdb_violations }))
    };
    nodes.iter().map(victims).collect()
}

fn uid(pod: &Value) -> Result<Uid, ExtenderError> {
    Ok(Uid::parse(&Struct::of("MetaPod", pod)?.text("UID")?))
}

/// Reads `ExtenderBindingResult`.
pub(crate) fn bound(response: &Value) -> Result<(), ExtenderError> {
    Struct::of("ExtenderBindingResult", response)?.check_error()
}

/// `v1.NodeList`. Nodes come without their type.
fn node_list(list: &Value, epoch: Epoch) -> Result<Vec<Arc<Object>>, ExtenderError> {
    let items = match Struct::of("NodeList", list)?.get("items") {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(cannot(other, "Go struct field NodeList.items", "[]v1.Node")),
    };
    let node = |item: &Value| {
        let mut item = item.clone();
        if let Value::Object(map) = &mut item {
            map.insert("apiVersion".to_owned(), "v1".into());
            map.insert("kind".to_owned(), "Node".into());
        }
        let read = from_json(&item, &Kinds::default(), epoch);
        read.map(Arc::new).map_err(|error| ExtenderError::failed(format!("json: {error}")))
    };
    items.iter().map(node).collect()
}

/// A Go struct in JSON.
struct Struct<'a> {
    name: &'static str,
    fields: Option<&'a Map<String, Value>>,
}

impl<'a> Struct<'a> {
    fn of(name: &'static str, value: &'a Value) -> Result<Struct<'a>, ExtenderError> {
        match value {
            Value::Null => Ok(Struct { name, fields: None }),
            Value::Object(fields) => Ok(Struct { name, fields: Some(fields) }),
            other => Err(cannot(other, "Go value", &format!("v1.{name}"))),
        }
    }

    /// A field that is there and not null. The last one counts.
    fn get(&self, name: &str) -> Option<&'a Value> {
        let mut named =
            self.fields.iter().flat_map(|f| f.iter()).filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next_back().map(|(_, value)| value).filter(|value| !value.is_null())
    }

    fn field(&self, name: &str, go_type: &'static str) -> (String, &'static str) {
        (format!("Go struct field {}.{name}", self.name), go_type)
    }

    fn text(&self, name: &str) -> Result<SmolStr, ExtenderError> {
        match self.get(name) {
            None => Ok(SmolStr::default()),
            Some(Value::String(text)) => Ok(SmolStr::new(text)),
            Some(other) => Err(cannot(other, &self.field(name, "").0, "string")),
        }
    }

    fn integer(&self, name: &str) -> Result<i64, ExtenderError> {
        match self.get(name) {
            None => Ok(0),
            Some(value) => value.as_i64().ok_or_else(|| cannot(value, &self.field(name, "").0, "int64")),
        }
    }

    fn text_map(&self, name: &str) -> Result<BTreeMap<SmolStr, SmolStr>, ExtenderError> {
        let text = |(key, value): (&String, &Value)| match value {
            Value::String(text) => Ok((SmolStr::new(key), SmolStr::new(text))),
            Value::Null => Ok((SmolStr::new(key), SmolStr::default())),
            other => Err(cannot(other, &self.field(name, "").0, "string")),
        };
        match self.get(name) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(map)) => map.iter().map(text).collect(),
            Some(other) => Err(cannot(other, &self.field(name, "").0, "v1.FailedNodesMap")),
        }
    }

    /// `Error` of a result.
    fn check_error(&self) -> Result<(), ExtenderError> {
        let error = self.text("Error")?;
        if error.is_empty() { Ok(()) } else { Err(ExtenderError::failed(error)) }
    }
}

fn texts(value: &Value, field: impl Fn() -> (String, &'static str)) -> Result<Vec<SmolStr>, ExtenderError> {
    let Value::Array(items) = value else {
        let (field, go_type) = field();
        return Err(cannot(value, &field, go_type));
    };
    let text = |item: &Value| match item {
        Value::String(text) => Ok(SmolStr::new(text)),
        Value::Null => Ok(SmolStr::default()),
        other => Err(cannot(other, &field().0, "string")),
    };
    items.iter().map(text).collect()
}

/// Go's complaint about a value of the wrong type.
fn cannot(value: &Value, into: &str, go_type: &str) -> ExtenderError {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if go_type == "int64" => format!("number {number}"),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    };
    ExtenderError::failed(format!("json: cannot unmarshal {found} into {into} of type {go_type}"))
}

#[cfg(test)]
mod tests;
