//! Counts by size, in buckets that double.

use super::Sample;

/// What was observed, in whole units (nanoseconds, pods, …). The buckets end at `first`, twice that, and so on; all of
/// kube-scheduler's that are kept here do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Histogram {
    first: i64,
    /// By bucket, each without those below it; the last has no end.
    counts: Box<[u64]>,
    sum: i128,
}

impl Histogram {
    pub(super) fn new(first: i64, buckets: usize) -> Histogram {
        Histogram { first, counts: vec![0; buckets + 1].into(), sum: 0 }
    }

    pub(super) fn observe(&mut self, value: i64) {
        let last = self.counts.len() - 1;
        let mut at = 0;
        while at < last && value > self.first << at {
            at += 1;
        }
        self.counts[at] += 1;
        self.sum += i128::from(value);
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// With so many units to one of the metric.
    pub(super) fn sample(&self, units: f64) -> Sample {
        let mut below = 0;
        let cumulative = self.counts.iter().enumerate().map(|(at, count)| {
            below += count;
            let end =
                if at + 1 < self.counts.len() { (self.first << at) as f64 / units } else { f64::INFINITY };
            (end, below)
        });
        Sample::Histogram { buckets: cumulative.collect(), sum: self.sum as f64 / units, count: self.count() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_end() {
        let mut histogram = Histogram::new(2, 3);
        for value in [0, 2, 3, 4, 8, 9, i64::MAX] {
            histogram.observe(value);
        }
        let Sample::Histogram { buckets, count, .. } = histogram.sample(2.0) else { panic!("a histogram") };
        assert_eq!(buckets, [(1.0, 2), (2.0, 4), (4.0, 5), (f64::INFINITY, 7)]);
        assert_eq!(count, 7);
    }
}
