//! Containers: names, images, ports, mounts, policies, security contexts.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, ContainerPort, SecurityContext, VolumeDevice, VolumeMount};

use super::Context;
use super::env;
use super::probes;
use super::resources;
use super::volumes::Volumes;
use crate::api::validation::common::{dns_label, flag, list, one_of, optional_one_of, port_number, text};
use crate::api::validation::field::{Errors, Path, Shown};
use crate::api::validation::names;

const INIT_ONLY: &str = "may not be set for init containers without restartPolicy=Always";

/// `validateContainers`.
pub(super) fn main(e: &mut Errors, path: &Path<'_>, context: &Context<'_>) {
    let containers = &context.spec.containers;
    if containers.is_empty() {
        e.required(path, "");
        return;
    }
    let mut seen = BTreeSet::new();
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i);
        common(e, &path, container, context);
        if !seen.insert(container.name.as_str()) {
            e.duplicate(&path.child("name"), &container.name);
        }
        hooks_and_probes(e, &path, container, context);
        if container.restart_policy.is_some() {
            e.forbidden(&path.child("restartPolicy"), "may not be set for non-init containers");
        }
    }
    host_port_conflicts(e, path, containers);
}

/// `validateInitContainers`.
pub(super) fn init(e: &mut Errors, path: &Path<'_>, context: &Context<'_>) {
    let mut seen: BTreeSet<&str> = context.spec.containers.iter().map(|c| c.name.as_str()).collect();
    for (i, container) in list(&context.spec.init_containers).iter().enumerate() {
        let at = path.index(i);
        common(e, &at, container, context);
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        if let Some(policy) = container.restart_policy.as_deref().filter(|_| !sidecar) {
            e.not_supported(&at.child("restartPolicy"), policy, &["Always"]);
        }
        if seen.contains(container.name.as_str()) {
            e.duplicate(&at.child("name"), &container.name);
        } else if !container.name.is_empty() {
            seen.insert(&container.name);
        }
        host_port_conflicts(e, path, std::slice::from_ref(container));
        if sidecar {
            hooks_and_probes(e, &at, container, context);
        } else {
            let forbidden = [
                ("lifecycle", container.lifecycle.is_some()),
                ("livenessProbe", container.liveness_probe.is_some()),
                ("readinessProbe", container.readiness_probe.is_some()),
                ("startupProbe", container.startup_probe.is_some()),
            ];
            for (field, _) in forbidden.into_iter().filter(|(_, set)| *set) {
                e.forbidden(&at.child(field), INIT_ONLY);
            }
        }
    }
}

fn hooks_and_probes(e: &mut Errors, path: &Path<'_>, container: &Container, context: &Context<'_>) {
    if let Some(lifecycle) = &container.lifecycle {
        probes::lifecycle(e, &path.child("lifecycle"), lifecycle, context);
    }
    probes::liveness(e, &path.child("livenessProbe"), container.liveness_probe.as_ref());
    probes::readiness(e, &path.child("readinessProbe"), container.readiness_probe.as_ref());
    probes::startup(e, &path.child("startupProbe"), container.startup_probe.as_ref());
}

/// `validateContainerCommon`.
fn common(e: &mut Errors, path: &Path<'_>, container: &Container, context: &Context<'_>) {
    if container.name.is_empty() {
        e.required(&path.child("name"), "");
    } else {
        dns_label(e, &path.child("name"), &container.name);
    }
    if text(&container.image).is_empty() {
        e.required(&path.child("image"), "");
    }
    one_of(
        e,
        &path.child("terminationMessagePolicy"),
        text(&container.termination_message_policy),
        &["File", "FallbackToLogsOnError"],
    );
    ports(e, &path.child("ports"), list(&container.ports));
    env::variables(e, &path.child("env"), list(&container.env));
    env::sources(e, &path.child("envFrom"), list(&container.env_from));
    mounts(e, &path.child("volumeMounts"), container, &context.volumes);
    devices(e, &path.child("volumeDevices"), container, &context.volumes);
    one_of(
        e,
        &path.child("imagePullPolicy"),
        text(&container.image_pull_policy),
        &["Always", "IfNotPresent", "Never"],
    );
    if let Some(resources) = &container.resources {
        let at = path.child("resources");
        resources::requirements(e, &at, resources, resources::Of::Container, &context.claims);
    }
    resize_policy(e, &path.child("resizePolicy"), container, context);
    if let Some(security) = &container.security_context {
        security_context(e, &path.child("securityContext"), security, context);
    }
}

fn ports(e: &mut Errors, path: &Path<'_>, ports: &[ContainerPort]) {
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = text(&port.name);
        if !name.is_empty() {
            let messages = names::port_name(name);
            if !messages.is_empty() {
                e.invalid_each(&path.child("name"), name, messages);
            } else if !seen.insert(name) {
                e.duplicate(&path.child("name"), name);
            }
        }
        if port.container_port == 0 {
            e.required(&path.child("containerPort"), "");
        } else {
            port_number(e, &path.child("containerPort"), i64::from(port.container_port));
        }
        if let Some(host_port) = port.host_port.filter(|p| *p != 0) {
            port_number(e, &path.child("hostPort"), i64::from(host_port));
        }
        one_of(e, &path.child("protocol"), text(&port.protocol), &["SCTP", "TCP", "UDP"]);
    }
}

fn host_port_conflicts(e: &mut Errors, path: &Path<'_>, containers: &[Container]) {
    let mut seen = BTreeSet::new();
    for (i, container) in containers.iter().enumerate() {
        let at = path.index(i);
        let ports = at.child("ports");
        for (j, port) in list(&container.ports).iter().enumerate() {
            let Some(number) = port.host_port.filter(|p| *p != 0) else { continue };
            let claim = format!("{}/{}/{number}", text(&port.protocol), text(&port.host_ip));
            if !seen.insert(claim.clone()) {
                e.duplicate(&ports.index(j).child("hostPort"), &claim);
            }
        }
    }
}

fn mounts(e: &mut Errors, path: &Path<'_>, container: &Container, volumes: &Volumes<'_>) {
    let devices = list(&container.volume_devices);
    let mut paths = BTreeSet::new();
    for (i, mount) in list(&container.volume_mounts).iter().enumerate() {
        let at = path.index(i);
        if mount.name.is_empty() {
            e.required(&at.child("name"), "");
        }
        if !volumes.contains_key(mount.name.as_str()) {
            e.not_found(&at.child("name"), &mount.name, "");
        }
        if mount.mount_path.is_empty() {
            e.required(&at.child("mountPath"), "");
        }
        if !paths.insert(mount.mount_path.as_str()) {
            e.invalid(&at.child("mountPath"), &mount.mount_path, "must be unique");
        }
        if devices.iter().any(|d| d.name == mount.name) {
            e.invalid(&at.child("name"), &mount.name, "must not already exist in volumeDevices");
        }
        if devices.iter().any(|d| d.device_path == mount.mount_path) {
            let detail = "must not already exist as a path in volumeDevices";
            e.invalid(&at.child("mountPath"), &mount.mount_path, detail);
        }
        sub_paths(e, path, &at, mount);
        propagation(e, path, mount, container);
    }
}

/// The complaints name the list, not the element, as upstream's do.
fn sub_paths(e: &mut Errors, all: &Path<'_>, at: &Path<'_>, mount: &VolumeMount) {
    let (plain, expression) = (text(&mount.sub_path), text(&mount.sub_path_expr));
    if !plain.is_empty() {
        local_descending_path(e, &all.child("subPath"), plain);
    }
    if !expression.is_empty() {
        if !plain.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            e.invalid(&at.child("subPathExpr"), expression, detail);
        }
        local_descending_path(e, &all.child("subPathExpr"), expression);
    }
}

pub(super) fn local_descending_path(e: &mut Errors, path: &Path<'_>, target: &str) {
    if target.starts_with('/') {
        e.invalid(path, target, "must be a relative path");
    }
    no_backsteps(e, path, target);
}

pub(super) fn no_backsteps(e: &mut Errors, path: &Path<'_>, target: &str) {
    if target.split('/').any(|part| part == "..") {
        e.invalid(path, target, "must not contain '..'");
    }
}

fn propagation(e: &mut Errors, path: &Path<'_>, mount: &VolumeMount, container: &Container) {
    if let Some(mode) = &mount.mount_propagation {
        let at = path.child("mountPropagation");
        optional_one_of(e, &at, &mount.mount_propagation, &["Bidirectional", "HostToContainer", "None"]);
        let privileged = container.security_context.as_ref().is_some_and(|s| flag(s.privileged));
        if mode == "Bidirectional" && !privileged {
            let detail = "Bidirectional mount propagation is available only to privileged containers";
            e.forbidden(&at, detail);
        }
    }
    let at = path.child("recursiveReadOnly");
    match mount.recursive_read_only.as_deref() {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !flag(mount.read_only) {
                e.forbidden(&at, "may only be specified when readOnly is true");
            }
            if mount.mount_propagation.as_deref().is_some_and(|m| m != "None") {
                e.forbidden(&at, "may only be specified when mountPropagation is None or not specified");
            }
        }
        Some(other) => e.not_supported(&at, other, &["Disabled", "Enabled", "IfPossible"]),
    }
}

fn devices(e: &mut Errors, path: &Path<'_>, container: &Container, volumes: &Volumes<'_>) {
    let mounts: BTreeMap<&str, &str> =
        list(&container.volume_mounts).iter().map(|m| (m.name.as_str(), m.mount_path.as_str())).collect();
    let (mut names_seen, mut paths_seen) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in list(&container.volume_devices).iter().enumerate() {
        let at = path.index(i);
        let VolumeDevice { name, device_path } = device;
        if name.is_empty() {
            e.required(&at.child("name"), "");
        }
        if names_seen.contains(name.as_str()) {
            e.invalid(&at.child("name"), name, "must be unique");
        }
        match volumes.get(name.as_str()) {
            None => e.not_found(&at.child("name"), name, ""),
            Some(volume) if volume.persistent_volume_claim.is_none() && volume.ephemeral.is_none() => {
                let detail =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                e.invalid(&at.child("name"), name, detail);
            }
            Some(_) => {}
        }
        if device_path.is_empty() {
            e.required(&at.child("devicePath"), "");
        }
        if paths_seen.contains(device_path.as_str()) {
            e.invalid(&at.child("devicePath"), device_path, "must be unique");
        }
        if device_path.split('/').any(|part| part == "..") {
            e.invalid(&at.child("devicePath"), device_path, "can not contain backsteps ('..')");
        } else {
            paths_seen.insert(device_path.as_str());
        }
        if mounts.contains_key(name.as_str()) {
            e.invalid(&at.child("name"), name, "must not already exist in volumeMounts");
        }
        if mounts.values().any(|p| p == device_path) {
            let detail = "must not already exist as a path in volumeMounts";
            e.invalid(&at.child("devicePath"), device_path, detail);
        }
        if !name.is_empty() {
            names_seen.insert(name.as_str());
        }
    }
}

fn resize_policy(e: &mut Errors, path: &Path<'_>, container: &Container, context: &Context<'_>) {
    let mut seen = BTreeSet::new();
    for (i, policy) in list(&container.resize_policy).iter().enumerate() {
        if !seen.insert(policy.resource_name.as_str()) {
            e.duplicate(&path.index(i), &policy.resource_name);
        }
        one_of(e, path, &policy.resource_name, &["cpu", "memory"]);
        one_of(e, path, &policy.restart_policy, &["NotRequired", "RestartContainer"]);
        let never = text(&context.spec.restart_policy) == "Never";
        if never && policy.restart_policy != "NotRequired" {
            let detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            e.invalid(path, &policy.restart_policy, detail);
        }
    }
}

fn security_context(e: &mut Errors, path: &Path<'_>, security: &SecurityContext, context: &Context<'_>) {
    super::security::id(e, &path.child("runAsUser"), security.run_as_user);
    super::security::id(e, &path.child("runAsGroup"), security.run_as_group);
    if let Some(proc_mount) = &security.proc_mount {
        let at = path.child("procMount");
        if !matches!(proc_mount.as_str(), "Default" | "Unmasked") {
            e.not_supported(&at, proc_mount, &["Default", "Unmasked"]);
        }
        if context.spec.host_users != Some(false) && proc_mount == "Unmasked" {
            e.invalid(&at, proc_mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    super::security::seccomp(e, &path.child("seccompProfile"), security.seccomp_profile.as_ref());
    if security.allow_privilege_escalation == Some(false) {
        let shown = || Shown::json(security);
        if flag(security.privileged) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            e.invalid(path, shown(), detail);
        }
        let added = security.capabilities.as_ref().map_or(&[][..], |c| list(&c.add));
        if added.iter().any(|c| c == "CAP_SYS_ADMIN") {
            let detail =
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            e.invalid(path, shown(), detail);
        }
    }
    super::security::app_armor(e, &path.child("appArmorProfile"), security.app_armor_profile.as_ref());
}
