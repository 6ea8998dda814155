//! A world that goes wrong, for all controllers: a real API server around one [`ControllerManager`], whose requests are
//! refused or answered falsely, whose watches are lost and whose process restarts. Who else acts is up to the test.

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::api::error::{ApiError, Reason};
use sim_core::api::kind::Kind;
use sim_core::api::meta::Key;
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind, Reply, Request, Tag};
use sim_core::api::server::{ApiOptions, ApiServer, Moment};
use sim_core::api::watch::{Routing, WatcherId};
use sim_core::engine::component::{Component, Ctx, Env, TimerId, Watch};
use sim_core::engine::log::Log;
use sim_core::engine::random::{Seed, Stream};
use sim_core::features::FeatureGates;
use sim_core::time::{Span, Time, millis};

use crate::testing::Outbox;
use crate::{Config, ControllerManager, Timer};

/// How often things go wrong, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    /// A write is refused: as stale if it is a replacement, for no reason otherwise.
    pub(crate) refused: usize,
    /// A write that is no creation takes place, and its answer is an error all the same.
    pub(crate) lost_answer: usize,
}

enum Happening {
    Timer(TimerId, Timer),
    Arrives(Request, Option<Tag>),
    Answer(Reply),
    /// What has become visible of a kind by now.
    Look(Kind),
    /// A lost watch is opened again.
    Relist(Kind),
}

/// The world.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) api: ApiServer,
    pub(crate) rates: Rates,
    /// Looked at after every commit.
    pub(crate) watcher: fn(&World),
    manager: ControllerManager,
    kinds: Vec<Kind>,
    /// What the manager has seen, by kind.
    seen: BTreeMap<Kind, BTreeMap<Key, Arc<Object>>>,
    /// The open watches; those that are lost are missing.
    watches: BTreeMap<Kind, WatcherId>,
    random: Stream,
    env: Env,
    log: Log,
    seq: u64,
    queue: BTreeMap<(Time, u64), Happening>,
    cancelled: std::collections::BTreeSet<u32>,
}

impl World {
    pub(crate) fn new(seed: u64, features: FeatureGates) -> World {
        let env = Env { features, ..Env::default() };
        let options = ApiOptions { features, ..ApiOptions::default() };
        let manager = ControllerManager::new(Config::default());
        let mut world = World {
            now: Time::ZERO,
            api: ApiServer::new(Seed(seed), env.epoch, options),
            rates: Rates::default(),
            watcher: |_| (),
            kinds: manager.watches().iter().map(|Watch { kind, .. }| *kind).collect(),
            manager,
            seen: BTreeMap::new(),
            watches: BTreeMap::new(),
            random: Seed(seed).stream("faults"),
            env,
            log: Log::default(),
            seq: 0,
            queue: BTreeMap::new(),
            cancelled: Default::default(),
        };
        world.tell(|manager, ctx| manager.started(ctx));
        world.kinds.clone().into_iter().for_each(|kind| world.open(kind));
        world
    }

    /// A request of somebody else, at once and without faults.
    pub(crate) fn act(&mut self, request: Request) -> Result<Arc<Object>, ApiError> {
        let before = self.api.store.revision();
        let answer = self.api.handle(&mut Moment { now: self.now, log: &mut self.log }, request);
        if self.api.store.revision() != before {
            (self.watcher)(self);
            let kinds: Vec<Kind> = self.watches.keys().copied().collect();
            for kind in kinds {
                let delay = millis(1 + self.random.below(30) as i64);
                self.at(delay, Happening::Look(kind));
            }
        }
        answer
    }

    pub(crate) fn list(&self, kind: Kind) -> Vec<Arc<Object>> {
        self.api.store.list(kind)
    }

    /// The manager sees of a kind what there is to be seen.
    pub(crate) fn show_all(&mut self, kind: Kind) {
        self.step(Happening::Look(kind));
    }

    /// The watch of a kind breaks now, and is opened again after a while.
    pub(crate) fn lose_watch(&mut self, kind: Kind, for_how_long: Span) {
        self.show_all(kind);
        if let Some(watch) = self.watches.remove(&kind) {
            self.api.store.watchers.close(watch);
            self.at(for_how_long, Happening::Relist(kind));
        }
    }

    /// True while the watch of a kind is lost.
    pub(crate) fn is_lost(&self, kind: Kind) -> bool {
        !self.watches.contains_key(&kind)
    }

    /// Opens a watch from here on; what is there is for the caller to find out.
    fn open(&mut self, kind: Kind) {
        if let Some(old) = self.watches.remove(&kind) {
            self.api.store.watchers.close(old);
        }
        let since = Some(self.api.store.revision());
        let watch = self.api.store.watch(self.now, Watch::all(kind), Routing::external(), since);
        self.watches.insert(kind, watch.expect("nothing is compacted"));
    }

    /// The process ends and another one begins. What it had sent arrives; no answer does.
    pub(crate) fn restart(&mut self) {
        let pending = std::mem::take(&mut self.queue);
        for what in pending.into_values() {
            if let Happening::Arrives(request, _) = what {
                let _ = self.act(request);
            }
        }
        self.queue.clear();
        self.seen.clear();
        self.manager = ControllerManager::new(Config::default());
        self.tell(|manager, ctx| manager.started(ctx));
        // Workers start when all lists are there.
        let changes: Vec<Change> =
            self.kinds.clone().into_iter().flat_map(|kind| self.relist(kind)).collect();
        self.tell(|manager, ctx| manager.changed(ctx, &changes));
    }

    pub(crate) fn run_for(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), what) = entry.remove_entry();
            self.now = at;
            self.step(what);
        }
        self.now = end;
    }

    fn at(&mut self, delay: Span, what: Happening) {
        self.seq += 1;
        self.queue.insert((self.now + delay, self.seq), what);
    }

    fn step(&mut self, what: Happening) {
        match what {
            Happening::Timer(id, timer) => {
                if !self.cancelled.remove(&id.slot) {
                    self.tell(|manager, ctx| manager.fired(ctx, timer));
                }
            }
            Happening::Arrives(request, tag) => self.arrive(request, tag),
            Happening::Answer(reply) => self.tell(|manager, ctx| manager.replied(ctx, reply)),
            Happening::Relist(kind) => {
                let changes = self.relist(kind);
                self.show(&changes);
            }
            Happening::Look(kind) => {
                let Some(watch) = self.watches.get(&kind) else { return };
                let changes = self.api.store.watchers.take(self.now, *watch);
                let seen = self.seen.entry(kind).or_default();
                for change in &changes {
                    match change.kind {
                        ChangeKind::Deleted => seen.remove(change.new.key()),
                        _ => seen.insert(change.new.key().clone(), change.new.clone()),
                    };
                }
                self.show(&changes);
            }
        }
    }

    fn arrive(&mut self, request: Request, tag: Option<Tag>) {
        let is_creation = matches!(request, Request::Create(_));
        let luck = self.random.below(100);
        let result = if luck < self.rates.refused {
            let reason = match request {
                Request::Update(_) | Request::UpdateStatus(_) => Reason::Conflict,
                _ => Reason::InternalError,
            };
            Err(ApiError::new(reason, "injected"))
        } else {
            let answer = self.act(request);
            // Nobody can tell whether a creation took place without a name: real ones are made twice then.
            let lose = !is_creation && luck >= 100 - self.rates.lost_answer;
            if lose { Err(ApiError::new(Reason::InternalError, "injected")) } else { answer }
        };
        if let Some(tag) = tag {
            self.at(millis(1), Happening::Answer(Reply { tag, result }));
        }
    }

    /// What a list has that the manager has not seen, as client-go tells it: no steps in between, and an object that took the
    /// place of another is a modification.
    fn relist(&mut self, kind: Kind) -> Vec<Change> {
        self.open(kind);
        let now: BTreeMap<Key, Arc<Object>> =
            self.api.store.iter(kind).map(|object| (object.key().clone(), object.clone())).collect();
        let before = self.seen.insert(kind, now.clone()).unwrap_or_default();
        let mut changes = Vec::new();
        for (key, old) in &before {
            if !now.contains_key(key) {
                changes.push(Change { kind: ChangeKind::Deleted, old: Some(old.clone()), new: old.clone() });
            }
        }
        for (key, new) in &now {
            match before.get(key) {
                None => changes.push(Change { kind: ChangeKind::Added, old: None, new: new.clone() }),
                Some(old) if Arc::ptr_eq(old, new) => {}
                old => {
                    changes.push(Change { kind: ChangeKind::Modified, old: old.cloned(), new: new.clone() })
                }
            }
        }
        changes
    }

    fn show(&mut self, changes: &[Change]) {
        if !changes.is_empty() {
            self.tell(|manager, ctx| manager.changed(ctx, changes));
        }
    }

    fn tell(&mut self, what: impl FnOnce(&mut ControllerManager, &mut Ctx<'_, Timer>)) {
        let World { now, seq, queue, cancelled, env, log, manager, .. } = self;
        let mut port =
            Outbox { now: *now, seq, queue, cancelled, timer: Happening::Timer, arrives: Happening::Arrives };
        what(manager, &mut Ctx::new(*now, env, log, &mut port));
    }
}
