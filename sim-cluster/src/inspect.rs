//! Looking at the cluster and acting on it from outside, as a person with `kubectl` would.

use std::sync::Arc;

use sim_core::api::error::ApiError;
use sim_core::api::kind::{Kind, Kinds};
use sim_core::api::meta::Key;
use sim_core::api::object::Object;
use sim_core::api::pod_status::{PodPhase, PodStatus};
use sim_core::api::request::{DeleteOptions, Request};
use sim_core::api::server::{ApiServer, Moment};
use sim_kubelet::fleet::Fleet;
use sim_scheduler::Scheduler;

use crate::Cluster;
use crate::event::Owner;

/// An object that was created through [`Cluster::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub(crate) u32);

/// Names an object of a known kind: a [`Handle`], `"name"` in the default namespace, `"namespace/name"`, or a key.
pub trait Named {
    /// Namespace and name.
    fn key(&self, cluster: &Cluster) -> Key;
}

impl Named for Handle {
    fn key(&self, cluster: &Cluster) -> Key {
        cluster.handles.get(self.0 as usize).map(|o| o.key().clone()).unwrap_or_default()
    }
}

impl Named for &str {
    fn key(&self, _: &Cluster) -> Key {
        match self.split_once('/') {
            Some((namespace, name)) => Key::new(namespace, name),
            None => Key::new("default", *self),
        }
    }
}

impl Named for &Key {
    fn key(&self, _: &Cluster) -> Key {
        Key::clone(self)
    }
}

/// A pod as it is now, or the absence of one: every question has an answer.
#[derive(Clone, Debug)]
pub struct PodView(Option<Arc<Object>>);

impl PodView {
    fn status(&self) -> Option<&PodStatus> {
        self.0.as_deref()?.as_pod().map(|pod| &*pod.status)
    }

    /// The object, if it exists.
    pub fn object(&self) -> Option<&Arc<Object>> {
        self.0.as_ref()
    }

    /// True if it exists.
    pub fn exists(&self) -> bool {
        self.0.is_some()
    }

    /// Its phase; `None` if it does not exist.
    pub fn phase(&self) -> Option<PodPhase> {
        self.status().map(|s| s.phase)
    }

    /// True in phase Running.
    pub fn is_running(&self) -> bool {
        self.phase() == Some(PodPhase::Running)
    }

    /// True with condition Ready.
    pub fn is_ready(&self) -> bool {
        self.status().is_some_and(|s| s.is_true("Ready"))
    }

    /// The node it is bound to.
    pub fn node(&self) -> Option<&str> {
        let node = self.0.as_deref()?.as_pod()?.node_name.as_str();
        (!node.is_empty()).then_some(node)
    }

    /// Restarts of all its containers.
    pub fn restarts(&self) -> i32 {
        self.status().map_or(0, |s| {
            s.container_statuses.iter().chain(&s.init_container_statuses).map(|c| c.restart_count).sum()
        })
    }
}

impl Cluster {
    /// Creates an object now, as a client would.
    ///
    /// # Panics
    /// If the API server refuses it; use [`Cluster::try_create`] where that is to be expected.
    #[track_caller]
    pub fn create(&mut self, object: impl Into<Object>) -> Handle {
        match self.try_create(object) {
            Ok(handle) => handle,
            Err(error) => panic!("the API server refused the object: {error}"),
        }
    }

    /// Creates an object now, as a client would.
    ///
    /// # Errors
    /// The API server's answer.
    pub fn try_create(&mut self, object: impl Into<Object>) -> Result<Handle, ApiError> {
        let object = self.commit(Owner::Outside, Request::Create(Box::new(object.into())))?;
        self.handles.push(object);
        Ok(Handle((self.handles.len() - 1) as u32))
    }

    /// Puts an object of a dump in place as it is, status and all.
    ///
    /// # Errors
    /// The API server's answer.
    pub fn import(&mut self, object: Object) -> Result<Arc<Object>, ApiError> {
        let mut moment = Moment { now: self.kernel.now(), log: &mut self.kernel.log };
        let result = self.api.import(&mut moment, object);
        self.schedule_wakes();
        result
    }

    /// Sends any request now, as a client would.
    ///
    /// # Errors
    /// The API server's answer.
    pub fn request(&mut self, request: Request) -> Result<Arc<Object>, ApiError> {
        self.commit(Owner::Outside, request)
    }

    /// Deletes an object now, with its default grace.
    ///
    /// # Errors
    /// The API server's answer.
    pub fn delete(&mut self, kind: Kind, named: impl Named) -> Result<Arc<Object>, ApiError> {
        let key = self.key_of(kind, &named);
        self.request(Request::Delete { kind, key, options: DeleteOptions::default() })
    }

    /// Sets `spec.replicas` now.
    ///
    /// # Errors
    /// The API server's answer.
    pub fn scale(&mut self, kind: Kind, named: impl Named, replicas: i32) -> Result<Arc<Object>, ApiError> {
        let key = self.key_of(kind, &named);
        self.request(Request::Scale { kind, key, replicas })
    }

    /// An object, if it exists.
    pub fn get(&self, kind: Kind, named: impl Named) -> Option<&Arc<Object>> {
        self.api.store.get(kind, &self.key_of(kind, &named))
    }

    fn key_of(&self, kind: Kind, named: &impl Named) -> Key {
        let key = named.key(self);
        if self.api.kinds.info(kind).namespaced { key } else { Key::cluster(key.name) }
    }

    /// All objects of a kind, by namespace and name.
    pub fn list(&self, kind: Kind) -> Vec<Arc<Object>> {
        self.api.store.list(kind)
    }

    /// All pods.
    pub fn pods(&self) -> Vec<PodView> {
        self.list(Kind::POD).into_iter().map(|pod| PodView(Some(pod))).collect()
    }

    /// A pod as it is now.
    pub fn pod(&self, named: impl Named) -> PodView {
        PodView(self.get(Kind::POD, named).cloned())
    }

    /// Why a pod is pending, in upstream's words; empty if it is not pending or was not tried yet.
    pub fn why_pending(&self, named: impl Named) -> String {
        let key = named.key(self);
        self.schedulers.iter().find_map(|s| s.why_pending(&key)).unwrap_or_default()
    }

    /// The (first) scheduler, to look at; `None` in a cluster that was built empty.
    pub fn scheduler(&self) -> Option<&Scheduler> {
        self.schedulers.first()
    }

    /// All schedulers.
    pub fn schedulers(&self) -> &[Scheduler] {
        &self.schedulers
    }

    /// The kubelets, to look at; `None` in a cluster that was built empty.
    pub fn kubelets(&self) -> Option<&Fleet> {
        self.kubelets.as_ref()
    }

    /// The API server, to look at.
    pub fn api(&self) -> &ApiServer {
        &self.api
    }

    /// The API server, to register kinds and fetch notices. Writes belong in [`Cluster::request`].
    pub fn api_mut(&mut self) -> &mut ApiServer {
        &mut self.api
    }

    /// Kinds of this run.
    pub fn kinds(&self) -> &Kinds {
        &self.api.kinds
    }
}
