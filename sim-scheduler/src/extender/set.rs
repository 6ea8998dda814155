//! The extenders of a scheduler.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use k8s_openapi::api::core::v1::PodSpec;
use rustc_hash::FxHashMap;
use sim_core::api::object::Object;
use sim_core::api::request::{Change, ChangeKind};
use sim_core::time::Epoch;
use smol_str::SmolStr;

use super::{
    Asked, Extender, ExtenderCalls, ExtenderError, ExtenderMetaVictims, ExtenderSettings, ExtenderVictims,
    Filtered, Fork, Ratings,
};
use crate::framework::{Attempt, Point, Profile};

/// An extender with its settings.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) settings: ExtenderSettings,
    pub(super) extender: Arc<dyn Extender>,
}

/// The extenders of a scheduler, those that can be ignored last, and what they are told of.
#[derive(Default)]
pub struct Extenders {
    pub(super) entries: Vec<Entry>,
    /// Node objects by name; none without extenders.
    nodes: FxHashMap<SmolStr, Arc<Object>>,
    pub(crate) epoch: Epoch,
    broken: OnceLock<String>,
}

/// Stands for an extender that cannot be in a forked run.
struct Unforkable(String);

impl Unforkable {
    fn refuse<T>(&self) -> Result<T, ExtenderError> {
        Err(ExtenderError::Broken(self.0.clone()))
    }
}

impl Extender for Unforkable {
    fn filter(&self, _: &Asked<'_>, _: &[Arc<Object>]) -> Result<Filtered, ExtenderError> {
        self.refuse()
    }

    fn prioritize(&self, _: &Asked<'_>, _: &[Arc<Object>]) -> Result<Ratings, ExtenderError> {
        self.refuse()
    }

    fn preempt(
        &self,
        _: &Asked<'_>,
        _: &BTreeMap<SmolStr, ExtenderVictims>,
    ) -> Result<BTreeMap<SmolStr, ExtenderMetaVictims>, ExtenderError> {
        self.refuse()
    }

    fn bind(&self, _: &Asked<'_>, _: &str) -> Result<(), ExtenderError> {
        self.refuse()
    }
}

/// A clone is a fork: it has extenders of its own.
impl Clone for Extenders {
    fn clone(&self) -> Self {
        let fork = |entry: &Entry| {
            let name = &entry.settings.name;
            let extender: Arc<dyn Extender> = match entry.extender.fork() {
                Fork::Same => entry.extender.clone(),
                Fork::Own(own) => own,
                Fork::Impossible(why) => {
                    Arc::new(Unforkable(format!("extender {name:?} cannot be forked: {why}")))
                }
            };
            Entry { settings: entry.settings.clone(), extender }
        };
        Extenders {
            entries: self.entries.iter().map(fork).collect(),
            nodes: self.nodes.clone(),
            epoch: self.epoch,
            broken: self.broken.clone(),
        }
    }
}

impl fmt::Debug for Extenders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Extenders {
    /// Adds one. Those that can be ignored come last, else in the order of adding (`buildExtenders`).
    pub fn add(&mut self, settings: ExtenderSettings, extender: Arc<dyn Extender>) {
        let place = match settings.ignorable {
            true => self.entries.len(),
            false => self.entries.partition_point(|entry| !entry.settings.ignorable),
        };
        self.entries.insert(place, Entry { settings, extender });
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Their names, in the order they are asked.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.settings.name.as_str())
    }

    /// Why the run cannot go on, if an extender said so.
    pub fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// True if they change what a search for a node for such a pod finds.
    pub(crate) fn have_a_say(&self, profile: &Profile, pod: &PodSpec) -> bool {
        !self.is_empty()
            && (self.entries.iter().any(|e| e.settings.narrows() && e.settings.is_interested(pod))
                || (self.compare() && profile.at(Point::Score).is_empty()))
    }

    /// True if one of them has a say in which node some pod gets: then many nodes are worth a look, even without scores
    /// and for pods that are none of its business.
    pub(crate) fn compare(&self) -> bool {
        self.entries.iter().any(|e| e.settings.narrows())
    }

    /// A node joined, changed or left.
    pub(crate) fn node_changed(&mut self, change: &Change) {
        if self.is_empty() {
            return;
        }
        let name = &change.new.key().name;
        match change.kind {
            ChangeKind::Deleted => self.nodes.remove(name),
            _ => self.nodes.insert(name.clone(), change.new.clone()),
        };
    }

    pub(super) fn node(&self, name: &str) -> Option<&Arc<Object>> {
        self.nodes.get(name)
    }

    /// Those whose business a pod is.
    pub(super) fn interested<'a>(&'a self, pod: &'a Object) -> impl Iterator<Item = &'a Entry> {
        let spec = pod.as_pod().map(|pod| &*pod.spec);
        self.entries.iter().filter(move |entry| spec.is_some_and(|spec| entry.settings.is_interested(spec)))
    }

    /// What an error of an extender means: its text if the decision cannot go on.
    pub(super) fn fatal(&self, settings: &ExtenderSettings, error: ExtenderError) -> Option<String> {
        match error {
            ExtenderError::Broken(text) => {
                // The first reason is the one that counts.
                let _ = self.broken.set(text.clone());
                Some(text)
            }
            ExtenderError::Failed(_) if settings.ignorable => None,
            ExtenderError::Failed(text) => Some(text),
        }
    }

    /// Lets an extender bind (`extendersBinding`). `None` if none does, or those that would failed and can be ignored.
    pub(crate) fn bind(
        &self,
        attempt: &Attempt<'_>,
        node: &str,
        calls: &mut ExtenderCalls,
    ) -> Option<Result<(), String>> {
        for entry in self.interested(attempt.object).filter(|entry| entry.settings.binds) {
            calls.in_turn += 1;
            match entry.extender.bind(&self.asked(attempt), node) {
                Ok(()) => return Some(Ok(())),
                Err(error) => {
                    if let Some(text) = self.fatal(&entry.settings, error) {
                        return Some(Err(text));
                    }
                }
            }
        }
        None
    }
}
