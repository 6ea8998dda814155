//! The fast way through a cycle: answers are kept per pod class and node.
//!
//! Plugins that are [`Reads::NodeLocal`](crate::framework::Reads::NodeLocal) give the same answers for all pods of a
//! class until the node changes. So a class asks about all nodes once, and afterwards only about nodes that changed
//! since it was last used: after a binding, one. The best node comes from a tree over the totals. Pods that were promised
//! a node are part of it; only for the one node that a pod itself was promised, it is asked again without that promise.
//!
//! Plugins with [`Columns`](crate::framework::Columns) depend on more than the node. Those that look at pods on other nodes
//! keep counts per class that follow pods as they come and go, and answer for all nodes in one pass over integers; that for
//! devices is asked about each pod, because pods of a class have claims of their own.
//!
//! Whatever else a profile has, a pod whose search PreFilter restricts or refuses, and errors go the plain way.

mod answers;
mod choose;
mod column;
mod refusals;
mod tournament;

use rustc_hash::FxHashMap;

use super::plain::Search;
use super::{CycleState, Nominator, Sampling, TieBreak};
use crate::cache::Slot;
use crate::framework::{Attempt, Diagnosis, Memory, Profile};
use answers::ClassAnswers;
use choose::{Choice, Scratch};

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
    /// No node passes.
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
    scratch: Scratch,
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
        nominator: &Nominator,
        (sampling, start): (Sampling, usize),
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
        let sure = answers.update(profile, attempt, nominator);
        self.cells = self.cells + answers.fits.len() - before;
        let outcome = if sure {
            let search = Search { profile, attempt: *attempt, nominator, sampling, start, extenders: None };
            Choice::new(search, answers, &mut self.scratch).make(ties)
        } else {
            FastOutcome::Unsure
        };
        self.evict(key);
        outcome
    }

    /// State of the plugins after the last choice for a pod, if some plugin wants it once a node is chosen.
    pub fn state_after_choice(
        &self,
        (index, profile): (usize, &Profile),
        attempt: &Attempt<'_>,
    ) -> Option<CycleState> {
        self.classes.get(&(index, attempt.pod.class))?.later_state(profile, attempt)
    }

    /// State of the plugins after the last refusal of a pod, and what PostFilter plugins remember of its class;
    /// to be given back with [`FastCycles::remember`]. They remember nothing where more than node-local answers had a say.
    pub fn after_refusal(
        &mut self,
        (index, profile): (usize, &Profile),
        attempt: &Attempt<'_>,
    ) -> Option<(CycleState, Option<Memory>)> {
        let answers = self.classes.get_mut(&(index, attempt.pod.class))?;
        let memory = (!answers.filtered).then(|| std::mem::take(&mut answers.memory));
        Some((answers.whole_state(profile, attempt).into_owned(), memory))
    }

    /// Gives back what PostFilter plugins remember of a class.
    pub fn remember(&mut self, profile: usize, class: u64, memory: Memory) {
        if let Some(answers) = self.classes.get_mut(&(profile, class)) {
            answers.memory = memory;
        }
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

#[cfg(test)]
mod tests;
