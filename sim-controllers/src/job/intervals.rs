//! Sets of completion indexes as intervals (`orderedIntervals` in `indexed_job_utils.go`).

use std::fmt;

/// Disjoint intervals in increasing order, each with its first and last index.
///
/// ```
/// use sim_controllers::job::intervals::Intervals;
/// let done = Intervals::parse("1,3-5", 10).with(&[6, 2]);
/// assert_eq!((done.to_string().as_str(), done.total()), ("1-6", 6));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(pub Vec<(i64, i64)>);

impl Intervals {
    /// Reads the form of a status, e.g. `1,3-5`, up to `completions`; what is malformed is left out.
    pub fn parse(text: &str, completions: i64) -> Intervals {
        let mut result: Vec<(i64, i64)> = Vec::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let mut limits = part.split('-');
            let Some(first) = limits.next().and_then(|t| t.parse::<i64>().ok()) else { continue };
            if first >= completions {
                break;
            }
            let last = match limits.next().map(str::parse::<i64>) {
                None => first,
                Some(Ok(last)) => last.min(completions - 1),
                Some(Err(_)) => continue,
            };
            match result.last_mut() {
                Some(previous) if previous.1 == first - 1 => previous.1 = last,
                _ => result.push((first, last)),
            }
        }
        Intervals(result)
    }

    /// These and more indexes, in any order.
    pub fn with(&self, indexes: &[i64]) -> Intervals {
        let mut all: Vec<(i64, i64)> =
            self.0.iter().copied().chain(indexes.iter().map(|i| (*i, *i))).collect();
        all.sort_unstable();
        let mut result: Vec<(i64, i64)> = Vec::with_capacity(all.len());
        for interval in all {
            match result.last_mut() {
                Some(last) if interval.0 <= last.1 + 1 => last.1 = last.1.max(interval.1),
                _ => result.push(interval),
            }
        }
        Intervals(result)
    }

    /// Both.
    pub fn union(&self, other: &Intervals) -> Intervals {
        Intervals(self.0.iter().chain(&other.0).copied().collect()).with(&[])
    }

    /// How many indexes.
    pub fn total(&self) -> i64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// True if the index is one of them.
    pub fn has(&self, index: i64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// How many indexes of `other` are in here.
    pub fn overlap(&self, other: &Intervals) -> i64 {
        let of = |a: &(i64, i64)| -> i64 {
            other.0.iter().map(|b| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0)).sum()
        };
        self.0.iter().map(of).sum()
    }

    /// The lowest `count` indexes below `completions` that are not in here.
    pub fn missing(&self, count: usize, completions: i64) -> Vec<i64> {
        let (mut result, mut candidate) = (Vec::new(), 0);
        for &(first, last) in self.0.iter().chain(&[(completions, completions)]) {
            while candidate < first.min(completions) && result.len() < count {
                result.push(candidate);
                candidate += 1;
            }
            candidate = candidate.max(last + 1);
        }
        result
    }
}

impl fmt::Display for Intervals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            match last - first {
                ..=0 => write!(f, "{first}")?,
                1 => write!(f, "{first},{last}")?,
                _ => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_sets() {
        for (text, completions, want) in [
            ("", 5, ""),
            ("0", 5, "0"),
            ("0,1", 5, "0,1"),
            ("0,1,2", 5, "0-2"),
            ("0-2,x,4-9", 6, "0-2,4,5"),
            ("7", 5, ""),
        ] {
            assert_eq!(Intervals::parse(text, completions).to_string(), want, "{text}");
        }
        let some = Intervals::parse("1,3-5", 10);
        assert_eq!((0..7).filter(|i| some.has(*i)).collect::<Vec<_>>(), [1, 3, 4, 5]);
        assert_eq!(some.missing(3, 10), [0, 2, 6]);
        assert_eq!(some.missing(10, 7), [0, 2, 6]);
        assert_eq!(some.overlap(&Intervals::parse("0-3", 10)), 2);
    }
}
