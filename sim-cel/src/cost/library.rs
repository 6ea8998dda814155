//! Estimates for the functions of extensions (cel-go `ext/lists.go`, `ext/sets.go`) and of Kubernetes
//! (`k8s.io/apiserver/pkg/cel/library/cost.go`).

use super::{Arg, CallCost, Coster, LIST_BASE, REGEX, Range, TRAVERSAL};
use crate::ast::Kind;
use crate::types::Type;
use crate::value::Value;

/// Longest pattern of a named format (`MaxNameFormatRegexSize`).
const MAX_FORMAT_REGEX: f64 = 128.0;
/// Longest name of a format (`MaxFormatSize`).
const MAX_FORMAT: u64 = 64;

const ONE: Range = Range::fixed(1);

/// By overload: lists and sets.
pub(super) fn overload(
    coster: &Coster<'_>,
    overload: &str,
    target: Option<&Arg<'_>>,
    args: &[Arg<'_>],
) -> Option<CallCost> {
    let size = |arg: &Arg<'_>| coster.arg_size(arg);
    match (overload, target, args) {
        ("list_slice", Some(target), [start, end]) => {
            let start = literal(start).unwrap_or(0);
            let end = literal(end).unwrap_or(size(target).max);
            Some(allocating(1.0, Range::fixed(end.wrapping_sub(start))))
        }
        ("list_flatten" | "list_flatten_int", Some(target), [] | [_]) => {
            let depth = args.first().map_or(1, |depth| literal(depth).unwrap_or(u64::MAX));
            Some(allocating(depth as f64, size(target)))
        }
        ("lists_range", None, [count]) => {
            Some(allocating(1.0, Range::fixed(literal(count).unwrap_or(u64::MAX))))
        }
        ("list_reverse", Some(target), []) => Some(allocating(1.0, size(target))),
        ("list_distinct", Some(target), []) => {
            let size = size(target);
            Some(allocating(2.0, size.multiply(size)))
        }
        ("list_sort", Some(target), []) => Some(sorting(size(target), target.ty)),
        ("list_sort_by", Some(_), [keys]) => Some(sorting(size(keys), keys.ty)),
        (
            "list_sets_contains_list" | "list_sets_intersects_list" | "list_sets_equivalent_list",
            _,
            [a, b],
        ) => {
            let factor = if overload == "list_sets_equivalent_list" { 2.0 } else { 1.0 };
            Some(CallCost::of(size(a).multiply(size(b)).scale(factor).add(ONE)))
        }
        _ => None,
    }
}

fn sorting(size: Range, list: &Type) -> CallCost {
    let texts = matches!(list, Type::List(element) if matches!(**element, Type::String | Type::Bytes));
    allocating(if texts { 2.0 + TRAVERSAL } else { 2.0 }, size.multiply(size))
}

fn allocating(factor: f64, size: Range) -> CallCost {
    CallCost { cost: size.scale(factor).add(ONE).add(Range::fixed(LIST_BASE)), size: Some(size) }
}

fn literal(arg: &Arg<'_>) -> Option<u64> {
    match &arg.expr.kind {
        Kind::Literal(Value::Int(i)) => u64::try_from(*i).ok(),
        _ => None,
    }
}

/// By function: what Kubernetes adds, and where it knows better than cel-go.
pub(super) fn function(
    coster: &Coster<'_>,
    function: &str,
    overload: &str,
    target: Option<&Arg<'_>>,
    args: &[Arg<'_>],
) -> Option<CallCost> {
    let size = |arg: &Arg<'_>| coster.arg_size(arg);
    let traversal = |arg: &Arg<'_>| CallCost::of(size(arg).scale(TRAVERSAL));
    let same_size = |arg: &Arg<'_>| CallCost { size: Some(size(arg)), ..traversal(arg) };
    match (function, target, args) {
        ("check", _, _) => Some(CallCost::of(Range::fixed(350_000))),
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(list), _) => {
            Some(CallCost::of(per_element(coster, list)))
        }
        ("url", _, [arg]) => Some(same_size(arg)),
        ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(target), _) => Some(same_size(target)),
        ("replace", Some(target), [old, new, ..]) => {
            let text = size(target);
            Some(CallCost {
                cost: text.scale(2.0 * TRAVERSAL),
                size: Some(replaced(text, size(old), size(new))),
            })
        }
        ("split", Some(target), _) => {
            let text = size(target);
            let max = args.get(1).and_then(|limit| match &limit.expr.kind {
                // A negative limit is no limit; upstream takes it for a huge one.
                Kind::Literal(Value::Int(i)) => Some(*i as u64),
                _ => None,
            });
            let size = Range { min: 0, max: max.unwrap_or(text.max) };
            Some(CallCost { cost: text.scale(2.0 * TRAVERSAL), size: Some(size) })
        }
        ("join", Some(list), _) => {
            let count = size(list);
            let mut total = count.multiply(coster.element_size(list));
            if let Some(separator) = args.first() {
                let gaps = Range { min: count.min.saturating_sub(1), max: count.max.saturating_sub(1) };
                total = total.add(size(separator).multiply(gaps));
            }
            Some(CallCost { cost: total.scale(TRAVERSAL), size: Some(total) })
        }
        ("find" | "findAll", Some(target), [pattern, ..]) => {
            let text = size(target);
            let cost = text.add(ONE).scale(TRAVERSAL).multiply(size(pattern).scale(REGEX));
            Some(CallCost { cost, size: Some(Range { min: 0, max: text.max }) })
        }
        ("ip", _, _) if overload == "cidr_ip" => Some(CallCost::of(ONE)),
        (
            "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver",
            _,
            [arg, ..],
        ) => Some(traversal(arg)),
        ("ip.isCanonical", _, [arg, ..]) => Some(CallCost::of(size(arg).scale(2.0 * TRAVERSAL))),
        ("containsIP" | "containsCIDR", _, [arg, ..]) => Some(contains(size(arg), function, overload)),
        ("validate", _, [text, ..]) => {
            Some(CallCost::of(size(text).scale(TRAVERSAL).scale(MAX_FORMAT_REGEX * REGEX)))
        }
        ("_==_", _, [lhs, rhs]) if lhs.ty == rhs.ty => equality(rhs),
        _ if nominal(function) => Some(CallCost::of(ONE)),
        _ => None,
    }
}

fn per_element(coster: &Coster<'_>, list: &Arg<'_>) -> Range {
    let Some(element) = list.ty.parameters().first().copied() else {
        // Of a text: its characters are read.
        return coster.arg_size(list).scale(TRAVERSAL);
    };
    let mut cost = ONE;
    if matches!(element, Type::String | Type::Bytes) {
        cost = cost.add(coster.element_size(list).scale(TRAVERSAL));
    }
    coster.arg_size(list).multiply(cost)
}

/// The length of a text after a replacement.
fn replaced(text: Range, old: Range, new: Range) -> Range {
    let divided = |length: u64, by: u64| (length as f64 / by as f64).ceil() as u64;
    let (count_max, kept_max) = if old.min == 0 {
        (text.max.saturating_add(1), text.max)
    } else if new.max <= old.min {
        (0, text.max)
    } else {
        (divided(text.max, old.min), 0)
    };
    let (count_min, kept_min) = if old.max == 0 {
        (text.min.saturating_add(1), text.min)
    } else if old.max <= new.min {
        (0, text.min)
    } else {
        (divided(text.min, old.max), 0)
    };
    let (count, kept) = (Range { min: count_min, max: count_max }, Range { min: kept_min, max: kept_max });
    count.multiply(new).add(kept)
}

fn contains(arg: Range, function: &str, overload: &str) -> CallCost {
    let bytes = Range { min: 4, max: 16 };
    let mut cost = bytes.add(bytes).scale(TRAVERSAL);
    if function == "containsCIDR" {
        cost = cost.add(bytes.scale(TRAVERSAL)).add(ONE);
    }
    if overload.ends_with("_string") {
        cost = cost.add(arg.scale(TRAVERSAL));
    }
    CallCost::of(cost)
}

/// Equality of Kubernetes' own types.
fn equality(rhs: &Arg<'_>) -> Option<CallCost> {
    let cost = match rhs.ty.name() {
        "net.IP" | "net.CIDR" | "kubernetes.Quantity" | "kubernetes.Semver" => ONE,
        name if name.starts_with("kubernetes.authorization.") => ONE,
        "kubernetes.NamedFormat" => Range { min: 1, max: MAX_FORMAT }.scale(TRAVERSAL),
        "kubernetes.URL" => Range { min: 1, max: rhs.computed.unwrap_or(ONE).max }.scale(TRAVERSAL),
        _ => return None,
    };
    Some(CallCost::of(cost))
}

/// Functions that cost one, whatever they are given.
pub(crate) fn nominal(function: &str) -> bool {
    matches!(
        function,
        "serviceAccount"
            | "path"
            | "group"
            | "resource"
            | "subresource"
            | "namespace"
            | "name"
            | "allowed"
            | "reason"
            | "error"
            | "errored"
            | "masked"
            | "prefixLength"
            | "family"
            | "isUnspecified"
            | "isLoopback"
            | "isLinkLocalMulticast"
            | "isLinkLocalUnicast"
            | "isGlobalUnicast"
            | "format.named"
            | "sign"
            | "asInteger"
            | "isInteger"
            | "asApproximateFloat"
            | "isGreaterThan"
            | "isLessThan"
            | "compareTo"
            | "add"
            | "sub"
            | "major"
            | "minor"
            | "patch"
            | "getScheme"
            | "getHostname"
            | "getHost"
            | "getPort"
            | "getEscapedPath"
            | "getQuery"
    )
}
