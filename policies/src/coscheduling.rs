//! Coscheduling: the pods of a PodGroup are bound together or not at all, as in the plugin of that name of
//! kubernetes-sigs/scheduler-plugins (v0.32, `pkg/coscheduling`).
//!
//! A pod belongs to the group that its label `scheduling.x-k8s.io/pod-group` names. Pods that found a node wait at
//! Permit, with their room taken, until `spec.minMember` of them have; then all go ahead. If that takes too long, or one
//! of them fits nowhere, all that wait are rejected and give their room back.

use serde::Deserialize;
use serde_json::Value;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::time::{Span, Time, secs};
use sim_scheduler::cache::{Cache, Group, Objects};
use sim_scheduler::framework::{
    ActionType, Attempt, ClusterEvent, Code, Diagnosis, Effects, EventChange, EventResource, Handle, Hint,
    Permission, Permit, Plugin, PostFilter, PostFiltered, PreFilter, PreFiltered, QueueSort, QueueingHint,
    Registry, Reserve, SortKey, Status, Waiting, plugin,
};
use sim_scheduler::pod::PodInfo;
use sim_scheduler::queue::QueuedPod;
use smol_str::{SmolStr, format_smolstr};

/// Label of a pod with the name of its group.
pub const POD_GROUP: &str = "scheduling.x-k8s.io/pod-group";

/// `CoschedulingArgs`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CoschedulingArgs {
    /// How long pods wait for the others of a group that does not say, in seconds.
    pub permit_waiting_time_seconds: i64,
}

impl Default for CoschedulingArgs {
    fn default() -> Self {
        CoschedulingArgs { permit_waiting_time_seconds: 60 }
    }
}

/// The plugin.
// DIFFERS: `minResources` of a group is not looked at, and a rejected group does not back off as a whole
// (`podGroupBackoffSeconds`, off by default): pods back off one by one.
#[derive(Clone, Debug, Default)]
pub struct Coscheduling {
    args: CoschedulingArgs,
}

/// What a PodGroup says.
struct PodGroup {
    min_member: usize,
    patience: Option<Span>,
    created: Time,
}

impl Coscheduling {
    /// The plugin with arguments.
    pub fn new(args: CoschedulingArgs) -> Coscheduling {
        Coscheduling { args }
    }

    /// Makes the plugin known to configurations, under the name `Coscheduling`. It has to replace `PrioritySort` at
    /// QueueSort:
    ///
    /// ```
    /// use sim_scheduler::framework::{Point, Registry};
    /// let mut registry = Registry::in_tree();
    /// policies::Coscheduling::register(&mut registry);
    /// let config = sim_scheduler::SchedulerConfig::from_json(serde_json::json!({
    ///     "apiVersion": "kubescheduler.config.k8s.io/v1",
    ///     "kind": "KubeSchedulerConfiguration",
    ///     "profiles": [{"plugins": {
    ///         "multiPoint": {"enabled": [{"name": "Coscheduling"}]},
    ///         "queueSort": {"enabled": [{"name": "Coscheduling"}], "disabled": [{"name": "*"}]},
    ///     }}],
    /// })).unwrap();
    /// let profiles = config.profiles(&registry).unwrap();
    /// assert_eq!(profiles[0].at(Point::Permit).len(), 1);
    /// ```
    pub fn register(registry: &mut Registry) {
        registry.register("Coscheduling", |args| {
            let args = match args {
                Value::Null => CoschedulingArgs::default(),
                given => serde_json::from_value(given.clone()).map_err(|error| error.to_string())?,
            };
            let made = plugin(Coscheduling::new(args)).queue_sort().pre_filter().post_filter();
            Ok(made.reserve().permit().queueing_hints().into())
        });
    }

    fn wait(&self, group: &PodGroup) -> Span {
        group.patience.unwrap_or(secs(self.args.permit_waiting_time_seconds))
    }
}

fn group_name(pod: &PodInfo) -> Option<&str> {
    pod.labels.get(POD_GROUP).map(String::as_str).filter(|name| !name.is_empty())
}

fn pod_group(pod: &PodInfo, objects: &Objects) -> Option<PodGroup> {
    let key = Key::new(pod.namespace.clone(), group_name(pod)?);
    let object = objects.get(Kind::POD_GROUP, &key)?;
    let number = |field: &str| object.as_json()?.get("spec")?.get(field)?.as_i64();
    Some(PodGroup {
        min_member: number("minMember").and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
        patience: number("scheduleTimeoutSeconds").filter(|n| *n != 0).map(secs),
        created: object.meta.creation_timestamp,
    })
}

/// The pods of the group that a pod belongs to.
fn siblings<'a>(pod: &PodInfo, cluster: &'a Cache) -> Option<&'a Group> {
    cluster.group(POD_GROUP, &pod.namespace, group_name(pod)?)
}

/// Rejects all pods of the group that wait.
fn reject_all(pod: &PodInfo, cluster: &Cache, reason: &'static str, effects: &mut Effects) {
    let members = siblings(pod, cluster).into_iter().flat_map(|group| &group.members);
    let status = || Status::new(Code::Unschedulable, reason).by(Coscheduling::NAME);
    effects.reject.extend(members.map(|uid: &Uid| (*uid, status())));
}

impl Plugin for Coscheduling {
    const NAME: &'static str = "Coscheduling";
    const GROUPS_BY: &'static [&'static str] = &[POD_GROUP];
    type Cycle = ();
    fn pre_filter(&self, _: &PodInfo) {}
}

impl QueueSort for Coscheduling {
    /// Priority first, then the age of the group, or of the first attempt of a pod without one; the pods of a group stay
    /// together.
    fn key(&self, pod: &QueuedPod, objects: &Objects) -> SortKey {
        let created = pod_group(&pod.info, objects).map(|group| group.created);
        let group = match (created, group_name(&pod.info)) {
            (Some(_), Some(name)) => format_smolstr!("{}/{name}", pod.info.namespace),
            _ => format_smolstr!("{}", pod.object.meta.key),
        };
        let time = created.unwrap_or(pod.initial_attempt.unwrap_or(pod.timestamp));
        SortKey { rank: -i64::from(pod.info.priority), time, group }
    }
}

impl PreFilter for Coscheduling {
    /// A pod whose siblings are not all there yet need not be tried.
    fn check(&self, (): &mut (), attempt: &Attempt<'_>) -> PreFiltered {
        let Some(group) = pod_group(attempt.pod, attempt.cluster.objects()) else {
            return PreFiltered::Proceed;
        };
        let present = siblings(attempt.pod, attempt.cluster).map_or(0, |group| group.members.len());
        if present >= group.min_member {
            return PreFiltered::Proceed;
        }
        let text = format_smolstr!(
            "pre-filter pod {} cannot find enough sibling pods, current pods number: {present}, minMember of \
             group: {}",
            attempt.object.meta.name(),
            group.min_member
        );
        PreFiltered::Refused(Status::new(Code::UnschedulableAndUnresolvable, text))
    }
}

impl PostFilter for Coscheduling {
    /// If one pod fits nowhere, the others are not likely to get through, either: they need not hold their room.
    fn post_filter(
        &self,
        (): &(),
        handle: &Handle<'_>,
        _: &Diagnosis,
        effects: &mut Effects,
    ) -> PostFiltered {
        let Attempt { pod, object, cluster, .. } = handle.attempt;
        let refused = |text: SmolStr| {
            let reasons = if text.is_empty() { Vec::new() } else { vec![text] };
            let status = Status { code: Code::Unschedulable, reasons, ..Status::default() };
            PostFiltered { status, ..PostFiltered::default() }
        };
        let (Some(name), Some(group)) = (group_name(pod), pod_group(pod, cluster.objects())) else {
            return refused("can not find pod group".into());
        };
        let assigned = siblings(pod, cluster).map_or(0, |group| group.placed);
        let missing = group.min_member.saturating_sub(assigned);
        // Enough are there, or so nearly that a later pod may do it.
        if missing * 10 <= group.min_member {
            return refused(SmolStr::default());
        }
        reject_all(pod, cluster, "optimistic rejection in PostFilter", effects);
        refused(format_smolstr!(
            "PodGroup {}/{name} gets rejected due to Pod {} is unschedulable even after PostFilter",
            pod.namespace,
            object.meta.name()
        ))
    }
}

impl Reserve for Coscheduling {
    fn reserve(&self, (): &mut (), _: &Attempt<'_>, _: &str, _: &mut Effects) -> Status {
        Status::success()
    }

    fn unreserve(&self, (): &mut (), attempt: &Attempt<'_>, _: &str, effects: &mut Effects) {
        if pod_group(attempt.pod, attempt.cluster.objects()).is_some() {
            reject_all(attempt.pod, attempt.cluster, "rejection in Unreserve", effects);
        }
    }
}

impl Permit for Coscheduling {
    fn permit(&self, (): &mut (), attempt: &Attempt<'_>, _: &str, waiting: &mut Waiting) -> Permission {
        if group_name(attempt.pod).is_none() {
            return Permission::Allow;
        }
        let Some(group) = pod_group(attempt.pod, attempt.cluster.objects()) else {
            return Permission::Reject(Status::new(Code::Unschedulable, "PodGroup not found"));
        };
        let Some(siblings) = siblings(attempt.pod, attempt.cluster) else { return Permission::Allow };
        // The pod itself is placed already.
        if siblings.placed >= group.min_member {
            siblings.members.iter().for_each(|uid| waiting.allow(*uid, Self::NAME));
            return Permission::Allow;
        }
        // The first of a group calls the others.
        if siblings.placed == 1 {
            siblings.members.iter().for_each(|uid| waiting.activate(*uid));
        }
        Permission::Wait(self.wait(&group))
    }
}

impl QueueingHint for Coscheduling {
    fn events(&self) -> Vec<ClusterEvent> {
        let groups = EventResource::of(Kind::POD_GROUP).unwrap_or(EventResource::WildCard);
        vec![
            ClusterEvent::new(EventResource::Pod, ActionType::ADD),
            ClusterEvent::new(groups, ActionType::ADD | ActionType::UPDATE),
        ]
    }

    fn hint(&self, _: &PodInfo, _: &Object, _: &EventChange<'_>, _: &Objects) -> Hint {
        Hint::Queue
    }
}
