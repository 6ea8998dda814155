//! What a claim keeps for pods that are over: reservations, devices, and the claim itself (`syncClaim`).

use std::sync::Arc;

use serde_json::Value;
use sim_core::api::error::{ApiError, Reason};
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::{Body, Object};
use sim_core::api::request::{DeleteOptions, Request};
use sim_dra::pod::{self as claims, FINALIZER};

use super::{generate, is_done};
use crate::machinery::cache::Caches;
use crate::machinery::fx::{Fx, Outcome, Stop, live_get};
use crate::machinery::recent::RecentUids;

/// What a sync reads.
#[derive(Clone, Debug)]
pub struct Input {
    claim: Arc<Object>,
    /// In the order of `status.reservedFor`.
    users: Vec<User>,
    /// The pod for which the claim was made will not run.
    owner_is_over: bool,
}

/// What is known of a user of the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
enum User {
    /// It may run.
    There,
    /// It is gone or over.
    Over,
    /// Nobody has seen it: the API server must be asked.
    Unseen(Key, Uid),
    /// It is no pod.
    Unsupported,
}

/// A pod of a name, as far as the caches tell.
enum Seen {
    Unseen,
    /// Gone or over.
    Over,
    There,
}

fn see(caches: &Caches, key: &Key, uid: Uid) -> Seen {
    // Pods without claims in their spec are found by their uid alone; one that took the place of another is not.
    match caches.claimant(key).or_else(|| caches.find(Kind::POD, key, uid)) {
        None => Seen::Unseen,
        Some(pod) if pod.meta.uid != uid || is_done(pod) => Seen::Over,
        Some(_) => Seen::There,
    }
}

impl Input {
    pub(super) fn gather(caches: &Caches, deleted: &RecentUids, claim: &Arc<Object>) -> Input {
        let user = |entry: &Value| {
            if !claims::is_pod_entry(entry) {
                return User::Unsupported;
            }
            let (name, uid) = (entry["name"].as_str().unwrap_or_default(), claims::consumer(entry));
            let key = Key::new(claim.meta.key.namespace.clone(), name);
            if deleted.contains(uid) {
                return User::Over;
            }
            match see(caches, &key, uid) {
                Seen::There => User::There,
                Seen::Over => User::Over,
                Seen::Unseen => User::Unseen(key, uid),
            }
        };
        let owner = generate::owning_pod(claim);
        Input {
            claim: claim.clone(),
            users: claims::reserved_for(claim).iter().map(user).collect(),
            // A pod that is not seen may not be seen yet: the garbage collector knows.
            owner_is_over: owner
                .is_some_and(|(key, owner)| matches!(see(caches, &key, owner.uid), Seen::Over)),
        }
    }
}

pub(super) fn sync(input: &Input, fx: &mut Fx<'_>) -> Outcome {
    let claim = &input.claim;
    let entries = claims::reserved_for(claim);
    let mut valid = Vec::with_capacity(entries.len());
    for (entry, user) in entries.iter().zip(&input.users) {
        if still_uses(entry, user, fx)? {
            valid.push(entry.clone());
        }
    }
    let is_unused = valid.is_empty();
    if valid.len() < entries.len() {
        release(claim, valid, fx)?;
    } else if is_unused && claim.meta.is_deleting() && is_protected(claim) {
        unprotect_deleted(claim, fx)?;
    }
    if is_unused && input.owner_is_over {
        let options = DeleteOptions::default();
        let delete = || Request::Delete { kind: Kind::RESOURCE_CLAIM, key: claim.key().clone(), options };
        fx.call(delete)?.map_err(|error| {
            Stop::Failed(ApiError::new(error.reason, format!("delete claim {}: {error}", claim.key())))
        })?;
    }
    Ok(())
}

fn still_uses(entry: &Value, user: &User, fx: &mut Fx<'_>) -> Result<bool, Stop> {
    match user {
        User::There => Ok(true),
        User::Over => Ok(false),
        User::Unseen(key, uid) => match fx.call(|| live_get(Kind::POD, key.clone()))? {
            Ok(pod) => Ok(pod.meta.uid == *uid),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        },
        User::Unsupported => {
            let text = format!("unsupported ReservedFor entry: {entry}");
            Err(Stop::Failed(ApiError::new(Reason::InternalError, text)))
        }
    }
}

fn is_protected(claim: &Object) -> bool {
    claim.meta.finalizers.contains(&FINALIZER)
}

/// Takes reservations away; with the last of them the devices go, and the protection of the claim.
fn release(claim: &Object, valid: Vec<Value>, fx: &mut Fx<'_>) -> Outcome {
    // Not a patch: nothing may have changed in the meantime.
    let deallocate = valid.is_empty() && is_protected(claim);
    let written = fx.call(|| Request::UpdateStatus(Box::new(with_users(claim, valid, deallocate))))??;
    match is_protected(&written) && claims::allocation(&written).is_none() {
        true => unprotect(&written, fx),
        false => Ok(()),
    }
}

/// A claim that is being deleted and was not used before either.
fn unprotect_deleted(claim: &Arc<Object>, fx: &mut Fx<'_>) -> Outcome {
    let mut current = claim.clone();
    if claims::allocation(claim).is_some() {
        current = fx.call(|| Request::UpdateStatus(Box::new(with_users(claim, Vec::new(), true))))??;
    }
    unprotect(&current, fx)
}

fn unprotect(claim: &Object, fx: &mut Fx<'_>) -> Outcome {
    let mut bare = claim.clone();
    bare.meta.finalizers.retain(|finalizer| *finalizer != FINALIZER);
    fx.call(|| Request::Update(Box::new(bare)))??;
    Ok(())
}

fn with_users(claim: &Object, users: Vec<Value>, deallocate: bool) -> Object {
    let mut claim = claim.clone();
    if let Body::Json(body) = &mut claim.body
        && let Some(status) = Arc::make_mut(body).get_mut("status").and_then(Value::as_object_mut)
    {
        match users.is_empty() {
            true => drop(status.shift_remove("reservedFor")),
            false => drop(status.insert("reservedFor".to_owned(), Value::Array(users))),
        }
        if deallocate {
            status.shift_remove("allocation");
        }
    }
    claim
}
