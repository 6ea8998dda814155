//! Jobs. Upstream: `pkg/apis/batch/validation/validation.go`.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::{
    JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
    SuccessPolicyRule,
};
use k8s_openapi::api::core::v1::{Affinity, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Serialize;

use super::common::{
    IMMUTABLE, immutable, is_convertible, label_name, label_selector, list, non_negative, selects, text,
};
use super::field::{Errors, Path, Shown};
use super::workloads::{labels_of, mismatch};
use super::{names, pod};
use crate::api::meta::{Labels, Meta};
use crate::api::object::Job;

const NEEDS_INDEXED: &str = "requires indexed completion mode";
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];

/// `ValidateJob`.
pub(super) fn create(e: &mut Errors, meta: &Meta, spec: &JobSpec) {
    generated_selector(e, meta, spec);
    job_spec(e, spec);
    if is_indexed(spec)
        && let Some(completions) = spec.completions.filter(|c| *c > 0)
    {
        let last = format!("{}-{}", meta.name(), completions - 1);
        if !names::dns1123_label(&last).is_empty() {
            let metadata = Path::root("metadata");
            let detail = format!("will not able to create pod with invalid DNS label: {last}");
            e.invalid(&metadata.child("name"), meta.name(), &detail);
        }
    }
}

fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// `validateGeneratedSelector`: labels and selector are the API server's work, unless stated otherwise.
fn generated_selector(e: &mut Errors, meta: &Meta, spec: &JobSpec) {
    let Some(selector) = &spec.selector else { return };
    if spec.manual_selector == Some(true) {
        return;
    }
    let uid = if meta.uid.is_unset() { String::new() } else { meta.uid.to_string() };
    if uid.is_empty() {
        let metadata = Path::root("metadata");
        e.required(&metadata.child("uid"), "");
    }
    let name = meta.name().to_string();
    let expected = [
        ("controller-uid", &uid),
        ("job-name", &name),
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
    ];
    let path = Path::root("spec");
    let template = path.child("template");
    let metadata = template.child("metadata");
    let labels_path = metadata.child("labels");
    let labels = labels_of(&spec.template);
    for (key, value) in expected {
        let detail = format!("must be '{value}'");
        match labels.get(key) {
            None => e.required(&labels_path.key(key), &detail),
            Some(actual) if actual != value => {
                e.invalid(&labels_path.key(key), Shown::json(labels), &detail);
            }
            Some(_) => {}
        }
    }
    let wanted: Labels = expected.into_iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
    if is_convertible(selector) && !selects(selector, &wanted) {
        e.invalid(&path.child("selector"), Shown::json(selector), "`selector` not auto-generated");
    }
}

/// `validateJobSpec`: all but the selector, which a template does not have.
pub(super) fn template(e: &mut Errors, path: &Path<'_>, spec: &JobSpec) {
    numbers(e, path, spec);
    completion_mode(e, path, spec);
    if let Some(policy) = &spec.pod_failure_policy {
        failure_policy(e, &path.child("podFailurePolicy"), policy, spec);
    }
    if let Some(policy) = &spec.success_policy {
        let at = path.child("successPolicy");
        if is_indexed(spec) {
            success_policy(e, &at.child("rules"), &policy.rules, spec.completions.unwrap_or(0));
        } else {
            e.invalid(&at, success_shown(&policy.rules), NEEDS_INDEXED);
        }
    }
    replacement_policy(e, &path.child("podReplacementPolicy"), spec);
    let template = path.child("template");
    pod::template(e, &template, &spec.template);
    restart_policy(e, &template.child("spec"), spec);
}

/// `ValidateJobSpec`.
fn job_spec(e: &mut Errors, spec: &JobSpec) {
    let path = Path::root("spec");
    self::template(e, &path, spec);
    let template = path.child("template");
    let none = LabelSelector::default();
    let selector = spec.selector.as_ref();
    match selector {
        None => e.required(&path.child("selector"), ""),
        Some(_) => label_selector(e, &path.child("selector"), selector),
    }
    let nothing = selector.is_none();
    let selector = selector.unwrap_or(&none);
    if is_convertible(selector) && (nothing || !selects(selector, labels_of(&spec.template))) {
        mismatch(e, &template, &spec.template);
    }
}

fn numbers(e: &mut Errors, path: &Path<'_>, spec: &JobSpec) {
    for (field, number) in [
        ("parallelism", spec.parallelism.map(i64::from)),
        ("completions", spec.completions.map(i64::from)),
        ("activeDeadlineSeconds", spec.active_deadline_seconds),
        ("backoffLimit", spec.backoff_limit.map(i64::from)),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished.map(i64::from)),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index.map(i64::from)),
        ("maxFailedIndexes", spec.max_failed_indexes.map(i64::from)),
    ] {
        non_negative(e, &path.child(field), number.unwrap_or(0));
    }
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        e.required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if let Some(manager) = &spec.managed_by {
        let at = path.child("managedBy");
        domain_prefixed_path(e, &at, manager);
        if manager.len() > 63 {
            e.too_long(&at, 63);
        }
    }
}

/// A domain, a slash and a path (`IsDomainPrefixedPath`).
pub fn domain_prefixed_path(e: &mut Errors, path: &Path<'_>, value: &str) {
    if value.is_empty() {
        e.required(path, "");
        return;
    }
    match value.split_once('/') {
        Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => {
            e.invalid_each(path, domain, names::dns1123_subdomain(domain));
            let fine = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
            if !rest.bytes().all(fine) {
                let detail = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
                e.invalid(path, rest, detail);
            }
        }
        _ => e.invalid(path, value, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
}

fn completion_mode(e: &mut Errors, path: &Path<'_>, spec: &JobSpec) {
    const LIMIT: i32 = 100_000;
    const MANY: i32 = 10_000;
    let (parallelism, failures) = (spec.parallelism, spec.max_failed_indexes);
    let parallelism_path = path.child("parallelism");
    let failures_path = path.child("maxFailedIndexes");
    let mode = spec.completion_mode.as_deref();
    if let Some(other) = mode.filter(|m| !matches!(*m, "NonIndexed" | "Indexed")) {
        e.not_supported(&path.child("completionMode"), other, &["NonIndexed", "Indexed"]);
    }
    if matches!(mode, None | Some("NonIndexed")) {
        if let Some(limit) = spec.backoff_limit_per_index {
            e.invalid(&path.child("backoffLimitPerIndex"), limit, NEEDS_INDEXED);
        }
        if let Some(failures) = failures {
            e.invalid(&failures_path, failures, NEEDS_INDEXED);
        }
        return;
    }
    if !is_indexed(spec) {
        return;
    }
    if spec.completions.is_none() {
        e.required(&path.child("completions"), "when completion mode is Indexed");
    }
    if let Some(n) = parallelism.filter(|n| *n > LIMIT) {
        let detail = format!("must be less than or equal to {LIMIT} when completion mode is Indexed");
        e.invalid(&parallelism_path, n, &detail);
    }
    if let Some(n) = failures.filter(|n| spec.completions.is_some_and(|c| *n > c)) {
        e.invalid(&failures_path, n, "must be less than or equal to completions");
    }
    if let Some(n) = failures.filter(|n| *n > LIMIT) {
        e.invalid(&failures_path, n, &format!("must be less than or equal to {LIMIT}"));
    }
    if spec.completions.is_some_and(|c| c > LIMIT) && spec.backoff_limit_per_index.is_some() {
        if failures.is_none() {
            e.required(&failures_path, &format!("must be specified when completions is above {LIMIT}"));
        }
        let detail = format!(
            "must be less than or equal to {MANY} when completions are above {LIMIT} and used with backoff limit per index"
        );
        for (at, number) in [(&parallelism_path, parallelism), (&failures_path, failures)] {
            if let Some(n) = number.filter(|n| *n > MANY) {
                e.invalid(at, n, &detail);
            }
        }
    }
}

fn restart_policy(e: &mut Errors, path: &Path<'_>, spec: &JobSpec) {
    let at = path.child("restartPolicy");
    let policy = spec.template.spec.as_ref().map_or("", |s| text(&s.restart_policy));
    match policy {
        "" | "Always" => e.required(&at, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.pod_failure_policy.is_some() => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            e.invalid(&at, policy, detail);
        }
        "OnFailure" | "Never" => {}
        other => e.not_supported(&at, other, &["OnFailure", "Never"]),
    }
}

fn replacement_policy(e: &mut Errors, path: &Path<'_>, spec: &JobSpec) {
    let Some(policy) = spec.pod_replacement_policy.as_deref() else { return };
    let supported: &[&str] = match spec.pod_failure_policy {
        Some(_) => &["Failed"],
        None => &["Failed", "TerminatingOrFailed"],
    };
    if !supported.contains(&policy) {
        e.not_supported(path, policy, supported);
    }
}

fn failure_policy(e: &mut Errors, path: &Path<'_>, policy: &PodFailurePolicy, spec: &JobSpec) {
    let rules = path.child("rules");
    if policy.rules.len() > 20 {
        e.too_many(&rules, policy.rules.len(), 20);
    }
    let pod = spec.template.spec.as_ref();
    let containers: BTreeSet<&str> = pod
        .into_iter()
        .flat_map(|p| p.containers.iter().chain(list(&p.init_containers)))
        .map(|c| c.name.as_str())
        .collect();
    for (i, rule) in policy.rules.iter().enumerate() {
        failure_rule(e, &rules.index(i), rule, spec, &containers);
    }
}

fn failure_rule(
    e: &mut Errors,
    path: &Path<'_>,
    rule: &PodFailurePolicyRule,
    spec: &JobSpec,
    containers: &BTreeSet<&str>,
) {
    let action = path.child("action");
    match rule.action.as_str() {
        "" => e.required(&action, "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]"),
        "FailIndex" if spec.backoff_limit_per_index.is_none() => {
            e.invalid(&action, "FailIndex", "requires the backoffLimitPerIndex to be set");
        }
        known if ACTIONS.contains(&known) => {}
        other => e.not_supported(&action, other, &ACTIONS),
    }
    let conditions = list(&rule.on_pod_conditions);
    if let Some(codes) = &rule.on_exit_codes {
        exit_codes(e, &path.child("onExitCodes"), codes, containers);
    }
    let at = path.child("onPodConditions");
    if conditions.len() > 20 {
        e.too_many(&at, conditions.len(), 20);
    }
    for (i, pattern) in conditions.iter().enumerate() {
        let at = at.index(i);
        label_name(e, &at.child("type"), &pattern.type_);
        match pattern.status.as_str() {
            "" => e.required(&at.child("status"), "valid values: [\"False\" \"True\" \"Unknown\"]"),
            "False" | "True" | "Unknown" => {}
            other => e.not_supported(&at.child("status"), other, &["False", "True", "Unknown"]),
        }
    }
    match (rule.on_exit_codes.is_some(), conditions.is_empty()) {
        (true, false) => {
            let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
            e.invalid(path, Shown::raw(""), detail);
        }
        (false, true) => {
            let detail = "specifying one of OnExitCodes and OnPodConditions is required";
            e.invalid(path, Shown::raw(""), detail);
        }
        _ => {}
    }
}

fn exit_codes(
    e: &mut Errors,
    path: &Path<'_>,
    codes: &PodFailurePolicyOnExitCodesRequirement,
    containers: &BTreeSet<&str>,
) {
    match codes.operator.as_str() {
        "" => e.required(&path.child("operator"), "valid values: [\"In\" \"NotIn\"]"),
        "In" | "NotIn" => {}
        other => e.not_supported(&path.child("operator"), other, &["In", "NotIn"]),
    }
    if let Some(name) = codes.container_name.as_deref().filter(|n| !containers.contains(n)) {
        let detail = "must be one of the container or initContainer names in the pod template";
        e.invalid(&path.child("containerName"), name, detail);
    }
    let values = &codes.values;
    let at = path.child("values");
    if values.is_empty() {
        e.invalid(&at, Shown::json(values), "at least one value is required");
    } else if values.len() > 255 {
        e.too_many(&at, values.len(), 255);
    }
    let mut seen = BTreeSet::new();
    for (i, value) in values.iter().enumerate() {
        if codes.operator == "In" && *value == 0 {
            e.invalid(&at.index(i), *value, "must not be 0 for the In operator");
        }
        if !seen.insert(*value) {
            e.duplicate(&at.index(i), *value);
        }
    }
    if !values.is_sorted() {
        e.invalid(&at, Shown::json(values), "must be ordered");
    }
}

fn success_shown(rules: &[SuccessPolicyRule]) -> Shown {
    let rules: Vec<String> = rules
        .iter()
        .map(|r| {
            format!(
                "{{\"SucceededIndexes\":{},\"SucceededCount\":{}}}",
                super::field::go_json(&r.succeeded_indexes),
                super::field::go_json(&r.succeeded_count)
            )
        })
        .collect();
    Shown::raw(format!("{{\"Rules\":[{}]}}", rules.join(",")))
}

fn success_policy(e: &mut Errors, path: &Path<'_>, rules: &[SuccessPolicyRule], completions: i32) {
    if rules.is_empty() {
        e.required(path, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > 20 {
        e.too_many(path, rules.len(), 20);
    }
    for (i, rule) in rules.iter().enumerate() {
        success_rule(e, &path.index(i), rule, completions);
    }
}

fn success_rule(e: &mut Errors, path: &Path<'_>, rule: &SuccessPolicyRule, completions: i32) {
    if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
        e.required(path, "at least one of succeededCount or succeededIndexes must be specified");
    }
    let mut total = 0;
    if let Some(indexes) = &rule.succeeded_indexes {
        let at = path.child("succeededIndexes");
        if indexes.len() > 64 * 1024 {
            e.too_long(&at, 64 * 1024);
        }
        match count_indexes(indexes, i64::from(completions)) {
            Ok(count) => total = count,
            Err(why) => e.invalid(&at, indexes, &format!("error parsing succeededIndexes: {why}")),
        }
    }
    if let Some(count) = rule.succeeded_count {
        let at = path.child("succeededCount");
        non_negative(e, &at, count);
        if count > completions {
            let detail =
                format!("must be less than or equal to {completions} (the number of specified completions)");
            e.invalid(&at, count, &detail);
        }
        if rule.succeeded_indexes.is_some() && i64::from(count) > total {
            let detail = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            e.invalid(&at, count, &detail);
        }
    }
}

/// How many indexes `1,3-5` names.
fn count_indexes(indexes: &str, completions: i64) -> Result<i64, String> {
    if indexes.is_empty() {
        return Ok(0);
    }
    let number = |text: &str| -> Result<i64, String> {
        let n: i64 =
            text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if n >= completions { Err(format!("too large index: {text:?}")) } else { Ok(n) }
    };
    let not_increasing =
        |previous, current| format!("non-increasing order, previous: {previous}, current: {current}");
    let (mut last, mut total) = (None, 0);
    for interval in indexes.split(',') {
        let parts: Vec<&str> = interval.split('-').collect();
        let (first, end) = match parts.as_slice() {
            [only] => (number(only)?, number(only)?),
            [first, end] => {
                let (first, end) = (number(first)?, number(end)?);
                if first >= end {
                    return Err(not_increasing(first, end));
                }
                (first, end)
            }
            _ => {
                return Err(format!(
                    "the fragment {interval:?} violates the requirement that an index interval can have at most two \
                     parts separated by '-'"
                ));
            }
        };
        if let Some(last) = last.filter(|l| *l >= first) {
            return Err(not_increasing(last, first));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// `ValidateJobSpecUpdate`, after [`create`]: upstream runs both.
pub(super) fn update(e: &mut Errors, new: &JobSpec, old: &Job) {
    let path = Path::root("spec");
    job_spec(e, new);
    let old_spec = &*old.spec;
    completions(e, &path.child("completions"), new, old_spec);
    fixed(e, &path.child("selector"), &new.selector, &old_spec.selector);
    let suspended = old_spec.suspend == Some(true) && old.status.start_time.is_none();
    let old_template = match suspended {
        true => with_scheduling_of(&old_spec.template, &new.template),
        false => old_spec.template.clone(),
    };
    fixed(e, &path.child("template"), &new.template, &old_template);
    fixed(e, &path.child("completionMode"), &new.completion_mode, &old_spec.completion_mode);
    fixed(e, &path.child("podFailurePolicy"), &new.pod_failure_policy, &old_spec.pod_failure_policy);
    let (limit, old_limit) = (&new.backoff_limit_per_index, &old_spec.backoff_limit_per_index);
    fixed(e, &path.child("backoffLimitPerIndex"), limit, old_limit);
    fixed(e, &path.child("managedBy"), &new.managed_by, &old_spec.managed_by);
    fixed(e, &path.child("successPolicy"), &new.success_policy, &old_spec.success_policy);
}

fn fixed<T: PartialEq + Serialize>(e: &mut Errors, path: &Path<'_>, new: &T, old: &T) {
    immutable(e, path, new, old, || Shown::json(new));
}

fn completions(e: &mut Errors, path: &Path<'_>, new: &JobSpec, old: &JobSpec) {
    if new.completions == old.completions {
        return;
    }
    let shown = || Shown::optional(new.completions);
    if !is_indexed(new) {
        e.invalid(path, shown(), IMMUTABLE);
    } else if new.completions.is_some() && new.completions != new.parallelism {
        e.invalid(path, shown(), "can only be modified in tandem with spec.parallelism");
    }
}

/// Before a suspended Job has started, where its pods may run can still be changed.
fn with_scheduling_of(old: &PodTemplateSpec, new: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = old.clone();
    let metadata = template.metadata.get_or_insert_with(Default::default);
    metadata.annotations = new.metadata.as_ref().and_then(|m| m.annotations.clone());
    metadata.labels = new.metadata.as_ref().and_then(|m| m.labels.clone());
    if let (Some(spec), Some(new)) = (&mut template.spec, &new.spec) {
        let node_affinity = new.affinity.as_ref().and_then(|a| a.node_affinity.clone());
        let mut affinity = spec.affinity.take().unwrap_or_default();
        affinity.node_affinity = node_affinity;
        let keep = affinity != Affinity::default() || new.affinity.is_some();
        spec.affinity = keep.then_some(affinity);
        spec.node_selector.clone_from(&new.node_selector);
        spec.tolerations.clone_from(&new.tolerations);
        spec.scheduling_gates.clone_from(&new.scheduling_gates);
    }
    template
}
