//! CPU amounts as the kernel takes them: shares, quotas and weights (pkg/kubelet/cm/helpers_linux.go,
//! cgroup_manager_linux.go, and the libraries of the container runtimes).

/// The smallest number of shares.
pub const MIN_SHARES: u64 = 2;
/// The largest number of shares.
pub const MAX_SHARES: u64 = 262_144;
/// The period of bandwidth control unless configured, in µs.
pub const QUOTA_PERIOD: i64 = 100_000;
/// The smallest quota, in µs.
pub const MIN_QUOTA: i64 = 1_000;
/// The largest weight.
const MAX_WEIGHT: u64 = 10_000;

/// Shares of cgroup v1 for thousandths of a CPU (`MilliCPUToShares`).
pub fn shares(milli_cpu: i64) -> u64 {
    let shares = i128::from(milli_cpu) * 1024 / 1000;
    shares.clamp(i128::from(MIN_SHARES), i128::from(MAX_SHARES)) as u64
}

/// The quota per period for thousandths of a CPU, both in µs; 0 stands for none (`MilliCPUToQuota`).
///
/// `period` counts only with the feature gate `CPUCFSQuotaPeriod`: pass [`QUOTA_PERIOD`] without it.
pub fn quota(milli_cpu: i64, period: i64) -> i64 {
    if milli_cpu == 0 {
        return 0;
    }
    let quota = i128::from(milli_cpu) * i128::from(period) / 1000;
    quota.clamp(i128::from(MIN_QUOTA), i128::from(i64::MAX)) as i64
}

/// `cpu.weight` as the kubelet writes it, for pods and above: a straight line (`getCPUWeight`).
pub const fn linear_weight(shares: u64) -> u64 {
    if shares >= MAX_SHARES {
        return MAX_WEIGHT;
    }
    1 + shares.saturating_sub(2) * 9_999 / 262_142
}

/// Shares of a linear weight, as the kubelet reads them back (`cpuWeightToCPUShares`).
pub const fn shares_of_weight(weight: u64) -> u64 {
    weight.saturating_sub(1).saturating_mul(262_142) / 9_999 + 2
}

/// `cpu.weight` as runtimes write it since runc 1.3.2 and crun 1.23 (`ConvertCPUSharesToCgroupV2Value`): the default
/// of 1024 shares becomes the default weight of 100.
pub fn quadratic_weight(shares: u64) -> u64 {
    if shares <= MIN_SHARES {
        return 1;
    }
    if shares >= MAX_SHARES {
        return MAX_WEIGHT;
    }
    let log = libm::log2(shares as f64);
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    libm::pow(10.0, exponent).ceil() as u64
}

/// How a node's container runtime turns shares into a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuntimeWeights {
    /// runc before 1.3.2 and crun before 1.23: the kubelet's own line.
    Linear,
    /// Later ones.
    #[default]
    Quadratic,
}

impl RuntimeWeights {
    /// The conversion of a runtime by its name and version, `runc` `1.2.6` say. Unknown ones count as new.
    pub fn of_version(runtime: &str, version: &str) -> RuntimeWeights {
        let first_quadratic: [u64; 3] = match runtime {
            "runc" => [1, 3, 2],
            "crun" => [1, 23, 0],
            _ => return RuntimeWeights::Quadratic,
        };
        let plain = version.trim_start_matches('v').split(['-', '+']).next().unwrap_or_default();
        let mut numbers = plain.split('.').map(|part| part.parse::<u64>().unwrap_or(0));
        let found = [(); 3].map(|()| numbers.next().unwrap_or(0));
        if found < first_quadratic { RuntimeWeights::Linear } else { RuntimeWeights::Quadratic }
    }

    /// `cpu.weight` of a container with so many shares.
    pub fn weight(self, shares: u64) -> u64 {
        match self {
            RuntimeWeights::Linear => linear_weight(shares),
            RuntimeWeights::Quadratic => quadratic_weight(shares),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_table_of_all_conversions() {
        for (milli, want) in [
            (-5, (2, 1, 1, 1_000)),
            (0, (2, 1, 1, 0)),
            (3, (3, 1, 2, 1_000)),
            (15, (15, 1, 5, 1_500)),
            (400, (409, 16, 49, 40_000)),
            (1_000, (1_024, 39, 100, 100_000)),
            (1_001, (1_025, 40, 101, 100_100)),
            (64_000, (65_536, 2_500, 3_023, 6_400_000)),
            (1_000_000, (262_144, 10_000, 10_000, 100_000_000)),
        ] {
            let s = shares(milli);
            let got = (s, linear_weight(s), quadratic_weight(s), quota(milli, QUOTA_PERIOD));
            assert_eq!(got, want, "{milli}m");
        }
        assert_eq!(quota(200, 5_000), 1_000);
        assert_eq!(quota(i64::MAX, QUOTA_PERIOD), i64::MAX);
    }

    /// FNV-1a over the weights of all shares, as Go's `math.Log2` and `math.Pow` have them on amd64.
    #[test]
    fn quadratic_weights_are_gos_for_all_shares() {
        let all = (2..=MAX_SHARES).map(quadratic_weight);
        let sum = all.fold(14_695_981_039_346_656_037_u64, |h, w| (h ^ w).wrapping_mul(1_099_511_628_211));
        assert_eq!(sum, 10_376_851_850_643_417_751);
    }

    #[test]
    fn weights_come_back_as_shares_up_to_rounding() {
        for weight in [1, 2, 39, 100, 2_500, 10_000] {
            let back = linear_weight(shares_of_weight(weight));
            assert!(weight - back <= 1, "{weight} -> {back}");
        }
        assert_eq!((shares_of_weight(0), shares_of_weight(10_000)), (2, 262_144));
    }

    #[test]
    fn old_runtimes_draw_a_line() {
        use RuntimeWeights::{Linear, Quadratic};
        for (runtime, version, want) in [
            ("runc", "1.3.1", Linear),
            ("runc", "v1.3.2", Quadratic),
            ("runc", "1.4.0-rc.1", Quadratic),
            ("crun", "1.9", Linear),
            ("crun", "1.23", Quadratic),
            ("youki", "0.1", Quadratic),
        ] {
            assert_eq!(RuntimeWeights::of_version(runtime, version), want, "{runtime} {version}");
        }
        assert_eq!((Linear.weight(1024), Quadratic.weight(1024)), (39, 100));
    }
}
