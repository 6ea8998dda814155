//! Closed forms, and what holds for any tree.

use proptest::prelude::*;

use super::*;

/// Builds a tree of (parent, weight, cap, demand); parents are places in the list plus one, 0 is the root.
fn tree(groups: &[(u32, u64, Option<u64>, u64)]) -> ShareTree {
    let mut tree = ShareTree::default();
    for (parent, weight, cap, demand) in groups {
        let id = tree.add(GroupId(*parent), *weight, *cap);
        tree.set_demand(id, *demand);
    }
    tree
}

fn rates(tree: &mut ShareTree, capacity: u64) -> Vec<u64> {
    tree.solve(capacity);
    (1..tree.len()).map(|i| tree.rate(GroupId(i as u32))).collect()
}

const M: u64 = CPU / 1000;

#[test]
fn closed_forms() {
    for (groups, capacity, want) in [
        // By weight, when all want more.
        (
            vec![(0, 100, None, 9 * CPU), (0, 100, None, 9 * CPU), (0, 200, None, 9 * CPU)],
            8 * CPU,
            vec![2 * CPU, 2 * CPU, 4 * CPU],
        ),
        // What one does not want goes to the others by weight.
        (
            vec![(0, 100, None, CPU / 2), (0, 100, None, 9 * CPU), (0, 200, None, 9 * CPU)],
            8 * CPU,
            vec![500 * M, 2500 * M, 5000 * M],
        ),
        // A cap is a want.
        (vec![(0, 1000, Some(CPU), 4 * CPU), (0, 1, None, 4 * CPU)], 4 * CPU, vec![CPU, 3 * CPU]),
        // Nothing is wasted, nothing invented.
        (vec![(0, 1, None, CPU), (0, 10_000, None, CPU)], 4 * CPU, vec![CPU, CPU]),
        // Weights count among siblings only: the second class has ten pods and still gets half.
        (
            std::iter::once((0, 100, None, 0))
                .chain([(0, 100, None, 0), (1, 100, None, 8 * CPU)])
                .chain((0..10).map(|_| (2, 500, None, 8 * CPU)))
                .collect(),
            4 * CPU,
            [2 * CPU, 2 * CPU, 2 * CPU].into_iter().chain([200 * M; 10]).collect(),
        ),
        // A pod's cap holds all its containers; theirs hold too.
        (
            vec![(0, 100, Some(2 * CPU), 0), (1, 100, None, 4 * CPU), (1, 300, Some(CPU), 4 * CPU)],
            8 * CPU,
            vec![2 * CPU, CPU, CPU],
        ),
        // Remainders stay whole.
        (vec![(0, 1, None, CPU), (0, 1, None, CPU), (0, 1, None, CPU)], 100, vec![33, 33, 34]),
    ] {
        assert_eq!(rates(&mut tree(&groups), capacity), want, "{groups:?}");
    }
}

#[test]
fn processes_of_the_host_compete_at_the_root() {
    let mut tree = tree(&[(0, 100, None, 8 * CPU)]);
    tree.set_demand(GroupId::ROOT, 8 * CPU);
    assert_eq!(rates(&mut tree, 4 * CPU), [2 * CPU]);
    tree.set_demand(GroupId::ROOT, CPU);
    assert_eq!(rates(&mut tree, 4 * CPU), [3 * CPU]);
}

#[test]
fn a_nodes_cgroups_become_groups() {
    use super::super::tree::{PodEntry, TreeConfig};
    let spec = serde_json::from_value(serde_json::json!({"containers": [{"name": "c", "resources":
        {"requests": {"cpu": "500m"}, "limits": {"cpu": "1500m"}}}]}))
    .unwrap();
    let containers = [("c".into(), "0".into())];
    let pod =
        PodEntry { uid: "u", spec: &spec, critical: false, exclusive_cpus: &[], containers: &containers };
    let cgroups = CgroupTree::new(TreeConfig::default(), &[pod]).unwrap();
    let (mut shares, ids) = ShareTree::of(&cgroups);
    let container = ids.iter().find(|(path, _)| path.ends_with(".scope")).unwrap().1;
    let depth = std::iter::successors(Some(container), |id| {
        Some(shares.parent(*id)).filter(|parent| *parent != GroupId::ROOT)
    });
    assert_eq!(depth.count(), 4);
    shares.set_demand(container, 4 * CPU);
    shares.solve(8 * CPU);
    assert_eq!(shares.rate(container), 1500 * M);
}

proptest! {
    #[test]
    fn all_is_given_and_no_more(
        groups in prop::collection::vec((0_usize..8, 1_u64..10_000, prop::option::of(0_u64..CPU * 4), 0_u64..CPU * 4), 1..40),
        capacity in 0_u64..CPU * 16,
    ) {
        let mut tree = ShareTree::default();
        let mut inner = vec![false];
        for (i, (parent, weight, cap, demand)) in groups.iter().enumerate() {
            let parent = (*parent).min(i);
            inner[parent] = true;
            inner.push(false);
            let id = tree.add(GroupId(parent as u32), *weight, *cap);
            tree.set_demand(id, *demand);
        }
        for (i, inner) in inner.iter().enumerate() {
            // As in cgroup v2, only leaves have processes.
            if *inner {
                tree.set_demand(GroupId(i as u32), 0);
            }
        }
        tree.solve(capacity);
        let ids = || (0..tree.len()).map(|i| GroupId(i as u32));
        // Work-conserving: the root gets all it can use or all there is.
        prop_assert_eq!(tree.rate(GroupId::ROOT), tree.demand(GroupId::ROOT).min(capacity));
        for id in ids() {
            prop_assert!(tree.rate(id) <= tree.demand(id));
            let children: Vec<GroupId> =
                ids().filter(|c| *c != GroupId::ROOT && tree.parent(*c) == id).collect();
            if children.is_empty() {
                continue;
            }
            let given: u64 = children.iter().map(|c| tree.rate(*c)).sum();
            prop_assert_eq!(given, tree.rate(id));
            // Fair: nobody who wants more has less for its weight than another, up to one unit.
            for (a, b) in children.iter().flat_map(|a| children.iter().map(move |b| (*a, *b))) {
                let weight = |id: GroupId| u128::from(tree.groups[id.index()].weight);
                let (ra, rb) = (u128::from(tree.rate(a)), u128::from(tree.rate(b)));
                if tree.rate(a) < tree.demand(a) {
                    prop_assert!((ra + 2) * weight(b) + weight(a) * 2 + weight(b) * 40 >= rb * weight(a));
                }
            }
        }
    }
}
