use super::*;

/// One life from the API's side under typical timing, without jitter.
#[test]
fn a_whole_life() {
    let timing = Timing {
        sandbox: Delay::Constant(sim_core::time::millis(500)),
        container_start: Delay::Constant(sim_core::time::millis(200)),
        pleg: Delay::Constant(sim_core::time::millis(400)),
        ..Timing::typical()
    };
    let mut w = World::new(config(), timing);
    w.run(secs(1));
    w.pod("web", json!({"containers": [container("app", json!({"readinessProbe": probe()}))]}));
    w.run(secs(29));
    w.delete("web", None);
    w.run(secs(30));
    let lines = w.lines(|record| match record {
        Record::Commit { verb, kind: "Pod", .. } => Some(format!("{verb:?}")),
        Record::Event { reason, message, .. } => Some(format!("{reason}: {message}")),
        Record::Container { container, step, value, .. } => Some(format!("[{container}] {step} {value}")),
        _ => None,
    });
    let want = [
        "1s Create",
        "1.007s Status",
        "1.505s [] sandbox 0",
        "1.505s Pulling: Pulling image \"app:1\"",
        "1.505s [app] pulling 100000000",
        "3.805s Pulled: Successfully pulled image \"app:1\" in 2.3s (2.3s including waiting). Image size: 100000000 bytes.",
        "4.005s Created: Created container: app",
        "4.005s Started: Started container app",
        "4.005s [app] started 0",
        "4.407s Status",
        "30s MarkDeleted",
        "30.005s Killing: Stopping container app",
        "30.005s [app] stopping 30",
        "30.007s Status",
        "30.105s [app] exited 0",
        "30.105s [] finished 0",
        "30.107s Status",
        "30.11s Delete",
    ];
    assert_eq!(lines, want);
}

#[test]
fn the_same_world_twice_has_the_same_digest() {
    let run = || {
        let config =
            FleetConfig { retry: FleetConfig::default().retry, ..behaving(&[("app", exits(secs(9), 1))]) };
        let mut w = World::new(config, Timing::typical());
        for i in 0..5 {
            w.pod(
                &format!("p{i}"),
                json!({"containers": [container("app", json!({"readinessProbe": probe()}))]}),
            );
        }
        w.run(secs(300));
        w.kernel.log.digest()
    };
    assert_eq!(run(), run());
}
