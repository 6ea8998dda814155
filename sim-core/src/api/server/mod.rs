//! The verbs of the API server, as upstream's registry and its strategies have them.
//!
//! A request commits at the instant it is handled, or is refused and changes nothing. Each verb is a file: [`create`],
//! [`update`], [`delete`]; they end in the one place that writes, [`ApiServer::commit`].

mod create;
mod delete;
mod update;

pub use delete::{FOREGROUND_DELETION, ORPHAN_DEPENDENTS};

use std::sync::Arc;

use smol_str::SmolStr;

use super::error::ApiError;
use super::kind::{Kind, Kinds};
use super::meta::{Key, Uid};
use super::object::Object;
use super::request::Request;
use super::store::Store;
use super::validation::Rules;
use crate::engine::log::{CommitVerb, Log, Record};
use crate::engine::random::{Seed, Stream};
use crate::features::FeatureGates;
use crate::time::{Epoch, Time};

/// Choices of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApiOptions {
    /// Refuse objects of namespaces that do not exist, as upstream does, instead of creating the namespace.
    pub strict_namespaces: bool,
    /// Feature gates of the cluster.
    pub features: FeatureGates,
}

/// The simulated API server and its storage.
#[derive(Clone, Debug)]
pub struct ApiServer {
    /// Kinds of this run.
    pub kinds: Kinds,
    /// Objects, history and watches.
    pub store: Store,
    options: ApiOptions,
    epoch: Epoch,
    uids: Stream,
    names: Stream,
    notices: Vec<String>,
    memo: create::SpecMemo,
    /// What validation knows of the cluster.
    rules: Rules,
    /// Revision of the last write of a kind that pod admission reads.
    class_revision: u64,
}

/// What a verb needs from the run while it works.
pub struct Moment<'a> {
    /// Now.
    pub now: Time,
    /// Commits are recorded here.
    pub log: &'a mut Log,
}

impl ApiServer {
    /// An empty cluster with the namespaces every cluster has.
    pub fn new(seed: Seed, epoch: Epoch, options: ApiOptions) -> ApiServer {
        let mut server = ApiServer {
            kinds: Kinds::default(),
            store: Store::default(),
            options,
            epoch,
            uids: seed.stream("api/uid"),
            names: seed.stream("api/generate-name"),
            notices: Vec::new(),
            memo: create::SpecMemo::default(),
            rules: Rules::new(options.features),
            class_revision: 0,
        };
        let mut log = Log::default();
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            server
                .create_namespace(&mut Moment { now: Time::ZERO, log: &mut log }, &SmolStr::new_static(name));
        }
        server
    }

    /// Feature gates of the cluster.
    pub fn features(&self) -> FeatureGates {
        self.options.features
    }

    /// Date of instant zero.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Things a person should know that are no errors (a namespace that was created on the way, …), once.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Adds something a person should know.
    pub fn add_notice(&mut self, text: String) {
        self.notices.push(text);
    }

    /// Handles a request.
    pub fn handle(&mut self, moment: &mut Moment<'_>, request: Request) -> Result<Arc<Object>, ApiError> {
        match request {
            Request::Create(object) => self.create(moment, *object),
            Request::Update(object) => self.update(moment, *object),
            Request::UpdateStatus(object) => self.update_status(moment, *object),
            Request::PatchPodStatus { key, uid, patch } => self.patch_pod_status(moment, &key, uid, *patch),
            Request::PatchMeta { kind, key, uid, patch } => self.patch_meta(moment, kind, &key, uid, *patch),
            Request::Patch { kind, key, patch } => self.patch(moment, kind, &key, &patch),
            Request::Scale { kind, key, replicas } => self.scale(moment, kind, &key, replicas),
            Request::Delete { kind, key, options } => self.delete(moment, kind, &key, &options),
            Request::Bind { key, uid, node } => self.bind(moment, &key, uid, node),
        }
    }

    /// An object, or upstream's 404.
    pub fn get(&self, kind: Kind, key: &Key) -> Result<Arc<Object>, ApiError> {
        let found = self.store.get(kind, key).cloned();
        found.ok_or_else(|| ApiError::not_found(self.kinds.info(kind), &key.name))
    }

    /// An object of a given uid (unless unset), or 404 / 409.
    fn get_checked(&self, kind: Kind, key: &Key, uid: Uid) -> Result<Arc<Object>, ApiError> {
        let object = self.get(kind, key)?;
        if !uid.is_unset() && object.meta.uid != uid {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                object.meta.uid
            );
            return Err(ApiError::conflict(self.kinds.info(kind), &key.name, &why));
        }
        Ok(object)
    }

    /// Writes a new state of an object and records it.
    fn commit(&mut self, moment: &mut Moment<'_>, verb: CommitVerb, object: Object) -> Arc<Object> {
        let object = self.store.put(moment.now, object);
        self.record(moment, verb, &object);
        object
    }

    /// Removes an object and records it.
    fn remove(&mut self, moment: &mut Moment<'_>, object: &Object) -> Option<Arc<Object>> {
        let gone = self.store.remove(moment.now, object.kind, object.key())?;
        self.record(moment, CommitVerb::Delete, &gone);
        Some(gone)
    }

    fn record(&mut self, moment: &mut Moment<'_>, verb: CommitVerb, object: &Object) {
        if matches!(object.kind, Kind::PRIORITY_CLASS | Kind::RUNTIME_CLASS) {
            self.class_revision = object.meta.resource_version;
        }
        moment.log.append(
            moment.now,
            Record::Commit {
                verb,
                kind: &self.kinds.info(object.kind).kind,
                namespace: object.meta.namespace(),
                name: object.meta.name(),
                uid: object.meta.uid,
                revision: object.meta.resource_version,
            },
        );
    }
}

#[cfg(test)]
mod tests;
