//! `Headroom`: keeps a share of every node's CPU free for bursts.

use sim_scheduler::framework::{Filter, Fits, Plugin, Reads, Rejected, Verdict, Wake};
use sim_scheduler::node::NodeInfo;
use sim_scheduler::pod::PodInfo;

/// The plugin.
///
/// ```
/// use policies::headroom::Headroom;
/// use sim_scheduler::framework::{Profile, plugin};
///
/// let profile = Profile::default_profile().with(plugin(Headroom { percent: 20 }).filter());
/// assert!(profile.wakes("Headroom", sim_scheduler::framework::Wake::NodeAllocatable));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Headroom {
    /// Share of the allocatable CPU that stays free, in percent.
    pub percent: i64,
}

impl Plugin for Headroom {
    const NAME: &'static str = "Headroom";
    const READS: Reads = Reads::NodeLocal;
    const WAKES_ON: &'static [Wake] = &[Wake::NodeAdded, Wake::NodeUpdated, Wake::PodDeleted];
    /// Milli-CPU that the pod asks for.
    type Cycle = i64;

    fn pre_filter(&self, pod: &PodInfo) -> i64 {
        pod.requests.milli_cpu
    }
}

impl Filter for Headroom {
    fn filter(&self, asked: &i64, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let ceiling = node.allocatable.milli_cpu * (100 - self.percent) / 100;
        if node.requested.milli_cpu + asked <= ceiling {
            return Fits;
        }
        Rejected("node(s) must keep CPU headroom")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_share_stays_free() {
        let spec = |cpu: &str| {
            serde_json::from_value(serde_json::json!({"containers": [
                {"name": "c", "resources": {"requests": {"cpu": cpu}}}]}))
            .map(|spec| PodInfo::new(0, "default".into(), Arc::default(), Arc::default(), Arc::new(spec)))
            .expect("a pod spec")
        };
        let plugin = Headroom { percent: 25 };
        let mut node = NodeInfo::default();
        node.allocatable.milli_cpu = 4000;
        node.requested.milli_cpu = 1000;
        for (cpu, fits) in [("0", true), ("2", true), ("2001m", false), ("3", false)] {
            let pod = spec(cpu);
            assert_eq!(plugin.filter(&plugin.pre_filter(&pod), &pod, &node).fits(), fits, "{cpu}");
        }
    }
}
