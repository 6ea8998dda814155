//! Why nodes were refused: only found out when no node is left, and then kept.

use crate::cache::Slot;
use crate::framework::{Diagnosis, Refusals, Status};

/// Reasons by position.
#[derive(Default)]
pub(super) struct KnownRefusals {
    /// Number of the refusal by position, from 1; 0 if not known.
    known: Vec<u32>,
    /// Refusals with the number of nodes they are about.
    kinds: Vec<(Status, usize)>,
}

impl KnownRefusals {
    pub(super) fn forget_all(&mut self, nodes: usize) {
        self.kinds.clear();
        self.known.clear();
        self.known.resize(nodes, 0);
    }

    pub(super) fn forget(&mut self, at: usize) {
        if let Some(kind) = std::mem::take(&mut self.known[at]).checked_sub(1) {
            self.kinds[kind as usize].1 -= 1;
        }
    }

    pub(super) fn is_known(&self, at: usize) -> bool {
        self.known[at] != 0
    }

    pub(super) fn learn(&mut self, at: usize, status: Status) {
        let kind = self.kinds.iter().position(|(known, _)| *known == status).unwrap_or_else(|| {
            self.kinds.push((status, 0));
            self.kinds.len() - 1
        });
        self.kinds[kind].1 += 1;
        self.known[at] = kind as u32 + 1;
    }

    /// What is known of all positions, from `start` on and around, where `others` (by position) says nothing else.
    pub(super) fn diagnosis(&self, order: &[Slot], start: usize, others: &[(usize, Status)]) -> Diagnosis {
        let mut kinds: Vec<Status> = self.kinds.iter().map(|(status, _)| status.clone()).collect();
        let mut by_position = self.known.clone();
        for (at, status) in others {
            let kind = kinds.iter().position(|known| known == status).unwrap_or_else(|| {
                kinds.push(status.clone());
                kinds.len() - 1
            });
            by_position[*at] = kind as u32 + 1;
        }
        let mut used = vec![false; kinds.len()];
        let around = (start..order.len()).chain(0..start.min(order.len()));
        let mut nodes = Vec::with_capacity(order.len());
        for at in around {
            if let Some(kind) = by_position[at].checked_sub(1) {
                used[kind as usize] = true;
                nodes.push((order[at], kind));
            }
        }
        let mut diagnosis = Diagnosis::default();
        for (status, _) in kinds.iter().zip(used).filter(|(_, used)| *used) {
            diagnosis.blame(status);
        }
        diagnosis.nodes = Refusals::of(kinds, nodes);
        diagnosis
    }
}
