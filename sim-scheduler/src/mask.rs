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
        self.range(0, self.len)
    }

    /// The positions that are in, from `start` to the end and then from the beginning.
    #[inline]
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = usize> + '_ {
        self.range(start, self.len).chain(self.range(0, start))
    }

    #[inline]
    fn range(&self, from: usize, to: usize) -> impl Iterator<Item = usize> + '_ {
        let (first, end) = (from / 64, to.div_ceil(64).min(self.blocks.len()));
        let blocks = self.blocks.get(first..end).unwrap_or(&[]);
        blocks.iter().enumerate().flat_map(move |(i, block)| {
            let base = (first + i) * 64;
            let mut rest = *block;
            if base < from {
                rest &= u64::MAX << (from - base);
            }
            if base + 64 > to {
                rest &= u64::MAX >> (base + 64 - to);
            }
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    base + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn is_a_vector_of_bools(bools in proptest::collection::vec(any::<bool>(), 0..200), start in 0_usize..200) {
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
            prop_assert_eq!(mask.iter_from(start).collect::<Vec<_>>(), [after, before].concat());
            let mut other = mask.clone();
            other.retain_all(|at| at % 3 == 0);
            mask.retain(|at| at % 3 == 0);
            prop_assert_eq!(&other, &mask);
            prop_assert!(mask.iter().all(|at| at % 3 == 0 && bools[at]));
        }
    }
}
