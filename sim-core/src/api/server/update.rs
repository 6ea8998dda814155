//! PUT and PATCH of the main resource and its subresources, and the binding of pods.

use std::sync::Arc;

use serde_json::{Value, json};
use smol_str::SmolStr;

use super::create::View;
use super::{ApiServer, Moment};
use crate::api::error::{ApiError, Reason};
use crate::api::kind::Kind;
use crate::api::meta::{Key, Labels, Meta, Uid};
use crate::api::object::{Body, Object};
use crate::api::patch::{self, Patch};
use crate::api::pod_status::{ConditionStatus, PodCondition, PodStatus};
use crate::api::request::{MetaPatch, PodStatusPatch};
use crate::api::{admission, defaults, strategy, validation, wire};
use crate::engine::log::CommitVerb;

const STALE: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

impl ApiServer {
    pub(super) fn update(
        &mut self,
        moment: &mut Moment<'_>,
        mut new: Object,
    ) -> Result<Arc<Object>, ApiError> {
        let old = self.current(&new)?;
        keep_identity(&mut new.meta, &old.meta);
        copy_status(&mut new.body, &old.body);
        let epoch = self.epoch;
        defaults::apply(&mut new, &|| epoch.rfc3339(moment.now));
        admission::admit_update(&mut new, &old, &View(self))?;
        strategy::begin(&mut new, Some(&old));
        let dropped = strategy::prepare_update(&mut new, &old, self.options.features);
        self.notices.extend(dropped);
        defaults::apply_internal(&mut new);
        let warnings = validation::validate_update(&new, &old, &self.kinds, &mut self.rules)?;
        self.notices.extend(warnings);
        self.write(moment, CommitVerb::Update, &old, new)
    }

    /// A patch changes the wire form; what comes out is written like any other replacement.
    pub(super) fn patch(
        &mut self,
        moment: &mut Moment<'_>,
        kind: Kind,
        key: &Key,
        patch: &Patch,
    ) -> Result<Arc<Object>, ApiError> {
        let old = self.get(kind, key)?;
        let current = wire::to_json(&old, &self.kinds, self.epoch);
        let patched = patch::apply(kind, &self.kinds, &current, patch)?;
        let new = wire::from_json(&patched, &self.kinds, self.epoch)
            .map_err(|error| ApiError::new(Reason::BadRequest, error.to_string()))?;
        if new.kind != kind || new.meta.key != *key {
            let message = "the name, namespace and kind of an object cannot be changed by a patch";
            return Err(ApiError::new(Reason::BadRequest, message));
        }
        self.update(moment, new)
    }

    pub(super) fn update_status(
        &mut self,
        moment: &mut Moment<'_>,
        new: Object,
    ) -> Result<Arc<Object>, ApiError> {
        let old = self.current(&new)?;
        let mut next = Object::clone(&old);
        copy_status(&mut next.body, &new.body);
        if new.meta.resource_version != 0 {
            // As upstream: only spec (and labels) are kept. The Deployment controller sets its revision this way.
            next.meta.annotations = new.meta.annotations.clone();
        }
        let dropped = strategy::prepare_status(&mut next, &old, self.options.features);
        self.notices.extend(dropped);
        let labels = self.labels_around(&next);
        validation::validate_status(&next, &old, &self.kinds, labels.as_deref())?;
        self.write(moment, CommitVerb::Status, &old, next)
    }

    /// The stored object that a PUT is for, if it is not stale.
    fn current(&self, new: &Object) -> Result<Arc<Object>, ApiError> {
        let old = self.get_checked(new.kind, new.key(), new.meta.uid)?;
        let given = new.meta.resource_version;
        if given != 0 && given != old.meta.resource_version {
            return Err(ApiError::conflict(self.kinds.info(new.kind), old.meta.name(), STALE));
        }
        Ok(old)
    }

    /// Ends every update: nothing changed is no write, a changed spec is a new generation, and an object whose last
    /// finalizer went while it was being deleted is gone.
    fn write(
        &mut self,
        moment: &mut Moment<'_>,
        verb: CommitVerb,
        old: &Arc<Object>,
        mut new: Object,
    ) -> Result<Arc<Object>, ApiError> {
        let info = self.kinds.info(new.kind);
        if new.meta.is_deleting() {
            let added = new.meta.finalizers.iter().any(|f| !old.meta.finalizers.contains(f));
            if added {
                let why = "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted";
                return Err(ApiError::invalid(info, new.meta.name(), why));
            }
        }
        if old.meta.generation > 0 && !same_spec(&new.body, &old.body) {
            new.meta.generation = old.meta.generation + 1;
        }
        new.meta.resource_version = old.meta.resource_version;
        if new.meta == old.meta && new.body == old.body {
            return Ok(old.clone());
        }
        let finalized = new.meta.deletion.is_some_and(|d| d.grace_period_seconds == 0)
            && new.meta.finalizers.is_empty()
            && !old.meta.finalizers.is_empty();
        if finalized {
            return self.remove(moment, &new).ok_or_else(|| {
                ApiError::new(Reason::InternalError, "the object vanished while it was written")
            });
        }
        Ok(self.commit(moment, verb, new))
    }

    pub(super) fn patch_meta(
        &mut self,
        moment: &mut Moment<'_>,
        kind: Kind,
        key: &Key,
        uid: Uid,
        patch: MetaPatch,
    ) -> Result<Arc<Object>, ApiError> {
        let old = self.get_checked(kind, key, uid)?;
        let mut new = Object::clone(&old);
        merge(&mut new.meta.labels, patch.labels);
        merge(&mut new.meta.annotations, patch.annotations);
        if let Some(owners) = patch.owner_references {
            new.meta.owner_references = owners.into();
        }
        new.meta.finalizers.retain(|f| !patch.remove_finalizers.contains(f));
        for finalizer in patch.add_finalizers {
            if !new.meta.finalizers.contains(&finalizer) {
                new.meta.finalizers.push(finalizer);
            }
        }
        self.write(moment, CommitVerb::Update, &old, new)
    }

    pub(super) fn patch_pod_status(
        &mut self,
        moment: &mut Moment<'_>,
        key: &Key,
        uid: Uid,
        patch: PodStatusPatch,
    ) -> Result<Arc<Object>, ApiError> {
        let old = self.get_checked(Kind::POD, key, uid)?;
        let mut new = Object::clone(&old);
        if let Body::Pod(pod) = &mut new.body {
            apply_status_patch(Arc::make_mut(&mut pod.status), patch);
        }
        self.write(moment, CommitVerb::Status, &old, new)
    }

    pub(super) fn scale(
        &mut self,
        moment: &mut Moment<'_>,
        kind: Kind,
        key: &Key,
        replicas: i32,
    ) -> Result<Arc<Object>, ApiError> {
        let old = self.get(kind, key)?;
        if replicas < 0 {
            let why = format!("spec.replicas: Invalid value: {replicas}: must be greater than or equal to 0");
            return Err(ApiError::invalid(self.kinds.info(kind), &key.name, &why));
        }
        let mut new = Object::clone(&old);
        match &mut new.body {
            Body::Deployment(d) => Arc::make_mut(&mut d.spec).replicas = Some(replicas),
            Body::ReplicaSet(r) => Arc::make_mut(&mut r.spec).replicas = Some(replicas),
            Body::Json(value) if value.pointer("/spec/replicas").is_some() => {
                if let Some(place) = Arc::make_mut(value).pointer_mut("/spec/replicas") {
                    *place = replicas.into();
                }
            }
            _ => {
                let message = "the server could not find the requested resource";
                return Err(ApiError::new(Reason::NotFound, message));
            }
        }
        self.write(moment, CommitVerb::Update, &old, new)
    }

    /// `pods/binding` (`registry/core/pod/storage`: assignPod).
    pub(super) fn bind(
        &mut self,
        moment: &mut Moment<'_>,
        key: &Key,
        uid: Uid,
        node: SmolStr,
    ) -> Result<Arc<Object>, ApiError> {
        let old = self.get_checked(Kind::POD, key, uid)?;
        let info = self.kinds.info(Kind::POD);
        let mut new = Object::clone(&old);
        let Body::Pod(pod) = &mut new.body else {
            return Err(ApiError::not_found(info, &key.name));
        };
        let refuse = |why: String| Err(ApiError::conflict(info, &key.name, &why));
        if old.meta.is_deleting() {
            return refuse(format!("pod {} is being deleted, cannot be assigned to a host", key.name));
        }
        if !pod.node_name.is_empty() {
            return refuse(format!("pod {} is already assigned to node {:?}", key.name, pod.node_name));
        }
        if pod.spec.scheduling_gates.as_ref().is_some_and(|g| !g.is_empty()) {
            return refuse(format!("pod {} has non-empty .spec.schedulingGates", key.name));
        }
        pod.node_name = node;
        Arc::make_mut(&mut pod.status).set_condition(PodCondition {
            kind: SmolStr::new_static("PodScheduled"),
            status: ConditionStatus::True,
            last_transition_time: moment.now.truncate_to_secs(),
            ..PodCondition::default()
        });
        Ok(self.commit(moment, CommitVerb::Bind, new))
    }
}

/// What a PUT of the main resource cannot change.
fn keep_identity(new: &mut Meta, old: &Meta) {
    new.uid = old.uid;
    new.creation_timestamp = old.creation_timestamp;
    new.deletion = old.deletion;
    new.generation = old.generation;
    new.generate_name = old.generate_name.clone();
}

/// Takes status (and a pod's node, which only binding sets) from another state of the same object.
fn copy_status(into: &mut Body, from: &Body) {
    match (into, from) {
        (Body::Pod(a), Body::Pod(b)) => {
            a.status = b.status.clone();
            if a.node_name.is_empty() {
                a.node_name = b.node_name.clone();
            }
        }
        (Body::Node(a), Body::Node(b)) => a.status = b.status.clone(),
        (Body::Deployment(a), Body::Deployment(b)) => a.status = b.status.clone(),
        (Body::ReplicaSet(a), Body::ReplicaSet(b)) => a.status = b.status.clone(),
        (Body::DaemonSet(a), Body::DaemonSet(b)) => a.status = b.status.clone(),
        (Body::Job(a), Body::Job(b)) => a.status = b.status.clone(),
        (Body::Json(a), Body::Json(b)) => {
            if let Value::Object(members) = Arc::make_mut(a) {
                match b.get("status") {
                    Some(status) => members.insert("status".into(), status.clone()),
                    None => members.shift_remove("status"),
                };
            }
        }
        _ => {}
    }
}

fn same_spec(a: &Body, b: &Body) -> bool {
    match (a, b) {
        (Body::Pod(a), Body::Pod(b)) => Arc::ptr_eq(&a.spec, &b.spec) || a.spec == b.spec,
        (Body::Node(a), Body::Node(b)) => a.spec == b.spec,
        (Body::Deployment(a), Body::Deployment(b)) => Arc::ptr_eq(&a.spec, &b.spec) || a.spec == b.spec,
        (Body::ReplicaSet(a), Body::ReplicaSet(b)) => Arc::ptr_eq(&a.spec, &b.spec) || a.spec == b.spec,
        (Body::DaemonSet(a), Body::DaemonSet(b)) => Arc::ptr_eq(&a.spec, &b.spec) || a.spec == b.spec,
        (Body::Job(a), Body::Job(b)) => Arc::ptr_eq(&a.spec, &b.spec) || a.spec == b.spec,
        (Body::Json(a), Body::Json(b)) => Arc::ptr_eq(a, b) || without_status(a).eq(without_status(b)),
        _ => false,
    }
}

fn without_status(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten().filter(|(name, _)| *name != "status")
}

fn merge(into: &mut Arc<Labels>, changes: Vec<(String, Option<String>)>) {
    if changes.is_empty() {
        return;
    }
    let map = Arc::make_mut(into);
    for (key, value) in changes {
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
}

fn apply_status_patch(status: &mut PodStatus, patch: PodStatusPatch) {
    fn set<T>(place: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *place = value;
        }
    }
    if !status.phase.is_terminal() {
        set(&mut status.phase, patch.phase);
    }
    set(&mut status.reason, patch.reason);
    set(&mut status.message, patch.message);
    set(&mut status.nominated_node_name, patch.nominated_node_name);
    set(&mut status.init_container_statuses, patch.init_container_statuses);
    set(&mut status.container_statuses, patch.container_statuses);
    set(&mut status.pod_ip, patch.pod_ip);
    set(&mut status.host_ip, patch.host_ip);
    set(&mut status.observed_generation, patch.observed_generation);
    if patch.start_time.is_some() {
        status.start_time = patch.start_time;
    }
    for condition in patch.conditions {
        status.set_condition(condition);
    }
    if let Some(claim) = patch.extended_resource_claim_status {
        let other = Arc::make_mut(status.other.get_or_insert_default());
        other.insert("extendedResourceClaimStatus".to_owned(), claim);
    }
    if !patch.resource_claim_statuses.is_empty() {
        note_claims(status, patch.resource_claim_statuses);
    }
}

/// Merges `resourceClaimStatuses`, a list whose key is `name`.
fn note_claims(status: &mut PodStatus, claims: Vec<(SmolStr, Option<SmolStr>)>) {
    let other = Arc::make_mut(status.other.get_or_insert_default());
    let list = other.entry("resourceClaimStatuses").or_insert_with(|| json!([]));
    let mut all = list.as_array_mut().map(std::mem::take).unwrap_or_default();
    for (name, claim) in claims {
        let mut entry = json!({"name": name.as_str()});
        if let (Some(claim), Some(entry)) = (claim, entry.as_object_mut()) {
            entry.insert("resourceClaimName".to_owned(), claim.as_str().into());
        }
        match all.iter_mut().find(|old| old["name"] == name.as_str()) {
            Some(old) => *old = entry,
            None => all.push(entry),
        }
    }
    *list = Value::Array(all);
}
