//! Names that are made up: `generateName`, hashes of templates and revisions, ordinals.

mod go_types;
mod revision;
mod template_hash;

pub use revision::{controller_revision_name, go_template, hash_controller_revision, revision_data};
pub use template_hash::{Decoding, pod_template_hash, template_hash};

use crate::engine::random::Stream;

/// The alphabet of generated names: no vowels, nothing that looks like another character
/// (`k8s.io/apimachinery/pkg/util/rand`).
pub const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// Longest name that is generated.
const MAX_GENERATED: usize = 63;
/// Characters added to a prefix.
const RANDOM: usize = 5;

/// At most so many bytes of a text, whole characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The part of a `generateName` that is kept: at most 58 bytes.
pub fn kept_prefix(base: &str) -> &str {
    cut(base, MAX_GENERATED - RANDOM)
}

/// A name from a `generateName` (`names.SimpleNameGenerator`): the prefix and five characters, one draw each.
///
/// ```
/// # use sim_core::{engine::random::Seed, names::generate_name};
/// let name = generate_name("web-", &mut Seed(1).stream("names"));
/// assert!(name.starts_with("web-") && name.len() == 9);
/// ```
pub fn generate_name(base: &str, stream: &mut Stream) -> String {
    let mut name = kept_prefix(base).to_string();
    name.extend((0..RANDOM).map(|_| char::from(ALPHABET[stream.below(ALPHABET.len()) % ALPHABET.len()])));
    name
}

/// Spells a text with characters of [`ALPHABET`], so that no bad words come out (`rand.SafeEncodeString`).
///
/// ```
/// assert_eq!(sim_core::names::safe_encode("1234567890"), "56789bcdf4");
/// ```
pub fn safe_encode(text: &str) -> String {
    text.bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

/// FNV-32a, the hash of templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv32a(u32);

impl Default for Fnv32a {
    fn default() -> Fnv32a {
        Fnv32a(FNV_OFFSET)
    }
}

impl Fnv32a {
    /// Takes in some bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }

    /// The sum in decimal digits, spelled safely.
    pub fn safe_sum(self) -> String {
        safe_encode(&self.0.to_string())
    }
}

/// The `generateName` of pods of a job's index (`podGenerateNameWithIndex`): cut so that index and suffix are kept.
pub fn job_index_generate_name(job: &str, index: i32) -> String {
    let tail = format!("-{index}-");
    let kept = (MAX_GENERATED - RANDOM).saturating_sub(tail.len());
    format!("{}{tail}", cut(job, kept))
}

/// The name of a pod of a StatefulSet.
pub fn stateful_pod_name(set: &str, ordinal: i32) -> String {
    format!("{set}-{ordinal}")
}

/// The name of a claim of a StatefulSet's pod: that of its template, and the pod's.
pub fn stateful_claim_name(template: &str, set: &str, ordinal: i32) -> String {
    format!("{template}-{set}-{ordinal}")
}

/// The name of a CronJob's Job: its scheduled time in minutes since 1970.
pub fn cron_job_name(cron_job: &str, minutes: i64) -> String {
    format!("{cron_job}-{minutes}")
}

/// The set and the ordinal in a name of a StatefulSet's pod (`getParentNameAndOrdinal`): -1 without one. A number beyond
/// 32 bits keeps the parent.
pub fn parent_and_ordinal(pod: &str) -> (&str, i32) {
    match pod.rsplit_once('-') {
        Some((parent, digits)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            (parent, digits.parse().unwrap_or(-1))
        }
        _ => ("", -1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Seed;

    #[test]
    fn generated_names_are_cut_and_stable() {
        let mut stream = Seed(7).stream("names");
        let name = generate_name(&"x".repeat(100), &mut stream);
        assert_eq!(name.len(), 63);
        assert!(name[58..].bytes().all(|b| ALPHABET.contains(&b)));
        assert_eq!(name, generate_name(&"x".repeat(100), &mut Seed(7).stream("names")));
        assert_eq!(generate_name(&"é".repeat(40), &mut stream).len(), 63);
    }

    #[test]
    fn ordinals() {
        for (pod, expected) in [
            ("web-3", ("web", 3)),
            ("web-", ("", -1)),
            ("web", ("", -1)),
            ("a-b-99999999999", ("a-b", -1)),
            ("-5", ("", 5)),
        ] {
            assert_eq!(parent_and_ordinal(pod), expected, "{pod}");
        }
    }

    #[test]
    fn names_of_parts() {
        assert_eq!(job_index_generate_name(&"j".repeat(60), 12), format!("{}-12-", "j".repeat(54)));
        assert_eq!(
            controller_revision_name("web", &hash_controller_revision(b"{}", Some(0))),
            "web-cccc864bc"
        );
    }
}
