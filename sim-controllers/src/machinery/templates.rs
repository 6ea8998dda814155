//! Shared pod templates: all pods of one template point to one spec and one label map.
//!
//! That is what makes a million pods possible, and what makes them one pod class for the scheduler.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use sim_core::api::meta::{Labels, Uid};

/// A template in the form in which pods share it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    /// Spec of every pod.
    pub spec: Arc<PodSpec>,
    /// Labels of every pod.
    pub labels: Arc<Labels>,
    /// Annotations of every pod.
    pub annotations: Arc<Labels>,
    /// Finalizers of every pod.
    pub finalizers: Vec<SmolStr>,
}

impl Template {
    /// Shares a template.
    pub fn new(template: &PodTemplateSpec) -> Template {
        let meta = template.metadata.as_ref();
        Template {
            spec: Arc::new(template.spec.clone().unwrap_or_default()),
            labels: Arc::new(meta.and_then(|m| m.labels.clone()).unwrap_or_default()),
            annotations: Arc::new(meta.and_then(|m| m.annotations.clone()).unwrap_or_default()),
            finalizers: meta
                .and_then(|m| m.finalizers.as_ref())
                .into_iter()
                .flatten()
                .map(SmolStr::from)
                .collect(),
        }
    }
}

/// The templates in use, by the uid of the owner.
#[derive(Clone, Debug, Default)]
pub struct Templates(FxHashMap<Uid, (i64, Arc<Template>)>);

impl Templates {
    /// The shared template of an owner at a generation. A new generation with an equal template (a scaling) keeps the
    /// old one, so that old and new pods still share.
    pub fn share(
        &mut self,
        owner: Uid,
        generation: i64,
        template: impl FnOnce() -> Template,
    ) -> Arc<Template> {
        if let Some((known, shared)) = self.0.get(&owner)
            && *known == generation
        {
            return shared.clone();
        }
        let fresh = template();
        let shared = match self.0.remove(&owner) {
            Some((_, old)) if *old == fresh => old,
            _ => Arc::new(fresh),
        };
        self.0.insert(owner, (generation, shared.clone()));
        shared
    }

    /// The owner is gone.
    pub fn forget(&mut self, owner: Uid) {
        self.0.remove(&owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_keeps_the_shared_spec() {
        let (mut templates, uid) = (Templates::default(), Uid(1));
        let mut template = PodTemplateSpec::default();
        let first = templates.share(uid, 1, || Template::new(&template));
        assert!(Arc::ptr_eq(&first, &templates.share(uid, 1, || Template::new(&template))));
        assert!(Arc::ptr_eq(&first.spec, &templates.share(uid, 2, || Template::new(&template)).spec));
        template.spec = Some(PodSpec { hostname: Some("x".into()), ..PodSpec::default() });
        assert!(!Arc::ptr_eq(&first, &templates.share(uid, 3, || Template::new(&template))));
    }
}
