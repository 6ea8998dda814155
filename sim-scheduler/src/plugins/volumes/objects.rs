//! Views of the storage kinds. They read the JSON as it is: what is missing or has a wrong type counts as not given.

use k8s_openapi::api::core::v1::{NodeSelector as WireSelector, TopologySelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::api::wire::decode_value;
use sim_core::quantity::Quantity;
use sim_core::selectors::{Selector, SelectorError};
use smol_str::{SmolStr, format_smolstr};

use crate::cache::Objects;

/// The annotation that named the class before `spec.storageClassName` did. It still goes first.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// Node that a volume is to be provisioned for.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Set by the PersistentVolume controller once a claim is bound from both sides.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// In-tree plugins that a node's CSI drivers took over from, with commas between.
const MIGRATED_PLUGINS: &str = "storage.alpha.kubernetes.io/migrated-plugins";

fn at<'a>(object: &'a Object, pointer: &str) -> Option<&'a Value> {
    object.as_json()?.pointer(pointer).filter(|value| !value.is_null())
}

fn text<'a>(object: &'a Object, pointer: &str) -> &'a str {
    at(object, pointer).and_then(Value::as_str).unwrap_or_default()
}

fn texts<'a>(object: &'a Object, pointer: &str) -> impl Iterator<Item = &'a str> {
    at(object, pointer).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn typed<T: DeserializeOwned>(object: &Object, pointer: &str) -> Option<T> {
    at(object, pointer).and_then(|value| decode_value(value).ok())
}

fn quantity(object: &Object, pointer: &str) -> Option<Quantity> {
    match at(object, pointer)? {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

fn class_of(object: &Object) -> &str {
    object.meta.annotation(BETA_CLASS).unwrap_or_else(|| text(object, "/spec/storageClassName"))
}

fn volume_mode(object: &Object) -> &str {
    at(object, "/spec/volumeMode").and_then(Value::as_str).unwrap_or("Filesystem")
}

/// What a lister says of an object that is not there.
pub(crate) fn not_found(kind: Kind, name: &str) -> SmolStr {
    let resource = match kind {
        Kind::PERSISTENT_VOLUME_CLAIM => "persistentvolumeclaim",
        Kind::PERSISTENT_VOLUME => "persistentvolume",
        Kind::STORAGE_CLASS => "storageclass.storage.k8s.io",
        _ => "object",
    };
    format_smolstr!("{resource} {} not found", sim_core::syntax::go_quote(name))
}

/// A PersistentVolumeClaim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a>(pub(crate) &'a Object);

impl<'a> Claim<'a> {
    /// A claim as last seen, whatever is assumed of it.
    pub(crate) fn seen(
        objects: &'a Objects,
        namespace: &SmolStr,
        name: &SmolStr,
    ) -> Result<Claim<'a>, SmolStr> {
        let key = Key { namespace: namespace.clone(), name: name.clone() };
        let object = objects.seen(Kind::PERSISTENT_VOLUME_CLAIM, &key);
        object.map(|object| Claim(object)).ok_or_else(|| not_found(Kind::PERSISTENT_VOLUME_CLAIM, name))
    }

    /// `spec.volumeName`, empty if not bound.
    pub(crate) fn volume_name(self) -> &'a str {
        text(self.0, "/spec/volumeName")
    }

    /// Name of the storage class, or empty (`GetPersistentVolumeClaimClass`).
    pub(crate) fn class(self) -> &'a str {
        class_of(self.0)
    }

    pub(crate) fn access_modes(self) -> impl Iterator<Item = &'a str> {
        texts(self.0, "/spec/accessModes")
    }

    /// `spec.resources.requests.storage`.
    pub(crate) fn request(self) -> Option<Quantity> {
        quantity(self.0, "/spec/resources/requests/storage")
    }

    pub(crate) fn volume_mode(self) -> &'a str {
        volume_mode(self.0)
    }

    /// `spec.volumeAttributesClassName`, or empty.
    pub(crate) fn attributes_class(self) -> &'a str {
        text(self.0, "/spec/volumeAttributesClassName")
    }

    /// `spec.selector`, if there is one.
    pub(crate) fn selector(self) -> Result<Option<Selector>, SelectorError> {
        let selector: Option<LabelSelector> = typed(self.0, "/spec/selector");
        selector.map(|selector| Selector::from_label_selector(Some(&selector))).transpose()
    }

    /// True if its volume is gone.
    pub(crate) fn is_lost(self) -> bool {
        text(self.0, "/status/phase") == "Lost"
    }

    /// True if it is bound, and nothing is left to be done about it (`isPVCFullyBound`).
    pub(crate) fn is_fully_bound(self) -> bool {
        !self.volume_name().is_empty() && self.0.meta.annotation(BIND_COMPLETED).is_some()
    }

    /// Node that its volume is to be provisioned for.
    pub(crate) fn selected_node(self) -> Option<&'a str> {
        self.0.meta.annotation(SELECTED_NODE)
    }
}

/// A PersistentVolume.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Volume<'a>(pub(crate) &'a Object);

impl<'a> Volume<'a> {
    /// A volume as last seen, whatever is assumed of it.
    pub(crate) fn seen(objects: &'a Objects, name: &str) -> Result<Volume<'a>, SmolStr> {
        let object = objects.seen(Kind::PERSISTENT_VOLUME, &Key::cluster(name));
        object.map(|object| Volume(object)).ok_or_else(|| not_found(Kind::PERSISTENT_VOLUME, name))
    }

    /// Name of the storage class, or empty (`GetPersistentVolumeClass`).
    pub(crate) fn class(self) -> &'a str {
        class_of(self.0)
    }

    pub(crate) fn access_modes(self) -> impl Iterator<Item = &'a str> {
        texts(self.0, "/spec/accessModes")
    }

    /// `spec.capacity.storage`.
    pub(crate) fn capacity(self) -> Option<Quantity> {
        quantity(self.0, "/spec/capacity/storage")
    }

    pub(crate) fn volume_mode(self) -> &'a str {
        volume_mode(self.0)
    }

    /// `spec.volumeAttributesClassName`, or empty.
    pub(crate) fn attributes_class(self) -> &'a str {
        text(self.0, "/spec/volumeAttributesClassName")
    }

    pub(crate) fn is_available(self) -> bool {
        text(self.0, "/status/phase") == "Available"
    }

    /// True if it is promised or bound to some claim.
    pub(crate) fn has_claim(self) -> bool {
        at(self.0, "/spec/claimRef").is_some()
    }

    /// `spec.claimRef.namespace`, or empty.
    pub(crate) fn claim_namespace(self) -> &'a str {
        text(self.0, "/spec/claimRef/namespace")
    }

    /// `spec.claimRef.uid`, if it says one.
    pub(crate) fn claim_uid(self) -> Option<Uid> {
        Some(text(self.0, "/spec/claimRef/uid")).filter(|uid| !uid.is_empty()).map(Uid::parse)
    }

    /// True if it is promised to this claim, by name at least (`IsVolumeBoundToClaim`).
    pub(crate) fn is_bound_to(self, claim: Claim<'_>) -> bool {
        let meta = &claim.0.meta;
        text(self.0, "/spec/claimRef/name") == meta.name()
            && self.claim_namespace() == meta.namespace()
            && self.claim_uid().is_none_or(|uid| uid == meta.uid)
    }

    /// `spec.nodeAffinity.required`.
    pub(crate) fn node_affinity(self) -> Option<WireSelector> {
        typed(self.0, "/spec/nodeAffinity/required")
    }

    /// A source of some type, e.g. `csi`.
    pub(crate) fn source(self, kind: &str) -> Option<&'a Value> {
        self.0.as_json()?.get("spec")?.get(kind).filter(|source| !source.is_null())
    }

    /// Driver and handle, if it is a CSI volume.
    pub(crate) fn csi(self) -> Option<(&'a str, &'a str)> {
        let field =
            |name: &str| Some(self.source("csi")?.get(name).and_then(Value::as_str).unwrap_or_default());
        Some((field("driver")?, field("volumeHandle")?))
    }
}

/// A StorageClass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class<'a>(pub(crate) &'a Object);

impl<'a> Class<'a> {
    pub(crate) fn seen(objects: &'a Objects, name: &str) -> Result<Class<'a>, SmolStr> {
        let object = objects.seen(Kind::STORAGE_CLASS, &Key::cluster(name));
        object.map(|object| Class(object)).ok_or_else(|| not_found(Kind::STORAGE_CLASS, name))
    }

    pub(crate) fn provisioner(self) -> &'a str {
        text(self.0, "/provisioner")
    }

    /// True if volumes are bound once a pod needs them. The error is that it does not say.
    pub(crate) fn waits_for_first_consumer(self) -> Result<bool, SmolStr> {
        match at(self.0, "/volumeBindingMode").and_then(Value::as_str) {
            Some(mode) => Ok(mode == "WaitForFirstConsumer"),
            None => {
                let name = sim_core::syntax::go_quote(self.0.meta.name());
                Err(format_smolstr!("VolumeBindingMode not set for StorageClass {name}"))
            }
        }
    }

    pub(crate) fn allowed_topologies(self) -> Vec<TopologySelectorTerm> {
        typed(self.0, "/allowedTopologies").unwrap_or_default()
    }
}

/// A CSINode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CsiNode<'a>(pub(crate) &'a Object);

impl<'a> CsiNode<'a> {
    pub(crate) fn seen(objects: &'a Objects, node: &SmolStr) -> Option<CsiNode<'a>> {
        objects.seen(Kind::CSI_NODE, &Key::cluster(node.clone())).map(|object| CsiNode(object))
    }

    /// Drivers, with the number of volumes that can be attached if there is a limit.
    pub(crate) fn drivers(self) -> impl Iterator<Item = (&'a str, Option<i64>)> {
        let drivers = at(self.0, "/spec/drivers").and_then(Value::as_array).into_iter().flatten();
        drivers.map(|driver| {
            let name = driver.get("name").and_then(Value::as_str).unwrap_or_default();
            (name, driver.pointer("/allocatable/count").and_then(Value::as_i64))
        })
    }

    /// In-tree plugins that its drivers took over from, as one text.
    pub(crate) fn migrated_plugins(self) -> &'a str {
        self.0.meta.annotation(MIGRATED_PLUGINS).unwrap_or_default()
    }
}

/// True if a CSIDriver wants storage capacity to be looked at.
pub(crate) fn tracks_capacity(driver: &Object) -> bool {
    at(driver, "/spec/storageCapacity").and_then(Value::as_bool).unwrap_or(false)
}

/// A CSIStorageCapacity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity<'a>(pub(crate) &'a Object);

impl<'a> Capacity<'a> {
    pub(crate) fn class(self) -> &'a str {
        text(self.0, "/storageClassName")
    }

    /// Size of the largest volume that there is room for (`volumeLimit`).
    pub(crate) fn limit(self) -> Option<Quantity> {
        match at(self.0, "/maximumVolumeSize") {
            Some(_) => quantity(self.0, "/maximumVolumeSize"),
            None => quantity(self.0, "/capacity"),
        }
    }

    /// Nodes that it is about; `None` for no node.
    pub(crate) fn topology(self) -> Option<Selector> {
        let selector: LabelSelector = typed(self.0, "/nodeTopology")?;
        Selector::from_label_selector(Some(&selector)).ok()
    }
}

/// A VolumeAttachment: node, attacher and the name of the volume, if it says so.
pub(crate) fn attachment(object: &Object) -> (&str, &str, Option<&str>) {
    let volume = at(object, "/spec/source/persistentVolumeName").and_then(Value::as_str);
    (text(object, "/spec/nodeName"), text(object, "/spec/attacher"), volume)
}
