//! Stories of Deployments, and the invariants of a rollout.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use proptest::prelude::*;

use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta};
use sim_core::api::object::{Body, Deployment, Object};
use sim_core::api::request::Request;
use sim_core::time::{mins, secs};

use super::conditions::{self, PROGRESSING};
use super::util;
use crate::machinery::ranking;
use crate::testing::{Step, World, healthy};

fn template(image: &str) -> PodTemplateSpec {
    let container = Container { name: "c".into(), image: Some(image.into()), ..Container::default() };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some([("app".to_string(), "web".to_string())].into()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec { containers: vec![container], ..PodSpec::default() }),
    }
}

fn deployment(replicas: i32, surge: IntOrString, unavailable: IntOrString) -> Object {
    let rolling = RollingUpdateDeployment { max_surge: Some(surge), max_unavailable: Some(unavailable) };
    let spec = DeploymentSpec {
        replicas: Some(replicas),
        selector: LabelSelector {
            match_labels: Some([("app".to_string(), "web".to_string())].into()),
            ..LabelSelector::default()
        },
        strategy: Some(DeploymentStrategy {
            type_: Some("RollingUpdate".into()),
            rolling_update: Some(rolling),
        }),
        progress_deadline_seconds: Some(600),
        revision_history_limit: Some(10),
        template: template("app:v1"),
        ..DeploymentSpec::default()
    };
    let body = Deployment { spec: Arc::new(spec), status: Arc::default() };
    Object::new(Meta::named(Key::new("default", "web")), Body::Deployment(body))
}

fn edit(world: &mut World, change: impl FnOnce(&mut DeploymentSpec)) {
    world.edit(Kind::DEPLOYMENT, "web", |object| {
        let Body::Deployment(body) = &mut object.body else { return };
        change(Arc::make_mut(&mut body.spec));
    });
}

fn ready_pods(world: &World) -> i32 {
    world.pods().iter().filter(|p| ranking::is_active(p) && p.as_pod().is_some_and(ranking::is_ready)).count()
        as i32
}

/// What must hold at every instant of a rollout of "web".
fn within_the_fenceposts(world: &World) {
    let Some(web) = world.get(Kind::DEPLOYMENT, "web") else { return };
    let spec = &web.as_deployment().expect("a deployment").spec;
    let wanted: i32 = world.list(Kind::REPLICA_SET).map(|s| util::size(s)).sum();
    let limit = util::replicas(spec) + util::max_surge(spec);
    assert!(wanted <= limit, "{wanted} > {limit} at {}", world.now);
}

fn rolled_out(world: &World) -> bool {
    let web = world.get(Kind::DEPLOYMENT, "web").expect("there");
    let body = web.as_deployment().expect("a deployment");
    util::is_complete(&body.spec, web.meta.generation, &body.status)
}

#[test]
fn a_rollout_stays_within_its_fenceposts_and_completes() {
    let mut world = World::new(healthy);
    world.create(deployment(10, IntOrString::String("25%".into()), IntOrString::String("25%".into())));
    world.run_for(mins(1));
    assert!(rolled_out(&world));
    let spec = &world.pods()[0].as_pod().expect("a pod").spec;
    assert!(
        world.pods().iter().all(|p| Arc::ptr_eq(&p.as_pod().expect("a pod").spec, spec)),
        "replicas share one spec"
    );

    world.watcher = |world| {
        within_the_fenceposts(world);
        assert!(ready_pods(world) >= 8, "{} ready at {}", ready_pods(world), world.now);
    };
    edit(&mut world, |spec| spec.template = template("app:v2"));
    world.run_for(mins(5));
    assert!(rolled_out(&world));
    assert_eq!(world.pods().len(), 10);
    let web = world.get(Kind::DEPLOYMENT, "web").expect("there");
    assert_eq!(web.meta.annotation(util::REVISION), Some("2"));
    let status = &web.as_deployment().expect("a deployment").status;
    assert_eq!(conditions::reason(status, PROGRESSING), "NewReplicaSetAvailable");
    assert_eq!(world.list(Kind::REPLICA_SET).count(), 2);
}

#[test]
fn recreate_has_no_old_pod_beside_a_new_one() {
    let mut world = World::new(healthy);
    let mut web = deployment(4, IntOrString::Int(1), IntOrString::Int(0));
    if let Body::Deployment(body) = &mut web.body {
        Arc::make_mut(&mut body.spec).strategy =
            Some(DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None });
    }
    world.create(web);
    world.run_for(mins(1));
    assert!(rolled_out(&world));
    world.watcher = |world| {
        let hashes: std::collections::BTreeSet<_> = world
            .pods()
            .iter()
            .filter_map(|p| p.meta.label(util::POD_TEMPLATE_HASH))
            .map(String::from)
            .collect();
        assert!(hashes.len() <= 1, "{hashes:?} at {}", world.now);
    };
    edit(&mut world, |spec| spec.template = template("app:v2"));
    world.run_for(mins(2));
    assert!(rolled_out(&world));
}

#[test]
fn a_stuck_rollout_misses_its_deadline_and_an_undo_ends_it() {
    let mut world = World::new(|pod| {
        let bad = pod.as_pod().is_some_and(|p| p.spec.containers[0].image.as_deref() == Some("app:bad"));
        if bad && !pod.meta.is_deleting() { vec![(1, Step::Run)] } else { healthy(pod) }
    });
    world.create(deployment(3, IntOrString::Int(1), IntOrString::Int(0)));
    world.run_for(mins(1));
    edit(&mut world, |spec| {
        spec.template = template("app:bad");
        spec.progress_deadline_seconds = Some(30);
    });
    world.watcher = |world| assert!(ready_pods(world) >= 3);
    world.run_for(mins(2));
    let reason = |world: &World| {
        let web = world.get(Kind::DEPLOYMENT, "web").expect("there");
        conditions::reason(&web.as_deployment().expect("a deployment").status, PROGRESSING).to_string()
    };
    assert_eq!(reason(&world), "ProgressDeadlineExceeded");
    edit(&mut world, |spec| spec.template = template("app:v1"));
    world.run_for(mins(2));
    assert!(rolled_out(&world));
    assert_eq!(reason(&world), "NewReplicaSetAvailable");
    assert_eq!(world.list(Kind::REPLICA_SET).count(), 2, "the old ReplicaSet is used again");
}

#[test]
fn deleting_a_deployment_takes_replica_sets_and_pods_along() {
    for propagation in
        [sim_core::api::request::Propagation::Background, sim_core::api::request::Propagation::Foreground]
    {
        let mut world = World::new(healthy);
        world.create(deployment(3, IntOrString::Int(1), IntOrString::Int(0)));
        world.run_for(mins(1));
        let options = sim_core::api::request::DeleteOptions { propagation, ..Default::default() };
        let key = Key::new("default", "web");
        world.user(Request::Delete { kind: Kind::DEPLOYMENT, key, options }).expect("deleted");
        world.run_for(mins(1));
        assert!(world.objects.is_empty(), "{propagation:?}: {:?}", world.objects.keys().collect::<Vec<_>>());
    }
}

#[test]
fn orphaned_pods_are_adopted_and_relabelled_ones_released() {
    let mut world = World::new(healthy);
    world.create(deployment(2, IntOrString::Int(1), IntOrString::Int(0)));
    world.run_for(mins(1));
    let name = world.pods()[0].meta.key.name.clone();
    world.edit(Kind::POD, &name, |pod| {
        pod.meta.labels = Arc::new([("app".to_string(), "debug".to_string())].into());
    });
    world.run_for(mins(1));
    assert_eq!(world.pods().len(), 3);
    assert!(world.get(Kind::POD, &name).expect("there").meta.owner_references.is_empty());
    let labels = world.list(Kind::REPLICA_SET).next().expect("there").meta.labels.clone();
    world.edit(Kind::POD, &name, |pod| pod.meta.labels = labels);
    world.run_for(mins(1));
    assert_eq!(world.pods().len(), 2, "adopted, and then one too many");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens on the way, nothing is created above the surge, and the rollout ends.
    #[test]
    fn rollouts_converge(
        replicas in 0..8i32,
        surge in 0..4i32,
        unavailable in 0..4i32,
        conflict_every in prop_oneof![Just(0u64), 3..9u64],
        // A second apart: within one watch delay a sync may not see what the one before it created, here as upstream.
        edits in proptest::collection::vec((0..3u8, 1..6i64, 0..8i32), 0..5),
    ) {
        let mut world = World::new(healthy);
        world.conflict_every = conflict_every;
        world.create(deployment(replicas, IntOrString::Int(surge), IntOrString::Int(unavailable)));
        let mut resized = false;
        for (image, seconds, size) in edits {
            world.run_for(secs(seconds));
            edit(&mut world, |spec| spec.template = template(&format!("app:v{image}")));
            if size > 5 {
                resized = true;
                edit(&mut world, |spec| spec.replicas = Some(size));
            }
            if !resized {
                // A smaller size makes the old sets too large for a moment; nothing else may.
                world.watcher = within_the_fenceposts;
            } else {
                world.watcher = |_| ();
            }
        }
        world.run_for(mins(10));
        prop_assert!(rolled_out(&world));
        let web = world.get(Kind::DEPLOYMENT, "web").expect("there").as_deployment().expect("a deployment");
        prop_assert_eq!(world.pods().len() as i32, util::replicas(&web.spec));
    }
}
