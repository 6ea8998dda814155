//! Thresholds: which signal, how much, for how long (pkg/kubelet/eviction/helpers.go and api/types.go).

use std::collections::BTreeMap;

use sim_core::duration::Duration;
use sim_core::quantity::{Format, Quantity, QuantityError};
use sim_core::time::Span;

/// What is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// None that upstream knows.
    #[default]
    Unknown,
    /// Memory of the node that is left.
    MemoryAvailable,
    /// Bytes left where the kubelet keeps its files.
    NodeFsAvailable,
    /// Inodes left there.
    NodeFsInodesFree,
    /// Bytes left where images are.
    ImageFsAvailable,
    /// Inodes left there.
    ImageFsInodesFree,
    /// Bytes left where containers write.
    ContainerFsAvailable,
    /// Inodes left there.
    ContainerFsInodesFree,
    /// Memory of the pods' cgroup that is left.
    AllocatableMemoryAvailable,
    /// Process numbers that are left.
    PidAvailable,
}

/// `OpForSignal`: there is only one way to cross a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operator {
    /// None: never met. Upstream copies thresholds that were not set, and these are what comes out.
    #[default]
    None,
    /// Met if less is available.
    LessThan,
}

/// A node condition for which the eviction manager speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// `MemoryPressure`.
    Memory,
    /// `DiskPressure`.
    Disk,
    /// `PIDPressure`.
    Pid,
}

impl Condition {
    /// Upstream's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Condition::Memory => "MemoryPressure",
            Condition::Disk => "DiskPressure",
            Condition::Pid => "PIDPressure",
        }
    }
}

impl Signal {
    /// All that upstream knows.
    pub const ALL: [Signal; 9] = [
        Signal::MemoryAvailable,
        Signal::NodeFsAvailable,
        Signal::NodeFsInodesFree,
        Signal::ImageFsAvailable,
        Signal::ImageFsInodesFree,
        Signal::ContainerFsAvailable,
        Signal::ContainerFsInodesFree,
        Signal::AllocatableMemoryAvailable,
        Signal::PidAvailable,
    ];

    /// Upstream's name; empty for an unknown one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Signal::Unknown => "",
            Signal::MemoryAvailable => "memory.available",
            Signal::NodeFsAvailable => "nodefs.available",
            Signal::NodeFsInodesFree => "nodefs.inodesFree",
            Signal::ImageFsAvailable => "imagefs.available",
            Signal::ImageFsInodesFree => "imagefs.inodesFree",
            Signal::ContainerFsAvailable => "containerfs.available",
            Signal::ContainerFsInodesFree => "containerfs.inodesFree",
            Signal::AllocatableMemoryAvailable => "allocatableMemory.available",
            Signal::PidAvailable => "pid.available",
        }
    }

    /// The signal of a name.
    pub fn parse(name: &str) -> Option<Signal> {
        Signal::ALL.into_iter().find(|signal| signal.as_str() == name)
    }

    /// What is to be reclaimed, as messages name it. `None` for an unknown signal.
    pub const fn resource(self) -> Option<&'static str> {
        Some(match self {
            Signal::Unknown => return None,
            Signal::MemoryAvailable | Signal::AllocatableMemoryAvailable => "memory",
            Signal::NodeFsAvailable | Signal::ImageFsAvailable | Signal::ContainerFsAvailable => {
                "ephemeral-storage"
            }
            Signal::NodeFsInodesFree | Signal::ImageFsInodesFree | Signal::ContainerFsInodesFree => "inodes",
            Signal::PidAvailable => "pids",
        })
    }

    /// The condition of a node on which it is low.
    pub fn condition(self) -> Option<Condition> {
        Some(match self.resource()? {
            "memory" => Condition::Memory,
            "pids" => Condition::Pid,
            _ => Condition::Disk,
        })
    }
}

/// How much: an amount, or a part of the capacity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ThresholdValue {
    /// The amount. Counts before the percentage.
    pub quantity: Option<Quantity>,
    /// The part of the capacity, from 0 to 1, as precise as upstream's.
    pub percentage: f32,
}

impl ThresholdValue {
    /// Reads `100Mi` or `10%`.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<ThresholdValue, ThresholdError> {
        if text.ends_with('%') {
            let number = text.trim_end_matches('%');
            let percent: f32 = number.parse().map_err(|_| ThresholdError::Percentage(number.to_string()))?;
            return Ok(ThresholdValue { quantity: None, percentage: percent / 100.0 });
        }
        let quantity = Quantity::parse(text).map_err(ThresholdError::Quantity)?;
        Ok(ThresholdValue { quantity: Some(quantity), percentage: 0.0 })
    }

    /// The amount it is of a capacity (`GetThresholdQuantity`).
    pub fn quantity(&self, capacity: &Quantity) -> Quantity {
        let part = || (capacity.value() as f64 * f64::from(self.percentage)) as i64;
        self.quantity.clone().unwrap_or_else(|| Quantity::new(part(), Format::BinarySI))
    }
}

/// A threshold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Threshold {
    /// What is measured.
    pub signal: Signal,
    /// When it is met.
    pub operator: Operator,
    /// At what.
    pub value: ThresholdValue,
    /// How long it must be met before pods are evicted. Zero: a hard threshold.
    pub grace_period: Span,
    /// How much more must be freed until it counts as resolved.
    pub min_reclaim: Option<ThresholdValue>,
}

impl Threshold {
    /// True if pods are evicted at once.
    pub const fn is_hard(&self) -> bool {
        self.grace_period.is_zero()
    }

    /// Whether two are the same up to what they reclaim (`hasThreshold`).
    pub fn same(&self, other: &Threshold) -> bool {
        (self.signal, self.operator, self.grace_period) == (other.signal, other.operator, other.grace_period)
            && self.value == other.value
    }
}

/// Why thresholds cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ThresholdError {
    /// A name that is no signal.
    #[error("unsupported eviction signal {0}")]
    UnsupportedSignal(String),
    /// Not a number before the `%`.
    #[error("strconv.ParseFloat: parsing {0:?}: invalid syntax")]
    Percentage(String),
    /// Not a quantity.
    #[error(transparent)]
    Quantity(QuantityError),
    /// Below 0 %.
    #[error("eviction percentage threshold {0} must be >= 0%: {1}")]
    NegativePercentage(String, String),
    /// Above 100 %.
    #[error("eviction percentage threshold {0} must be <= 100%: {1}")]
    LargePercentage(String, String),
    /// Nothing or less.
    #[error("eviction threshold {0} must be positive: {1}")]
    NotPositive(String, String),
    /// A soft threshold without one.
    #[error("grace period must be specified for the soft eviction threshold {0}")]
    NoGracePeriod(String),
    /// Not a duration.
    #[error("{0}")]
    Duration(String),
    /// A duration below zero.
    #[error("invalid eviction grace period specified: {0}, must be a positive value")]
    NegativeGracePeriod(String),
    /// A part to reclaim that is nothing or less.
    #[error("eviction percentage minimum reclaim {0} must be positive: {1}")]
    ReclaimPercentage(String, String),
    /// An amount to reclaim below zero.
    #[error("negative eviction minimum reclaim specified for {0}")]
    NegativeReclaim(String),
}

/// Settings by signal, as the configuration has them.
pub type Settings = BTreeMap<String, String>;

/// The four maps of `KubeletConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThresholdConfig {
    /// `evictionHard`.
    pub hard: Settings,
    /// `evictionSoft`.
    pub soft: Settings,
    /// `evictionSoftGracePeriod`.
    pub soft_grace_period: Settings,
    /// `evictionMinimumReclaim`.
    pub minimum_reclaim: Settings,
}

impl ThresholdConfig {
    /// v1.34's defaults on Linux (`DefaultEvictionHard`).
    pub fn defaults() -> ThresholdConfig {
        let hard = [
            ("memory.available", "100Mi"),
            ("nodefs.available", "10%"),
            ("nodefs.inodesFree", "5%"),
            ("imagefs.available", "15%"),
            ("imagefs.inodesFree", "5%"),
        ];
        let hard = hard.map(|(signal, value)| (signal.to_string(), value.to_string())).into();
        ThresholdConfig { hard, ..ThresholdConfig::default() }
    }

    /// The thresholds: hard ones first, each kind in the order of the signals' names. If the allocatable of pods is
    /// enforced, its cgroup is watched for the same hard memory threshold (`ParseThresholdConfig`).
    ///
    /// # Errors
    /// At the first setting that cannot be.
    pub fn parse(&self, pods_enforced: bool) -> Result<Vec<Threshold>, ThresholdError> {
        let mut all = statements(&self.hard)?;
        let soft = statements(&self.soft)?;
        let graces = each(&self.soft_grace_period, grace_period)?;
        let reclaims = each(&self.minimum_reclaim, minimum_reclaim)?;
        for mut threshold in soft {
            let missing = || ThresholdError::NoGracePeriod(threshold.signal.as_str().into());
            threshold.grace_period = *graces.get(&threshold.signal).ok_or_else(missing)?;
            all.push(threshold);
        }
        for threshold in &mut all {
            threshold.min_reclaim = reclaims.get(&threshold.signal).cloned();
        }
        Ok(if pods_enforced { add_allocatable(all) } else { all })
    }
}

fn each<T>(
    settings: &Settings,
    read: impl Fn(&str, &str) -> Result<T, ThresholdError>,
) -> Result<BTreeMap<Signal, T>, ThresholdError> {
    settings.iter().map(|(name, text)| Ok((known(name)?, read(name, text)?))).collect()
}

fn known(name: &str) -> Result<Signal, ThresholdError> {
    Signal::parse(name).ok_or_else(|| ThresholdError::UnsupportedSignal(name.into()))
}

fn statements(settings: &Settings) -> Result<Vec<Threshold>, ThresholdError> {
    let mut thresholds = Vec::new();
    for (name, text) in settings {
        let signal = known(name)?;
        // Ways to switch a default off.
        if text == "0%" || text == "100%" {
            continue;
        }
        let value = ThresholdValue::parse(text)?;
        let both = || (name.clone(), text.clone());
        match &value.quantity {
            Some(q) if q.sign() <= 0 => {
                return Err(ThresholdError::NotPositive(name.clone(), q.to_string()));
            }
            None if value.percentage < 0.0 => {
                let (name, text) = both();
                return Err(ThresholdError::NegativePercentage(name, text));
            }
            None if value.percentage > 1.0 => {
                let (name, text) = both();
                return Err(ThresholdError::LargePercentage(name, text));
            }
            _ => {}
        }
        thresholds.push(Threshold { signal, operator: Operator::LessThan, value, ..Threshold::default() });
    }
    Ok(thresholds)
}

fn grace_period(_: &str, text: &str) -> Result<Span, ThresholdError> {
    let period: Result<Duration, _> = text.parse();
    let period = period.map_err(|error| ThresholdError::Duration(error.to_string()))?.0;
    if period < Span(0) { Err(ThresholdError::NegativeGracePeriod(text.into())) } else { Ok(period) }
}

fn minimum_reclaim(name: &str, text: &str) -> Result<ThresholdValue, ThresholdError> {
    let value = ThresholdValue::parse(text)?;
    match &value.quantity {
        Some(q) if q.sign() < 0 => Err(ThresholdError::NegativeReclaim(name.into())),
        None if value.percentage <= 0.0 => Err(ThresholdError::ReclaimPercentage(name.into(), text.into())),
        _ => Ok(value),
    }
}

/// Adds what watches the pods' own cgroup: a copy of every hard memory threshold (`addAllocatableThresholds`).
pub fn add_allocatable(mut thresholds: Vec<Threshold>) -> Vec<Threshold> {
    let memory = thresholds.iter().filter(|t| t.signal == Signal::MemoryAvailable && t.is_hard());
    let copies: Vec<Threshold> =
        memory.map(|t| Threshold { signal: Signal::AllocatableMemoryAvailable, ..t.clone() }).collect();
    thresholds.extend(copies);
    thresholds
}

/// Where a node keeps what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disks {
    /// Images are not where the kubelet's files are.
    pub dedicated_image_fs: bool,
    /// Containers write where images are not.
    pub split_container_fs: bool,
}

/// Sets the thresholds of containers' storage to those of the file system it is on, whatever was set for it
/// (`UpdateContainerFsThresholds`). True if something was set, which upstream complains about and ignores.
pub fn update_container_fs(thresholds: &mut Vec<Threshold>, disks: Disks) -> bool {
    let from = match (disks.dedicated_image_fs, disks.split_container_fs) {
        (true, false) => [Signal::ImageFsAvailable, Signal::ImageFsInodesFree],
        (true, true) | (false, false) => [Signal::NodeFsAvailable, Signal::NodeFsInodesFree],
        // No node is like this, and upstream then leaves all as it is.
        (false, true) => return thresholds.iter().any(of_container_fs),
    };
    let to = [Signal::ContainerFsAvailable, Signal::ContainerFsInodesFree];
    let conflict = thresholds.iter().any(of_container_fs);
    for (from, to) in from.into_iter().zip(to) {
        for hard in [true, false] {
            let source = thresholds.iter().rfind(|t| t.signal == from && t.is_hard() == hard);
            let mut copy = source.cloned().unwrap_or_default();
            copy.signal = to;
            match thresholds.iter().rposition(|t| t.signal == to && t.is_hard() == hard) {
                Some(place) => thresholds[place] = copy,
                None => thresholds.push(copy),
            }
        }
    }
    conflict
}

fn of_container_fs(threshold: &Threshold) -> bool {
    matches!(threshold.signal, Signal::ContainerFsAvailable | Signal::ContainerFsInodesFree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::time::secs;

    fn settings(text: &str) -> Settings {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(signal, value)| (signal.to_string(), value.to_string())).collect()
    }

    fn parse(hard: &str, soft: &str, grace: &str, reclaim: &str) -> Result<Vec<Threshold>, String> {
        let config = ThresholdConfig {
            hard: settings(hard),
            soft: settings(soft),
            soft_grace_period: settings(grace),
            minimum_reclaim: settings(reclaim),
        };
        config.parse(false).map_err(|error| error.to_string())
    }

    #[test]
    fn bad_settings_are_named() {
        let m = "memory.available";
        for (hard, soft, grace, reclaim, want) in [
            ("mem=1", "", "", "", "unsupported eviction signal mem"),
            (
                "memory.available=-1Mi",
                "",
                "",
                "",
                "eviction threshold memory.available must be positive: -1Mi",
            ),
            (
                "memory.available=-1%",
                "",
                "",
                "",
                "eviction percentage threshold memory.available must be >= 0%: -1%",
            ),
            (
                "memory.available=101%",
                "",
                "",
                "",
                "eviction percentage threshold memory.available must be <= 100%: 101%",
            ),
            ("memory.available=x%", "", "", "", "strconv.ParseFloat: parsing \"x\": invalid syntax"),
            (
                "",
                "memory.available=1",
                "",
                "",
                "grace period must be specified for the soft eviction threshold memory.available",
            ),
            ("", "", "memory.available=1min", "", "time: unknown unit \"min\" in duration \"1min\""),
            (
                "",
                "",
                "memory.available=-1s",
                "",
                "invalid eviction grace period specified: -1s, must be a positive value",
            ),
            (
                "",
                "",
                "",
                "memory.available=-1",
                "negative eviction minimum reclaim specified for memory.available",
            ),
            (
                "",
                "",
                "",
                "memory.available=0%",
                "eviction percentage minimum reclaim memory.available must be positive: 0%",
            ),
        ] {
            assert_eq!(parse(hard, soft, grace, reclaim).unwrap_err(), want);
        }
        assert!(parse(&format!("{m}="), "", "", "").is_err());
        assert_eq!(parse("memory.available=100% nodefs.available=0%", "", "", "").unwrap(), []);
    }

    #[test]
    fn hard_ones_come_first_and_all_get_what_they_reclaim() {
        let all = parse(
            "nodefs.available=10%",
            "memory.available=1Gi",
            "memory.available=1m30s",
            "memory.available=5% nodefs.available=1Gi",
        )
        .unwrap();
        let short: Vec<_> = all
            .iter()
            .map(|t| (t.signal, t.grace_period, t.min_reclaim.clone().unwrap().percentage))
            .collect();
        assert_eq!(
            short,
            [(Signal::NodeFsAvailable, Span(0), 0.0), (Signal::MemoryAvailable, secs(90), 0.05)]
        );
    }

    #[test]
    fn containers_follow_the_disk_they_are_on() {
        let all = parse("nodefs.available=10% imagefs.available=15%", "", "", "").unwrap();
        for (image, split, percent) in [(false, false, 0.1), (true, false, 0.15), (true, true, 0.1)] {
            let mut ours = all.clone();
            let disks = Disks { dedicated_image_fs: image, split_container_fs: split };
            assert!(!update_container_fs(&mut ours, disks));
            let of: Vec<_> = ours.iter().filter(|t| t.signal == Signal::ContainerFsAvailable).collect();
            assert_eq!((of[0].value.percentage, of[0].operator), (percent, Operator::LessThan));
            // What was not set becomes a threshold that is never met.
            assert_eq!((of[1].operator, ours.len()), (Operator::None, 6));
            assert!(update_container_fs(&mut ours, disks));
        }
    }
}
