//! One scheduling cycle: from a pod to a node (`schedule_one.go`, `schedulePod`).
//!
//! There are two ways through it. The plain one ([`plain`]) asks every plugin about every node, in upstream's order, and
//! keeps everything that was said. The fast one ([`fast`]) keeps answers per pod class and node and only asks about
//! nodes that changed. Both find the same node; a property test holds them to it.

mod asked;
mod fast;
mod plain;
mod post_filter;

use sim_core::engine::random::Stream;

pub use crate::queue::Nominator;
pub use asked::Asked;
pub use fast::{FastCycles, FastOutcome};
pub use plain::{
    Evaluation, PluginScores, evaluate, evaluate_with_extenders, filters_with_nominated_pods, run_filters,
};
pub use post_filter::run_post_filters;

use crate::cache::{Cache, Slot};
use crate::framework::{Attempt, Point, Profile, State};
use crate::node::{NodeInfo, NodePod};
use crate::pod::PodInfo;

/// How many nodes an attempt looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// As upstream: from 100 nodes on, until a share of them was found feasible. The number is
    /// `percentageOfNodesToScore`, 0 for the adaptive default.
    Percentage(i32),
    /// All of them.
    All,
    /// So many feasible ones, whatever the size of the cluster: for tests.
    #[cfg(test)]
    Window(usize),
}

impl Sampling {
    /// How many feasible nodes end the search among so many nodes (`numFeasibleNodesToFind`).
    pub fn enough(self, nodes: usize, profile: &Profile) -> usize {
        match self {
            Sampling::Percentage(_) if profile.at(Point::Score).is_empty() => nodes.min(1),
            _ => self.to_compare(nodes, profile),
        }
    }

    /// The same where it matters which one is taken, whatever plugins the profile has.
    pub(crate) fn to_compare(self, nodes: usize, profile: &Profile) -> usize {
        let global = match self {
            Sampling::Percentage(global) => global,
            Sampling::All => return nodes,
            #[cfg(test)]
            Sampling::Window(feasible) => return feasible,
        };
        if nodes < 100 {
            return nodes;
        }
        let percentage = match profile.percentage_of_nodes_to_score.unwrap_or(global) {
            0 => (50 - nodes as i64 / 125).max(5),
            given => i64::from(given),
        };
        usize::try_from(nodes as i64 * percentage / 100).unwrap_or(0).clamp(100, nodes.max(100))
    }
}

/// How one of the best nodes is chosen.
#[expect(clippy::large_enum_variant, reason = "there is one per scheduler")]
#[derive(Clone, Debug)]
pub enum TieBreak {
    /// By one draw per decision: an index into the best nodes in the order of the cache.
    // DIFFERS: upstream draws by reservoir, once per tied node; the distribution is the same, and one draw per decision
    // keeps all ways through a cycle in step.
    Random(Stream),
    /// The one whose name sorts first: for conformance and studies.
    LowestName,
}

/// State of all plugins for one cycle.
#[derive(Clone)]
pub struct CycleState {
    states: Vec<State>,
    skip_filter: Vec<bool>,
    skip_score: Vec<bool>,
}

impl CycleState {
    /// Fresh state for a pod.
    pub fn new(profile: &Profile, pod: &PodInfo) -> CycleState {
        CycleState {
            states: (0..profile.len()).map(|i| profile.plugin(i).state(pod)).collect(),
            skip_filter: vec![false; profile.len()],
            skip_score: vec![false; profile.len()],
        }
    }

    /// State of a plugin.
    pub fn of(&self, plugin: usize) -> &State {
        &self.states[plugin]
    }

    /// True if some plugin's state changes when pods are added or removed hypothetically.
    pub fn follows_pods(&self, profile: &Profile) -> bool {
        profile
            .at(Point::PreFilter)
            .iter()
            .any(|i| !self.skip_filter[*i] && profile.plugin(*i).follows_pods())
    }

    /// As if a pod were on a node, which has it already.
    pub fn add_pod(&mut self, profile: &Profile, attempt: &Attempt<'_>, added: &NodePod, node: &NodeInfo) {
        for &i in profile.at(Point::PreFilter) {
            if !self.skip_filter[i] {
                profile.plugin(i).add_pod(&mut self.states[i], attempt, added, node);
            }
        }
    }

    /// As if a pod were not on a node, which does not have it any more.
    pub fn remove_pod(
        &mut self,
        profile: &Profile,
        attempt: &Attempt<'_>,
        removed: &NodePod,
        node: &NodeInfo,
    ) {
        for &i in profile.at(Point::PreFilter) {
            if !self.skip_filter[i] {
                profile.plugin(i).remove_pod(&mut self.states[i], attempt, removed, node);
            }
        }
    }

    /// State of a plugin, to be changed.
    pub fn of_mut(&mut self, plugin: usize) -> &mut State {
        &mut self.states[plugin]
    }
}

impl std::fmt::Debug for CycleState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CycleState").field("plugins", &self.states.len()).finish()
    }
}

impl TieBreak {
    /// One of several slots, given in the order of the cache.
    pub(crate) fn choose(&mut self, cluster: &Cache, best: &[Slot]) -> Option<Slot> {
        self.choose_among(cluster, best.len(), best.iter().copied())
    }

    /// One of so many slots, given in the order of the cache.
    fn choose_among(
        &mut self,
        cluster: &Cache,
        count: usize,
        mut best: impl Iterator<Item = Slot>,
    ) -> Option<Slot> {
        match self {
            TieBreak::Random(stream) => {
                let mut before = stream.below(count);
                // Not by `nth`, which steps through chains and filters at half the speed.
                best.find(|_| {
                    let is_it = before == 0;
                    before = before.wrapping_sub(1);
                    is_it
                })
            }
            TieBreak::LowestName => best.min_by(|a, b| {
                let name = |slot: &Slot| &cluster.node(*slot).name;
                name(a).cmp(name(b))
            }),
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod topology_tests;
