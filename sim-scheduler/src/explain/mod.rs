//! What every plugin said about every node, per attempt, for pods that somebody asked about ([`Explained`]).
//!
//! An attempt to be explained takes the plain way through its cycle, which keeps everything and decides the same. Beside
//! it every filter is asked about every node, also about those that another plugin refused already and those that the
//! search did not come to. What is kept is small: a status once, its number per node, scores in as few bytes as they need.

mod build;
mod keep;
mod numbers;
mod table;
mod whatif;

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::api::meta::{Key, Uid};
use sim_core::time::Time;
use smol_str::SmolStr;

use crate::framework::{Code, Status};
use crate::mask::Mask;

pub use keep::{Explained, Explanations};
use numbers::Numbers;
pub use table::{Show, Table};
pub(crate) use whatif::Scene;
pub use whatif::{Change, Counterfactual, WhatIf};

/// Scores of one plugin or extender, for the feasible nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ScoreColumn {
    name: SmolStr,
    raw: Numbers,
    weighted: Numbers,
}

/// What a PostFilter plugin came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExplainedPreemption {
    /// The node whose pods have to go.
    pub node: SmolStr,
    /// Those pods, most important first.
    pub victims: Vec<Key>,
    /// All nodes that were considered, with their victims and how many of those violate a PodDisruptionBudget.
    pub candidates: Vec<(SmolStr, Vec<Key>, usize)>,
    /// Nodes that were as good as the chosen one, that one included.
    pub tied: Vec<SmolStr>,
}

/// One attempt to place a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The pod.
    pub pod: Key,
    /// Its uid.
    pub uid: Uid,
    /// When.
    pub at: Time,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// Name of the profile.
    pub profile: SmolStr,
    /// Why it failed, as the event says; empty unless it failed.
    pub message: String,
    /// The node that was chosen. If there is a message, too, it was given back.
    pub chosen: Option<SmolStr>,
    /// True if the node that the pod was promised was still good, and no other looked at.
    pub nominated_first: bool,
    /// Set if the attempt ended in an error or was refused as a whole.
    pub refused: Option<Status>,
    /// Filter plugins that had nothing to say about this pod.
    pub skipped: Vec<&'static str>,
    /// What preemption came to, if it found a node.
    pub preemption: Option<ExplainedPreemption>,
    /// Names by position in the order of the cache.
    nodes: Arc<[SmolStr]>,
    /// Distinct answers: what all plugins that refuse a node say, the one that counts first.
    kinds: Vec<Vec<Status>>,
    /// By node: the number of its kind, or less than 0 if it passes.
    verdicts: Numbers,
    /// Nodes that the search came to.
    looked_at: Mask,
    /// Positions of the nodes that passed, in the order they were looked at.
    feasible: Numbers,
    scores: Vec<ScoreColumn>,
    /// Parallel to `feasible`; empty without a choice.
    totals: Numbers,
    /// Positions of the nodes of the highest total.
    best: Numbers,
}

/// A score of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreOf<'a> {
    /// Plugin or extender.
    pub name: &'a str,
    /// As it was given.
    pub raw: i64,
    /// Normalised and times the weight.
    pub weighted: i64,
}

/// What was said of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAnswer<'a> {
    /// Its name.
    pub node: &'a SmolStr,
    /// False if enough nodes were found before the search came to it. It was neither scored nor counted then.
    pub looked_at: bool,
    /// What every plugin says that refuses it, the one that counts first. Empty if the pod fits.
    pub refusals: &'a [Status],
    /// Its scores, if it was feasible and there was a choice.
    pub scores: Vec<ScoreOf<'a>>,
    /// Their sum.
    pub total: Option<i64>,
    /// True if its total was the highest.
    pub best: bool,
    /// True if it was chosen.
    pub chosen: bool,
}

/// What a plugin said, and of which nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictGroup {
    /// Plugin; empty if none is to blame.
    pub plugin: SmolStr,
    /// Code.
    pub code: Code,
    /// One of its reasons.
    pub reason: SmolStr,
    /// Nodes of which it was the plugin that counted: what `FailedScheduling` tells.
    pub nodes: usize,
    /// Further nodes that another plugin refused before it was asked, and nodes that the search did not come to.
    pub further: usize,
    /// The first of all of them.
    pub examples: Vec<SmolStr>,
}

/// How many nodes a group names.
const EXAMPLES: usize = 3;

impl Explanation {
    /// Number of nodes that there were.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True if there were no nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of nodes that passed.
    pub fn feasible(&self) -> usize {
        self.feasible.len()
    }

    /// Number of nodes that the search came to.
    pub fn looked_at(&self) -> usize {
        self.looked_at.count()
    }

    /// Nodes of the highest score, one of which was chosen.
    pub fn best(&self) -> Vec<&SmolStr> {
        self.best.iter().filter_map(|at| self.nodes.get(at as usize)).collect()
    }

    /// Names of what gave scores, in the order of the profile.
    pub fn scorers(&self) -> impl Iterator<Item = &str> {
        self.scores.iter().map(|column| column.name.as_str())
    }

    /// What was said of a node (why not this one?); `None` if there was no such node.
    pub fn node(&self, name: &str) -> Option<NodeAnswer<'_>> {
        let at = self.nodes.iter().position(|node| node == name)?;
        let place = self.feasible.iter().position(|known| known == at as i64);
        self.answer(at, place, self.best.iter().any(|known| known == at as i64))
    }

    /// What was said of every node, in the order of the cache.
    pub fn nodes(&self) -> impl Iterator<Item = NodeAnswer<'_>> {
        let mut places = vec![None; self.nodes.len()];
        for (place, at) in self.feasible.iter().enumerate() {
            if let Some(known) = places.get_mut(at as usize) {
                *known = Some(place);
            }
        }
        let best = self.best_mask();
        let places = places.into_iter().enumerate();
        places.filter_map(move |(at, place)| self.answer(at, place, best.has(at)))
    }

    /// The nodes that passed, highest total first, those of equal totals in the order they were looked at.
    pub fn ranked(&self) -> Vec<NodeAnswer<'_>> {
        let mut places: Vec<usize> = (0..self.feasible.len()).collect();
        places.sort_by_key(|place| std::cmp::Reverse(self.totals.get(*place)));
        let best = self.best_mask();
        let nodes = places.into_iter().filter_map(|place| Some((self.feasible.get(place)? as usize, place)));
        nodes.filter_map(|(at, place)| self.answer(at, Some(place), best.has(at))).collect()
    }

    fn best_mask(&self) -> Mask {
        let mut mask = Mask::full(self.nodes.len());
        mask.retain(|_| false);
        self.best.iter().for_each(|at| mask.set(at as usize, true));
        mask
    }

    /// `place` is where the node is among the feasible ones.
    fn answer(&self, at: usize, place: Option<usize>, best: bool) -> Option<NodeAnswer<'_>> {
        let node = self.nodes.get(at)?;
        let score =
            |column: &'_ ScoreColumn, place| Some((column.raw.get(place)?, column.weighted.get(place)?));
        let scores = self.scores.iter().filter_map(|column| {
            let (raw, weighted) = score(column, place?)?;
            Some(ScoreOf { name: &column.name, raw, weighted })
        });
        Some(NodeAnswer {
            node,
            looked_at: self.looked_at.has(at),
            refusals: self.kind(at).map_or(&[], |kind| kind),
            scores: scores.collect(),
            total: place.and_then(|place| self.totals.get(place)),
            best,
            chosen: self.chosen.as_ref() == Some(node),
        })
    }

    fn kind(&self, at: usize) -> Option<&Vec<Status>> {
        self.kinds.get(usize::try_from(self.verdicts.get(at)?).ok()?)
    }

    /// Who said what of how many nodes: those that counted first, then by plugin and reason.
    pub fn groups(&self) -> Vec<VerdictGroup> {
        let mut groups: BTreeMap<(&SmolStr, Code, &SmolStr), VerdictGroup> = BTreeMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let Some(kind) = self.kind(at) else { continue };
            for (i, status) in kind.iter().enumerate() {
                for reason in &status.reasons {
                    let group = groups.entry((&status.plugin, status.code, reason)).or_insert_with(|| {
                        let (plugin, reason) = (status.plugin.clone(), reason.clone());
                        VerdictGroup {
                            plugin,
                            code: status.code,
                            reason,
                            nodes: 0,
                            further: 0,
                            examples: Vec::new(),
                        }
                    });
                    let counts = i == 0 && self.looked_at.has(at);
                    group.nodes += usize::from(counts);
                    group.further += usize::from(!counts);
                    if group.examples.len() < EXAMPLES {
                        group.examples.push(node.clone());
                    }
                }
            }
        }
        let mut groups: Vec<VerdictGroup> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.nodes));
        groups
    }

    /// About how many bytes it takes, without the names of the nodes, which attempts share.
    pub fn bytes(&self) -> usize {
        let statuses = self.kinds.iter().flatten().map(|s| size_of::<Status>() + s.message().len());
        let columns = self.scores.iter().flat_map(|column| [&column.raw, &column.weighted]);
        let numbers = [&self.verdicts, &self.feasible, &self.totals, &self.best];
        let preempted = self.preemption.iter().flat_map(|p| &p.candidates);
        size_of::<Explanation>()
            + self.message.len()
            + self.looked_at.len() / 8
            + statuses.sum::<usize>()
            + columns.chain(numbers).map(Numbers::bytes).sum::<usize>()
            + preempted.map(|(_, victims, _)| 32 + victims.len() * size_of::<Key>()).sum::<usize>()
    }
}
