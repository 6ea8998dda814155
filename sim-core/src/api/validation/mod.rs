//! Validation: what the API server refuses, in upstream's words and order.
//!
//! It runs after defaulting and admission, on the object as it would be stored. Kinds without rules here have their
//! metadata checked. Upstream: `pkg/apis/*/validation`, `pkg/registry/*/strategy.go`.

mod autoscaler;
mod classes;
mod common;
mod cron;
pub mod field;
mod internal;
mod job;
mod meta;
pub mod names;
mod node;
mod others;
mod pod;
mod resource;
mod service;
#[cfg(test)]
mod tests;
mod unified;
mod workloads;

use field::Errors;
pub use job::domain_prefixed_path;
pub use resource::Rules;

use super::error::ApiError;
use super::kind::{Kind, Kinds};
use super::meta::Labels;
use super::object::{Body, Object};

/// Texts of `Warning` headers: allowed, but hardly meant.
pub type Warnings = Vec<String>;

/// Validates an object that is being created, in a namespace with these labels.
///
/// # Errors
/// 422 with all complaints.
pub fn validate_create(
    object: &Object,
    kinds: &Kinds,
    rules: &mut Rules,
    namespace: Option<&Labels>,
) -> Result<Warnings, ApiError> {
    let (errors, warnings) = check_create(object, kinds, rules, namespace);
    errors.into_result(kinds.info(object.kind), object.meta.name())?;
    Ok(warnings)
}

/// Validates the metadata alone: of an object whose spec is known to be valid.
///
/// # Errors
/// 422 with all complaints.
pub fn validate_metadata(object: &Object, kinds: &Kinds) -> Result<(), ApiError> {
    let info = kinds.info(object.kind);
    let mut e = Errors::default();
    meta::create(&mut e, &object.meta, info, meta::name_rule(object.kind));
    e.into_result(info, object.meta.name())
}

/// Validates an object that replaces `old` (a write to the main resource, not to `/status`).
///
/// # Errors
/// 422 with all complaints.
pub fn validate_update(
    new: &Object,
    old: &Object,
    kinds: &Kinds,
    rules: &mut Rules,
) -> Result<Warnings, ApiError> {
    let (errors, warnings) = check_update(new, old, kinds, rules);
    errors.into_result(kinds.info(new.kind), new.meta.name())?;
    Ok(warnings)
}

/// Validates a write to `/status`, in a namespace with these labels. Kinds whose statuses only their controllers write are not
/// looked at.
///
/// # Errors
/// 422 with all complaints.
pub fn validate_status(
    new: &Object,
    old: &Object,
    kinds: &Kinds,
    namespace: Option<&Labels>,
) -> Result<(), ApiError> {
    let mut e = Errors::default();
    if new.kind == Kind::RESOURCE_CLAIM {
        resource::status(&mut e, new, old, namespace);
    }
    e.into_result(kinds.info(new.kind), new.meta.name())
}

/// The complaints and warnings that [`validate_create`] answers with, one by one.
pub fn check_create(
    object: &Object,
    kinds: &Kinds,
    rules: &mut Rules,
    namespace: Option<&Labels>,
) -> (Errors, Warnings) {
    let mut e = Errors::default();
    let mut warnings = Warnings::new();
    let info = kinds.info(object.kind);
    let meta = &object.meta;
    if resource::has_rules(object.kind) {
        resource::create(&mut e, object, info, rules, namespace);
        return (e, warnings);
    }
    if !matches!(object.body, Body::Pod(_)) {
        meta::create(&mut e, meta, info, meta::name_rule(object.kind));
    }
    match &object.body {
        Body::Pod(p) => {
            pod::create(&mut e, meta, p, info);
            pod::pod_warnings(meta, &p.spec, &mut warnings);
        }
        Body::Node(n) => node::create(&mut e, n),
        Body::Deployment(d) => workloads::deployment(&mut e, &d.spec),
        Body::ReplicaSet(r) => workloads::replica_set(&mut e, &r.spec),
        Body::DaemonSet(d) => workloads::daemon_set(&mut e, &d.spec),
        Body::Job(j) => job::create(&mut e, meta, &j.spec),
        Body::Json(body) => match object.kind {
            Kind::PRIORITY_CLASS => classes::priority_class(&mut e, meta, body),
            Kind::RUNTIME_CLASS => classes::runtime_class(&mut e, body),
            Kind::POD_DISRUPTION_BUDGET => others::disruption_budget(&mut e, body),
            Kind::STATEFUL_SET => others::stateful_set(&mut e, body, false),
            Kind::CRON_JOB => cron::cron_job(&mut e, meta, body, None),
            Kind::HORIZONTAL_POD_AUTOSCALER => autoscaler::autoscaler(&mut e, body, None),
            Kind::SERVICE => {
                service::service(&mut e, meta, body, None);
                service::warnings(meta, body, &mut warnings);
            }
            Kind::PERSISTENT_VOLUME_CLAIM => others::volume_claim(&mut e, body),
            _ => {}
        },
    }
    template_warnings(object, &mut warnings);
    // Who is refused is not warned.
    let warnings = if e.is_empty() { warnings } else { Warnings::new() };
    (e, warnings)
}

/// The complaints and warnings that [`validate_update`] answers with, one by one.
pub fn check_update(new: &Object, old: &Object, kinds: &Kinds, rules: &mut Rules) -> (Errors, Warnings) {
    let mut e = Errors::default();
    let mut warnings = Warnings::new();
    let info = kinds.info(new.kind);
    if resource::has_rules(new.kind) {
        resource::update(&mut e, new, old, info, rules);
        return (e, warnings);
    }
    match (&new.body, &old.body) {
        (Body::Pod(_), _) => {}
        (Body::Job(j), _) => {
            meta::create(&mut e, &new.meta, info, meta::name_rule(new.kind));
            job::create(&mut e, &new.meta, &j.spec);
            meta::update(&mut e, &new.meta, &old.meta);
        }
        _ => meta::update(&mut e, &new.meta, &old.meta),
    }
    match (&new.body, &old.body) {
        (Body::Pod(n), Body::Pod(o)) => {
            pod::update(&mut e, (&new.meta, n), (&old.meta, o), info);
            pod::pod_warnings(&new.meta, &n.spec, &mut warnings);
        }
        (Body::Node(n), Body::Node(o)) => node::update(&mut e, n, o),
        (Body::Deployment(n), Body::Deployment(o)) => {
            workloads::deployment_update(&mut e, &n.spec, &o.spec);
        }
        (Body::ReplicaSet(n), Body::ReplicaSet(o)) => {
            workloads::replica_set_update(&mut e, &n.spec, &o.spec);
        }
        (Body::DaemonSet(n), Body::DaemonSet(o)) => {
            workloads::daemon_set_update(&mut e, &n.spec, &o.spec);
        }
        (Body::Job(n), Body::Job(o)) => job::update(&mut e, &n.spec, o),
        (Body::Json(n), Body::Json(o)) => match new.kind {
            Kind::PRIORITY_CLASS => classes::priority_class_update(&mut e, n, o),
            Kind::RUNTIME_CLASS => classes::runtime_class_update(&mut e, n, o),
            Kind::POD_DISRUPTION_BUDGET => others::disruption_budget(&mut e, n),
            Kind::STATEFUL_SET => others::stateful_set_update(&mut e, n, o),
            Kind::CRON_JOB => cron::cron_job(&mut e, &new.meta, n, Some(o)),
            Kind::HORIZONTAL_POD_AUTOSCALER => autoscaler::autoscaler(&mut e, n, Some(o)),
            Kind::SERVICE => {
                service::service(&mut e, &new.meta, n, Some((&old.meta, o)));
                service::warnings(&new.meta, n, &mut warnings);
            }
            Kind::PERSISTENT_VOLUME_CLAIM => others::volume_claim_update(&mut e, n, o),
            _ => {}
        },
        _ => {}
    }
    let warnings = if e.is_empty() { warnings } else { Warnings::new() };
    (e, warnings)
}

/// Names that pods carry on, and what is odd in their template.
fn template_warnings(object: &Object, warnings: &mut Warnings) {
    let template = match &object.body {
        Body::Deployment(d) => Some(&d.spec.template),
        Body::ReplicaSet(r) => r.spec.template.as_ref(),
        Body::DaemonSet(d) => Some(&d.spec.template),
        Body::Job(j) => Some(&j.spec.template),
        _ => None,
    };
    let Some(template) = template else { return };
    let messages = names::dns1123_label(object.meta.name());
    if !matches!(object.body, Body::DaemonSet(_)) && !messages.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label \
             is recommended: [{}]",
            messages.join(" ")
        ));
    }
    pod::template_warnings("spec.template", template, warnings);
}
