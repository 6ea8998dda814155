//! Group `pod_actions`: `computePodActions` of the kubelet.

use serde_json::Value;
use sim_kubelet::actions::{Actions, Facts, ProbeResult, Record, RuntimeState, Sandbox, compute};
use sim_kubelet::plan::Plan;

use super::pod_phase::plan_of;

pub(crate) fn check(input: &Value, expected: &Value) -> Result<(), String> {
    let pod = &input["pod"];
    let plan = plan_of(&pod["spec"], input)?;
    let runtime = &input["podStatus"];
    let sandboxes: Vec<Sandbox> = list(&runtime["SandboxStatuses"]).map(sandbox).collect();
    let seen = |name: &str| list(&runtime["ContainerStatuses"]).find(|s| s["Name"] == name);
    let records: Vec<_> =
        plan.containers.iter().map(|c| seen(&c.name).map(|s| record(s, &c.name, input))).collect();
    let ephemeral: Vec<bool> = plan.ephemeral.iter().map(|name| seen(name).is_some()).collect();
    let deleting = pod["metadata"].get("deletionTimestamp").is_some();
    let facts = Facts { sandboxes: &sandboxes, records: &records, ephemeral: &ephemeral, deleting };
    compare(&plan, &compute(&plan, &facts), &expected["expected"])
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// CRI state 0 is READY; network mode 0 (POD), which absent options mean, is what pods without `hostNetwork` have.
fn sandbox(s: &Value) -> Sandbox {
    Sandbox {
        ready: s["State"] == 0,
        attempt: s["Metadata"]["Attempt"].as_u64().unwrap_or(0) as u32,
        has_ip: s["Network"]["Ip"].as_str().is_some_and(|ip| !ip.is_empty()),
        same_network: true,
    }
}

fn record(s: &Value, name: &str, input: &Value) -> Record {
    let probe = |kind: &str| {
        input["probeResults"][format!("{name}/{kind}")].as_str().map(|r| match r {
            "Success" => ProbeResult::Success,
            "Failure" => ProbeResult::Failure,
            _ => ProbeResult::Unknown,
        })
    };
    Record {
        state: match s["State"].as_str() {
            Some("created") => RuntimeState::Created,
            Some("running") => RuntimeState::Running,
            Some("exited") => RuntimeState::Exited,
            _ => RuntimeState::Unknown,
        },
        exit_code: s["ExitCode"].as_i64().unwrap_or(0) as i32,
        changed: input["specHashes"].get(name).is_some_and(|hash| *hash != s["Hash"]),
        startup: probe("startup"),
        liveness: probe("liveness"),
    }
}

fn compare(plan: &Plan, got: &Actions, want: &Value) -> Result<(), String> {
    let indices = |field: &str| list(&want[field]).filter_map(Value::as_u64).collect::<Vec<_>>();
    let numbers = |got: &[usize], first: usize| got.iter().map(|i| (i - first) as u64).collect::<Vec<_>>();
    let mut kill: Vec<&str> = got.kill.iter().map(|k| plan.containers[k.container].name.as_str()).collect();
    let killed = want["ContainersToKill"].as_object();
    let mut want_kill: Vec<&str> =
        killed.into_iter().flatten().filter_map(|(_, k)| k["name"].as_str()).collect();
    kill.sort_unstable();
    want_kill.sort_unstable();
    let checks = [
        ("KillPod", format!("{}", got.kill_pod), format!("{}", want["KillPod"] == true)),
        ("CreateSandbox", format!("{}", got.create_sandbox), format!("{}", want["CreateSandbox"] == true)),
        ("Attempt", format!("{}", got.attempt), format!("{}", want["Attempt"].as_u64().unwrap_or(0))),
        ("ContainersToKill", format!("{kill:?}"), format!("{want_kill:?}")),
        (
            "InitContainersToStart",
            format!("{:?}", numbers(&got.start_init, 0)),
            format!("{:?}", indices("InitContainersToStart")),
        ),
        (
            "ContainersToStart",
            format!("{:?}", numbers(&got.start, plan.init_count)),
            format!("{:?}", indices("ContainersToStart")),
        ),
        (
            "EphemeralContainersToStart",
            format!("{:?}", numbers(&got.start_ephemeral, 0)),
            format!("{:?}", indices("EphemeralContainersToStart")),
        ),
        // In-place resize is not decided here, so no vector may want it.
        ("UpdatePodResources", "false".into(), format!("{}", want["UpdatePodResources"] == true)),
    ];
    match checks.iter().find(|(_, got, want)| got != want) {
        None => Ok(()),
        Some((field, got, want)) => Err(format!("{field}: got {got}, want {want}")),
    }
}
