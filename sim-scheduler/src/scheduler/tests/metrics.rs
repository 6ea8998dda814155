use super::*;
use crate::metrics::Sample;

/// Answers all bindings that were not answered yet: the pods are on their nodes.
fn confirm(world: &mut World, pods: &[&Object]) {
    for (name, node, tag) in world.bindings() {
        if let Some(pod) = pods.iter().find(|pod| pod.meta.name() == name) {
            let bound = on(pod, &node);
            world.see(ChangeKind::Modified, Some(pod), &bound);
            world.reply(tag, Ok(bound));
        }
    }
}

#[test]
fn attempts_are_counted_by_their_ends() {
    let mut world = World::new(Scheduler::default());
    world.add(&node("n").cpu("2").build());
    let (web, vast) = (pod("web").cpu("1").build(), pod("vast").cpu("64").build());
    world.add(&web);
    world.add(&vast);
    world.add(&pod("gated").with("schedulingGates", json!([{"name": "g"}])).build());
    world.run_until(Time::ZERO + secs(2));
    confirm(&mut world, &[&web]);
    let metrics = world.scheduler.metrics();
    for (name, labels, number) in [
        ("schedule_attempts_total", &[("profile", "default-scheduler"), ("result", "scheduled")][..], 1),
        ("schedule_attempts_total", &[("profile", "default-scheduler"), ("result", "unschedulable")], 1),
        ("schedule_attempts_total", &[("profile", "default-scheduler"), ("result", "error")], 0),
        (
            "scheduling_attempt_duration_seconds",
            &[("profile", "default-scheduler"), ("result", "scheduled")],
            1,
        ),
        ("scheduling_algorithm_duration_seconds", &[], 2),
        ("pod_scheduling_attempts", &[], 1),
        ("pod_scheduling_sli_duration_seconds", &[("attempts", "1")], 1),
        ("preemption_attempts_total", &[], 1),
        ("pending_pods", &[("queue", "active")], 0),
        ("pending_pods", &[("queue", "unschedulable")], 1),
        ("pending_pods", &[("queue", "gated")], 1),
        ("queue_incoming_pods_total", &[("event", "UnschedulablePodAdd"), ("queue", "active")], 2),
        ("queue_incoming_pods_total", &[("event", "ScheduleAttemptFailure"), ("queue", "unschedulable")], 1),
        ("unschedulable_pods", &[("plugin", "NodeResourcesFit"), ("profile", "default-scheduler")], 1),
        ("unschedulable_pods", &[("plugin", "SchedulingGates"), ("profile", "default-scheduler")], 1),
        ("cache_size", &[("type", "nodes")], 1),
        ("cache_size", &[("type", "pods")], 1),
        ("cache_size", &[("type", "assumed_pods")], 0),
    ] {
        assert_eq!(
            metrics.number(&format!("scheduler_{name}"), labels),
            number,
            "{name} {labels:?}\n{metrics}"
        );
    }
    // Taken from the queue, it is no unschedulable pod; refused again, it is one.
    world.add(
        &node("other").cpu("64").spec(json!({"taints": [{"key": "k", "effect": "NoSchedule"}]})).build(),
    );
    world.run_until(Time::ZERO + secs(20));
    let again = world.scheduler.metrics();
    for plugin in ["NodeResourcesFit", "TaintToleration"] {
        let labels = [("plugin", plugin), ("profile", "default-scheduler")];
        assert_eq!(again.number("scheduler_unschedulable_pods", &labels), 1, "{plugin}");
    }
    assert_eq!(again.number("scheduler_scheduling_algorithm_duration_seconds", &[]), 3);
}

#[test]
fn waiting_and_binding_take_their_time() {
    let profile = Profile::default_profile().with(plugin(Pair).reserve().permit());
    let mut world = World::new(Scheduler::new(vec![profile]));
    world.add(&node("n").build());
    let (one, two) = (pod("one").build(), pod("two").build());
    world.add(&one);
    world.run_until(Time::ZERO + secs(5));
    world.add(&two);
    world.run_until(Time::ZERO + secs(6));
    confirm(&mut world, &[&one, &two]);
    let metrics = world.scheduler.metrics();
    let family = metrics.family("scheduler_permit_wait_duration_seconds").expect("one waited");
    let Sample::Histogram { sum, count, .. } = family.series[0].value else { panic!("a histogram") };
    assert_eq!((sum, count, &family.series[0].labels[0].1[..]), (5.0, 1, "Success"));
    let family = metrics.family("scheduler_pod_scheduling_sli_duration_seconds").expect("two are bound");
    let text = family.to_string();
    for line in [
        "# HELP scheduler_pod_scheduling_sli_duration_seconds [BETA] E2e latency for a pod being scheduled, from the time \
         the pod enters the scheduling queue and might involve multiple scheduling attempts.\n\
         # TYPE scheduler_pod_scheduling_sli_duration_seconds histogram\n",
        "_bucket{attempts=\"1\",le=\"0.01\"} 0\n",
        "_bucket{attempts=\"1\",le=\"0.64\"} 0\n",
        "_bucket{attempts=\"1\",le=\"1.28\"} 1\n",
        "_bucket{attempts=\"1\",le=\"5.12\"} 1\n",
        "_bucket{attempts=\"1\",le=\"10.24\"} 2\n",
        "_bucket{attempts=\"1\",le=\"5242.88\"} 2\n",
        "_bucket{attempts=\"1\",le=\"+Inf\"} 2\n",
        "_sum{attempts=\"1\"} 7\nscheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"1\"} 2\n",
    ] {
        assert!(text.contains(line), "{text}\nlacks {line}");
    }
}

#[test]
fn victims_are_counted() {
    let mut world = World::new(Scheduler::default());
    world.add(&node("n").cpu("2").build());
    for name in ["a", "b"] {
        world.add(&on(&pod(name).cpu("1").build(), "n"));
    }
    world.add(&pod("urgent").cpu("2").with("priority", json!(10)).build());
    world.run_until(Time::ZERO);
    let metrics = world.scheduler.metrics();
    let family = metrics.family("scheduler_preemption_victims").expect("always there");
    let Sample::Histogram { sum, count, .. } = family.series[0].value else { panic!("a histogram") };
    assert_eq!((sum, count), (2.0, 1));
    let success = [("result", "success")];
    assert_eq!(metrics.number("scheduler_preemption_goroutines_execution_total", &success), 1);
}

/// What upstream registers always, and what of it is absent here on purpose: `docs/metrics.md` says why.
#[test]
fn absent_metrics_are_told() {
    let told = include_str!("../../../../docs/metrics.md");
    let names = world_names();
    for name in told.lines().filter_map(|line| line.strip_prefix("| `scheduler_")?.split('`').next()) {
        let name = format!("scheduler_{name}");
        assert!(!names.contains(&name), "{name} is told to be absent");
    }
    for name in names {
        assert!(told.contains(&format!("- `{name}")), "{name} is not told");
    }
}

fn world_names() -> Vec<String> {
    let profile = Profile::default_profile().with(plugin(Pair).reserve().permit());
    let mut world = World::new(Scheduler::new(vec![profile]));
    world.add(&node("n").cpu("2").build());
    let (one, two) = (pod("one").cpu("1").build(), pod("two").cpu("1").build());
    world.add(&one);
    world.add(&two);
    world.run_until(Time::ZERO);
    confirm(&mut world, &[&one, &two]);
    world.add(&pod("urgent").cpu("2").with("priority", json!(10)).build());
    world.run_until(Time::ZERO);
    // A pod on its way, for what is counted of those.
    world.add(&pod("last").build());
    let _ = world.scheduler.queue.pop();
    world.scheduler.metrics().families.iter().map(|family| family.name.to_owned()).collect()
}
