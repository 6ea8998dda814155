//! Creating and deleting pods, with their Events (`controller.RealPodControl`), and slow-start batches.

use std::sync::Arc;

use sim_core::api::error::{ApiError, Reason};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Meta, OwnerReference, Uid};
use sim_core::api::object::{Body, Object, Pod};
use sim_core::api::request::{DeleteOptions, Request};
use smol_str::SmolStr;

use super::fx::{Answer, Effect, Fx, Stop};
use super::templates::Template;

/// The reference of the managing owner (`metav1.NewControllerRef`).
pub fn controller_ref(owner: &Object, api_version: &'static str) -> OwnerReference {
    OwnerReference {
        api_version: SmolStr::new_static(api_version),
        kind: SmolStr::new_static(owner.kind.builtin_name().unwrap_or("Object")),
        name: owner.meta.key.name.clone(),
        uid: owner.meta.uid,
        controller: true,
        block_owner_deletion: true,
    }
}

/// A pod of a template (`GetPodFromTemplate`), to be named by the API server.
pub fn pod_from_template(template: &Template, owner: &Object, owner_ref: &OwnerReference) -> Object {
    let meta = Meta {
        key: Key::new(owner.meta.key.namespace.clone(), ""),
        generate_name: SmolStr::from(format!("{}-", owner.meta.name())),
        labels: template.labels.clone(),
        annotations: template.annotations.clone(),
        owner_references: smallvec::smallvec![owner_ref.clone()],
        finalizers: template.finalizers.iter().cloned().collect(),
        ..Meta::default()
    };
    let pod = Pod { spec: template.spec.clone(), ..Pod::default() };
    Object::new(meta, Body::Pod(pod))
}

/// True if the refusal came because the namespace is going away: no use to retry or to tell anybody.
pub fn namespace_terminating(error: &ApiError) -> bool {
    error.reason == Reason::Forbidden && error.message.contains("because it is being terminated")
}

/// Creates `n` pods in batches of 1, 2, 4, 8…, each after the answers to the one before; a batch with any error is the
/// last (`slowStartBatch`). Emits an Event per pod. Returns the number of successes and the first error.
///
/// # Errors
/// [`Stop::Waiting`] while a batch is under way.
pub fn slow_start(
    fx: &mut Fx<'_>,
    owner: &Arc<Object>,
    n: usize,
    make: impl Fn(usize) -> Object,
) -> Result<(usize, Option<ApiError>), Stop> {
    let (mut done, mut size) = (0, 1);
    while done < n {
        let batch = size.min(n - done);
        let answers = fx.batch(|| (done..done + batch).map(|i| create(make(i))).collect())?;
        let mut first_error = None;
        let mut successes = 0;
        for answer in answers {
            match created(fx, owner, answer) {
                Some(error) => first_error = first_error.or(Some(error)),
                None => successes += 1,
            }
        }
        done += successes;
        if first_error.is_some() {
            return Ok((done, first_error));
        }
        size *= 2;
    }
    Ok((done, None))
}

/// A create request.
pub fn create(object: Object) -> Request {
    Request::Create(Box::new(object))
}

/// The Event of one creation; its error if it failed. A namespace that is going away counts as success.
pub fn created(fx: &mut Fx<'_>, owner: &Arc<Object>, answer: &Answer) -> Option<ApiError> {
    match answer {
        Ok(pod) => fx.normal(owner, "SuccessfulCreate", format!("Created pod: {}", pod.meta.name())),
        Err(error) if namespace_terminating(error) => {}
        Err(error) => {
            fx.warning(owner, "FailedCreate", format!("Error creating: {error}"));
            return Some(error.clone());
        }
    }
    None
}

/// Deletes pods together. Emits an Event per pod; a pod that is gone already is no error. `failed` says what else to emit
/// for a pod whose deletion will not be seen. Returns the number of successes and the first error.
///
/// # Errors
/// [`Stop::Waiting`] until all answers are there.
pub fn delete_pods(
    fx: &mut Fx<'_>,
    owner: &Arc<Object>,
    pods: &[Arc<Object>],
    failed: impl Fn(&Object) -> Option<Effect>,
) -> Result<(usize, Option<ApiError>), Stop> {
    if pods.is_empty() {
        return Ok((0, None));
    }
    let answers =
        fx.batch(|| pods.iter().map(|p| delete(Kind::POD, p.key().clone(), Uid::default())).collect())?;
    let (mut deleted, mut first_error) = (0, None);
    for (pod, answer) in pods.iter().zip(answers) {
        match answer {
            Ok(_) => {
                fx.normal(owner, "SuccessfulDelete", format!("Deleted pod: {}", pod.meta.name()));
                deleted += 1;
            }
            Err(error) => {
                if let Some(effect) = failed(pod) {
                    fx.emit(effect);
                }
                if error.is_not_found() {
                    continue;
                }
                fx.warning(owner, "FailedDelete", format!("Error deleting: {error}"));
                let wrapped = ApiError::new(error.reason, format!("unable to delete pods: {error}"));
                first_error = first_error.or(Some(wrapped));
            }
        }
    }
    Ok((deleted, first_error))
}

/// A delete request with a uid precondition unless that is unset.
pub fn delete(kind: Kind, key: Key, uid: Uid) -> Request {
    Request::Delete { kind, key, options: DeleteOptions { uid, ..DeleteOptions::default() } }
}
