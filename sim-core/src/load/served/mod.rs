//! Versions that Kubernetes serves beside the one it is kept in here: read as what they are converted to.

mod devices;

use super::de::Ignored;
use super::tree::{Data, Entry, Node};
use crate::api::kind::Kind;

/// The kind behind another served version, with the change that its conversion makes. Fields that the served version does not
/// have, although the stored one would, are taken out and told.
pub(crate) fn convert(
    api_version: &str,
    kind: &str,
    object: &mut Node<'_>,
    ignored: &Ignored,
) -> Option<Kind> {
    let (kind, stored) = match (api_version, kind) {
        ("autoscaling/v1", "HorizontalPodAutoscaler") => {
            convert_autoscaler(object);
            (Kind::HORIZONTAL_POD_AUTOSCALER, "autoscaling/v2")
        }
        ("events.k8s.io/v1", "Event") => {
            convert_event(object);
            (Kind::EVENT, "v1")
        }
        ("resource.k8s.io/v1beta1" | "resource.k8s.io/v1beta2", kind) => {
            let version = api_version.rsplit('/').next().unwrap_or_default();
            (devices::convert(version, kind, object, ignored)?, "resource.k8s.io/v1")
        }
        _ => return None,
    };
    if let Some(version) = field(object, "apiVersion") {
        version.data = Data::Str(stored.into());
    }
    Some(kind)
}

fn field<'n, 's>(object: &'n mut Node<'s>, key: &str) -> Option<&'n mut Node<'s>> {
    match &mut object.data {
        Data::Map(entries) => entries.iter_mut().find(|e| e.key == key).map(|e| &mut e.value),
        _ => None,
    }
}

fn map<'s>(at: u32, fields: impl IntoIterator<Item = (&'static str, Node<'s>)>) -> Node<'s> {
    let entry = |(key, value): (&'static str, Node<'s>)| Entry { key: key.into(), key_at: at, value };
    Node::new(at, Data::Map(fields.into_iter().map(entry).collect()))
}

/// One target of cpu becomes one metric; the status has it the other way round and is computed anew.
fn convert_autoscaler(object: &mut Node<'_>) {
    object.take("status");
    let Some(spec) = field(object, "spec") else { return };
    let Some(target) = spec.take("targetCPUUtilizationPercentage").filter(|t| !t.value.is_null()) else {
        return;
    };
    let at = target.key_at;
    let text = |text: &'static str| Node::new(at, Data::Str(text.into()));
    let wanted = map(at, [("type", text("Utilization")), ("averageUtilization", target.value)]);
    let resource = map(at, [("name", text("cpu")), ("target", wanted)]);
    let metric = map(at, [("type", text("Resource")), ("resource", resource)]);
    if let Data::Map(entries) = &mut spec.data {
        let metrics = Node::new(at, Data::Seq(vec![metric]));
        entries.push(Entry { key: "metrics".into(), key_at: at, value: metrics });
    }
}

/// The newer group renames fields of the same stored event.
fn convert_event(object: &mut Node<'_>) {
    let Data::Map(entries) = &mut object.data else { return };
    for entry in entries {
        let old = match &*entry.key {
            "note" => "message",
            "regarding" => "involvedObject",
            "reportingController" => "reportingComponent",
            "deprecatedSource" => "source",
            "deprecatedFirstTimestamp" => "firstTimestamp",
            "deprecatedLastTimestamp" => "lastTimestamp",
            "deprecatedCount" => "count",
            _ => continue,
        };
        entry.key = old.into();
    }
}
