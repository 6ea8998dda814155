//! `status` of a pod: the compact row and the wire form.
//!
//! What the row has no field for is kept in [`PodStatus::other`] as it was read: top-level fields under their names,
//! fields of container statuses as `containerStatuses: {<container>: {…}}`, and put back when the status is rendered.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as wire;
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use super::meta::time;
use crate::api::pod_status::{
    ConditionStatus, ContainerState, ContainerStatus, PodCondition, PodPhase, PodStatus, QosClass, Terminated,
};
use crate::load::de::{De, DeError, Ignored};
use crate::load::tree::{Node, Path};
use crate::time::{Epoch, Time};

const MODELLED: &[&str] = &[
    "phase",
    "qosClass",
    "reason",
    "message",
    "nominatedNodeName",
    "startTime",
    "conditions",
    "initContainerStatuses",
    "containerStatuses",
    "podIP",
    "hostIP",
    "observedGeneration",
];
const CONTAINER: &[&str] = &["name", "state", "lastState", "ready", "started", "restartCount", "image"];
const LISTS: [&str; 2] = ["containerStatuses", "initContainerStatuses"];

pub(super) fn decode(node: Option<&Node<'_>>, epoch: Epoch, ignored: &Ignored) -> Result<PodStatus, DeError> {
    let Some(node) = node.filter(|n| !n.is_null()) else { return Ok(PodStatus::default()) };
    let path = Path::Key(&Path::Root, "status");
    let status: wire::PodStatus = De::wire(node, &path, ignored).read(std::marker::PhantomData)?;
    let other = other(node, &status);
    Ok(from_wire(status, other, epoch))
}

fn from_wire(w: wire::PodStatus, other: Map<String, Value>, epoch: Epoch) -> PodStatus {
    let text = |t: Option<String>| SmolStr::from(t.unwrap_or_default());
    let containers = |list: Option<Vec<wire::ContainerStatus>>| {
        list.unwrap_or_default().into_iter().map(|c| container(c, epoch)).collect()
    };
    PodStatus {
        phase: PodPhase::parse(w.phase.as_deref().unwrap_or_default()),
        qos_class: match w.qos_class.as_deref() {
            Some("Guaranteed") => QosClass::Guaranteed,
            Some("Burstable") => QosClass::Burstable,
            _ => QosClass::BestEffort,
        },
        reason: text(w.reason),
        message: text(w.message),
        nominated_node_name: text(w.nominated_node_name),
        start_time: w.start_time.map(|t| time(&t, epoch)),
        conditions: w.conditions.unwrap_or_default().into_iter().map(|c| condition(c, epoch)).collect(),
        init_container_statuses: containers(w.init_container_statuses),
        container_statuses: containers(w.container_statuses),
        pod_ip: text(w.pod_ip),
        host_ip: text(w.host_ip),
        observed_generation: w.observed_generation.unwrap_or_default(),
        other: (!other.is_empty()).then(|| Arc::new(other)),
    }
}

fn condition(c: wire::PodCondition, epoch: Epoch) -> PodCondition {
    PodCondition {
        kind: c.type_.into(),
        status: ConditionStatus::parse(&c.status),
        reason: c.reason.unwrap_or_default().into(),
        message: c.message.unwrap_or_default().into(),
        last_transition_time: c.last_transition_time.map(|t| time(&t, epoch)).unwrap_or_default(),
        observed_generation: c.observed_generation.unwrap_or_default(),
    }
}

fn container(c: wire::ContainerStatus, epoch: Epoch) -> ContainerStatus {
    ContainerStatus {
        name: c.name.into(),
        state: c.state.map(|s| state(s, epoch)).unwrap_or_default(),
        last_terminated: c.last_state.and_then(|s| s.terminated).map(|t| terminated(t, epoch)),
        ready: c.ready,
        started: c.started,
        restart_count: c.restart_count,
        image: c.image.into(),
    }
}

fn state(s: wire::ContainerState, epoch: Epoch) -> ContainerState {
    if let Some(t) = s.terminated {
        return ContainerState::Terminated(terminated(t, epoch));
    }
    if let Some(r) = s.running {
        let started_at = r.started_at.map(|t| time(&t, epoch)).unwrap_or_default();
        return ContainerState::Running { started_at };
    }
    let waiting = s.waiting.unwrap_or_default();
    ContainerState::Waiting {
        reason: waiting.reason.unwrap_or_default().into(),
        message: waiting.message.unwrap_or_default().into(),
    }
}

fn terminated(t: wire::ContainerStateTerminated, epoch: Epoch) -> Box<Terminated> {
    let at = |t: Option<_>| t.map(|t| time(&t, epoch)).unwrap_or_default();
    Box::new(Terminated {
        exit_code: t.exit_code,
        signal: t.signal.unwrap_or_default(),
        reason: t.reason.unwrap_or_default().into(),
        message: t.message.unwrap_or_default().into(),
        started_at: at(t.started_at),
        finished_at: at(t.finished_at),
    })
}

/// The fields the row cannot hold.
fn other(node: &Node<'_>, status: &wire::PodStatus) -> Map<String, Value> {
    let mut out = Map::new();
    for entry in node.entries().unwrap_or_default() {
        let derived = match &*entry.key {
            "podIPs" => is_just(&entry.value, status.pod_ip.as_deref()),
            "hostIPs" => is_just(&entry.value, status.host_ip.as_deref()),
            key => MODELLED.contains(&key),
        };
        if !derived && !entry.value.is_null() {
            out.insert(entry.key.clone().into_owned(), entry.value.to_value());
        }
    }
    for list in LISTS {
        let rest: Map<String, Value> = node
            .get(list)
            .and_then(Node::items)
            .unwrap_or_default()
            .iter()
            .filter_map(container_rest)
            .collect();
        if !rest.is_empty() {
            out.insert(list.into(), Value::Object(rest));
        }
    }
    out
}

/// True for `[{ip: <ip>}]`, which is rendered from the single address.
fn is_just(list: &Node<'_>, ip: Option<&str>) -> bool {
    let Some([only]) = list.items() else { return list.items().is_some_and(<[_]>::is_empty) };
    only.get("ip").and_then(Node::as_str) == ip
}

fn container_rest(node: &Node<'_>) -> Option<(String, Value)> {
    let name = node.get("name")?.as_str()?.to_string();
    let mut rest: Map<String, Value> = node
        .entries()?
        .iter()
        .filter(|e| !CONTAINER.contains(&&*e.key) && !e.value.is_null() && e.value.as_str() != Some(""))
        .map(|e| (e.key.clone().into_owned(), e.value.to_value()))
        .collect();
    let last = node.get("lastState").filter(|l| l.get("terminated").is_none());
    if let Some(last) = last.filter(|l| l.entries().is_some_and(|e| !e.is_empty())) {
        rest.insert("lastState".into(), last.to_value());
    }
    (!rest.is_empty()).then_some((name, Value::Object(rest)))
}

/// The wire form, keys sorted within what is built here. Zero values that upstream prints are printed.
pub fn pod_status_to_json(status: &PodStatus, epoch: Epoch) -> Value {
    let mut out = status.other.as_deref().cloned().unwrap_or_default();
    let rest = LISTS.map(|list| out.shift_remove(list));
    put_text(&mut out, "hostIP", &status.host_ip);
    put_text(&mut out, "message", &status.message);
    put_text(&mut out, "nominatedNodeName", &status.nominated_node_name);
    put_text(&mut out, "podIP", &status.pod_ip);
    put_text(&mut out, "reason", &status.reason);
    for (key, ip) in [("hostIPs", &status.host_ip), ("podIPs", &status.pod_ip)] {
        let first = out.get(key).and_then(|v| v.pointer("/0/ip")).and_then(Value::as_str);
        if !ip.is_empty() && first != Some(ip.as_str()) {
            out.insert(key.into(), json!([{ "ip": ip.as_str() }]));
        }
    }
    if !status.conditions.is_empty() {
        out.insert("conditions".into(), status.conditions.iter().map(|c| condition_json(c, epoch)).collect());
    }
    let lists = [&status.container_statuses, &status.init_container_statuses];
    for ((key, list), rest) in LISTS.into_iter().zip(lists).zip(rest) {
        if !list.is_empty() {
            out.insert(key.into(), list.iter().map(|c| container_json(c, rest.as_ref(), epoch)).collect());
        }
    }
    if status.observed_generation != 0 {
        out.insert("observedGeneration".into(), status.observed_generation.into());
    }
    out.insert("phase".into(), status.phase.as_str().into());
    out.insert("qosClass".into(), status.qos_class.as_str().into());
    if let Some(at) = status.start_time {
        out.insert("startTime".into(), epoch.rfc3339(at).into());
    }
    Value::Object(out)
}

fn put_text(out: &mut Map<String, Value>, key: &str, text: &SmolStr) {
    if !text.is_empty() {
        out.insert(key.into(), text.as_str().into());
    }
}

fn condition_json(c: &PodCondition, epoch: Epoch) -> Value {
    let mut out = Map::new();
    out.insert("lastProbeTime".into(), Value::Null);
    out.insert("lastTransitionTime".into(), epoch.rfc3339(c.last_transition_time).into());
    put_text(&mut out, "message", &c.message);
    if c.observed_generation != 0 {
        out.insert("observedGeneration".into(), c.observed_generation.into());
    }
    put_text(&mut out, "reason", &c.reason);
    out.insert("status".into(), c.status.as_str().into());
    out.insert("type".into(), c.kind.as_str().into());
    Value::Object(out)
}

fn container_json(c: &ContainerStatus, rest: Option<&Value>, epoch: Epoch) -> Value {
    let mut out =
        rest.and_then(|r| r.get(c.name.as_str())).and_then(Value::as_object).cloned().unwrap_or_default();
    out.insert("image".into(), c.image.as_str().into());
    out.entry("imageID").or_insert_with(|| "".into());
    if let Some(last) = &c.last_terminated {
        out.insert("lastState".into(), json!({ "terminated": terminated_json(last, epoch) }));
    } else {
        out.entry("lastState").or_insert_with(|| json!({}));
    }
    out.insert("name".into(), c.name.as_str().into());
    out.insert("ready".into(), c.ready.into());
    out.insert("restartCount".into(), c.restart_count.into());
    if let Some(started) = c.started {
        out.insert("started".into(), started.into());
    }
    out.insert("state".into(), state_json(&c.state, epoch));
    Value::Object(out)
}

fn state_json(state: &ContainerState, epoch: Epoch) -> Value {
    match state {
        ContainerState::Waiting { reason, message } => {
            let mut waiting = Map::new();
            put_text(&mut waiting, "message", message);
            put_text(&mut waiting, "reason", reason);
            json!({ "waiting": waiting })
        }
        ContainerState::Running { started_at } => {
            json!({ "running": { "startedAt": instant(*started_at, epoch) } })
        }
        ContainerState::Terminated(t) => json!({ "terminated": terminated_json(t, epoch) }),
    }
}

fn instant(at: Time, epoch: Epoch) -> Value {
    epoch.rfc3339(at).into()
}

fn terminated_json(t: &Terminated, epoch: Epoch) -> Value {
    let mut out = Map::new();
    out.insert("exitCode".into(), t.exit_code.into());
    out.insert("finishedAt".into(), instant(t.finished_at, epoch));
    put_text(&mut out, "message", &t.message);
    put_text(&mut out, "reason", &t.reason);
    if t.signal != 0 {
        out.insert("signal".into(), t.signal.into());
    }
    out.insert("startedAt".into(), instant(t.started_at, epoch));
    Value::Object(out)
}
