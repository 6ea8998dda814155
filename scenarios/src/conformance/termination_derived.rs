//! Group `termination_derived`: who gets the stop signal when, and who is killed, on a cluster where nothing else takes
//! time.

use std::sync::Arc;

use serde_json::{Value, json};
use sim_cluster::prelude::*;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::{Body, Object, Pod};
use sim_core::api::request::{DeleteOptions, Request};
use sim_core::engine::log::{Keep, Record, records};
use sim_kubelet::behavior::{Behavior, Behaviors, Match, Run};

/// By then everything has started, and a sidecar that keeps crashing waits for its next start.
const DELETED_AT: Span = secs(20);

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let grace = input["gracePeriodSeconds"].as_i64().ok_or("no gracePeriodSeconds")?;
    let containers = input["containersInSpecOrder"].as_array().ok_or("no containersInSpecOrder")?;
    let rules = containers.iter().map(rule).collect();
    let mut sim = Cluster::builder()
        .timing(Timing::instant())
        .behaviors(Behaviors { rules, ..Behaviors::default() })
        .keep_log(Keep::Records)
        .node(node("n").cpu("4").memory("8Gi"))
        .build();
    sim.try_create(pod_of(grace, containers)?).map_err(|e| e.to_string())?;
    sim.try_run_for(DELETED_AT).map_err(|e| e.to_string())?;
    let options = DeleteOptions { grace_period_seconds: Some(grace), ..DeleteOptions::default() };
    let request = Request::Delete { kind: Kind::POD, key: Key::new("default", "p"), options };
    sim.request(request).map_err(|e| e.to_string())?;
    sim.try_run_for(mins(10)).map_err(|e| e.to_string())?;
    let bytes = sim.log_mut().kept().to_vec();
    let wanted = expected.as_object().ok_or("expected is no object")?;
    wanted.iter().try_for_each(|(name, want)| compare(name, want, &bytes))
}

fn rule(container: &Value) -> (Match, Arc<Behavior>) {
    let seconds = |field: &str| container[field].as_i64().map(|s| Delay::Constant(secs(s)));
    let name = container["name"].as_str().unwrap_or_default();
    let crashes = container["running"] == false;
    let behavior = Behavior {
        run: crashes.then(|| Run { time: Some(Delay::Constant(secs(1))), exit_code: 1 }),
        stop: seconds("exitAfter"),
        ignores_sigterm: Some(container["exitAfter"].is_null()),
        pre_stop: seconds("preStop"),
        ..Behavior::default()
    };
    (Match { container: Some(name.into()), ..Match::default() }, Arc::new(behavior))
}

fn pod_of(grace: i64, containers: &[Value]) -> Result<Object, String> {
    let of = |kind: &str, policy: Option<&str>| -> Vec<Value> {
        let own = containers.iter().filter(|c| c["kind"] == kind);
        let hook = |c: &Value| {
            (!c["preStop"].is_null()).then(|| json!({"preStop": {"exec": {"command": ["stop"]}}}))
        };
        own.map(
            |c| json!({"name": c["name"], "image": "app:1", "restartPolicy": policy, "lifecycle": hook(c)}),
        )
        .collect()
    };
    let spec = json!({
        "terminationGracePeriodSeconds": grace,
        "initContainers": of("sidecar", Some("Always")),
        "containers": of("main", None),
    });
    let spec = serde_json::from_value(spec).map_err(|e| e.to_string())?;
    let pod = Pod { spec: Arc::new(spec), node_name: "n".into(), ..Pod::default() };
    Ok(Object::new(Meta::named(Key::new("default", "p")), Body::Pod(pod)))
}

/// The first step of a container after the deletion: when, and its value.
fn step(bytes: &[u8], name: &str, wanted: &str) -> Result<(f64, i64), String> {
    let deleted = Time::ZERO + DELETED_AT;
    let mut all = records(bytes).skip_while(|(at, _)| *at < deleted);
    let found = all.find_map(|(at, record)| match record {
        Record::Container { container, step, value, .. } if container == name && step == wanted => {
            Some(((at - deleted).as_secs_f64(), value))
        }
        _ => None,
    });
    found.ok_or_else(|| format!("{name}: never {wanted}"))
}

fn compare(name: &str, want: &Value, bytes: &[u8]) -> Result<(), String> {
    let (signalled, timeout) = step(bytes, name, "stopping")?;
    let (ended, code) = step(bytes, name, "exited")?;
    let how = if code == 137 { "SIGKILL" } else { "exit" };
    let got = json!({"sigtermAt": signalled, "stopTimeout": timeout, "endsAt": ended, "how": how});
    let fields = got.as_object().into_iter().flatten();
    for (field, got) in fields {
        if want[field] != *got {
            return Err(format!("{name}.{field}: got {got}, want {}", want[field]));
        }
    }
    Ok(())
}
