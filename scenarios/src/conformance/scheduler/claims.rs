//! ResourceClaims of a replayed scenario: what the API server and the ResourceClaim controller would make of them, and what
//! was recorded.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use sim_core::api::error::ApiError;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::{Body, Object};
use sim_core::api::request::Request;
use sim_dra::pod::claim_name;
use sim_scheduler::cache::Objects;

/// Carries out updates of objects and of their status, which are seen at once.
pub(super) fn answer_all(objects: &mut Objects, requests: &[Request]) -> Vec<Result<Arc<Object>, ApiError>> {
    requests.iter().filter_map(|request| answer(objects, request)).map(Ok).collect()
}

fn answer(objects: &mut Objects, request: &Request) -> Option<Arc<Object>> {
    let (Request::Update(sent) | Request::UpdateStatus(sent)) = request else { return None };
    let known = objects.seen(sent.kind, sent.key()).cloned()?;
    let is_status = matches!(request, Request::UpdateStatus(_));
    let (mut written, other) =
        if is_status { (Object::clone(&known), &**sent) } else { ((**sent).clone(), &*known) };
    let status = other.as_json().and_then(|body| body.get("status")).cloned();
    if let Body::Json(body) = &mut written.body
        && let Value::Object(body) = Arc::make_mut(body)
    {
        match status {
            Some(status) => drop(body.insert("status".into(), status)),
            None => drop(body.remove("status")),
        }
    }
    written.meta.resource_version = known.meta.resource_version + 1;
    let written = Arc::new(written);
    objects.set(written.clone());
    Some(written)
}

fn users(claim: &Object) -> impl Iterator<Item = &Value> {
    claim.as_json().and_then(|body| body.pointer("/status/reservedFor")?.as_array()).into_iter().flatten()
}

/// A pod is gone: it uses claims no more, and those that nobody else uses lose their devices.
pub(super) fn release(objects: &mut Objects, pod: Uid) {
    let is_pod = |user: &&Value| user["uid"].as_str().is_some_and(|uid| Uid::parse(uid) == pod);
    let used = |claim: &&Arc<Object>| users(claim).any(|user| is_pod(&user));
    let claims: Vec<Arc<Object>> = objects.list(Kind::RESOURCE_CLAIM).filter(used).cloned().collect();
    for claim in claims {
        let left: Vec<Value> = users(&claim).filter(|user| !is_pod(user)).cloned().collect();
        let mut freed = Object::clone(&claim);
        if let Body::Json(body) = &mut freed.body
            && let Some(Value::Object(status)) = Arc::make_mut(body).get_mut("status")
        {
            if left.is_empty() {
                status.clear();
            } else {
                status.insert("reservedFor".into(), Value::Array(left));
            }
        }
        answer(objects, &Request::UpdateStatus(Box::new(freed)));
    }
}

/// A pod's claims in the recorded form.
pub(super) fn of_pod(pod: &Object, objects: &Objects) -> Vec<Value> {
    let own = pod.as_pod().and_then(|pod| pod.spec.resource_claims.as_deref()).unwrap_or_default();
    let names = own.iter().filter_map(|claim| claim_name(pod, claim).ok().flatten());
    let keys = names.map(|(name, _)| Key::new(pod.meta.namespace(), name));
    keys.filter_map(|key| objects.get(Kind::RESOURCE_CLAIM, &key)).map(|claim| recorded(claim)).collect()
}

fn recorded(claim: &Object) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut record = Map::from_iter([("claim".to_owned(), json!(claim.meta.name()))]);
    let allocation = claim.as_json().and_then(|body| body.pointer("/status/allocation"));
    let device = |result: &Value| {
        let parts = ["request", "driver", "pool", "device"].map(|field| text(&result[field])).join("|");
        if result["adminAccess"] == json!(true) { parts + "|admin" } else { parts }
    };
    let list = |path: &str| allocation.and_then(|of| of.pointer(path)?.as_array()).into_iter().flatten();
    let devices: Vec<String> = list("/devices/results").map(device).collect();
    let configs = list("/devices/config").count();
    let users: Vec<String> = users(claim).map(|user| text(&user["name"])).collect();
    let selector = allocation.map_or(Value::Null, |of| of["nodeSelector"].clone());
    if !devices.is_empty() {
        record.insert("devices".into(), json!(devices));
    }
    if configs > 0 {
        record.insert("configs".into(), json!(configs));
    }
    if !users.is_empty() {
        record.insert("reservedFor".into(), json!(users));
    }
    if !selector.is_null() {
        record.insert("nodeSelector".into(), selector);
    }
    Value::Object(record)
}
