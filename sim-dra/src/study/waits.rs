//! How long claims wait.

use sim_core::time::Span;

/// Times from the creation of claims to their allocation. A claim that is never allocated is not among them: count it apart.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// Ascending.
    sorted: Vec<Span>,
}

impl Waits {
    /// Waits in any order.
    pub fn new(mut waits: Vec<Span>) -> Waits {
        waits.sort_unstable();
        Waits { sorted: waits }
    }

    /// The least wait that so many hundredths of the claims do not exceed (nearest rank); `None` without claims.
    pub fn percentile(&self, hundredths: u32) -> Option<Span> {
        let rank = (self.sorted.len() * hundredths.min(100) as usize).div_ceil(100);
        self.sorted.get(rank.saturating_sub(1)).copied()
    }

    /// How many waited.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Nobody waited.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}
