//! `kubectl apply`: create what is not there, else merge what changed between the last applied configuration, the new one
//! and what is stored.

use sim_core::api::error::{ApiError, Reason};
use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::object::Object;
use sim_core::api::patch;
use sim_core::api::request::Request;
use sim_core::api::wire;

use crate::Cluster;

/// What an apply did, in kubectl's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was not there.
    Created,
    /// It was changed.
    Configured,
    /// It was as asked already.
    Unchanged,
}

impl Cluster {
    /// Applies an object now, as `kubectl apply` does.
    ///
    /// # Errors
    /// The API server's answer.
    pub fn apply(&mut self, object: impl Into<Object>) -> Result<Applied, ApiError> {
        let mut object: Object = object.into();
        let kind = object.kind;
        let namespaced = self.api.kinds.info(kind).namespaced;
        if namespaced && object.meta.key.namespace.is_empty() {
            object.meta.key.namespace = "default".into();
        }
        let key: Key = object.key().clone();
        let config = self.configuration(&object);
        let Some(current) = self.api.store.get(kind, &key) else {
            let sent = patch::with_last_applied(&config);
            let decoded = wire::from_json(&sent, &self.api.kinds, self.api.epoch()).map_err(bad_request)?;
            object.meta.annotations = decoded.meta.annotations;
            self.try_create(object)?;
            return Ok(Applied::Created);
        };
        let before = current.meta.resource_version;
        let current = wire::to_json(current, &self.api.kinds, self.api.epoch());
        let merged = patch::kubectl_apply(kind, &self.api.kinds, &config, &current)?;
        let merged = wire::from_json(&merged, &self.api.kinds, self.api.epoch()).map_err(bad_request)?;
        let after = self.request(Request::Update(Box::new(merged)))?;
        let changed = after.meta.resource_version != before;
        Ok(if changed { Applied::Configured } else { Applied::Unchanged })
    }

    /// What a manifest of this object would say: the wire form without what only the server writes.
    fn configuration(&self, object: &Object) -> serde_json::Value {
        let mut config = wire::to_json(object, &self.api.kinds, self.api.epoch());
        if let Some(fields) = config.as_object_mut() {
            if object.kind != Kind::NODE {
                fields.shift_remove("status");
            }
            if let Some(meta) = fields.get_mut("metadata").and_then(|m| m.as_object_mut()) {
                for field in ["creationTimestamp", "generation", "resourceVersion", "uid"] {
                    meta.shift_remove(field);
                }
            }
        }
        config
    }
}

fn bad_request(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(Reason::BadRequest, error.to_string())
}
