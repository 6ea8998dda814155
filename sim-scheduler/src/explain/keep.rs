//! Which pods are explained, and what is kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use sim_core::api::meta::Key;
use sim_core::time::Time;
use smol_str::SmolStr;

use super::{ExplainedPreemption, Explanation, Scene};
use crate::cache::{Cache, Slot};
use crate::cycle::{Evaluation, Nominator};
use crate::framework::{Attempt, Preemption, Profile};
use crate::queue::QueuedPod;

/// Pods whose attempts are explained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Explained {
    /// None: costs nothing.
    #[default]
    Nobody,
    /// These, whether they exist yet or not.
    Pods(BTreeSet<Key>),
    /// All. Every attempt takes the plain way then, which looks at every node anew.
    All,
}

impl Explained {
    /// One pod.
    pub fn pod(key: Key) -> Explained {
        Explained::Pods(BTreeSet::from([key]))
    }

    /// True for a pod that is explained.
    pub fn includes(&self, pod: &Key) -> bool {
        match self {
            Explained::Nobody => false,
            Explained::Pods(pods) => pods.contains(pod),
            Explained::All => true,
        }
    }
}

/// Explanations, oldest first. There is a limit on what they take together; the oldest are dropped for new ones.
#[derive(Clone, Debug)]
pub struct Explanations {
    /// Whose attempts are explained.
    pub who: Explained,
    /// How many bytes are kept, 256 MiB by default. The last explanation is kept whatever it takes.
    pub limit: usize,
    /// Of which failed attempt of pods that are named one can ask what would have helped; the last one unless this says.
    pub scene_of: Option<u32>,
    kept: VecDeque<Arc<Explanation>>,
    bytes: usize,
    dropped: u64,
    /// Names of the nodes, by version of their order.
    names: Option<(u64, Arc<[SmolStr]>)>,
    scenes: BTreeMap<Key, Arc<Scene>>,
}

impl Default for Explanations {
    fn default() -> Explanations {
        Explanations {
            who: Explained::Nobody,
            limit: 256 << 20,
            kept: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            names: None,
            scene_of: None,
            scenes: BTreeMap::new(),
        }
    }
}

impl Explanations {
    /// Attempts of a pod that are kept, oldest first.
    pub fn of<'a>(&'a self, pod: &Key) -> impl Iterator<Item = &'a Arc<Explanation>> {
        let pod = pod.clone();
        self.kept.iter().filter(move |explanation| explanation.pod == pod)
    }

    /// How many were dropped to stay within the limit.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Keeps what an attempt found.
    pub(crate) fn found(
        &mut self,
        pod: &QueuedPod,
        profile: &Profile,
        attempt: Attempt<'_>,
        nominator: &Nominator,
        found: (&Evaluation, Option<Slot>),
    ) {
        let version = attempt.cluster.order_version();
        let names = match &self.names {
            Some((known, names)) if *known == version => names.clone(),
            _ => {
                let name = |slot: &Slot| attempt.cluster.node(*slot).name.clone();
                attempt.cluster.order().iter().map(name).collect()
            }
        };
        self.names = Some((version, names.clone()));
        self.keep(Explanation::of(pod, profile, attempt, nominator, found, names));
    }

    /// An attempt that is explained failed.
    pub(crate) fn failed(&mut self, pod: &QueuedPod, profile: &Profile, now: Time, message: &str) {
        if !self.change(pod, |last| last.message = message.to_owned()) {
            let message = message.to_owned();
            self.keep(Explanation { message, ..Explanation::empty(pod, profile, now) });
        }
    }

    /// True if the surroundings of a pod's failed attempt are to be kept. They take as much as the scheduler's whole cache,
    /// so that is done for pods only that are named.
    pub(crate) fn wants_scene(&self, pod: &Key, attempt: u32) -> bool {
        matches!(&self.who, Explained::Pods(pods) if pods.contains(pod))
            && self.scene_of.is_none_or(|wanted| wanted == attempt)
    }

    pub(crate) fn keep_scene(&mut self, scene: Scene) {
        self.scenes.insert(scene.object.meta.key.clone(), Arc::new(scene));
    }

    pub(crate) fn scene(&self, pod: &Key) -> Option<&Arc<Scene>> {
        self.scenes.get(pod)
    }

    /// PostFilter plugins made room for the pod.
    pub(crate) fn preempts(&mut self, pod: &QueuedPod, cluster: &Cache, found: &Preemption) {
        self.change(pod, |last| last.preemption = Some(ExplainedPreemption::of(found, cluster)));
    }

    /// Changes what is kept of a pod's present attempt. False if nothing is.
    fn change(&mut self, pod: &QueuedPod, change: impl FnOnce(&mut Explanation)) -> bool {
        let (uid, attempt) = (pod.object.meta.uid, pod.attempts);
        let mut latest = self.kept.iter_mut().rev();
        let Some(last) = latest.find(|known| known.uid == uid && known.attempt == attempt) else {
            return false;
        };
        let last = Arc::make_mut(last);
        let before = last.bytes();
        change(last);
        self.bytes = (self.bytes + last.bytes()).saturating_sub(before);
        true
    }

    fn keep(&mut self, explanation: Explanation) {
        self.bytes += explanation.bytes();
        self.kept.push_back(Arc::new(explanation));
        while self.bytes > self.limit && self.kept.len() > 1 {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
            self.dropped += 1;
        }
    }
}
