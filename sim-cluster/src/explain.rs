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
    ///
    /// ```
    /// use sim_cluster::prelude::*;
    ///
    /// let mut sim = Cluster::builder().nodes(3, |i| node(&format!("n{i}")).cpu("4").memory("16Gi")).build();
    /// sim.run_for(secs(5));
    /// sim.explain_pod("web");
    /// sim.create(pod("web").cpu("6"));
    /// sim.run_for(secs(30));
    /// let attempts = sim.explain("web");
    /// let why_not = attempts[0].node("n1").map(|answer| answer.verdict());
    /// assert_eq!(why_not.as_deref(), Some("NodeResourcesFit: Insufficient cpu"));
    /// let helps = sim.what_would_help("web").unwrap().changes;
    /// assert_eq!(helps[0].to_string(), "if it asked for at most 4 of cpu (asks 6): 3 nodes (n0, n1, n2)");
    /// ```
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
