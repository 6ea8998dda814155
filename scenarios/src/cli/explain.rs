//! `wavetank explain`.

use std::sync::Arc;

use serde_json::{Value, json};
use sim_cluster::Cluster;
use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_scheduler::explain::{Change, Explanation, NodeAnswer, Show, WhatIf};
use sim_scheduler::framework::Status;

use super::args::{Explain, Format};
use super::exit::Exit;
use super::problem;
use super::run::{bad_input, plan_of};
use crate::runner::{Failure, Finished, Story, run as run_plan};

/// The attempt that is shown, and what else there is to say.
struct Told {
    explanation: Option<Arc<Explanation>>,
    what_if: Option<WhatIf>,
    /// Numbers of all attempts that are kept.
    attempts: Vec<u32>,
    dropped: u64,
}

/// `wavetank explain`.
pub(super) fn explain(args: &Explain) -> Exit {
    let Some(pod) = args.named.as_ref().or(args.pod.as_ref()) else {
        problem::text("no pod is named");
        return Exit::BadInput;
    };
    let plan = match plan_of(&args.input) {
        Ok(plan) => plan,
        Err(errors) => return bad_input(&errors),
    };
    let (namespace, name) = pod.split_once('/').unwrap_or(("default", pod));
    let key = Key::new(namespace, name);
    let mut story = Story::of(namespace, name);
    story.attempt = args.attempt;
    let finished = match run_plan(&plan, &mut story) {
        Ok(finished) => finished,
        Err(Failure::Input(errors)) => return bad_input(&errors),
        Err(Failure::Io(error)) => {
            problem::text(&error.to_string());
            return Exit::RunFailed;
        }
    };
    if story.is_empty() {
        problem::text(&format!("no pod {namespace}/{name} in this run"));
        suggest(&finished.cluster, namespace);
        return Exit::BadInput;
    }
    let told = told(&finished.cluster, &key, args.attempt);
    if let Err(text) = fits(&told, args) {
        problem::text(&text);
        return Exit::BadInput;
    }
    match args.format {
        Format::Json => println!("{:#}", to_json(&finished, &key, &told, args)),
        Format::Table => print_table(&finished, &key, &story, &told, args),
    }
    match finished.error {
        Some(error) => {
            problem::text(&error.to_string());
            Exit::RunFailed
        }
        None => Exit::Passed,
    }
}

fn told(cluster: &Cluster, key: &Key, attempt: Option<u32>) -> Told {
    let all = cluster.explain(key);
    let wanted = |e: &&Arc<Explanation>| attempt.is_none_or(|attempt| e.attempt == attempt);
    let explanation = all.iter().rev().find(wanted).cloned();
    let failed = explanation.as_ref().filter(|e| e.chosen.is_none()).map(|e| e.attempt);
    let what_if = failed.and_then(|failed| cluster.what_would_help(key).filter(|w| w.attempt == failed));
    let dropped = cluster.schedulers().iter().map(|scheduler| scheduler.explanations().dropped()).sum();
    Told { explanation, what_if, attempts: all.iter().map(|e| e.attempt).collect(), dropped }
}

/// Is there what was asked for?
fn fits(told: &Told, args: &Explain) -> Result<(), String> {
    match (&told.explanation, args.attempt, &args.node) {
        (None, Some(attempt), _) => {
            let known: Vec<String> = told.attempts.iter().map(ToString::to_string).collect();
            Err(match known.is_empty() {
                true => "the scheduler has not tried the pod".to_owned(),
                false => format!("no attempt {attempt}; there are {}", known.join(", ")),
            })
        }
        (None, None, Some(_)) => Err("the scheduler has not tried the pod".to_owned()),
        (Some(explanation), _, Some(node)) if explanation.node(node).is_none() => {
            Err(format!("no node {node} in attempt {}", explanation.attempt))
        }
        _ => Ok(()),
    }
}

fn print_table(finished: &Finished, key: &Key, story: &Story, told: &Told, args: &Explain) {
    if args.node.is_none() {
        print!("{}", story.to_text());
        println!("{}", state_of(&finished.cluster, key));
    }
    let Some(explanation) = &told.explanation else { return };
    if let Some(answer) = args.node.as_deref().and_then(|node| explanation.node(node)) {
        let (attempt, at) = (explanation.attempt, explanation.at);
        return println!("attempt {attempt} of {key} at {at}, node {answer}");
    }
    print!("\n{}", explanation.table(args.show.into()));
    if let Some(what_if) = &told.what_if {
        print!("\n{what_if}");
    }
    if told.attempts.len() > 1 {
        let (first, last) = (told.attempts.first().unwrap_or(&0), told.attempts.last().unwrap_or(&0));
        println!("\nattempts {first} to {last} are kept; --attempt shows another one");
    }
    if told.dropped > 0 {
        println!("{} older ones took too much and were dropped", told.dropped);
    }
}

fn suggest(cluster: &Cluster, namespace: &str) {
    let pods = cluster.list(Kind::POD);
    let names: Vec<String> = pods
        .iter()
        .filter(|p| p.meta.namespace() == namespace)
        .take(10)
        .map(|p| p.key().to_string())
        .collect();
    if !names.is_empty() {
        eprintln!("  pods at the end of the run: {}", names.join(", "));
    }
}

/// What the pod is at the end, and why it is pending if it is.
fn state_of(cluster: &Cluster, key: &Key) -> String {
    let now = cluster.now();
    let Some(object) = cluster.api().store.get(Kind::POD, key) else {
        return format!("at {now} the pod is gone");
    };
    let Some(pod) = object.as_pod() else { return String::new() };
    let mut out = format!("at {now}: {}", pod.status.phase.as_str());
    if !pod.node_name.is_empty() {
        out.push_str(&format!(" on {}", pod.node_name));
    }
    for condition in &pod.status.conditions {
        out.push_str(&format!("\n  {}={}", condition.kind, condition.status.as_str()));
        if !condition.reason.is_empty() {
            out.push_str(&format!(" ({})", condition.reason));
        }
        if !condition.message.is_empty() {
            out.push_str(&format!(": {}", condition.message));
        }
    }
    if pod.node_name.is_empty() {
        out.push_str(&format!("\nwhy pending: {}", why_pending(cluster, key)));
    }
    out
}

/// Why a pod that is on no node is not.
fn why_pending(cluster: &Cluster, key: &Key) -> String {
    let said = cluster.why_pending(key);
    if !said.is_empty() {
        return said;
    }
    let pod = cluster.api().store.get(Kind::POD, key).and_then(|object| object.as_pod());
    let condition = pod.and_then(|pod| pod.status.condition("PodScheduled"));
    let message = condition.map_or("", |condition| condition.message.as_str());
    if message.is_empty() { "the scheduler has not looked at it yet" } else { message }.to_owned()
}

/// Everything as data, for other programs.
fn to_json(finished: &Finished, key: &Key, told: &Told, args: &Explain) -> Value {
    let pod = finished.cluster.pod(key);
    let pending = pod.exists() && pod.node().is_none();
    let mut out = json!({
        "pod": key.to_string(),
        "node": pod.node(),
        "whyPending": pending.then(|| why_pending(&finished.cluster, key)),
        "attempts": told.attempts,
        "droppedAttempts": told.dropped,
        "attempt": told.explanation.as_ref().map(|explanation| attempt_json(explanation, args)),
    });
    if let Some(what_if) = &told.what_if {
        let change = |c: &_| counterfactual_json(c);
        out["wouldFit"] = what_if.changes.iter().map(change).collect();
    }
    out
}

fn attempt_json(explanation: &Explanation, args: &Explain) -> Value {
    let nodes: Vec<NodeAnswer<'_>> = match (&args.node, Show::from(args.show)) {
        (Some(node), _) => explanation.node(node).into_iter().collect(),
        (None, Show::Best) => explanation.ranked().into_iter().take(10).collect(),
        (None, Show::Refused) => explanation.nodes().filter(|answer| !answer.refusals.is_empty()).collect(),
        (None, Show::All) => explanation.nodes().collect(),
    };
    let refusals = explanation.groups().into_iter().map(|group| {
        json!({"plugin": group.plugin, "code": group.code.as_str(), "reason": group.reason, "nodes": group.nodes,
            "further": group.further, "examples": group.examples})
    });
    let preemption = explanation.preemption.as_ref().map(|preemption| {
        let texts = |keys: &[Key]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        let candidates = preemption.candidates.iter().map(|(node, victims, violated)| {
            json!({"node": node, "victims": texts(victims), "budgetsViolated": violated})
        });
        json!({"node": preemption.node, "victims": texts(&preemption.victims), "tied": preemption.tied,
            "candidates": candidates.collect::<Vec<_>>()})
    });
    json!({
        "number": explanation.attempt,
        "atSeconds": explanation.at.since_start().as_secs_f64(),
        "profile": explanation.profile,
        "message": explanation.message,
        "chosen": explanation.chosen,
        "refused": explanation.refused.as_ref().map(status_json),
        "skippedFilters": explanation.skipped,
        "nodes": explanation.len(),
        "lookedAt": explanation.looked_at(),
        "feasible": explanation.feasible(),
        "best": explanation.best(),
        "refusals": refusals.collect::<Vec<_>>(),
        "preemption": preemption,
        "answers": nodes.iter().map(answer_json).collect::<Vec<_>>(),
    })
}

fn status_json(status: &Status) -> Value {
    json!({"plugin": status.plugin, "code": status.code.as_str(), "reasons": status.reasons})
}

fn answer_json(answer: &NodeAnswer<'_>) -> Value {
    let scores = answer.scores.iter();
    let scores = scores.map(|s| json!({"name": s.name, "raw": s.raw, "weighted": s.weighted}));
    json!({
        "node": answer.node,
        "lookedAt": answer.looked_at,
        "refusals": answer.refusals.iter().map(status_json).collect::<Vec<_>>(),
        "scores": scores.collect::<Vec<_>>(),
        "total": answer.total,
        "best": answer.best,
        "chosen": answer.chosen,
    })
}

fn counterfactual_json(found: &sim_scheduler::explain::Counterfactual) -> Value {
    let (kind, what) = match &found.change {
        Change::Request { resource, asks, at_most } => (
            "Request",
            json!({"resource": resource, "asks": asks.to_string(), "atMost": at_most.to_string()}),
        ),
        Change::Toleration(taint) => ("Toleration", json!(taint)),
        Change::NodeSelectorKey { key, value } => ("NodeSelectorKey", json!({"key": key, "value": value})),
        Change::NodeSelector => ("NodeSelector", Value::Null),
        Change::NodeAffinityRequirement(text) => ("NodeAffinityRequirement", json!(text)),
        Change::NodeAffinity => ("NodeAffinity", Value::Null),
        Change::MaxSkew { topology_key, is, at_least } => {
            ("MaxSkew", json!({"topologyKey": topology_key, "is": is, "atLeast": at_least}))
        }
        Change::SpreadConstraint { topology_key } => {
            ("SpreadConstraint", json!({"topologyKey": topology_key}))
        }
        Change::PodAffinityTerm { term, topology_key } => {
            ("PodAffinityTerm", json!({"term": term, "topologyKey": topology_key}))
        }
        Change::PodAntiAffinityTerm { term, topology_key } => {
            ("PodAntiAffinityTerm", json!({"term": term, "topologyKey": topology_key}))
        }
        Change::HostPort(port) => ("HostPort", json!(port)),
        Change::Volume(name) => ("Volume", json!(name)),
        Change::ResourceClaim(name) => ("ResourceClaim", json!(name)),
        Change::OneMoreNode { like } => ("OneMoreNode", json!({"like": like})),
    };
    json!({"text": found.to_string(), "kind": kind, "what": what, "sizeThousandths": found.size,
        "nodes": found.nodes, "examples": found.examples})
}
