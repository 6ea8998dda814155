//! A set of positions in the order of the nodes, as blocks of 64 bits.

/// Positions `0..len`, each in or out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    blocks: Vec<u64>,
    len: usize,
}

impl Mask {
    /// All positions of so many.
    pub fn full(len: usize) -> Mask {
        let mut mask = Mask::default();
        mask.fill(len);
        mask
    }

    /// Becomes all positions of so many.
    pub fn fill(&mut self, len: usize) {
        self.len = len;
        self.blocks.clear();
        self.blocks.resize(len.div_ceil(64), u64::MAX);
        if let (Some(last), true) = (self.blocks.last_mut(), !len.is_multiple_of(64)) {
            *last = (1 << (len % 64)) - 1;
        }
    }

    /// Becomes a copy, without a new allocation if there is room.
    pub fn copy_from(&mut self, other: &Mask) {
        self.len = other.len;
        self.blocks.clone_from(&other.blocks);
    }

    /// Number of positions, in or out.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for no positions at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True if a position is in.
    pub fn has(&self, at: usize) -> bool {
        self.blocks.get(at / 64).is_some_and(|block| block >> (at % 64) & 1 == 1)
    }

    /// Puts a position in or out.
    pub fn set(&mut self, at: usize, is_in: bool) {
        let Some(block) = self.blocks.get_mut(at / 64) else { return };
        let bit = 1 << (at % 64);
        if is_in { *block |= bit } else { *block &= !bit }
    }

    /// Number of positions that are in.
    pub fn count(&self) -> usize {
        self.blocks.iter().map(|block| block.count_ones() as usize).sum()
    }

    /// Keeps the positions for which `keep` holds; asks only about those that are in.
    #[inline]
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        for (i, block) in self.blocks.iter_mut().enumerate() {
            let mut rest = *block;
            let mut kept = 0_u64;
            while rest != 0 {
                let bit = rest.trailing_zeros() as usize;
                kept |= u64::from(keep(i * 64 + bit)) << bit;
                rest &= rest - 1;
            }
            *block = kept;
        }
    }

    /// The same for a cheap `keep`, which is asked about all positions.
    #[inline]
    pub fn retain_all(&mut self, keep: impl Fn(usize) -> bool) {
        let len = self.len;
        for (i, block) in self.blocks.iter_mut().enumerate() {
            let base = i * 64;
            let mut kept = 0_u64;
            for bit in 0..64.min(len - base) {
                kept |= u64::from(keep(base + bit)) << bit;
            }
            *block &= kept;
        }
    }

    /// The positions that are in, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.blocks_in(0, self.len).flat_map(|(base, mut rest)| {
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    base + bit
                })
            })
        })
    }

    /// Appends the positions that are in, from `start` to the end and then from the beginning, until the list is of
    /// length `enough`. Gives back the next one that is in, if there is one.
    pub fn list_from(&self, start: usize, enough: usize, list: &mut Vec<u32>) -> Option<usize> {
        for (base, block) in self.blocks_in(start, self.len).chain(self.blocks_in(0, start)) {
            if block == u64::MAX && list.len() + 64 <= enough {
                list.extend(base as u32..base as u32 + 64);
                continue;
            }
            let mut rest = block;
            while rest != 0 {
                let at = base + rest.trailing_zeros() as usize;
                if list.len() >= enough {
                    return Some(at);
                }
                list.push(at as u32);
                rest &= rest - 1;
            }
        }
        None
    }

    /// First positions of the blocks of a range, with those of the range that are in.
    #[inline]
    fn blocks_in(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, u64)> + '_ {
        let (first, end) = (from / 64, to.div_ceil(64).min(self.blocks.len()));
        let blocks = self.blocks.get(first..end).unwrap_or(&[]);
        blocks.iter().enumerate().map(move |(i, block)| {
            let base = (first + i) * 64;
            let mut rest = *block;
            if base < from {
                rest &= u64::MAX << (from - base);
            }
            if base + 64 > to {
                rest &= u64::MAX >> (base + 64 - to);
            }
            (base, rest)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any, and such that whole blocks are in.
    fn bools() -> impl Strategy<Value = Vec<bool>> {
        let mostly = |weight| proptest::collection::vec(proptest::bool::weighted(weight), 0..200);
        prop_oneof![mostly(0.5), mostly(0.99)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn is_a_vector_of_bools(bools in bools(), start in 0_usize..200) {
            let mut mask = Mask::full(bools.len());
            prop_assert_eq!(mask.count(), bools.len());
            for (at, is_in) in bools.iter().enumerate() {
                mask.set(at, *is_in);
            }
            let want: Vec<usize> = (0..bools.len()).filter(|at| bools[*at]).collect();
            prop_assert_eq!(mask.iter().collect::<Vec<_>>(), want.clone());
            prop_assert_eq!(mask.count(), want.len());
            let start = start.min(bools.len());
            let (before, after): (Vec<usize>, Vec<usize>) = want.iter().partition(|at| **at < start);
            let turned: Vec<u32> = [after, before].concat().iter().map(|at| *at as u32).collect();
            for enough in [0, 1, 70, 200] {
                let mut list = Vec::new();
                let next = mask.list_from(start, enough, &mut list);
                let (listed, rest) = turned.split_at(enough.min(turned.len()));
                prop_assert_eq!((&list[..], next), (listed, rest.first().map(|at| *at as usize)));
            }
            let mut other = mask.clone();
            other.retain_all(|at| at % 3 == 0);
            mask.retain(|at| at % 3 == 0);
            prop_assert_eq!(&other, &mask);
            prop_assert!(mask.iter().all(|at| at % 3 == 0 && bools[at]));
        }
    }
}
