//! Counting and choosing pods.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSetSpec;
use sim_core::api::error::{ApiError, Reason};
use sim_core::api::meta::{Key, Meta, Uid};
use sim_core::api::object::{Body, Object, Pod, ReplicaSet};
use sim_core::api::pod_status::{ConditionStatus, PodCondition, PodPhase, PodStatus};
use sim_core::time::{Epoch, Time, secs};

use super::{calculate_status, pods_to_delete};
use crate::machinery::wire::wire;

fn pod(name: &str, node: &str, ready_at: Option<i64>) -> Arc<Object> {
    let mut status = PodStatus { phase: PodPhase::Running, ..PodStatus::default() };
    if let Some(at) = ready_at {
        status.conditions.push(PodCondition {
            kind: "Ready".into(),
            status: ConditionStatus::True,
            last_transition_time: Time::ZERO + secs(at),
            ..PodCondition::default()
        });
    }
    let body = Pod { node_name: node.into(), status: Arc::new(status), ..Pod::default() };
    let meta = Meta { uid: Uid::parse(name), ..Meta::named(Key::new("default", name)) };
    Arc::new(Object::new(meta, Body::Pod(body)))
}

fn set(replicas: i32, min_ready: i32) -> ReplicaSet {
    let spec = ReplicaSetSpec {
        replicas: Some(replicas),
        min_ready_seconds: Some(min_ready),
        ..ReplicaSetSpec::default()
    };
    ReplicaSet { spec: Arc::new(spec), status: Arc::default() }
}

#[test]
fn pods_become_available_after_min_ready_seconds() {
    let pods = [pod("a", "n", Some(0)), pod("b", "n", Some(8)), pod("c", "n", None)];
    for (now, available) in [(9, None), (10, Some(1)), (17, Some(1)), (18, Some(2))] {
        let now = Time::ZERO + secs(now);
        let status = calculate_status(&set(3, 10), &pods, None, None, now, wire(Epoch::default(), now));
        assert_eq!((status.replicas, status.ready_replicas), (3, Some(2)));
        assert_eq!(status.available_replicas, available, "at {now}");
    }
}

#[test]
fn a_failure_is_told_once_and_taken_back() {
    let error = ApiError::new(Reason::Forbidden, "exceeded quota");
    let now = wire(Epoch::default(), Time::ZERO);
    let failed = calculate_status(&set(2, 0), &[], None, Some(&error), Time::ZERO, now.clone());
    let condition = &failed.conditions.as_ref().expect("conditions")[0];
    assert_eq!(
        (condition.reason.as_deref(), condition.message.as_deref()),
        (Some("FailedCreate"), Some("exceeded quota"))
    );
    let again = ReplicaSet { status: Arc::new(failed), ..set(2, 0) };
    let other = ApiError::new(Reason::Forbidden, "something else");
    let still = calculate_status(&again, &[], None, Some(&other), Time::ZERO, now.clone());
    assert_eq!(still.conditions, again.status.conditions);
    assert_eq!(calculate_status(&again, &[], None, None, Time::ZERO, now).conditions, None);
}

#[test]
fn crowded_nodes_lose_pods_first() {
    let active = [pod("a", "n1", Some(0)), pod("b", "n2", Some(0)), pod("c", "n1", Some(0))];
    let mut related = active.to_vec();
    related.push(pod("other", "n2", Some(0)));
    related.push(pod("more", "n2", Some(0)));
    let victims = pods_to_delete(&active, &related, 1, Time::ZERO + secs(60));
    assert_eq!(victims[0].meta.name(), "b");
    assert_eq!(pods_to_delete(&active, &[], 3, Time::ZERO).len(), 3);
}
