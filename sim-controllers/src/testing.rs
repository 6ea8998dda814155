//! A tiny API server and kubelet around one [`ControllerManager`], for convergence stories.

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::api::error::{ApiError, Reason};
use sim_core::api::kind::{Kind, Kinds};
use sim_core::api::meta::{Deletion, Key, Uid};
use sim_core::api::object::{Body, Object};
use sim_core::api::pod_status::{
    ContainerState, ContainerStatus, PodCondition, PodPhase, PodStatus, Terminated,
};
use sim_core::api::request::{Change, ChangeKind, MetaPatch, Propagation, Reply, Request, Tag};
use sim_core::engine::component::{Component, Ctx, Env, Port, TimerId};
use sim_core::engine::log::Log;
use sim_core::time::{Span, Time, millis, secs};

use crate::{Config, ControllerManager, Timer};

/// What happens at an instant.
enum Happening {
    Timer(TimerId, Timer),
    Arrives(Request, Option<Tag>),
    Reply(Reply),
    Watch(Change),
    Kubelet(Key, Uid, Step),
}

/// A step of a pod's life.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Run,
    Ready,
    Exit(i32),
    Vanish,
}

/// Decides about a pod: seconds after its creation (or deletion) and what then.
pub(crate) type Life = fn(&Object) -> Vec<(i64, Step)>;

/// The world.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) manager: ControllerManager,
    pub(crate) objects: BTreeMap<(Kind, Key), Arc<Object>>,
    pub(crate) watcher: fn(&World),
    /// Requests that fail once with a conflict: every n-th write, if not 0.
    pub(crate) conflict_every: u64,
    pub(crate) requests: u64,
    life: Life,
    kinds: Kinds,
    env: Env,
    log: Log,
    seq: u64,
    names: u64,
    queue: BTreeMap<(Time, u64), Happening>,
    cancelled: std::collections::BTreeSet<u32>,
}

/// Where a manager's outputs go: into the queue of a world of `H`appenings.
pub(crate) struct Outbox<'a, H> {
    pub(crate) now: Time,
    pub(crate) seq: &'a mut u64,
    pub(crate) queue: &'a mut BTreeMap<(Time, u64), H>,
    pub(crate) cancelled: &'a mut std::collections::BTreeSet<u32>,
    pub(crate) timer: fn(TimerId, Timer) -> H,
    pub(crate) arrives: fn(Request, Option<Tag>) -> H,
}

impl<H> Port<Timer> for Outbox<'_, H> {
    fn set_timer(&mut self, at: Time, timer: Timer) -> TimerId {
        *self.seq += 1;
        let id = TimerId { slot: *self.seq as u32, generation: 0 };
        self.queue.insert((at.max(self.now), *self.seq), (self.timer)(id, timer));
        id
    }
    fn cancel(&mut self, id: TimerId) -> bool {
        self.cancelled.insert(id.slot)
    }
    fn send(&mut self, request: Request, tag: Option<Tag>) {
        *self.seq += 1;
        self.queue.insert((self.now + millis(2), *self.seq), (self.arrives)(request, tag));
    }
}

/// Ready two seconds after creation, gone one second after deletion.
pub(crate) fn healthy(pod: &Object) -> Vec<(i64, Step)> {
    if pod.meta.is_deleting() { vec![(1, Step::Vanish)] } else { vec![(1, Step::Run), (2, Step::Ready)] }
}

impl World {
    pub(crate) fn new(life: Life) -> World {
        World {
            now: Time::ZERO,
            manager: ControllerManager::new(Config::default()),
            objects: BTreeMap::new(),
            watcher: |_| (),
            conflict_every: 0,
            requests: 0,
            life,
            kinds: Kinds::default(),
            env: Env::default(),
            log: Log::default(),
            seq: 0,
            names: 0,
            queue: BTreeMap::new(),
            cancelled: Default::default(),
        }
    }

    fn at(&mut self, at: Time, what: Happening) {
        self.seq += 1;
        self.queue.insert((at, self.seq), what);
    }

    /// A user's request, at once.
    pub(crate) fn user(&mut self, request: Request) -> Result<Arc<Object>, ApiError> {
        self.apply(request)
    }

    /// Creates an object as a user.
    pub(crate) fn create(&mut self, object: Object) -> Arc<Object> {
        self.user(Request::Create(Box::new(object))).expect("created")
    }

    /// Changes an object as a user.
    pub(crate) fn edit(&mut self, kind: Kind, name: &str, change: impl FnOnce(&mut Object)) {
        let mut copy = Object::clone(self.get(kind, name).expect("there"));
        change(&mut copy);
        copy.meta.resource_version = 0;
        self.user(Request::Update(Box::new(copy))).expect("updated");
    }

    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Object>> {
        self.list(kind).find(|o| o.meta.name() == name)
    }

    pub(crate) fn list(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.iter().filter(move |((k, _), _)| *k == kind).map(|(_, o)| o)
    }

    pub(crate) fn pods(&self) -> Vec<&Arc<Object>> {
        self.list(Kind::POD).collect()
    }

    /// Runs until nothing is left to happen, or that instant.
    pub(crate) fn run_until(&mut self, end: Time) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), what) = entry.remove_entry();
            self.now = at;
            self.step(what);
            (self.watcher)(self);
        }
        self.now = end;
    }

    pub(crate) fn run_for(&mut self, span: Span) {
        self.run_until(self.now + span);
    }

    fn step(&mut self, what: Happening) {
        match what {
            Happening::Timer(id, timer) => {
                if !self.cancelled.remove(&id.slot) {
                    self.tell(|m, ctx| m.fired(ctx, timer));
                }
            }
            Happening::Arrives(request, tag) => {
                self.requests += 1;
                let unlucky = self.conflict_every != 0 && self.requests.is_multiple_of(self.conflict_every);
                let result = match unlucky {
                    true => Err(ApiError::new(Reason::Conflict, "injected")),
                    false => self.apply(request),
                };
                if let Some(tag) = tag {
                    self.at(self.now + millis(1), Happening::Reply(Reply { tag, result }));
                }
            }
            Happening::Reply(reply) => self.tell(|m, ctx| m.replied(ctx, reply)),
            Happening::Watch(change) => self.tell(|m, ctx| m.changed(ctx, &[change])),
            Happening::Kubelet(key, uid, step) => self.kubelet(&key, uid, step),
        }
    }

    fn tell(&mut self, what: impl FnOnce(&mut ControllerManager, &mut Ctx<'_, Timer>)) {
        let World { now, seq, queue, cancelled, env, log, manager, .. } = self;
        let mut port =
            Outbox { now: *now, seq, queue, cancelled, timer: Happening::Timer, arrives: Happening::Arrives };
        what(manager, &mut Ctx::new(*now, env, log, &mut port));
    }

    fn commit(&mut self, mut object: Object, old: Option<Arc<Object>>) -> Arc<Object> {
        self.seq += 1;
        object.meta.resource_version = self.seq;
        let new = Arc::new(object);
        let id = (new.kind, new.key().clone());
        let kind = if old.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        if new.meta.is_deleting() && new.meta.finalizers.is_empty() && !(new.kind == Kind::POD && lives(&new))
        {
            self.objects.remove(&id);
            self.at(
                self.now + millis(5),
                Happening::Watch(Change { kind: ChangeKind::Deleted, old, new: new.clone() }),
            );
            return new;
        }
        let newborn = old.is_none();
        let dying = new.meta.is_deleting() && old.as_ref().is_some_and(|o| !o.meta.is_deleting());
        self.objects.insert(id, new.clone());
        self.at(self.now + millis(5), Happening::Watch(Change { kind, old, new: new.clone() }));
        if new.kind == Kind::POD && (newborn || dying) {
            for (after, step) in (self.life)(&new) {
                let what = Happening::Kubelet(new.key().clone(), new.meta.uid, step);
                self.at(self.now + secs(after), what);
            }
        }
        new
    }

    fn apply(&mut self, request: Request) -> Result<Arc<Object>, ApiError> {
        match request {
            Request::Create(object) => self.apply_create(*object),
            Request::Update(object) => self.apply_update(*object, false),
            Request::UpdateStatus(object) => self.apply_update(*object, true),
            Request::PatchMeta { kind, key, uid, patch } => self.apply_patch(kind, key, uid, *patch),
            Request::Delete { kind, key, options } => {
                let old = self.stored(kind, &key)?;
                let mut copy = Object::clone(&old);
                if options.propagation == Propagation::Foreground {
                    copy.meta.finalizers.push("foregroundDeletion".into());
                }
                let deletion = Deletion { timestamp: self.now.truncate_to_secs(), grace_period_seconds: 0 };
                copy.meta.deletion.get_or_insert(deletion);
                Ok(self.commit(copy, Some(old)))
            }
            other => panic!("not for controllers: {other:?}"),
        }
    }

    fn stored(&self, kind: Kind, key: &Key) -> Result<Arc<Object>, ApiError> {
        let found = self.objects.get(&(kind, key.clone())).cloned();
        found.ok_or_else(|| ApiError::not_found(self.kinds.info(kind), &key.name))
    }

    fn apply_create(&mut self, mut object: Object) -> Result<Arc<Object>, ApiError> {
        self.names += 1;
        if object.meta.key.name.is_empty() {
            object.meta.key.name = format!("{}{:05}", object.meta.generate_name, self.names).into();
        }
        if self.objects.contains_key(&(object.kind, object.key().clone())) {
            return Err(ApiError::already_exists(self.kinds.info(object.kind), object.meta.name()));
        }
        object.meta.uid = Uid(u128::from(self.names) << 64 | 7);
        object.meta.generation = 1;
        object.meta.creation_timestamp = self.now.truncate_to_secs();
        Ok(self.commit(object, None))
    }

    fn apply_update(&mut self, mut object: Object, status_only: bool) -> Result<Arc<Object>, ApiError> {
        let old = self.stored(object.kind, object.key())?;
        let given = object.meta.resource_version;
        if given != 0 && given != old.meta.resource_version {
            let why =
                "the object has been modified; please apply your changes to the latest version and try again";
            return Err(ApiError::conflict(self.kinds.info(object.kind), object.meta.name(), why));
        }
        merge_body(&mut object.body, &old.body, status_only);
        object.meta.resource_version = old.meta.resource_version;
        let annotations = object.meta.annotations.clone();
        object.meta.generation = old.meta.generation;
        if status_only {
            object.meta = old.meta.clone();
            object.meta.annotations = annotations;
        } else if object.body != old.body {
            object.meta.generation += 1;
        }
        if object == *old {
            return Ok(old);
        }
        Ok(self.commit(object, Some(old)))
    }

    fn apply_patch(
        &mut self,
        kind: Kind,
        key: Key,
        uid: Uid,
        patch: MetaPatch,
    ) -> Result<Arc<Object>, ApiError> {
        let old = self.stored(kind, &key)?;
        if !uid.is_unset() && uid != old.meta.uid {
            return Err(ApiError::conflict(self.kinds.info(kind), &key.name, "uid mismatch"));
        }
        let mut copy = Object::clone(&old);
        if let Some(owners) = patch.owner_references {
            copy.meta.owner_references = owners.into();
        }
        copy.meta.finalizers.extend(patch.add_finalizers);
        copy.meta.finalizers.retain(|f| !patch.remove_finalizers.contains(f));
        if copy == *old {
            return Ok(old);
        }
        Ok(self.commit(copy, Some(old)))
    }

    fn kubelet(&mut self, key: &Key, uid: Uid, step: Step) {
        let Ok(old) = self.stored(Kind::POD, key) else { return };
        if old.meta.uid != uid {
            return;
        }
        let mut copy = Object::clone(&old);
        let now = self.now;
        let Body::Pod(pod) = &mut copy.body else { return };
        pod.node_name = crate::daemon_set::nodes::target_node(pod).unwrap_or("node-1".into());
        let status = Arc::make_mut(&mut pod.status);
        if status.phase.is_terminal() && !matches!(step, Step::Vanish) {
            return;
        }
        live(status, step, now);
        if copy != *old || matches!(step, Step::Vanish) {
            self.commit(copy, Some(old));
        }
    }
}

/// False once a kubelet is through with a pod.
fn lives(pod: &Object) -> bool {
    pod.as_pod().is_some_and(|p| p.status.message != "vanished" && !p.status.phase.is_terminal())
}

fn live(status: &mut PodStatus, step: Step, now: Time) {
    let ready = |status: &mut PodStatus, value: bool| {
        let condition = PodCondition {
            kind: "Ready".into(),
            status: value.into(),
            last_transition_time: now.truncate_to_secs(),
            ..PodCondition::default()
        };
        status.set_condition(condition);
    };
    match step {
        Step::Run => status.phase = PodPhase::Running,
        Step::Ready => ready(status, true),
        Step::Exit(code) => {
            status.phase = if code == 0 { PodPhase::Succeeded } else { PodPhase::Failed };
            ready(status, false);
            let ended =
                Terminated { exit_code: code, finished_at: now.truncate_to_secs(), ..Terminated::default() };
            status.container_statuses = vec![ContainerStatus {
                name: "c".into(),
                state: ContainerState::Terminated(Box::new(ended)),
                ..ContainerStatus::default()
            }];
        }
        Step::Vanish => {
            if !status.phase.is_terminal() {
                status.phase = PodPhase::Failed;
            }
            status.message = "vanished".into();
        }
    }
}

fn merge_body(new: &mut Body, old: &Body, status_only: bool) {
    macro_rules! merge {
        ($($variant:ident),*) => { match (new, old) {
            $((Body::$variant(new), Body::$variant(old)) => {
                if status_only { new.spec = old.spec.clone() } else { new.status = old.status.clone() }
            })*
            _ => {}
        } };
    }
    merge!(Deployment, ReplicaSet, DaemonSet, Job, Node);
}
