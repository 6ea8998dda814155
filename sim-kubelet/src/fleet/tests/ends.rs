use super::*;
use crate::behavior::Behavior;
use sim_core::time::mins;

fn stops(after: i64) -> Behavior {
    Behavior { stop: Some(Delay::Constant(secs(after))), ..Behavior::default() }
}

fn deaf() -> Behavior {
    Behavior { ignores_sigterm: Some(true), ..Behavior::default() }
}

/// Containers as `name`, sidecar or not, and time to stop (`None` = ignores the signal); then what is expected of each
/// as `name signalled ended exit code`.
fn check(grace: i64, containers: &[(&str, bool, Option<i64>)], want: &[(&str, i64, i64, i32)]) {
    let rules: Vec<_> = containers.iter().map(|(n, _, stop)| (*n, stop.map_or_else(deaf, stops))).collect();
    let mut w = World::new(behaving(&rules), Timing::instant());
    let of = |wanted: bool| {
        let all = containers.iter().filter(move |c| c.1 == wanted);
        all.map(|c| if c.1 { sidecar(c.0, json!({})) } else { container(c.0, json!({})) }).collect::<Vec<_>>()
    };
    let (inits, mains) = (of(true), of(false));
    w.pod(
        "web",
        json!({"terminationGracePeriodSeconds": grace, "initContainers": inits, "containers": mains}),
    );
    w.run(secs(100));
    assert!(w.status("web").is_true("Ready"));
    w.delete("web", None);
    w.run(secs(100));
    assert_eq!(w.says("web"), "gone");
    let got: Vec<_> = want
        .iter()
        .map(|(name, ..)| {
            let signalled = w.times(&format!("{name} stopping"))[0] - 100;
            let ended = w.times(&format!("{name} exited"))[0] - 100;
            let code = w
                .steps()
                .iter()
                .rfind(|s| s.contains(&format!("{name} exited")))
                .and_then(|s| s.rsplit(' ').next()?.parse().ok())
                .unwrap();
            (*name, signalled, ended, code)
        })
        .collect();
    assert_eq!(got, want);
}

#[test]
fn mains_stop_first_then_sidecars_in_reverse_order() {
    check(
        30,
        &[("app", false, Some(1)), ("s1", true, Some(1)), ("s2", true, Some(1))],
        &[("app", 0, 1, 0), ("s2", 1, 2, 0), ("s1", 2, 3, 0)],
    );
}

#[test]
fn one_budget_is_shared_and_two_seconds_stay() {
    check(10, &[("app", false, None), ("s1", true, Some(1))], &[("app", 0, 10, 137), ("s1", 10, 11, 0)]);
    check(
        10,
        &[("app", false, Some(1)), ("s1", true, None), ("s2", true, None)],
        &[("app", 0, 1, 0), ("s2", 1, 10, 137), ("s1", 10, 12, 137)],
    );
    check(
        10,
        &[("app", false, Some(7)), ("s1", true, None), ("s2", true, Some(1))],
        &[("app", 0, 7, 0), ("s2", 7, 8, 0), ("s1", 8, 10, 137)],
    );
    check(0, &[("app", false, None)], &[("app", 0, 2, 137)]);
}

#[test]
fn pre_stop_hooks_start_together_and_take_from_the_grace() {
    let mut w = World::new(behaving(&[("app", deaf()), ("s1", stops(1))]), Timing::instant());
    let hook = |seconds: i64| json!({"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}});
    w.pod(
        "web",
        json!({"terminationGracePeriodSeconds": 10,
            "initContainers": [sidecar("s1", hook(3))], "containers": [container("app", hook(4))]}),
    );
    w.run(secs(100));
    w.delete("web", None);
    w.run(secs(60));
    assert_eq!(w.times("app stopping"), [104]);
    assert_eq!(w.times("app exited"), [110], "6 of 10 s were left");
    assert_eq!(w.times("s1 stopping"), [110], "its own hook took 3 s, waiting the other 7");
}

#[test]
fn a_second_delete_shortens_the_grace() {
    let mut w = World::new(behaving(&[("app", deaf())]), Timing::instant());
    w.pod("web", json!({"containers": [container("app", json!({}))]}));
    w.run(secs(10));
    w.delete("web", Some(300));
    w.run(secs(10));
    w.delete("web", Some(5));
    w.run(secs(60));
    assert_eq!(w.times("app exited"), [25]);
    assert_eq!(w.says("web"), "gone");
}

#[test]
fn a_forced_deletion_takes_the_object_at_once_and_the_containers_soon() {
    let mut w = World::new(behaving(&[("app", deaf())]), Timing::instant());
    let pod = w.pod("web", json!({"containers": [container("app", json!({}))]}));
    w.run(secs(10));
    w.delete("web", Some(0));
    w.run(secs(1));
    assert_eq!(w.says("web"), "gone");
    assert!(w.fleet.pod(pod.meta.uid).is_some_and(|p| p.stage() == Stage::Terminating));
    w.run(secs(40));
    assert!(w.fleet.pod(pod.meta.uid).is_none());
    assert_eq!(w.fleet.node("n1").unwrap().used(), &crate::admission::Amounts::default());
}

#[test]
fn a_pod_that_runs_to_its_end_succeeds_and_takes_its_sidecar_along() {
    let mut w = World::new(behaving(&[("work", exits(secs(30), 0)), ("logs", stops(2))]), Timing::instant());
    w.pod(
        "job",
        json!({"restartPolicy": "Never",
            "initContainers": [sidecar("logs", json!({}))], "containers": [container("work", json!({}))]}),
    );
    w.run(secs(31));
    assert_eq!(w.says("job"), "Running NotReady logs=running+ work=Completed(0)");
    w.run(secs(60));
    assert_eq!(w.says("job"), "Succeeded NotReady logs=Completed(0) work=Completed(0)");
    assert_eq!(w.times("logs exited"), [32]);
    assert_eq!(w.status("job").condition("Ready").unwrap().reason, "PodCompleted");
    assert_eq!(w.fleet.pod_count(), 0, "a finished pod is not kept");
    w.delete("job", None);
    w.run(secs(1));
    assert_eq!(w.says("job"), "gone");
}

#[test]
fn pods_of_jobs_end_after_half_a_minute_unless_told_otherwise() {
    let mut w = World::simple();
    let owner = sim_core::api::meta::OwnerReference {
        api_version: "batch/v1".into(),
        kind: "Job".into(),
        name: "j".into(),
        uid: Uid(7),
        controller: true,
        block_owner_deletion: true,
    };
    let mut meta = Meta::named(Key::new("default", "j-1"));
    meta.owner_references.push(owner);
    let spec = json!({"restartPolicy": "OnFailure", "containers": [container("work", json!({}))]});
    let spec = Arc::new(serde_json::from_value(spec).unwrap());
    let pod = Pod { spec, node_name: "n1".into(), ..Pod::default() };
    w.ask(Request::Create(Box::new(Object::new(meta, Body::Pod(pod)))));
    w.run(secs(29));
    assert_eq!(w.says("j-1"), "Running Ready work=running+");
    w.run(secs(2));
    assert_eq!(w.says("j-1"), "Succeeded NotReady work=Completed(0)");
}

#[test]
fn failures_end_a_never_pod_and_not_an_on_failure_one() {
    let mut w = World::new(behaving(&[("app", exits(secs(5), 3))]), Timing::instant());
    for policy in ["Never", "OnFailure"] {
        let name = policy.to_lowercase();
        w.pod(&name, json!({"restartPolicy": policy, "containers": [container("app", json!({}))]}));
    }
    w.run(secs(6));
    assert_eq!(w.says("never"), "Failed NotReady app=Error(3)");
    assert_eq!(w.says("onfailure"), "Running Ready app=running+");
    assert_eq!(w.status("onfailure").container_statuses[0].restart_count, 1);
}

#[test]
fn an_init_container_that_fails_ends_a_never_pod() {
    let mut w = World::new(behaving(&[("prepare", exits(secs(5), 1))]), Timing::instant());
    w.pod(
        "job",
        json!({"restartPolicy": "Never",
            "initContainers": [container("prepare", json!({}))], "containers": [container("app", json!({}))]}),
    );
    w.run(secs(6));
    assert_eq!(w.says("job"), "Failed NotReady prepare=Error(1) app=PodInitializing");
}

#[test]
fn the_active_deadline_fails_the_pod() {
    let mut w = World::simple();
    w.pod("job", json!({"activeDeadlineSeconds": 60, "containers": [container("app", json!({}))]}));
    w.run(mins(2));
    assert_eq!(w.says("job"), "Failed DeadlineExceeded NotReady app=Completed(0)");
    assert_eq!(w.times("app exited"), [60]);
}

#[test]
fn a_pod_deleted_before_it_starts_never_starts() {
    let mut w = World::new(config(), Timing { sandbox: Delay::Constant(secs(5)), ..Timing::instant() });
    w.pod("web", json!({"containers": [container("app", json!({}))]}));
    w.run(secs(2));
    w.delete("web", None);
    w.run(secs(20));
    assert_eq!(w.says("web"), "gone");
    assert!(w.steps().is_empty());
}

#[test]
fn annotations_say_what_a_container_does() {
    let mut w = World::simple();
    let spec = json!({"restartPolicy": "Never", "containers": [container("app", json!({}))]});
    w.pod_on("n1", "job", spec, &[("wavetank.dev/app.run", "7s"), ("wavetank.dev/exit-code", "4")]);
    w.run(secs(10));
    assert_eq!(w.says("job"), "Failed NotReady app=Error(4)");
    assert_eq!(w.times("app exited"), [7]);
}
