//! Which waiting pods an event may help (`isPodWorthRequeuing`).

use sim_core::api::kind::Kind;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;

use super::QueueContext;
use super::waiting::Refusal;
use crate::framework::{ClusterEvent, EventChange, EventResource, Hint, Profile, Registered};
use crate::pod::PodInfo;

/// What an event means for a waiting pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    Skip,
    AfterBackoff,
    Immediately,
}

/// True if some plugin registered the event, or it needs no plugin (`isEventOfInterest`).
pub(super) fn of_interest(profiles: &[Profile], event: ClusterEvent) -> bool {
    let registered = |profile: &Profile| profile.registered().iter().any(|r| r.event.matches(event));
    event == ClusterEvent::WILD_CARD || profiles.iter().any(registered)
}

/// True if an event may help pods that wait for a reason, before any plugin is asked.
pub(super) fn may_help(with: QueueContext<'_>, refusal: &Refusal, event: ClusterEvent) -> bool {
    let profile = &with.profiles[refusal.profile];
    let registered = |r: &Registered| r.event.matches(event);
    if let Some(gate) = refusal.gate
        && !profile.registered().iter().any(|r| r.plugin == gate && registered(r))
    {
        return false;
    }
    let rejectors = refusal.rejectors();
    event == ClusterEvent::WILD_CARD
        || rejectors.is_empty()
        || profile.registered().iter().any(|r| rejectors.has(r.plugin) && registered(r))
}

/// True if what an event means is the same for all pods of a class that wait for the same reason, but for the pod that
/// it is about.
pub(super) fn by_class(with: QueueContext<'_>, refusal: &Refusal, event: ClusterEvent) -> bool {
    let profile = &with.profiles[refusal.profile];
    let asked = profile.registered().iter().filter(|r| r.asks && refusal.rejectors().has(r.plugin));
    asked.filter(|r| r.event.matches(event)).all(|r| profile.plugin(r.plugin).hints_by_class())
}

/// The pod that an event is about.
pub(super) fn subject(change: &EventChange<'_>) -> Option<Uid> {
    change.new.or(change.old).filter(|object| object.kind == Kind::POD).map(|object| object.meta.uid)
}

/// What an event means for a pod. Every plugin that refused it may say that it helps; what one that waits for something
/// outside says goes without a back-off.
pub(super) fn strategy(
    with: QueueContext<'_>,
    refusal: &Refusal,
    pod: &PodInfo,
    object: &Object,
    change: &EventChange<'_>,
) -> Strategy {
    let rejectors = refusal.rejectors();
    if rejectors.is_empty() {
        return Strategy::AfterBackoff;
    }
    if change.event == ClusterEvent::WILD_CARD {
        // With a pod it is meant for that one only.
        let meant = change.new.is_none_or(|new| new.kind == Kind::POD && new.meta.uid == object.meta.uid);
        return if meant { Strategy::AfterBackoff } else { Strategy::Skip };
    }
    let profile = &with.profiles[refusal.profile];
    let mut best = Strategy::Skip;
    for registered in profile.registered() {
        if !rejectors.has(registered.plugin) || !registered.event.matches(change.event) {
            continue;
        }
        if !helps(with, profile, registered, (pod, object), change) {
            continue;
        }
        if refusal.pending.has(registered.plugin) {
            return Strategy::Immediately;
        }
        best = Strategy::AfterBackoff;
        if refusal.pending.is_empty() {
            break;
        }
    }
    best
}

fn helps(
    with: QueueContext<'_>,
    profile: &Profile,
    registered: &Registered,
    (pod, object): (&PodInfo, &Object),
    change: &EventChange<'_>,
) -> bool {
    if registered.event.resource == EventResource::UnscheduledPod
        && subject(change).is_some_and(|uid| uid != object.meta.uid)
    {
        return false;
    }
    let objects = with.surroundings.objects;
    !registered.asks || profile.plugin(registered.plugin).hint(pod, object, change, objects) == Hint::Queue
}
