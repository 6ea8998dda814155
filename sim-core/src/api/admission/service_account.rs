//! ServiceAccount: a pod that names no service account runs as `default`.
//! Upstream: `plugin/pkg/admission/serviceaccount`.

use k8s_openapi::api::core::v1::PodSpec;

const DEFAULT: &str = "default";

// DIFFERS: the account need not exist, its pull secrets are not copied, and no token volume is mounted: there is no
// token to read in a simulation, and manifests should run without the controller that makes the accounts.
pub(super) fn admit(spec: &mut PodSpec) {
    let name = match &spec.service_account_name {
        Some(name) if !name.is_empty() => name.clone(),
        _ => match &spec.service_account {
            Some(alias) if !alias.is_empty() => alias.clone(),
            _ => DEFAULT.to_string(),
        },
    };
    // The deprecated alias always mirrors the field on the wire.
    spec.service_account = Some(name.clone());
    spec.service_account_name = Some(name);
}
