//! DefaultTolerationSeconds: pods stay 300 s on a node that is not ready or unreachable, unless they say otherwise.
//! Upstream: `plugin/pkg/admission/defaulttolerationseconds`.

use k8s_openapi::api::core::v1::{PodSpec, Toleration};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const SECONDS: i64 = 300;

pub(super) fn admit(spec: &mut PodSpec) {
    for key in [NOT_READY, UNREACHABLE] {
        let tolerated = spec
            .tolerations
            .iter()
            .flatten()
            .any(|t| matches(t.key.as_deref(), key) && matches(t.effect.as_deref(), "NoExecute"));
        if !tolerated {
            spec.tolerations.get_or_insert_with(Vec::new).push(Toleration {
                key: Some(key.to_string()),
                operator: Some("Exists".to_string()),
                effect: Some("NoExecute".to_string()),
                toleration_seconds: Some(SECONDS),
                value: None,
            });
        }
    }
}

/// An empty key or effect stands for all.
fn matches(given: Option<&str>, wanted: &str) -> bool {
    given.is_none_or(|g| g.is_empty() || g == wanted)
}
