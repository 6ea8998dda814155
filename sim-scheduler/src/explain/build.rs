//! An explanation out of what the plain way through a cycle found.

use std::sync::Arc;

use sim_core::api::meta::Key;
use sim_core::time::Time;
use smol_str::SmolStr;

use super::numbers::Numbers;
use super::{ExplainedPreemption, Explanation, ScoreColumn};
use crate::cache::{Cache, Slot};
use crate::cycle::{Asked, Evaluation, Nominator};
use crate::framework::{Attempt, Preemption, Profile, Status};
use crate::mask::Mask;
use crate::queue::QueuedPod;

/// How many distinct answers are looked through for an equal one, latest first.
const RECENT: usize = 64;

impl Explanation {
    /// An attempt of which nothing else is known: there are no nodes.
    pub(super) fn empty(pod: &QueuedPod, profile: &Profile, at: Time) -> Explanation {
        Explanation {
            pod: pod.object.meta.key.clone(),
            uid: pod.object.meta.uid,
            at,
            attempt: pod.attempts,
            profile: profile.scheduler_name.clone(),
            message: String::new(),
            chosen: None,
            nominated_first: false,
            refused: None,
            skipped: Vec::new(),
            preemption: None,
            nodes: Arc::default(),
            kinds: Vec::new(),
            verdicts: Numbers::default(),
            looked_at: Mask::default(),
            feasible: Numbers::default(),
            scores: Vec::new(),
            totals: Numbers::default(),
            best: Numbers::default(),
        }
    }

    /// What an attempt found, and what else all filters say. `nodes` are the names in the order of the cache.
    pub(super) fn of(
        pod: &QueuedPod,
        profile: &Profile,
        attempt: Attempt<'_>,
        nominator: &Nominator,
        (found, chosen): (&Evaluation, Option<Slot>),
        nodes: Arc<[SmolStr]>,
    ) -> Explanation {
        let cluster = attempt.cluster;
        let asked = Asked::new(profile, attempt, nominator);
        let positions = |slots: &[Slot]| {
            let positions = slots.iter().filter_map(|slot| Some(cluster.position(*slot)? as i64));
            Numbers::of(&positions.collect::<Vec<_>>())
        };
        let column = |name: &str, raw: &[i64], weighted: &[i64]| ScoreColumn {
            name: SmolStr::new(name),
            raw: Numbers::of(raw),
            weighted: Numbers::of(weighted),
        };
        let plugins = found.scores.iter().map(|s| column(s.plugin, &s.raw, &s.weighted));
        let extenders = found.extender_scores.iter().map(|s| column(&s.extender, &s.weighted, &s.weighted));
        let (kinds, verdicts) = verdicts(&asked, found, cluster);
        Explanation {
            chosen: chosen.map(|slot| cluster.node(slot).name.clone()),
            nominated_first: found.nominated_first,
            refused: found.error.as_ref().or(found.diagnosis.pre_filter.as_ref()).cloned(),
            skipped: asked.skipped().collect(),
            nodes,
            kinds,
            verdicts,
            looked_at: looked_at(found, cluster),
            feasible: positions(&found.feasible),
            scores: plugins.chain(extenders).collect(),
            totals: Numbers::of(&found.totals),
            best: positions(&found.best),
            ..Explanation::empty(pod, profile, attempt.now)
        }
    }
}

fn looked_at(found: &Evaluation, cluster: &Cache) -> Mask {
    let mut mask = Mask::full(cluster.order().len());
    mask.retain(|_| false);
    let refused = found.diagnosis.nodes.iter().map(|(slot, _)| slot);
    for slot in found.feasible.iter().copied().chain(refused) {
        if let Some(at) = cluster.position(slot) {
            mask.set(at, true);
        }
    }
    mask
}

/// What is said of every node, each distinct answer once. What counted in the attempt, an extender's refusal for one,
/// comes first.
fn verdicts(asked: &Asked<'_>, found: &Evaluation, cluster: &Cache) -> (Vec<Vec<Status>>, Numbers) {
    let mut counted = vec![None; cluster.order().len()];
    for (slot, status) in found.diagnosis.nodes.iter() {
        if let Some(place) = cluster.position(slot).and_then(|at| counted.get_mut(at)) {
            *place = Some(status);
        }
    }
    let mut kinds: Vec<Vec<Status>> = Vec::new();
    let mut numbers = Vec::with_capacity(cluster.order().len());
    for (slot, counted) in cluster.order().iter().zip(counted) {
        let mut said = asked.refusals(*slot);
        if let Some(status) = counted {
            said.retain(|other| other.plugin != status.plugin);
            said.insert(0, status.clone());
        }
        let recent = kinds.len().saturating_sub(RECENT);
        numbers.push(match kinds[recent..].iter().rposition(|known| *known == said) {
            _ if said.is_empty() => -1,
            Some(at) => (recent + at) as i64,
            None => {
                kinds.push(said);
                kinds.len() as i64 - 1
            }
        });
    }
    (kinds, Numbers::of(&numbers))
}

impl ExplainedPreemption {
    pub(super) fn of(preemption: &Preemption, cluster: &Cache) -> ExplainedPreemption {
        let key = |uid| cluster.pod_object(uid).map(|pod| pod.meta.key.clone());
        let keys = |uids: &[_]| uids.iter().filter_map(|uid| key(*uid)).collect::<Vec<Key>>();
        let candidates = preemption.candidates.iter();
        ExplainedPreemption {
            node: preemption.node.clone(),
            victims: keys(&preemption.victims),
            candidates: candidates
                .map(|(node, pods, violations)| (node.clone(), keys(pods), *violations))
                .collect(),
            tied: preemption.tied.clone(),
        }
    }
}
