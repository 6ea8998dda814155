//! Which pod goes first (`controller.ActivePodsWithRanks`, `controller.ActivePods`).

use std::cmp::Ordering;
use std::sync::Arc;

use sim_core::api::meta::Uid;
use sim_core::api::object::{Object, Pod};
use sim_core::api::pod_status::{ContainerStatus, PodPhase};
use sim_core::time::{Span, Time};
use smol_str::SmolStr;

/// Annotation that makes a pod dearer or cheaper to delete.
pub const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Not ended and not being deleted (`IsPodActive`).
pub fn is_active(object: &Object) -> bool {
    object.as_pod().is_some_and(|p| !p.status.phase.is_terminal()) && !object.meta.is_deleting()
}

/// True if the pod's Ready condition is True.
pub fn is_ready(pod: &Pod) -> bool {
    pod.status.is_true("Ready")
}

/// Ready for at least `min_ready_seconds` (`podutil.IsPodAvailable`).
pub fn is_available(pod: &Pod, min_ready_seconds: i32, now: Time) -> bool {
    ready_since(pod).is_some_and(|since| {
        min_ready_seconds == 0 || since + sim_core::time::secs(i64::from(min_ready_seconds)) <= now
    })
}

/// When the pod became ready, if it is.
pub fn ready_since(pod: &Pod) -> Option<Time> {
    pod.status.condition("Ready").filter(|_| is_ready(pod)).map(|c| c.last_transition_time)
}

/// How long until the next of these pods becomes available (`FindMinNextPodAvailabilityCheck`).
pub fn next_availability(pods: &[Arc<Object>], min_ready_seconds: i32, now: Time) -> Option<Span> {
    let wait = sim_core::time::secs(i64::from(min_ready_seconds));
    let waiting = pods.iter().filter_map(|p| ready_since(p.as_pod()?)).map(|since| since + wait - now);
    waiting.filter(|left| *left > Span::ZERO).min()
}

/// What the ranking looks at, of one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// Whether it is bound.
    pub assigned: bool,
    /// Its phase.
    pub phase: PodPhase,
    /// Whether it is ready.
    pub ready: bool,
    /// Since when; `None` if not ready, or the condition has no time.
    pub ready_since: Option<Time>,
    /// Its deletion cost.
    pub cost: i32,
    /// Related pods on the same node.
    pub rank: usize,
    /// Most restarts of a container, and of a sidecar.
    pub restarts: (i32, i32),
    /// Creation; `None` if it has none.
    pub created: Option<Time>,
    /// Uid.
    pub uid: Uid,
}

/// Options of the ranking.
#[derive(Clone, Copy, Debug)]
pub struct Ranking {
    /// Compare times by log buckets of age at this instant (`LogarithmicScaleDown`); `None` compares times themselves.
    pub logarithmic_at: Option<Time>,
    /// Whether the deletion cost counts.
    pub deletion_cost: bool,
}

impl Ranking {
    /// Of ReplicaSets, at an instant.
    pub fn replica_set(now: Time) -> Ranking {
        Ranking { logarithmic_at: Some(now), deletion_cost: true }
    }

    /// Of Jobs and DaemonSets (`controller.ActivePods`).
    pub const PLAIN: Ranking = Ranking { logarithmic_at: None, deletion_cost: false };
}

impl Candidate {
    /// What the ranking looks at, of a pod.
    pub fn of(object: &Object, pod: &Pod, rank: usize) -> Candidate {
        Candidate {
            assigned: !pod.node_name.is_empty(),
            phase: pod.status.phase,
            ready: is_ready(pod),
            ready_since: ready_since(pod),
            cost: object.meta.annotation(POD_DELETION_COST).and_then(parse_cost).unwrap_or(0),
            rank,
            restarts: max_restarts(pod),
            created: Some(object.meta.creation_timestamp),
            uid: object.meta.uid,
        }
    }
}

/// A deletion cost; upstream rejects leading zeros and an explicit plus sign.
fn parse_cost(text: &str) -> Option<i32> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let odd = digits.len() > 1 && digits.starts_with('0') || text.starts_with('+') || text == "-0";
    if odd { None } else { text.parse().ok() }
}

fn max_restarts(pod: &Pod) -> (i32, i32) {
    let most =
        |all: &mut dyn Iterator<Item = &ContainerStatus>| all.map(|c| c.restart_count).max().unwrap_or(0);
    let is_sidecar = |name: &SmolStr| {
        let inits = pod.spec.init_containers.iter().flatten();
        inits.into_iter().any(|c| c.name == name.as_str() && c.restart_policy.as_deref() == Some("Always"))
    };
    let regular = most(&mut pod.status.container_statuses.iter());
    let sidecars = most(&mut pod.status.init_container_statuses.iter().filter(|s| is_sidecar(&s.name)));
    (regular.max(0), sidecars.max(0))
}

impl Ranking {
    /// Orders two candidates; less means deleted first.
    pub fn compare(&self, a: &Candidate, b: &Candidate) -> Ordering {
        (a.assigned.cmp(&b.assigned))
            .then_with(|| phase_order(a.phase).cmp(&phase_order(b.phase)))
            .then_with(|| a.ready.cmp(&b.ready))
            .then_with(|| if self.deletion_cost { a.cost.cmp(&b.cost) } else { Ordering::Equal })
            .then_with(|| b.rank.cmp(&a.rank))
            .then_with(|| match a.ready && b.ready && a.ready_since != b.ready_since {
                true => self.younger_first(a.ready_since, b.ready_since, a.uid, b.uid),
                false => Ordering::Equal,
            })
            .then_with(|| b.restarts.cmp(&a.restarts))
            .then_with(|| match a.created != b.created {
                true => self.younger_first(a.created, b.created, a.uid, b.uid),
                false => Ordering::Equal,
            })
    }

    /// The younger first; an absent time is youngest of all. In log buckets, pods of about the same age go by uid.
    fn younger_first(&self, a: Option<Time>, b: Option<Time>, uid_a: Uid, uid_b: Uid) -> Ordering {
        match (self.logarithmic_at, a, b) {
            (Some(now), Some(a), Some(b)) => {
                log_bucket(now - a).cmp(&log_bucket(now - b)).then(uid_a.cmp(&uid_b))
            }
            (_, a, b) => match (a, b) {
                (None, None) => Ordering::Equal,
                (None, _) => Ordering::Less,
                (_, None) => Ordering::Greater,
                (Some(a), Some(b)) => b.cmp(&a),
            },
        }
    }
}

/// Pending < Unknown < Running; anything else goes first.
fn phase_order(phase: PodPhase) -> u8 {
    match phase {
        PodPhase::Unknown => 1,
        PodPhase::Running => 2,
        PodPhase::Pending | PodPhase::Succeeded | PodPhase::Failed => 0,
    }
}

/// ⌊log₂⌋ of an age in nanoseconds, taken of the float as upstream does; -1 for ages that are not positive.
fn log_bucket(age: Span) -> i64 {
    if age.0 <= 0 {
        return -1;
    }
    ((age.0 as f64).to_bits() >> 52) as i64 - 1023
}

/// Sorts pods, the first to be deleted first. Pods that tie keep their order.
pub fn sort(ranking: Ranking, pods: &mut Vec<Arc<Object>>, rank: impl Fn(&Pod) -> usize) {
    let mut rows: Vec<(Candidate, Arc<Object>)> = std::mem::take(pods)
        .into_iter()
        .filter_map(|o| Some((o.as_pod().map(|p| Candidate::of(&o, p, rank(p)))?, o)))
        .collect();
    rows = merge_sort(rows, &|a, b| ranking.compare(&a.0, &b.0));
    pods.extend(rows.into_iter().map(|(_, o)| o));
}

/// A stable sort for an order that is none: times in one log bucket go by uid, equal ones are not compared at all, so
/// upstream's order is not transitive, which `slice::sort_by` may answer with a panic.
fn merge_sort<T>(mut rows: Vec<T>, compare: &impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    if rows.len() < 2 {
        return rows;
    }
    let tail = rows.split_off(rows.len() / 2);
    let mut sorted = Vec::with_capacity(rows.len() + tail.len());
    let mut left = merge_sort(rows, compare).into_iter().peekable();
    let mut right = merge_sort(tail, compare).into_iter().peekable();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if compare(a, b).is_le() { left.next() } else { right.next() };
        sorted.extend(next);
    }
    sorted.extend(left.chain(right));
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::time::secs;

    /// Each row goes before the next.
    #[test]
    fn the_order_of_deletion() {
        let now = Time::ZERO + secs(1000);
        let running =
            Candidate { assigned: true, phase: PodPhase::Running, uid: Uid(5), ..Candidate::default() };
        let ready = |since: i64| Candidate {
            ready: true,
            ready_since: Some(Time::ZERO + secs(since)),
            ..running.clone()
        };
        let rows = [
            Candidate::default(),
            Candidate { assigned: true, ..Candidate::default() },
            Candidate { assigned: true, phase: PodPhase::Unknown, ..Candidate::default() },
            Candidate { restarts: (3, 0), ..running.clone() },
            Candidate { restarts: (2, 9), ..running.clone() },
            Candidate { restarts: (2, 1), ..running.clone() },
            Candidate { cost: -1, ..ready(10) },
            Candidate { rank: 2, ..ready(10) },
            ready(900),
            Candidate { uid: Uid(1), ..ready(20) },
            ready(10),
            Candidate { cost: 1, ..ready(990) },
        ];
        let ranking = Ranking::replica_set(now);
        for pair in rows.windows(2) {
            assert_eq!(ranking.compare(&pair[0], &pair[1]), Ordering::Less, "{pair:#?}");
            assert_eq!(ranking.compare(&pair[1], &pair[0]), Ordering::Greater, "{pair:#?}");
        }
    }

    /// A thousand pods that became ready in the same few seconds: the order has cycles, and nothing panics.
    #[test]
    fn an_order_with_cycles_is_sorted_all_the_same() {
        let candidate = |i: u128| Candidate {
            assigned: true,
            phase: PodPhase::Running,
            ready: true,
            ready_since: Some(Time::ZERO + secs(100 + (i % 7) as i64)),
            created: Some(Time::ZERO + secs(90 + (i % 3) as i64)),
            uid: Uid(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1009),
            restarts: ((i % 5) as i32, 0),
            ..Candidate::default()
        };
        let ranking = Ranking::replica_set(Time::ZERO + secs(1000));
        let sorted = merge_sort((0..1000).map(candidate).collect(), &|a, b| ranking.compare(a, b));
        assert_eq!(sorted.len(), 1000);
        let mut numbers: Vec<u32> = (0..500u32).map(|i| i.wrapping_mul(2_654_435_761) % 50).collect();
        let by_merging = merge_sort(numbers.clone(), &u32::cmp);
        numbers.sort_unstable();
        assert_eq!(by_merging, numbers);
    }

    #[test]
    fn costs_that_upstream_rejects_count_as_none() {
        for (text, want) in
            [("10", Some(10)), ("-3", Some(-3)), ("+3", None), ("007", None), ("x", None), ("0", Some(0))]
        {
            assert_eq!(parse_cost(text), want, "{text}");
        }
    }
}
