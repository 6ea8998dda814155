//! Fields that the API server of the modelled version drops without a word, because their feature gate is off.
//!
//! Kubernetes 1.34, default gates: see `dropDisabledFields` in `pkg/api/pod/util.go` and the strategies of the
//! workload kinds. They are taken out of the tree with a notice, since nothing else would tell the author.

use super::tree::{Data, Node};
use crate::api::kind::Kind;

/// A field that was dropped.
#[derive(Debug)]
pub(crate) struct Dropped {
    pub(crate) path: String,
    pub(crate) at: u32,
    /// Why, and what to write.
    pub(crate) why: &'static str,
}

const RESTART_POLICY: &str = "a sidecar is an entry of initContainers with `restartPolicy: Always`; on other \
     containers the field needs the feature gate ContainerRestartRules, which is off in Kubernetes 1.34";
const RESTART_RULES: &str = "the feature gate ContainerRestartRules is off in Kubernetes 1.34";

/// Drops them from an object of a kind.
pub(crate) fn drop_disabled(kind: Kind, object: &mut Node<'_>) -> Vec<Dropped> {
    let mut out = Vec::new();
    let path: &[&str] = match kind {
        Kind::POD => &["spec"],
        Kind::CRON_JOB => &["spec", "jobTemplate", "spec", "template", "spec"],
        Kind::DEPLOYMENT
        | Kind::REPLICA_SET
        | Kind::DAEMON_SET
        | Kind::STATEFUL_SET
        | Kind::JOB
        | Kind::REPLICATION_CONTROLLER => &["spec", "template", "spec"],
        _ => &[],
    };
    if let (Some(spec), false) = (descend(object, path), path.is_empty()) {
        pod_spec(spec, &path.join("."), &mut out);
    }
    if kind == Kind::STATEFUL_SET {
        let at = ["spec", "updateStrategy", "rollingUpdate"];
        let why = "the feature gate MaxUnavailableStatefulSet is off in Kubernetes 1.34";
        if let Some(node) = descend(object, &at) {
            take(node, "maxUnavailable", &at.join("."), why, &mut out);
        }
    }
    out
}

fn descend<'n, 's>(node: &'n mut Node<'s>, path: &[&str]) -> Option<&'n mut Node<'s>> {
    path.iter().try_fold(node, |node, key| match &mut node.data {
        Data::Map(entries) => entries.iter_mut().find(|e| e.key == *key).map(|e| &mut e.value),
        _ => None,
    })
}

fn take(node: &mut Node<'_>, key: &str, path: &str, why: &'static str, out: &mut Vec<Dropped>) {
    if let Some(entry) = node.take(key) {
        out.push(Dropped { path: format!("{path}.{key}"), at: entry.key_at, why });
    }
}

fn each<'s>(node: &mut Node<'s>, list: &str, path: &str, mut f: impl FnMut(&mut Node<'s>, &str)) {
    if let Some(Node { data: Data::Seq(items), .. }) = descend(node, &[list]) {
        for (i, item) in items.iter_mut().enumerate() {
            f(item, &format!("{path}.{list}[{i}]"));
        }
    }
}

fn pod_spec(spec: &mut Node<'_>, path: &str, out: &mut Vec<Dropped>) {
    let why = "the feature gate HostnameOverride is off in Kubernetes 1.34";
    take(spec, "hostnameOverride", path, why, out);
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        each(spec, list, path, |container, path| {
            let sidecar = list == "initContainers"
                && container.get("restartPolicy").and_then(Node::as_str) == Some("Always");
            if !sidecar {
                take(container, "restartPolicy", path, RESTART_POLICY, out);
            }
            take(container, "restartPolicyRules", path, RESTART_RULES, out);
            if let Some(lifecycle) = descend(container, &["lifecycle"]) {
                let why = "the feature gate ContainerStopSignals is off in Kubernetes 1.34";
                take(lifecycle, "stopSignal", &format!("{path}.lifecycle"), why, out);
            }
            each(container, "env", path, |env, path| {
                if let Some(from) = descend(env, &["valueFrom"]) {
                    let why = "the feature gate EnvFiles is off in Kubernetes 1.34";
                    take(from, "fileKeyRef", &format!("{path}.valueFrom"), why, out);
                }
            });
        });
    }
    each(spec, "volumes", path, |volume, path| {
        let why = "the feature gate ImageVolume is off in Kubernetes 1.34";
        take(volume, "image", path, why, out);
        if let Some(projected) = descend(volume, &["projected"]) {
            each(projected, "sources", &format!("{path}.projected"), |source, path| {
                let why = "the feature gate PodCertificateRequest is off in Kubernetes 1.34";
                take(source, "podCertificate", path, why, out);
                let why = "the feature gate ClusterTrustBundleProjection is off in Kubernetes 1.34";
                take(source, "clusterTrustBundle", path, why, out);
            });
        }
    });
}
