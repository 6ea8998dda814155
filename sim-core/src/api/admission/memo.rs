//! Keeps admitted pod specs shared: pods that were created from one `Arc` stay pods of one `Arc`.

use std::collections::VecDeque;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use rustc_hash::FxHashMap;

use super::{AdmissionView, admit_pod_spec, admit_with};
use crate::api::error::ApiError;
use crate::api::object::Object;

/// Remembers which admitted spec a shared spec became.
///
/// The answer is the same as that of [`admit`](super::admit), only shared. The input `Arc` is kept alive, so that its
/// address names it; the oldest entry goes when there are too many, and all go when a class changes.
///
/// Two clones of an object admitted through one memo point to one spec; see the tests for an example.
#[derive(Clone, Debug)]
pub struct AdmittedSpecs {
    capacity: usize,
    class_revision: u64,
    by_address: FxHashMap<(usize, bool), (Arc<PodSpec>, Arc<PodSpec>)>,
    oldest_first: VecDeque<(usize, bool)>,
}

impl Default for AdmittedSpecs {
    /// Room for 4,096 templates.
    fn default() -> Self {
        AdmittedSpecs::with_capacity(4096)
    }
}

impl AdmittedSpecs {
    /// A memo of at most `capacity` specs.
    pub fn with_capacity(capacity: usize) -> AdmittedSpecs {
        AdmittedSpecs {
            capacity,
            class_revision: 0,
            by_address: FxHashMap::default(),
            oldest_first: VecDeque::new(),
        }
    }

    /// Admits an object that is being created, like [`admit`](super::admit).
    ///
    /// # Errors
    /// Those of [`admit`](super::admit).
    pub fn admit(&mut self, object: &mut Object, view: &dyn AdmissionView) -> Result<(), ApiError> {
        if self.class_revision != view.class_revision() {
            self.class_revision = view.class_revision();
            self.by_address.clear();
            self.oldest_first.clear();
        }
        admit_with(object, view, &mut |pod_name, spec, mirror| {
            let address = (Arc::as_ptr(spec) as usize, mirror);
            if let Some((_, admitted)) = self.by_address.get(&address) {
                return Ok(Arc::clone(admitted));
            }
            let mut own = PodSpec::clone(spec);
            admit_pod_spec(pod_name, &mut own, mirror, view)?;
            let admitted = if own == **spec { Arc::clone(spec) } else { Arc::new(own) };
            self.remember(address, spec, &admitted);
            Ok(admitted)
        })
    }

    fn remember(&mut self, address: (usize, bool), spec: &Arc<PodSpec>, admitted: &Arc<PodSpec>) {
        if self.capacity == 0 {
            return;
        }
        if self.oldest_first.len() >= self.capacity
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_address.remove(&oldest);
        }
        self.by_address.insert(address, (Arc::clone(spec), Arc::clone(admitted)));
        self.oldest_first.push_back(address);
    }
}
