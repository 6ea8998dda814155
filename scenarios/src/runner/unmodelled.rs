//! What a manifest asks for and nobody does yet. Said aloud, because an answer that leaves it out would look exact.

use sim_core::api::kind::Kind;
use sim_core::api::object::Object;

/// Kinds that are stored, and that no controller works on yet.
const IDLE: &[(Kind, &str)] = &[
    (Kind::STATEFUL_SET, "StatefulSets"),
    (Kind::CRON_JOB, "CronJobs"),
    (Kind::HORIZONTAL_POD_AUTOSCALER, "HorizontalPodAutoscalers"),
    (Kind::SERVICE, "Services"),
    (Kind::RESOURCE_QUOTA, "ResourceQuotas"),
    (Kind::LIMIT_RANGE, "LimitRanges"),
    (Kind::REPLICATION_CONTROLLER, "ReplicationControllers"),
];

/// Notices about an object: what it asks for that has no effect yet.
pub(super) fn notices(object: &Object) -> Vec<String> {
    let idle = IDLE.iter().filter(|(kind, _)| *kind == object.kind);
    let idle = idle.map(|(_, plural)| format!("{plural} are stored, but nothing works on them yet"));
    let budget = (object.kind == Kind::POD_DISRUPTION_BUDGET).then(|| {
        "nothing keeps the status of PodDisruptionBudgets yet: preemption minds it as it was given".to_owned()
    });
    let unbound = object.kind == Kind::PERSISTENT_VOLUME_CLAIM
        && object.meta.annotation("pv.kubernetes.io/bind-completed").is_none();
    let claim = unbound.then(|| {
        "nothing binds PersistentVolumeClaims or makes volumes yet: a pod waits for a claim that is not bound, and is \
         refused in the end"
            .to_owned()
    });
    idle.chain(budget).chain(claim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::api::kind::Kinds;
    use sim_core::load::{LoadOptions, Source, objects};

    #[test]
    fn what_has_no_effect_is_said() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]";
        for (text, expected) in [
            (format!("{pod}}}"), None),
            (format!("{pod}, affinity: {{podAntiAffinity: {{}}}}}}"), None),
            (format!("{pod}, volumes: [{{name: v, persistentVolumeClaim: {{claimName: x}}}}]}}"), None),
            (
                "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}}".to_owned(),
                Some("nothing binds PersistentVolumeClaims"),
            ),
            (
                "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, annotations: \
                 {pv.kubernetes.io/bind-completed: 'yes'}}}"
                    .to_owned(),
                None,
            ),
            (
                "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: b}}".to_owned(),
                Some("nothing keeps the status"),
            ),
            ("{apiVersion: v1, kind: Service, metadata: {name: s}}".to_owned(), Some("Services are")),
        ] {
            let source = Source::new("a.yaml", text.clone());
            let loaded = objects(&mut Kinds::default(), &[source], &LoadOptions::default()).expect("loads");
            let said = notices(&loaded.objects[0].object);
            assert_eq!(said.len(), usize::from(expected.is_some()), "{text}");
            assert!(expected.is_none_or(|start| said[0].starts_with(start)), "{said:?}");
        }
    }
}
