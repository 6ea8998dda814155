//! POST: names, namespaces, defaults, admission, identity.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use rustc_hash::FxHashMap;
use serde_json::json;
use smol_str::SmolStr;

use super::{ApiServer, Moment};
use crate::api::admission::{self, AdmissionView, MIRROR_ANNOTATION};
use crate::api::error::{ApiError, Reason};
use crate::api::kind::{Kind, Kinds};
use crate::api::meta::{Key, Labels, Meta, Uid};
use crate::api::object::{Body, Object};
use crate::api::pod_status::{ConditionStatus, PodCondition, PodPhase, PodStatus};
use crate::api::{defaults, strategy, validation};
use crate::engine::log::CommitVerb;
use crate::helpers::qos::pod_qos;
use crate::names::generate_name;
use crate::time::Time;

/// How often a collision of a generated name is tried again (RetryGenerateName).
const GENERATE_NAME_TRIES: usize = 8;

/// Finished pod specs by the template they came from: the replicas of one template stay one class.
#[derive(Clone, Debug, Default)]
pub(super) struct SpecMemo {
    /// By address of the incoming spec.
    known: FxHashMap<usize, Finished>,
    /// Revision of the classes that admission reads; a change empties the memo.
    class_revision: u64,
}

#[derive(Clone, Debug)]
struct Finished {
    /// Held so that its address stays its own.
    _given: Arc<PodSpec>,
    spec: Arc<PodSpec>,
}

/// Templates remembered at most; beyond it the memo starts anew, which costs time but changes nothing.
const MEMO_LIMIT: usize = 4096;

impl ApiServer {
    pub(super) fn create(
        &mut self,
        moment: &mut Moment<'_>,
        mut object: Object,
    ) -> Result<Arc<Object>, ApiError> {
        if object.meta.resource_version != 0 {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(ApiError::new(Reason::InternalError, message));
        }
        self.settle_namespace(moment, &mut object)?;
        let generated = object.meta.key.name.is_empty() && !object.meta.generate_name.is_empty();
        if generated {
            self.generate_name(&mut object);
        }
        let info = self.kinds.info(object.kind);
        if self.store.get(object.kind, object.key()).is_some() {
            return Err(ApiError::already_exists(info, object.meta.name()));
        }
        object.meta.uid = self.next_uid();
        object.meta.creation_timestamp = moment.now.truncate_to_secs();
        object.meta.deletion = None;
        object.meta.generation = i64::from(has_generation(&object));
        self.prepare(moment.now, &mut object)?;
        reset_status(&mut object, moment.now.truncate_to_secs());
        Ok(self.commit(moment, CommitVerb::Create, object))
    }

    /// Puts an object of a dump in place as it is: uid, times and status are kept, only the revision is new.
    pub fn import(&mut self, moment: &mut Moment<'_>, mut object: Object) -> Result<Arc<Object>, ApiError> {
        self.settle_namespace(moment, &mut object)?;
        if self.store.get(object.kind, object.key()).is_some() {
            return Err(ApiError::already_exists(self.kinds.info(object.kind), object.meta.name()));
        }
        if object.meta.uid.is_unset() {
            object.meta.uid = self.next_uid();
        }
        if object.meta.generation == 0 {
            object.meta.generation = i64::from(has_generation(&object));
        }
        if matches!(object.body, Body::Node(_)) {
            // It was admitted when it registered, and has the taints that it has.
            let (epoch, now) = (self.epoch, moment.now);
            defaults::apply(&mut object, &|| epoch.rfc3339(now));
        } else {
            self.prepare(moment.now, &mut object)?;
        }
        if let Body::Pod(pod) = &mut object.body {
            Arc::make_mut(&mut pod.status).qos_class = pod_qos(&pod.spec);
        }
        Ok(self.commit(moment, CommitVerb::Create, object))
    }

    /// A namespace that is there, or made on the way, or refused.
    fn settle_namespace(&mut self, moment: &mut Moment<'_>, object: &mut Object) -> Result<(), ApiError> {
        if !self.kinds.info(object.kind).namespaced {
            object.meta.key.namespace = SmolStr::default();
            return Ok(());
        }
        if object.meta.key.namespace.is_empty() {
            object.meta.key.namespace = SmolStr::new_static("default");
        }
        let namespace = object.meta.key.namespace.clone();
        let Some(found) = self.store.get(Kind::NAMESPACE, &Key::cluster(namespace.clone())) else {
            if self.options.strict_namespaces {
                return Err(ApiError::not_found(self.kinds.info(Kind::NAMESPACE), &namespace));
            }
            // DIFFERS: upstream answers 404 (`strict_namespaces` does too). Manifests are usually tried out alone,
            // and a namespace that only exists to hold them would be noise in every one of them.
            self.notices.push(format!("namespace {namespace:?} was not there and has been created"));
            self.create_namespace(moment, &namespace);
            return Ok(());
        };
        if found.meta.is_deleting() {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            return Err(ApiError::forbidden(self.kinds.info(object.kind), object.meta.name(), &why));
        }
        Ok(())
    }

    pub(super) fn create_namespace(&mut self, moment: &mut Moment<'_>, name: &SmolStr) {
        let mut meta = Meta::named(Key::cluster(name.clone()));
        meta.uid = self.next_uid();
        meta.creation_timestamp = moment.now.truncate_to_secs();
        let label = ("kubernetes.io/metadata.name".to_owned(), name.to_string());
        meta.labels = Arc::new([label].into());
        let body = json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        self.commit(moment, CommitVerb::Create, Object::json(Kind::NAMESPACE, meta, body));
    }

    fn generate_name(&mut self, object: &mut Object) {
        for _ in 0..GENERATE_NAME_TRIES {
            object.meta.key.name = generate_name(&object.meta.generate_name, &mut self.names).into();
            if self.store.get(object.kind, object.key()).is_none() {
                return;
            }
        }
    }

    /// The next uid, in the form of a random UUID (version 4).
    fn next_uid(&mut self) -> Uid {
        let random = u128::from(self.uids.next_u64()) << 64 | u128::from(self.uids.next_u64());
        let version_4 = random & !(0xf << 76) | 0x4 << 76;
        Uid(version_4 & !(0x3 << 62) | 0x2 << 62)
    }

    /// Defaults, admission and validation. A pod spec that came from a known template is taken as it was finished then.
    fn prepare(&mut self, now: Time, object: &mut Object) -> Result<(), ApiError> {
        // No mere replicas: mirrors of static pods, which admission leaves alone, and specs that take the pod's labels in.
        let is_mirror = object.meta.annotation(MIRROR_ANNOTATION).is_some();
        let replica = |spec: &PodSpec| !is_mirror && !strategy::has_label_keys(spec);
        let given = object.as_pod().filter(|pod| replica(&pod.spec)).map(|pod| pod.spec.clone());
        let Some(given) = given else { return self.finish(now, object) };
        if self.memo.class_revision != self.class_revision || self.memo.known.len() >= MEMO_LIMIT {
            self.memo = SpecMemo { known: FxHashMap::default(), class_revision: self.class_revision };
        }
        let address = Arc::as_ptr(&given) as usize;
        if let (Some(finished), Body::Pod(pod)) = (self.memo.known.get(&address), &mut object.body) {
            pod.spec = finished.spec.clone();
            return validation::validate_metadata(object, &self.kinds);
        }
        self.finish(now, object)?;
        // A spec that nobody else holds is no template.
        if let (Body::Pod(pod), true) = (&object.body, Arc::strong_count(&given) > 1) {
            self.memo.known.insert(address, Finished { _given: given, spec: pod.spec.clone() });
        }
        Ok(())
    }

    fn finish(&mut self, now: Time, object: &mut Object) -> Result<(), ApiError> {
        defaults::apply(object, &|| self.epoch.rfc3339(now));
        admission::admit(object, &View(self))?;
        strategy::begin(object, None);
        let dropped = strategy::prepare_create(object, self.options.features);
        self.notices.extend(dropped);
        defaults::apply_internal(object);
        let labels = self.labels_around(object);
        let warnings = validation::validate_create(object, &self.kinds, &mut self.rules, labels.as_deref())?;
        self.notices.extend(warnings);
        Ok(())
    }

    /// The labels of the namespace of an object that may ask for devices for administration.
    pub(super) fn labels_around(&self, object: &Object) -> Option<Arc<Labels>> {
        if !matches!(object.kind, Kind::RESOURCE_CLAIM | Kind::RESOURCE_CLAIM_TEMPLATE) {
            return None;
        }
        let namespace = self.store.get(Kind::NAMESPACE, &Key::cluster(object.meta.key.namespace.clone()))?;
        Some(namespace.meta.labels.clone())
    }
}

/// The store as admission reads it.
pub(super) struct View<'a>(pub(super) &'a ApiServer);

impl AdmissionView for View<'_> {
    fn kinds(&self) -> &Kinds {
        &self.0.kinds
    }

    fn get(&self, kind: Kind, name: &str) -> Option<&Object> {
        self.0.store.get(kind, &Key::cluster(name)).map(Arc::as_ref)
    }

    fn list(&self, kind: Kind) -> Vec<&Object> {
        let mut all: Vec<&Object> = self.0.store.iter(kind).map(Arc::as_ref).collect();
        all.sort_unstable_by_key(|object| object.key());
        all
    }

    fn strict_namespaces(&self) -> bool {
        self.0.options.strict_namespaces
    }
}

/// Upstream counts generations for kinds with a spec that controllers follow.
fn has_generation(object: &Object) -> bool {
    match &object.body {
        Body::Node(_) => false,
        Body::Json(value) => {
            let without = [Kind::NAMESPACE, Kind::RESOURCE_CLAIM, Kind::RESOURCE_CLAIM_TEMPLATE];
            !without.contains(&object.kind) && value.get("spec").is_some()
        }
        _ => true,
    }
}

/// What `PrepareForCreate` does to the status. Nodes keep theirs: the kubelet registers them with it.
fn reset_status(object: &mut Object, now: Time) {
    match &mut object.body {
        Body::Pod(pod) => {
            let mut status =
                PodStatus { phase: PodPhase::Pending, qos_class: pod_qos(&pod.spec), ..PodStatus::default() };
            if pod.spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
                status.conditions.push(PodCondition {
                    kind: SmolStr::new_static("PodScheduled"),
                    status: ConditionStatus::False,
                    reason: SmolStr::new_static("SchedulingGated"),
                    message: SmolStr::new_static("Scheduling is blocked due to non-empty scheduling gates"),
                    last_transition_time: now,
                    observed_generation: 0,
                });
            }
            pod.status = Arc::new(status);
        }
        Body::Deployment(inner) => inner.status = Arc::default(),
        Body::ReplicaSet(inner) => inner.status = Arc::default(),
        Body::DaemonSet(inner) => inner.status = Arc::default(),
        Body::Job(inner) => inner.status = Arc::default(),
        Body::Json(body) if object.kind == Kind::RESOURCE_CLAIM => {
            if let Some(body) = Arc::make_mut(body).as_object_mut() {
                body.insert("status".into(), json!({}));
            }
        }
        Body::Node(_) | Body::Json(_) => {}
    }
}
