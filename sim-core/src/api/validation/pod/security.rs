//! Security contexts. Windows options, sysctls and SELinux options are taken as they are.

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile};

use super::containers::{local_descending_path, no_backsteps};
use crate::api::validation::common::{flag, list, optional_one_of};
use crate::api::validation::field::{Errors, Path};

const MAX_ID: i64 = i32::MAX as i64;

/// User and group ids.
pub(super) fn id(e: &mut Errors, path: &Path<'_>, id: Option<i64>) {
    if let Some(id) = id.filter(|id| !(0..=MAX_ID).contains(id)) {
        e.invalid(path, id, "must be between 0 and 2147483647, inclusive");
    }
}

/// `validatePodSpecSecurityContext`.
pub(super) fn pod(e: &mut Errors, path: &Path<'_>, spec: &PodSpec) {
    let Some(security) = &spec.security_context else { return };
    id(e, &path.child("fsGroup"), security.fs_group);
    id(e, &path.child("runAsUser"), security.run_as_user);
    id(e, &path.child("runAsGroup"), security.run_as_group);
    let groups = path.child("supplementalGroups");
    for (i, group) in list(&security.supplemental_groups).iter().enumerate() {
        id(e, &groups.index(i), Some(*group));
    }
    if flag(spec.share_process_namespace) && flag(spec.host_pid) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        e.invalid(&path.child("shareProcessNamespace"), true, detail);
    }
    policies(e, path, security);
}

fn policies(e: &mut Errors, path: &Path<'_>, security: &PodSecurityContext) {
    optional_one_of(
        e,
        &path.child("fsGroupChangePolicy"),
        &security.fs_group_change_policy,
        &["Always", "OnRootMismatch"],
    );
    seccomp(e, &path.child("seccompProfile"), security.seccomp_profile.as_ref());
    app_armor(e, &path.child("appArmorProfile"), security.app_armor_profile.as_ref());
    optional_one_of(
        e,
        &path.child("supplementalGroupsPolicy"),
        &security.supplemental_groups_policy,
        &["Merge", "Strict"],
    );
    optional_one_of(
        e,
        &path.child("seLinuxChangePolicy"),
        &security.se_linux_change_policy,
        &["MountOption", "Recursive"],
    );
}

/// `validateSeccompProfileField`.
pub(super) fn seccomp(e: &mut Errors, path: &Path<'_>, profile: Option<&SeccompProfile>) {
    let Some(profile) = profile else { return };
    let at = path.child("type");
    if profile.type_.is_empty() {
        e.required(&at, "type is required when seccompProfile is set");
        return;
    }
    let local = profile.localhost_profile.as_deref();
    let local_path = path.child("localhostProfile");
    match (profile.type_.as_str(), local) {
        ("Localhost", None) => {
            e.required(&local_path, "must be set when seccomp type is Localhost");
        }
        ("Localhost", Some(local)) => local_descending_path(e, &local_path, local),
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("RuntimeDefault" | "Unconfined", Some(local)) => {
            e.invalid(&local_path, local, "can only be set when seccomp type is Localhost");
        }
        (other, _) => e.not_supported(&at, other, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}

/// `ValidateAppArmorProfileField`.
pub(super) fn app_armor(e: &mut Errors, path: &Path<'_>, profile: Option<&AppArmorProfile>) {
    let Some(profile) = profile else { return };
    let local_path = path.child("localhostProfile");
    match (profile.type_.as_str(), profile.localhost_profile.as_deref()) {
        ("Localhost", None) => e.required(&local_path, "must be set when AppArmor type is Localhost"),
        ("Localhost", Some(local)) => {
            if local.trim() != local {
                e.invalid(&local_path, local, "must not be padded with whitespace");
            } else if local.is_empty() {
                e.required(&local_path, "must be set when AppArmor type is Localhost");
            }
            no_backsteps(e, &local_path, local);
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("RuntimeDefault" | "Unconfined", Some(local)) => {
            e.invalid(&local_path, local, "can only be set when AppArmor type is Localhost");
        }
        ("", _) => e.required(&path.child("type"), "type is required when appArmorProfile is set"),
        (other, _) => {
            e.not_supported(&path.child("type"), other, &["Localhost", "RuntimeDefault", "Unconfined"]);
        }
    }
}
