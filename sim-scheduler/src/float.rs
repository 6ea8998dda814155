//! All floating-point work of the scheduler, in the order of operations of upstream's Go on amd64 (no fused
//! multiply-add, which Rust never forms by itself either).

/// Score of `NodeResourcesBalancedAllocation`: 100 minus the spread of the resources' used fractions. Pairs are
/// (requested, allocatable); those without allocatable do not count.
pub(crate) fn balanced(pairs: impl Iterator<Item = (i64, i64)>) -> i64 {
    let mut fractions: smallvec::SmallVec<[f64; 4]> = smallvec::SmallVec::new();
    let mut total = 0.0;
    for (requested, allocatable) in pairs {
        if allocatable == 0 {
            continue;
        }
        let mut fraction = requested as f64 / allocatable as f64;
        if fraction > 1.0 {
            fraction = 1.0;
        }
        total += fraction;
        fractions.push(fraction);
    }
    let deviation = match fractions.as_slice() {
        [a, b] => ((a - b) / 2.0).abs(),
        many if many.len() > 2 => {
            let count = many.len() as f64;
            let mean = total / count;
            let mut sum = 0.0;
            for fraction in many {
                sum += (fraction - mean) * (fraction - mean);
            }
            (sum / count).sqrt()
        }
        _ => 0.0,
    };
    ((1.0 - deviation) * 100.0) as i64
}

/// Size of an image, scaled by the share of nodes that have it.
pub(crate) fn scaled_image(size: i64, nodes_with: usize, nodes: usize) -> i64 {
    let spread = nodes_with as f64 / nodes as f64;
    (size as f64 * spread) as i64
}

/// `math.Round` of a quotient.
pub(crate) fn rounded_quotient(a: i64, b: i64) -> i64 {
    (a as f64 / b as f64).round() as i64
}

/// `math.Log` of a positive, finite number. A library's logarithm may differ in the last bit.
fn log(x: f64) -> f64 {
    const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    const L: [f64; 7] = [
        f64::from_bits(0x3fe5_5555_5555_5593),
        f64::from_bits(0x3fd9_9999_9997_fa04),
        f64::from_bits(0x3fd2_4924_9422_9359),
        f64::from_bits(0x3fcc_71c5_1d8e_78af),
        f64::from_bits(0x3fc7_4664_96cb_03de),
        f64::from_bits(0x3fc3_9a09_d078_c69f),
        f64::from_bits(0x3fc2_f112_df3e_5244),
    ];
    // x = m * 2^exponent with m from a half to one.
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i32 - 0x3fe;
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3fe0_0000_0000_0000);
    let (m, k) = match m < std::f64::consts::FRAC_1_SQRT_2 {
        true => (m * 2.0, f64::from(exponent - 1)),
        false => (m, f64::from(exponent)),
    };
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let odd = s2 * (L[0] + s4 * (L[2] + s4 * (L[4] + s4 * L[6])));
    let even = s4 * (L[1] + s4 * (L[3] + s4 * L[5]));
    let r = odd + even;
    let half = 0.5 * f * f;
    k * LN2_HIGH - ((half - (s * (half + r) + k * LN2_LOW)) - f)
}

/// What a pod in one of so many domains weighs in the score of `PodTopologySpread` (`topologyNormalizingWeight`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DomainWeight(f64);

impl DomainWeight {
    /// The weight among so many domains.
    pub(crate) fn among(domains: usize) -> DomainWeight {
        DomainWeight(log((domains + 2) as f64))
    }
}

/// Score of `PodTopologySpread` in the making: what the constraints add to it, one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpreadScore(f64);

impl SpreadScore {
    /// What one constraint adds: matching pods times their weight, plus the tolerated skew less one (`scoreForCount`).
    pub(crate) fn of(pods: i64, max_skew: i32, DomainWeight(weight): DomainWeight) -> SpreadScore {
        SpreadScore(pods as f64 * weight + f64::from(max_skew.wrapping_sub(1)))
    }

    /// Adds what a constraint adds.
    #[inline]
    pub(crate) fn add(&mut self, part: SpreadScore) {
        self.0 += part.0;
    }

    /// The score: `math.Round`, half away from zero. Without a call to the C library, which costs more than the rest.
    #[inline]
    pub(crate) fn rounded(self) -> i64 {
        // Exact: what is left after the whole part is representable, and beyond 2^53 nothing is left.
        let whole = self.0 as i64;
        let rest = self.0 - whole as f64;
        whole + i64::from(rest >= 0.5) - i64::from(rest <= -0.5)
    }
}

/// Score of `InterPodAffinity`: where a sum is between the lowest and the highest, in percent.
pub(crate) fn percent_between(lowest: i64, highest: i64, sum: i64) -> i64 {
    let range = highest.wrapping_sub(lowest);
    if range <= 0 {
        return 0;
    }
    (100.0 * (sum.wrapping_sub(lowest) as f64 / range as f64)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values() {
        assert_eq!(balanced([(1, 2), (1, 4)].into_iter()), 87);
        assert_eq!(balanced([(9, 4), (0, 4)].into_iter()), 50);
        assert_eq!(balanced([(1, 3), (1, 3), (1, 3)].into_iter()), 100);
        assert_eq!(balanced([(1, 10), (5, 10), (9, 10)].into_iter()), 67);
        assert_eq!(balanced([(1, 3), (5, 0)].into_iter()), 100);
        assert_eq!(scaled_image(300, 1, 3), 100);
        assert_eq!(rounded_quotient(5, 2), 3);
        assert_eq!(rounded_quotient(-5, 2), -3);
        assert_eq!(
            (percent_between(-3, 4, 0), percent_between(0, 7, 7), percent_between(2, 2, 2)),
            (42, 100, 0)
        );
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        for x in [0.0, 0.5, 0.499_999_999_999_999_94, 1.5, 2.5, 2.499_999, -0.5, -1.5, -2.4, 1e15 + 0.5, 1e18]
        {
            assert_eq!(SpreadScore(x).rounded(), x.round() as i64, "{x}");
        }
    }

    #[test]
    fn logarithms_are_gos_to_the_last_bit() {
        for (x, bits) in
            [(3, 0x3ff1_93ea_7aad_030a_u64), (502, 0x4018_dfd8_b5b3_e920), (5002, 0x4021_0901_f6dc_84b9)]
        {
            assert_eq!(log(f64::from(x)).to_bits(), bits, "{x}");
        }
        // FNV-1a over the bits of all of them, as a Go program computes it.
        let hash = (2..=20_000).fold(0xcbf2_9ce4_8422_2325_u64, |hash, x| {
            (hash ^ log(f64::from(x)).to_bits()).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(hash, 0xae1c_7934_18fd_e3d7);
    }
}
