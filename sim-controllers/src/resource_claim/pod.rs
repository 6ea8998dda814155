//! Claims that a pod lacks, and reservations that no scheduler makes for it (`syncPod`).

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodResourceClaim;
use serde_json::{Value, json};
use sim_core::api::error::{ApiError, Reason};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::{Body, Object};
use sim_core::api::request::{PodStatusPatch, Request};
use sim_core::features::FeatureGates;
use sim_core::syntax::go_quote;
use sim_core::time::Time;
use sim_dra::pod::{self as claims, Unnamed};
use smol_str::SmolStr;

use super::{Controller, generate, lacks_reservation};
use crate::machinery::cache::Caches;
use crate::machinery::fx::{Effect, Fx, Outcome, Own, Stop};
use crate::machinery::pod_control::create;

/// What a sync reads.
#[derive(Clone, Debug)]
pub struct Input {
    pod: Arc<Object>,
    features: FeatureGates,
    /// In the order of the pod's claims.
    known: Vec<Known>,
}

/// What is known of one of a pod's claims.
#[derive(Clone, Debug)]
struct Known {
    /// The object of the name that the pod's spec or status has.
    named: Option<Arc<Object>>,
    /// That one is the pod's.
    is_there: bool,
    /// The object that was made for it.
    made: Option<Arc<Object>>,
    template: Option<Arc<Object>>,
}

impl Input {
    pub(super) fn gather(
        controller: &mut Controller,
        caches: &Caches,
        pod: &Arc<Object>,
        now: Time,
    ) -> Input {
        let key = |name: &str| Key::new(pod.meta.key.namespace.clone(), name);
        let mut known = |claim: &PodResourceClaim| {
            let name = claims::claim_name(pod, claim).ok().flatten();
            let named = name.and_then(|(name, _)| caches.get(Kind::RESOURCE_CLAIM, &key(name))).cloned();
            let is_there = name.is_some_and(|(_, own)| {
                named.as_ref().is_some_and(|named| !own || claims::is_for(pod, named))
            });
            let template = claim.resource_claim_template_name.as_deref();
            Known {
                is_there,
                named,
                made: match is_there {
                    true => None,
                    false => controller.made_for(caches, pod, &claim.name, now),
                },
                template: template
                    .and_then(|name| caches.get(Kind::RESOURCE_CLAIM_TEMPLATE, &key(name)))
                    .cloned(),
            }
        };
        let known = claims::claims_of(pod).iter().map(&mut known).collect();
        Input { pod: pod.clone(), features: controller.features, known }
    }

    fn claims(&self) -> impl Iterator<Item = (&PodResourceClaim, &Known)> {
        claims::claims_of(&self.pod).iter().zip(&self.known)
    }
}

fn failure(text: String) -> Stop {
    Stop::Failed(ApiError::new(Reason::InternalError, text))
}

pub(super) fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
    let pod = &input.pod;
    let mut made = Vec::new();
    for (claim, known) in input.claims() {
        match provide(input, claim, known, fx) {
            Ok(name) => made.extend(name.map(|name| (SmolStr::new(&claim.name), Some(name)))),
            Err(Stop::Failed(error)) => {
                let text = format!("PodResourceClaim {}: {error}", claim.name);
                let stop = failure(format!("pod {}, {text}", pod.key()));
                fx.warning(pod, "FailedResourceClaimCreation", text);
                return Err(stop);
            }
            Err(waiting) => return Err(waiting),
        }
    }
    if !made.is_empty() {
        note(pod, made, fx)?;
    }
    if pod.as_pod().is_some_and(|pod| pod.node_name.is_empty()) {
        return Ok(());
    }
    reserve(input, fx)
}

/// Makes sure of one claim. Returns its name if the pod's status does not have it (`handleClaim`).
fn provide(
    input: &Input,
    claim: &PodResourceClaim,
    known: &Known,
    fx: &mut Fx<'_>,
) -> Result<Option<SmolStr>, Stop> {
    let pod = &input.pod;
    match claims::claim_name(pod, claim) {
        Err(Unnamed::NotCreated { .. }) => {}
        Err(error) => return Err(failure(format!("checking for claim before creating it: {error}"))),
        Ok(None) => return Ok(None),
        Ok(Some(_)) if known.is_there => return Ok(None),
        Ok(Some(_)) => {}
    }
    let Some(template) = &claim.resource_claim_template_name else { return Ok(None) };
    if let Some(made) = &known.made {
        return Ok(Some(made.meta.key.name.clone()));
    }
    let Some(found) = &known.template else {
        let name = go_quote(template);
        let missing = format!("resourceclaimtemplate.resource.k8s.io {name} not found");
        return Err(failure(format!("resource claim template {name}: {missing}")));
    };
    generate::check(found, input.features).map_err(|why| failure(why.to_owned()))?;
    let created = fx.call(|| create(generate::claim(pod, &claim.name, found)))?;
    // The name that upstream's text leaves room for is not known before.
    let created = created.map_err(|error| failure(format!("create ResourceClaim : {error}")))?;
    let name = created.meta.key.name.clone();
    fx.emit(Effect::Own(Own::ClaimMade(created)));
    Ok(Some(name))
}

/// Writes the names of claims into the pod's status.
// DIFFERS: upstream applies only the names that are new, so that the API server drops the others that it applied before. A
// pod with two generated claims of which a user deletes one would then lose one name with each write, for ever. Here the
// others stay.
fn note(pod: &Object, made: Vec<(SmolStr, Option<SmolStr>)>, fx: &mut Fx<'_>) -> Outcome {
    let patch = || PodStatusPatch { resource_claim_statuses: made, ..PodStatusPatch::default() };
    // As upstream: whatever pod has the name by now.
    let request =
        || Request::PatchPodStatus { key: pod.key().clone(), uid: Uid::default(), patch: Box::new(patch()) };
    match fx.call(request)? {
        Ok(_) => Ok(()),
        Err(error) => Err(failure(format!("update pod {} ResourceClaimStatuses: {error}", pod.key()))),
    }
}

/// For a pod that is bound already. The scheduler does it for those that it binds.
fn reserve(input: &Input, fx: &mut Fx<'_>) -> Outcome {
    let pod = &input.pod;
    for (claim, known) in input.claims() {
        let named = claims::claim_name(pod, claim).map_err(|error| failure(error.to_string()))?;
        let Some((_, own)) = named else { continue };
        let Some(found) = &known.named else { return Ok(()) };
        if own && !claims::is_for(pod, found) {
            let (claim, pod) = (found.key(), pod.key());
            return Err(failure(format!(
                "ResourceClaim {claim} was not created for pod {pod} (pod is not owner)"
            )));
        }
        if lacks_reservation(pod, found) {
            let answer = fx.call(|| Request::UpdateStatus(Box::new(reserved(found, pod))))?;
            answer.map_err(|error| {
                let text = format!("reserve claim {} for pod: {error}", found.key());
                Stop::Failed(ApiError::new(error.reason, text))
            })?;
        }
    }
    Ok(())
}

fn reserved(claim: &Object, pod: &Object) -> Object {
    let mut claim = claim.clone();
    let entry = json!({"resource": "pods", "name": pod.meta.name(), "uid": pod.meta.uid.to_string()});
    if let Body::Json(body) = &mut claim.body {
        let status = &mut Arc::make_mut(body)["status"];
        match &mut status["reservedFor"] {
            Value::Array(users) => users.push(entry),
            none => *none = json!([entry]),
        }
    }
    claim
}
