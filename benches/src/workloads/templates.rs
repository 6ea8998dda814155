//! Manifests that workloads make their objects from.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use sim_core::api::kind::Kinds;
use sim_core::api::meta::{Key, OwnerReference, Uid};
use sim_core::api::object::{Body, Object};
use sim_core::load::{LoadOptions, objects};
use smol_str::{SmolStr, format_smolstr};

use super::format::Nodes;
use super::{files, folder, source};

/// The manifests in `benches/workloads/templates`, by file name.
#[derive(Clone, Debug)]
pub struct Templates(BTreeMap<String, Object>);

impl Templates {
    /// Reads them.
    ///
    /// # Errors
    /// A file cannot be read, or has not exactly one object.
    pub fn load() -> Result<Templates, String> {
        let mut all = BTreeMap::new();
        for (name, path) in files(&folder().join("templates"))? {
            let loaded = objects(&mut Kinds::default(), &[source(&path)?], &LoadOptions::default());
            let mut loaded = loaded.map_err(|e| e.to_string())?.objects;
            match (loaded.pop(), loaded.is_empty()) {
                (Some(one), true) => all.insert(name, one.object),
                _ => return Err(format!("{}: a template is one object", path.display())),
            };
        }
        Ok(Templates(all))
    }

    /// One by name.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, name: &str) -> Result<&Object, String> {
        self.0.get(name).ok_or_else(|| format!("there is no template {name}"))
    }
}

/// An object of a template under another name, in a namespace unless it belongs to none.
pub(super) fn named(template: &Object, name: SmolStr, namespace: Option<&str>) -> Object {
    let mut object = template.clone();
    object.meta.key.name = name;
    if !object.meta.key.namespace.is_empty()
        && let Some(namespace) = namespace
    {
        object.meta.key.namespace = SmolStr::new(namespace);
    }
    object
}

/// The node of some number.
pub(super) fn node(template: &Object, nodes: &Nodes, number: usize) -> Object {
    let prefix = template.meta.name();
    let name = match nodes.keep_name {
        true => SmolStr::new(prefix),
        false => format_smolstr!("{prefix}-{number:06}"),
    };
    let mut node = named(template, name, None);
    let labels = Arc::make_mut(&mut node.meta.labels);
    labels.insert("kubernetes.io/hostname".to_owned(), node.meta.key.name.to_string());
    for (key, values) in &nodes.labels {
        if !values.is_empty() {
            labels.insert(key.clone(), values[number % values.len()].clone());
        }
    }
    node
}

/// Makes a pod what the job controller makes of the pods of an Indexed Job: each differs from all others.
pub(super) fn index(pod: &mut Object, number: usize) {
    const INDEX: &str = "batch.kubernetes.io/job-completion-index";
    Arc::make_mut(&mut pod.meta.labels).insert(INDEX.to_owned(), number.to_string());
    Arc::make_mut(&mut pod.meta.annotations).insert(INDEX.to_owned(), number.to_string());
    if let Body::Pod(body) = &mut pod.body {
        let spec: &mut PodSpec = Arc::make_mut(&mut body.spec);
        spec.hostname = Some(format!("indexed-{number}"));
    }
}

/// Makes a ReplicaSet the pod's owner.
pub(super) fn own(pod: &mut Object, replica_set: &Key) {
    pod.meta.owner_references.push(OwnerReference {
        api_version: SmolStr::new_static("apps/v1"),
        kind: SmolStr::new_static("ReplicaSet"),
        name: replica_set.name.clone(),
        // Nobody here looks the owner up by it.
        uid: Uid::parse(&replica_set.to_string()),
        controller: true,
        block_owner_deletion: true,
    });
}
