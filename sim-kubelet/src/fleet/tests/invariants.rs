//! Random pods, whatever they do and whenever they are deleted, never break what upstream promises.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sim_core::api::pod_status::PodPhase;

use super::*;

/// One container: its role, and how it ends by itself (`None` = not at all), stops, and is probed.
#[derive(Clone, Debug)]
struct Sketch {
    role: char,
    run: Option<(i64, i32)>,
    stop: Option<i64>,
    startup: Option<i64>,
    pre_stop: Option<i64>,
}

fn sketch() -> impl Strategy<Value = Sketch> {
    (
        prop::sample::select(vec!['i', 's', 'm']),
        prop::option::of((0i64..40, prop::sample::select(vec![0, 0, 1]))),
        prop::option::of(0i64..8),
        prop::option::of(0i64..30),
        prop::option::of(1i64..5),
    )
        .prop_map(|(role, run, stop, startup, pre_stop)| Sketch { role, run, stop, startup, pre_stop })
}

fn pod_of(policy: &str, grace: i64, sketches: &[Sketch]) -> (Value, Vec<(String, String)>) {
    let mut annotations = Vec::new();
    let (mut inits, mut mains) = (Vec::new(), vec![container("m", json!({}))]);
    for (i, sketch) in sketches.iter().enumerate() {
        let name = format!("{}{i}", sketch.role);
        let mut say = |field: &str, value: String| {
            annotations.push((format!("wavetank.dev/{name}.{field}"), value));
        };
        // An init container has to end, or the pod never starts.
        if let Some((time, code)) = sketch.run.or((sketch.role == 'i').then_some((3, 0))) {
            say("run", format!("{time}s"));
            say("exit-code", code.to_string());
        }
        match sketch.stop {
            Some(stop) => say("stop", format!("{stop}s")),
            None => say("ignores-sigterm", "true".into()),
        }
        let mut more = json!({});
        if sketch.role != 'i' {
            if let Some(startup) = sketch.startup {
                say("startup", format!("{startup}s"));
                more["startupProbe"] = json!({"tcpSocket": {"port": 80}, "failureThreshold": 9});
            }
            if let Some(seconds) = sketch.pre_stop.filter(|s| *s <= grace) {
                more["lifecycle"] = json!({"preStop": {"sleep": {"seconds": seconds}}});
            }
        }
        match sketch.role {
            's' => inits.push(sidecar(&name, more)),
            'i' => inits.push(container(&name, more)),
            _ => mains.push(container(&name, more)),
        }
    }
    let spec = json!({"restartPolicy": policy, "terminationGracePeriodSeconds": grace,
        "initContainers": inits, "containers": mains});
    (spec, annotations)
}

/// What is remembered from one look at the API to the next.
#[derive(Default)]
struct Witness {
    ended: Option<PodPhase>,
    restarts: BTreeMap<String, i32>,
}

impl Witness {
    fn look(&mut self, w: &World) -> Result<(), TestCaseError> {
        let Some(object) = w.get("p") else { return Ok(()) };
        let status = &object.as_pod().expect("a pod").status;
        if let Some(ended) = self.ended {
            prop_assert_eq!(ended, status.phase, "a terminal phase is never left");
        }
        self.ended = Some(status.phase).filter(|p| p.is_terminal());
        for c in status.init_container_statuses.iter().chain(&status.container_statuses) {
            let before = self.restarts.insert(c.name.to_string(), c.restart_count).unwrap_or(0);
            prop_assert!(before <= c.restart_count, "restart counts never fall");
            let running = matches!(c.state, ContainerState::Running { .. });
            prop_assert!(
                !c.ready || c.name.starts_with('i') || running,
                "{} is ready but does not run",
                c.name
            );
        }
        Ok(())
    }
}

/// Containers as the log tells of them.
fn check_order(w: &mut World, sketches: &[Sketch]) -> Result<(), TestCaseError> {
    let (mut running, mut done) = (BTreeMap::new(), BTreeMap::new());
    for line in w.steps() {
        let mut words = line.split(' ').skip(1);
        let (name, step) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let value: i64 = words.next().and_then(|v| v.parse().ok()).unwrap_or(0);
        let mains_run = || running.iter().any(|(n, up): (&String, &bool)| n.starts_with('m') && *up);
        match step {
            "started" => {
                prop_assert_ne!(running.insert(name.to_string(), true), Some(true), "{} runs twice", name);
                let main = name.starts_with('m');
                let earlier = sketches.iter().enumerate().map(|(i, s)| format!("{}{i}", s.role));
                for other in earlier.take_while(|n| n != name || main).filter(|n| !n.starts_with('m')) {
                    let met = value > 0 || done.get(&other).copied().unwrap_or(false);
                    prop_assert!(met, "{name} started before {other} was through: {line}");
                }
                // A sidecar without a startup probe has done its part once it has been started.
                let unprobed = sketches
                    .iter()
                    .enumerate()
                    .any(|(i, s)| s.role == 's' && s.startup.is_none() && format!("s{i}") == name);
                if unprobed {
                    done.insert(name.to_string(), true);
                }
            }
            "startup" if value == 1 => drop(done.insert(name.to_string(), true)),
            "exited" => {
                prop_assert_eq!(running.insert(name.to_string(), false), Some(true));
                if name.starts_with('i') && value == 0 {
                    done.insert(name.to_string(), true);
                }
            }
            "stopping" if name.starts_with('s') && !sketches.iter().any(|s| s.startup.is_some()) => {
                // Two seconds are what is left when the grace was spent waiting.
                prop_assert!(!mains_run() || value <= 2, "{name} is stopped while a main runs: {line}");
            }
            _ => {}
        }
    }
    prop_assert!(running.values().all(|up| !up), "everything that started has ended");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(
        policy in prop::sample::select(vec!["Always", "OnFailure", "Never"]),
        grace in 0i64..12,
        sketches in prop::collection::vec(sketch(), 0..5),
        delete_after in 0i64..200_000,
        shorter in prop::option::of(0i64..6),
        slow: bool,
    ) {
        let timing = if slow { Timing { request: Delay::Constant(sim_core::time::millis(2)),
            reply: Delay::Constant(sim_core::time::millis(1)), ..Timing::typical() } } else { Timing::instant() };
        let mut w = World::new(config(), timing);
        w.run(secs(1));
        let (spec, annotations) = pod_of(policy, grace, &sketches);
        let annotations: Vec<_> = annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        w.pod_on("n1", "p", spec, &annotations);
        let mut witness = Witness::default();
        let mut run = |w: &mut World, span: Span| -> Result<(), TestCaseError> {
            for _ in 0..10 {
                w.run(Span(span.0 / 10));
                witness.look(w)?;
            }
            Ok(())
        };
        run(&mut w, sim_core::time::millis(delete_after))?;
        w.delete("p", None);
        run(&mut w, secs(3))?;
        if let Some(shorter) = shorter.filter(|_| w.get("p").is_some()) {
            w.delete("p", Some(shorter));
        }
        run(&mut w, secs(120))?;
        prop_assert!(w.get("p").is_none(), "a deleted pod goes: {}", w.says("p"));
        prop_assert_eq!(w.fleet.pod_count(), 0);
        prop_assert_eq!(w.fleet.node("n1").map(|n| n.used().pods), Some(0));
        check_order(&mut w, &sketches)?;
    }
}
