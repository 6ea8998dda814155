//! Events that may make a refused pod schedulable.

/// Something that happened in the cluster, as far as a refused pod may care (`ClusterEvent`s of upstream).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wake {
    /// A node joined.
    NodeAdded,
    /// Registers every one of the following changes of a node.
    NodeUpdated,
    /// `status.allocatable` of a node changed.
    NodeAllocatable,
    /// Labels of a node changed.
    NodeLabels,
    /// Taints of a node changed, or it was uncordoned.
    NodeTaints,
    /// Conditions of a node changed.
    NodeConditions,
    /// Annotations of a node changed.
    NodeAnnotations,
    /// A node left.
    NodeDeleted,
    /// A pod was bound.
    PodAdded,
    /// A bound pod left, or gave its place back.
    PodDeleted,
    /// A bound pod asks for less.
    PodScaledDown,
    /// Labels of a bound pod changed.
    PodLabels,
    /// Anything else about a bound pod changed.
    PodUpdated,
    /// The refused pod's own last scheduling gate went.
    OwnGatesEliminated,
    /// The refused pod itself got a toleration.
    OwnTolerations,
    /// The refused pod's own labels changed.
    OwnLabels,
    /// The refused pod itself asks for less.
    OwnScaledDown,
}

impl Wake {
    /// Number of kinds.
    pub const COUNT: usize = 17;

    /// All kinds: what a plugin wakes on unless it says better.
    pub const ALL: &'static [Wake] = &[
        Wake::NodeAdded,
        Wake::NodeUpdated,
        Wake::NodeDeleted,
        Wake::PodAdded,
        Wake::PodDeleted,
        Wake::PodScaledDown,
        Wake::PodLabels,
        Wake::PodUpdated,
        Wake::OwnGatesEliminated,
        Wake::OwnTolerations,
        Wake::OwnLabels,
        Wake::OwnScaledDown,
    ];
}

/// A set of [`Wake`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WakeSet(u32);

impl WakeSet {
    /// The set that a plugin registers. As upstream, a plugin that waits for nodes to be added also wakes when
    /// taints change: the node may have been added with a taint that other filters refused.
    pub fn of(wakes: &[Wake]) -> WakeSet {
        let mut set = WakeSet::default();
        for &wake in wakes {
            set.0 |= 1 << wake as u32;
            match wake {
                Wake::NodeAdded => set.0 |= 1 << Wake::NodeTaints as u32,
                Wake::NodeUpdated => {
                    for change in [
                        Wake::NodeAllocatable,
                        Wake::NodeLabels,
                        Wake::NodeTaints,
                        Wake::NodeConditions,
                        Wake::NodeAnnotations,
                    ] {
                        set.0 |= 1 << change as u32;
                    }
                }
                _ => {}
            }
        }
        set
    }

    /// True if the set has this event.
    pub fn has(self, wake: Wake) -> bool {
        self.0 & (1 << wake as u32) != 0
    }

    /// Both sets together.
    #[must_use]
    pub fn union(self, other: WakeSet) -> WakeSet {
        WakeSet(self.0 | other.0)
    }

    /// The kinds of this set, as indexes.
    pub(crate) fn indexes(self) -> impl Iterator<Item = usize> {
        (0..Wake::COUNT).filter(move |i| self.0 & (1 << i) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_waits_for_nodes_wakes_on_taints_too() {
        let set = WakeSet::of(&[Wake::NodeAdded, Wake::PodDeleted]);
        assert!(set.has(Wake::NodeTaints) && set.has(Wake::PodDeleted));
        assert!(!set.has(Wake::NodeLabels) && !set.has(Wake::PodAdded));
        assert!(WakeSet::of(&[Wake::NodeUpdated]).has(Wake::NodeAllocatable));
        assert_eq!(WakeSet::of(&[Wake::OwnScaledDown]).indexes().next(), Some(Wake::COUNT - 1));
    }
}
