//! Extenders in the search for a node (`findNodesThatPassExtenders`, and their part of `prioritizeNodes`).

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use sim_core::api::object::Object;
use smol_str::{SmolStr, format_smolstr};

use super::set::Entry;
use super::{Asked, ExtenderError, Extenders, Filtered, Passed};
use crate::cache::{Cache, Slot};
use crate::cycle::Evaluation;
use crate::framework::{Attempt, Code, Diagnosis, Status};
use crate::node::NodeInfo;

/// A rating of 10 is worth a score of 100 (`MaxNodeScore / MaxExtenderPriority`).
const SCORE_PER_RATING: i64 = 10;

/// Questions that were asked for one decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtenderCalls {
    /// One after the other.
    pub in_turn: u32,
    /// All at the same time: upstream asks for ratings so.
    pub at_once: u32,
}

/// Ratings of one extender, parallel to [`Evaluation::feasible`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtenderScores {
    /// Its name.
    pub extender: SmolStr,
    /// Times ten, times its weight.
    pub weighted: Vec<i64>,
}

/// Nodes as an extender gave them back.
#[derive(Default)]
pub(crate) struct Returned(FxHashMap<Slot, Arc<Object>>);

impl Returned {
    /// Forgets them: the nodes are looked at afresh.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The nodes that scores see, if not simply those of the cache: without pods where an extender gave them back.
    pub(crate) fn shown(&self, cluster: &Cache, feasible: &[Slot]) -> Option<Cache> {
        if self.0.is_empty() {
            return None;
        }
        let show = |slot: &Slot| match self.0.get(slot) {
            Some(object) => (*slot, NodeInfo::of(object)),
            None => (*slot, cluster.node(*slot).clone()),
        };
        Some(Cache::of_nodes(feasible.iter().map(show)))
    }
}

impl Extenders {
    /// Lets the extenders filter the feasible nodes.
    pub(crate) fn filter(
        &self,
        attempt: &Attempt<'_>,
        out: &mut Evaluation,
        returned: &mut Returned,
    ) -> Result<(), Status> {
        for entry in self.interested(attempt.object).filter(|entry| entry.settings.filters) {
            if out.feasible.is_empty() {
                break;
            }
            out.extender_calls.in_turn += 1;
            let answer = self.ask_filter(entry, attempt, out, returned);
            let (slots, filtered) = match answer {
                Ok(answer) => answer,
                Err(error) => match self.fatal(&entry.settings, error) {
                    None => continue,
                    Some(text) => return Err(Status::error(text)),
                },
            };
            if let Passed::Objects(objects) = filtered.passed {
                returned.0.extend(slots.iter().copied().zip(objects));
            }
            out.feasible = slots;
            let Filtered { failed, failed_and_unresolvable: lost, .. } = filtered;
            let failed = failed.into_iter().filter(|(node, _)| !lost.contains_key(node)).collect::<Vec<_>>();
            refuse(attempt.cluster, &mut out.diagnosis, Code::UnschedulableAndUnresolvable, lost);
            refuse(attempt.cluster, &mut out.diagnosis, Code::Unschedulable, failed);
        }
        Ok(())
    }

    /// One extender's answer, with the slots of the nodes that pass.
    fn ask_filter(
        &self,
        entry: &Entry,
        attempt: &Attempt<'_>,
        out: &Evaluation,
        returned: &Returned,
    ) -> Result<(Vec<Slot>, Filtered), ExtenderError> {
        let nodes = self.objects(attempt.cluster, &out.feasible, returned)?;
        let filtered = entry.extender.filter(&self.asked(attempt), &nodes)?;
        let known: FxHashMap<&str, Slot> =
            nodes.iter().map(|node| node.key().name.as_str()).zip(out.feasible.iter().copied()).collect();
        let slot = |name: &SmolStr| {
            // DIFFERS: upstream looks names up, but takes node objects as they come, even of nodes that it did not send.
            known.get(name.as_str()).copied().ok_or_else(|| {
                ExtenderError::Failed(format!(
                    "extender {:?} claims a filtered node {name:?} which is not found in the input node list",
                    entry.settings.name
                ))
            })
        };
        let slots: Result<Vec<Slot>, _> = match &filtered.passed {
            Passed::Names(names) => names.iter().map(slot).collect(),
            Passed::Objects(objects) => objects.iter().map(|object| slot(&object.key().name)).collect(),
        };
        Ok((slots?, filtered))
    }

    /// Lets the extenders rate the feasible nodes. An error of an extender means that it has no preference.
    pub(crate) fn prioritize(
        &self,
        attempt: &Attempt<'_>,
        out: &mut Evaluation,
        returned: &Returned,
    ) -> Result<(), Status> {
        for entry in self.interested(attempt.object).filter(|entry| entry.settings.prioritizes) {
            out.extender_calls.at_once += 1;
            let nodes = self.objects(attempt.cluster, &out.feasible, returned);
            let ratings =
                match nodes.and_then(|nodes| entry.extender.prioritize(&self.asked(attempt), &nodes)) {
                    Ok(ratings) => ratings,
                    Err(ExtenderError::Failed(_)) => continue,
                    Err(error) => {
                        self.fatal(&entry.settings, error.clone());
                        return Err(Status::error(error.to_string()));
                    }
                };
            let factor = entry.settings.weight.wrapping_mul(SCORE_PER_RATING);
            let mut by_name: FxHashMap<SmolStr, i64> = FxHashMap::default();
            for (node, rating) in ratings {
                let score = by_name.entry(node).or_default();
                *score = score.wrapping_add(rating.wrapping_mul(factor));
            }
            let score = |slot: &Slot| by_name.get(&attempt.cluster.node(*slot).name).copied().unwrap_or(0);
            let weighted = out.feasible.iter().map(score).collect();
            out.extender_scores.push(ExtenderScores { extender: entry.settings.name.clone(), weighted });
        }
        Ok(())
    }

    pub(crate) fn asked<'a>(&self, attempt: &Attempt<'a>) -> Asked<'a> {
        Asked { pod: attempt.object, now: attempt.now, epoch: self.epoch }
    }

    /// The objects of nodes, as they are sent.
    fn objects(
        &self,
        cluster: &Cache,
        slots: &[Slot],
        returned: &Returned,
    ) -> Result<Vec<Arc<Object>>, ExtenderError> {
        let object = |slot: &Slot| {
            let name = &cluster.node(*slot).name;
            let known = returned.0.get(slot).or_else(|| self.node(name)).cloned();
            known.ok_or_else(|| {
                ExtenderError::Broken(format!("node {name:?} joined before the extenders were added"))
            })
        };
        slots.iter().map(object).collect()
    }
}

/// Notes what an extender said about nodes that it does not let pass.
fn refuse(
    cluster: &Cache,
    diagnosis: &mut Diagnosis,
    code: Code,
    nodes: impl IntoIterator<Item = (SmolStr, SmolStr)>,
) {
    let known: FxHashSet<Slot> = diagnosis.nodes.iter().map(|(slot, _)| slot).collect();
    for (node, message) in nodes {
        // A node that does not exist counts for nothing.
        let Some(slot) = cluster.slot(&node) else { continue };
        if known.contains(&slot) {
            diagnosis.nodes.remove(slot);
        }
        diagnosis.nodes.push(slot, Status::new(code, format_smolstr!("{message}")));
    }
}
