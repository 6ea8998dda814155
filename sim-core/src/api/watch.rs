//! Watches: a commit is routed to those that want it, waits out the propagation delay, and is delivered in batches, one
//! per (watcher, instant).

use std::collections::VecDeque;

use super::object::Object;
use crate::api::request::{Change, ChangeKind};
use crate::engine::component::Watch;
use crate::engine::random::Stream;
use crate::engine::timing::Delay;
use crate::time::Time;

/// Handle of an open watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u32);

/// How changes get to a watcher.
#[derive(Clone, Debug)]
pub struct Routing {
    /// From commit to visibility.
    pub delay: Delay,
    /// Draws the delay.
    pub stream: Option<Stream>,
    /// True if the owner wants to be woken (components); false if it polls (clients).
    pub wakes: bool,
    /// Changes that may wait before the watch is closed as too slow (410 for a client).
    pub buffer: usize,
}

impl Routing {
    /// A client that polls, sees commits at once, and may fall behind by 10,000 changes.
    pub fn external() -> Routing {
        Routing { delay: Delay::ZERO, stream: None, wakes: false, buffer: 10_000 }
    }
}

#[derive(Clone, Debug)]
struct Watcher {
    filter: Watch,
    routing: Routing,
    waiting: VecDeque<(Time, Change)>,
    /// A wake-up is on its way for this instant.
    woken_for: Option<Time>,
    closed: bool,
}

/// All open watches.
#[derive(Clone, Debug, Default)]
pub struct Watchers {
    all: Vec<Watcher>,
    /// Per kind, who watches it.
    by_kind: Vec<Vec<WatcherId>>,
    /// Wake-ups to be scheduled, in order of routing.
    wakes: Vec<(Time, WatcherId)>,
}

impl Watchers {
    /// Opens a watch with nothing waiting.
    pub fn open(&mut self, filter: Watch, routing: Routing) -> WatcherId {
        let id = WatcherId(self.all.len() as u32);
        let kind = filter.kind.index();
        if self.by_kind.len() <= kind {
            self.by_kind.resize_with(kind + 1, Vec::new);
        }
        self.by_kind[kind].push(id);
        let (waiting, woken_for) = (VecDeque::new(), None);
        self.all.push(Watcher { filter, routing, waiting, woken_for, closed: false });
        id
    }

    /// Ends a watch; what waits is dropped.
    pub fn close(&mut self, id: WatcherId) {
        if let Some(watcher) = self.all.get_mut(id.0 as usize) {
            watcher.closed = true;
            watcher.waiting = VecDeque::new();
            let kind = watcher.filter.kind.index();
            self.by_kind[kind].retain(|other| *other != id);
        }
    }

    /// True if the watch was closed, by its owner or as too slow.
    pub fn is_closed(&self, id: WatcherId) -> bool {
        self.all.get(id.0 as usize).is_none_or(|w| w.closed)
    }

    /// Routes a commit to everyone who wants it.
    pub(super) fn route(&mut self, now: Time, change: &Change) {
        let Some(ids) = self.by_kind.get(change.new.kind.index()) else { return };
        let mut overflown = Vec::new();
        for &id in ids {
            if offer(&mut self.all[id.0 as usize], &mut self.wakes, now, id, change) {
                overflown.push(id);
            }
        }
        for id in overflown {
            self.close(id);
        }
    }

    /// Offers a change to one watcher.
    pub(super) fn offer(&mut self, now: Time, id: WatcherId, change: &Change) {
        offer(&mut self.all[id.0 as usize], &mut self.wakes, now, id, change);
    }

    /// Wake-ups that have to be scheduled; each is answered by one [`Watchers::take`].
    pub fn drain_wakes(&mut self) -> std::vec::Drain<'_, (Time, WatcherId)> {
        self.wakes.drain(..)
    }

    /// True if wake-ups have to be scheduled.
    pub fn has_wakes(&self) -> bool {
        !self.wakes.is_empty()
    }

    /// What has become visible to a watcher by now, in commit order.
    pub fn take(&mut self, now: Time, id: WatcherId) -> Vec<Change> {
        let Some(watcher) = self.all.get_mut(id.0 as usize) else { return Vec::new() };
        let visible = watcher.waiting.partition_point(|(at, _)| *at <= now);
        let batch = watcher.waiting.drain(..visible).map(|(_, change)| change).collect();
        watcher.woken_for = None;
        if let (true, Some((at, _))) = (watcher.routing.wakes, watcher.waiting.front()) {
            watcher.woken_for = Some(*at);
            self.wakes.push((*at, id));
        }
        batch
    }

    /// As [`Watchers::take`], for a client that polls and wants to know when each change became visible.
    pub fn poll(&mut self, now: Time, id: WatcherId) -> Vec<(Time, Change)> {
        let Some(watcher) = self.all.get_mut(id.0 as usize) else { return Vec::new() };
        let visible = watcher.waiting.partition_point(|(at, _)| *at <= now);
        watcher.waiting.drain(..visible).collect()
    }
}

/// Offers a change to one watcher; true if its buffer overflows.
fn offer(
    watcher: &mut Watcher,
    wakes: &mut Vec<(Time, WatcherId)>,
    now: Time,
    id: WatcherId,
    change: &Change,
) -> bool {
    let Some(change) = seen_by(&watcher.filter, change) else { return false };
    let delay = match (watcher.routing.delay.as_constant(), &mut watcher.routing.stream) {
        (Some(constant), _) => constant,
        (None, Some(stream)) => watcher.routing.delay.sample(stream),
        (None, None) => crate::time::Span::ZERO,
    };
    // A watch is one stream: nothing overtakes.
    let at = watcher.waiting.back().map_or(now + delay, |(last, _)| (now + delay).max(*last));
    watcher.waiting.push_back((at, change));
    if watcher.routing.wakes && watcher.woken_for.is_none() {
        watcher.woken_for = Some(at);
        wakes.push((at, id));
    }
    watcher.waiting.len() > watcher.routing.buffer
}

/// A change as a filtered watch sees it: an object that starts or stops to match is added or deleted.
fn seen_by(filter: &Watch, change: &Change) -> Option<Change> {
    let before = change.old.as_deref().is_some_and(|o| matches(filter, o));
    let after = change.kind != ChangeKind::Deleted && matches(filter, &change.new);
    match (before, after) {
        (false, false) => None,
        (true, true) => Some(change.clone()),
        (false, true) => Some(Change { kind: ChangeKind::Added, ..change.clone() }),
        (true, false) => Some(Change { kind: ChangeKind::Deleted, ..change.clone() }),
    }
}

/// True if an object is one the watch is for.
pub fn matches(filter: &Watch, object: &Object) -> bool {
    let assigned = match (filter.assigned, object.as_pod()) {
        (None, _) => true,
        (Some(wanted), Some(pod)) => wanted != pod.node_name.is_empty(),
        (Some(_), None) => false,
    };
    assigned
        && (filter.namespace.is_empty() || filter.namespace == object.meta.namespace())
        && filter.labels.iter().all(|(k, v)| object.meta.label(k) == Some(v))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::kind::Kind;
    use crate::api::meta::{Key, Meta};
    use crate::api::object::{Body, Pod};
    use crate::time::millis;

    fn pod(node: &str) -> Arc<Object> {
        let body = Body::Pod(Pod { node_name: node.into(), ..Pod::default() });
        Arc::new(Object::new(Meta::named(Key::new("default", "p")), body))
    }

    fn modified(old: &str, new: &str) -> Change {
        Change { kind: ChangeKind::Modified, old: Some(pod(old)), new: pod(new) }
    }

    #[test]
    fn a_bind_is_an_addition_for_the_kubelets() {
        let kubelets = Watch::assigned_pods();
        let unbound = Watch { assigned: Some(false), ..Watch::all(Kind::POD) };
        let bind = modified("", "n1");
        assert_eq!(seen_by(&kubelets, &bind).map(|c| c.kind), Some(ChangeKind::Added));
        assert_eq!(seen_by(&unbound, &bind).map(|c| c.kind), Some(ChangeKind::Deleted));
        assert!(seen_by(&kubelets, &modified("", "")).is_none());
    }

    #[test]
    fn one_wake_serves_everything_of_an_instant() {
        let mut watchers = Watchers::default();
        let routing = Routing { delay: Delay::Constant(millis(5)), wakes: true, ..Routing::external() };
        let id = watchers.open(Watch::all(Kind::POD), routing);
        watchers.route(Time(0), &modified("", "a"));
        watchers.route(Time(0), &modified("a", "b"));
        watchers.route(Time(1), &modified("b", "c"));
        let due = Time(millis(5).0);
        assert_eq!(watchers.drain_wakes().collect::<Vec<_>>(), [(due, id)]);
        assert_eq!(watchers.take(due, id).len(), 2);
        assert_eq!(watchers.drain_wakes().collect::<Vec<_>>(), [(Time(due.0 + 1), id)]);
        assert_eq!(watchers.take(Time(due.0 + 1), id).len(), 1);
    }

    #[test]
    fn a_client_that_never_reads_is_closed() {
        let mut watchers = Watchers::default();
        let id = watchers.open(Watch::all(Kind::POD), Routing { buffer: 3, ..Routing::external() });
        for _ in 0..4 {
            watchers.route(Time(0), &modified("", "a"));
        }
        assert!(watchers.is_closed(id));
    }
}
