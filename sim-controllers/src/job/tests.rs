//! Stories of Jobs.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::{
    JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule, SuccessPolicy,
    SuccessPolicyRule,
};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use proptest::prelude::*;

use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::{Body, Job, Object};
use sim_core::api::request::{DeleteOptions, Request};
use sim_core::time::{mins, secs};

use super::conditions;
use super::pods;
use crate::testing::{Life, Step, World};

fn labels() -> std::collections::BTreeMap<String, String> {
    [("batch.kubernetes.io/controller-uid".to_string(), "j".to_string())].into()
}

fn job(parallelism: i32, completions: Option<i32>, change: impl FnOnce(&mut JobSpec)) -> Object {
    let container = Container { name: "c".into(), image: Some("job:v1".into()), ..Container::default() };
    let mut spec = JobSpec {
        parallelism: Some(parallelism),
        completions,
        backoff_limit: Some(6),
        completion_mode: Some("NonIndexed".into()),
        selector: Some(LabelSelector { match_labels: Some(labels()), ..LabelSelector::default() }),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(labels()), ..ObjectMeta::default() }),
            spec: Some(PodSpec {
                containers: vec![container],
                restart_policy: Some("Never".into()),
                ..PodSpec::default()
            }),
        },
        ..JobSpec::default()
    };
    change(&mut spec);
    let body = Job { spec: Arc::new(spec), status: Arc::default() };
    Object::new(Meta::named(Key::new("default", "j")), Body::Job(body))
}

fn the_job(world: &World) -> &Job {
    world.get(Kind::JOB, "j").and_then(|o| o.as_job()).expect("the job")
}

/// Terminal condition with its reason, and the counts.
fn end(world: &World) -> (String, i32, i32) {
    let status = &the_job(world).status;
    let condition = conditions::finished(status);
    let text =
        condition.map_or(String::new(), |c| format!("{} {}", c.type_, c.reason.as_deref().unwrap_or("")));
    (text, status.succeeded.unwrap_or(0), status.failed.unwrap_or(0))
}

fn ends_with(code: i32) -> Vec<(i64, Step)> {
    vec![(1, Step::Run), (2, Step::Ready), (5, Step::Exit(code))]
}

fn succeed(pod: &Object) -> Vec<(i64, Step)> {
    if pod.meta.is_deleting() { vec![(1, Step::Vanish)] } else { ends_with(0) }
}

fn fail(pod: &Object) -> Vec<(i64, Step)> {
    if pod.meta.is_deleting() { vec![(1, Step::Vanish)] } else { ends_with(1) }
}

fn hang(pod: &Object) -> Vec<(i64, Step)> {
    if pod.meta.is_deleting() { vec![(1, Step::Vanish)] } else { vec![(1, Step::Run), (2, Step::Ready)] }
}

fn fail_odd_indexes(pod: &Object) -> Vec<(i64, Step)> {
    let odd = pods::index(pod).is_some_and(|i| i % 2 == 1);
    if odd { fail(pod) } else { succeed(pod) }
}

#[test]
fn how_jobs_end() {
    let indexed = |spec: &mut JobSpec| spec.completion_mode = Some("Indexed".into());
    type Row = (&'static str, Object, Life, i64, (&'static str, i32, i32));
    let rows: Vec<Row> = vec![
        ("all succeed", job(2, Some(5), |_| ()), succeed, 60, ("Complete CompletionsReached", 5, 0)),
        ("indexed", job(3, Some(4), indexed), succeed, 60, ("Complete CompletionsReached", 4, 0)),
        ("work queue", job(3, None, |_| ()), succeed, 60, ("Complete CompletionsReached", 3, 0)),
        ("nothing to do", job(3, Some(0), |_| ()), succeed, 60, ("Complete CompletionsReached", 0, 0)),
        (
            "back-off limit",
            job(1, Some(1), |s| s.backoff_limit = Some(2)),
            fail,
            300,
            ("Failed BackoffLimitExceeded", 0, 3),
        ),
        (
            "deadline",
            job(2, Some(2), |s| s.active_deadline_seconds = Some(20)),
            hang,
            60,
            ("Failed DeadlineExceeded", 0, 2),
        ),
        (
            "FailJob",
            job(2, Some(2), |s| {
                let codes = PodFailurePolicyOnExitCodesRequirement {
                    container_name: None,
                    operator: "In".into(),
                    values: vec![1],
                };
                let rule = PodFailurePolicyRule {
                    action: "FailJob".into(),
                    on_exit_codes: Some(codes),
                    on_pod_conditions: None,
                };
                s.pod_failure_policy = Some(PodFailurePolicy { rules: vec![rule] });
            }),
            fail,
            60,
            ("Failed PodFailurePolicy", 0, 2),
        ),
        (
            "indexes fail on their own",
            job(4, Some(4), |s| {
                indexed(s);
                s.backoff_limit = Some(i32::MAX);
                s.backoff_limit_per_index = Some(1);
            }),
            fail_odd_indexes,
            300,
            ("Failed FailedIndexes", 2, 4),
        ),
        (
            "successPolicy",
            job(4, Some(4), |s| {
                indexed(s);
                let rule = SuccessPolicyRule { succeeded_indexes: Some("0".into()), succeeded_count: None };
                s.success_policy = Some(SuccessPolicy { rules: vec![rule] });
            }),
            fail_odd_indexes,
            60,
            ("Complete SuccessPolicy", 2, 2),
        ),
    ];
    for (name, object, life, seconds, (text, succeeded, failed)) in rows {
        let mut world = World::new(life);
        world.create(object);
        world.run_for(secs(seconds));
        assert_eq!(end(&world), (text.to_string(), succeeded, failed), "{name}");
        assert!(world.pods().iter().all(|p| !pods::is_tracked(p)), "{name}: every pod is counted");
        let left = the_job(&world).status.active;
        assert_eq!(left, None, "{name}");
    }
}

#[test]
fn retries_wait_longer_each_time() {
    let mut world = World::new(fail);
    world.create(job(1, Some(1), |s| s.backoff_limit = Some(3)));
    world.run_for(mins(5));
    let starts: Vec<i64> = world.pods().iter().map(|p| p.meta.creation_timestamp.as_secs()).collect();
    let gaps: Vec<i64> = starts.windows(2).map(|w| w[1] - w[0] - 5).collect();
    assert_eq!(gaps, [10, 20, 40]);
}

#[test]
fn a_suspended_job_keeps_no_pod_and_starts_anew() {
    let mut world = World::new(hang);
    world.create(job(2, Some(2), |s| s.active_deadline_seconds = Some(100)));
    world.run_for(secs(20));
    assert_eq!(world.pods().len(), 2);
    let suspend = |world: &mut World, value| {
        world.edit(Kind::JOB, "j", |o| {
            if let Body::Job(body) = &mut o.body {
                Arc::make_mut(&mut body.spec).suspend = Some(value);
            }
        });
    };
    suspend(&mut world, true);
    world.run_for(secs(40));
    assert!(world.pods().is_empty());
    assert!(conditions::is_true(&the_job(&world).status, conditions::SUSPENDED).is_some());
    assert_eq!(end(&world), (String::new(), 0, 0), "suspension is no failure");
    suspend(&mut world, false);
    world.run_for(secs(90));
    assert_eq!(
        (world.pods().len(), end(&world).0),
        (2, String::new()),
        "the deadline counts from the resume"
    );
}

#[test]
fn a_finished_job_goes_after_its_time_to_live() {
    let mut world = World::new(succeed);
    world.create(job(1, Some(1), |s| s.ttl_seconds_after_finished = Some(30)));
    world.run_for(secs(20));
    assert_eq!(end(&world).0, "Complete CompletionsReached");
    world.run_for(secs(60));
    assert!(world.objects.is_empty(), "{:?}", world.objects.keys().collect::<Vec<_>>());
}

#[test]
fn a_deleted_job_takes_its_pods_along_finalizers_and_all() {
    let mut world = World::new(hang);
    world.create(job(3, Some(3), |_| ()));
    world.run_for(secs(20));
    let key = Key::new("default", "j");
    world.user(Request::Delete { kind: Kind::JOB, key, options: DeleteOptions::default() }).expect("deleted");
    world.run_for(secs(20));
    assert!(world.objects.is_empty(), "{:?}", world.objects.keys().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// No pod is lost and none is counted twice, whatever request is refused on the way.
    #[test]
    fn every_pod_is_counted_once(
        parallelism in 1..6i32,
        completions in 1..12i32,
        indexed in any::<bool>(),
        conflict_every in prop_oneof![Just(0u64), 2..9u64],
    ) {
        let mut world = World::new(succeed);
        world.conflict_every = conflict_every;
        world.create(job(parallelism, Some(completions), |s| {
            if indexed {
                s.completion_mode = Some("Indexed".into());
            }
        }));
        world.run_for(mins(60));
        prop_assert_eq!(end(&world), ("Complete CompletionsReached".to_string(), completions, 0));
        let succeeded = world.pods().iter().filter(|p| pods::phase(p) == sim_core::api::pod_status::PodPhase::Succeeded).count();
        prop_assert_eq!(succeeded as i32, completions);
    }
}
