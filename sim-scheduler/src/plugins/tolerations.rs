//! Tolerations, compiled for matching (`k8s.io/api/core/v1/toleration.go`).

use smol_str::SmolStr;

use crate::node::{Effect, Taint};
use crate::pod::PodInfo;

/// A toleration.
#[derive(Clone, Debug)]
pub(super) struct Toleration {
    key: SmolStr,
    value: SmolStr,
    /// `None` tolerates every effect.
    pub(super) effect: Option<Effect>,
    operator: Operator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Exists,
    /// Anything else tolerates nothing.
    Unknown,
}

/// Tolerations of a pod.
pub(super) fn of(pod: &PodInfo) -> Vec<Toleration> {
    let text = |t: &Option<String>| SmolStr::new(t.as_deref().unwrap_or(""));
    let tolerations = pod.spec.tolerations.iter().flatten();
    tolerations
        .map(|t| Toleration {
            key: text(&t.key),
            value: text(&t.value),
            effect: t.effect.as_deref().filter(|e| !e.is_empty()).map(Effect::parse),
            operator: match t.operator.as_deref() {
                None | Some("" | "Equal") => Operator::Equal,
                Some("Exists") => Operator::Exists,
                Some(_) => Operator::Unknown,
            },
        })
        .collect()
}

impl Toleration {
    /// True if it tolerates this taint.
    pub(super) fn tolerates(&self, taint: &Taint) -> bool {
        let effect = self.effect.as_ref().is_none_or(|e| *e == taint.effect);
        let key = self.key.is_empty() || self.key == taint.key;
        effect
            && key
            && match self.operator {
                Operator::Equal => self.value == taint.value,
                Operator::Exists => true,
                Operator::Unknown => false,
            }
    }
}

/// True if one of them does.
pub(super) fn tolerate(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|t| t.tolerates(taint))
}
