//! A world of nothing but timers: what one event costs through the whole component contract.

use sim_core::api::request::Change;
use sim_core::engine::component::{Component, Ctx, Env, Watch};
use sim_core::engine::kernel::Kernel;
use sim_core::engine::log::Record;
use sim_core::engine::random::{Seed, Stream};
use sim_core::time::{Span, Time};

/// Fires, records a line, sets the next timer of the same individual.
#[derive(Clone, Debug)]
pub struct Metronome {
    delays: Stream,
    names: Vec<String>,
}

/// Which individual's timer fired.
#[derive(Clone, Copy, Debug)]
pub struct Beat(u32);

impl Component for Metronome {
    type Timer = Beat;

    fn name(&self) -> &'static str {
        "metronome"
    }

    fn watches(&self) -> Vec<Watch> {
        Vec::new()
    }

    fn changed(&mut self, _: &mut Ctx<'_, Beat>, _: &[Change]) {}

    fn fired(&mut self, ctx: &mut Ctx<'_, Beat>, Beat(who): Beat) {
        let name = &self.names[who as usize % self.names.len()];
        ctx.record(Record::Container {
            namespace: "default",
            name,
            container: "main",
            step: "beat",
            value: i64::from(who),
        });
        let delay = Span((self.delays.next_u64() % 2_000_000_000) as i64);
        ctx.set_timer(delay, Beat(who));
    }
}

/// The sum of events, as a cluster has one.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A timer of the metronome.
    Metronome(Beat),
}

/// A kernel with a metronome of `pending` individuals.
#[derive(Clone, Debug)]
pub struct World {
    kernel: Kernel<Event>,
    metronome: Metronome,
}

impl World {
    /// A world with all timers set.
    pub fn new(pending: u32) -> World {
        let mut kernel = Kernel::new(Env { seed: Seed(1), ..Env::default() });
        let mut delays = kernel.env.seed.stream("bench/delays");
        for who in 0..pending {
            let at = Time((delays.next_u64() % 2_000_000_000) as i64);
            kernel.queue.push(at, Event::Metronome(Beat(who)));
        }
        let names = (0..1000).map(|i| format!("pod-{i:04}")).collect();
        World { kernel, metronome: Metronome { delays, names } }
    }

    /// Handles `events` events.
    pub fn run(&mut self, events: u64) {
        let mut requests = Vec::new();
        for _ in 0..events {
            let Some(Event::Metronome(beat)) = self.kernel.next(Time::MAX) else { return };
            let metronome = &mut self.metronome;
            self.kernel.ctx(Event::Metronome, &mut requests, |ctx| metronome.fired(ctx, beat));
        }
    }

    /// Digest of the log.
    pub fn digest(&self) -> String {
        self.kernel.log.digest()
    }
}
