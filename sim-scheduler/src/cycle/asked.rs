//! Every plugin asked about single nodes, whatever the others say: for explanations and what-ifs.

use super::plain::{Search, with_nominated_pods};
use super::{CycleState, Evaluation, Nominator, Sampling};
use crate::cache::Slot;
use crate::framework::{Attempt, Diagnosis, Point, Profile, Status};
use crate::node::NodeInfo;

/// A pod whose PreFilter plugins have been asked. Nothing here looks at scores or asks extenders.
pub struct Asked<'a> {
    search: Search<'a>,
    state: CycleState,
    found: Evaluation,
}

impl<'a> Asked<'a> {
    /// Asks the PreFilter plugins.
    pub fn new(profile: &'a Profile, attempt: Attempt<'a>, nominator: &'a Nominator) -> Asked<'a> {
        let mut state = CycleState::new(profile, attempt.pod);
        let search =
            Search { profile, attempt, nominator, sampling: Sampling::All, start: 0, extenders: None };
        let mut found = Evaluation::default();
        search.pre_filter(&mut state, &mut found);
        Asked { search, state, found }
    }

    /// What is known before any node was looked at.
    pub fn diagnosis(&self) -> &Diagnosis {
        &self.found.diagnosis
    }

    /// What PreFilter plugins say of the pod as a whole, if they refuse it or fail.
    pub fn refused(&self) -> Option<&Status> {
        self.found.error.as_ref().or(self.found.diagnosis.pre_filter.as_ref())
    }

    /// Plugins that have nothing to filter for this pod.
    pub fn skipped(&self) -> impl Iterator<Item = &'static str> {
        let profile = self.search.profile;
        let filters = profile.at(Point::Filter).iter();
        filters.filter(|i| self.state.skip_filter[**i]).map(|i| profile.plugin(*i).name())
    }

    /// True if the pod may run on a node.
    pub fn fits(&self, slot: Slot) -> bool {
        let Search { profile, attempt, nominator, .. } = &self.search;
        let node = attempt.cluster.node(slot);
        self.refused().is_none()
            && !self.excludes(node)
            && super::filters_with_nominated_pods(profile, &self.state, attempt, nominator, node).is_none()
    }

    /// True if PreFilter plugins restricted the search to other nodes.
    fn excludes(&self, node: &NodeInfo) -> bool {
        self.found.pre_filter_nodes.as_ref().is_some_and(|names| !names.contains(&node.name))
    }

    /// What every plugin that refuses a node says, the one that counts first. Empty if the pod may run there.
    pub fn refusals(&self, slot: Slot) -> Vec<Status> {
        let Search { profile, attempt, nominator, .. } = &self.search;
        if let Some(status) = self.refused() {
            return vec![status.clone()];
        }
        let node = attempt.cluster.node(slot);
        let mut said: Vec<Status> = Vec::new();
        if self.excludes(node) {
            said.extend(self.found.diagnosis.absent.clone());
        }
        let crowded = with_nominated_pods(profile, &self.state, attempt, nominator, node);
        let crowded = crowded.as_ref().map(|(node, state)| (node, state.as_ref().unwrap_or(&self.state)));
        for (node, state) in crowded.into_iter().chain([(node, &self.state)]) {
            for status in refusals(profile, state, attempt, node) {
                if said.iter().all(|known| known.plugin != status.plugin) {
                    said.push(status);
                }
            }
        }
        said
    }
}

/// What every plugin says that does not let the pod pass.
fn refusals<'a>(
    profile: &'a Profile,
    state: &'a CycleState,
    attempt: &'a Attempt<'_>,
    node: &'a NodeInfo,
) -> impl Iterator<Item = Status> + 'a {
    let asked = profile.at(Point::Filter).iter().filter(|i| !state.skip_filter[**i]);
    asked.filter_map(move |i| {
        let plugin = profile.plugin(*i);
        plugin.filter(state.of(*i), attempt, node).into_status(plugin.name())
    })
}
