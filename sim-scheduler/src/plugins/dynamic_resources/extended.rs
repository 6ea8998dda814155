//! Extended resources that mean a DeviceClass (KEP-5004): devices for them are claimed by a claim of the scheduler's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta, OwnerReference, Uid};
use sim_core::api::object::{Body, Object};
use sim_core::features::Gate;
use sim_core::quantity::Quantity;
use sim_dra::api::ResourceClaim;
use smol_str::{SmolStr, format_smolstr};

use super::{claim, unresolvable};
use crate::cache::Objects;
use crate::framework::{Attempt, Status};
use crate::node::NodeInfo;
use crate::resources::is_extended;

/// The name of the claim while it is only in memory: none that an object can have.
const IN_MEMORY: SmolStr = SmolStr::new_static("<extended-resources>");
const ANNOTATION: &str = "resource.kubernetes.io/extended-resource-claim";

/// The class of each extended resource (`DeviceClassMapping`). Of several classes for one, the last by name counts; upstream leaves that
/// open.
pub(crate) fn device_class_mapping(objects: &Objects) -> BTreeMap<SmolStr, SmolStr> {
    let of = |class: &Arc<Object>| {
        let name = &class.key().name;
        let given = class.as_json().and_then(|body| body.pointer("/spec/extendedResourceName")?.as_str());
        let resource = match given {
            Some(given) => SmolStr::new(given),
            None => format_smolstr!("deviceclass.resource.kubernetes.io/{name}"),
        };
        (resource, name.clone())
    };
    objects.list(Kind::DEVICE_CLASS).map(of).collect()
}

/// What a pod's claim for extended resources is made from.
#[derive(Clone, Debug)]
pub(super) struct Extended {
    classes: BTreeMap<SmolStr, SmolStr>,
    /// The pod's own claims that have no devices.
    pub(super) wanted: Vec<Arc<ResourceClaim>>,
}

/// True if the object is the claim in memory.
pub(super) fn is_in_memory(claim: &Object) -> bool {
    claim.meta.key.name == IN_MEMORY
}

/// The claim for the pod's extended resources, one from an earlier attempt if there is one, and the classes; `None` if it needs none
/// (`preFilterExtendedResources`).
pub(super) fn claim_of(attempt: &Attempt<'_>) -> Option<(Arc<Object>, Extended)> {
    let objects = attempt.cluster.objects();
    let mut asked =
        attempt.pod.requests.scalars.iter().filter(|(name, amount)| *amount != 0 && is_extended(name));
    if !objects.features().on(Gate::DRAExtendedResource) || asked.clone().next().is_none() {
        return None;
    }
    let classes = device_class_mapping(objects);
    asked.find(|(name, _)| classes.contains_key(name.as_str()))?;
    let pod = attempt.object;
    let mine = |claim: &&Arc<Object>| {
        claim.meta.annotations.get(ANNOTATION).is_some_and(|value| value == "true")
            && claim
                .meta
                .owner_references
                .iter()
                .any(|o| o.controller && o.uid == pod.meta.uid && o.name == pod.meta.name())
    };
    let left = objects.in_namespace(Kind::RESOURCE_CLAIM, pod.meta.namespace()).find(mine).cloned();
    let claim = left.unwrap_or_else(|| Arc::new(fresh(attempt)));
    Some((claim, Extended { classes, wanted: Vec::new() }))
}

/// The claim without requests: which there are depends on the node.
// DIFFERS: upstream draws its uid at random; here it follows from pod and time.
fn fresh(attempt: &Attempt<'_>) -> Object {
    let pod = &attempt.object.meta;
    let mut meta = Meta::named(Key::new(pod.key.namespace.clone(), IN_MEMORY));
    meta.uid = Uid::parse(&format!("extended resources of {} at {}", pod.uid, attempt.now.0));
    meta.generate_name = format_smolstr!("{}-extended-resources-", pod.name());
    meta.annotations = Arc::new([(ANNOTATION.to_owned(), "true".to_owned())].into());
    meta.owner_references.push(OwnerReference {
        api_version: SmolStr::new_static("v1"),
        kind: SmolStr::new_static("Pod"),
        name: pod.key.name.clone(),
        uid: pod.uid,
        controller: true,
        block_owner_deletion: true,
    });
    Object::json(Kind::RESOURCE_CLAIM, meta, json!({"spec": {}}))
}

impl Extended {
    /// The claim as a node would have to meet it; `None` if nothing is left to do there (`filterExtendedResources`).
    ///
    /// # Errors
    /// The pod does not fit the node.
    pub(super) fn on(
        &self,
        claim: &Object,
        alone: bool,
        attempt: &Attempt<'_>,
        node: &NodeInfo,
    ) -> Result<Option<Object>, Status> {
        if claim::at(claim, "/spec/devices/requests").is_some() {
            return Err(unresolvable("cannot schedule extended resource claim"));
        }
        let mut any = false;
        let mut resources = Vec::new();
        for (name, amount) in &attempt.pod.requests.scalars {
            if !is_extended(name) || *amount == 0 {
                continue;
            }
            let by_plugin = node.allocatable.scalars.iter().any(|(known, _)| known == name);
            match self.classes.get(name.as_str()) {
                Some(class) => {
                    any |= !by_plugin;
                    resources.push((name.as_str(), class));
                }
                None if !by_plugin => return Err(unresolvable("cannot fit resource")),
                None => {}
            }
        }
        if alone && !any {
            return Ok(None);
        }
        let mut claim = claim.clone();
        if let Body::Json(body) = &mut claim.body {
            *body =
                Arc::new(json!({"spec": {"devices": {"requests": requests(attempt.object, &resources)}}}));
        }
        Ok(Some(claim))
    }
}

/// Init containers, then the others, each with its number.
fn containers(pod: &Object) -> impl Iterator<Item = (usize, &Container)> {
    let spec = pod.as_pod().map(|pod| &pod.spec);
    let all = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    all.enumerate()
}

/// Requests of a container by name of the resource, in order.
fn requests_of(container: &Container) -> impl Iterator<Item = (usize, (&String, Option<i64>))> {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let amount = |text: &str| Quantity::parse(text).ok()?.as_int64();
    requests.into_iter().flatten().map(move |(name, quantity)| (name, amount(&quantity.0))).enumerate()
}

/// One request per resource and container (`createDeviceRequests`). Upstream takes the resources in any order; here it is that of names.
// As upstream, resources that the node's device plugin provides are asked for, too, once there is a claim at all.
fn requests(pod: &Object, resources: &[(&str, &SmolStr)]) -> Vec<Value> {
    let mut all = Vec::new();
    for (resource, class) in resources {
        for (i, container) in containers(pod) {
            let Some((j, (_, Some(count)))) = requests_of(container).find(|(_, (name, _))| name == resource)
            else {
                continue;
            };
            if count != 0 && !class.is_empty() {
                all.push(json!({"name": format!("container-{i}-request-{j}"), "exactly": {
                    "deviceClassName": class.as_str(), "allocationMode": "ExactCount", "count": count}}));
            }
        }
    }
    all
}

/// `status.extendedResourceClaimStatus` of the pod (`createRequestMappings`).
pub(super) fn status(pod: &Object, claim: &Object) -> Value {
    let requests = claim::at(claim, "/spec/devices/requests").and_then(Value::as_array);
    let names: Vec<&str> =
        requests.into_iter().flatten().filter_map(|request| request["name"].as_str()).collect();
    let mut mappings = Vec::new();
    for (i, container) in containers(pod) {
        for (j, (resource, _)) in requests_of(container) {
            let request = format!("container-{i}-request-{j}");
            if names.contains(&request.as_str()) {
                mappings.push(json!({"containerName": container.name, "resourceName": resource, "requestName": request}));
            }
        }
    }
    json!({"requestMappings": mappings, "resourceClaimName": claim.meta.name()})
}
