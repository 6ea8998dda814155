//! Stories of pods on a fleet with the real API server and queue, and nobody else. Traces are meant to be read.

mod devices;
mod devices_random;
mod ends;
mod golden;
mod invariants;
mod nodes;
mod starts;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::{Body, Object, Pod};
use sim_core::api::pod_status::{ContainerState, PodStatus};
use sim_core::api::request::{DeleteOptions, Reply, Request, Tag};
use sim_core::api::server::{ApiOptions, ApiServer, Moment};
use sim_core::api::watch::{Routing, WatcherId};
use sim_core::engine::component::{Component, Env};
use sim_core::engine::kernel::Kernel;
use sim_core::engine::log::{Keep, Record, records};
use sim_core::engine::timing::Timing;
use sim_core::features::Gate;
use sim_core::time::{Span, Time};
use std::sync::Arc;

use super::*;

enum Happening {
    Arrives(Box<Request>, Option<Tag>),
    Answer(Reply),
    Seen(WatcherId),
    Fires(Timer),
}

/// A small world: one fleet and the API server.
struct World {
    kernel: Kernel<Happening>,
    api: ApiServer,
    fleet: Fleet,
}

/// One node of 4 CPUs, nothing takes time, restarts come at the very end of their back-off.
fn config() -> FleetConfig {
    let capacity = [("cpu", "4"), ("memory", "8Gi")].map(|(k, v)| (k.to_string(), Quantity(v.to_string())));
    let node = NodeConfig { name: "n1".into(), capacity: capacity.into(), ..NodeConfig::default() };
    FleetConfig { nodes: vec![node], retry: Delay::ZERO, ..FleetConfig::default() }
}

impl World {
    fn new(config: FleetConfig, timing: Timing) -> World {
        let env = Env { timing, ..Env::default() };
        let features = env.features.with(Gate::DRADeviceTaints);
        let mut api = ApiServer::new(env.seed, env.epoch, ApiOptions { features, ..ApiOptions::default() });
        let mut kernel = Kernel::new(env);
        kernel.log.set_keep(Keep::Records);
        let fleet = Fleet::new(config);
        for filter in fleet.watches() {
            let routing = Routing {
                delay: kernel.env.timing.watch,
                stream: Some(kernel.env.seed.stream("watch")),
                wakes: true,
                buffer: usize::MAX,
            };
            api.store.watch(Time::ZERO, filter, routing, None);
        }
        let mut world = World { kernel, api, fleet };
        world.with_fleet(|fleet, ctx| fleet.started(ctx));
        world.run(Span::ZERO);
        world
    }

    fn simple() -> World {
        World::new(config(), Timing::instant())
    }

    fn with_fleet(&mut self, f: impl FnOnce(&mut Fleet, &mut Ctx<'_, Timer>)) {
        let mut requests = Vec::new();
        self.kernel.ctx(Happening::Fires, &mut requests, |ctx| f(&mut self.fleet, ctx));
        for (request, tag) in requests {
            let at = self.kernel.now() + constant(self.kernel.env.timing.request);
            self.kernel.queue.push(at, Happening::Arrives(Box::new(request), tag));
        }
        self.wake();
    }

    fn wake(&mut self) {
        for (at, id) in self.api.store.watchers.drain_wakes() {
            self.kernel.queue.push(at, Happening::Seen(id));
        }
    }

    fn ask(&mut self, request: Request) -> Arc<Object> {
        let mut moment = Moment { now: self.kernel.now(), log: &mut self.kernel.log };
        let object = self.api.handle(&mut moment, request).expect("the request is right");
        self.wake();
        object
    }

    fn run(&mut self, span: Span) {
        let end = self.kernel.now() + span;
        while let Some(happening) = self.kernel.next(end) {
            match happening {
                Happening::Fires(timer) => self.with_fleet(|f, ctx| f.fired(ctx, timer)),
                Happening::Answer(reply) => self.with_fleet(|f, ctx| f.replied(ctx, reply)),
                Happening::Seen(id) => {
                    let batch = self.api.store.watchers.take(self.kernel.now(), id);
                    self.with_fleet(|f, ctx| f.changed(ctx, &batch));
                }
                Happening::Arrives(request, tag) => {
                    let mut moment = Moment { now: self.kernel.now(), log: &mut self.kernel.log };
                    let result = self.api.handle(&mut moment, *request);
                    self.wake();
                    if let Some(tag) = tag {
                        let at = self.kernel.now() + constant(self.kernel.env.timing.reply);
                        self.kernel.queue.push(at, Happening::Answer(Reply { tag, result }));
                    }
                }
            }
        }
        self.kernel.advance_to(end);
    }

    /// Creates a pod that is bound to a node.
    fn pod(&mut self, name: &str, spec: Value) -> Arc<Object> {
        self.pod_on("n1", name, spec, &[])
    }

    fn pod_on(&mut self, node: &str, name: &str, spec: Value, annotations: &[(&str, &str)]) -> Arc<Object> {
        let mut meta = Meta::named(Key::new("default", name));
        let annotations = annotations.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        meta.annotations = Arc::new(annotations);
        let spec = Arc::new(serde_json::from_value(spec).expect("a pod spec"));
        let pod = Pod { spec, node_name: node.into(), ..Pod::default() };
        self.ask(Request::Create(Box::new(Object::new(meta, Body::Pod(pod)))))
    }

    fn delete(&mut self, name: &str, grace: Option<i64>) {
        let options = DeleteOptions { grace_period_seconds: grace, ..DeleteOptions::default() };
        self.ask(Request::Delete { kind: Kind::POD, key: Key::new("default", name), options });
    }

    fn get(&self, name: &str) -> Option<Arc<Object>> {
        self.api.store.get(Kind::POD, &Key::new("default", name)).cloned()
    }

    fn status(&self, name: &str) -> Arc<PodStatus> {
        self.get(name).expect("the pod is there").as_pod().unwrap().status.clone()
    }

    /// What the API says of a pod, on one line.
    fn says(&self, name: &str) -> String {
        let Some(object) = self.get(name) else { return "gone".into() };
        let status = &object.as_pod().unwrap().status;
        let containers = status.init_container_statuses.iter().chain(&status.container_statuses).map(|c| {
            let state = match &c.state {
                ContainerState::Waiting { reason, .. } => reason.to_string(),
                ContainerState::Running { .. } => "running".into(),
                ContainerState::Terminated(t) => format!("{}({})", t.reason, t.exit_code),
            };
            format!("{}={state}{}", c.name, if c.ready { "+" } else { "" })
        });
        let ready = if status.is_true("Ready") { "Ready" } else { "NotReady" };
        let reason = if status.reason.is_empty() { String::new() } else { format!(" {}", status.reason) };
        format!("{}{reason} {ready} {}", status.phase.as_str(), containers.collect::<Vec<_>>().join(" "))
    }

    /// Steps of containers, as `seconds container step value`.
    fn steps(&mut self) -> Vec<String> {
        self.lines(|record| match record {
            Record::Container { container, step, value, .. } if !container.is_empty() => {
                Some(format!("{container} {step} {value}"))
            }
            _ => None,
        })
    }

    /// Events, as `seconds reason: message`.
    fn events(&mut self) -> Vec<String> {
        self.lines(|record| match record {
            Record::Event { reason, message, .. } => Some(format!("{reason}: {message}")),
            _ => None,
        })
    }

    fn lines(&mut self, f: impl Fn(&Record<'_>) -> Option<String>) -> Vec<String> {
        let bytes = self.kernel.log.kept().to_vec();
        records(&bytes).filter_map(|(at, record)| Some(format!("{at} {}", f(&record)?))).collect()
    }

    /// Instants (whole seconds) of a step of a container.
    fn times(&mut self, step: &str) -> Vec<i64> {
        let bytes = self.kernel.log.kept().to_vec();
        let wanted = |(at, record): (Time, Record<'_>)| match record {
            Record::Container { container, step: s, .. } if format!("{container} {s}") == step => {
                Some(at.as_secs())
            }
            _ => None,
        };
        records(&bytes).filter_map(wanted).collect()
    }
}

fn constant(delay: Delay) -> Span {
    delay.as_constant().expect("tests use constant request times")
}

/// A container with more fields.
fn container(name: &str, more: Value) -> Value {
    let mut c = json!({"name": name, "image": "app:1"});
    for (k, v) in more.as_object().into_iter().flatten() {
        c[k] = v.clone();
    }
    c
}

fn sidecar(name: &str, more: Value) -> Value {
    let mut c = container(name, more);
    c["restartPolicy"] = "Always".into();
    c
}

/// Changes the behaviour of all containers by name.
fn behaving(rules: &[(&str, crate::behavior::Behavior)]) -> FleetConfig {
    let mut config = config();
    for (container, behavior) in rules {
        let m = crate::behavior::Match { container: Some((*container).into()), ..Default::default() };
        config.behaviors.rules.push((m, Arc::new(behavior.clone())));
    }
    config
}

fn exits(after: Span, exit_code: i32) -> crate::behavior::Behavior {
    let run = crate::behavior::Run { time: Some(Delay::Constant(after)), exit_code };
    crate::behavior::Behavior { run: Some(run), ..Default::default() }
}

/// A probe with upstream's defaults.
fn probe() -> Value {
    json!({"httpGet": {"path": "/", "port": 80}})
}
