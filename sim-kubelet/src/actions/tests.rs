use super::*;
use crate::plan::Gates;

fn plan(policy: &str) -> Plan {
    let spec = serde_json::json!({
        "restartPolicy": policy,
        "initContainers": [
            {"name": "i0"},
            {"name": "s1", "restartPolicy": "Always", "startupProbe": {}, "livenessProbe": {}},
            {"name": "i2"},
        ],
        "containers": [{"name": "m3"}, {"name": "m4"}],
    });
    Plan::compile(&serde_json::from_value(spec).unwrap(), Gates::default())
}

const READY: Sandbox = Sandbox { ready: true, attempt: 0, has_ip: true, same_network: true };
const UP: Option<Record> = Some(Record {
    state: RuntimeState::Running,
    exit_code: 0,
    changed: false,
    startup: Some(ProbeResult::Success),
    liveness: Some(ProbeResult::Success),
});

fn exited(exit_code: i32) -> Option<Record> {
    Some(Record { state: RuntimeState::Exited, exit_code, changed: false, startup: None, liveness: None })
}

fn decide(plan: &Plan, records: &[Option<Record>]) -> Actions {
    compute(plan, &Facts { sandboxes: &[READY], records, ephemeral: &[], deleting: false })
}

fn started(a: &Actions) -> (&[usize], &[usize]) {
    (&a.start_init, &a.start)
}

#[test]
fn containers_start_in_order() {
    let p = plan("Always");
    let first = compute(&p, &Facts { sandboxes: &[], records: &[], ephemeral: &[], deleting: false });
    assert!(first.create_sandbox && first.kill_pod);
    assert_eq!(started(&first), (&[0][..], &[][..]));
    let running = Some(Record { startup: None, liveness: None, ..UP.unwrap() });
    for (records, init, mains) in [
        (vec![running, None, None, None, None], &[][..], &[][..]),
        (vec![exited(0), None, None, None, None], &[1], &[]),
        (vec![exited(0), running, None, None, None], &[], &[]),
        (vec![exited(0), UP, None, None, None], &[2], &[]),
        (vec![exited(0), UP, exited(0), None, None], &[], &[3, 4]),
        (vec![exited(0), UP, exited(0), UP, UP], &[], &[]),
        (vec![exited(0), exited(1), exited(0), UP, UP], &[1], &[]),
        (vec![exited(0), UP, exited(0), exited(0), UP], &[], &[3]),
    ] {
        assert_eq!(started(&decide(&p, &records)), (init, mains), "{records:?}");
    }
}

#[test]
fn the_pod_ends_when_nothing_is_kept() {
    let never = plan("Never");
    let failed_init = decide(&never, &[exited(1), None, None, None, None]);
    assert!(failed_init.kill_pod && failed_init.start_init.is_empty());
    let done = decide(&never, &[exited(0), exited(1), exited(0), exited(0), exited(3)]);
    assert!(done.kill_pod && done.start_init.is_empty(), "sidecars are not restarted after the end");
}

#[test]
fn probes_kill_and_say_why() {
    let p = plan("Never");
    let sick = Some(Record { liveness: Some(ProbeResult::Failure), ..UP.unwrap() });
    let a = decide(&p, &[exited(0), sick, exited(0), sick, UP]);
    let said: Vec<String> = a.kill.iter().map(|k| k.message(&p)).collect();
    assert_eq!(said, ["Init container s1 failed liveness probe", "Container m3 failed liveness probe"]);
    assert_eq!(started(&a), (&[1][..], &[][..]), "a Never container is killed and stays dead");
    let a = decide(&plan("Always"), &[exited(0), UP, exited(0), sick, UP]);
    assert_eq!(a.kill[0].message(&p), "Container m3 failed liveness probe, will be restarted");
}

#[test]
fn a_lost_sandbox_restarts_from_the_first_init_container() {
    let lost = [Sandbox { ready: false, ..READY }];
    let records = [exited(0), UP, exited(0), UP, UP];
    let facts = |records| Facts { sandboxes: &lost, records, ephemeral: &[], deleting: false };
    let a = compute(&plan("Always"), &facts(&records));
    assert_eq!((a.attempt, started(&a)), (1, (&[0][..], &[][..])));
    assert!(a.kill_pod && a.create_sandbox);
    let a = compute(&plan("Never"), &facts(&records));
    assert!(a.kill_pod && !a.create_sandbox);
}
