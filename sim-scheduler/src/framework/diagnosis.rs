//! Why a pod fits nowhere, and upstream's text for it (`framework.FitError`).

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use super::status::{Code, Status};
use crate::cache::Slot;

/// What is known after an attempt that found no node (or, in part, after any).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Refused nodes, in the order they were looked at.
    pub nodes: Vec<(Slot, Status)>,
    /// Further refused nodes by number, where nobody needs them one by one.
    pub counted: Vec<(Status, usize)>,
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

    /// How many nodes were refused.
    pub fn refused(&self) -> usize {
        self.nodes.len() + self.counted.iter().map(|(_, count)| count).sum::<usize>()
    }

    /// The refusals, each with the number of nodes it is about.
    pub fn refusals(&self) -> impl Iterator<Item = (&Status, usize)> {
        let single = self.nodes.iter().map(|(_, status)| (status, 1));
        single.chain(self.counted.iter().map(|(status, count)| (status, *count)))
    }

    /// The text of `FailedScheduling`, for a cluster of so many nodes.
    pub fn message(&self, nodes: usize) -> String {
        let mut text = format!("0/{nodes} nodes are available:");
        let pre_filter = self.pre_filter.as_ref().map(Status::message).unwrap_or_default();
        if pre_filter.is_empty() {
            let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
            for (status, count) in self.refusals() {
                for reason in &status.reasons {
                    *reasons.entry(reason).or_default() += count;
                }
            }
            let absent = nodes.saturating_sub(self.refused());
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
            diagnosis.nodes.push((slot, refused(&["x"])));
        }
        diagnosis.nodes.push((10, refused(&["y", "z"])));
        diagnosis.nodes.push((11, refused(&["y"])));
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
}
