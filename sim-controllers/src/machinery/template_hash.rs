//! The hash that names the ReplicaSet or ControllerRevision of a template.

use k8s_openapi::api::core::v1::PodTemplateSpec;

/// The hash of a template (`controller.ComputeHash`), in the alphabet of generated names.
// DIFFERS: not upstream's FNV-32a over a dump of the Go struct; as stable, and of the same alphabet and use.
pub fn pod_template_hash(template: &PodTemplateSpec, collision_count: Option<i32>) -> String {
    const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let text = serde_json::to_vec(template).unwrap_or_default();
    let salt = collision_count.map(|n| n.to_le_bytes());
    let hash = text
        .iter()
        .chain(salt.iter().flatten())
        .fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.to_string().bytes().map(|digit| char::from(SAFE[usize::from(digit) % SAFE.len()])).collect()
}
