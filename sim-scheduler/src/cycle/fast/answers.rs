//! The answers kept for one class, by position in the order of the cache.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::column::{Column, LATER};
use super::refusals::KnownRefusals;
use super::tournament::{ABSENT, Tournament};
use crate::cache::Slot;
use crate::cycle::plain::{filters_with_pods, normalized, pre_score, with_pods};
use crate::cycle::{CycleState, Nominator};
use crate::framework::{Attempt, Memory, Normalize, Point, PreFiltered, Profile, Reads, Status};
use crate::mask::Mask;
use crate::node::{NodeInfo, NodePod};

/// A score plugin whose scores depend on the highest among the feasible nodes.
pub(super) struct Relative {
    pub(super) plugin: usize,
    pub(super) reverse: bool,
    pub(super) raw: Vec<i64>,
    /// How many nodes, feasible or not, have another raw score than 0.
    pub(super) nonzero: usize,
    /// How many feasible nodes have which raw score.
    counts: BTreeMap<i64, u32>,
    max: i64,
}

/// Answers for one class.
pub(super) struct ClassAnswers {
    pub(super) used: u64,
    order_version: u64,
    mark: u64,
    /// Mark of the promises that the answers know of.
    promises: u64,
    /// State after PreFilter and PreScore; the same for all pods of the class.
    pub(super) state: CycleState,
    pub(super) pre_score: Result<(), Status>,
    /// What the node-local filters say, the pods of the class's priority or higher that were promised the node counted in.
    pub(super) fits: Mask,
    pub(super) feasible: usize,
    /// Weighted sum of the scores that stand by themselves.
    pub(super) absolute: Vec<i64>,
    pub(super) relative: Vec<Relative>,
    /// Nodes with a score out of range: the plain way reports it.
    pub(super) invalid: Mask,
    pub(super) invalid_count: usize,
    /// Totals of the feasible nodes, as far as no column has a say. Kept up to date once it was asked for twice.
    pub(super) tree: Tournament,
    ranked: bool,
    wanted: u32,
    pub(super) refusals: KnownRefusals,
    pub(super) columns: Vec<Column>,
    /// Plugins that take part in finding a node by PreFilter alone, and are asked in every cycle.
    checks: Vec<usize>,
    /// True if a column had a say at Filter last time.
    pub(super) filtered: bool,
    /// What PostFilter plugins remember.
    pub(super) memory: Memory,
    /// True if a score plugin has a say that is not node-local.
    slow: bool,
    /// True if some plugin without columns wants its state after the choice of a node.
    needs_state: bool,
}

impl ClassAnswers {
    /// `None` if the profile or the class cannot go the fast way.
    pub(super) fn new(profile: &Profile, attempt: &Attempt<'_>) -> Option<ClassAnswers> {
        let mut state = CycleState::new(profile, attempt.pod);
        let (mut columns, mut checks) = (Vec::new(), Vec::new());
        for i in 0..profile.len() {
            if profile.plugin(i).columns().is_some() && takes_part(profile, i) {
                let column = Column::new(profile, i, attempt)?;
                if let (false, Some(own)) = (column.active, column.state(profile, attempt)) {
                    *state.of_mut(i) = own;
                }
                columns.push(column);
                state.skip_filter[i] = true;
            }
        }
        // The first that refuses a node says why.
        columns.sort_by_key(|column| profile.at(Point::Filter).iter().position(|i| *i == column.plugin));
        for &i in profile.at(Point::PreFilter) {
            if columns.iter().any(|column| column.plugin == i) {
                continue;
            }
            if profile.plugin(i).reads() == Reads::Cluster && only_checks(profile, i) {
                checks.push(i);
                continue;
            }
            match profile.plugin(i).pre_filter(state.of_mut(i), attempt) {
                PreFiltered::Skip => state.skip_filter[i] = true,
                PreFiltered::Proceed if profile.plugin(i).reads() == Reads::NodeLocal => {}
                _ => return None,
            }
        }
        let is_local = |i: usize, skipped: bool| match profile.plugin(i).reads() {
            Reads::NodeLocal => true,
            Reads::NodeLocalOrSkipped => skipped,
            Reads::Cluster => false,
        };
        let has_column = |i: usize| columns.iter().any(|column: &Column| column.plugin == i);
        let filters = profile.at(Point::Filter).iter();
        if !filters.clone().all(|&i| has_column(i) || is_local(i, state.skip_filter[i])) {
            return None;
        }
        for &i in profile.at(Point::Score) {
            let scorer = profile.plugin(i);
            let local = scorer.reads() == Reads::NodeLocal && scorer.normalization() != Normalize::Custom;
            let may_skip = scorer.reads() == Reads::NodeLocalOrSkipped;
            if !(local || may_skip || has_column(i)) {
                return None;
            }
        }
        let mut later = LATER.iter().flat_map(|point| profile.at(*point));
        let needs_state = later.any(|&i| !(may_do_nothing(profile, i) && state.skip_filter[i]));
        Some(ClassAnswers {
            used: 0,
            order_version: 0,
            mark: 0,
            promises: 0,
            state,
            pre_score: Ok(()),
            fits: Mask::default(),
            feasible: 0,
            absolute: Vec::new(),
            relative: Vec::new(),
            invalid: Mask::default(),
            invalid_count: 0,
            tree: Tournament::default(),
            ranked: false,
            wanted: 0,
            refusals: KnownRefusals::default(),
            columns,
            checks,
            filtered: false,
            memory: Memory::default(),
            slow: false,
            needs_state,
        })
    }

    /// True if a plugin with columns has a say.
    pub(super) fn has_active_columns(&self) -> bool {
        self.columns.iter().any(|column| column.active)
    }

    /// State of all plugins after PreFilter, those with columns included.
    pub(super) fn whole_state(&self, profile: &Profile, attempt: &Attempt<'_>) -> Cow<'_, CycleState> {
        self.with_columns(profile, attempt, |_| true)
    }

    /// State of the plugins that want it once a node is chosen; `None` if there is none.
    pub(super) fn later_state(&self, profile: &Profile, attempt: &Attempt<'_>) -> Option<CycleState> {
        let wanted = self.needs_state || self.columns.iter().any(|column| column.active && column.later);
        wanted.then(|| self.with_columns(profile, attempt, |column| column.later).into_owned())
    }

    fn with_columns(
        &self,
        profile: &Profile,
        attempt: &Attempt<'_>,
        which: impl Fn(&Column) -> bool,
    ) -> Cow<'_, CycleState> {
        let mut whole = Cow::Borrowed(&self.state);
        for column in self.columns.iter().filter(|column| column.active && which(column)) {
            if let Some(state) = column.state(profile, attempt) {
                let whole = whole.to_mut();
                *whole.of_mut(column.plugin) = state;
                whole.skip_filter[column.plugin] = false;
            }
        }
        whole
    }

    /// Brings the answers up to date. False if the class cannot go the fast way (any more).
    pub(super) fn update(&mut self, profile: &Profile, attempt: &Attempt<'_>, nominator: &Nominator) -> bool {
        for &i in &self.checks {
            *self.state.of_mut(i) = profile.plugin(i).state(attempt.pod);
            match profile.plugin(i).pre_filter(self.state.of_mut(i), attempt) {
                PreFiltered::Proceed | PreFiltered::Skip => {}
                PreFiltered::Nodes(_) | PreFiltered::Refused(_) => return false,
            }
        }
        if self.slow || !self.columns.iter_mut().all(|column| column.update(profile, attempt)) {
            return false;
        }
        let cluster = attempt.cluster;
        let (changes, mark) = cluster.changes_since(self.mark);
        let old = std::mem::replace(&mut self.mark, mark);
        let (promises, promises_mark) = nominator.changes_since(self.promises);
        let old_promises = std::mem::replace(&mut self.promises, promises_mark);
        let same_order = self.order_version == cluster.order_version();
        if same_order && (old, old_promises) == (mark, promises_mark) {
            return true;
        }
        match (changes, promises) {
            (Some(changes), Some(promises))
                if same_order && changes.len() + promises.len() < cluster.order().len() =>
            {
                let mut stale = false;
                let promises = promises.iter().filter_map(|node| cluster.slot(node));
                for slot in changes.iter().copied().chain(promises) {
                    if let Some(at) = cluster.position(slot) {
                        stale |= self.refresh(profile, attempt, nominator, at, slot);
                    }
                }
                if stale {
                    self.rank_all(profile);
                }
                true
            }
            _ => self.ask_about_all(profile, attempt, nominator),
        }
    }

    /// Asks about every node. False if a score plugin has a say that is not node-local.
    fn ask_about_all(&mut self, profile: &Profile, attempt: &Attempt<'_>, nominator: &Nominator) -> bool {
        let cluster = attempt.cluster;
        let slots = cluster.order();
        let count = slots.len();
        self.order_version = cluster.order_version();
        self.state.skip_score.fill(false);
        for column in &self.columns {
            self.state.skip_score[column.plugin] = true;
        }
        self.pre_score = pre_score(profile, attempt, &mut self.state, slots);
        self.refusals.forget_all(count);
        self.fits.fill(count);
        for &i in profile.at(Point::Filter) {
            if !self.state.skip_filter[i] {
                profile.plugin(i).filter_column(self.state.of(i), attempt, &mut self.fits);
            }
        }
        for at in positions(attempt, nominator.nodes(attempt.pod.priority)) {
            let node = cluster.node_at(at);
            if self.fits.has(at) && !self.has_room(profile, attempt, nominator.on(&node.name), node) {
                self.fits.set(at, false);
            }
        }
        self.feasible = self.fits.count();
        self.absolute.clear();
        self.absolute.resize(count, 0);
        self.invalid.fill(count);
        self.invalid.retain(|_| false);
        self.relative.clear();
        if self.pre_score.is_ok() {
            let mut raw = vec![0; count];
            for &i in profile.at(Point::Score) {
                if self.state.skip_score[i] {
                    continue;
                }
                if profile.plugin(i).reads() != Reads::NodeLocal {
                    self.slow = true;
                    return false;
                }
                profile.plugin(i).score_column(self.state.of(i), attempt.pod, cluster, &mut raw);
                self.take_scores(profile, i, &raw);
            }
        }
        self.invalid_count = self.fits.iter().filter(|at| self.invalid.has(*at)).count();
        self.ranked = false;
        true
    }

    /// Makes the tree, unless nobody wanted it before: it pays from the second time on. False if there is none.
    pub(super) fn rank(&mut self, profile: &Profile) -> bool {
        self.wanted = self.wanted.saturating_add(1);
        if self.ranked || self.wanted == 1 {
            return self.ranked;
        }
        for relative in &mut self.relative {
            for at in self.fits.iter() {
                *relative.counts.entry(relative.raw[at]).or_default() += 1;
            }
        }
        self.rank_all(profile);
        self.ranked = true;
        true
    }

    fn take_scores(&mut self, profile: &Profile, plugin: usize, raw: &[i64]) {
        let normalization = profile.plugin(plugin).normalization();
        if normalization == Normalize::Identity {
            let weight = profile.weight(plugin);
            for (at, score) in raw.iter().enumerate() {
                self.absolute[at] += score.wrapping_mul(weight);
                if !(0..=100).contains(score) {
                    self.invalid.set(at, true);
                }
            }
            return;
        }
        for (at, score) in raw.iter().enumerate() {
            if *score < 0 {
                self.invalid.set(at, true);
            }
        }
        self.relative.push(Relative {
            plugin,
            reverse: normalization == Normalize::ToMaxReversed,
            raw: raw.to_vec(),
            nonzero: raw.iter().filter(|score| **score != 0).count(),
            counts: BTreeMap::new(),
            max: 0,
        });
    }

    fn total(&self, profile: &Profile, at: usize) -> i64 {
        if !self.fits.has(at) {
            return ABSENT;
        }
        self.relative.iter().fold(self.absolute[at], |sum, relative| {
            let score = normalized(relative.raw[at], relative.max, relative.reverse);
            sum + score * profile.weight(relative.plugin)
        })
    }

    /// Computes all totals anew.
    fn rank_all(&mut self, profile: &Profile) {
        for relative in &mut self.relative {
            relative.max = relative.highest();
        }
        let mut tree = std::mem::take(&mut self.tree);
        tree.fill((0..self.fits.len()).map(|at| self.total(profile, at)));
        self.tree = tree;
    }

    /// True if the node-local filters let pods of the class pass on a node.
    fn passes(&self, profile: &Profile, state: &CycleState, attempt: &Attempt<'_>, node: &NodeInfo) -> bool {
        let mut filters = profile.at(Point::Filter).iter();
        filters.all(|&i| state.skip_filter[i] || profile.plugin(i).fits(state.of(i), attempt, node))
    }

    /// True if they do so with the pods that were promised the node, if those weigh.
    fn has_room(
        &self,
        profile: &Profile,
        attempt: &Attempt<'_>,
        promised: &[NodePod],
        node: &NodeInfo,
    ) -> bool {
        let crowded = with_pods(profile, &self.state, attempt, promised.iter(), node);
        crowded.is_none_or(|(crowded, followed)| {
            self.passes(profile, followed.as_ref().unwrap_or(&self.state), attempt, &crowded)
        })
    }

    /// What the node-local filters say about a node with pods that were promised it.
    pub(super) fn refusal<'p>(
        &self,
        profile: &Profile,
        attempt: &Attempt<'_>,
        promised: impl Iterator<Item = &'p NodePod>,
        at: usize,
    ) -> Option<Status> {
        filters_with_pods(profile, &self.state, attempt, promised, attempt.cluster.node_at(at))
    }

    /// Asks about one node anew. True if that changes the scores of others.
    fn refresh(
        &mut self,
        profile: &Profile,
        attempt: &Attempt<'_>,
        nominator: &Nominator,
        at: usize,
        slot: Slot,
    ) -> bool {
        self.refusals.forget(at);
        if self.fits.has(at) {
            self.feasible -= 1;
            self.invalid_count -= usize::from(self.invalid.has(at));
            if self.ranked {
                self.relative.iter_mut().for_each(|relative| relative.uncount(at));
            }
        }
        let node = attempt.cluster.node(slot);
        let passes = self.passes(profile, &self.state, attempt, node);
        let fits = passes && self.has_room(profile, attempt, nominator.on(&node.name), node);
        self.fits.set(at, fits);
        self.feasible += usize::from(fits);
        // Also where there is only no room: a pod that was promised the node itself may take it.
        if passes {
            self.rescore(profile, attempt, at, slot, fits);
        }
        if !self.ranked {
            return false;
        }
        let stale = self.relative.iter().any(|relative| relative.highest() != relative.max);
        let total = self.total(profile, at);
        self.tree.set(at, total);
        stale
    }

    fn rescore(&mut self, profile: &Profile, attempt: &Attempt<'_>, at: usize, slot: Slot, is_counted: bool) {
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
                let old = std::mem::replace(&mut relative.raw[at], raw[0]);
                relative.nonzero = relative.nonzero + usize::from(raw[0] != 0) - usize::from(old != 0);
                if self.ranked && is_counted {
                    *relative.counts.entry(raw[0]).or_default() += 1;
                }
            }
        }
        self.absolute[at] = absolute;
        self.invalid.set(at, invalid);
        self.invalid_count += usize::from(invalid && is_counted);
    }
}

/// Positions of the nodes of some names, in order.
pub(super) fn positions<'n>(attempt: &Attempt<'_>, names: impl Iterator<Item = &'n str>) -> Vec<usize> {
    let cluster = attempt.cluster;
    let mut positions: Vec<usize> = names.filter_map(|name| cluster.position(cluster.slot(name)?)).collect();
    positions.sort_unstable();
    positions
}

/// True if a plugin takes part in finding a node by PreFilter alone.
fn only_checks(profile: &Profile, plugin: usize) -> bool {
    let points = [Point::Filter, Point::PreScore, Point::Score];
    !points.iter().any(|point| profile.at(*point).contains(&plugin))
}

/// True if a plugin takes part in finding a node.
fn takes_part(profile: &Profile, plugin: usize) -> bool {
    let points = [Point::PreFilter, Point::Filter, Point::PreScore, Point::Score];
    points.iter().any(|point| profile.at(*point).contains(&plugin))
}

/// True for plugins that do nothing for pods that they skip.
fn may_do_nothing(profile: &Profile, plugin: usize) -> bool {
    profile.plugin(plugin).reads() == Reads::NodeLocalOrSkipped
}

impl Relative {
    fn highest(&self) -> i64 {
        self.counts.last_key_value().map_or(0, |(max, _)| *max).max(0)
    }

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
