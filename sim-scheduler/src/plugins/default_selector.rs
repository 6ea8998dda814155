//! Which pods belong together, judging by what selects and manages them (`plugins/helper/spread.go`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Labels};
use sim_core::api::object::Object;
use sim_core::selectors::Selector;

use crate::cache::Objects;
use crate::pod::PodInfo;

/// The labels that all Services of a pod select.
pub(super) fn service_labels(pod: &PodInfo, objects: &Objects) -> Labels {
    let mut labels = Labels::new();
    for service in objects.in_namespace(Kind::SERVICE, &pod.namespace) {
        if let Some(selector) = plain_selector(service)
            && selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
        {
            labels.extend(selector);
        }
    }
    labels
}

/// The selector of a pod's Services, given by the labels they select, and of its ReplicationController, ReplicaSet or
/// StatefulSet (`DefaultSelector`). Selects everything if there are none.
pub(super) fn default_selector(pod: &PodInfo, mut labels: Labels, objects: &Objects) -> Selector {
    let Some(owner) = &pod.controller else { return Selector::from_set(&labels) };
    let get = |kind| objects.get(kind, &Key::new(pod.namespace.clone(), owner.name.clone()));
    let of_owner = match (owner.api_version.as_str(), owner.kind.as_str()) {
        ("v1", "ReplicationController") => {
            if let Some(selector) = get(Kind::REPLICATION_CONTROLLER).and_then(|rc| plain_selector(rc)) {
                labels.extend(selector);
            }
            None
        }
        ("apps/v1", "ReplicaSet") => {
            let set = get(Kind::REPLICA_SET).and_then(|set| set.as_replica_set());
            set.and_then(|set| Selector::from_label_selector(Some(&set.spec.selector)).ok())
        }
        ("apps/v1", "StatefulSet") => get(Kind::STATEFUL_SET).and_then(|set| label_selector(set)),
        _ => None,
    };
    let own = Selector::from_set(&labels);
    match of_owner {
        Some(other) => Selector::new([own.requirements(), other.requirements()].concat()),
        None => own,
    }
}

fn selector_field(object: &Object) -> Option<&Value> {
    object.as_json()?.get("spec")?.get("selector")
}

/// A selector that is a map of labels; `None` if it is absent.
fn plain_selector(object: &Object) -> Option<Labels> {
    let map = selector_field(object)?.as_object()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(map.iter().map(|(key, value)| (key.clone(), text(value))).collect())
}

fn label_selector(object: &Object) -> Option<Selector> {
    let selector = selector_field(object).filter(|value| !value.is_null())?;
    let selector: LabelSelector = serde_json::from_value(selector.clone()).ok()?;
    Selector::from_label_selector(Some(&selector)).ok()
}
