//! The cluster as one value, and the one dispatching `match`.

use std::sync::Arc;

use sim_controllers::ControllerManager;
use sim_core::api::error::ApiError;
use sim_core::api::object::Object;
use sim_core::api::request::{Change, Reply, Request, Tag};
use sim_core::api::server::{ApiServer, Moment};
use sim_core::api::watch::{Routing, WatcherId};
use sim_core::engine::component::{Component, Ctx, Watch};
use sim_core::engine::kernel::Kernel;
use sim_core::engine::log::{Log, Record};
use sim_core::engine::random::Stream;
use sim_core::time::Time;
use sim_kubelet::fleet::Fleet;
use sim_scheduler::Scheduler;

use crate::event::{Action, Event, Owner, Slab};
use crate::user::UserComponent;

/// A million pods created at one instant make a few million events there.
const DEFAULT_LIVELOCK_EVENTS: u64 = 50_000_000;

/// A request on its way.
#[derive(Clone, Debug)]
struct Flight {
    from: Owner,
    request: Request,
    tag: Option<Tag>,
}

/// A whole Kubernetes cluster on one virtual clock.
///
/// It is plain data: `clone` is a snapshot, and the copy goes on by itself (see [`Cluster::fork`]).
#[derive(Clone)]
pub struct Cluster {
    pub(crate) kernel: Kernel<Event>,
    pub(crate) api: ApiServer,
    pub(crate) schedulers: Vec<Scheduler>,
    /// This and the next are `None` in a cluster that is only an API server.
    pub(crate) kubelets: Option<Fleet>,
    pub(crate) controllers: Option<ControllerManager>,
    pub(crate) users: Vec<Box<dyn UserComponent>>,
    /// By watcher: whose it is.
    owners: Vec<Owner>,
    flights: Slab<Flight>,
    replies: Slab<(Owner, Reply)>,
    pub(crate) actions: Slab<Action>,
    /// What a component sends while it handles one input.
    pub(crate) outbox: Vec<(Request, Option<Tag>)>,
    request_stream: Stream,
    reply_stream: Stream,
    /// Handles given out, by number.
    pub(crate) handles: Vec<Arc<Object>>,
    /// Events at one instant that count as standing still.
    pub(crate) livelock_events: u64,
}

/// One of the three inputs, for a component that is known by its owner only.
enum Input {
    Started,
    Changed(Vec<Change>),
    Replied(Reply),
}

fn feed<C: Component>(component: &mut C, ctx: &mut Ctx<'_, C::Timer>, input: Input) {
    match input {
        Input::Started => component.started(ctx),
        Input::Changed(batch) => component.changed(ctx, &batch),
        Input::Replied(reply) => component.replied(ctx, reply),
    }
}

impl Cluster {
    pub(crate) fn assemble(kernel: Kernel<Event>, api: ApiServer) -> Cluster {
        let seed = kernel.env.seed;
        Cluster {
            kernel,
            api,
            schedulers: Vec::new(),
            kubelets: None,
            controllers: None,
            users: Vec::new(),
            owners: Vec::new(),
            flights: Slab::default(),
            replies: Slab::default(),
            actions: Slab::default(),
            outbox: Vec::new(),
            request_stream: seed.stream("api/request"),
            reply_stream: seed.stream("api/reply"),
            handles: Vec::new(),
            livelock_events: DEFAULT_LIVELOCK_EVENTS,
        }
    }

    /// Adds a component of the user's: it starts now and sees existing objects first.
    pub fn add_component(&mut self, component: impl UserComponent + 'static) {
        let owner = Owner::User(self.users.len() as u16);
        let (name, watches) = (component.name(), component.watches());
        self.users.push(Box::new(component));
        self.start(owner, name, watches);
    }

    /// Adds a scheduler: the only one of a cluster that was built empty, or one more, which has caches of its own and
    /// sees what the others do when the API server tells.
    pub fn run_scheduler(&mut self, mut component: Scheduler) {
        let number = self.schedulers.len() as u16;
        component.number = u32::from(number);
        let name = match number {
            0 => component.name().to_owned(),
            _ => format!("{}-{number}", component.name()),
        };
        let watches = component.watches();
        self.schedulers.push(component);
        self.start(Owner::Scheduler(number), &name, watches);
    }

    pub(crate) fn run_kubelets(&mut self, component: Fleet) {
        let (name, watches) = (component.name(), component.watches());
        self.kubelets = Some(component);
        self.start(Owner::Kubelets, name, watches);
    }

    pub(crate) fn run_controllers(&mut self, component: ControllerManager) {
        let (name, watches) = (component.name(), component.watches());
        self.controllers = Some(component);
        self.start(Owner::Controllers, name, watches);
    }

    pub(crate) fn start(&mut self, owner: Owner, name: &str, watches: Vec<Watch>) {
        for (i, filter) in watches.into_iter().enumerate() {
            let stream = self.kernel.env.seed.stream_for("api/watch", format!("{name}/{i}").as_bytes());
            let routing = Routing {
                delay: self.kernel.env.timing.watch,
                stream: Some(stream),
                wakes: true,
                buffer: usize::MAX,
            };
            let opened = self.api.store.watch(self.kernel.now(), filter, routing, None);
            debug_assert_eq!(
                opened,
                Some(WatcherId(self.owners.len() as u32)),
                "watchers are numbered in order"
            );
            self.owners.push(owner);
        }
        self.input(owner, Input::Started);
        self.schedule_wakes();
    }

    /// Handles the next event, unless it is later than `limit`. False if there was none.
    pub(crate) fn step(&mut self, limit: Time) -> bool {
        let Some(event) = self.kernel.next(limit) else { return false };
        match event {
            Event::Request(slot) => self.arrive(slot),
            Event::Reply(slot) => {
                if let Some((owner, reply)) = self.replies.remove(slot) {
                    self.input(owner, Input::Replied(reply));
                }
            }
            Event::Deliver(id) => {
                let batch = self.api.store.watchers.take(self.kernel.now(), id);
                self.schedule_wakes();
                if !batch.is_empty() {
                    self.input(self.owners[id.0 as usize], Input::Changed(batch));
                }
            }
            Event::Scheduler(number, timer) => {
                let Some(component) = self.schedulers.get_mut(usize::from(number)) else { return true };
                let wrap = |t| Event::Scheduler(number, t);
                self.kernel.ctx(wrap, &mut self.outbox, |ctx| component.fired(ctx, timer));
                self.send_outbox(Owner::Scheduler(number));
            }
            Event::Kubelets(timer) => {
                let Some(component) = &mut self.kubelets else { return true };
                self.kernel.ctx(Event::Kubelets, &mut self.outbox, |ctx| component.fired(ctx, timer));
                self.send_outbox(Owner::Kubelets);
            }
            Event::Controllers(timer) => {
                let Some(component) = &mut self.controllers else { return true };
                self.kernel.ctx(Event::Controllers, &mut self.outbox, |ctx| component.fired(ctx, timer));
                self.send_outbox(Owner::Controllers);
            }
            Event::User(number, timer) => {
                let Some(user) = self.users.get_mut(usize::from(number)) else { return true };
                let wrap = |t| Event::User(number, t);
                self.kernel.ctx(wrap, &mut self.outbox, |ctx| user.fired(ctx, timer));
                self.send_outbox(Owner::User(number));
            }
            Event::Action(slot) => {
                if let Some(action) = self.actions.remove(slot) {
                    action(self);
                }
            }
        }
        true
    }

    fn input(&mut self, owner: Owner, input: Input) {
        match owner {
            Owner::Scheduler(number) => {
                let Some(component) = self.schedulers.get_mut(usize::from(number)) else { return };
                let wrap = |t| Event::Scheduler(number, t);
                self.kernel.ctx(wrap, &mut self.outbox, |ctx| feed(component, ctx, input));
            }
            Owner::Kubelets => {
                let Some(component) = &mut self.kubelets else { return };
                self.kernel.ctx(Event::Kubelets, &mut self.outbox, |ctx| feed(component, ctx, input));
            }
            Owner::Controllers => {
                let Some(component) = &mut self.controllers else { return };
                self.kernel.ctx(Event::Controllers, &mut self.outbox, |ctx| feed(component, ctx, input));
            }
            Owner::User(number) => {
                let Some(user) = self.users.get_mut(usize::from(number)) else { return };
                let wrap = |t| Event::User(number, t);
                self.kernel.ctx(wrap, &mut self.outbox, |ctx| match input {
                    Input::Started => user.started(ctx),
                    Input::Changed(batch) => user.changed(ctx, &batch),
                    Input::Replied(reply) => user.replied(ctx, reply),
                });
            }
            Owner::Outside => return,
        }
        self.send_outbox(owner);
    }

    /// Puts what a component sent on its way.
    pub(crate) fn send_outbox(&mut self, from: Owner) {
        if self.outbox.is_empty() {
            return;
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        for (request, tag) in outbox.drain(..) {
            let delay = self.kernel.env.timing.request.sample(&mut self.request_stream);
            let slot = self.flights.insert(Flight { from, request, tag });
            self.kernel.queue.push(self.kernel.now() + delay, Event::Request(slot));
        }
        self.outbox = outbox;
    }

    /// A request reaches the API server: it commits now and is answered later.
    fn arrive(&mut self, slot: u32) {
        let Some(Flight { from, request, tag }) = self.flights.remove(slot) else { return };
        let result = self.commit(from, request);
        if let Some(tag) = tag {
            let delay = self.kernel.env.timing.reply.sample(&mut self.reply_stream);
            let slot = self.replies.insert((from, Reply { tag, result }));
            self.kernel.queue.push(self.kernel.now() + delay, Event::Reply(slot));
        }
    }

    /// Commits a request at this very instant.
    pub(crate) fn commit(&mut self, from: Owner, request: Request) -> Result<Arc<Object>, ApiError> {
        let mut moment = Moment { now: self.kernel.now(), log: &mut self.kernel.log };
        let result = self.api.handle(&mut moment, request);
        if let Err(error) = &result {
            let by = self.owner_name(from);
            let record = Record::Refused { by, code: error.reason.code(), message: &error.message };
            self.kernel.log.append(self.kernel.now(), record);
        }
        self.schedule_wakes();
        result
    }

    /// Notes that a watch belongs to nobody in the cluster.
    pub(crate) fn own_watch(&mut self, id: WatcherId) {
        debug_assert_eq!(id, WatcherId(self.owners.len() as u32), "watchers are numbered in order");
        self.owners.push(Owner::Outside);
    }

    pub(crate) fn schedule_wakes(&mut self) {
        if self.api.store.watchers.has_wakes() {
            for (at, id) in self.api.store.watchers.drain_wakes() {
                self.kernel.queue.push(at, Event::Deliver(id));
            }
        }
    }

    fn owner_name(&self, owner: Owner) -> &'static str {
        match owner {
            Owner::Scheduler(_) => "kube-scheduler",
            Owner::Kubelets => "kubelet",
            Owner::Controllers => "kube-controller-manager",
            Owner::User(number) => self.users.get(usize::from(number)).map_or("user", |u| u.name()),
            Owner::Outside => "client",
        }
    }

    /// The log, to read records and the digest.
    pub fn log(&self) -> &Log {
        &self.kernel.log
    }

    /// The log, to say what to keep and to fetch records.
    pub fn log_mut(&mut self) -> &mut Log {
        &mut self.kernel.log
    }
}
