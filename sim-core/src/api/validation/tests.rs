use serde_json::{Value, json};

use super::{Rules, check_create, check_update};
use crate::api::kind::Kinds;
use crate::api::object::Object;
use crate::api::{defaults, strategy, wire};
use crate::time::Epoch;

fn object(kind: &str, spec: &Value) -> Object {
    let api_version = match kind {
        "Service" => "v1",
        "CronJob" => "batch/v1",
        _ => "autoscaling/v2",
    };
    let value = json!({
        "apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "default"}, "spec": spec,
    });
    let mut object = wire::from_json(&value, &Kinds::default(), Epoch::default()).expect("an object");
    defaults::apply(&mut object, &String::new);
    strategy::begin(&mut object, None);
    object
}

#[track_caller]
fn check(kind: &str, spec: &Value, old: Option<&Value>, expected: &[&str]) {
    let new = object(kind, spec);
    let (errors, _) = match old {
        None => check_create(&new, &Kinds::default(), &mut Rules::default(), None),
        Some(old) => check_update(&new, &object(kind, old), &Kinds::default(), &mut Rules::default()),
    };
    let found: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{spec}");
}

fn service(change: Value) -> Value {
    let mut spec = json!({"ports": [{"port": 80}]});
    for (field, value) in change.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    spec
}

#[test]
fn services() {
    for (change, expected) in [
        (json!({"clusterIP": "None", "ports": []}), vec![]),
        (json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}), vec![]),
        (json!({"type": "ExternalName", "externalName": "a.b.", "ports": []}), vec![]),
        (json!({"ports": []}), vec!["spec.ports: Required value"]),
        (
            json!({"type": "NodePort", "clusterIP": "None"}),
            vec![
                "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
            ],
        ),
        (
            json!({"type": "ExternalName", "externalName": "a", "clusterIPs": ["10.0.0.1"], "ipFamilyPolicy": "SingleStack"}),
            vec![
                "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
                "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
            ],
        ),
        (
            json!({"clusterIPs": ["10.0.0.1"]}),
            vec![
                "spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: must be empty when `clusterIP` is not specified",
            ],
        ),
        (
            json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"], "ipFamilies": ["IPv6", "IPv4"]}),
            vec![
                "spec.clusterIPs: Invalid value: [\"10.0.0.1\",\"10.0.0.2\"]: may specify no more than one IP for each IP family",
                "spec.clusterIPs[0]: Invalid value: \"10.0.0.1\": expected an IPv6 value as indicated by `ipFamilies[0]`",
            ],
        ),
        (
            json!({"externalIPs": ["127.0.0.1", "0.0.0.0", "x"]}),
            vec![
                "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                "spec.externalIPs[1]: Invalid value: \"0.0.0.0\": may not be unspecified (0.0.0.0)",
                "spec.externalIPs[2]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ],
        ),
        (
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}),
            vec![
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400",
            ],
        ),
        (
            json!({"type": "LoadBalancer", "loadBalancerSourceRanges": [" 10.0.0.0/8 ", "10.0.0.0"], "loadBalancerClass": "a b"}),
            vec![
                "spec.LoadBalancerSourceRanges[1]: Invalid value: \"10.0.0.0\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                "spec.loadBalancerClass: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
        (
            json!({"healthCheckNodePort": 1, "externalTrafficPolicy": "Local"}),
            vec![
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
                "spec.healthCheckNodePort: Invalid value: 1: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
            ],
        ),
    ] {
        check("Service", &service(change), None, &expected);
    }
    let two = service(
        json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilyPolicy": "PreferDualStack"}),
    );
    let one = service(json!({"clusterIP": "10.0.0.1", "ipFamilyPolicy": "PreferDualStack"}));
    check("Service", &two, Some(&one), &[]);
    check(
        "Service",
        &one,
        Some(&two),
        &[
            "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing the secondary clusterIP",
        ],
    );
}

#[test]
fn autoscalers() {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let with = |metric: Value| json!({"maxReplicas": 5, "scaleTargetRef": target, "metrics": [metric]});
    let utilization = json!({"type": "Utilization", "averageUtilization": 0});
    for (metric, expected) in [
        (
            json!({"type": "Resource", "resource": {"name": "cpu", "target": utilization}}),
            vec![
                "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
            ],
        ),
        (
            json!({"type": "ContainerResource", "containerResource": {"name": "gpu", "container": "A", "target": {"type": "Some", "averageValue": "0"}}}),
            vec![
                "spec.metrics[0].containerResource.name: Invalid value: \"gpu\": must be a standard resource type or fully qualified",
                "spec.metrics[0].containerResource.name: Invalid value: \"gpu\": must be a standard resource for containers",
                "spec.metrics[0].containerResource.container: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
                "spec.metrics[0].containerResource.target.type: Invalid value: \"Some\": must be either Utilization, Value, or AverageValue",
                "spec.metrics[0].containerResource.target.averageValue: Invalid value: \"0\": must be positive",
            ],
        ),
        (
            json!({"type": "Object", "object": {"describedObject": {"kind": "Ingress", "name": "i", "apiVersion": "a/b/c"}, "metric": {"name": "m"}, "target": {"type": "Value"}}}),
            vec![
                "spec.metrics[0].object.describedObject.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                "spec.metrics[0].object.target.averageValue: Required value: must set either a target value or averageValue",
            ],
        ),
    ] {
        check("HorizontalPodAutoscaler", &with(metric), None, &expected);
    }
    let mut spec = json!({"maxReplicas": 5, "scaleTargetRef": target});
    spec["behavior"]["scaleUp"] = json!({"stabilizationWindowSeconds": 3601, "selectPolicy": "Best", "policies": [{"type": "Pods", "value": 0, "periodSeconds": 1801}]});
    check(
        "HorizontalPodAutoscaler",
        &spec,
        None,
        &[
            "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
            "spec.behavior.scaleUp.selectPolicy: Unsupported value: \"Best\": supported values: \"Disabled\", \"Max\", \"Min\"",
            "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
            "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
        ],
    );
    let controller = json!({"apiVersion": "v1", "kind": "ReplicationController", "name": "r"});
    check("HorizontalPodAutoscaler", &json!({"maxReplicas": 5, "scaleTargetRef": controller}), None, &[]);
    // What was wrong already may stay.
    let old = json!({"maxReplicas": 5, "scaleTargetRef": {"kind": "Deployment", "name": "d"}});
    check("HorizontalPodAutoscaler", &old, Some(&old), &[]);
}

#[test]
fn cron_jobs() {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]});
    let with = |schedule: &str, zone: Option<&str>, job: Value| {
        let mut spec = json!({"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": pod}}}});
        zone.into_iter().for_each(|zone| spec["timeZone"] = zone.into());
        job.as_object().into_iter().flatten().for_each(|(k, v)| spec["jobTemplate"]["spec"][k] = v.clone());
        spec
    };
    check("CronJob", &with("@daily", Some("Europe/Berlin"), json!({})), None, &[]);
    check(
        "CronJob",
        &with("* * * * *", Some("europe/berlin"), json!({"parallelism": -1, "manualSelector": true})),
        None,
        &[
            "spec.timeZone: Invalid value: \"europe/berlin\": unknown time zone europe/berlin",
            "spec.jobTemplate.spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
            "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\"",
        ],
    );
    let old = with("TZ=UTC * * * * *", None, json!({}));
    check("CronJob", &old, Some(&old), &[]);
    check(
        "CronJob",
        &with("TZ=UTC * * * * *", Some("UTC"), json!({})),
        Some(&old),
        &[
            "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use both timeZone field and TZ or CRON_TZ in schedule",
        ],
    );
}

#[test]
fn static_pods_have_no_claims() {
    let value = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "x", "namespace": "default", "annotations": {"kubernetes.io/config.mirror": "1"}},
        "spec": {
            "nodeName": "n", "containers": [{"name": "c", "image": "i"}],
            "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}],
        },
    });
    let mut pod = wire::from_json(&value, &Kinds::default(), Epoch::default()).expect("a pod");
    defaults::apply(&mut pod, &String::new);
    let (errors, _) = check_create(&pod, &Kinds::default(), &mut Rules::default(), None);
    assert_eq!(errors.aggregate(), ": Forbidden: static pods do not support resource claims");
}
