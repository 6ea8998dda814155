//! How CPUs are shared: fair among siblings by weight, level by level, nothing wasted.
//!
//! At every cgroup, what the parent gets goes to the children that want some, in proportion to their weights; what one does
//! not want (its threads, its `cpu.max`) goes to the others. This is what the kernel's scheduler tends to over many
//! time slices; where single threads run, and the grain of the slices, are not modelled.
//!
//! Amounts are billionths of a CPU ([`CPU`]) and integers: what is given sums up exactly to what there is, or to what is
//! wanted if that is less.

use smallvec::SmallVec;

use super::knobs::Knobs;
use super::tree::CgroupTree;

/// One CPU.
pub const CPU: u64 = 1_000_000_000;

/// A cgroup in a [`ShareTree`]. The root is [`GroupId::ROOT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The root.
    pub const ROOT: GroupId = GroupId(0);

    const fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Group {
    parent: u32,
    weight: u64,
    cap: u64,
    /// What its own threads want, children aside.
    own: u64,
    children: SmallVec<[u32; 4]>,
}

/// Cgroups, what they want, and what each gets.
///
/// ```
/// use sim_kubelet::cgroup::share::{CPU, GroupId, ShareTree};
/// let mut tree = ShareTree::default();
/// let one = tree.add(GroupId::ROOT, 100, None);
/// let two = tree.add(GroupId::ROOT, 300, None);
/// tree.set_demand(one, 4 * CPU);
/// tree.set_demand(two, 4 * CPU);
/// tree.solve(4 * CPU);
/// assert_eq!((tree.rate(one), tree.rate(two)), (CPU, 3 * CPU));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ShareTree {
    groups: Vec<Group>,
    /// What each could use, itself and all below, caps applied.
    wants: Vec<u64>,
    gets: Vec<u64>,
    scratch: Vec<(u64, u64, u32)>,
}

/// The root alone.
impl Default for ShareTree {
    fn default() -> ShareTree {
        let root = Group { parent: 0, weight: 100, cap: u64::MAX, own: 0, children: SmallVec::new() };
        ShareTree { groups: vec![root], wants: vec![0], gets: vec![0], scratch: Vec::new() }
    }
}

impl ShareTree {
    /// Adds a cgroup with a weight (`cpu.weight`, 1 to 10000) and at most so many billionths of a CPU.
    pub fn add(&mut self, parent: GroupId, weight: u64, cap: Option<u64>) -> GroupId {
        let id = self.groups.len() as u32;
        self.groups.push(Group {
            parent: parent.0,
            weight: weight.clamp(1, 10_000),
            cap: cap.unwrap_or(u64::MAX),
            own: 0,
            children: SmallVec::new(),
        });
        self.groups[parent.index()].children.push(id);
        self.wants.push(0);
        self.gets.push(0);
        GroupId(id)
    }

    /// The cgroups of a node, with their caps as rates. The second value has the group of each path, sorted by path.
    pub fn of(tree: &CgroupTree) -> (ShareTree, Vec<(String, GroupId)>) {
        let mut shares = ShareTree::default();
        let mut ids: Vec<(String, GroupId)> = Vec::new();
        for (path, knobs) in tree.iter() {
            // Parents sort before their children; whatever has no parent in the tree is right below the root.
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let known = ids.binary_search_by(|(p, _)| p.as_str().cmp(parent));
            let parent = known.map_or(GroupId::ROOT, |i| ids[i].1);
            ids.push((path.to_string(), shares.add(parent, knobs.cpu_weight, cap(knobs))));
        }
        (shares, ids)
    }

    /// How many cgroups there are, the root included.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// False: there is always the root.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The parent of a cgroup; the root is its own.
    pub fn parent(&self, id: GroupId) -> GroupId {
        GroupId(self.groups[id.index()].parent)
    }

    /// What a cgroup's own threads would use: a CPU each if they are never idle.
    pub fn set_demand(&mut self, id: GroupId, demand: u64) {
        self.groups[id.index()].own = demand;
    }

    /// At most so many billionths of a CPU; none is no limit. 0 stops a cgroup, as throttling does.
    pub fn set_cap(&mut self, id: GroupId, cap: Option<u64>) {
        self.groups[id.index()].cap = cap.unwrap_or(u64::MAX);
    }

    /// What a cgroup gets, with all below.
    pub fn rate(&self, id: GroupId) -> u64 {
        self.gets[id.index()]
    }

    /// What a cgroup could use, with all below, within its caps.
    pub fn demand(&self, id: GroupId) -> u64 {
        self.wants[id.index()]
    }

    /// Shares so many billionths of a CPU among all.
    pub fn solve(&mut self, capacity: u64) {
        // Children come after their parents, so that one pass each way is enough.
        for i in (0..self.groups.len()).rev() {
            let group = &self.groups[i];
            let below = group.children.iter().map(|c| self.wants[*c as usize]);
            let wanted = below.fold(group.own, u64::saturating_add);
            self.wants[i] = wanted.min(group.cap);
        }
        self.gets[0] = self.wants[0].min(capacity);
        let mut parts = std::mem::take(&mut self.scratch);
        for i in 0..self.groups.len() {
            self.divide(i, &mut parts);
        }
        self.scratch = parts;
    }

    /// Gives the children of a cgroup their parts. Its own threads, if it has both (as the root may), compete as a child
    /// of the default weight.
    fn divide(&mut self, i: usize, parts: &mut Vec<(u64, u64, u32)>) {
        let group = &self.groups[i];
        if group.children.is_empty() {
            return;
        }
        parts.clear();
        for child in &group.children {
            self.gets[*child as usize] = 0;
            let wants = self.wants[*child as usize];
            if wants > 0 {
                parts.push((wants, self.groups[*child as usize].weight, *child));
            }
        }
        if group.own > 0 {
            parts.push((group.own, 100, OWN));
        }
        fill(self.gets[i], parts);
        for (gets, _, child) in parts.iter() {
            if *child != OWN {
                self.gets[*child as usize] = *gets;
            }
        }
    }
}

/// Stands for a cgroup's own threads among its children.
const OWN: u32 = u32::MAX;

/// `cpu.max` as a rate.
fn cap(knobs: &Knobs) -> Option<u64> {
    let quota = u128::try_from(knobs.cpu_quota?).ok()?;
    let rate = quota * u128::from(CPU) / u128::try_from(knobs.cpu_period).ok()?.max(1);
    u64::try_from(rate).ok()
}

/// Water-filling: replaces what each of (wants, weight, who) wants by what it gets of so much.
fn fill(total: u64, parts: &mut [(u64, u64, u32)]) {
    let wanted = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.0));
    if wanted <= total {
        return;
    }
    // Who wants least for its weight is satisfied first. Equal ones by place, so that remainders go the same way.
    let wide = u128::from;
    parts.sort_unstable_by(|a, b| (wide(a.0) * wide(b.1)).cmp(&(wide(b.0) * wide(a.1))).then(a.2.cmp(&b.2)));
    let mut left = total;
    let mut weights: u64 = parts.iter().map(|part| part.1).sum();
    for part in parts.iter_mut() {
        let fair = (wide(left) * wide(part.1) / wide(weights)) as u64;
        part.0 = part.0.min(fair);
        left -= part.0;
        weights -= part.1;
    }
}

#[cfg(test)]
mod tests;
