//! Taints and tolerations, as `k8s.io/api/core/v1` and `k8s.io/component-helpers/scheduling/corev1` match them.

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// Effect: the scheduler places no pod without a toleration.
pub const NO_SCHEDULE: &str = "NoSchedule";
/// Effect: the scheduler avoids the node.
pub const PREFER_NO_SCHEDULE: &str = "PreferNoSchedule";
/// Effect: not scheduled, and pods there without a toleration are evicted.
pub const NO_EXECUTE: &str = "NoExecute";

/// True if the toleration tolerates the taint. An empty effect or key stands for any, an empty operator for `Equal`;
/// an unknown operator tolerates nothing.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let any_or =
        |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w.is_empty() || w == is);
    if !any_or(&toleration.effect, &taint.effect) || !any_or(&toleration.key, &taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => {
            toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
        }
        "Exists" => true,
        _ => false,
    }
}

/// True if one of the tolerations tolerates the taint (`TolerationsTolerateTaint`).
pub fn tolerate(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

/// The first of the taints that counts and that nothing tolerates (`FindMatchingUntoleratedTaint`).
pub fn find_untolerated<'a>(
    taints: &'a [Taint],
    tolerations: &[Toleration],
    counts: impl Fn(&Taint) -> bool,
) -> Option<&'a Taint> {
    taints.iter().find(|taint| counts(taint) && !tolerate(tolerations, taint))
}

/// True for the effects that keep a pod off a node: `NoSchedule` and `NoExecute`.
pub fn keeps_off(taint: &Taint) -> bool {
    taint.effect == NO_SCHEDULE || taint.effect == NO_EXECUTE
}

/// For each taint the first toleration that tolerates it; `None` if a taint has none (`GetMatchingTolerations`).
pub fn matching<'a>(taints: &[Taint], tolerations: &'a [Toleration]) -> Option<Vec<&'a Toleration>> {
    taints.iter().map(|taint| tolerations.iter().find(|toleration| tolerates(toleration, taint))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(text: &str) -> Taint {
        let (pair, effect) = text.split_once(':').unwrap();
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = Some(value.to_string()).filter(|v| !v.is_empty());
        Taint { key: key.to_string(), value, effect: effect.to_string(), time_added: None }
    }

    fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
        let some = |s: &str| Some(s.to_string()).filter(|s| !s.is_empty());
        Toleration {
            key: some(key),
            operator: some(operator),
            value: some(value),
            effect: some(effect),
            toleration_seconds: None,
        }
    }

    #[test]
    fn who_tolerates_what() {
        for (toleration, yes, no) in [
            (toleration("", "Exists", "", ""), &["a=b:NoSchedule", "c:NoExecute"][..], &[][..]),
            (
                toleration("a", "", "b", ""),
                &["a=b:NoSchedule", "a=b:NoExecute"],
                &["a:NoSchedule", "b=b:NoSchedule"],
            ),
            (toleration("a", "Equal", "", "NoExecute"), &["a:NoExecute"], &["a=b:NoExecute", "a:NoSchedule"]),
            (
                toleration("a", "Exists", "", "NoSchedule"),
                &["a=b:NoSchedule"],
                &["a=b:NoExecute", "c:NoSchedule"],
            ),
            (toleration("a", "Gt", "", ""), &[], &["a:NoSchedule"]),
        ] {
            for text in yes {
                assert!(tolerates(&toleration, &taint(text)), "{toleration:?} should tolerate {text}");
            }
            for text in no {
                assert!(!tolerates(&toleration, &taint(text)), "{toleration:?} should not tolerate {text}");
            }
        }
    }

    #[test]
    fn the_first_that_counts() {
        let taints = [taint("soft:PreferNoSchedule"), taint("a:NoSchedule"), taint("b:NoExecute")];
        let tolerations = [toleration("a", "Exists", "", "")];
        assert_eq!(find_untolerated(&taints, &tolerations, keeps_off), Some(&taints[2]));
        assert_eq!(matching(&taints[1..2], &tolerations), Some(vec![&tolerations[0]]));
        assert_eq!(matching(&taints, &tolerations), None);
    }
}
