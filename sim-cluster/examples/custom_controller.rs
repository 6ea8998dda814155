//! A controller of one's own: it deletes pods that have been pending for five minutes.
//!
//! It is plain data with three inputs and two outputs, so it can be cloned, forked and tested alone. Run it with
//! `cargo run -p sim-cluster --example custom_controller`.

use std::collections::BTreeMap;

use sim_cluster::prelude::*;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind, DeleteOptions, Request};
use sim_core::engine::component::{Component, Ctx, TimerId, Watch};
use sim_core::engine::log::EventType;

const PATIENCE: Span = mins(5);

/// Pods that are pending, by a number of our own, each with the timer that will end it.
#[derive(Clone, Default)]
struct Reaper {
    next: u64,
    waiting: BTreeMap<u64, Object>,
    timers: BTreeMap<Uid, (u64, TimerId)>,
}

impl Component for Reaper {
    type Timer = u64;

    fn name(&self) -> &'static str {
        "reaper"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(Kind::POD)]
    }

    fn changed(&mut self, ctx: &mut Ctx<'_, u64>, batch: &[Change]) {
        for Change { kind, new, .. } in batch {
            let pending = new.as_pod().is_some_and(|pod| pod.node_name.is_empty());
            let wanted = pending && *kind != ChangeKind::Deleted;
            match self.timers.get(&new.meta.uid).copied() {
                None if wanted => {
                    self.next += 1;
                    let timer = ctx.set_timer(PATIENCE, self.next);
                    self.timers.insert(new.meta.uid, (self.next, timer));
                    self.waiting.insert(self.next, Object::clone(new));
                }
                Some((number, timer)) if !wanted => {
                    ctx.cancel(timer);
                    self.waiting.remove(&number);
                    self.timers.remove(&new.meta.uid);
                }
                _ => {}
            }
        }
    }

    fn fired(&mut self, ctx: &mut Ctx<'_, u64>, number: u64) {
        let Some(pod) = self.waiting.remove(&number) else { return };
        self.timers.remove(&pod.meta.uid);
        ctx.event(&pod, EventType::Warning, "Reaped", "pending for five minutes");
        let options = DeleteOptions { uid: pod.meta.uid, ..DeleteOptions::default() };
        ctx.send(Request::Delete { kind: Kind::POD, key: pod.meta.key, options });
    }
}

fn main() {
    let mut sim = Cluster::builder().seed(1).node(node("small").cpu("4").memory("16Gi")).build();
    sim.add_component(Reaper::default());
    sim.create(pod("fits").cpu("1"));
    sim.create(pod("too-big").cpu("64"));

    sim.run_for(mins(6));
    assert!(sim.pod("fits").is_running());
    assert!(!sim.pod("too-big").exists(), "reaped");
    assert!(sim.get(Kind::POD, &Key::new("default", "fits")).is_some());
    println!("after {}: fits is running, too-big is gone; digest {}", sim.now(), sim.digest());
}
