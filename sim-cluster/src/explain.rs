//! Why a pod was placed where it was, or nowhere.

use std::sync::Arc;

use sim_core::api::meta::Key;
use sim_scheduler::explain::{Explained, Explanation};

use crate::Cluster;
use crate::inspect::Named;

impl Cluster {
    /// Says whose attempts are explained from now on. No decision is another for it; a run in which all pods are
    /// explained is slower, since every attempt asks every plugin about every node then.
    pub fn explain_pods(&mut self, who: Explained) {
        for scheduler in &mut self.schedulers {
            scheduler.explanations_mut().who = who.clone();
        }
    }

    /// The same for one pod, whether it exists yet or not, beside those that are explained already.
    pub fn explain_pod(&mut self, named: impl Named) {
        let key: Key = named.key(self);
        for scheduler in &mut self.schedulers {
            match &mut scheduler.explanations_mut().who {
                Explained::All => {}
                Explained::Pods(pods) => {
                    pods.insert(key.clone());
                }
                who @ Explained::Nobody => *who = Explained::pod(key.clone()),
            }
        }
    }

    /// The attempts to place a pod, oldest first, with what every plugin said about every node. Empty unless
    /// [`Cluster::explain_pods`] or [`Cluster::explain_pod`] asked for it before. Old ones are dropped when all together
    /// take too much ([`Explanations::limit`](sim_scheduler::explain::Explanations::limit)).
    pub fn explain(&self, named: impl Named) -> Vec<Arc<Explanation>> {
        let key = named.key(self);
        self.schedulers.iter().flat_map(|scheduler| scheduler.explanations().of(&key)).cloned().collect()
    }
}
