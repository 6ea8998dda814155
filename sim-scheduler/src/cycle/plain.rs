//! The plain way through a cycle: every plugin, every node, everything kept.

use std::collections::BTreeSet;

use sim_core::api::meta::Uid;
use smol_str::{SmolStr, format_smolstr};

use super::{CycleState, Nominator, Sampling};
use crate::cache::Slot;
use crate::extender::{EXTENDER, ExtenderCalls, ExtenderScores, Extenders, Returned};
use crate::framework::{Attempt, Code, Diagnosis, Normalize, Point, PreFiltered, Profile, Status};
use crate::node::{NodeInfo, NodePod};

/// Scores of one plugin, parallel to [`Evaluation::feasible`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginScores {
    /// Plugin.
    pub plugin: &'static str,
    /// As it gave them.
    pub raw: Vec<i64>,
    /// Normalised and times its weight.
    pub weighted: Vec<i64>,
}

/// Everything about one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Names that PreFilter restricted the search to.
    pub pre_filter_nodes: Option<BTreeSet<SmolStr>>,
    /// Refusals.
    pub diagnosis: Diagnosis,
    /// Nodes that passed, in the order they were looked at.
    pub feasible: Vec<Slot>,
    /// True if the nominated node passed, and nothing else was looked at.
    pub nominated_first: bool,
    /// Scores, if there was a choice. Plugins that skipped are absent.
    pub scores: Vec<PluginScores>,
    /// Scores of extenders, if there was a choice. Those that have no preference are absent.
    pub extender_scores: Vec<ExtenderScores>,
    /// How often extenders were asked.
    pub extender_calls: ExtenderCalls,
    /// Sum of the weighted scores, parallel to `feasible`.
    pub totals: Vec<i64>,
    /// Nodes of the highest total, in the order of the cache.
    pub best: Vec<Slot>,
    /// Where the next search starts.
    pub next_start: usize,
    /// Set if the attempt ended in an error.
    pub error: Option<Status>,
}

impl Evaluation {
    /// Nodes that were looked at.
    pub fn evaluated(&self) -> usize {
        self.feasible.len() + self.diagnosis.nodes.len()
    }

    /// The highest total, 0 without a choice.
    pub fn score(&self) -> i64 {
        self.totals.iter().copied().max().unwrap_or(0)
    }
}

/// What a cycle works with beside the pod.
pub(super) struct Search<'a> {
    pub(super) profile: &'a Profile,
    pub(super) attempt: Attempt<'a>,
    pub(super) nominator: &'a Nominator,
    pub(super) sampling: Sampling,
    pub(super) start: usize,
    /// `None` if there are none.
    pub(super) extenders: Option<&'a Extenders>,
}

/// Finds the best nodes for a pod. `start` is where the last search ended; the pod's own nominated node is tried first.
pub fn evaluate(
    profile: &Profile,
    attempt: Attempt<'_>,
    nominator: &Nominator,
    sampling: Sampling,
    start: usize,
) -> (Evaluation, CycleState) {
    evaluate_with_extenders(profile, attempt, nominator, (sampling, start), &Extenders::default())
}

/// The same, and asks extenders.
pub fn evaluate_with_extenders(
    profile: &Profile,
    attempt: Attempt<'_>,
    nominator: &Nominator,
    (sampling, start): (Sampling, usize),
    extenders: &Extenders,
) -> (Evaluation, CycleState) {
    let mut state = CycleState::new(profile, attempt.pod);
    let extenders = Some(extenders).filter(|extenders| !extenders.is_empty());
    let search = Search { profile, attempt, nominator, sampling, start, extenders };
    let mut out = Evaluation { next_start: start, ..Evaluation::default() };
    search.run(&mut state, &mut out);
    (out, state)
}

impl Search<'_> {
    fn run(&self, state: &mut CycleState, out: &mut Evaluation) {
        if !self.pre_filter(state, out) || out.error.is_some() {
            return;
        }
        let cluster = self.attempt.cluster;
        let nominated =
            self.attempt.object.as_pod().map(|p| p.status.nominated_node_name.as_str()).unwrap_or("");
        let mut returned = Returned::default();
        if let Some(slot) = cluster.slot(nominated) {
            self.filter(state, &[slot], out);
            self.ask_extenders(out, &mut returned);
            // Upstream logs an error about the nominated node and goes on.
            if out.error.take().is_some() {
                out.feasible.clear();
            }
            out.nominated_first = !out.feasible.is_empty();
        }
        if !out.nominated_first {
            let restricted: Vec<Slot>;
            let nodes = match &out.pre_filter_nodes {
                None => cluster.order(),
                Some(names) => {
                    // DIFFERS: upstream walks the set of names in random order; here it is the order of the cache.
                    let mut slots: Vec<Slot> = names.iter().filter_map(|name| cluster.slot(name)).collect();
                    slots.sort_unstable_by_key(|slot| cluster.position(*slot));
                    restricted = slots;
                    &restricted
                }
            };
            returned.clear();
            self.filter(state, nodes, out);
            out.next_start = (self.start + out.evaluated()) % cluster.order().len().max(1);
            let passed = out.feasible.len();
            self.ask_extenders(out, &mut returned);
            if out.error.is_none() && out.feasible.len() != passed {
                out.diagnosis.unschedulable_plugins.insert(SmolStr::new_static(EXTENDER));
            }
        }
        if out.error.is_none() {
            self.score(state, out, &returned);
        }
    }

    /// `RunPreFilterPlugins`. False if the pod was refused.
    pub(super) fn pre_filter(&self, state: &mut CycleState, out: &mut Evaluation) -> bool {
        let mut with_nodes: BTreeSet<&'static str> = BTreeSet::new();
        let mut refused: Option<Status> = None;
        for &i in self.profile.at(Point::PreFilter) {
            let plugin = self.profile.plugin(i);
            match plugin.pre_filter(state.of_mut(i), &self.attempt) {
                PreFiltered::Proceed => {}
                PreFiltered::Skip => state.skip_filter[i] = true,
                PreFiltered::Nodes(names) => {
                    with_nodes.insert(plugin.name());
                    let names = match out.pre_filter_nodes.take() {
                        None => names,
                        Some(old) => old.intersection(&names).cloned().collect(),
                    };
                    let empty = names.is_empty();
                    out.pre_filter_nodes = Some(names);
                    if empty {
                        let names: Vec<_> = with_nodes.iter().copied().collect();
                        let message = match names.as_slice() {
                            [one] => format_smolstr!("node(s) didn't satisfy plugin {one}"),
                            many => format_smolstr!(
                                "node(s) didn't satisfy plugin(s) [{}] simultaneously",
                                many.join(" ")
                            ),
                        };
                        refused = Some(Status::new(Code::UnschedulableAndUnresolvable, message));
                        break;
                    }
                }
                PreFiltered::Refused(status) => {
                    let status = status.by(plugin.name());
                    if !status.code.is_rejected() {
                        let text = format_smolstr!("running PreFilter plugin {:?}: {status}", plugin.name());
                        out.error = Some(Status::error(text).by(plugin.name()));
                        return false;
                    }
                    let stop = status.code == Code::UnschedulableAndUnresolvable;
                    if stop {
                        with_nodes.clear();
                    }
                    refused = Some(status);
                    if stop {
                        break;
                    }
                }
            }
        }
        out.diagnosis.unschedulable_plugins = with_nodes.iter().map(|n| SmolStr::new_static(n)).collect();
        if let Some(status) = refused {
            out.diagnosis.blame(&status);
            out.diagnosis.pre_filter = Some(status);
            return false;
        }
        if out.pre_filter_nodes.is_some() {
            let names: Vec<_> = with_nodes.into_iter().collect();
            let text = format_smolstr!("node(s) didn't satisfy plugin(s) [{}]", names.join(" "));
            out.diagnosis.absent = Some(Status::new(Code::UnschedulableAndUnresolvable, text));
        }
        true
    }

    /// `findNodesThatPassExtenders`.
    fn ask_extenders(&self, out: &mut Evaluation, returned: &mut Returned) {
        if let Some(extenders) = self.extenders.filter(|_| out.error.is_none()) {
            out.error = extenders.filter(&self.attempt, out, returned).err();
        }
    }

    /// `findNodesThatPassFilters`.
    fn filter(&self, state: &CycleState, nodes: &[Slot], out: &mut Evaluation) {
        let enough = match self.extenders {
            Some(extenders) if extenders.compare() => self.sampling.to_compare(nodes.len(), self.profile),
            _ => self.sampling.enough(nodes.len(), self.profile),
        };
        // Of a nominated node that was refused: it is looked at once more.
        let before: Vec<Slot> = out.diagnosis.nodes.iter().map(|(slot, _)| slot).collect();
        for i in 0..nodes.len() {
            let slot = nodes[(self.start + i) % nodes.len()];
            let node = self.attempt.cluster.node(slot);
            match filters_with_nominated_pods(self.profile, state, &self.attempt, self.nominator, node) {
                // One more than enough ends the search; it does not count as looked at.
                None if out.feasible.len() >= enough => break,
                None => out.feasible.push(slot),
                Some(status) if status.code == Code::Error => {
                    out.error = Some(status);
                    break;
                }
                Some(status) => {
                    if before.contains(&slot) {
                        out.diagnosis.nodes.remove(slot);
                    }
                    out.diagnosis.blame(&status);
                    out.diagnosis.nodes.push(slot, status);
                }
            }
        }
    }

    /// `prioritizeNodes`.
    fn score(&self, state: &mut CycleState, out: &mut Evaluation, returned: &Returned) {
        if out.feasible.len() > 1 {
            if let Err(error) = self.scores(state, out, returned) {
                out.error = Some(error);
                return;
            }
        } else {
            out.best = out.feasible.clone();
            return;
        }
        out.totals = vec![0; out.feasible.len()];
        let plugins = out.scores.iter().map(|scores| &scores.weighted);
        for scores in plugins.chain(out.extender_scores.iter().map(|scores| &scores.weighted)) {
            for (total, score) in out.totals.iter_mut().zip(scores) {
                *total = total.wrapping_add(*score);
            }
        }
        let highest = out.score();
        let best = out.feasible.iter().zip(&out.totals).filter(|(_, total)| **total == highest);
        out.best = best.map(|(slot, _)| *slot).collect();
        out.best.sort_by_key(|slot| self.attempt.cluster.position(*slot));
    }

    fn scores(
        &self,
        state: &mut CycleState,
        out: &mut Evaluation,
        returned: &Returned,
    ) -> Result<(), Status> {
        if self.profile.at(Point::Score).is_empty() && self.extenders.is_none() {
            return Ok(());
        }
        // DIFFERS: PreScore sees the nodes of the cache, even where an extender gave back changed ones.
        let shown = returned.shown(self.attempt.cluster, &out.feasible);
        let cluster = shown.as_ref().unwrap_or(self.attempt.cluster);
        pre_score(self.profile, &self.attempt, state, &out.feasible)?;
        for &i in self.profile.at(Point::Score) {
            if state.skip_score[i] {
                continue;
            }
            let plugin = self.profile.plugin(i);
            let mut raw = vec![0; out.feasible.len()];
            plugin.score_all(state.of(i), self.attempt.pod, cluster, &out.feasible, &mut raw);
            let mut weighted = raw.clone();
            match plugin.normalization() {
                Normalize::Identity => {}
                Normalize::ToMax => normalize_to_max(&mut weighted, false),
                Normalize::ToMaxReversed => normalize_to_max(&mut weighted, true),
                Normalize::Custom => {
                    let status = plugin.normalize(state.of(i), self.attempt.pod, &mut weighted);
                    if !status.is_success() {
                        let text = format_smolstr!(
                            "running Normalize on Score plugins: plugin {:?} failed with: {status}",
                            plugin.name()
                        );
                        return Err(Status::error(text));
                    }
                }
            }
            for score in &mut weighted {
                if !(0..=100).contains(score) {
                    return Err(Status::error(format_smolstr!(
                        "applying score defaultWeights on Score plugins: plugin {:?} returns an invalid score \
                         {score}, it should in the range of [0, 100] after normalizing",
                        plugin.name()
                    )));
                }
                *score *= self.profile.weight(i);
            }
            out.scores.push(PluginScores { plugin: plugin.name(), raw, weighted });
        }
        match self.extenders {
            Some(extenders) => extenders.prioritize(&self.attempt, out, returned),
            None => Ok(()),
        }
    }
}

/// First as if pods of the same or higher priority that were promised the node were there, then as it is
/// (`RunFilterPluginsWithNominatedPods`). `None` if the pod passes both.
pub fn filters_with_nominated_pods(
    profile: &Profile,
    state: &CycleState,
    attempt: &Attempt<'_>,
    nominator: &Nominator,
    node: &NodeInfo,
) -> Option<Status> {
    let promised = nominator.on(&node.name);
    filters_with_pods(profile, state, attempt, others(attempt.object.meta.uid, promised), node)
}

/// The same, with some of the pods that were promised the node.
pub(super) fn filters_with_pods<'p>(
    profile: &Profile,
    state: &CycleState,
    attempt: &Attempt<'_>,
    promised: impl Iterator<Item = &'p NodePod>,
    node: &NodeInfo,
) -> Option<Status> {
    if let Some((crowded, followed)) = with_pods(profile, state, attempt, promised, node) {
        let status = run_filters(profile, followed.as_ref().unwrap_or(state), attempt, &crowded);
        if status.is_some() {
            return status;
        }
    }
    run_filters(profile, state, attempt, node)
}

fn others(own: Uid, promised: &[NodePod]) -> impl Iterator<Item = &NodePod> {
    promised.iter().filter(move |pod| pod.uid != own)
}

/// The node with the pods of the same or higher priority that were promised it, and the state to match if it is another
/// (`addGeneralNominatedPods`). `None` without such pods.
pub(super) fn with_nominated_pods(
    profile: &Profile,
    state: &CycleState,
    attempt: &Attempt<'_>,
    nominator: &Nominator,
    node: &NodeInfo,
) -> Option<(NodeInfo, Option<CycleState>)> {
    let promised = nominator.on(&node.name);
    with_pods(profile, state, attempt, others(attempt.object.meta.uid, promised), node)
}

/// The same, of some of the pods that were promised the node.
pub(super) fn with_pods<'p>(
    profile: &Profile,
    state: &CycleState,
    attempt: &Attempt<'_>,
    promised: impl Iterator<Item = &'p NodePod>,
    node: &NodeInfo,
) -> Option<(NodeInfo, Option<CycleState>)> {
    let mut promised = promised.filter(|pod| pod.info.priority >= attempt.pod.priority).peekable();
    promised.peek()?;
    let mut crowded = node.clone();
    let mut followed = None;
    let follows = state.follows_pods(profile);
    for pod in promised {
        crowded.add_pod(pod.uid, pod.info.clone());
        if follows {
            let state = followed.get_or_insert_with(|| state.clone());
            state.add_pod(profile, attempt, pod, &crowded);
        }
    }
    Some((crowded, followed))
}

/// What the first plugin says that does not let the pod pass; `None` if it passes (`RunFilterPlugins`).
pub fn run_filters(
    profile: &Profile,
    state: &CycleState,
    attempt: &Attempt<'_>,
    node: &NodeInfo,
) -> Option<Status> {
    for &i in profile.at(Point::Filter) {
        if state.skip_filter[i] {
            continue;
        }
        let plugin = profile.plugin(i);
        let verdict = plugin.filter(state.of(i), attempt, node);
        let Some(status) = verdict.into_status(plugin.name()) else { continue };
        if status.code.is_rejected() {
            return Some(status);
        }
        let text = format_smolstr!("running {:?} filter plugin: {status}", plugin.name());
        return Some(Status::error(text).by(plugin.name()));
    }
    None
}

/// `RunPreScorePlugins`.
pub(super) fn pre_score(
    profile: &Profile,
    attempt: &Attempt<'_>,
    state: &mut CycleState,
    feasible: &[Slot],
) -> Result<(), Status> {
    for &i in profile.at(Point::PreScore) {
        if state.skip_score[i] {
            continue;
        }
        let plugin = profile.plugin(i);
        let status = plugin.pre_score(state.of_mut(i), attempt, feasible);
        match status.code {
            Code::Success => {}
            Code::Skip => state.skip_score[i] = true,
            _ => {
                let text = format_smolstr!("running PreScore plugin {:?}: {status}", plugin.name());
                return Err(Status::error(text));
            }
        }
    }
    Ok(())
}

fn normalize_to_max(scores: &mut [i64], reverse: bool) {
    let max = scores.iter().copied().max().unwrap_or(0).max(0);
    for score in scores {
        *score = normalized(*score, max, reverse);
    }
}

/// `DefaultNormalizeScore` of one score.
pub(super) fn normalized(score: i64, max: i64, reverse: bool) -> i64 {
    match (max, reverse) {
        (0, true) => 100,
        (0, false) => score,
        (max, false) => score.wrapping_mul(100) / max,
        (max, true) => 100 - score.wrapping_mul(100) / max,
    }
}
