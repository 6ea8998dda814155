//! Finding or creating the ReplicaSet of the current template (`getAllReplicaSetsAndSyncRevision`).

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSetSpec;
use sim_core::api::error::{ApiError, Reason};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Labels, Meta};
use sim_core::api::object::{Body, Object, ReplicaSet};
use sim_core::api::request::Request;
use sim_core::api::wire::encode;
use sim_core::names::{Decoding, pod_template_hash};

use super::conditions::{self, PROGRESSING};
use super::revision::{self, equal_ignoring_hash, find_new, max_revision};
use super::util::{self, POD_TEMPLATE_HASH, REVISION, Set};
use super::{Run, Sets};
use crate::machinery::fx::Stop;
use crate::machinery::pod_control::{create, namespace_terminating};

impl Run<'_, '_, '_> {
    /// The new ReplicaSet, with annotations and the Deployment's revision up to date, and the old ones. Sorts `sets` by
    /// age.
    pub(super) fn all_sets(&mut self, sets: &mut [Set], create: bool) -> Result<Sets, Stop> {
        let spec = self.spec.clone();
        let found = find_new(&spec.template, sets);
        let is_new = |set: &Set| found.as_ref().is_some_and(|new| new.meta.uid == set.meta.uid);
        let old: Vec<Set> = sets.iter().filter(|s| !is_new(s)).cloned().collect();
        let new_revision = max_revision(&old) + 1;
        let new = match found {
            Some(set) => Some(self.refresh(&set, new_revision)?),
            None if create => Some(self.create_set(&old, new_revision)?),
            None => None,
        };
        Ok(Sets { new, old })
    }

    /// Brings an existing new ReplicaSet up to date.
    fn refresh(&mut self, set: &Set, new_revision: i64) -> Result<Set, Stop> {
        let mut annotations = Labels::clone(&set.meta.annotations);
        let annotated = revision::set_annotations(&self.input.object, &mut annotations, new_revision, None);
        let min_ready = self.spec.min_ready_seconds.unwrap_or(0);
        let Some(body) = set.as_replica_set() else { return Ok(set.clone()) };
        if annotated || body.spec.min_ready_seconds.unwrap_or(0) != min_ready {
            let answer = self.fx.call(|| {
                let mut spec = ReplicaSetSpec::clone(&body.spec);
                spec.min_ready_seconds = (min_ready != 0).then_some(min_ready);
                let mut copy = revision::with_annotations(set, annotations);
                copy.body =
                    Body::ReplicaSet(ReplicaSet { spec: Arc::new(spec), status: body.status.clone() });
                Request::Update(Box::new(copy))
            })?;
            return Ok(answer?);
        }
        let mut dirty = self.set_revision(set.meta.annotation(REVISION).unwrap_or(""));
        let unreported = conditions::get(&self.status, PROGRESSING).is_none();
        if util::progress_deadline(&self.spec).is_some() && unreported {
            let message = format!("Found new replica set {:?}", set.meta.name());
            self.set_progressing("True", "FoundNewReplicaSet", message);
            dirty = true;
        }
        if dirty {
            self.update_status()??;
        }
        Ok(set.clone())
    }

    /// Sets the Deployment's revision annotation; true if that changed it.
    fn set_revision(&mut self, revision: &str) -> bool {
        let mut annotations = Labels::clone(&self.annotations);
        let changed = revision::annotate(&mut annotations, REVISION, revision);
        if changed {
            self.annotations = Arc::new(annotations);
        }
        changed
    }

    /// Creates the ReplicaSet of the current template.
    fn create_set(&mut self, old: &[Set], new_revision: i64) -> Result<Set, Stop> {
        let fresh = self.new_set(old, new_revision);
        let name = fresh.meta.key.name.clone();
        let size = util::size(&fresh);
        let answer = self.fx.call(|| create(fresh))?;
        let (set, existed) = match answer {
            Ok(set) => (set, false),
            Err(error) if error.reason == Reason::AlreadyExists => (self.same_name(&name, error)?, true),
            Err(error) if namespace_terminating(&error) => return Err(error.into()),
            Err(error) => return Err(self.creation_failed(&name, error)?),
        };
        if !existed && size > 0 {
            let message = format!("Scaled up replica set {name} from 0 to {size}");
            self.fx.normal(&self.input.object, "ScalingReplicaSet", message);
        }
        let mut dirty = self.set_revision(&new_revision.to_string());
        if !existed && util::progress_deadline(&self.spec).is_some() {
            let message = format!("Created new replica set {name:?}");
            self.set_progressing("True", "NewReplicaSetCreated", message);
            dirty = true;
        }
        if dirty {
            self.update_status()??;
        }
        Ok(set)
    }

    fn new_set(&mut self, old: &[Set], new_revision: i64) -> Object {
        let template_json = encode(&self.spec.template);
        let hash = pod_template_hash(&template_json, self.status.collision_count, Decoding::Protobuf);
        let mut template = self.spec.template.clone();
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(POD_TEMPLATE_HASH.into(), hash.clone());
        let labels = Arc::new(labels.clone());
        let mut selector = self.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(POD_TEMPLATE_HASH.into(), hash.clone());
        let size = util::new_rs_new_replicas(&self.spec, util::total(old, util::size), 0);
        let mut annotations = Labels::new();
        let sizes = self.annotated_sizes();
        revision::set_annotations(&self.input.object, &mut annotations, new_revision, Some(sizes));
        let owner = &self.input.object;
        let meta = Meta {
            key: Key::new(owner.meta.key.namespace.clone(), format!("{}-{hash}", owner.meta.name())),
            labels,
            annotations: Arc::new(annotations),
            owner_references: smallvec::smallvec![self.owner_ref.clone()],
            ..Meta::default()
        };
        let spec = ReplicaSetSpec {
            replicas: Some(size),
            min_ready_seconds: self.spec.min_ready_seconds.filter(|s| *s != 0),
            selector,
            template: Some(template),
        };
        let body = ReplicaSet { spec: Arc::new(spec), status: Arc::default() };
        Object::new(meta, Body::ReplicaSet(body))
    }

    /// The name is taken: by our own ReplicaSet that the cache did not show yet, or by a collision of hashes.
    fn same_name(&mut self, name: &str, error: ApiError) -> Result<Set, Stop> {
        // DIFFERS: upstream asks its cache, which may not have it yet either; a live read ends in the same place sooner.
        let key = Key::new(self.input.object.meta.key.namespace.clone(), name);
        let found = self.fx.call(|| crate::machinery::fx::live_get(Kind::REPLICA_SET, key))??;
        let ours = found.meta.controller_of().is_some_and(|c| c.uid == self.input.object.meta.uid);
        let theirs = found.as_replica_set().and_then(|s| s.spec.template.as_ref());
        if ours && theirs.is_some_and(|t| equal_ignoring_hash(t, &self.spec.template)) {
            return Ok(found);
        }
        self.status.collision_count = Some(self.status.collision_count.unwrap_or(0) + 1);
        let _ = self.update_status()?;
        Err(error.into())
    }

    fn creation_failed(&mut self, name: &str, error: ApiError) -> Result<Stop, Stop> {
        let message = format!("Failed to create new replica set {name:?}: {error}");
        if util::progress_deadline(&self.spec).is_some() {
            self.set_progressing("False", "ReplicaSetCreateError", message.clone());
            let _ = self.update_status()?;
        }
        self.fx.warning(&self.input.object, "ReplicaSetCreateError", message);
        Ok(error.into())
    }
}
