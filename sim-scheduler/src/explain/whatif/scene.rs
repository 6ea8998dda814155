//! A pod and the cluster as they were, to be asked again.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use sim_core::api::object::{Body, Object};
use sim_core::time::Time;
use smol_str::SmolStr;

use crate::cache::{Cache, Slot};
use crate::cycle::{Asked, Nominator};
use crate::framework::{Attempt, Profile};
use crate::pod::PodInfo;
use crate::resources::Resources;

/// What an attempt saw.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) profile: Profile,
    pub(crate) object: Arc<Object>,
    pub(crate) info: Arc<PodInfo>,
    pub(crate) cluster: Cache,
    pub(crate) nominator: Nominator,
    pub(crate) now: Time,
    pub(crate) attempt: u32,
}

/// The pod with something changed.
pub(super) struct Variant {
    pub(super) object: Object,
    pub(super) info: PodInfo,
}

impl Scene {
    /// The pod as it is.
    pub(super) fn pod(&self) -> Variant {
        Variant { object: (*self.object).clone(), info: (*self.info).clone() }
    }

    /// The pod with another spec.
    pub(super) fn with_spec(&self, change: impl FnOnce(&mut PodSpec)) -> Variant {
        let mut spec = (*self.info.spec).clone();
        change(&mut spec);
        let spec = Arc::new(spec);
        let mut object = (*self.object).clone();
        if let Body::Pod(pod) = &mut object.body {
            pod.spec = spec.clone();
        }
        let info = self.info.with_spec(spec, object.meta.name());
        Variant { object, info }
    }

    /// The pod with other requests, its spec left as it is.
    pub(super) fn with_requests(&self, change: impl FnOnce(&mut Resources)) -> Variant {
        let mut pod = self.pod();
        change(&mut pod.info.requests);
        pod
    }

    /// Those of some nodes on which the pod fits.
    pub(super) fn fits(&self, pod: &Variant, nodes: &[Slot]) -> Vec<Slot> {
        Self::fits_in(&self.cluster, self, pod, nodes)
    }

    /// The nodes on which the pod fits.
    pub(super) fn fits_anywhere(&self, pod: &Variant) -> Vec<Slot> {
        self.fits(pod, self.cluster.order())
    }

    /// True if the pod fits on one more node like another one.
    pub(super) fn fits_on_one_more(&self, like: Slot) -> bool {
        let mut cluster = self.cluster.clone();
        let slot = cluster.add_like(like, &SmolStr::new_static("one more node"));
        cluster.refresh();
        !Self::fits_in(&cluster, self, &self.pod(), &[slot]).is_empty()
    }

    fn fits_in(cluster: &Cache, scene: &Scene, pod: &Variant, nodes: &[Slot]) -> Vec<Slot> {
        let attempt = Attempt { pod: &pod.info, object: &pod.object, cluster, now: scene.now };
        let asked = Asked::new(&scene.profile, attempt, &scene.nominator);
        nodes.iter().copied().filter(|slot| asked.fits(*slot)).collect()
    }
}
