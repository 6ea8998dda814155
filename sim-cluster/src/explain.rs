//! Why a pod was placed where it was, or nowhere.

use std::sync::Arc;

use sim_core::api::meta::Key;
use sim_scheduler::explain::{Explained, Explanation, WhatIf};

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

    /// Says of which failed attempt of named pods [`Cluster::what_would_help`] tells: the last one (`None`), or the one of
    /// this number.
    pub fn look_into_attempt(&mut self, attempt: Option<u32>) {
        for scheduler in &mut self.schedulers {
            scheduler.explanations_mut().scene_of = attempt;
        }
    }

    /// The attempts to place a pod, oldest first, with what every plugin said about every node. Empty unless
    /// [`Cluster::explain_pods`] or [`Cluster::explain_pod`] asked for it before. Old ones are dropped when all together
    /// take too much ([`Explanations::limit`](sim_scheduler::explain::Explanations::limit)).
    pub fn explain(&self, named: impl Named) -> Vec<Arc<Explanation>> {
        let key = named.key(self);
        self.schedulers.iter().flat_map(|scheduler| scheduler.explanations().of(&key)).cloned().collect()
    }

    /// Single changes that would have placed a pod: at its last failed attempt if [`Cluster::explain_pod`] named it
    /// before ([`Cluster::look_into_attempt`]), else as things are now. `None` if it neither failed so nor waits.
    pub fn what_would_help(&self, named: impl Named) -> Option<WhatIf> {
        let key = named.key(self);
        self.schedulers.iter().find_map(|scheduler| scheduler.what_would_help(&key, self.now()))
    }
}
