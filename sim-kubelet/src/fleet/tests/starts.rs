use super::*;
use crate::behavior::Behavior;
use sim_core::time::{millis, mins};

#[test]
fn a_plain_pod_becomes_ready_and_then_costs_nothing() {
    let mut w = World::simple();
    w.pod("web", json!({"containers": [container("app", json!({}))]}));
    w.run(secs(1));
    assert_eq!(w.says("web"), "Running Ready app=running+");
    let status = w.status("web");
    assert_eq!((status.pod_ip.as_str(), status.host_ip.as_str()), ("10.0.0.2", "172.16.0.1"));
    for condition in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    {
        assert!(status.is_true(condition), "{condition}");
    }
    let before = w.kernel.handled();
    w.run(mins(600));
    assert_eq!(w.kernel.handled(), before, "an idle pod makes no events");
}

#[test]
fn init_containers_and_sidecars_start_in_order() {
    let slow = Behavior { startup: Some(Delay::Constant(secs(5))), ..Behavior::default() };
    let mut w = World::new(
        behaving(&[("first", exits(secs(3), 0)), ("proxy", slow), ("third", exits(secs(2), 0))]),
        Timing::instant(),
    );
    let probe =
        json!({"startupProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 30}});
    w.pod(
        "web",
        json!({
            "initContainers": [container("first", json!({})), sidecar("proxy", probe), container("third", json!({}))],
            "containers": [container("app", json!({}))],
        }),
    );
    w.run(secs(2));
    assert_eq!(
        w.says("web"),
        "Pending NotReady first=running proxy=PodInitializing third=PodInitializing app=PodInitializing"
    );
    w.run(mins(1));
    assert_eq!(
        w.says("web"),
        "Running Ready first=Completed(0)+ proxy=running+ third=Completed(0)+ app=running+"
    );
    assert_eq!(
        w.steps(),
        [
            "0s first pulling 100000000",
            "0s first started 0",
            "3s first exited 0",
            "3s proxy started 0",
            "8s proxy startup 1",
            "8s third started 0",
            "10s third exited 0",
            "10s app started 0",
        ]
    );
}

#[test]
fn a_crash_loop_waits_longer_and_longer() {
    let mut w = World::new(behaving(&[("app", exits(secs(1), 1))]), Timing::instant());
    w.pod("web", json!({"containers": [container("app", json!({}))]}));
    w.run(mins(30));
    let started = w.times("app started");
    let exited = w.times("app exited");
    let waits: Vec<i64> = started.iter().skip(1).zip(&exited).map(|(s, e)| s - e).collect();
    assert_eq!(&waits[..8], [0, 10, 20, 40, 80, 160, 300, 300]);
    assert_eq!(w.says("web"), "Running NotReady app=CrashLoopBackOff");
    let status = w.status("web");
    let app = &status.container_statuses[0];
    assert_eq!(app.restart_count as usize, started.len() - 1);
    let ContainerState::Waiting { message, .. } = &app.state else { panic!("{:?}", app.state) };
    let uid = w.get("web").unwrap().meta.uid;
    assert_eq!(message, &format!("back-off 5m0s restarting failed container=app pod=web_default({uid})"));
    assert_eq!(app.last_terminated.as_ref().map(|t| (t.exit_code, t.reason.as_str())), Some((1, "Error")));
}

#[test]
fn retries_come_at_the_pace_of_failed_syncs() {
    let config =
        FleetConfig { retry: FleetConfig::default().retry, ..behaving(&[("app", exits(secs(1), 1))]) };
    let mut w = World::new(config, Timing::instant());
    w.pod("web", json!({"containers": [container("app", json!({}))]}));
    w.run(mins(10));
    let (started, exited) = (w.times("app started"), w.times("app exited"));
    let waits: Vec<i64> = started.iter().skip(1).zip(&exited).map(|(s, e)| s - e).collect();
    for (wait, nominal) in waits.iter().zip([0, 10, 20, 40, 80]) {
        assert!((nominal..nominal + 16).contains(wait), "{waits:?}");
    }
}

#[test]
fn a_failed_liveness_probe_restarts_the_container() {
    let sick = Behavior {
        liveness: Some(crate::probes::Outcomes {
            first: true,
            flips: smallvec::SmallVec::from_elem(secs(25), 1),
        }),
        stop: Some(Delay::Constant(secs(2))),
        ..Behavior::default()
    };
    let mut w = World::new(behaving(&[("app", sick)]), Timing::instant());
    w.pod("web", json!({"containers": [container("app", json!({"livenessProbe": probe()}))]}));
    w.run(secs(60));
    assert_eq!(
        w.steps()[2..],
        ["50s app live 0", "50s app stopping 30", "52s app exited 0", "52s app started 1"]
    );
    let events = w.events();
    assert!(events.contains(&"50s Killing: Container app failed liveness probe, will be restarted".into()));
    assert!(events.iter().any(|e| e.starts_with("50s Unhealthy: Liveness probe failed")));
}

#[test]
fn readiness_comes_and_goes_without_restarts() {
    let flapping = Behavior {
        readiness: Some(crate::probes::Outcomes {
            first: false,
            flips: smallvec::SmallVec::from_slice(&[secs(12), secs(35), secs(70)]),
        }),
        ..Behavior::default()
    };
    let mut w = World::new(behaving(&[("app", flapping)]), Timing::instant());
    w.pod("web", json!({"containers": [container("app", json!({"readinessProbe": probe()}))]}));
    for (until, want) in [
        (19, "Running NotReady app=running"),
        (21, "Running Ready app=running+"),
        (59, "Running Ready app=running+"),
        (61, "Running NotReady app=running"),
        (71, "Running Ready app=running+"),
    ] {
        let now = w.kernel.now();
        w.run(Time::ZERO + secs(until) - now);
        assert_eq!(w.says("web"), want, "at {until} s");
    }
    assert_eq!(w.status("web").container_statuses[0].restart_count, 0);
}

#[test]
fn a_broken_image_is_tried_again_with_back_off() {
    let mut config = config();
    let broken = crate::images::ImageFacts { size: None, error: Some("no such image".into()) };
    config.registry.images.insert("app:1".into(), broken);
    let mut w = World::new(config, Timing::instant());
    w.pod("web", json!({"containers": [container("app", json!({}))]}));
    w.run(secs(100));
    assert_eq!(w.times("app pulling"), [0, 10, 30, 70]);
    assert_eq!(w.says("web"), "Pending NotReady app=ImagePullBackOff");
    let status = w.status("web");
    let ContainerState::Waiting { message, .. } = &status.container_statuses[0].state else { panic!() };
    assert_eq!(message, "Back-off pulling image \"app:1\": ErrImagePull: no such image");
}

#[test]
fn images_take_latency_and_size_and_are_kept() {
    let timing = Timing {
        image_pull_latency: Delay::Constant(millis(300)),
        image_bytes_per_second: 50_000_000,
        ..Timing::instant()
    };
    let mut w = World::new(config(), timing);
    w.pod("a", json!({"containers": [container("app", json!({}))]}));
    w.pod("b", json!({"containers": [container("app", json!({}))]}));
    w.run(secs(10));
    w.pod("c", json!({"containers": [container("app", json!({}))]}));
    w.run(secs(1));
    assert_eq!(
        w.events().into_iter().filter(|e| e.contains(" Pulled: ")).collect::<Vec<_>>(),
        [
            "2.3s Pulled: Successfully pulled image \"app:1\" in 2.3s (2.3s including waiting). \
             Image size: 100000000 bytes.",
            "2.6s Pulled: Successfully pulled image \"app:1\" in 300ms (2.6s including waiting). \
             Image size: 100000000 bytes.",
            "10s Pulled: Container image \"app:1\" already present on machine",
        ]
    );
}

#[test]
fn a_post_start_hook_delays_the_next_container() {
    let mut w = World::simple();
    let hook = json!({"lifecycle": {"postStart": {"sleep": {"seconds": 4}}}});
    w.pod("web", json!({"containers": [container("a", hook), container("b", json!({}))]}));
    w.run(secs(10));
    assert_eq!((w.times("a started"), w.times("b started")), (vec![0], vec![4]));
}
