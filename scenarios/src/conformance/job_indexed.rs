//! `controllers/job_indexed.json`: completion indexes. Which function a vector is about shows in its fields.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{JobSpec, JobStatus};
use serde_json::{Value, json};
use sim_controllers::job::pods;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use sim_core::names::job_index_generate_name;

use super::controllers::{equal, intervals, job, list, number, number32, pod};

type Row = Arc<Object>;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let completions = number(input, "completions");
    if expected.get("wantIntervals").is_some() {
        let rows = list(&input["pods"], short)?;
        let prev = input["prevSucceeded"].as_str().unwrap_or("");
        let (before, after) = pods::succeeded_indexes(prev, completions, &rows);
        equal("before", before, intervals(&expected["wantStatusIntervals"]))?;
        return equal("after", after, intervals(&expected["wantIntervals"]));
    }
    if let Some(want) = expected.get("wantHas") {
        return equal("has", intervals(&input["intervals"]).has(number(input, "index")), *want == true);
    }
    if let Some(want) = expected.get("want") {
        let active: Vec<i64> = pods::indexes(&list(&input["activePods"], short)?).into_iter().collect();
        let taken = intervals(&input["succeededIndexes"]).with(&active);
        let ours = taken.missing(number(input, "cnt") as usize, completions);
        return equal("indexes", json!(ours), want.clone());
    }
    if expected.get("wantRm").is_some() {
        return check_duplicates(input, expected, completions);
    }
    if let Some(want) = expected.get("wantPodGenerateName") {
        let name = job_index_generate_name(input["jobname"].as_str().unwrap_or(""), number32(input, "index"));
        return equal("name", json!(name), want.clone());
    }
    check_failures(input, expected)
}

/// A pod by index and phase.
fn short(value: &Value) -> Result<Row, String> {
    let index = value["Index"].as_str().unwrap_or("");
    let annotations = if index == "-" { json!({}) } else { json!({ pods::COMPLETION_INDEX: index }) };
    pod(&json!({
        "metadata": { "annotations": annotations, "finalizers": [pods::TRACKING_FINALIZER] },
        "status": { "phase": value["Phase"] },
    }))
}

fn check_duplicates(input: &Value, expected: &Value, completions: i64) -> Result<(), String> {
    let rows = list(&input["pods"], short)?;
    let (removed, left) = pods::split_duplicates(&rows, completions);
    let texts = |rows: &[Row]| -> Vec<Value> {
        let index = |r: &Row| r.meta.annotation(pods::COMPLETION_INDEX).unwrap_or("-").to_string();
        rows.iter().map(|r| json!({ "Index": index(r), "Phase": pods::phase(r).as_str() })).collect()
    };
    equal("removed", Value::Array(texts(&removed)), expected["wantRm"].clone())?;
    equal("left", Value::Array(texts(&left)), expected["wantLeft"].clone())
}

fn check_failures(input: &Value, expected: &Value) -> Result<(), String> {
    let owner = job(&with_template(&input["job"]))?;
    let body = owner.as_job().ok_or("not a Job")?;
    let one = if input["pod"].is_null() { None } else { Some(pod(&input["pod"])?) };
    if expected.get("wantNewIndexFailureCount").is_some() {
        let ours = pods::new_index_failures(&body.spec, one.as_deref());
        let want = (
            number32(expected, "wantNewIndexFailureCount"),
            number32(expected, "wantNewIndexIgnoredFailureCount"),
        );
        return equal("failures", ours, want);
    }
    if let Some(want) = expected.get("wantResult") {
        let one = one.ok_or("a pod is missing")?;
        return match want.as_i64() {
            Some(count) => equal("failures", i64::from(pods::index_failures(&one)), count),
            None => equal("failed", pods::is_index_failed(&body.spec, &one), *want == true),
        };
    }
    let rows = list(&input["pods"], pod)?;
    let failed = failed(&body.spec, &body.status, &rows);
    if let Some(want) = expected.get("wantFailedIndexes") {
        return equal("failed indexes", failed, intervals(want));
    }
    let gone: BTreeSet<Uid> = names(&expected["expectedRmFinalizers"]);
    let active: Vec<Row> =
        rows.iter().filter(|r| sim_controllers::machinery::ranking::is_active(r)).cloned().collect();
    let completed = body.status.completed_indexes.clone().unwrap_or_default();
    let (_, succeeded) =
        pods::succeeded_indexes(&completed, i64::from(body.spec.completions.unwrap_or(0)), &rows);
    let done = succeeded.union(&failed);
    let delayed =
        pods::delayed_deletions(&indexed(&body.spec), &rows, &active, &done, |uid| gone.contains(&uid));
    let ours: BTreeSet<Uid> = delayed.values().map(|p| p.meta.uid).collect();
    let want =
        list(&expected["wantPodsWithDelayedDeletionPerIndex"], |u| Ok(Uid::parse(u.as_str().unwrap_or(""))))?;
    equal("delayed", ours, want.into_iter().collect())
}

fn failed(spec: &JobSpec, status: &JobStatus, rows: &[Row]) -> sim_controllers::job::intervals::Intervals {
    pods::failed_indexes(spec, status.failed_indexes.as_deref().unwrap_or(""), rows)
}

/// Back-off per index is for Indexed Jobs only, which the tables leave out.
fn indexed(spec: &JobSpec) -> JobSpec {
    JobSpec { completion_mode: Some("Indexed".into()), ..spec.clone() }
}

fn names(value: &Value) -> BTreeSet<Uid> {
    value.as_object().into_iter().flatten().map(|(name, _)| Uid::parse(name)).collect()
}

fn with_template(job: &Value) -> Value {
    let mut job = if job.is_object() { job.clone() } else { json!({}) };
    if job["spec"].is_null() {
        job["spec"] = json!({});
    }
    job["spec"]["template"] = json!({});
    job
}
