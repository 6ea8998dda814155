//! What an extender is asked, and about which pods.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use smol_str::SmolStr;

use crate::config;

/// Settings of one extender: what a configuration says of it, beside how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtenderSettings {
    /// Name in texts; for web services their URL.
    pub name: SmolStr,
    /// Whether it is asked to filter.
    pub filters: bool,
    /// Whether it is asked to rate.
    pub prioritizes: bool,
    /// Weight of its ratings.
    pub weight: i64,
    /// Whether it is asked about preemptions.
    pub preempts: bool,
    /// Whether it binds.
    pub binds: bool,
    /// Whether decisions go on when it fails.
    pub ignorable: bool,
    /// Only pods that name one of these resources are its business; all if there are none.
    pub managed_resources: BTreeSet<SmolStr>,
}

impl From<&config::Extender> for ExtenderSettings {
    fn from(config: &config::Extender) -> ExtenderSettings {
        let managed = config.managed_resources.iter().flatten();
        ExtenderSettings {
            name: SmolStr::new(&config.url_prefix),
            filters: !config.filter_verb.is_empty(),
            prioritizes: !config.prioritize_verb.is_empty(),
            weight: config.weight,
            preempts: !config.preempt_verb.is_empty(),
            binds: !config.bind_verb.is_empty(),
            ignorable: config.ignorable,
            managed_resources: managed.map(|resource| resource.name.clone()).collect(),
        }
    }
}

impl ExtenderSettings {
    /// An extender that is asked nothing yet, about every pod.
    pub fn named(name: &str) -> ExtenderSettings {
        ExtenderSettings {
            name: SmolStr::new(name),
            filters: false,
            prioritizes: false,
            weight: 1,
            preempts: false,
            binds: false,
            ignorable: false,
            managed_resources: BTreeSet::new(),
        }
    }

    /// Asked to filter.
    #[must_use]
    pub fn filter(self) -> Self {
        ExtenderSettings { filters: true, ..self }
    }

    /// Asked to rate, with a weight.
    #[must_use]
    pub fn prioritize(self, weight: i64) -> Self {
        ExtenderSettings { prioritizes: true, weight, ..self }
    }

    /// Asked about preemptions.
    #[must_use]
    pub fn preempt(self) -> Self {
        ExtenderSettings { preempts: true, ..self }
    }

    /// Asked to bind.
    #[must_use]
    pub fn bind(self) -> Self {
        ExtenderSettings { binds: true, ..self }
    }

    /// Decisions go on when it fails.
    #[must_use]
    pub fn ignorable(self) -> Self {
        ExtenderSettings { ignorable: true, ..self }
    }

    /// Only asked about pods that name this resource (or another one of those given).
    #[must_use]
    pub fn manages(mut self, resource: &str) -> Self {
        self.managed_resources.insert(SmolStr::new(resource));
        self
    }

    /// True if it has a say in which node a pod gets.
    pub(crate) fn narrows(&self) -> bool {
        self.filters || self.prioritizes
    }

    /// True if a pod is its business (`IsInterested`).
    pub fn is_interested(&self, pod: &PodSpec) -> bool {
        let names = |container: &Container| {
            let Some(resources) = &container.resources else { return false };
            let amounts = [&resources.requests, &resources.limits].into_iter().flatten();
            amounts
                .flat_map(|amounts| amounts.keys())
                .any(|name| self.managed_resources.contains(name.as_str()))
        };
        self.managed_resources.is_empty()
            || pod.containers.iter().any(names)
            || pod.init_containers.iter().flatten().any(names)
    }
}
