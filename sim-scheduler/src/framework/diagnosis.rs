//! Why a pod fits nowhere, and upstream's text for it (`framework.FitError`).

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use super::status::{Code, Status};
use crate::cache::Slot;

/// What is known after an attempt that found no node (or, in part, after any).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Refused nodes, in the order they were looked at.
    pub nodes: Refusals,
    /// Status of nodes that are not in `nodes`, if a PreFilter plugin excluded them.
    pub absent: Option<Status>,
    /// Set if PreFilter refused the pod as a whole.
    pub pre_filter: Option<Status>,
    /// What PostFilter plugins said.
    pub post_filter: String,
    /// Plugins whose events may help ([`Code::Unschedulable`] and [`Code::UnschedulableAndUnresolvable`]).
    pub unschedulable_plugins: BTreeSet<SmolStr>,
    /// Plugins that wait for something outside ([`Code::Pending`]).
    pub pending_plugins: BTreeSet<SmolStr>,
}

/// Refused nodes with the reasons. What was said of many nodes is kept once.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    kinds: Vec<Status>,
    /// Nodes with the number of what was said of them.
    nodes: Vec<(Slot, u32)>,
}

/// How many of the latest kinds are compared with a new one, so that statuses that differ by node cost no search.
const RECENT: usize = 32;

impl Refusals {
    /// Made of parts: nodes with the number of their status.
    pub(crate) fn of(kinds: Vec<Status>, nodes: Vec<(Slot, u32)>) -> Refusals {
        Refusals { kinds, nodes }
    }

    /// A node was refused.
    pub fn push(&mut self, slot: Slot, status: Status) {
        let recent = self.kinds.len().saturating_sub(RECENT);
        let kind = match self.kinds[recent..].iter().rposition(|known| *known == status) {
            Some(at) => recent + at,
            None => {
                self.kinds.push(status);
                self.kinds.len() - 1
            }
        };
        self.nodes.push((slot, kind as u32));
    }

    /// The same for a status that is somebody else's.
    pub fn push_same(&mut self, slot: Slot, status: &Status) {
        let recent = self.kinds.len().saturating_sub(RECENT);
        match self.kinds[recent..].iter().rposition(|known| known == status) {
            Some(at) => self.nodes.push((slot, (recent + at) as u32)),
            None => self.push(slot, status.clone()),
        }
    }

    /// Takes a node out.
    pub(crate) fn remove(&mut self, slot: Slot) {
        if let Some(at) = self.nodes.iter().position(|(refused, _)| *refused == slot) {
            self.nodes.remove(at);
        }
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True if no node was refused.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes, in the order they were refused.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Slot, &Status)> {
        self.nodes.iter().map(|(slot, kind)| (*slot, &self.kinds[*kind as usize]))
    }

    /// What was said, with the number of nodes.
    pub fn counts(&self) -> impl Iterator<Item = (&Status, usize)> {
        let mut counts = vec![0_usize; self.kinds.len()];
        for (_, kind) in &self.nodes {
            counts[*kind as usize] += 1;
        }
        self.kinds.iter().zip(counts).filter(|(_, count)| *count > 0)
    }
}

impl PartialEq for Refusals {
    fn eq(&self, other: &Refusals) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Refusals {}

impl Diagnosis {
    /// Blames the plugin of a status.
    pub(crate) fn blame(&mut self, status: &Status) {
        if status.plugin.is_empty() {
            return;
        }
        match status.code {
            Code::Unschedulable | Code::UnschedulableAndUnresolvable => {
                self.unschedulable_plugins.insert(status.plugin.clone());
            }
            Code::Pending => {
                self.pending_plugins.insert(status.plugin.clone());
            }
            _ => {}
        }
    }

    /// Code of what is known about a node (`NodeToStatus.Get`).
    pub fn code_of(&self, slot: Option<Slot>) -> Code {
        let told = slot.and_then(|slot| self.nodes.iter().find(|(refused, _)| *refused == slot));
        told.map_or_else(|| self.absent_code(), |(_, status)| status.code)
    }

    /// Nodes that were refused with a code, of all nodes that there are (`NodesForStatusCode`).
    pub fn nodes_with(&self, code: Code, all: &[Slot]) -> Vec<Slot> {
        let told = self.nodes.iter();
        if self.absent_code() != code {
            return told.filter(|(_, status)| status.code == code).map(|(slot, _)| slot).collect();
        }
        let others: BTreeSet<Slot> = told.filter(|(_, s)| s.code != code).map(|(slot, _)| slot).collect();
        all.iter().copied().filter(|slot| !others.contains(slot)).collect()
    }

    fn absent_code(&self) -> Code {
        let status = self.pre_filter.as_ref().or(self.absent.as_ref());
        status.map_or(Code::UnschedulableAndUnresolvable, |status| status.code)
    }

    /// The text of `FailedScheduling`, for a cluster of so many nodes.
    pub fn message(&self, nodes: usize) -> String {
        let mut text = format!("0/{nodes} nodes are available:");
        let pre_filter = self.pre_filter.as_ref().map(Status::message).unwrap_or_default();
        if pre_filter.is_empty() {
            let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
            for (status, count) in self.nodes.counts() {
                for reason in &status.reasons {
                    *reasons.entry(reason).or_default() += count;
                }
            }
            let absent = nodes.saturating_sub(self.nodes.len());
            if absent > 0 {
                for reason in self.absent_reasons() {
                    *reasons.entry(reason).or_default() += absent;
                }
            }
            let mut lines: Vec<String> = reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
            lines.sort_unstable();
            if !lines.is_empty() {
                text.push_str(&format!(" {}.", lines.join(", ")));
            }
        } else {
            text.push_str(&format!(" {pre_filter}."));
        }
        if !self.post_filter.is_empty() {
            text.push_str(&format!(" {}", self.post_filter));
        }
        text
    }

    fn absent_reasons(&self) -> impl Iterator<Item = &str> {
        let status = self.pre_filter.as_ref().or(self.absent.as_ref());
        status.into_iter().flat_map(|s| &s.reasons).map(SmolStr::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reasons: &[&str]) -> Status {
        Status {
            code: Code::Unschedulable,
            reasons: reasons.iter().map(SmolStr::new).collect(),
            plugin: SmolStr::default(),
        }
    }

    #[test]
    fn reasons_are_counted_and_sorted_as_texts() {
        let mut diagnosis = Diagnosis::default();
        for slot in 0..10 {
            diagnosis.nodes.push(slot, refused(&["x"]));
        }
        diagnosis.nodes.push(10, refused(&["y", "z"]));
        diagnosis.nodes.push(11, refused(&["y"]));
        assert_eq!(diagnosis.message(12), "0/12 nodes are available: 1 z, 10 x, 2 y.");
        diagnosis.absent = Some(refused(&["node(s) didn't satisfy plugin(s) [NodeAffinity]"]));
        assert_eq!(
            diagnosis.message(14),
            "0/14 nodes are available: 1 z, 10 x, 2 node(s) didn't satisfy plugin(s) [NodeAffinity], 2 y."
        );
        diagnosis.post_filter = "preemption: no".to_owned();
        diagnosis.pre_filter = Some(refused(&["pod affinity terms conflict"]));
        assert_eq!(
            diagnosis.message(14),
            "0/14 nodes are available: pod affinity terms conflict. preemption: no"
        );
        assert_eq!(Diagnosis::default().message(3), "0/3 nodes are available:");
    }

    #[test]
    fn nodes_that_nobody_spoke_of_have_the_code_of_pre_filter() {
        let mut diagnosis = Diagnosis::default();
        diagnosis.nodes.push(2, refused(&["x"]));
        diagnosis.nodes.push(1, Status { code: Code::UnschedulableAndUnresolvable, ..refused(&["y"]) });
        let all = [0, 1, 2, 3];
        assert_eq!(diagnosis.nodes_with(Code::Unschedulable, &all), [2]);
        assert_eq!(diagnosis.code_of(Some(2)), Code::Unschedulable);
        assert_eq!(diagnosis.code_of(Some(3)), Code::UnschedulableAndUnresolvable);
        assert_eq!(diagnosis.code_of(None), Code::UnschedulableAndUnresolvable);
        diagnosis.pre_filter = Some(refused(&["z"]));
        assert_eq!(diagnosis.nodes_with(Code::Unschedulable, &all), [0, 2, 3]);
        assert_eq!(diagnosis.code_of(Some(3)), Code::Unschedulable);
    }
}
