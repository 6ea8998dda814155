//! Plugins of any type behind one object-safe face, so that a profile can hold them side by side.
//!
//! [`Registration`] remembers one function per extension point, each made for the plugin's own type: what a plugin
//! implements is known when it is put together, and loops over nodes run inside, where calls are direct.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use sim_core::api::error::ApiError;
use sim_core::api::object::Object;

use super::columns::{AnyColumns, Columns};
use super::diagnosis::Diagnosis;
use super::event::{ClusterEvent, EventChange, Hint, QueueingHint};
use super::plugin::*;
use super::status::{Status, Verdict};
use super::waiting::Waiting;
use crate::cache::{Cache, Objects, Slot};
use crate::mask::Mask;
use crate::node::{NodeInfo, NodePod};
use crate::pod::PodInfo;
use crate::queue::QueuedPod;

trait StateData: Any + Send + Sync {
    fn boxed_clone(&self) -> Box<dyn StateData>;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Clone + Send + Sync + 'static> StateData for T {
    fn boxed_clone(&self) -> Box<dyn StateData> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// State of one plugin for one cycle.
pub struct State(Box<dyn StateData>);

impl State {
    pub(super) fn new<T: Clone + Send + Sync + 'static>(cycle: T) -> State {
        State(Box::new(cycle))
    }
}

impl Clone for State {
    fn clone(&self) -> State {
        State((*self.0).boxed_clone())
    }
}

/// An extension point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are upstream's")]
pub enum Point {
    PreEnqueue,
    QueueSort,
    PreFilter,
    Filter,
    PostFilter,
    PreScore,
    Score,
    Reserve,
    Permit,
    PreBind,
    Bind,
    PostBind,
}

impl Point {
    /// All extension points.
    pub const ALL: [Point; 12] = [
        Point::PreEnqueue,
        Point::QueueSort,
        Point::PreFilter,
        Point::Filter,
        Point::PostFilter,
        Point::PreScore,
        Point::Score,
        Point::Reserve,
        Point::Permit,
        Point::PreBind,
        Point::Bind,
        Point::PostBind,
    ];
}

/// A plugin of some type. Made by [`plugin`]; methods for points that it does not have must not be called.
#[expect(missing_docs, reason = "each method is the one of the trait it is named after")]
pub trait AnyPlugin: Send + Sync {
    fn name(&self) -> &'static str;
    fn reads(&self) -> Reads;
    fn points(&self) -> &BTreeSet<Point>;
    fn normalization(&self) -> Normalize;
    fn state(&self, pod: &PodInfo) -> State;
    fn groups_by(&self) -> &'static [&'static str];
    fn queue_key(&self, pod: &QueuedPod, objects: &Objects) -> SortKey;
    /// The events that may help pods it refused.
    fn events(&self) -> Vec<ClusterEvent>;
    /// True if it says of each event whether it helps; otherwise they all do.
    fn has_hints(&self) -> bool;
    /// [`QueueingHint::BY_CLASS`].
    fn hints_by_class(&self) -> bool;
    /// Its answers about all nodes at once, if it gives such.
    fn columns(&self) -> Option<&dyn AnyColumns>;
    fn hint(&self, pod: &PodInfo, object: &Object, change: &EventChange<'_>, objects: &Objects) -> Hint;
    fn pre_enqueue(&self, pod: &Object, surroundings: Surroundings<'_>) -> Verdict;
    fn pre_filter(&self, state: &mut State, attempt: &Attempt<'_>) -> PreFiltered;
    fn filter(&self, state: &State, attempt: &Attempt<'_>, node: &NodeInfo) -> Verdict;
    /// The same as a yes or no.
    fn fits(&self, state: &State, attempt: &Attempt<'_>, node: &NodeInfo) -> bool;
    /// The same about all nodes: takes the positions out of `mask` that are refused.
    fn filter_column(&self, state: &State, attempt: &Attempt<'_>, mask: &mut Mask);
    /// False if its state does not depend on pods: then the next two do nothing.
    fn follows_pods(&self) -> bool;
    fn add_pod(&self, state: &mut State, attempt: &Attempt<'_>, added: &NodePod, node: &NodeInfo);
    fn remove_pod(&self, state: &mut State, attempt: &Attempt<'_>, removed: &NodePod, node: &NodeInfo);
    fn post_filter(
        &self,
        state: &State,
        h: &Handle<'_>,
        d: &Diagnosis,
        effects: &mut Effects,
    ) -> PostFiltered;
    fn pre_score(&self, state: &mut State, attempt: &Attempt<'_>, feasible: &[Slot]) -> Status;
    /// Raw scores of the slots.
    fn score_all(&self, state: &State, pod: &PodInfo, cluster: &Cache, slots: &[Slot], out: &mut [i64]);
    /// Raw scores of all nodes, by position.
    fn score_column(&self, state: &State, pod: &PodInfo, cluster: &Cache, out: &mut [i64]);
    fn normalize(&self, state: &State, pod: &PodInfo, scores: &mut [i64]) -> Status;
    fn reserve(&self, state: &mut State, attempt: &Attempt<'_>, node: &str, effects: &mut Effects) -> Status;
    fn unreserve(&self, state: &mut State, attempt: &Attempt<'_>, node: &str, effects: &mut Effects);
    fn permit(&self, state: &mut State, attempt: &Attempt<'_>, node: &str, w: &mut Waiting) -> Permission;
    fn pre_bind(
        &self,
        state: &mut State,
        attempt: &Attempt<'_>,
        node: &str,
        answers: &[Result<Arc<Object>, ApiError>],
        effects: &mut Effects,
    ) -> PreBound;
    fn bind(&self, attempt: &Attempt<'_>, node: &str) -> Binding;
    fn post_bind(&self, state: &mut State, attempt: &Attempt<'_>, node: &str);
}

type FilterOne<P, R> = fn(&P, &<P as Plugin>::Cycle, &Attempt<'_>, &NodeInfo) -> R;
type FilterColumn<P> = fn(&P, &<P as Plugin>::Cycle, &Attempt<'_>, &mut Mask);
type ScoreColumn<P> = fn(&P, &<P as Plugin>::Cycle, &PodInfo, &Cache, &mut [i64]);
type ScoreAll<P> = fn(&P, &<P as Plugin>::Cycle, &PodInfo, &Cache, &[Slot], &mut [i64]);
type PermitFn<P> = fn(&P, &mut <P as Plugin>::Cycle, &Attempt<'_>, &str, &mut Waiting) -> Permission;
type NodeStep<P, R> = fn(&P, &mut <P as Plugin>::Cycle, &Attempt<'_>, &str) -> R;
type ReserveStep<P, R> = fn(&P, &mut <P as Plugin>::Cycle, &Attempt<'_>, &str, &mut Effects) -> R;
type PodStep<P> = fn(&P, &mut <P as Plugin>::Cycle, &Attempt<'_>, &NodePod, &NodeInfo);
type Answers<'a> = &'a [Result<Arc<Object>, ApiError>];

/// A plugin and the extension points it takes part in.
#[expect(clippy::type_complexity, reason = "a table of functions reads best with their types in place")]
pub struct Registration<P: Plugin> {
    plugin: Arc<P>,
    columns: Option<Box<dyn AnyColumns>>,
    points: BTreeSet<Point>,
    queue_key: Option<fn(&P, &QueuedPod, &Objects) -> SortKey>,
    events: Option<fn(&P) -> Vec<ClusterEvent>>,
    hints_by_class: bool,
    hint: Option<fn(&P, &PodInfo, &Object, &EventChange<'_>, &Objects) -> Hint>,
    pre_enqueue: Option<fn(&P, &Object, Surroundings<'_>) -> Verdict>,
    check: Option<fn(&P, &mut P::Cycle, &Attempt<'_>) -> PreFiltered>,
    filter: Option<FilterOne<P, Verdict>>,
    fits: Option<FilterOne<P, bool>>,
    filter_column: Option<FilterColumn<P>>,
    add_pod: Option<PodStep<P>>,
    remove_pod: Option<PodStep<P>>,
    post_filter: Option<fn(&P, &P::Cycle, &Handle<'_>, &Diagnosis, &mut Effects) -> PostFiltered>,
    pre_score: Option<fn(&P, &mut P::Cycle, &Attempt<'_>, &[Slot]) -> Status>,
    score_all: Option<ScoreAll<P>>,
    score_column: Option<ScoreColumn<P>>,
    normalization: Normalize,
    normalize: Option<fn(&P, &P::Cycle, &PodInfo, &mut [i64]) -> Status>,
    reserve: Option<ReserveStep<P, Status>>,
    unreserve: Option<ReserveStep<P, ()>>,
    permit: Option<PermitFn<P>>,
    pre_bind: Option<fn(&P, &mut P::Cycle, &Attempt<'_>, &str, Answers<'_>, &mut Effects) -> PreBound>,
    bind: Option<fn(&P, &Attempt<'_>, &str) -> Binding>,
    post_bind: Option<NodeStep<P, ()>>,
}

/// Starts to put a plugin together: name the extension points it implements, one after the other, as in
/// `plugin(Headroom { percent: 20 }).filter()` (the crate's front page has the whole of it).
pub fn plugin<P: Plugin>(plugin: P) -> Registration<P> {
    Registration {
        plugin: Arc::new(plugin),
        columns: None,
        points: BTreeSet::new(),
        queue_key: None,
        events: None,
        hints_by_class: true,
        hint: None,
        pre_enqueue: None,
        check: None,
        filter: None,
        fits: None,
        filter_column: None,
        add_pod: None,
        remove_pod: None,
        post_filter: None,
        pre_score: None,
        score_all: None,
        score_column: None,
        normalization: Normalize::Identity,
        normalize: None,
        reserve: None,
        unreserve: None,
        permit: None,
        pre_bind: None,
        bind: None,
        post_bind: None,
    }
}

fn score_all<P: Score>(
    plugin: &P,
    cycle: &P::Cycle,
    pod: &PodInfo,
    cluster: &Cache,
    slots: &[Slot],
    out: &mut [i64],
) {
    for (slot, score) in slots.iter().zip(out) {
        *score = plugin.score(cycle, pod, cluster.node(*slot));
    }
}

macro_rules! point {
    ($(#[$doc:meta])* $method:ident, $point:ident: $bound:path, |$self:ident| $body:block) => {
        $(#[$doc])*
        #[must_use]
        pub fn $method(mut $self) -> Self where P: $bound {
            $self.points.insert(Point::$point);
            $body
            $self
        }
    };
}

impl<P: Plugin> Registration<P> {
    point!(/// It orders the queue.
        queue_sort, QueueSort: QueueSort, |self| { self.queue_key = Some(P::key); });
    point!(/// It keeps pods out of the queue.
        pre_enqueue, PreEnqueue: PreEnqueue, |self| { self.pre_enqueue = Some(P::pre_enqueue); });
    point!(/// It looks at pods before the nodes.
        pre_filter, PreFilter: PreFilter, |self| { self.check = Some(P::check); });
    point!(/// It refuses nodes.
    filter, Filter: Filter, |self| {
        self.filter = Some(|plugin, cycle, attempt, node| plugin.filter(cycle, attempt.pod, node));
        self.fits = Some(|plugin, cycle, attempt, node| plugin.fits(cycle, attempt.pod, node));
        self.filter_column = Some(|plugin, cycle, attempt, mask| {
            plugin.filter_column(cycle, attempt.pod, attempt.cluster, mask);
        });
    });
    point!(/// It refuses nodes, with a look at the rest of the cluster.
    cluster_filter, Filter: ClusterFilter, |self| {
        self.filter = Some(P::filter);
        self.fits = Some(|plugin, cycle, attempt, node| plugin.filter(cycle, attempt, node).fits());
        self.filter_column = Some(|plugin, cycle, attempt, mask| {
            mask.retain(|at| plugin.filter(cycle, attempt, attempt.cluster.node_at(at)).fits());
        });
    });
    point!(/// It helps pods that fit nowhere.
        post_filter, PostFilter: PostFilter, |self| { self.post_filter = Some(P::post_filter); });
    point!(/// It looks at the feasible nodes before scoring.
        pre_score, PreScore: PreScore, |self| { self.pre_score = Some(P::pre_score); });
    point!(/// It rates nodes.
    score, Score: Score, |self| {
        self.score_all = Some(score_all::<P>);
        self.score_column = Some(P::score_column);
        self.normalization = P::NORMALIZE;
    });
    point!(/// It takes and gives back what pods use.
    reserve, Reserve: Reserve, |self| {
        self.reserve = Some(P::reserve);
        self.unreserve = Some(P::unreserve);
    });
    point!(/// It has the last word before binding.
        permit, Permit: Permit, |self| { self.permit = Some(P::permit); });
    point!(/// It prepares bindings.
        pre_bind, PreBind: PreBind, |self| { self.pre_bind = Some(P::pre_bind); });
    point!(/// It binds.
        bind, Bind: Bind, |self| { self.bind = Some(P::bind); });
    point!(/// It hears of bindings.
        post_bind, PostBind: PostBind, |self| { self.post_bind = Some(P::post_bind); });

    /// It says which events may help the pods that it refused.
    #[must_use]
    pub fn queueing_hints(mut self) -> Self
    where
        P: QueueingHint,
    {
        self.events = Some(P::events);
        self.hints_by_class = P::BY_CLASS;
        self.hint = Some(P::hint);
        self
    }

    /// Its state depends on pods, and follows them when they are added or removed hypothetically.
    #[must_use]
    pub fn pre_filter_extensions(mut self) -> Self
    where
        P: PreFilterExtensions,
    {
        self.add_pod = Some(P::add_pod);
        self.remove_pod = Some(P::remove_pod);
        self
    }

    /// It keeps counts for the fast way through a cycle.
    #[must_use]
    pub fn columns(mut self) -> Self
    where
        P: Columns,
    {
        self.columns = Some(Box::new(self.plugin.clone()));
        self
    }

    /// It normalises its scores itself ([`Normalize::Custom`]).
    #[must_use]
    pub fn normalize_score(mut self) -> Self
    where
        P: NormalizeScore,
    {
        self.normalize = Some(P::normalize);
        self
    }

    fn cycle<'a>(&self, state: &'a State) -> &'a P::Cycle {
        (*state.0).as_any().downcast_ref().expect("the framework hands every plugin the state that it made")
    }

    fn cycle_mut<'a>(&self, state: &'a mut State) -> &'a mut P::Cycle {
        (*state.0)
            .as_any_mut()
            .downcast_mut()
            .expect("the framework hands every plugin the state that it made")
    }
}

impl<P: Plugin> From<Registration<P>> for Arc<dyn AnyPlugin> {
    fn from(registration: Registration<P>) -> Self {
        Arc::new(registration)
    }
}

const ABSENT: &str = "profiles call a plugin only at points that it registered";

impl<P: Plugin> AnyPlugin for Registration<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn reads(&self) -> Reads {
        P::READS
    }

    fn points(&self) -> &BTreeSet<Point> {
        &self.points
    }

    fn normalization(&self) -> Normalize {
        self.normalization
    }

    fn state(&self, pod: &PodInfo) -> State {
        State::new(self.plugin.pre_filter(pod))
    }

    fn groups_by(&self) -> &'static [&'static str] {
        P::GROUPS_BY
    }

    fn queue_key(&self, pod: &QueuedPod, objects: &Objects) -> SortKey {
        self.queue_key.expect(ABSENT)(&self.plugin, pod, objects)
    }

    fn events(&self) -> Vec<ClusterEvent> {
        self.events.map_or_else(|| P::WAKES_ON.to_vec(), |events| events(&self.plugin))
    }

    fn has_hints(&self) -> bool {
        self.hint.is_some()
    }

    fn hints_by_class(&self) -> bool {
        self.hints_by_class
    }

    fn columns(&self) -> Option<&dyn AnyColumns> {
        self.columns.as_deref()
    }

    fn hint(&self, pod: &PodInfo, object: &Object, change: &EventChange<'_>, objects: &Objects) -> Hint {
        self.hint.map_or(Hint::Queue, |hint| hint(&self.plugin, pod, object, change, objects))
    }

    fn pre_enqueue(&self, pod: &Object, surroundings: Surroundings<'_>) -> Verdict {
        self.pre_enqueue.expect(ABSENT)(&self.plugin, pod, surroundings)
    }

    fn pre_filter(&self, state: &mut State, attempt: &Attempt<'_>) -> PreFiltered {
        self.check.expect(ABSENT)(&self.plugin, self.cycle_mut(state), attempt)
    }

    fn filter(&self, state: &State, attempt: &Attempt<'_>, node: &NodeInfo) -> Verdict {
        self.filter.expect(ABSENT)(&self.plugin, self.cycle(state), attempt, node)
    }

    fn fits(&self, state: &State, attempt: &Attempt<'_>, node: &NodeInfo) -> bool {
        self.fits.expect(ABSENT)(&self.plugin, self.cycle(state), attempt, node)
    }

    fn filter_column(&self, state: &State, attempt: &Attempt<'_>, mask: &mut Mask) {
        self.filter_column.expect(ABSENT)(&self.plugin, self.cycle(state), attempt, mask);
    }

    fn follows_pods(&self) -> bool {
        self.add_pod.is_some()
    }

    fn add_pod(&self, state: &mut State, attempt: &Attempt<'_>, added: &NodePod, node: &NodeInfo) {
        if let Some(add_pod) = self.add_pod {
            add_pod(&self.plugin, self.cycle_mut(state), attempt, added, node);
        }
    }

    fn remove_pod(&self, state: &mut State, attempt: &Attempt<'_>, removed: &NodePod, node: &NodeInfo) {
        if let Some(remove_pod) = self.remove_pod {
            remove_pod(&self.plugin, self.cycle_mut(state), attempt, removed, node);
        }
    }

    fn post_filter(
        &self,
        state: &State,
        h: &Handle<'_>,
        d: &Diagnosis,
        effects: &mut Effects,
    ) -> PostFiltered {
        self.post_filter.expect(ABSENT)(&self.plugin, self.cycle(state), h, d, effects)
    }

    fn pre_score(&self, state: &mut State, attempt: &Attempt<'_>, feasible: &[Slot]) -> Status {
        self.pre_score.expect(ABSENT)(&self.plugin, self.cycle_mut(state), attempt, feasible)
    }

    fn score_all(&self, state: &State, pod: &PodInfo, cluster: &Cache, slots: &[Slot], out: &mut [i64]) {
        self.score_all.expect(ABSENT)(&self.plugin, self.cycle(state), pod, cluster, slots, out);
    }

    fn score_column(&self, state: &State, pod: &PodInfo, cluster: &Cache, out: &mut [i64]) {
        self.score_column.expect(ABSENT)(&self.plugin, self.cycle(state), pod, cluster, out);
    }

    fn normalize(&self, state: &State, pod: &PodInfo, scores: &mut [i64]) -> Status {
        match self.normalize {
            Some(normalize) => normalize(&self.plugin, self.cycle(state), pod, scores),
            None => Status::success(),
        }
    }

    fn reserve(&self, state: &mut State, attempt: &Attempt<'_>, node: &str, effects: &mut Effects) -> Status {
        self.reserve.expect(ABSENT)(&self.plugin, self.cycle_mut(state), attempt, node, effects)
    }

    fn unreserve(&self, state: &mut State, attempt: &Attempt<'_>, node: &str, effects: &mut Effects) {
        self.unreserve.expect(ABSENT)(&self.plugin, self.cycle_mut(state), attempt, node, effects);
    }

    fn permit(&self, state: &mut State, attempt: &Attempt<'_>, node: &str, w: &mut Waiting) -> Permission {
        self.permit.expect(ABSENT)(&self.plugin, self.cycle_mut(state), attempt, node, w)
    }

    fn pre_bind(
        &self,
        state: &mut State,
        attempt: &Attempt<'_>,
        node: &str,
        answers: &[Result<Arc<Object>, ApiError>],
        effects: &mut Effects,
    ) -> PreBound {
        self.pre_bind.expect(ABSENT)(&self.plugin, self.cycle_mut(state), attempt, node, answers, effects)
    }

    fn bind(&self, attempt: &Attempt<'_>, node: &str) -> Binding {
        self.bind.expect(ABSENT)(&self.plugin, attempt, node)
    }

    fn post_bind(&self, state: &mut State, attempt: &Attempt<'_>, node: &str) {
        self.post_bind.expect(ABSENT)(&self.plugin, self.cycle_mut(state), attempt, node);
    }
}
