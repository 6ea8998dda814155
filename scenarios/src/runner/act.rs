//! What a plan does to the cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use sim_cluster::Cluster;
use sim_core::api::error::{ApiError, Reason};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::{Body, Object};
use sim_core::api::patch::Patch;
use sim_core::api::request::{DeleteOptions, Propagation, Request};
use sim_core::engine::log::{Keep, Record};
use sim_core::load::{LoadError, LoadErrors};

use sim_kubelet::fleet::{Fault, Trouble};
use smol_str::SmolStr;

use crate::format::{
    Cascade, DeleteStep, DeviceEffect, FailDeviceStep, FailPrepareStep, PatchStep, PatchType,
};
use crate::plan::{Do, Placed, Plan};

use super::unmodelled;

/// The cluster of a plan at instant zero, with everything that is there from the start.
///
/// # Errors
/// What the API server refuses: the input is wrong.
pub(super) fn cluster_of(plan: &Plan) -> Result<Cluster, LoadErrors> {
    let mut builder = Cluster::builder();
    if let Some(config) = &plan.scheduler_config {
        builder = builder.scheduler(plan.extenders.scheduler(config)?);
    }
    let mut cluster = builder
        .seed(plan.seed)
        .epoch(plan.epoch)
        .timing(plan.timing.clone())
        .strict_namespaces(plan.strict_namespaces)
        .features(plan.features)
        .behaviors(plan.behaviors.clone())
        .drivers(plan.drivers.clone())
        .keep_log(Keep::Records)
        .build();
    cluster.api_mut().kinds = plan.kinds.clone();
    let mut errors = Vec::new();
    for node in &plan.nodes {
        if let Err(error) = cluster.try_create(node.clone()) {
            errors.push(LoadError::new(format!("node {}: {error}", node.meta.name())));
        }
    }
    for class in &plan.device_classes {
        if let Err(error) = cluster.try_create(class.clone()) {
            errors.push(LoadError::new(format!("device class {}: {error}", class.meta.name())));
        }
    }
    let present: BTreeSet<Uid> = plan.dump.iter().map(|placed| placed.object.meta.uid).collect();
    let mut cut_loose = 0;
    for placed in &plan.dump {
        // Every cluster comes with a few objects, and so does every dump.
        let built_in = matches!(placed.object.kind, Kind::NAMESPACE | Kind::PRIORITY_CLASS);
        if built_in && cluster.get(placed.object.kind, placed.object.key()).is_some() {
            continue;
        }
        let mut object = placed.object.clone();
        cut_loose += usize::from(cut_absent_owners(&mut object, &present));
        if let Err(error) = cluster.import(object) {
            errors.push(refused(placed, &error));
        }
    }
    if cut_loose > 0 {
        let text = format!(
            "{cut_loose} objects of the dump have owners that are not in it: they stand alone from now on"
        );
        cluster.api_mut().add_notice(text);
    }
    for placed in &plan.manifests {
        if let Err(error) = cluster.apply(placed.object.clone()) {
            errors.push(refused(placed, &error));
        }
    }
    let given = plan.dump.iter().chain(&plan.manifests);
    let unmodelled: BTreeSet<String> = given.flat_map(|placed| unmodelled::notices(&placed.object)).collect();
    for text in unmodelled {
        cluster.api_mut().add_notice(text);
    }
    if errors.is_empty() { Ok(cluster) } else { Err(LoadErrors(errors)) }
}

/// Takes away owners that a dump does not have. True if there were any.
// DIFFERS: to a garbage collector an owner that is not there is gone, and its dependents go too. A dump of nodes and pods
// says nothing of the workloads that own the pods, and a start state must not begin with deleting itself.
fn cut_absent_owners(object: &mut Object, present: &BTreeSet<Uid>) -> bool {
    let before = object.meta.owner_references.len();
    object.meta.owner_references.retain(|owner| present.contains(&owner.uid));
    object.meta.owner_references.len() < before
}

fn refused(placed: &Placed, error: &ApiError) -> LoadError {
    let made = LoadError::new(error.to_string());
    match &placed.place {
        Some(place) => made.with_place(place.clone()),
        None => made,
    }
}

/// Does one step. The text says what was done; an error is the API server's answer, and is data: the run goes on.
pub(super) fn act(cluster: &mut Cluster, plan: &Plan, action: &Do) -> (String, Result<(), ApiError>) {
    match action {
        Do::Apply(placed) => {
            let text = format!("apply {}", name_of(&placed.object));
            (text, cluster.apply(placed.object.clone()).map(drop))
        }
        Do::Join(node) => {
            (format!("join node/{}", node.meta.name()), cluster.try_create(Object::clone(node)).map(drop))
        }
        Do::Leave(node) => {
            let result = cluster.delete(Kind::NODE, &Key::cluster(node.as_str())).map(drop);
            (format!("leave node/{node}"), result)
        }
        Do::RestartKubelet(node) => {
            (format!("restart kubelet of node/{node}"), cluster.restart_kubelet(node).map_err(not_found))
        }
        Do::FailDevice(step) => {
            (format!("fail device {} of node/{}", step.device, step.node), fail_device(cluster, step))
        }
        Do::RepairDevice(step) => {
            let result = cluster.repair_device(&step.node, &step.device, step.replaced);
            let verb = if step.replaced { "replace" } else { "repair" };
            (format!("{verb} device {} of node/{}", step.device, step.node), result.map_err(not_found))
        }
        Do::FailPrepare(step) => {
            (format!("fail prepare of {} on node/{}", step.driver, step.node), fail_prepare(cluster, step))
        }
        Do::Delete(step) => (format!("delete {}", step.target), delete(cluster, step)),
        Do::Scale(step) => {
            let replicas = i32::try_from(step.replicas).unwrap_or(i32::MAX);
            let result = cluster.scale(step.target.kind, &step.target.key, replicas).map(drop);
            (format!("scale {} to {replicas}", step.target), result)
        }
        Do::Patch(step) => (format!("patch {}", step.target), patched(cluster, step)),
        Do::Cordon(node, on) => {
            let verb = if *on { "cordon" } else { "uncordon" };
            (format!("{verb} node/{node}"), cordon(cluster, node, *on))
        }
        Do::Arrive { trace, row } => {
            let found = plan.traces.get(*trace as usize).and_then(|t| Some((t, t.rows.get(*row as usize)?)));
            let pod = found.and_then(|(trace, row)| trace.pod(row));
            (String::new(), pod.map_or(Ok(()), |pod| cluster.try_create(pod).map(drop)))
        }
        Do::Depart { trace, row } => {
            let found = plan.traces.get(*trace as usize).and_then(|t| Some((t, t.rows.get(*row as usize)?)));
            let Some((trace, row)) = found else { return (String::new(), Ok(())) };
            let key = Key { namespace: trace.namespace.clone(), name: row.name.clone() };
            (String::new(), cluster.delete(Kind::POD, &key).map(drop))
        }
    }
}

fn not_found(text: SmolStr) -> ApiError {
    ApiError::new(Reason::NotFound, text)
}

fn fail_device(cluster: &mut Cluster, step: &FailDeviceStep) -> Result<(), ApiError> {
    let effect = match step.effect {
        DeviceEffect::NoExecute => "NoExecute",
        DeviceEffect::NoSchedule => "NoSchedule",
        DeviceEffect::Gone => "",
    };
    let (key, value) = (step.key.as_str().into(), step.value.as_str().into());
    let taint = Trouble::Taint { key, value, effect: SmolStr::new_static(effect) };
    let trouble = if effect.is_empty() { Trouble::Gone } else { taint };
    cluster.fail_device(&step.node, &step.device, trouble).map_err(not_found)
}

fn fail_prepare(cluster: &mut Cluster, step: &FailPrepareStep) -> Result<(), ApiError> {
    let fault = Fault { times: step.times, error: step.error.as_str().into() };
    let fault = Some(fault).filter(|fault| fault.times != Some(0));
    cluster.fail_prepare(&step.node, &step.driver, fault).map_err(not_found)
}

fn patched(cluster: &mut Cluster, step: &PatchStep) -> Result<(), ApiError> {
    let kind_of_patch = match step.patch_type {
        PatchType::Strategic => "strategic",
        PatchType::Merge => "merge",
        PatchType::Json => "json",
    };
    let patch = Patch::parse(kind_of_patch, &step.patch.to_string())?;
    let (kind, key) = (step.target.kind, step.target.key.clone());
    cluster.request(Request::Patch { kind, key, patch: Box::new(patch) }).map(drop)
}

fn delete(cluster: &mut Cluster, step: &DeleteStep) -> Result<(), ApiError> {
    let options = DeleteOptions {
        grace_period_seconds: step.grace_period_seconds.map(i64::from),
        propagation: match step.propagation {
            Cascade::Background => Propagation::Background,
            Cascade::Foreground => Propagation::Foreground,
            Cascade::Orphan => Propagation::Orphan,
        },
        ..DeleteOptions::default()
    };
    let (kind, key) = (step.target.kind, step.target.key.clone());
    cluster.request(Request::Delete { kind, key, options }).map(drop)
}

fn cordon(cluster: &mut Cluster, node: &str, on: bool) -> Result<(), ApiError> {
    let object = cluster.api().get(Kind::NODE, &Key::cluster(node))?;
    let mut object = Object::clone(&object);
    if let Body::Node(node) = &mut object.body {
        Arc::make_mut(&mut node.spec).unschedulable = on.then_some(true);
    }
    object.meta.resource_version = 0;
    cluster.request(Request::Update(Box::new(object))).map(drop)
}

fn name_of(object: &Object) -> String {
    format!("{}/{}", object.kind.builtin_name().unwrap_or("object").to_lowercase(), object.key())
}

/// Writes a line about the plan into the log.
pub(super) fn note(cluster: &mut Cluster, text: &str) {
    let now = cluster.now();
    cluster.log_mut().append(now, Record::Note { by: "timeline", text });
}
