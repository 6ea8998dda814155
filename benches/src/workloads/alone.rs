//! The scheduler alone: its component contract, and the least of an API server that answers it at once.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::{Value, json};
use sim_core::api::error::{ApiError, Reason};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::{Body, Object, Pod};
use sim_core::api::request::{Change, ChangeKind, PodStatusPatch, Reply, Request, Tag};
use sim_core::engine::component::{Component, Ctx, Env};
use sim_core::engine::kernel::Kernel;
use sim_core::engine::random::Seed;
use sim_core::engine::timing::{Delay, Timing};
use sim_core::features::FeatureGates;
use sim_core::time::{Span, Time};
use sim_scheduler::Scheduler;
use sim_scheduler::scheduler::Timer;
use smol_str::SmolStr;

use super::Stage;

#[derive(Clone, Debug)]
enum Event {
    Timer(Timer),
    Arrives(Box<(Request, Option<Tag>)>),
    Changed(Change),
    Answered(Reply),
}

/// A scheduler, and the objects it asks about. No defaulting, no admission, no store: requests are carried out as they
/// are, at once, and come back as one change each.
#[derive(Clone, Debug)]
pub struct Alone {
    scheduler: Scheduler,
    kernel: Kernel<Event>,
    objects: FxHashMap<(Kind, Key), Arc<Object>>,
    watched: Vec<Kind>,
    outbox: Vec<(Request, Option<Tag>)>,
    revision: u64,
}

impl Alone {
    /// A scheduler that has seen nothing yet.
    pub fn new(mut scheduler: Scheduler, cycle: Span, features: FeatureGates) -> Alone {
        let timing = Timing { scheduling_cycle: Delay::Constant(cycle), ..Timing::instant() };
        let mut kernel = Kernel::new(Env { seed: Seed(1), timing, features, ..Env::default() });
        let mut outbox = Vec::new();
        kernel.ctx(Event::Timer, &mut outbox, |ctx| scheduler.started(ctx));
        let watched = scheduler.watches().into_iter().map(|watch| watch.kind).collect();
        let objects = FxHashMap::default();
        Alone { scheduler, kernel, objects, watched, outbox, revision: 0 }
    }

    fn input(&mut self, feed: impl FnOnce(&mut Scheduler, &mut Ctx<'_, Timer>)) {
        let (scheduler, outbox) = (&mut self.scheduler, &mut self.outbox);
        self.kernel.ctx(Event::Timer, outbox, |ctx| feed(scheduler, ctx));
        for sent in self.outbox.drain(..) {
            self.kernel.queue.push(self.kernel.now(), Event::Arrives(Box::new(sent)));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Timer(timer) => self.input(|scheduler, ctx| scheduler.fired(ctx, timer)),
            Event::Changed(change) => self.input(|scheduler, ctx| scheduler.changed(ctx, &[change])),
            Event::Answered(reply) => self.input(|scheduler, ctx| scheduler.replied(ctx, reply)),
            Event::Arrives(sent) => {
                let (request, tag) = *sent;
                let result = self.carry_out(request);
                if let Some(tag) = tag {
                    self.kernel.queue.push(self.kernel.now(), Event::Answered(Reply { tag, result }));
                }
            }
        }
    }

    fn carry_out(&mut self, request: Request) -> Result<Arc<Object>, ApiError> {
        match request {
            Request::Bind { key, node, .. } => self.change_pod(key, |body| body.node_name = node),
            Request::PatchPodStatus { key, patch, .. } => {
                self.change_pod(key, |body| merge(Arc::make_mut(&mut body.status), *patch))
            }
            Request::Delete { kind, key, .. } => {
                let gone = self.objects.remove(&(kind, key.clone())).ok_or_else(|| absent(&key))?;
                let change = Change { kind: ChangeKind::Deleted, old: Some(gone.clone()), new: gone.clone() };
                self.tell(change);
                Ok(gone)
            }
            Request::Update(object) | Request::UpdateStatus(object) => {
                let place = (object.kind, object.meta.key.clone());
                self.change(place, |new| (new.meta, new.body) = (object.meta, object.body))
            }
            other => Err(ApiError::new(Reason::BadRequest, format!("nobody here does {other:?}"))),
        }
    }

    fn change_pod(&mut self, key: Key, edit: impl FnOnce(&mut Pod)) -> Result<Arc<Object>, ApiError> {
        self.change((Kind::POD, key), |new| {
            if let Body::Pod(body) = &mut new.body {
                edit(body);
            }
        })
    }

    fn change(
        &mut self,
        place: (Kind, Key),
        edit: impl FnOnce(&mut Object),
    ) -> Result<Arc<Object>, ApiError> {
        let Some(old) = self.objects.get_mut(&place) else { return Err(absent(&place.1)) };
        let mut new = Object::clone(old);
        edit(&mut new);
        self.revision += 1;
        new.meta.resource_version = self.revision;
        let new = Arc::new(new);
        let old = std::mem::replace(old, new.clone());
        self.tell(Change { kind: ChangeKind::Modified, old: Some(old), new: new.clone() });
        Ok(new)
    }

    fn tell(&mut self, change: Change) {
        self.kernel.queue.push(self.kernel.now(), Event::Changed(change));
    }
}

fn absent(key: &Key) -> ApiError {
    ApiError::new(Reason::NotFound, format!("{key} is gone"))
}

fn merge(status: &mut sim_core::api::pod_status::PodStatus, patch: PodStatusPatch) {
    if let Some(node) = patch.nominated_node_name {
        status.nominated_node_name = node;
    }
    if !patch.resource_claim_statuses.is_empty() {
        let entry = |(name, claim): (SmolStr, Option<SmolStr>)| json!({"name": name.as_str(), "resourceClaimName": claim.as_deref()});
        let entries: Vec<Value> = patch.resource_claim_statuses.into_iter().map(entry).collect();
        let other = Arc::make_mut(status.other.get_or_insert_default());
        other.insert("resourceClaimStatuses".to_owned(), Value::Array(entries));
    }
    for condition in patch.conditions {
        match status.conditions.iter_mut().find(|c| c.kind == condition.kind) {
            Some(old) => *old = condition,
            None => status.conditions.push(condition),
        }
    }
}

impl Stage for Alone {
    fn now(&self) -> Time {
        self.kernel.now()
    }

    fn next_time(&self) -> Option<Time> {
        self.kernel.queue.next_time()
    }

    fn run_to(&mut self, at: Time) {
        while let Some(event) = self.kernel.next(at) {
            self.handle(event);
        }
        self.kernel.advance_to(at);
    }

    fn create(&mut self, objects: Vec<Object>) -> Result<(), String> {
        let mut batch = Vec::with_capacity(objects.len());
        for mut object in objects {
            self.revision += 1;
            object.meta.resource_version = self.revision;
            object.meta.uid = Uid(u128::from(self.revision));
            object.meta.creation_timestamp = self.kernel.now().truncate_to_secs();
            let object = Arc::new(object);
            self.objects.insert((object.kind, object.meta.key.clone()), object.clone());
            if self.watched.contains(&object.kind) {
                batch.push(Change { kind: ChangeKind::Added, old: None, new: object });
            }
        }
        self.input(|scheduler, ctx| scheduler.changed(ctx, &batch));
        Ok(())
    }

    fn delete(&mut self, kind: Kind, key: &Key) {
        let options = sim_core::api::request::DeleteOptions::default();
        // What is gone already need not be deleted.
        let _ = self.carry_out(Request::Delete { kind, key: key.clone(), options });
    }

    fn request(&mut self, request: Request) -> Result<(), String> {
        self.carry_out(request).map(drop).map_err(|e| e.to_string())
    }

    fn uid(&self, kind: Kind, key: &Key) -> Option<Uid> {
        Some(self.objects.get(&(kind, key.clone()))?.meta.uid)
    }

    fn is_pending(&self, pod: &Key) -> bool {
        let pod = self.objects.get(&(Kind::POD, pod.clone()));
        pod.and_then(|o| o.as_pod()).is_some_and(|p| p.node_name.is_empty())
    }

    fn digest(&self) -> String {
        self.kernel.log.digest()
    }

    fn scheduler(&self) -> Option<&Scheduler> {
        Some(&self.scheduler)
    }
}
