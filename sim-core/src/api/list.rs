//! LIST with label and field selectors.
//!
//! Which fields can be selected is a short fixed list per kind (`pkg/apis/core/v1/conversion.go` and the strategies'
//! `SelectableFields`); any other is refused in upstream's words.

use std::sync::Arc;

use super::error::{ApiError, Reason};
use super::kind::Kind;
use super::object::{Body, Object};
use super::server::ApiServer;
use crate::selectors::{FieldSelector, Selector};

/// What a LIST asks for. `Default` is everything.
#[derive(Clone, Debug, Default)]
pub struct ListOptions<'a> {
    /// Only this namespace, unless empty.
    pub namespace: &'a str,
    /// A label selector as text, e.g. `app=web,tier!=cache`; empty matches everything.
    pub label_selector: &'a str,
    /// A field selector as text, e.g. `spec.nodeName=n1`; empty matches everything.
    pub field_selector: &'a str,
}

/// Selectable fields of a kind beside `metadata.name` and `metadata.namespace`.
fn selectable(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::POD => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        Kind::NODE => &["spec.unschedulable"],
        Kind::JOB => &["status.successful"],
        Kind::REPLICA_SET => &["status.replicas"],
        Kind::NAMESPACE => &["status.phase"],
        _ => &[],
    }
}

/// Value of a selectable field, as text.
fn field(object: &Object, path: &str) -> String {
    match (path, &object.body) {
        ("metadata.name", _) => object.meta.name().to_owned(),
        ("metadata.namespace", _) => object.meta.namespace().to_owned(),
        (_, Body::Pod(pod)) => match path {
            "spec.nodeName" => pod.node_name.to_string(),
            "spec.restartPolicy" => pod.spec.restart_policy.clone().unwrap_or_default(),
            "spec.schedulerName" => pod.spec.scheduler_name.clone().unwrap_or_default(),
            "spec.serviceAccountName" => pod.spec.service_account_name.clone().unwrap_or_default(),
            "spec.hostNetwork" => pod.spec.host_network.unwrap_or(false).to_string(),
            "status.phase" => pod.status.phase.as_str().to_owned(),
            "status.podIP" => pod.status.pod_ip.to_string(),
            _ => pod.status.nominated_node_name.to_string(),
        },
        (_, Body::Node(node)) => node.spec.unschedulable.unwrap_or(false).to_string(),
        (_, Body::Job(job)) => job.status.succeeded.unwrap_or(0).to_string(),
        (_, Body::ReplicaSet(set)) => set.status.replicas.to_string(),
        (_, Body::Json(value)) => {
            value.pointer("/status/phase").and_then(|v| v.as_str()).unwrap_or("").to_owned()
        }
        _ => String::new(),
    }
}

impl ApiServer {
    /// Objects of a kind that match, by namespace and name.
    ///
    /// # Errors
    /// 400 for a selector that does not parse, or a field that cannot be selected.
    pub fn list(&self, kind: Kind, options: &ListOptions<'_>) -> Result<Vec<Arc<Object>>, ApiError> {
        let bad = |message: String| ApiError::new(Reason::BadRequest, message);
        let labels = Selector::parse(options.label_selector)
            .map_err(|e| bad(format!("unable to parse requirement: {e}")))?;
        let fields = FieldSelector::parse(options.field_selector).map_err(|e| bad(e.to_string()))?;
        for requirement in fields.requirements() {
            let path = requirement.field.as_str();
            let common = ["metadata.name", "metadata.namespace"].contains(&path);
            if !common && !selectable(kind).contains(&path) {
                return Err(bad(format!("field label not supported: {path}")));
            }
        }
        let wanted = |object: &&Arc<Object>| {
            let in_namespace = options.namespace.is_empty() || object.meta.namespace() == options.namespace;
            in_namespace
                && labels.matches(&object.meta.labels)
                && fields.requirements().iter().all(|r| (field(object, &r.field) == r.value) == r.equal)
        };
        let mut found: Vec<_> = self.store.iter(kind).filter(wanted).cloned().collect();
        found.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Container, PodSpec};

    use super::*;
    use crate::api::meta::{Key, Meta};
    use crate::api::object::Pod;
    use crate::api::server::{ApiOptions, Moment};
    use crate::engine::log::Log;
    use crate::engine::random::Seed;
    use crate::time::{Epoch, Time};

    fn api() -> ApiServer {
        let mut api = ApiServer::new(Seed(1), Epoch::default(), ApiOptions::default());
        let mut log = Log::default();
        for (namespace, name, app, node) in [
            ("b", "p1", "web", "n1"),
            ("a", "p3", "web", ""),
            ("a", "p2", "db", "n1"),
            ("a", "p1", "web", "n2"),
        ] {
            let mut meta = Meta::named(Key::new(namespace, name));
            meta.labels = Arc::new([("app".to_owned(), app.to_owned())].into());
            let container = Container { name: "c".into(), image: Some("i".into()), ..Container::default() };
            let spec = Arc::new(PodSpec { containers: vec![container], ..PodSpec::default() });
            let body = Body::Pod(Pod { node_name: node.into(), spec, ..Pod::default() });
            let mut moment = Moment { now: Time::ZERO, log: &mut log };
            api.import(&mut moment, Object::new(meta, body)).expect("imported");
        }
        api
    }

    #[test]
    fn selectors_choose() {
        let api = api();
        for (namespace, label_selector, field_selector, expected) in [
            ("", "", "", "a/p1 a/p2 a/p3 b/p1"),
            ("a", "", "", "a/p1 a/p2 a/p3"),
            ("", "app=web", "", "a/p1 a/p3 b/p1"),
            ("", "app notin (web)", "", "a/p2"),
            ("", "", "spec.nodeName=n1", "a/p2 b/p1"),
            ("a", "app=web", "spec.nodeName!=", "a/p1"),
            ("", "", "metadata.name=p1,metadata.namespace=b", "b/p1"),
        ] {
            let options = ListOptions { namespace, label_selector, field_selector };
            let found = api.list(Kind::POD, &options).expect("selectors are fine");
            let keys: Vec<_> = found.iter().map(|o| o.key().to_string()).collect();
            assert_eq!(keys.join(" "), expected, "{options:?}");
        }
    }

    #[test]
    fn other_fields_are_refused() {
        let options = ListOptions { field_selector: "spec.hostname=x", ..ListOptions::default() };
        let refused = api().list(Kind::POD, &options).expect_err("not selectable");
        assert_eq!(refused.to_string(), "field label not supported: spec.hostname");
    }
}
