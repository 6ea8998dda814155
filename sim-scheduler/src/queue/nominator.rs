//! Pods that were promised a node and are not there yet (`nominator.go`, `status.nominatedNodeName`).

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sim_core::api::meta::Uid;
use sim_core::api::object::Object;
use smol_str::SmolStr;

use crate::node::NodePod;
use crate::pod::PodInfo;

#[derive(Clone, Debug)]
struct Promise {
    node: SmolStr,
    order: u64,
}

/// Pods that were promised a node.
///
/// A promise may have been taken back by a scheduler that did not tell the API server yet. As upstream, it is kept then
/// under no name, so that the pod's own status does not bring it back.
#[derive(Clone, Debug, Default)]
pub struct Nominator {
    /// Promises of real nodes.
    by_node: FxHashMap<SmolStr, Vec<NodePod>>,
    by_pod: FxHashMap<Uid, Promise>,
    next: u64,
    /// Nodes whose promises changed, oldest first; the older ones are dropped.
    changes: Vec<SmolStr>,
    changes_base: u64,
}

/// Changes that are always kept; few in tests, so that they see what happens without the older ones.
const KEPT_CHANGES: usize = if cfg!(test) { 8 } else { 1024 };

fn nominated(pod: &Object) -> &str {
    pod.as_pod().map_or("", |p| &p.status.nominated_node_name)
}

impl Nominator {
    /// Promises a node, or takes the promise back in spite of the pod's status (an empty name).
    pub fn nominate(&mut self, uid: Uid, info: &Arc<PodInfo>, node: &str) {
        self.remove(uid);
        self.next += 1;
        self.by_pod.insert(uid, Promise { node: SmolStr::new(node), order: self.next });
        if !node.is_empty() {
            let node = SmolStr::new(node);
            self.by_node.entry(node.clone()).or_default().push(NodePod { uid, info: info.clone() });
            self.changed(node);
        }
    }

    /// Promises what the pod's status says (`AddNominatedPod` without a mode of its own).
    pub fn add(&mut self, pod: &Object, info: &Arc<PodInfo>) {
        match nominated(pod) {
            "" => self.remove(pod.meta.uid),
            node => self.nominate(pod.meta.uid, info, node),
        }
    }

    /// A waiting pod changed (`UpdateNominatedPod`). A promise that its status never told of stays as it is: the update
    /// may be older than the promise.
    pub fn update(&mut self, old: &Object, new: &Object, info: &Arc<PodInfo>) {
        match self.by_pod.get(&old.meta.uid) {
            Some(promise) if nominated(old).is_empty() && nominated(new).is_empty() => {
                let node = promise.node.clone();
                self.nominate(new.meta.uid, info, &node);
            }
            _ => self.add(new, info),
        }
    }

    /// Takes a promise back.
    pub fn remove(&mut self, uid: Uid) {
        let Some(Promise { node, .. }) = self.by_pod.remove(&uid) else { return };
        if let Some(pods) = self.by_node.get_mut(&node) {
            pods.retain(|pod| pod.uid != uid);
            if pods.is_empty() {
                self.by_node.remove(&node);
            }
            self.changed(node);
        }
    }

    fn changed(&mut self, node: SmolStr) {
        self.changes.push(node);
        let keep = (4 * self.by_node.len()).max(KEPT_CHANGES);
        if self.changes.len() > 2 * keep {
            let drop = self.changes.len() - keep;
            self.changes.drain(..drop);
            self.changes_base += drop as u64;
        }
    }

    /// Nodes whose promises changed since a mark, oldest first, some more than once, and the new mark. `None` if the mark
    /// is too old: then those of every node may have changed.
    pub(crate) fn changes_since(&self, mark: u64) -> (Option<&[SmolStr]>, u64) {
        let end = self.changes_base + self.changes.len() as u64;
        let nodes = mark.checked_sub(self.changes_base).and_then(|from| self.changes.get(from as usize..));
        (nodes, end)
    }

    /// True if nobody was promised a node.
    pub fn is_empty(&self) -> bool {
        self.by_node.is_empty()
    }

    /// Nodes that pods of at least some priority were promised, in no order.
    pub(crate) fn nodes(&self, priority: i32) -> impl Iterator<Item = &str> {
        let weighs = move |pods: &[NodePod]| pods.iter().any(|pod| pod.info.priority >= priority);
        self.by_node.iter().filter(move |(_, pods)| weighs(pods)).map(|(node, _)| node.as_str())
    }

    /// The node that a pod was promised; empty if the promise was taken back.
    pub fn node_of(&self, uid: Uid) -> Option<&SmolStr> {
        self.by_pod.get(&uid).map(|promise| &promise.node)
    }

    /// Pods that were promised a node, in the order of the promises.
    pub fn on(&self, node: &str) -> &[NodePod] {
        self.by_node.get(node).map_or(&[], Vec::as_slice)
    }

    /// All promises with their nodes, in the order they were made.
    pub fn all(&self) -> Vec<(Uid, &str)> {
        let mut all: Vec<_> = self.by_pod.iter().map(|(uid, p)| (p.order, *uid, p.node.as_str())).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, uid, node)| (uid, node)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use sim_core::api::object::Body;

    fn promised(node: &str) -> Object {
        let mut object = pod("p").build();
        if let Body::Pod(body) = &mut object.body {
            Arc::make_mut(&mut body.status).nominated_node_name = node.into();
        }
        object
    }

    #[test]
    fn changes_are_told_from_a_mark_on_until_it_is_too_old() {
        let info = Arc::new(pod("p").info());
        let (a, b) = (pod("a").build().meta.uid, pod("b").build().meta.uid);
        let mut nominator = Nominator::default();
        let (changes, start) = nominator.changes_since(0);
        assert_eq!(changes, Some(&[][..]));
        nominator.nominate(a, &info, "x");
        nominator.nominate(b, &info, "y");
        nominator.nominate(a, &info, "");
        nominator.remove(a);
        let (changes, mark) = nominator.changes_since(start);
        assert_eq!(changes, Some(&["x", "y", "x"].map(SmolStr::new)[..]), "no promise is no change");
        nominator.remove(b);
        assert_eq!(nominator.changes_since(mark).0, Some(&[SmolStr::new("y")][..]));
        for _ in 0..2 * KEPT_CHANGES {
            nominator.nominate(a, &info, "x");
        }
        assert_eq!(nominator.changes_since(mark).0, None, "too old");
        let (changes, end) = nominator.changes_since(nominator.changes_since(mark).1);
        assert_eq!((changes, nominator.changes_since(end).0), (Some(&[][..]), Some(&[][..])));
    }

    #[test]
    fn promises_follow_the_status_and_outlive_old_news() {
        let info = Arc::new(pod("p").info());
        let uid = pod("p").build().meta.uid;
        let (none, a, b) = (promised(""), promised("a"), promised("b"));
        let mut nominator = Nominator::default();
        nominator.nominate(uid, &info, "a");
        nominator.update(&none, &none, &info);
        assert_eq!(nominator.on("a").len(), 1, "the status does not know yet");
        for (old, new, node) in [(&none, &a, Some("a")), (&a, &b, Some("b")), (&b, &none, None)] {
            nominator.update(old, new, &info);
            assert_eq!(nominator.node_of(uid).map(SmolStr::as_str), node);
        }
        assert!(nominator.is_empty());
        nominator.nominate(uid, &info, "");
        assert_eq!((nominator.all(), nominator.is_empty()), (vec![(uid, "")], true));
        nominator.update(&none, &none, &info);
        assert_eq!(nominator.all(), [(uid, "")]);
        nominator.add(&none, &info);
        assert_eq!(nominator.all(), []);
    }
}
