//! The choice of a node from kept answers.

use super::FastOutcome;
use super::answers::{ClassAnswers, Relative, positions};
use crate::cycle::TieBreak;
use crate::cycle::plain::{Search, filters_with_nominated_pods, normalized};
use crate::framework::{Code, Point, Status};
use crate::mask::Mask;

/// Room for one choice, kept from one to the next.
#[derive(Default)]
pub(super) struct Scratch {
    mask: Mask,
    window: Vec<u32>,
    totals: Vec<i64>,
    table: Vec<i64>,
}

/// What an attempt makes of kept answers.
pub(super) struct Choice<'a> {
    pub(super) search: Search<'a>,
    pub(super) answers: &'a mut ClassAnswers,
    pub(super) scratch: &'a mut Scratch,
    /// Nodes that are refused for the sake of nominated pods, by position.
    promised: Vec<(usize, Status)>,
    /// The pod's own nominated node, if it was refused.
    again: Option<usize>,
}

impl<'a> Choice<'a> {
    pub(super) fn new(search: Search<'a>, answers: &'a mut ClassAnswers, scratch: &'a mut Scratch) -> Self {
        Choice { search, answers, scratch, promised: Vec::new(), again: None }
    }

    pub(super) fn make(mut self, ties: &mut TieBreak) -> FastOutcome {
        if let Some(outcome) = self.nominated_first(ties) {
            return outcome;
        }
        let own = self.without_own_promise();
        let has_columns = self.answers.has_active_columns();
        let enough = self.enough();
        let all = self.answers.feasible > 0 && enough >= self.answers.feasible;
        if all && !has_columns && own.is_none() && self.answers.rank(self.search.profile) {
            return self.best_of_all(ties);
        }
        self.scratch.mask.copy_from(&self.answers.fits);
        if let Some((at, refused)) = own {
            self.scratch.mask.set(at, refused.is_none());
            self.promised.extend(refused.map(|status| (at, status)));
        }
        self.answers.filtered = false;
        let attempt = &self.search.attempt;
        let ClassAnswers { columns, filtered, .. } = &mut *self.answers;
        for column in columns.iter_mut().filter(|column| column.filters) {
            if let Some(plugin) = self.search.profile.plugin(column.plugin).columns() {
                *filtered |= plugin.filter(&mut column.kept, attempt, &mut self.scratch.mask);
                if plugin.has_error(&column.kept) {
                    return FastOutcome::Unsure;
                }
            }
        }
        if self.answers.filtered && !self.leave_room_for_others() {
            return FastOutcome::Unsure;
        }
        if self.scratch.mask.iter().next().is_none() {
            return self.explain();
        }
        self.best_of_window(enough, ties)
    }

    fn enough(&self) -> usize {
        self.search.sampling.enough(self.answers.fits.len(), self.search.profile)
    }

    /// The pod's own nominated node is tried before all others.
    fn nominated_first(&mut self, ties: &mut TieBreak) -> Option<FastOutcome> {
        let Search { profile, ref attempt, nominator, start, .. } = self.search;
        let name = attempt.object.as_pod().map_or("", |pod| pod.status.nominated_node_name.as_str());
        let slot = attempt.cluster.slot(name)?;
        let node = attempt.cluster.node(slot);
        let state = self.answers.whole_state(profile, attempt);
        match filters_with_nominated_pods(profile, &state, attempt, nominator, node) {
            None => {
                // One draw per decision, also where there is no choice.
                ties.choose(attempt.cluster, &[slot]);
                Some(FastOutcome::Chosen { slot, score: 0, feasible: 1, evaluated: 1, next_start: start })
            }
            Some(_) => {
                self.again = attempt.cluster.position(slot);
                None
            }
        }
    }

    /// The node that the pod was promised, and what the node-local filters say about it: what is kept for the class counts
    /// the promise in, as if it were another pod's. `None` if it was promised none.
    fn without_own_promise(&self) -> Option<(usize, Option<Status>)> {
        let Search { profile, ref attempt, nominator, .. } = self.search;
        let own = attempt.object.meta.uid;
        let node = nominator.node_of(own)?;
        let at = attempt.cluster.position(attempt.cluster.slot(node)?)?;
        let others = nominator.on(node).iter().filter(|pod| pod.uid != own);
        Some((at, self.answers.refusal(profile, attempt, others, at)))
    }

    /// Takes nodes out that do not fit once the pods that they were promised are there, where that is not for the
    /// node-local filters alone to say. False for an error.
    fn leave_room_for_others(&mut self) -> bool {
        let Search { profile, ref attempt, nominator, .. } = self.search;
        let state = self.answers.whole_state(profile, attempt);
        let own = std::mem::take(&mut self.promised);
        for at in positions(attempt, nominator.nodes(attempt.pod.priority)) {
            let node = attempt.cluster.node_at(at);
            match filters_with_nominated_pods(profile, &state, attempt, nominator, node) {
                None => {}
                Some(status) if status.code == Code::Error => return false,
                Some(status) => {
                    self.scratch.mask.set(at, false);
                    self.promised.push((at, status));
                }
            }
        }
        for (at, status) in own {
            if let Err(place) = self.promised.binary_search_by_key(&at, |(at, _)| *at) {
                self.promised.insert(place, (at, status));
            }
        }
        true
    }

    /// The best of all feasible nodes, from the tree.
    fn best_of_all(self, ties: &mut TieBreak) -> FastOutcome {
        let ClassAnswers { tree, feasible, pre_score, invalid_count, fits, .. } = self.answers;
        if *feasible > 1 && (pre_score.is_err() || *invalid_count > 0) {
            return FastOutcome::Unsure;
        }
        let cluster = self.search.attempt.cluster;
        let (best, tied) = tree.best();
        let at = match ties {
            TieBreak::Random(stream) => tree.kth(stream.below(tied)),
            TieBreak::LowestName => {
                let name = |at: &usize| &cluster.node(cluster.order()[*at]).name;
                let all = (0..tied).map(|k| tree.kth(k));
                all.min_by(|a, b| name(a).cmp(name(b))).unwrap_or(0)
            }
        };
        let count = fits.len();
        FastOutcome::Chosen {
            slot: cluster.order()[at],
            score: if *feasible > 1 { best } else { 0 },
            feasible: *feasible,
            evaluated: count,
            next_start: self.search.start % count.max(1),
        }
    }

    /// The best of those feasible nodes that are looked at.
    fn best_of_window(mut self, enough: usize, ties: &mut TieBreak) -> FastOutcome {
        let count = self.answers.fits.len();
        let start = self.search.start % count.max(1);
        let Scratch { mask, window, .. } = &mut *self.scratch;
        window.clear();
        let next = mask.list_from(start, enough, window);
        let mut evaluated = next.map_or(count, |at| (at + count - start) % count);
        // A refused nominated node beyond the window was looked at, too.
        evaluated += usize::from(self.again.is_some_and(|at| (at + count - start) % count >= evaluated));
        let feasible = self.scratch.window.len();
        if feasible > 1 && !self.add_up() {
            return FastOutcome::Unsure;
        }
        let Scratch { window, totals, .. } = self.scratch;
        if feasible <= 1 {
            totals.clear();
            totals.resize(feasible, 0);
        }
        let best = totals.iter().copied().max().unwrap_or(0);
        let count_of_best = totals.iter().filter(|total| **total == best).count();
        // In the order of the cache: the window may begin in its middle.
        let turn = window.partition_point(|at| *at as usize >= start);
        let places = (turn..feasible).chain(0..turn).filter(|i| totals[*i] == best);
        let cluster = self.search.attempt.cluster;
        let tied = places.map(|i| cluster.order()[window[i] as usize]);
        match ties.choose_among(cluster, count_of_best, tied) {
            Some(slot) => FastOutcome::Chosen {
                slot,
                score: best,
                feasible,
                evaluated,
                next_start: (start + evaluated) % count.max(1),
            },
            None => FastOutcome::Unsure,
        }
    }

    /// Totals of the window. False if a score is out of range or an error.
    fn add_up(&mut self) -> bool {
        let Scratch { window, totals, table, .. } = &mut *self.scratch;
        let answers = &mut *self.answers;
        if answers.pre_score.is_err()
            // Not only those that count as feasible: the pod's own nominated node may be among them.
            || answers.invalid.iter().next().is_some() && window.iter().any(|at| answers.invalid.has(*at as usize))
        {
            return false;
        }
        let profile = self.search.profile;
        // Where all nodes say 0, all get the same.
        let same = answers.relative.iter().filter(|relative| relative.nonzero == 0);
        let same: i64 =
            same.map(|relative| normalized(0, 0, relative.reverse) * profile.weight(relative.plugin)).sum();
        totals.clear();
        totals.extend(window.iter().map(|at| answers.absolute[*at as usize] + same));
        for relative in answers.relative.iter().filter(|relative| relative.nonzero > 0) {
            relative.add_to(totals, window, profile.weight(relative.plugin), table);
        }
        for column in answers.columns.iter_mut().filter(|column| column.scores) {
            if let Some(plugin) = profile.plugin(column.plugin).columns() {
                let weight = profile.weight(column.plugin);
                plugin.score(&mut column.kept, &self.search.attempt, window, weight, totals);
            }
        }
        true
    }

    /// Why no node passes.
    fn explain(self) -> FastOutcome {
        let Search { profile, ref attempt, nominator, start, .. } = self.search;
        let order = attempt.cluster.order();
        let answers = self.answers;
        if answers.filtered && columns_before_others(profile, answers) {
            return FastOutcome::Unsure;
        }
        let mut others = self.promised.clone();
        for at in 0..order.len() {
            if answers.refusals.is_known(at) {
                continue;
            }
            if answers.fits.has(at) {
                if self.promised.binary_search_by_key(&at, |(at, _)| *at).is_ok() {
                    continue;
                }
                let mut columns = answers.columns.iter().filter(|column| column.filters);
                let said = columns.find_map(|column| {
                    let plugin = profile.plugin(column.plugin);
                    Some(plugin.columns()?.refusal(&column.kept, attempt, at)?.by(plugin.name()))
                });
                match said {
                    Some(status) => others.push((at, status)),
                    None => return FastOutcome::Unsure,
                }
                continue;
            }
            let promised = nominator.on(&attempt.cluster.node_at(at).name).iter();
            match answers.refusal(profile, attempt, promised, at) {
                Some(status) if status.code != Code::Error => answers.refusals.learn(at, status),
                _ => return FastOutcome::Unsure,
            }
        }
        FastOutcome::Nothing(Box::new(answers.refusals.diagnosis(order, start % order.len().max(1), &others)))
    }
}

/// True if a filter with a column is asked before one without that has a say: then it is not clear which of them refuses.
fn columns_before_others(profile: &crate::framework::Profile, answers: &ClassAnswers) -> bool {
    let filters = profile.at(Point::Filter).iter();
    let is_column = |i: &&usize| answers.columns.iter().any(|column| column.plugin == **i);
    let mut after = filters.skip_while(|i| !is_column(i));
    after.any(|i| !is_column(&i) && !answers.state.skip_filter[*i])
}

impl Relative {
    /// Adds normalised scores. `table` is room for them by raw score.
    fn add_to(&self, totals: &mut [i64], window: &[u32], weight: i64, table: &mut Vec<i64>) {
        let raw = |at: &u32| self.raw[*at as usize];
        let max = window.iter().map(raw).max().unwrap_or(0).max(0);
        if max == 0 && !self.reverse {
            return;
        }
        if max == 0 {
            totals.iter_mut().for_each(|total| *total += 100 * weight);
            return;
        }
        // A division per node is what costs here; there are few different scores.
        let tabled = usize::try_from(max).is_ok_and(|max| max < window.len());
        table.clear();
        if tabled {
            table.extend((0..=max).map(|raw| normalized(raw, max, self.reverse) * weight));
        }
        for (total, at) in totals.iter_mut().zip(window) {
            *total += match table.get(raw(at) as usize) {
                Some(score) => *score,
                None => normalized(raw(at), max, self.reverse) * weight,
            };
        }
    }
}
