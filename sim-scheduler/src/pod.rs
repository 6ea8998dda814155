//! Pods as the scheduler's hot loops see them: compiled once per class.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as wire;
use k8s_openapi::api::core::v1::PodSpec;
use rustc_hash::{FxHashMap, FxHasher};
use serde_json::Value;
use sim_core::api::meta::{Labels, Meta};
use sim_core::api::object::Object;
use sim_core::api::pod_status::PodStatus;
use sim_core::api::wire::{decode_value, pod_status_to_json};
use sim_core::helpers::ports::{HostPort, host_ports};
use sim_core::helpers::resources::{PodResourcesOptions, ResourceList, pod_requests};
use sim_core::time::Epoch;
use smol_str::{SmolStr, SmolStrBuilder, format_smolstr};

use crate::affinity_terms::AffinityTerms;
use crate::resources::{PodRequests, Resources, requests_of};

/// A PersistentVolumeClaim that a pod uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodClaim {
    /// Its name, in the pod's namespace.
    pub name: SmolStr,
    /// True if it is made for the pod (a generic ephemeral volume).
    pub ephemeral: bool,
}

/// The managing owner of a pod, as far as it matters to scheduling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    /// e.g. `apps/v1`.
    pub api_version: SmolStr,
    /// e.g. `ReplicaSet`.
    pub kind: SmolStr,
    /// Name.
    pub name: SmolStr,
}

impl Controller {
    fn of(meta: &Meta) -> Option<Controller> {
        let owner = meta.controller_of()?;
        Some(Controller {
            api_version: owner.api_version.clone(),
            kind: owner.kind.clone(),
            name: owner.name.clone(),
        })
    }

    fn is(known: Option<&Controller>, meta: &Meta) -> bool {
        match (known, meta.controller_of()) {
            (None, None) => true,
            (Some(a), Some(b)) => a.name == b.name && a.kind == b.kind && a.api_version == b.api_version,
            _ => false,
        }
    }
}

/// A pod class: everything about a pod that its replicas share. Names and uids are not here, so that what a plugin
/// computes from a class holds for every pod of it.
#[derive(Clone, Debug)]
pub struct PodInfo {
    /// Number of the class: dense, never reused within one scheduler.
    pub class: u64,
    /// Namespace.
    pub namespace: SmolStr,
    /// Labels.
    pub labels: Arc<Labels>,
    /// Annotations.
    pub annotations: Arc<Labels>,
    /// The spec itself.
    pub spec: Arc<PodSpec>,
    /// `spec.priority`, 0 if absent.
    pub priority: i32,
    /// What it asks for.
    pub requests: Resources,
    /// What it asks for with defaults for missing requests, as scores count it.
    pub scored_requests: Resources,
    /// CPU and memory it adds to a node's non-zero requests.
    pub non_zero: (i64, i64),
    /// Ports it takes on its node.
    pub host_ports: Vec<HostPort>,
    /// Images of all init and main containers, with a tag.
    pub images: Vec<SmolStr>,
    /// Claims, in the order of the volumes that use them.
    pub claims: Vec<PodClaim>,
    /// Inter-pod affinity and anti-affinity; `None` without any.
    pub affinity: Option<Arc<AffinityTerms>>,
    /// What manages it.
    pub controller: Option<Controller>,
    /// True while it is being deleted.
    pub terminating: bool,
}

impl PodInfo {
    /// Compiles a class, of pods that nothing manages. Claims of ephemeral volumes still lack the pod's name.
    pub fn new(
        class: u64,
        namespace: SmolStr,
        labels: Arc<Labels>,
        annotations: Arc<Labels>,
        spec: Arc<PodSpec>,
    ) -> PodInfo {
        let PodRequests { exact, non_zero, scored } = requests_of(&spec, None);
        let affinity = AffinityTerms::of(&spec, &namespace);
        PodInfo {
            class,
            namespace,
            labels,
            annotations,
            priority: spec.priority.unwrap_or(0),
            requests: exact,
            scored_requests: scored,
            non_zero,
            host_ports: host_ports(&spec),
            images: images(&spec),
            claims: claims(&spec, ""),
            affinity: affinity.map(Arc::new),
            controller: None,
            terminating: false,
            spec,
        }
    }

    /// The same with another spec, of a pod of some name. It is of no class: its number is that of no other.
    pub(crate) fn with_spec(&self, spec: Arc<PodSpec>, pod: &str) -> PodInfo {
        let (namespace, labels) = (self.namespace.clone(), self.labels.clone());
        let claims = claims(&spec, pod);
        let info = PodInfo::new(u64::MAX, namespace, labels, self.annotations.clone(), spec);
        let (controller, terminating) = (self.controller.clone(), self.terminating);
        PodInfo { claims, controller, terminating, ..info }
    }
}

/// What a pod asks for in all, its status looked at, too.
pub fn requests_in_all(pod: &Object) -> ResourceList {
    let Some(body) = pod.as_pod() else { return ResourceList::default() };
    let status = resized(&body.status);
    pod_requests(
        &body.spec,
        &PodResourcesOptions { status: status.as_ref(), ..PodResourcesOptions::default() },
    )
}

/// The status in its wire form, if it tells of containers' resources.
fn resized(status: &PodStatus) -> Option<wire::PodStatus> {
    let other = status.other.as_ref()?;
    let containers = ["containerStatuses", "initContainerStatuses"].into_iter().filter_map(|l| other.get(l));
    let tells = containers
        .filter_map(Value::as_object)
        .flat_map(|list| list.values())
        .any(|container| container.get("resources").is_some());
    // Times do not matter here.
    let json = || pod_status_to_json(status, Epoch::default());
    tells.then(json).and_then(|json| decode_value(&json).ok())
}

/// The claims of a pod of some name.
pub(crate) fn claims(spec: &PodSpec, pod: &str) -> Vec<PodClaim> {
    let claim = |volume: &wire::Volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => Some(PodClaim { name: SmolStr::new(&source.claim_name), ephemeral: false }),
        (None, Some(_)) => Some(PodClaim { name: format_smolstr!("{pod}-{}", volume.name), ephemeral: true }),
        (None, None) => None,
    };
    spec.volumes.iter().flatten().filter_map(claim).collect()
}

fn images(spec: &PodSpec) -> Vec<SmolStr> {
    let init = spec.init_containers.iter().flatten();
    init.chain(&spec.containers).map(|c| normalized_image(c.image.as_deref().unwrap_or(""))).collect()
}

/// An image name with its tag (`normalizedImageName`).
fn normalized_image(name: &str) -> SmolStr {
    if name.rfind(':') > name.rfind('/') {
        return SmolStr::new(name);
    }
    let mut tagged = SmolStrBuilder::new();
    tagged.push_str(name);
    tagged.push_str(":latest");
    tagged.finish()
}

/// The classes of a run, by content.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    next: u64,
    /// By address of the shared parts. A class keeps them alive, so an address cannot be taken over by others.
    by_address: FxHashMap<(usize, usize, usize, SmolStr), Arc<PodInfo>>,
    /// By a hash of the compiled form; candidates are compared in full.
    by_content: FxHashMap<u64, Vec<Arc<PodInfo>>>,
    sweep_at: usize,
}

impl Classes {
    /// The class of a pod. A pod that is being deleted, or whose status tells of other resources than its spec (while
    /// it is resized), is of a class of its own kind, and one with ephemeral volumes of its own alone: their claims have
    /// its name.
    pub fn of(&mut self, pod: &Object) -> Option<Arc<PodInfo>> {
        let body = pod.as_pod()?;
        let mut class = self.of_spec(pod, &body.spec);
        if class.claims.iter().any(|claim| claim.ephemeral) {
            let claims = claims(&body.spec, pod.meta.name());
            class = self.by_content(PodInfo { claims, ..(*class).clone() });
            self.sweep();
        }
        if pod.meta.is_deleting() {
            class = self.by_content(PodInfo { terminating: true, ..(*class).clone() });
        }
        let Some(status) = resized(&body.status) else { return Some(class) };
        let PodRequests { exact, non_zero, .. } = requests_of(&body.spec, Some(&status));
        if exact == class.requests && non_zero == class.non_zero {
            return Some(class);
        }
        Some(self.by_content(PodInfo { requests: exact, non_zero, ..(*class).clone() }))
    }

    fn of_spec(&mut self, pod: &Object, spec: &Arc<PodSpec>) -> Arc<PodInfo> {
        let meta = &pod.meta;
        let address = (
            Arc::as_ptr(spec) as usize,
            Arc::as_ptr(&meta.labels) as usize,
            Arc::as_ptr(&meta.annotations) as usize,
            meta.key.namespace.clone(),
        );
        if let Some(known) = self.by_address.get(&address)
            && Controller::is(known.controller.as_ref(), meta)
        {
            return known.clone();
        }
        let (labels, annotations) = (meta.labels.clone(), meta.annotations.clone());
        let mut fresh = PodInfo::new(0, meta.key.namespace.clone(), labels, annotations, spec.clone());
        fresh.controller = Controller::of(meta);
        let class = self.by_content(fresh);
        if Arc::ptr_eq(&class.spec, spec) {
            self.by_address.insert(address, class.clone());
            self.sweep();
        }
        class
    }

    fn by_content(&mut self, mut fresh: PodInfo) -> Arc<PodInfo> {
        let bucket = self.by_content.entry(fingerprint(&fresh)).or_default();
        if let Some(known) = bucket.iter().find(|known| same_class(known, &fresh)) {
            return known.clone();
        }
        fresh.class = self.next;
        self.next += 1;
        let class = Arc::new(fresh);
        bucket.push(class.clone());
        class
    }

    /// Forgets classes that nobody holds, whenever their number has doubled.
    fn sweep(&mut self) {
        if self.by_address.len().max(self.by_content.len()) < self.sweep_at.max(1024) {
            return;
        }
        // A class in use is held by at least one pod beside these maps.
        self.by_address.retain(|_, class| Arc::strong_count(class) > 2);
        self.by_content.retain(|_, bucket| {
            bucket.retain(|class| Arc::strong_count(class) > 1);
            !bucket.is_empty()
        });
        self.sweep_at = self.by_address.len().max(self.by_content.len()) * 2;
    }
}

fn fingerprint(info: &PodInfo) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = FxHasher::default();
    info.namespace.hash(&mut hasher);
    info.labels.hash(&mut hasher);
    info.priority.hash(&mut hasher);
    info.requests.hash(&mut hasher);
    info.scored_requests.hash(&mut hasher);
    info.host_ports.hash(&mut hasher);
    info.images.hash(&mut hasher);
    info.spec.node_selector.hash(&mut hasher);
    info.claims.hash(&mut hasher);
    info.controller.hash(&mut hasher);
    info.terminating.hash(&mut hasher);
    hasher.finish()
}

fn same_class(a: &PodInfo, b: &PodInfo) -> bool {
    a.requests == b.requests
        && a.non_zero == b.non_zero
        && a.namespace == b.namespace
        && a.labels == b.labels
        && a.annotations == b.annotations
        && a.claims == b.claims
        && a.controller == b.controller
        && a.terminating == b.terminating
        && (Arc::ptr_eq(&a.spec, &b.spec) || a.spec == b.spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_get_a_tag() {
        for (name, want) in [
            ("nginx", "nginx:latest"),
            ("nginx:1", "nginx:1"),
            ("host:5000/nginx", "host:5000/nginx:latest"),
            ("host:5000/nginx:2", "host:5000/nginx:2"),
            ("", ":latest"),
        ] {
            assert_eq!(normalized_image(name), want);
        }
    }

    #[test]
    fn ephemeral_claims_have_the_pods_name() {
        let volumes = serde_json::json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "e", "ephemeral": {}}, {"name": "x", "emptyDir": {}}]);
        let mut classes = Classes::default();
        let mut of = |name: &str| {
            let info = classes.of(&crate::testing::pod(name).with("volumes", volumes.clone()).build());
            info.expect("a pod")
        };
        let (a, b, again) = (of("a"), of("b"), of("a"));
        let names = |info: &PodInfo| info.claims.iter().map(|c| c.name.to_string()).collect::<Vec<_>>();
        assert_eq!(
            (names(&a), names(&b)),
            (vec!["data".into(), "a-e".into()], vec!["data".into(), "b-e".into()])
        );
        assert!(a.claims[1].ephemeral && !a.claims[0].ephemeral);
        assert_eq!(a.class, again.class);
    }
}
