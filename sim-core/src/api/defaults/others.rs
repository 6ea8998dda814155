//! Kinds that are kept as JSON.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::{PersistentVolumeClaimSpec, PodTemplateSpec};
use serde_json::{Map, Value, json};

use super::json::Fill;
use super::pod::{default_template, repeat_service_account};
use super::volumes::default_claim_spec;
use super::workloads::default_failure_policy;
use super::{inherit_labels, pod};
use crate::api::kind::Kind;
use crate::api::meta::{Labels, Meta};
use crate::helpers::resources::WireResources;

type Json = Map<String, Value>;

pub(super) fn apply(kind: Kind, meta: &mut Meta, body: &mut Value, now: &dyn Fn() -> String) {
    let Some(body) = body.as_object_mut() else { return };
    match kind {
        Kind::STATEFUL_SET => stateful_set(body),
        Kind::CRON_JOB => cron_job(body),
        Kind::REPLICATION_CONTROLLER => replication_controller(meta, body),
        Kind::HORIZONTAL_POD_AUTOSCALER => autoscaler(body),
        Kind::POD_DISRUPTION_BUDGET => disruption_budget(body),
        Kind::SERVICE => service(body),
        Kind::ENDPOINT_SLICE => {
            for port in body.each("ports") {
                port.default("name", "");
                port.default("protocol", "TCP");
            }
        }
        Kind::NAMESPACE => namespace(meta, body),
        Kind::SECRET => body.default_text("type", "Opaque"),
        Kind::LIMIT_RANGE => limit_range(body),
        Kind::RESOURCE_QUOTA => resource_quota(body),
        Kind::PRIORITY_CLASS => body.default_text("preemptionPolicy", "PreemptLowerPriority"),
        Kind::PERSISTENT_VOLUME_CLAIM => claim(body),
        Kind::PERSISTENT_VOLUME => volume(body),
        Kind::STORAGE_CLASS => {
            body.default_text("reclaimPolicy", "Delete");
            body.default_text("volumeBindingMode", "Immediate");
        }
        Kind::CSI_DRIVER => csi_driver(body),
        Kind::RESOURCE_CLAIM => {
            device_requests(body.object("spec"));
            if let Some(status) = body.object("status") {
                let devices = status.present("allocation").and_then(|a| a.present("devices"));
                devices.into_iter().for_each(|d| d.each("results").for_each(device_tolerations));
            }
        }
        Kind::RESOURCE_CLAIM_TEMPLATE => device_requests(body.object("spec").and_then(|s| s.object("spec"))),
        Kind::RESOURCE_SLICE => resource_slice(body, now),
        Kind::DEVICE_TAINT_RULE => {
            let taint = body.object("spec").and_then(|spec| spec.object("taint"));
            taint.into_iter().for_each(|taint| taint_time(taint, now));
        }
        Kind::NETWORK_POLICY => network_policy(body),
        Kind::ROLE_BINDING | Kind::CLUSTER_ROLE_BINDING => role_binding(body),
        Kind::FLOW_SCHEMA => {
            if let Some(spec) = body.object("spec") {
                spec.default("matchingPrecedence", 1000);
            }
        }
        _ => {}
    }
}

fn stateful_set(body: &mut Json) {
    if let Some(spec) = body.object("spec") {
        spec.default_text("podManagementPolicy", "OrderedReady");
        spec.default("replicas", 1);
        spec.default("revisionHistoryLimit", 10);
        if let Some(strategy) = spec.object("updateStrategy") {
            if strategy.is_blank("type") {
                strategy.default_text("type", "RollingUpdate");
                strategy.default("rollingUpdate", json!({}));
            }
            if strategy.text("type") == "RollingUpdate"
                && let Some(rolling) = strategy.present("rollingUpdate")
            {
                rolling.default("partition", 0);
            }
        }
        if let Some(policy) = spec.object("persistentVolumeClaimRetentionPolicy") {
            policy.default_text("whenDeleted", "Retain");
            policy.default_text("whenScaled", "Retain");
        }
        spec.typed::<PodTemplateSpec>("template", default_template);
        for template in spec.each("volumeClaimTemplates") {
            template.default("metadata", json!({}));
            claim(template);
        }
    }
    if let Some(status) = body.object("status") {
        status.default("availableReplicas", 0);
        status.default("replicas", 0);
    }
}

pub(super) fn type_claim_templates(body: &mut Value) {
    let Some(spec) = body.as_object_mut().and_then(|b| b.present("spec")) else { return };
    for template in spec.each("volumeClaimTemplates") {
        template.default_text("apiVersion", "v1");
        template.default_text("kind", "PersistentVolumeClaim");
    }
    spec.typed::<PodTemplateSpec>("template", |t| t.spec.iter_mut().for_each(repeat_service_account));
}

/// `stringData` is for writing only: its texts become bytes of `data`, over those that are there.
pub(super) fn encode_string_data(body: &mut Value) {
    let Some(body) = body.as_object_mut() else { return };
    let Some(Value::Object(texts)) = body.shift_remove("stringData") else { return };
    body.typed::<BTreeMap<String, ByteString>>("data", |data| {
        for (key, text) in &texts {
            data.insert(key.clone(), ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec()));
        }
    });
}

fn cron_job(body: &mut Json) {
    if let Some(spec) = body.object("spec") {
        spec.default_text("concurrencyPolicy", "Allow");
        spec.default("suspend", false);
        spec.default("successfulJobsHistoryLimit", 3);
        spec.default("failedJobsHistoryLimit", 1);
        if let Some(template) = spec.object("jobTemplate") {
            template.default("metadata", json!({}));
            // Only the pods are defaulted here; the rest is when a Job is made of it.
            template.typed::<JobSpec>("spec", |job| {
                job.pod_failure_policy.iter_mut().for_each(default_failure_policy);
                default_template(&mut job.template);
            });
        }
    }
    body.default("status", json!({}));
}

fn replication_controller(meta: &mut Meta, body: &mut Json) {
    if let Some(spec) = body.object("spec") {
        spec.default("replicas", 1);
        if spec.contains_key("template") {
            spec.typed::<PodTemplateSpec>("template", default_template);
        }
        let labels = spec.get("template").and_then(|t| t.pointer("/metadata/labels")).cloned();
        let labels: Option<Labels> =
            labels.and_then(|l| serde_json::from_value(l).ok()).filter(|l: &Labels| !l.is_empty());
        if let Some(labels) = labels {
            if spec.is_blank("selector") {
                spec.insert("selector".into(), json!(labels));
            }
            inherit_labels(meta, Some(&labels));
        }
    }
    if let Some(status) = body.object("status") {
        status.default("replicas", 0);
    }
}

fn autoscaler(body: &mut Json) {
    if let Some(spec) = body.object("spec") {
        spec.default("minReplicas", 1);
        if spec.is_blank("metrics") {
            let target = json!({"averageUtilization": 80, "type": "Utilization"});
            let metric = json!({"resource": {"name": "cpu", "target": target}, "type": "Resource"});
            spec.insert("metrics".into(), json!([metric]));
        }
        if let Some(behavior) = spec.present("behavior") {
            let percent = json!({"periodSeconds": 15, "type": "Percent", "value": 100});
            let pods = json!({"periodSeconds": 15, "type": "Pods", "value": 4});
            if let Some(up) = behavior.object("scaleUp") {
                up.default("policies", json!([pods, percent]));
                up.default_text("selectPolicy", "Max");
                up.default("stabilizationWindowSeconds", 0);
            }
            if let Some(down) = behavior.object("scaleDown") {
                down.default("policies", json!([percent]));
                down.default_text("selectPolicy", "Max");
            }
        }
    }
    if let Some(status) = body.object("status") {
        status.default("currentMetrics", Value::Null);
        status.default("desiredReplicas", 0);
    }
}

fn disruption_budget(body: &mut Json) {
    if let Some(status) = body.object("status") {
        for count in ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"] {
            status.default(count, 0);
        }
    }
}

fn service(body: &mut Json) {
    if let Some(spec) = body.object("spec") {
        spec.default_text("sessionAffinity", "None");
        match spec.text("sessionAffinity") {
            "None" => drop(spec.shift_remove("sessionAffinityConfig")),
            "ClientIP" => {
                let timeout =
                    spec.get("sessionAffinityConfig").and_then(|c| c.pointer("/clientIP/timeoutSeconds"));
                if timeout.is_none_or(Value::is_null) {
                    let config = json!({"clientIP": {"timeoutSeconds": 10800}});
                    spec.insert("sessionAffinityConfig".into(), config);
                }
            }
            _ => {}
        }
        spec.default_text("type", "ClusterIP");
        for port in spec.each("ports") {
            port.default_text("protocol", "TCP");
            let target = port.get("targetPort");
            if target.is_none_or(|t| t.is_null() || t.as_str() == Some("") || t.as_i64() == Some(0)) {
                let own = port.get("port").cloned().unwrap_or_else(|| 0.into());
                port.insert("targetPort".into(), own);
            }
        }
        let kind = spec.text("type").to_string();
        let external = matches!(kind.as_str(), "LoadBalancer" | "NodePort")
            || (kind == "ClusterIP" && !spec.is_blank("externalIPs"));
        if external {
            spec.default_text("externalTrafficPolicy", "Cluster");
        }
        if kind != "ExternalName" {
            spec.default("internalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            spec.default("allocateLoadBalancerNodePorts", true);
        }
    }
    if let Some(status) = body.object("status") {
        status.default("loadBalancer", json!({}));
    }
}

fn namespace(meta: &mut Meta, body: &mut Json) {
    let (key, name) = ("kubernetes.io/metadata.name", meta.key.name.clone());
    if !name.is_empty() && meta.label(key) != Some(&name) {
        std::sync::Arc::make_mut(&mut meta.labels).insert(key.to_string(), name.to_string());
    }
    body.default("spec", json!({}));
    if let Some(status) = body.object("status") {
        status.default_text("phase", "Active");
    }
}

/// Limits of containers: the default limit is the maximum, the default request that limit, else the minimum.
fn limit_range(body: &mut Json) {
    let Some(spec) = body.object("spec") else { return };
    for limit in spec.each("limits") {
        if limit.text("type") == "Container" {
            for (from, into) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")]
            {
                let source = limit.get(from).and_then(Value::as_object).cloned().unwrap_or_default();
                if let Some(target) = limit.object(into) {
                    source.into_iter().for_each(|(name, quantity)| target.default(&name, quantity));
                }
            }
        }
        for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            if limit.is_blank(list) {
                limit.shift_remove(list);
            } else {
                limit.typed::<Option<WireResources>>(list, pod::round);
            }
        }
    }
}

fn resource_quota(body: &mut Json) {
    for (part, list) in [("spec", "hard"), ("status", "hard"), ("status", "used")] {
        if let Some(part) = body.object(part).filter(|p| p.contains_key(list)) {
            part.typed::<Option<WireResources>>(list, pod::round);
        }
    }
}

fn claim(body: &mut Json) {
    body.typed::<PersistentVolumeClaimSpec>("spec", default_claim_spec);
    if let Some(status) = body.object("status") {
        status.default_text("phase", "Pending");
    }
}

fn volume(body: &mut Json) {
    if let Some(spec) = body.object("spec") {
        spec.default_text("persistentVolumeReclaimPolicy", "Retain");
        spec.default("volumeMode", "Filesystem");
        if let Some(host) = spec.present("hostPath") {
            host.default("type", "");
        }
        if let Some(iscsi) = spec.present("iscsi") {
            iscsi.default_text("iscsiInterface", "default");
        }
    }
    if let Some(status) = body.object("status") {
        status.default_text("phase", "Pending");
    }
}

fn csi_driver(body: &mut Json) {
    if let Some(spec) = body.object("spec") {
        spec.default("attachRequired", true);
        spec.default("fsGroupPolicy", "ReadWriteOnceWithFSType");
        for flag in ["podInfoOnMount", "requiresRepublish", "seLinuxMount", "storageCapacity"] {
            spec.default(flag, false);
        }
        if spec.is_blank("volumeLifecycleModes") {
            spec.insert("volumeLifecycleModes".into(), json!(["Persistent"]));
        }
    }
}

fn device_requests(spec: Option<&mut Json>) {
    let Some(devices) = spec.and_then(|s| s.present("devices")) else { return };
    for request in devices.each("requests") {
        if let Some(exact) = request.present("exactly") {
            device_request(exact);
        }
        request.each("firstAvailable").for_each(device_request);
    }
}

fn device_request(request: &mut Json) {
    request.default_text("allocationMode", "ExactCount");
    if request.text("allocationMode") == "ExactCount"
        && request.get("count").and_then(Value::as_i64).unwrap_or_default() == 0
    {
        request.insert("count".into(), 1.into());
    }
    device_tolerations(request);
}

fn device_tolerations(holder: &mut Json) {
    for toleration in holder.each("tolerations") {
        toleration.default_text("operator", "Equal");
    }
}

fn resource_slice(body: &mut Json, now: &dyn Fn() -> String) {
    let Some(spec) = body.object("spec") else { return };
    for device in spec.each("devices") {
        device.each("taints").for_each(|taint| taint_time(taint, now));
    }
}

fn taint_time(taint: &mut Json, now: &dyn Fn() -> String) {
    if taint.is_blank("timeAdded") {
        taint.insert("timeAdded".into(), now().into());
    }
}

fn network_policy(body: &mut Json) {
    let Some(spec) = body.object("spec") else { return };
    if spec.is_blank("policyTypes") {
        let mut types = vec!["Ingress"];
        if !spec.is_blank("egress") {
            types.push("Egress");
        }
        spec.insert("policyTypes".into(), json!(types));
    }
    for rules in ["ingress", "egress"] {
        for rule in spec.each(rules) {
            for port in rule.each("ports") {
                port.default("protocol", "TCP");
            }
        }
    }
}

fn role_binding(body: &mut Json) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if let Some(role) = body.present("roleRef") {
        role.default_text("apiGroup", GROUP);
    }
    for subject in body.each("subjects") {
        if matches!(subject.text("kind"), "User" | "Group") {
            subject.default_text("apiGroup", GROUP);
        }
    }
}
