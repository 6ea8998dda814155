//! Volumes of pods.

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, PersistentVolumeClaimSpec, Volume};

use super::pod::{default_field, round, text};

/// Mode of files that come from the API: 0644.
const FILE_MODE: i32 = 0o644;

pub(super) fn default_volume(volume: &mut Volume) {
    let empty = Volume { name: std::mem::take(&mut volume.name), ..Volume::default() };
    volume.name.clone_from(&empty.name);
    if *volume == empty {
        volume.empty_dir = Some(Default::default());
        return;
    }
    if let Some(secret) = &mut volume.secret {
        secret.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(config) = &mut volume.config_map {
        config.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(downward) = &mut volume.downward_api {
        downward.default_mode.get_or_insert(FILE_MODE);
        downward.items.iter_mut().flatten().for_each(default_file);
    }
    if let Some(projected) = &mut volume.projected {
        projected.default_mode.get_or_insert(FILE_MODE);
        for source in projected.sources.iter_mut().flatten() {
            if let Some(token) = &mut source.service_account_token {
                token.expiration_seconds.get_or_insert(3600);
            }
            let downward = source.downward_api.iter_mut();
            downward.filter_map(|d| d.items.as_mut()).flatten().for_each(default_file);
        }
    }
    if let Some(host) = &mut volume.host_path {
        host.type_.get_or_insert_default();
    }
    if let Some(template) = volume.ephemeral.as_mut().and_then(|e| e.volume_claim_template.as_mut()) {
        template.metadata.get_or_insert_default();
        default_claim_spec(&mut template.spec);
    }
    default_remote(volume);
}

fn default_file(file: &mut DownwardAPIVolumeFile) {
    file.field_ref.iter_mut().for_each(default_field);
}

/// Sources on other machines.
fn default_remote(volume: &mut Volume) {
    if let Some(iscsi) = &mut volume.iscsi {
        text(&mut iscsi.iscsi_interface, "default");
    }
    if let Some(rbd) = &mut volume.rbd {
        text(&mut rbd.pool, "rbd");
        text(&mut rbd.user, "admin");
        text(&mut rbd.keyring, "/etc/ceph/keyring");
    }
    if let Some(disk) = &mut volume.azure_disk {
        text(&mut disk.caching_mode, "ReadWrite");
        text(&mut disk.kind, "Shared");
        text(&mut disk.fs_type, "ext4");
        disk.read_only.get_or_insert(false);
    }
    if let Some(scale_io) = &mut volume.scale_io {
        text(&mut scale_io.storage_mode, "ThinProvisioned");
        text(&mut scale_io.fs_type, "xfs");
    }
}

/// Defaults of a claim's spec.
pub(super) fn default_claim_spec(spec: &mut PersistentVolumeClaimSpec) {
    spec.volume_mode.get_or_insert_with(|| "Filesystem".to_string());
    let resources = spec.resources.get_or_insert_default();
    round(&mut resources.limits);
    round(&mut resources.requests);
}
