//! Images: what the registry says of them, and which a node has.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use sim_core::time::{Span, Time};
use smol_str::SmolStr;

/// What is known of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// Compressed bytes to fetch; `None` = the registry's default.
    pub size: Option<i64>,
    /// Every pull fails with this text.
    pub error: Option<SmolStr>,
}

/// The model of all registries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Images that are not like the others, by the name pods use.
    pub images: BTreeMap<SmolStr, ImageFacts>,
    /// Bytes of every other image.
    pub default_size: i64,
    /// One pull at a time per node (`serializeImagePulls`, the kubelet's default).
    pub serialize_pulls: bool,
}

impl Default for Registry {
    /// Every image exists and has 100 MB.
    fn default() -> Registry {
        Registry { images: BTreeMap::new(), default_size: 100_000_000, serialize_pulls: true }
    }
}

impl Registry {
    /// Size of an image, or the text with which its pulls fail. `own` are a behaviour's words on it.
    pub fn look_up(&self, image: &str, own: Option<&ImageFacts>) -> Result<i64, SmolStr> {
        let known = self.images.get(image);
        let error = own.and_then(|f| f.error.clone()).or_else(|| known.and_then(|f| f.error.clone()));
        match error {
            Some(error) => Err(error),
            None => Ok(own
                .and_then(|f| f.size)
                .or_else(|| known.and_then(|f| f.size))
                .unwrap_or(self.default_size)),
        }
    }

    /// The text upstream's runtime gives for an image that is not there.
    pub fn not_found(image: &str) -> SmolStr {
        SmolStr::from(format!(
            "failed to pull and unpack image {image:?}: failed to resolve reference {image:?}: {image}: not found"
        ))
    }
}

/// A finished or promised pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pull {
    /// When it ends.
    pub end: Time,
    /// Time of the transfer itself, without waiting for other pulls.
    pub transfer: Span,
}

/// The images of one node, and its queue of pulls.
#[derive(Clone, Debug, Default)]
pub struct ImageCache {
    /// From when on an image is there.
    available: FxHashMap<SmolStr, Time>,
    /// The end of the last queued pull.
    busy_until: Time,
}

impl ImageCache {
    /// An image that was there before the run.
    pub fn preload(&mut self, image: SmolStr) {
        self.available.insert(image, Time(i64::MIN));
    }

    /// Whether the image is there.
    pub fn has(&self, image: &str, now: Time) -> bool {
        self.available.get(image).is_some_and(|at| *at <= now)
    }

    /// Queues a pull. `latency` is spent in any case, `transfer` only if no earlier pull brings the image. A failing
    /// pull (`ok` false) leaves nothing.
    pub fn pull(
        &mut self,
        image: &SmolStr,
        now: Time,
        latency: Span,
        transfer: Span,
        serialize: bool,
        ok: bool,
    ) -> Pull {
        let begin = if serialize { self.busy_until.max(now) } else { now };
        let coming = self.available.get(image).copied();
        let brought = coming.is_some_and(|at| at <= begin || !serialize);
        let transfer = if brought || !ok { latency } else { latency + transfer };
        let begin = coming.filter(|_| !serialize).map_or(begin, |at| begin.max(at));
        let end = begin + transfer;
        if serialize {
            self.busy_until = end;
        }
        if ok && coming.is_none() {
            self.available.insert(image.clone(), end);
        }
        Pull { end, transfer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::time::secs;

    #[test]
    fn pulls_of_one_node_queue_up_and_bring_an_image_once() {
        let mut cache = ImageCache::default();
        let at = |s| Time::ZERO + secs(s);
        let mut pull = |image: &str, now, serial| {
            cache.pull(&image.into(), at(now), secs(1), secs(10), serial, true).end.as_secs()
        };
        assert_eq!(pull("a", 0, true), 11);
        assert_eq!(pull("b", 2, true), 22, "waits for a");
        assert_eq!(pull("a", 3, true), 23, "waits for b, but the image is there by then");
        assert_eq!(pull("c", 3, false), 14);
        assert!(!cache.has("b", at(21)) && cache.has("b", at(22)));
    }

    #[test]
    fn a_behaviours_word_comes_before_the_registry() {
        let mut registry = Registry::default();
        registry.images.insert("x".into(), ImageFacts { size: Some(5), error: None });
        assert_eq!(registry.look_up("x", None), Ok(5));
        assert_eq!(registry.look_up("y", None), Ok(100_000_000));
        let broken = ImageFacts { size: None, error: Some(Registry::not_found("x")) };
        assert!(registry.look_up("x", Some(&broken)).unwrap_err().ends_with("x: not found"));
    }
}
