//! Volumes. Sources that in-tree code no longer mounts are only counted, not looked into.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, PodSpec, ProjectedVolumeSource,
    Volume, VolumeProjection,
};

use super::containers::{local_descending_path, no_backsteps};
use super::env;
use crate::api::validation::common::{dns_label, list, optional_one_of, text};
use crate::api::validation::field::{Errors, Path};
use crate::api::validation::names;
use crate::quantity::Quantity;

/// The valid volumes of a pod, by name.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'a Volume>;

const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const FIELD_PATHS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// `ValidateVolumes`.
pub(super) fn all<'a>(e: &mut Errors, path: &Path<'_>, spec: &'a PodSpec, pod_name: &str) -> Volumes<'a> {
    let volumes = list(&spec.volumes);
    let made: BTreeSet<String> = volumes
        .iter()
        .filter(|v| v.ephemeral.is_some() && !pod_name.is_empty())
        .map(|v| format!("{pod_name}-{}", v.name))
        .collect();
    let mut valid = Volumes::new();
    for (i, volume) in volumes.iter().enumerate() {
        let at = path.index(i);
        let before = e.0.len();
        source(e, &at, volume, pod_name);
        if volume.name.is_empty() {
            e.required(&at.child("name"), "");
        } else {
            dns_label(e, &at.child("name"), &volume.name);
        }
        if valid.contains_key(volume.name.as_str()) {
            e.duplicate(&at.child("name"), &volume.name);
        }
        if e.0.len() == before {
            valid.insert(&volume.name, volume);
        }
        if let Some(claim) = volume.persistent_volume_claim.as_ref().filter(|c| made.contains(&c.claim_name))
        {
            let at = at.child("persistentVolumeClaim");
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            e.invalid(&at.child("claimName"), &claim.claim_name, detail);
        }
    }
    valid
}

/// The sources that a volume has, in upstream's order. The field name of the message, and whether it is there.
fn sources(v: &Volume) -> [(&'static str, bool); 30] {
    [
        ("emptyDir", v.empty_dir.is_some()),
        ("hostPath", v.host_path.is_some()),
        ("gitRepo", v.git_repo.is_some()),
        ("gcePersistentDisk", v.gce_persistent_disk.is_some()),
        ("awsElasticBlockStore", v.aws_elastic_block_store.is_some()),
        ("secret", v.secret.is_some()),
        ("nfs", v.nfs.is_some()),
        ("iscsi", v.iscsi.is_some()),
        ("glusterfs", v.glusterfs.is_some()),
        ("flocker", v.flocker.is_some()),
        ("persistentVolumeClaim", v.persistent_volume_claim.is_some()),
        ("rbd", v.rbd.is_some()),
        ("cinder", v.cinder.is_some()),
        ("cephFS", v.cephfs.is_some()),
        ("quobyte", v.quobyte.is_some()),
        // Upstream's own spelling.
        ("downwarAPI", v.downward_api.is_some()),
        ("fc", v.fc.is_some()),
        ("flexVolume", v.flex_volume.is_some()),
        ("configMap", v.config_map.is_some()),
        ("azureFile", v.azure_file.is_some()),
        ("vsphereVolume", v.vsphere_volume.is_some()),
        ("photonPersistentDisk", v.photon_persistent_disk.is_some()),
        ("portworxVolume", v.portworx_volume.is_some()),
        ("azureDisk", v.azure_disk.is_some()),
        ("storageos", v.storageos.is_some()),
        ("projected", v.projected.is_some()),
        ("scaleIO", v.scale_io.is_some()),
        ("csi", v.csi.is_some()),
        ("ephemeral", v.ephemeral.is_some()),
        ("image", v.image.is_some()),
    ]
}

fn source(e: &mut Errors, path: &Path<'_>, volume: &Volume, pod_name: &str) {
    let mut first = true;
    for (field, _) in sources(volume).into_iter().filter(|(_, set)| *set) {
        let at = path.child(field);
        if first {
            one_source(e, path, volume, field, pod_name);
        } else {
            e.forbidden(&at, "may not specify more than 1 volume type");
        }
        first = false;
    }
    if first {
        e.required(path, "must specify a volume type");
    }
}

fn one_source(e: &mut Errors, path: &Path<'_>, volume: &Volume, field: &str, pod_name: &str) {
    let at = path.child(field);
    if let Some(empty) = &volume.empty_dir {
        if empty.size_limit.as_ref().is_some_and(|q| Quantity::from_wire(q).sign() < 0) {
            e.forbidden(&at.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
        }
    } else if let Some(host_path) = &volume.host_path {
        host_path_source(e, &at, host_path);
    } else if let Some(secret) = &volume.secret {
        keyed(e, &at, "secretName", text(&secret.secret_name), secret.default_mode, list(&secret.items));
    } else if let Some(nfs) = &volume.nfs {
        required(e, &at, "server", &nfs.server);
        required(e, &at, "path", &nfs.path);
        if !nfs.path.starts_with('/') {
            e.invalid(&at.child("path"), &nfs.path, "must be an absolute path");
        }
    } else if let Some(claim) = &volume.persistent_volume_claim {
        required(e, &at, "claimName", &claim.claim_name);
    } else if let Some(files) = &volume.downward_api {
        let at = path.child("downwardAPI");
        mode(e, &at, "defaultMode", files.default_mode);
        for file in list(&files.items) {
            downward_file(e, &at, file);
        }
    } else if let Some(config_map) = &volume.config_map {
        let items = list(&config_map.items);
        keyed(e, &at, "name", &config_map.name, config_map.default_mode, items);
    } else if let Some(projected) = &volume.projected {
        projected_source(e, &at, projected);
    } else if let Some(csi) = &volume.csi {
        csi_source(e, &at, csi);
    } else if let Some(ephemeral) = &volume.ephemeral {
        if ephemeral.volume_claim_template.is_none() {
            e.required(&at.child("volumeClaimTemplate"), "");
        }
        if !pod_name.is_empty() && !volume.name.is_empty() {
            let claim = format!("{pod_name}-{}", volume.name);
            for message in names::dns1123_subdomain(&claim) {
                let detail = format!("PVC name {claim:?}: {message}");
                e.invalid(&path.child("name"), &volume.name, &detail);
            }
        }
    }
}

fn required(e: &mut Errors, path: &Path<'_>, field: &str, value: &str) {
    if value.is_empty() {
        e.required(&path.child(field), "");
    }
}

fn mode(e: &mut Errors, path: &Path<'_>, field: &str, mode: Option<i32>) {
    if let Some(mode) = mode.filter(|m| !(0..=0o777).contains(m)) {
        e.invalid(&path.child(field), mode, FILE_MODE);
    }
}

fn host_path_source(e: &mut Errors, path: &Path<'_>, source: &HostPathVolumeSource) {
    if source.path.is_empty() {
        e.required(&path.child("path"), "");
        return;
    }
    no_backsteps(e, &path.child("path"), &source.path);
    optional_one_of(e, &path.child("type"), &source.type_, &HOST_PATH_TYPES);
}

/// A Secret or a ConfigMap: its name, the mode of its files, and which keys become which files.
fn keyed(
    e: &mut Errors,
    path: &Path<'_>,
    name_field: &str,
    name: &str,
    default_mode: Option<i32>,
    items: &[KeyToPath],
) {
    required(e, path, name_field, name);
    mode(e, path, "defaultMode", default_mode);
    let items_path = path.child("items");
    for (i, item) in items.iter().enumerate() {
        key_to_path(e, &items_path.index(i), item);
    }
}

fn key_to_path(e: &mut Errors, path: &Path<'_>, item: &KeyToPath) {
    required(e, path, "key", &item.key);
    required(e, path, "path", &item.path);
    non_reserved(e, &path.child("path"), &item.path);
    mode(e, path, "mode", item.mode);
}

fn non_reserved(e: &mut Errors, path: &Path<'_>, target: &str) {
    local_descending_path(e, path, target);
    if target.starts_with("..") && !target.starts_with("../") {
        e.invalid(path, target, "must not start with '..'");
    }
}

fn downward_file(e: &mut Errors, path: &Path<'_>, file: &DownwardAPIVolumeFile) {
    required(e, path, "path", &file.path);
    non_reserved(e, &path.child("path"), &file.path);
    match (&file.field_ref, &file.resource_field_ref) {
        (Some(field), resource) => {
            env::field_selector(e, &path.child("fieldRef"), field, &FIELD_PATHS);
            if resource.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                e.invalid(path, "resource", detail);
            }
        }
        (None, Some(resource)) => {
            env::resource_selector(e, &path.child("resourceFieldRef"), resource, true);
        }
        (None, None) => e.required(path, "one of fieldRef and resourceFieldRef is required"),
    }
    mode(e, path, "mode", file.mode);
}

fn projected_source(e: &mut Errors, path: &Path<'_>, projected: &ProjectedVolumeSource) {
    mode(e, path, "defaultMode", projected.default_mode);
    let mut seen = BTreeSet::new();
    let sources = path.child("sources");
    for (i, source) in list(&projected.sources).iter().enumerate() {
        projection(e, path, &sources.index(i), source, &mut seen);
    }
}

fn projection<'a>(
    e: &mut Errors,
    volume: &Path<'_>,
    path: &Path<'_>,
    source: &'a VolumeProjection,
    seen: &mut BTreeSet<&'a str>,
) {
    let mut unique = |e: &mut Errors, path: &'a str, shown: &str| {
        if !path.is_empty() && !seen.insert(path) {
            e.invalid(volume, shown, "conflicting duplicate paths");
        }
    };
    let keyed = [
        ("secret", source.secret.as_ref().map(|s| (s.name.as_str(), list(&s.items)))),
        ("configMap", source.config_map.as_ref().map(|s| (s.name.as_str(), list(&s.items)))),
    ];
    for (field, (name, items)) in keyed.into_iter().filter_map(|(f, s)| Some((f, s?))) {
        let at = path.child(field);
        required(e, &at, "name", name);
        let items_path = at.child("items");
        for (i, item) in items.iter().enumerate() {
            key_to_path(e, &items_path.index(i), item);
            unique(e, &item.path, name);
        }
    }
    if let Some(files) = &source.downward_api {
        for file in list(&files.items) {
            downward_file(e, &path.child("downwardAPI"), file);
            unique(e, &file.path, &file.path);
        }
    }
    if let Some(token) = &source.service_account_token {
        let at = path.child("serviceAccountToken");
        let seconds = token.expiration_seconds.unwrap_or(0);
        let at = at.child("expirationSeconds");
        if seconds < 600 {
            e.invalid(&at, seconds, "may not specify a duration less than 10 minutes");
        }
        if seconds > 1 << 32 {
            e.invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds");
        }
        match token.path.as_str() {
            "" => e.required(&volume.child("path"), ""),
            target => non_reserved(e, &volume.child("path"), target),
        }
    }
    let given = [
        source.secret.is_some(),
        source.config_map.is_some(),
        source.downward_api.is_some(),
        source.service_account_token.is_some(),
        source.cluster_trust_bundle.is_some(),
    ];
    if given.into_iter().filter(|g| *g).count() > 1 {
        e.forbidden(path, "may not specify more than 1 volume type per source");
    }
}

/// `ValidateCSIDriverName`.
pub(in crate::api::validation) fn csi_driver(e: &mut Errors, path: &Path<'_>, name: &str) {
    if name.is_empty() {
        e.required(path, "");
    }
    if name.len() > 63 {
        e.too_long(path, 63);
    }
    e.invalid_each(path, name, names::dns1123_subdomain(&name.to_lowercase()));
}

fn csi_source(e: &mut Errors, path: &Path<'_>, csi: &CSIVolumeSource) {
    csi_driver(e, &path.child("driver"), &csi.driver);
    if let Some(secret) = &csi.node_publish_secret_ref {
        if secret.name.is_empty() {
            let at = path.child("nodePublishSecretRef");
            e.required(&at.child("name"), "");
        } else {
            e.invalid_each(&path.child("name"), &secret.name, names::dns1123_subdomain(&secret.name));
        }
    }
}
