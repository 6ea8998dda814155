//! One trait per extension point. A plugin implements [`Plugin`] and those of the others that it has something to say
//! at; [`plugin`](super::plugin()) then puts it together, one word per extension point.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use sim_core::api::error::ApiError;
use sim_core::api::kind::Kind;
use sim_core::api::meta::{Key, Uid};
use sim_core::api::object::Object;
use sim_core::api::request::Request;
use sim_core::engine::log::EventType;
use sim_core::time::{Span, Time};
use smol_str::SmolStr;

use super::diagnosis::Diagnosis;
use super::memory::Memory;
use super::profile::Profile;
use super::status::{Status, Verdict};
use super::waiting::Waiting;
use super::wake::Wake;
use crate::cache::{Cache, Objects, Slot};
use crate::cycle::{CycleState, Nominator};
use crate::extender::{ExtenderCalls, Extenders};
use crate::mask::Mask;
use crate::node::{NodeInfo, NodePod};
use crate::pod::PodInfo;
use crate::queue::QueuedPod;

/// What a plugin's verdicts and scores depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Only the pod's class, the one node that is asked about, and the number of nodes. Answers are then kept per class
    /// and node until the node changes. Such a filter returns no errors: what does not fit is refused.
    NodeLocal,
    /// As above for pods that its PreFilter and PreScore skip, which must depend on the pod's class only; anything for
    /// others.
    NodeLocalOrSkipped,
    /// Anything.
    Cluster,
}

/// What every plugin has.
pub trait Plugin: Send + Sync + Sized + 'static {
    /// Its name, as in a configuration.
    const NAME: &'static str;
    /// What it looks at. The safe answer is the default.
    const READS: Reads = Reads::Cluster;
    /// Which events may make a pod schedulable that this plugin refused.
    const WAKES_ON: &'static [Wake] = Wake::ALL;
    /// Label keys by whose values it wants pods grouped ([`Cache::group`]).
    const GROUPS_BY: &'static [&'static str] = &[];
    /// What it keeps for one pod through one cycle. Cloned where a run is forked.
    type Cycle: Clone + Send + Sync + 'static;

    /// Makes its state for a cycle, before anything else is asked.
    fn pre_filter(&self, pod: &PodInfo) -> Self::Cycle;
}

/// One attempt to place one pod.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The pod's class.
    pub pod: &'a PodInfo,
    /// The pod itself.
    pub object: &'a Object,
    /// The cluster as this cycle sees it.
    pub cluster: &'a Cache,
    /// The instant.
    pub now: Time,
}

/// Place of a pod in the active queue; the smallest is next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SortKey {
    /// First criterion, e.g. the negated priority.
    pub rank: i64,
    /// Second criterion.
    pub time: Time,
    /// Third criterion, e.g. the name of a gang.
    pub group: SmolStr,
}

/// Orders the active queue. A profile has exactly one, and all profiles the same.
// DIFFERS: upstream asks for a comparison of two pods; a key serves the same orders and a queue that can be cloned.
pub trait QueueSort: Plugin {
    /// Where the pod belongs.
    fn key(&self, pod: &QueuedPod, objects: &Objects) -> SortKey;
}

/// What PreEnqueue plugins may look at.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Objects beside nodes and pods.
    pub objects: &'a Objects,
    /// Pods whose preemption is still being carried out.
    pub preempting: &'a BTreeSet<Uid>,
}

/// Keeps pods out of the active queue.
pub trait PreEnqueue: Plugin {
    /// May the pod be tried at all?
    fn pre_enqueue(&self, pod: &Object, surroundings: Surroundings<'_>) -> Verdict;
}

/// Outcome of [`PreFilter::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreFiltered {
    /// Go on with all nodes.
    Proceed,
    /// Nothing to do: the plugin's filter is not asked.
    Skip,
    /// Only these nodes come into question.
    Nodes(BTreeSet<SmolStr>),
    /// No node does, or an error.
    Refused(Status),
}

/// Looks at the pod before the nodes.
pub trait PreFilter: Plugin {
    /// Checks the pod, may complete the cycle's state.
    fn check(&self, cycle: &mut Self::Cycle, attempt: &Attempt<'_>) -> PreFiltered;
}

/// Keeps the cycle's state right while pods are added to or removed from a node hypothetically: for nominated pods, and
/// when preemption asks what would be without some. Needed by plugins whose state depends on pods.
pub trait PreFilterExtensions: PreFilter {
    /// As if the pod were on the node, too. `node` has it already.
    fn add_pod(&self, cycle: &mut Self::Cycle, attempt: &Attempt<'_>, added: &NodePod, node: &NodeInfo);
    /// As if the pod were not on the node. `node` does not have it any more.
    fn remove_pod(&self, cycle: &mut Self::Cycle, attempt: &Attempt<'_>, removed: &NodePod, node: &NodeInfo);
}

/// Decides about nodes one by one.
pub trait Filter: Plugin {
    /// May the pod run on this node?
    fn filter(&self, cycle: &Self::Cycle, pod: &PodInfo, node: &NodeInfo) -> Verdict;

    /// The same as a yes or no. Worth writing where making up reasons costs; must agree with [`Filter::filter`].
    fn fits(&self, cycle: &Self::Cycle, pod: &PodInfo, node: &NodeInfo) -> bool {
        self.filter(cycle, pod, node).fits()
    }

    /// The same about all nodes, by position in the order of the cache: takes refused ones out of the mask. Worth
    /// writing for plugins that read columns ([`Cache::columns`]); must agree with [`Filter::filter`].
    fn filter_column(&self, cycle: &Self::Cycle, pod: &PodInfo, cluster: &Cache, mask: &mut Mask) {
        mask.retain(|at| self.fits(cycle, pod, cluster.node_at(at)));
    }
}

/// The same for plugins that look at more than the pod's class and the node: [`Filter`] with the attempt. A plugin has one
/// of the two.
pub trait ClusterFilter: Plugin {
    /// May the pod run on this node? Asked about nodes with pods added or taken away hypothetically, too, so pods of the
    /// node are to be taken from `node`.
    fn filter(&self, cycle: &Self::Cycle, attempt: &Attempt<'_>, node: &NodeInfo) -> Verdict;
}

/// Outcome of [`PostFilter::post_filter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostFiltered {
    /// Success stops further plugins; the message goes to the end of the pod's.
    pub status: Status,
    /// New `status.nominatedNodeName`; empty clears it, `None` leaves it.
    pub nominated_node: Option<SmolStr>,
    /// Pods to be preempted.
    pub preemption: Option<Preemption>,
}

/// Pods that have to go for another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preemption {
    /// The plugin that preempts them.
    pub plugin: &'static str,
    /// The node they are on.
    pub node: SmolStr,
    /// The pods, most important first.
    pub victims: Vec<Uid>,
    /// What was considered, by node: victims and PodDisruptionBudgets that they violate. Only for explanations.
    pub candidates: Vec<(SmolStr, Vec<Uid>, usize)>,
    /// Nodes that were as good as the chosen one, by name. Only for explanations.
    pub tied: Vec<SmolStr>,
}

/// What a PostFilter plugin can ask of the framework (`framework.Handle`).
pub struct Handle<'a> {
    /// The profile.
    pub profile: &'a Profile,
    /// The attempt that failed.
    pub attempt: Attempt<'a>,
    /// State of all plugins after PreFilter and Filter.
    pub state: &'a CycleState,
    /// Pods that were promised nodes.
    pub nominator: &'a Nominator,
    /// A random number, drawn once per run of the PostFilter plugins from the stream `scheduler/preemption`.
    pub random: u64,
    /// Room to remember what was found out about single nodes for pods of this class. Only given where that depends on
    /// nothing but the class, the [`NodeInfo`] (by its generation and start times) and pods that were promised the node.
    pub memory: Option<&'a RefCell<Memory>>,
    /// Services that have a say in preemptions, if there are any.
    pub extenders: Option<&'a Extenders>,
    /// True if somebody wants to know about all candidates, not only the chosen one.
    pub explain: bool,
}

/// Helps a pod that fits nowhere.
pub trait PostFilter: Plugin {
    /// Tries to make room for a later attempt.
    fn post_filter(
        &self,
        cycle: &Self::Cycle,
        handle: &Handle<'_>,
        diagnosis: &Diagnosis,
        effects: &mut Effects,
    ) -> PostFiltered;
}

/// What a plugin wants done, beside its answer.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Objects to be assumed, in order ([`Objects::assume`]).
    pub assume: Vec<Arc<Object>>,
    /// Objects whose assumed state is to be dropped, after `assume`.
    pub restore: Vec<(Kind, Key)>,
    /// ResourceClaims whose allocation is being written from now on, with what they will be; `None` if it is not any more
    /// ([`Objects::set_pending`]). After `assume`, before `restore`.
    pub pending: Vec<(Key, Uid, Option<Arc<Object>>)>,
    /// Requests to be sent; nobody waits for their answers.
    pub requests: Vec<Request>,
    /// Events, each about an object: type, reason and note.
    pub events: Vec<(Arc<Object>, EventType, &'static str, SmolStr)>,
    /// Pods to be rejected, if a Permit plugin made them wait.
    pub reject: Vec<(Uid, Status)>,
    /// How often extenders were asked; the cycle takes longer for it.
    pub extender_calls: ExtenderCalls,
    /// How often `DefaultPreemption` was asked (`scheduler_preemption_attempts_total`).
    pub preemption_attempts: u64,
}

/// Looks at the feasible nodes before scoring (only if there are several).
pub trait PreScore: Plugin {
    /// May complete the cycle's state. `Skip` leaves the plugin's score out.
    fn pre_score(&self, cycle: &mut Self::Cycle, attempt: &Attempt<'_>, feasible: &[Slot]) -> Status;
}

/// How raw scores become scores of 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalize {
    /// They are.
    Identity,
    /// In proportion to the highest (`DefaultNormalizeScore`): 0 for all if that is 0.
    ToMax,
    /// The same, lowest best: 100 for all if the highest is 0.
    ToMaxReversed,
    /// By [`NormalizeScore`].
    Custom,
}

/// Rates feasible nodes.
pub trait Score: Plugin {
    /// What is done with the raw scores.
    const NORMALIZE: Normalize = Normalize::Identity;

    /// Raw score of a node, higher is better unless reversed.
    fn score(&self, cycle: &Self::Cycle, pod: &PodInfo, node: &NodeInfo) -> i64;

    /// The same of all nodes, by position in the order of the cache. Worth writing for plugins that read columns
    /// ([`Cache::columns`]); must agree with [`Score::score`].
    fn score_column(&self, cycle: &Self::Cycle, pod: &PodInfo, cluster: &Cache, out: &mut [i64]) {
        for (at, score) in out.iter_mut().enumerate() {
            *score = self.score(cycle, pod, cluster.node_at(at));
        }
    }
}

/// A normalisation of one's own ([`Normalize::Custom`]).
pub trait NormalizeScore: Score {
    /// Turns the raw scores of all feasible nodes into 0 to 100.
    fn normalize(&self, cycle: &Self::Cycle, pod: &PodInfo, scores: &mut [i64]) -> Status;
}

/// Takes and gives back what the pod will use, beside the node's own resources.
pub trait Reserve: Plugin {
    /// A node was chosen.
    fn reserve(
        &self,
        cycle: &mut Self::Cycle,
        attempt: &Attempt<'_>,
        node: &str,
        effects: &mut Effects,
    ) -> Status;
    /// The choice was dropped. Called for all plugins, in reverse order, even if `reserve` was not.
    fn unreserve(&self, cycle: &mut Self::Cycle, attempt: &Attempt<'_>, node: &str, effects: &mut Effects);
}

/// Outcome of [`Permit::permit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Go ahead.
    Allow,
    /// Wait to be allowed (see [`Waiting`]), at most so long.
    Wait(Span),
    /// No.
    Reject(Status),
}

/// Has the last word before binding.
pub trait Permit: Plugin {
    /// May the pod be bound? `waiting` are the pods that wait for a permission, to be allowed or rejected with it.
    fn permit(
        &self,
        cycle: &mut Self::Cycle,
        attempt: &Attempt<'_>,
        node: &str,
        waiting: &mut Waiting,
    ) -> Permission;
}

/// Outcome of [`PreBind::pre_bind`].
#[derive(Clone, Debug)]
pub enum PreBound {
    /// It is done (or [`Code::Skip`](super::Code::Skip): there was nothing to do), or failed.
    Done(Status),
    /// Send these, and ask again when all are answered.
    Send(Vec<Request>),
    /// Ask again when the pod is gone or some object other than pods has changed, at the latest after this time.
    Wait(Span),
}

/// Prepares the binding. Runs beside other pods' cycles: it is asked until it is done.
pub trait PreBind: Plugin {
    /// Does what must be done before. `answers` are those to the requests of the last time, in their order.
    fn pre_bind(
        &self,
        cycle: &mut Self::Cycle,
        attempt: &Attempt<'_>,
        node: &str,
        answers: &[Result<Arc<Object>, ApiError>],
        effects: &mut Effects,
    ) -> PreBound;
}

/// Outcome of [`Bind::bind`].
#[derive(Clone, Debug)]
pub enum Binding {
    /// The next plugin shall do it.
    Skip,
    /// This request does it; its answer decides.
    Send(Request),
    /// It cannot be done.
    Failed(Status),
}

/// Binds the pod.
pub trait Bind: Plugin {
    /// Says how.
    fn bind(&self, attempt: &Attempt<'_>, node: &str) -> Binding;
}

/// Hears of successful bindings.
pub trait PostBind: Plugin {
    /// The pod is bound.
    fn post_bind(&self, cycle: &mut Self::Cycle, attempt: &Attempt<'_>, node: &str);
}
