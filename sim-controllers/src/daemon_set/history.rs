//! ControllerRevisions of a DaemonSet (`update.go`, `pkg/controller/history`).

use std::sync::Arc;

use serde_json::{Value, json};
use sim_core::api::error::Reason;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Labels, Meta, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::Request;
use sim_core::api::wire::encode;
use sim_core::names::{Decoding, pod_template_hash};

use super::sync::Run;
use super::{REVISION_HASH, rolling::ByNode};
use crate::machinery::fx::{Outcome, Stop, live_get};
use crate::machinery::pod_control::{create, delete};
use crate::machinery::refs::Claim;
use crate::machinery::selectors;

/// A ControllerRevision.
type Row = Arc<Object>;

fn data(revision: &Object) -> &Value {
    revision.as_json().map_or(&Value::Null, |body| &body["data"])
}

fn number(revision: &Object) -> i64 {
    revision.as_json().and_then(|body| body["revision"].as_i64()).unwrap_or(0)
}

fn with_number(revision: &Object, number: i64) -> Object {
    let mut copy = revision.clone();
    let body = json!({ "data": data(revision), "revision": number });
    copy.body = sim_core::api::object::Body::Json(Arc::new(body));
    copy
}

impl Run<'_, '_, '_> {
    /// The hash of the current revision, and the old revisions (`constructHistory`). Creates the current one.
    pub(super) fn construct_history(&mut self) -> Result<(String, Vec<Row>), Stop> {
        let claim = Claim {
            owner: &self.input.object,
            owner_ref: &self.owner_ref,
            selector: selectors::compile(&self.spec.selector),
            finalizer: None,
        };
        let all = claim.all(self.fx, &self.input.revisions)?;
        let patch = self.patch();
        let (current, old): (Vec<Row>, Vec<Row>) = all.into_iter().partition(|r| *data(r) == patch);
        let next = old.iter().map(|r| number(r)).max().unwrap_or(0) + 1;
        let current = match self.dedupe(current)? {
            None => self.snapshot(patch, next)?,
            Some(known) if number(&known) < next => self.renumber(&known, next)?,
            Some(known) => known,
        };
        Ok((current.meta.label(REVISION_HASH).unwrap_or_default().to_string(), old))
    }

    /// What a revision holds (`getPatch`).
    fn patch(&self) -> Value {
        let mut template = encode(&self.spec.template);
        if let Value::Object(map) = &mut template {
            map.insert("$patch".into(), "replace".into());
        }
        let mut patch = json!({ "spec": { "template": template } });
        patch.sort_all_objects();
        patch
    }

    fn renumber(&mut self, known: &Row, next: i64) -> Result<Row, Stop> {
        Ok(self.fx.call(|| Request::Update(Box::new(with_number(known, next))))??)
    }

    /// Of several equal revisions the latest stays (`dedupCurHistories`).
    // DIFFERS: upstream also relabels the pods of the others; equal revisions arise only by hand.
    fn dedupe(&mut self, mut current: Vec<Row>) -> Result<Option<Row>, Stop> {
        current.sort_by_key(|r| number(r));
        let Some(kept) = current.pop() else { return Ok(None) };
        for other in &current {
            self.fx.call(|| delete(Kind::CONTROLLER_REVISION, other.key().clone(), Uid::default()))??;
        }
        Ok(Some(kept))
    }

    fn snapshot(&mut self, patch: Value, number: i64) -> Result<Row, Stop> {
        let owner = &self.input.object;
        let template_json = encode(&self.spec.template);
        let hash = pod_template_hash(&template_json, self.status.collision_count, Decoding::Protobuf);
        let meta = self.spec.template.metadata.as_ref();
        let mut labels: Labels = meta.and_then(|m| m.labels.clone()).unwrap_or_default();
        labels.insert(REVISION_HASH.into(), hash.clone());
        let key = Key::new(owner.meta.key.namespace.clone(), format!("{}-{hash}", owner.meta.name()));
        let meta = Meta {
            labels: Arc::new(labels),
            annotations: owner.meta.annotations.clone(),
            owner_references: smallvec::smallvec![self.owner_ref.clone()],
            ..Meta::named(key.clone())
        };
        let body = json!({ "data": patch, "revision": number });
        let answer = self.fx.call(|| create(Object::json(Kind::CONTROLLER_REVISION, meta, body)))?;
        let error = match answer {
            Ok(made) => return Ok(made),
            Err(error) if error.reason == Reason::AlreadyExists => error,
            Err(error) => return Err(error.into()),
        };
        let found = self.fx.call(|| live_get(Kind::CONTROLLER_REVISION, key))??;
        if *data(&found) == patch {
            return Ok(found);
        }
        // Another template has this hash: count the collision, which salts the next one.
        self.status.collision_count = Some(self.status.collision_count.unwrap_or(0) + 1);
        let status = self.status.clone();
        let object = self.input.object.clone();
        self.write_status(&object, status)?.map_err(Stop::Failed)?;
        Err(error.into())
    }

    /// Deletes old revisions beyond the limit that no pod is of (`cleanupHistory`).
    pub(super) fn cleanup_history(&mut self, mut old: Vec<Row>, pods: &ByNode) -> Outcome {
        let limit = self.spec.revision_history_limit.unwrap_or(10).max(0) as usize;
        let mut surplus = old.len().saturating_sub(limit);
        old.sort_by(|a, b| (number(a), a.meta.name()).cmp(&(number(b), b.meta.name())));
        for revision in &old {
            let hash = revision.meta.label(REVISION_HASH);
            let live = pods.values().flatten().any(|p| hash.is_some() && p.meta.label(REVISION_HASH) == hash);
            if surplus == 0 || live {
                continue;
            }
            let answer =
                self.fx.call(|| delete(Kind::CONTROLLER_REVISION, revision.key().clone(), Uid::default()))?;
            if let Err(error) = answer
                && !error.is_not_found()
            {
                return Err(error.into());
            }
            surplus -= 1;
        }
        Ok(())
    }
}
