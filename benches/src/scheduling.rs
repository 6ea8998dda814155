//! The scheduler alone: plain pods on a big cluster, driven through its component contract without an API server.

use std::sync::Arc;

use sim_cluster::build::{node, pod};
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind, Reply, Request, Tag};
use sim_core::engine::component::{Component, Ctx, Env, Recorder};
use sim_core::engine::log::Log;
use sim_core::engine::random::Seed;
use sim_core::engine::timing::Timing;
use sim_core::time::Time;
use sim_scheduler::Scheduler;
use sim_scheduler::cycle::Sampling;
use sim_scheduler::scheduler::Timer;

/// A scheduler that knows its nodes and has pods to place.
pub struct Bench {
    scheduler: Scheduler,
    env: Env,
    log: Log,
    port: Recorder<Timer>,
    /// Pods bound so far.
    pub bound: usize,
}

/// A node of 32 cores, 256 GiB and 110 pods.
pub fn big_node(i: usize) -> Object {
    node(&format!("node-{i:05}")).cpu("32").memory("256Gi").into()
}

/// A plain pod of 100m and 200Mi. All pods of one call to [`plain_pods`] share their spec.
pub fn plain_pods(count: usize) -> Vec<Object> {
    let template: Object = pod("template").cpu("100m").memory("200Mi").into();
    let named = |i: usize| {
        let mut one = template.clone();
        one.meta.key = Key::new("default", format!("pod-{i:06}"));
        one.meta.uid = Uid(1 + i as u128);
        one
    };
    (0..count).map(named).collect()
}

fn added(object: Object) -> Change {
    Change { kind: ChangeKind::Added, old: None, new: Arc::new(object) }
}

impl Bench {
    /// A scheduler that has seen `nodes` nodes and `pods` pods and looks at all nodes for each.
    pub fn new(nodes: usize, pods: usize) -> Bench {
        let mut scheduler = Scheduler::default();
        scheduler.sampling = Sampling::All;
        let env = Env { seed: Seed(1), timing: Timing::instant(), ..Env::default() };
        let mut bench = Bench { scheduler, env, log: Log::default(), port: Recorder::default(), bound: 0 };
        let nodes: Vec<_> = (0..nodes).map(|i| added(big_node(i))).collect();
        let pods: Vec<_> = plain_pods(pods).into_iter().map(added).collect();
        bench.feed(|scheduler, ctx| scheduler.started(ctx));
        bench.feed(|scheduler, ctx| scheduler.changed(ctx, &nodes));
        bench.feed(|scheduler, ctx| scheduler.changed(ctx, &pods));
        bench
    }

    fn feed(&mut self, input: impl FnOnce(&mut Scheduler, &mut Ctx<'_, Timer>)) {
        let mut ctx = Ctx::new(Time::ZERO, &self.env, &mut self.log, &mut self.port);
        input(&mut self.scheduler, &mut ctx);
    }

    /// Runs cycles until the queue is empty, answering every binding.
    pub fn run(&mut self) {
        loop {
            let timers = std::mem::take(&mut self.port.timers);
            let cycles = timers.into_iter().flatten().filter(|(at, _)| *at == Time::ZERO);
            let due: Vec<Timer> = cycles.map(|(_, timer)| timer).collect();
            if due.is_empty() {
                return;
            }
            for timer in due {
                self.feed(|scheduler, ctx| scheduler.fired(ctx, timer));
            }
            for (request, tag) in std::mem::take(&mut self.port.requests) {
                self.answer(request, tag);
            }
        }
    }

    fn answer(&mut self, request: Request, tag: Option<Tag>) {
        if let (Request::Bind { key, uid, .. }, Some(tag)) = (request, tag) {
            self.bound += 1;
            let mut object: Object = pod(&key.name).into();
            object.meta.uid = uid;
            let reply = Reply { tag, result: Ok(Arc::new(object)) };
            self.feed(|scheduler, ctx| scheduler.replied(ctx, reply));
        }
    }
}
