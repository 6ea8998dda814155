//! Many numbers in as few bytes as the widest of them needs.

/// A list of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    Narrow(Box<[i16]>),
    Wide(Box<[i32]>),
    Full(Box<[i64]>),
}

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers::Narrow(Box::default())
    }
}

impl Numbers {
    pub(super) fn of(numbers: &[i64]) -> Numbers {
        if let Ok(narrow) = numbers.iter().map(|n| i16::try_from(*n)).collect() {
            return Numbers::Narrow(narrow);
        }
        match numbers.iter().map(|n| i32::try_from(*n)).collect() {
            Ok(wide) => Numbers::Wide(wide),
            Err(_) => Numbers::Full(numbers.into()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Numbers::Narrow(list) => list.len(),
            Numbers::Wide(list) => list.len(),
            Numbers::Full(list) => list.len(),
        }
    }

    pub(super) fn get(&self, at: usize) -> Option<i64> {
        match self {
            Numbers::Narrow(list) => list.get(at).map(|n| i64::from(*n)),
            Numbers::Wide(list) => list.get(at).map(|n| i64::from(*n)),
            Numbers::Full(list) => list.get(at).copied(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = i64> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        let width = match self {
            Numbers::Narrow(_) => 2,
            Numbers::Wide(_) => 4,
            Numbers::Full(_) => 8,
        };
        self.len() * width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_room_that_they_need() {
        for (numbers, bytes) in [
            (vec![], 0),
            (vec![0, 100, -1, i64::from(i16::MAX)], 8),
            (vec![0, i64::from(i16::MAX) + 1], 8),
            (vec![i64::from(i32::MIN) - 1], 8),
        ] {
            let kept = Numbers::of(&numbers);
            assert_eq!(kept.bytes(), bytes, "{numbers:?}");
            assert_eq!(kept.iter().collect::<Vec<_>>(), numbers);
        }
    }
}
