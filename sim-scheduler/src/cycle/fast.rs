//! The fast way through a cycle: answers are kept per pod class and node.
//!
//! Plugins that are [`Reads::NodeLocal`](crate::framework::Reads::NodeLocal) give the same answers for all pods of a
//! class until the node changes. So a class asks about all nodes once, and afterwards only about nodes that changed
//! since it was last used: after a binding, one. The best node comes from a tree over the totals. A profile with other
//! plugins, a pod whose search is restricted or refused beforehand, or nominated pods anywhere, go the plain way.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::plain::{normalized, pre_score, run_filters};
use super::tournament::{ABSENT, Tournament};
use super::{CycleState, Sampling, TieBreak};
use crate::cache::{Cache, Slot};
use crate::framework::{self, Attempt, Code, Diagnosis, Normalize, Point, PreFiltered, Profile, Status};

/// Answers kept over all classes: 100 bytes each, so about 200 MB at most.
const MAX_CELLS: usize = 2_000_000;

/// What the fast way found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FastOutcome {
    /// A node.
    Chosen {
        /// Which.
        slot: Slot,
        /// Its total, 0 without a choice.
        score: i64,
        /// Nodes that passed.
        feasible: usize,
        /// Nodes that were looked at.
        evaluated: usize,
        /// Where the next search starts.
        next_start: usize,
    },
    /// No node passes. The refusals are counted, not listed.
    Nothing(Box<Diagnosis>),
    /// The fast way does not apply.
    Unsure,
}

/// Kept answers of all classes.
#[derive(Default)]
pub struct FastCycles {
    classes: FxHashMap<(usize, u64), ClassAnswers>,
    cells: usize,
    clock: u64,
}

/// Kept answers are derived from other state: a clone starts without.
impl Clone for FastCycles {
    fn clone(&self) -> Self {
        FastCycles::default()
    }
}

impl std::fmt::Debug for FastCycles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FastCycles").field("classes", &self.classes.len()).finish()
    }
}

impl FastCycles {
    /// Finds a node for a pod, as [`evaluate`](super::evaluate) and a choice among the best would.
    pub fn choose(
        &mut self,
        (profile_index, profile): (usize, &Profile),
        attempt: &Attempt<'_>,
        sampling: Sampling,
        start: usize,
        ties: &mut TieBreak,
    ) -> FastOutcome {
        self.clock += 1;
        let key = (profile_index, attempt.pod.class);
        let answers = match self.classes.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let Some(fresh) = ClassAnswers::new(profile, attempt) else { return FastOutcome::Unsure };
                entry.insert(fresh)
            }
        };
        answers.used = self.clock;
        let before = answers.fits.len();
        answers.update(profile, attempt);
        self.cells = self.cells + answers.fits.len() - before;
        let outcome = answers.choose(profile, attempt, sampling, start, ties);
        self.evict(key);
        outcome
    }

    /// Drops the classes that were not used for longest, never the one just used.
    fn evict(&mut self, just_used: (usize, u64)) {
        while self.cells > MAX_CELLS && self.classes.len() > 1 {
            let oldest = self.classes.iter().filter(|(k, _)| **k != just_used).min_by_key(|(_, c)| c.used);
            let Some(key) = oldest.map(|(key, _)| *key) else { return };
            if let Some(gone) = self.classes.remove(&key) {
                self.cells -= gone.fits.len();
            }
        }
    }
}

/// A score plugin whose scores depend on the highest among the feasible nodes.
struct Relative {
    plugin: usize,
    reverse: bool,
    raw: Vec<i64>,
    /// How many feasible nodes have which raw score.
    counts: BTreeMap<i64, u32>,
    max: i64,
}

/// Answers for one class, by position in the order of the cache.
struct ClassAnswers {
    used: u64,
    order_version: u64,
    mark: u64,
    state: CycleState,
    pre_score: Result<(), Status>,
    fits: Vec<bool>,
    feasible: usize,
    /// Weighted sum of the scores that stand by themselves.
    absolute: Vec<i64>,
    relative: Vec<Relative>,
    /// Feasible nodes with a score out of range: the plain way reports it.
    invalid: Vec<bool>,
    invalid_count: usize,
    tree: Tournament,
    refusals: Refusals,
}

/// Why nodes were refused: only found out when no node is left, and then kept.
#[derive(Default)]
struct Refusals {
    /// Number of the refusal by position, from 1; 0 if not known.
    known: Vec<u32>,
    /// Refusals with the number of nodes they are about.
    kinds: Vec<(Status, usize)>,
}

impl Refusals {
    fn forget_all(&mut self, nodes: usize) {
        self.kinds.clear();
        self.known.clear();
        self.known.resize(nodes, 0);
    }

    fn forget(&mut self, at: usize) {
        if let Some(kind) = std::mem::take(&mut self.known[at]).checked_sub(1) {
            self.kinds[kind as usize].1 -= 1;
        }
    }

    fn learn(&mut self, at: usize, status: Status) {
        let kind = self.kinds.iter().position(|(known, _)| *known == status).unwrap_or_else(|| {
            self.kinds.push((status, 0));
            self.kinds.len() - 1
        });
        self.kinds[kind].1 += 1;
        self.known[at] = kind as u32 + 1;
    }
}

impl ClassAnswers {
    /// `None` if the profile or the class cannot go the fast way.
    fn new(profile: &Profile, attempt: &Attempt<'_>) -> Option<ClassAnswers> {
        let points = [Point::PreFilter, Point::Filter, Point::PreScore, Point::Score];
        let local = points.iter().flat_map(|p| profile.at(*p)).all(|i| profile.is_node_local(*i));
        let custom = |i: &usize| profile.plugin(*i).normalization() == Normalize::Custom;
        if !local || profile.at(Point::Score).iter().any(custom) {
            return None;
        }
        let mut state = CycleState::new(profile, attempt.pod);
        for &i in profile.at(Point::PreFilter) {
            match profile.plugin(i).pre_filter(state.of_mut(i), attempt) {
                PreFiltered::Proceed => {}
                PreFiltered::Skip => state.skip_filter[i] = true,
                PreFiltered::Nodes(_) | PreFiltered::Refused(_) => return None,
            }
        }
        Some(ClassAnswers {
            used: 0,
            order_version: 0,
            mark: 0,
            state,
            pre_score: Ok(()),
            fits: Vec::new(),
            feasible: 0,
            absolute: Vec::new(),
            relative: Vec::new(),
            invalid: Vec::new(),
            invalid_count: 0,
            tree: Tournament::default(),
            refusals: Refusals::default(),
        })
    }

    fn update(&mut self, profile: &Profile, attempt: &Attempt<'_>) {
        let cluster = attempt.cluster;
        let (changes, mark) = cluster.changes_since(self.mark);
        let old = std::mem::replace(&mut self.mark, mark);
        if old == mark && self.order_version == cluster.order_version() {
            return;
        }
        match changes {
            Some(changes)
                if self.order_version == cluster.order_version() && changes.len() < cluster.order().len() =>
            {
                let mut stale = false;
                for &slot in changes {
                    if let Some(at) = cluster.position(slot) {
                        stale |= self.refresh(profile, attempt, at, slot);
                    }
                }
                if stale {
                    self.rank_all(profile);
                }
            }
            _ => self.ask_about_all(profile, attempt),
        }
    }

    /// Asks about every node.
    fn ask_about_all(&mut self, profile: &Profile, attempt: &Attempt<'_>) {
        let cluster = attempt.cluster;
        let slots = cluster.order();
        let count = slots.len();
        self.order_version = cluster.order_version();
        self.state.skip_score.fill(false);
        self.pre_score = pre_score(profile, attempt, &mut self.state, slots);
        self.refusals.forget_all(count);
        self.fits.clear();
        self.fits.resize(count, true);
        for &i in profile.at(Point::Filter) {
            if !self.state.skip_filter[i] {
                let plugin = profile.plugin(i);
                plugin.filter_all(self.state.of(i), attempt.pod, cluster, slots, &mut self.fits);
            }
        }
        self.feasible = self.fits.iter().filter(|f| **f).count();
        self.absolute.clear();
        self.absolute.resize(count, 0);
        self.invalid.clear();
        self.invalid.resize(count, false);
        self.relative.clear();
        if self.pre_score.is_ok() {
            let mut raw = vec![0; count];
            for &i in profile.at(Point::Score) {
                if self.state.skip_score[i] {
                    continue;
                }
                let plugin = profile.plugin(i);
                plugin.score_all(self.state.of(i), attempt.pod, cluster, slots, &mut raw);
                match plugin.normalization() {
                    Normalize::Identity => {
                        for (at, score) in raw.iter().enumerate() {
                            self.absolute[at] += score.wrapping_mul(profile.weight(i));
                            self.invalid[at] |= !(0..=100).contains(score);
                        }
                    }
                    normalization => self.relative.push(Relative {
                        plugin: i,
                        reverse: normalization == Normalize::ToMaxReversed,
                        raw: raw.clone(),
                        counts: BTreeMap::new(),
                        max: 0,
                    }),
                }
            }
        }
        for relative in &mut self.relative {
            for (at, fits) in self.fits.iter().enumerate() {
                self.invalid[at] |= relative.raw[at] < 0;
                if *fits {
                    *relative.counts.entry(relative.raw[at]).or_default() += 1;
                }
            }
        }
        self.invalid_count = self.fits.iter().zip(&self.invalid).filter(|(f, i)| **f && **i).count();
        self.rank_all(profile);
    }

    fn total(&self, profile: &Profile, at: usize) -> i64 {
        if !self.fits[at] {
            return ABSENT;
        }
        self.relative.iter().fold(self.absolute[at], |sum, relative| {
            sum + normalized(relative.raw[at], relative.max, relative.reverse)
                * profile.weight(relative.plugin)
        })
    }

    /// Computes all totals anew.
    fn rank_all(&mut self, profile: &Profile) {
        for relative in &mut self.relative {
            relative.max = relative.counts.last_key_value().map_or(0, |(max, _)| *max).max(0);
        }
        let mut tree = std::mem::take(&mut self.tree);
        tree.fill((0..self.fits.len()).map(|at| self.total(profile, at)));
        self.tree = tree;
    }

    /// Asks about one node anew. True if that changes the scores of others.
    fn refresh(&mut self, profile: &Profile, attempt: &Attempt<'_>, at: usize, slot: Slot) -> bool {
        self.refusals.forget(at);
        if self.fits[at] {
            self.feasible -= 1;
            self.invalid_count -= usize::from(self.invalid[at]);
            for relative in &mut self.relative {
                relative.uncount(at);
            }
        }
        let mut fits = [true];
        for &i in profile.at(Point::Filter) {
            if fits[0] && !self.state.skip_filter[i] {
                let plugin = profile.plugin(i);
                plugin.filter_all(self.state.of(i), attempt.pod, attempt.cluster, &[slot], &mut fits);
            }
        }
        self.fits[at] = fits[0];
        if fits[0] {
            self.feasible += 1;
            self.rescore(profile, attempt, at, slot);
        }
        let stale = self.relative.iter().any(|r| {
            let max = r.counts.last_key_value().map_or(0, |(max, _)| *max).max(0);
            max != r.max
        });
        let total = self.total(profile, at);
        self.tree.set(at, total);
        stale
    }

    fn rescore(&mut self, profile: &Profile, attempt: &Attempt<'_>, at: usize, slot: Slot) {
        if self.pre_score.is_err() {
            return;
        }
        let (mut absolute, mut invalid, mut next) = (0_i64, false, 0);
        for &i in profile.at(Point::Score) {
            if self.state.skip_score[i] {
                continue;
            }
            let plugin = profile.plugin(i);
            let mut raw = [0];
            plugin.score_all(self.state.of(i), attempt.pod, attempt.cluster, &[slot], &mut raw);
            if plugin.normalization() == Normalize::Identity {
                absolute += raw[0].wrapping_mul(profile.weight(i));
                invalid |= !(0..=100).contains(&raw[0]);
            } else {
                let relative = &mut self.relative[next];
                next += 1;
                invalid |= raw[0] < 0;
                relative.raw[at] = raw[0];
                *relative.counts.entry(raw[0]).or_default() += 1;
            }
        }
        self.absolute[at] = absolute;
        self.invalid[at] = invalid;
        self.invalid_count += usize::from(invalid);
    }

    /// Why no node passes.
    fn explain(&mut self, profile: &Profile, attempt: &Attempt<'_>) -> FastOutcome {
        for (at, slot) in attempt.cluster.order().iter().enumerate() {
            if self.refusals.known[at] == 0 {
                let node = attempt.cluster.node(*slot);
                match run_filters(profile, &self.state, attempt.pod, node) {
                    Some(status) if status.code != Code::Error => self.refusals.learn(at, status),
                    _ => return FastOutcome::Unsure,
                }
            }
        }
        let kinds: Vec<Status> = self.refusals.kinds.iter().map(|(status, _)| status.clone()).collect();
        let slots = attempt.cluster.order().iter();
        let nodes = slots.zip(&self.refusals.known).map(|(slot, known)| (*slot, known - 1)).collect();
        let mut diagnosis =
            Diagnosis { nodes: framework::Refusals::of(kinds, nodes), ..Diagnosis::default() };
        for (status, _) in self.refusals.kinds.iter().filter(|(_, count)| *count > 0) {
            diagnosis.blame(status);
        }
        FastOutcome::Nothing(Box::new(diagnosis))
    }

    fn choose(
        &mut self,
        profile: &Profile,
        attempt: &Attempt<'_>,
        sampling: Sampling,
        start: usize,
        ties: &mut TieBreak,
    ) -> FastOutcome {
        let cluster = attempt.cluster;
        let count = self.fits.len();
        if self.feasible == 0 {
            return self.explain(profile, attempt);
        }
        let enough = sampling.enough(count, profile);
        if enough < self.feasible {
            return self.choose_in_window(profile, attempt, enough, start, ties);
        }
        if self.feasible > 1 && (self.pre_score.is_err() || self.invalid_count > 0) {
            return FastOutcome::Unsure;
        }
        let (best, tied) = self.tree.best();
        let at = match ties {
            TieBreak::Random(stream) => self.tree.kth(stream.below(tied)),
            TieBreak::LowestName => {
                let name = |at: &usize| &cluster.node(cluster.order()[*at]).name;
                let all = (0..tied).map(|k| self.tree.kth(k));
                all.min_by(|a, b| name(a).cmp(name(b))).unwrap_or(0)
            }
        };
        FastOutcome::Chosen {
            slot: cluster.order()[at],
            score: if self.feasible > 1 { best } else { 0 },
            feasible: self.feasible,
            evaluated: count,
            next_start: (start + count) % count.max(1),
        }
    }

    /// The choice when only part of the nodes is looked at.
    fn choose_in_window(
        &self,
        profile: &Profile,
        attempt: &Attempt<'_>,
        enough: usize,
        start: usize,
        ties: &mut TieBreak,
    ) -> FastOutcome {
        let cluster: &Cache = attempt.cluster;
        let count = self.fits.len();
        let mut window = Vec::with_capacity(enough);
        let mut evaluated = 0;
        for i in 0..count {
            let at = (start + i) % count;
            if self.fits[at] {
                if window.len() == enough {
                    break;
                }
                window.push(at);
            }
            evaluated += 1;
        }
        let invalid = window.iter().any(|at| self.invalid[*at]);
        if window.len() > 1 && (self.pre_score.is_err() || invalid) {
            return FastOutcome::Unsure;
        }
        let mut totals: Vec<i64> = window.iter().map(|at| self.absolute[*at]).collect();
        for relative in &self.relative {
            let max = window.iter().map(|at| relative.raw[*at]).max().unwrap_or(0).max(0);
            for (total, at) in totals.iter_mut().zip(&window) {
                *total +=
                    normalized(relative.raw[*at], max, relative.reverse) * profile.weight(relative.plugin);
            }
        }
        let best = totals.iter().copied().max().unwrap_or(0);
        let mut tied: Vec<usize> = if window.len() > 1 {
            window.iter().zip(&totals).filter(|(_, t)| **t == best).map(|(at, _)| *at).collect()
        } else {
            window.clone()
        };
        tied.sort_unstable();
        let slots: Vec<Slot> = tied.iter().map(|at| cluster.order()[*at]).collect();
        match ties.choose(cluster, &slots) {
            Some(slot) => FastOutcome::Chosen {
                slot,
                score: if window.len() > 1 { best } else { 0 },
                feasible: window.len(),
                evaluated,
                next_start: (start + evaluated) % count.max(1),
            },
            None => FastOutcome::Unsure,
        }
    }
}

impl Relative {
    fn uncount(&mut self, at: usize) {
        let raw = self.raw[at];
        if let Some(count) = self.counts.get_mut(&raw) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&raw);
            }
        }
    }
}
