//! A tree over positions that knows the highest value, how many have it, and which is the k-th of them.

/// No value: the position does not take part.
pub(super) const ABSENT: i64 = i64::MIN;

#[derive(Clone, Copy, Debug)]
struct Winner {
    value: i64,
    count: u32,
}

const NOBODY: Winner = Winner { value: ABSENT, count: 0 };

/// The tree: `leaves` is a power of two, node 1 is the root, leaf `i` is node `leaves + i`.
#[derive(Clone, Debug, Default)]
pub(super) struct Tournament {
    nodes: Vec<Winner>,
    leaves: usize,
}

fn play(a: Winner, b: Winner) -> Winner {
    match a.value.cmp(&b.value) {
        std::cmp::Ordering::Greater => a,
        std::cmp::Ordering::Less => b,
        std::cmp::Ordering::Equal => Winner { value: a.value, count: a.count + b.count },
    }
}

fn leaf(value: i64) -> Winner {
    Winner { value, count: u32::from(value != ABSENT) }
}

impl Tournament {
    /// Sets all values at once.
    pub(super) fn fill(&mut self, values: impl ExactSizeIterator<Item = i64>) {
        self.leaves = values.len().next_power_of_two();
        self.nodes.clear();
        self.nodes.resize(2 * self.leaves, NOBODY);
        for (node, value) in self.nodes[self.leaves..].iter_mut().zip(values) {
            *node = leaf(value);
        }
        for i in (1..self.leaves).rev() {
            self.nodes[i] = play(self.nodes[2 * i], self.nodes[2 * i + 1]);
        }
    }

    /// Sets one value.
    pub(super) fn set(&mut self, at: usize, value: i64) {
        let mut i = self.leaves + at;
        self.nodes[i] = leaf(value);
        while i > 1 {
            i /= 2;
            self.nodes[i] = play(self.nodes[2 * i], self.nodes[2 * i + 1]);
        }
    }

    /// The highest value and how many positions have it.
    pub(super) fn best(&self) -> (i64, usize) {
        self.nodes.get(1).map_or((ABSENT, 0), |root| (root.value, root.count as usize))
    }

    /// The `k`-th position (from 0, in order) of those with the highest value; `k` must be below their number.
    pub(super) fn kth(&self, mut k: usize) -> usize {
        let best = self.nodes[1].value;
        let mut i = 1;
        while i < self.leaves {
            i *= 2;
            let left = self.nodes[i];
            let there = if left.value == best { left.count as usize } else { 0 };
            if k >= there {
                k -= there;
                i += 1;
            }
        }
        i - self.leaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn knows_what_a_scan_knows(
            mut values in proptest::collection::vec(prop_oneof![Just(ABSENT), 0_i64..4], 1..40),
            changes in proptest::collection::vec((0_usize..40, prop_oneof![Just(ABSENT), 0_i64..4]), 0..40),
        ) {
            let mut tree = Tournament::default();
            tree.fill(values.clone().into_iter());
            for (at, value) in changes {
                let at = at % values.len();
                values[at] = value;
                tree.set(at, value);
                let best = *values.iter().max().unwrap();
                let tied: Vec<usize> =
                    (0..values.len()).filter(|i| best != ABSENT && values[*i] == best).collect();
                prop_assert_eq!(tree.best(), (best, tied.len()));
                for (k, want) in tied.iter().enumerate() {
                    prop_assert_eq!(tree.kth(k), *want);
                }
            }
        }
    }
}
