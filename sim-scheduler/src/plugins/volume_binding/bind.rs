//! Binding what was found: objects to be assumed and sent, and what to wait for (`AssumePodVolumes`, `BindPodVolumes`).

use std::sync::Arc;

use serde_json::{Value, json};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Labels};
use sim_core::api::object::{Body, Object};
use sim_core::syntax::go_quote;
use smol_str::{SmolStr, format_smolstr};

use super::super::volumes::objects::{Claim, CsiNode, SELECTED_NODE, Volume};
use super::find::{Affinity, Binding, Found, check_node_affinity};
use crate::cache::{Cache, Objects};
use crate::framework::{Attempt, Effects};

/// Says that the binding was not the user's.
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

fn annotate(object: &mut Object, key: &str, value: &str) {
    let annotations: &mut Labels = Arc::make_mut(&mut object.meta.annotations);
    annotations.insert(key.to_owned(), value.to_owned());
}

/// The volume, promised to the claim; `None` if it already was in every respect (`GetBindVolumeToClaim`).
fn promised(volume: &Object, claim: &Object) -> Option<Object> {
    let (view, meta) = (Volume(volume), &claim.meta);
    let bound = view.is_bound_to(Claim(claim));
    let complete = bound && view.claim_uid() == Some(meta.uid);
    let annotated = bound || volume.meta.annotation(BOUND_BY_CONTROLLER).is_some();
    if complete && annotated {
        return None;
    }
    let mut changed = volume.clone();
    if !complete && let Body::Json(body) = &mut changed.body {
        let reference = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": meta.namespace(),
            "name": meta.name(),
            "uid": meta.uid.to_string(),
            "resourceVersion": meta.resource_version.to_string(),
        });
        if let Some(Value::Object(spec)) = Arc::make_mut(body).get_mut("spec") {
            spec.insert("claimRef".to_owned(), reference);
        }
    }
    if !annotated {
        annotate(&mut changed, BOUND_BY_CONTROLLER, "yes");
    }
    Some(changed)
}

/// The claim, to be provisioned for a node.
fn selected(claim: &Object, node: &str) -> Object {
    let mut changed = claim.clone();
    annotate(&mut changed, SELECTED_NODE, node);
    changed
}

impl Found {
    /// Goes on as if all of it were bound to the node already.
    pub(super) fn assume(&mut self, node: &str, effects: &mut Effects) {
        for Binding { volume, claim } in &mut self.bindings {
            if let Some(changed) = promised(volume, claim) {
                *volume = Arc::new(changed);
                effects.assume.push(volume.clone());
            }
        }
        for claim in &mut self.provisions {
            *claim = Arc::new(selected(claim, node));
            effects.assume.push(claim.clone());
        }
    }

    /// Takes that back (`RevertAssumedPodVolumes`).
    pub(super) fn revert(&self, effects: &mut Effects) {
        for object in self.bindings.iter().map(|binding| &binding.volume).chain(&self.provisions) {
            effects.restore.push((object.kind, object.meta.key.clone()));
        }
    }

    /// One after the other, what has to be written to the API server.
    pub(super) fn object_at(&mut self, at: usize) -> Option<&mut Arc<Object>> {
        let volumes = self.bindings.iter_mut().map(|binding| &mut binding.volume);
        volumes.chain(&mut self.provisions).nth(at)
    }

    /// True once everything written is bound from both sides (`checkBindings`). Looks at objects as last seen: what is
    /// assumed of them may be another pod's doing by now.
    ///
    /// # Errors
    /// It will not be bound any more.
    pub(super) fn is_bound(&self, attempt: &Attempt<'_>, node: &str) -> Result<bool, SmolStr> {
        let cluster: &Cache = attempt.cluster;
        let Some(labels) = cluster.node_named(node).map(|node| &node.labels) else {
            let node = go_quote(node);
            return Err(format_smolstr!("failed to get node {node}: node {node} not found"));
        };
        // DIFFERS: upstream asks for a pod of this name; here it has to be this one.
        if cluster.is_deleted(attempt.object.meta.uid) {
            let name = go_quote(attempt.object.meta.name());
            return Err(format_smolstr!("pod does not exist any more: pod {name} not found"));
        }
        let check = Check { objects: cluster.objects(), node, labels };
        for Binding { volume, claim } in &self.bindings {
            if !check.binding(volume, claim)? {
                return Ok(false);
            }
        }
        for claim in &self.provisions {
            if !check.provision(claim)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What bindings are held against.
struct Check<'a> {
    objects: &'a Objects,
    node: &'a str,
    labels: &'a Labels,
}

impl<'a> Check<'a> {
    fn seen(&self, kind: Kind, key: &Key, what: &str) -> Result<&'a Object, SmolStr> {
        let type_name = match kind {
            Kind::PERSISTENT_VOLUME => "v1.PersistentVolume",
            _ => "v1.PersistentVolumeClaim",
        };
        let key_text = || go_quote(&key.to_string());
        let object = self.objects.seen(kind, key);
        object.map(|object| &**object).ok_or_else(|| {
            format_smolstr!("failed to check {what}: could not find {type_name} {}", key_text())
        })
    }

    fn binding(&self, written: &Object, claim: &Object) -> Result<bool, SmolStr> {
        let volume = self.seen(Kind::PERSISTENT_VOLUME, written.key(), "binding")?;
        let claim = self.seen(Kind::PERSISTENT_VOLUME_CLAIM, claim.key(), "binding")?;
        if written.meta.resource_version > volume.meta.resource_version {
            return Ok(false);
        }
        self.affinity(volume, "failed to translate pv to csi: ")?;
        if !Volume(volume).has_claim() || Volume(volume).claim_uid().is_none() {
            return Err(format_smolstr!("ClaimRef got reset for pv {}", go_quote(volume.meta.name())));
        }
        Ok(Claim(claim).is_fully_bound())
    }

    fn provision(&self, written: &Object) -> Result<bool, SmolStr> {
        let object = self.seen(Kind::PERSISTENT_VOLUME_CLAIM, written.key(), "provisioning pvc")?;
        if written.meta.resource_version > object.meta.resource_version {
            return Ok(false);
        }
        let (claim, name) = (Claim(object), go_quote(object.meta.name()));
        if object.meta.annotations.is_empty() {
            return Err(format_smolstr!("selectedNode annotation reset for PVC {name}"));
        }
        if claim.selected_node() != Some(self.node) {
            return Err(format_smolstr!("provisioning failed for PVC {name}"));
        }
        if !claim.volume_name().is_empty() {
            // A volume that is not seen yet may be on its way.
            let volume = self.objects.seen(Kind::PERSISTENT_VOLUME, &Key::cluster(claim.volume_name()));
            let Some(volume) = volume else { return Ok(false) };
            self.affinity(volume, "")?;
        }
        Ok(claim.is_fully_bound())
    }

    fn affinity(&self, volume: &Object, context: &str) -> Result<(), SmolStr> {
        let csi_node = CsiNode::seen(self.objects, &SmolStr::new(self.node));
        let affinity = Affinity::of(Volume(volume));
        let affinity = affinity.on(csi_node).map_err(|error| format_smolstr!("{context}{error}"))?;
        check_node_affinity(affinity, self.labels).map_err(|error| {
            let (volume, node) = (go_quote(volume.meta.name()), go_quote(self.node));
            format_smolstr!("pv {volume} node affinity doesn't match node {node}: {error}")
        })
    }
}
