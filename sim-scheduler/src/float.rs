//! All floating-point work of the scheduler, in the order of operations of upstream's Go on amd64 (no fused
//! multiply-add, which Rust never forms by itself either).

/// Score of `NodeResourcesBalancedAllocation`: 100 minus the spread of the resources' used fractions. Pairs are
/// (requested, allocatable); those without allocatable do not count.
pub(crate) fn balanced(pairs: impl Iterator<Item = (i64, i64)>) -> i64 {
    let mut fractions: smallvec::SmallVec<[f64; 4]> = smallvec::SmallVec::new();
    let mut total = 0.0;
    for (requested, allocatable) in pairs {
        if allocatable == 0 {
            continue;
        }
        let mut fraction = requested as f64 / allocatable as f64;
        if fraction > 1.0 {
            fraction = 1.0;
        }
        total += fraction;
        fractions.push(fraction);
    }
    let deviation = match fractions.as_slice() {
        [a, b] => ((a - b) / 2.0).abs(),
        many if many.len() > 2 => {
            let count = many.len() as f64;
            let mean = total / count;
            let mut sum = 0.0;
            for fraction in many {
                sum += (fraction - mean) * (fraction - mean);
            }
            (sum / count).sqrt()
        }
        _ => 0.0,
    };
    ((1.0 - deviation) * 100.0) as i64
}

/// Size of an image, scaled by the share of nodes that have it.
pub(crate) fn scaled_image(size: i64, nodes_with: usize, nodes: usize) -> i64 {
    let spread = nodes_with as f64 / nodes as f64;
    (size as f64 * spread) as i64
}

/// `math.Round` of a quotient.
pub(crate) fn rounded_quotient(a: i64, b: i64) -> i64 {
    (a as f64 / b as f64).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values() {
        assert_eq!(balanced([(1, 2), (1, 4)].into_iter()), 87);
        assert_eq!(balanced([(9, 4), (0, 4)].into_iter()), 50);
        assert_eq!(balanced([(1, 3), (1, 3), (1, 3)].into_iter()), 100);
        assert_eq!(balanced([(1, 10), (5, 10), (9, 10)].into_iter()), 67);
        assert_eq!(balanced([(1, 3), (5, 0)].into_iter()), 100);
        assert_eq!(scaled_image(300, 1, 3), 100);
        assert_eq!(rounded_quotient(5, 2), 3);
        assert_eq!(rounded_quotient(-5, 2), -3);
    }
}
