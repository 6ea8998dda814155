//! Bugs of the allocator of Kubernetes 1.34 that later versions do not have, or that somebody ought to fix.

/// Which of the known bugs are fixed. By default none is: the answers are those of 1.34.1. What each changes is told in
/// `docs/devices.md`, with the version that has the fix.
///
/// One more is always fixed: the second look at the capacity of a device took another device, or none, and then the scheduler
/// panicked (fixed in 1.35).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fixes {
    /// In validation, alternatives in mode `All` are matched for themselves. Otherwise the second one takes the answers of the
    /// first. 1.36.
    pub alternatives_match_alone: bool,
    /// An alternative in mode `All` gets its own devices. Otherwise from the second device on the search looks at the first
    /// alternative. 1.36.
    pub alternative_kept: bool,
    /// A device that is refused for taints, constraints or capacity gives back the counters that it took, and leaves no other
    /// mark. Otherwise they stay taken until the call ends. No version.
    pub refusals_leave_no_trace: bool,
    /// A shared device that is taken back gives back its counters. No version.
    pub shares_return_counters: bool,
    /// `distinctAttribute` compares values of all devices. Otherwise only the same device is refused, and only if it was the last
    /// of its request. 1.35.
    pub distinct_by_value: bool,
    /// The newest generation of a pool, and whether it is complete, is found among all its slices. Otherwise only among those that
    /// the node reaches. 1.35.
    pub generations_before_nodes: bool,
    /// Pools that are invalid or incomplete are skipped where a number of devices is wanted. Otherwise invalid ones are an error
    /// as soon as the search gets there, and incomplete ones are used. 1.35.
    pub broken_pools_skipped: bool,
    /// Configuration of a class comes once, with the requests that it is for. Otherwise once per request, for all. 1.34.9.
    pub class_config_names_requests: bool,
}

impl Fixes {
    /// All fixed.
    pub const ALL: Fixes = Fixes {
        alternatives_match_alone: true,
        alternative_kept: true,
        refusals_leave_no_trace: true,
        shares_return_counters: true,
        distinct_by_value: true,
        generations_before_nodes: true,
        broken_pools_skipped: true,
        class_config_names_requests: true,
    };
}
