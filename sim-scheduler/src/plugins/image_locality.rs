//! `ImageLocality`: pods rather go where their images are already.

use crate::cache::{Cache, Slot};
use crate::float::scaled_image;
use crate::framework::{Attempt, Plugin, PreScore, Reads, Score, Status};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

const MB: i64 = 1024 * 1024;
/// Bytes of images that count for nothing.
const MIN: i64 = 23 * MB;
/// Bytes of image per container that count for everything.
const MAX_PER_CONTAINER: i64 = 1000 * MB;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct ImageLocality;

impl Plugin for ImageLocality {
    const NAME: &'static str = "ImageLocality";
    const READS: Reads = Reads::NodeLocal;
    /// Number of nodes.
    type Cycle = usize;
    fn pre_filter(&self, _: &PodInfo) -> usize {
        0
    }
}

impl PreScore for ImageLocality {
    fn pre_score(&self, nodes: &mut usize, attempt: &Attempt<'_>, _: &[Slot]) -> Status {
        *nodes = attempt.cluster.order().len();
        Status::success()
    }
}

impl Score for ImageLocality {
    fn score(&self, nodes: &usize, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let mut sum = 0_i64;
        if !node.images.is_empty() {
            for wanted in &pod.images {
                if let Some(image) = node.images.iter().find(|i| i.name == *wanted) {
                    sum = sum.wrapping_add(scaled_image(image.size, image.nodes, *nodes));
                }
            }
        }
        let max = MAX_PER_CONTAINER * pod.images.len().max(1) as i64;
        100 * (sum.clamp(MIN, max) - MIN) / (max - MIN)
    }

    fn score_column(&self, nodes: &usize, pod: &PodInfo, cluster: &Cache, out: &mut [i64]) {
        for (at, score) in out.iter_mut().enumerate() {
            // Nodes without images have the lowest score: what counts for nothing.
            *score = match cluster.columns().images[at] {
                0 => 0,
                _ => self.score(nodes, pod, cluster.node_at(at)),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};

    #[test]
    fn bigger_and_wider_spread_images_count_more() {
        let info = pod("p").info();
        for (size, with, of, score) in
            [(10 * MB, 1, 1, 0), (1000 * MB, 1, 1, 100), (1000 * MB, 1, 2, 48), (9000 * MB, 2, 2, 100)]
        {
            let mut node = node("n").image("i:1", size).info();
            node.images = vec![crate::node::ImageState { name: "i:1".into(), size, nodes: with }];
            assert_eq!(ImageLocality.score(&of, &info, &node), score, "{size} on {with} of {of}");
        }
        assert_eq!(ImageLocality.score(&1, &info, &node("n").info()), 0);
    }
}
