//! The settings of one cgroup, and how the kernel shows them.

use std::collections::BTreeMap;

use super::container::ContainerResources;
use super::cpu::{QUOTA_PERIOD, RuntimeWeights, linear_weight};
use super::pod::{HUGE_PAGE_SIZES, ResourceConfig};

/// Settings as the kernel holds them. `None` is `max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// `cpu.weight`.
    pub cpu_weight: u64,
    /// `cpu.max`: µs per period.
    pub cpu_quota: Option<i64>,
    /// `cpu.max`: length of the period in µs.
    pub cpu_period: i64,
    /// `cpu.max.burst` in µs.
    pub cpu_burst: i64,
    /// `memory.min` in bytes, as all of memory.
    pub memory_min: i64,
    /// `memory.low`.
    pub memory_low: i64,
    /// `memory.high`.
    pub memory_high: Option<i64>,
    /// `memory.max`.
    pub memory_max: Option<i64>,
    /// `memory.swap.max`.
    pub swap_max: Option<i64>,
    /// `memory.oom.group`.
    pub oom_group: bool,
    /// `pids.max`.
    pub pids_max: Option<i64>,
    /// `hugetlb.*.max` in bytes, by page size in bytes.
    pub hugetlb_max: BTreeMap<i64, Option<i64>>,
    /// `oom_score_adj` of the processes in it, which is no file of the cgroup.
    pub oom_score_adj: i64,
}

/// A cgroup that nobody has written to.
impl Default for Knobs {
    fn default() -> Knobs {
        Knobs {
            cpu_weight: 100,
            cpu_quota: None,
            cpu_period: QUOTA_PERIOD,
            cpu_burst: 0,
            memory_min: 0,
            memory_low: 0,
            memory_high: None,
            memory_max: None,
            swap_max: None,
            oom_group: false,
            pids_max: None,
            hugetlb_max: HUGE_PAGE_SIZES.map(|size| (size, None)).into(),
            oom_score_adj: 0,
        }
    }
}

/// A setting that the kernel refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write {file}: invalid argument: {value:?}: {why}")]
pub struct InvalidArgument {
    /// The file.
    pub file: String,
    /// What was written.
    pub value: String,
    /// What is wrong with it.
    pub why: &'static str,
}

const PAGE: i64 = 4096;

/// Files that [`Knobs`] have, huge pages aside.
const FILES: [&str; 11] = [
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "memory.high",
    "memory.low",
    "memory.max",
    "memory.min",
    "memory.oom.group",
    "memory.swap.max",
    "pids.max",
    "cpu.idle",
];

impl Knobs {
    /// Writes what the kubelet configures; shares become a weight in a straight line.
    pub fn configure(&mut self, config: &ResourceConfig) {
        if let Some(shares) = config.cpu_shares {
            self.cpu_weight = linear_weight(shares);
        }
        self.set_cpu_max(config.cpu_quota.unwrap_or(0), config.cpu_period.unwrap_or(0));
        if let Some(bytes) = config.memory.filter(|bytes| *bytes > 0) {
            self.memory_max = Some(pages(bytes));
        }
        if let Some(pids) = config.pids.filter(|pids| *pids > 0) {
            self.pids_max = Some(pids);
        }
        for (size, limit) in &mut self.hugetlb_max {
            let bytes = config.huge_page_limit.get(size).copied().unwrap_or(0);
            *limit = Some(bytes - bytes % size);
        }
        self.set_unified(&config.unified);
    }

    /// Writes what the container runtime is asked for.
    pub fn contain(&mut self, resources: &ContainerResources, weights: RuntimeWeights) {
        self.cpu_weight = weights.weight(resources.cpu_shares);
        self.set_cpu_max(resources.cpu_quota, resources.cpu_period);
        if resources.memory_limit > 0 {
            self.memory_max = Some(pages(resources.memory_limit));
        }
        for (size, limit) in &mut self.hugetlb_max {
            let bytes = resources.huge_page_limits.get(size).copied().unwrap_or(0);
            *limit = Some(bytes - bytes % size);
        }
        self.oom_score_adj = resources.oom_score_adj;
        self.set_unified(&resources.unified);
    }

    /// As runc does: nothing is written if both are 0, and no quota is `max`.
    fn set_cpu_max(&mut self, quota: i64, period: i64) {
        if quota != 0 || period != 0 {
            self.cpu_quota = (quota > 0).then_some(quota);
            self.cpu_period = if period == 0 { QUOTA_PERIOD } else { period };
        }
    }

    fn set_unified(&mut self, files: &BTreeMap<&'static str, String>) {
        for (file, text) in files {
            // All of these are numbers that we have written ourselves.
            let _ = self.write(file, text);
        }
    }

    /// Writes to a file, as a process in the node would.
    ///
    /// # Errors
    /// What the kernel would refuse.
    pub fn write(&mut self, file: &str, text: &str) -> Result<(), InvalidArgument> {
        let text = text.trim();
        let refuse = |why| InvalidArgument { file: file.into(), value: text.into(), why };
        let number = |text: &str| text.parse::<i64>().ok().filter(|n| *n >= 0).ok_or(refuse("not a number"));
        let limit = |text: &str| if text == "max" { Ok(None) } else { number(text).map(Some) };
        match file {
            "cpu.weight" => match number(text)? {
                weight @ 1..=10_000 => self.cpu_weight = weight as u64,
                _ => return Err(refuse("from 1 to 10000")),
            },
            "cpu.max" => {
                let mut words = text.split_whitespace();
                let quota = limit(words.next().unwrap_or_default())?;
                let period = words.next().map_or(Ok(self.cpu_period), number)?;
                if !(1_000..=1_000_000).contains(&period) || quota.is_some_and(|q| q < 1_000) {
                    return Err(refuse("quota and period are at least 1000, the period at most 1000000"));
                }
                if quota.is_some_and(|q| q < self.cpu_burst) {
                    return Err(refuse("less than cpu.max.burst"));
                }
                (self.cpu_quota, self.cpu_period) = (quota, period);
            }
            "cpu.max.burst" => {
                let burst = number(text)?;
                if self.cpu_quota.is_some_and(|quota| burst > quota) {
                    return Err(refuse("more than the quota of cpu.max"));
                }
                self.cpu_burst = burst;
            }
            "memory.min" => self.memory_min = pages(limit(text)?.unwrap_or(i64::MAX)),
            "memory.low" => self.memory_low = pages(limit(text)?.unwrap_or(i64::MAX)),
            "memory.high" => self.memory_high = limit(text)?.map(pages),
            "memory.max" => self.memory_max = limit(text)?.map(pages),
            "memory.swap.max" => self.swap_max = limit(text)?.map(pages),
            "memory.oom.group" => match text {
                "0" | "1" => self.oom_group = text == "1",
                _ => return Err(refuse("0 or 1")),
            },
            "pids.max" => self.pids_max = limit(text)?,
            _ => return Err(refuse("no such file")),
        }
        Ok(())
    }

    /// What a file shows. `None` if there is no such file.
    pub fn read(&self, file: &str) -> Option<String> {
        let limit = |value: Option<i64>| value.map_or_else(|| "max".to_string(), |n| n.to_string());
        Some(match file {
            "cpu.weight" => self.cpu_weight.to_string(),
            "cpu.idle" => "0".into(),
            "cpu.max" => format!("{} {}", limit(self.cpu_quota), self.cpu_period),
            "cpu.max.burst" => self.cpu_burst.to_string(),
            "memory.min" => self.memory_min.to_string(),
            "memory.low" => self.memory_low.to_string(),
            "memory.high" => limit(self.memory_high),
            "memory.max" => limit(self.memory_max),
            "memory.swap.max" => limit(self.swap_max),
            "memory.oom.group" => u8::from(self.oom_group).to_string(),
            "pids.max" => limit(self.pids_max),
            _ => {
                let size = file.strip_prefix("hugetlb.")?.strip_suffix(".max")?;
                let (_, value) =
                    self.hugetlb_max.iter().find(|(bytes, _)| page_size_name(**bytes) == size)?;
                limit(*value)
            }
        })
    }

    /// All files there are, sorted.
    pub fn files(&self) -> Vec<String> {
        let huge = self.hugetlb_max.keys().map(|size| format!("hugetlb.{}.max", page_size_name(*size)));
        let mut all: Vec<String> = FILES.iter().map(|f| f.to_string()).chain(huge).collect();
        all.sort();
        all
    }
}

/// The kernel counts memory in pages.
const fn pages(bytes: i64) -> i64 {
    bytes - bytes % PAGE
}

/// `2MB`, `1GB`: page sizes as the files of the kernel name them (`HugePageUnitSizeFromByteSize`).
fn page_size_name(bytes: i64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB", "PB"];
    let (mut size, mut unit) = (bytes, 0);
    while size > 0 && size % 1024 == 0 && unit + 1 < units.len() {
        size /= 1024;
        unit += 1;
    }
    format!("{size}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_refuses_what_cannot_be() {
        let mut knobs = Knobs::default();
        knobs.write("cpu.max", "20000").unwrap();
        for (file, text, why) in [
            ("cpu.weight", "0", "from 1 to 10000"),
            ("cpu.weight", "max", "not a number"),
            ("cpu.max", "999 100000", "quota and period are at least 1000, the period at most 1000000"),
            ("cpu.max.burst", "20001", "more than the quota of cpu.max"),
            ("memory.max", "-1", "not a number"),
            ("memory.oom.group", "2", "0 or 1"),
            ("memory.current", "1", "no such file"),
        ] {
            let before = knobs.clone();
            let error = knobs.write(file, text).unwrap_err();
            assert_eq!(error.why, why, "{error}");
            assert_eq!(knobs, before);
        }
        knobs.write("cpu.max.burst", "20000").unwrap();
        assert_eq!(knobs.write("cpu.max", "10000").unwrap_err().why, "less than cpu.max.burst");
    }

    #[test]
    fn files_show_what_was_written() {
        let mut knobs = Knobs::default();
        for (file, text, shown) in [
            ("cpu.max", "50000", "50000 100000"),
            ("cpu.max", "max 20000", "max 20000"),
            ("memory.high", "10000", "8192"),
            ("memory.high", "max", "max"),
            ("memory.oom.group", "1", "1"),
            ("pids.max", "7", "7"),
        ] {
            knobs.write(file, text).unwrap();
            assert_eq!(knobs.read(file).unwrap(), shown);
        }
        assert_eq!(knobs.read("hugetlb.1GB.max").unwrap(), "max");
        assert_eq!(knobs.read("hugetlb.1MB.max"), None);
        assert!(knobs.files().iter().all(|file| knobs.read(file).is_some()));
    }
}
