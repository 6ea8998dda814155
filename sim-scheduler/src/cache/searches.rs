//! What allocators said about nodes, kept from one pod to the next: claims that are made from one template ask for the same, and a
//! node gives the same answer until something changes that it can reach ([`Reach`]).

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sim_dra::allocator::{AllocatedState, Allocator};
use sim_dra::api::ResourceClaim;
use sim_dra::inventory::{Inventory, Node};

use super::reach::Reach;
use super::{Cache, Slot};
use crate::mask::Mask;

/// Most wishes whose answers are kept, each with 16 bytes per node.
const MAX_KEPT: usize = 1024;

/// Claims that need devices, in the order of the pod.
#[derive(Clone, Debug)]
pub struct Wish {
    claims: Vec<Arc<ResourceClaim>>,
    /// What they ask for, as text: other claims with the same text get the same answers.
    text: String,
}

impl Wish {
    /// Claims, each with its `spec` as text.
    pub fn new<'a>(claims: impl IntoIterator<Item = (Arc<ResourceClaim>, &'a str)>) -> Wish {
        let mut wish = Wish { claims: Vec::new(), text: String::new() };
        for (claim, spec) in claims {
            wish.claims.push(claim);
            wish.text.push_str(spec);
            wish.text.push('\n');
        }
        wish
    }

    /// The claims.
    pub fn claims(&self) -> &[Arc<ResourceClaim>] {
        &self.claims
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Fits,
    Refused,
    Error,
}

/// What is kept for one wish.
#[derive(Debug)]
pub(super) struct Kept {
    used: u64,
    /// Knows the claims, but no devices: those are of the moment.
    allocator: Allocator,
    /// By slot, with the version that it holds at.
    answers: Vec<(u64, Answer)>,
}

/// Kept answers by wish.
#[derive(Debug, Default)]
pub(super) struct Searches {
    kept: FxHashMap<String, Kept>,
    clock: u64,
}

/// Kept answers are derived from other state: a clone starts without.
impl Clone for Searches {
    fn clone(&self) -> Searches {
        Searches::default()
    }
}

impl Searches {
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// What is kept for a wish. `make` gives an allocator for its claims if it is new.
    pub(super) fn of(&mut self, wish: &Wish, make: impl FnOnce() -> Allocator) -> &mut Kept {
        self.clock += 1;
        if !self.kept.contains_key(&wish.text) {
            if self.kept.len() >= MAX_KEPT {
                let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(text, _)| text.clone());
                oldest.and_then(|text| self.kept.remove(&text));
            }
            let allocator = make().among(Arc::default(), Arc::default());
            self.kept.insert(wish.text.clone(), Kept { used: 0, allocator, answers: Vec::new() });
        }
        let kept = self.kept.get_mut(&wish.text).expect("it was just put there");
        kept.used = self.clock;
        kept
    }
}

impl Kept {
    /// Takes the nodes out of the mask that do not have the devices. False if an allocator gives an error about one.
    pub(super) fn filter(
        &mut self,
        allocated: Arc<AllocatedState>,
        inventory: Arc<Inventory>,
        cluster: &Cache,
        reach: &Reach,
        mask: &mut Mask,
    ) -> bool {
        let allocator = self.allocator.among(allocated, inventory);
        let slots = cluster.order();
        let highest = slots.iter().max().map_or(0, |slot| *slot as usize + 1);
        if self.answers.len() < highest {
            self.answers.resize(highest, (0, Answer::Refused));
        }
        let mut sure = true;
        mask.retain(|at| {
            let slot = slots[at];
            let (version, answer) = &mut self.answers[slot as usize];
            if *version < reach.of(slot) {
                (*version, *answer) = (reach.now(), ask(&allocator, cluster, slot));
            }
            sure &= *answer != Answer::Error;
            *answer == Answer::Fits
        });
        sure
    }
}

fn ask(allocator: &Allocator, cluster: &Cache, slot: Slot) -> Answer {
    let node = cluster.node(slot);
    match allocator.allocate(Node { name: &node.name, labels: &node.labels }) {
        Ok(Some(_)) => Answer::Fits,
        Ok(None) => Answer::Refused,
        Err(_) => Answer::Error,
    }
}
