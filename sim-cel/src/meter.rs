//! What evaluation costs as it happens (`interpreter/runtimecost.go`, and the trackers of the libraries).

use crate::cost::{LIST_BASE, REGEX, TRAVERSAL, compares, scale};
use crate::failure::Failure;
use crate::functions::formats::NamedFormat;
use crate::value::Value;

/// Steps of work that no cost is charged for, like comparing nested lists, before an evaluation is given up.
// DIFFERS: upstream has no such bound and would go on for ever.
const MAX_WORK: u64 = 4_000_000;

/// Longest text or list that an evaluation may make.
// DIFFERS: upstream takes the memory first and notices the cost afterwards.
pub(crate) const MAX_LENGTH: usize = 16 << 20;

/// Counts cost against a limit.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) cost: u64,
    pub(crate) limit: u64,
    work: u64,
}

impl Meter {
    pub(crate) fn new(limit: u64) -> Meter {
        Meter { cost: 0, limit, work: 0 }
    }

    pub(crate) fn unlimited() -> Meter {
        Meter::new(u64::MAX)
    }

    /// Charges.
    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), Failure> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(Failure::CostLimit) } else { Ok(()) }
    }

    /// Takes one back, which upstream does where a presence test was charged as an access.
    pub(crate) fn refund(&mut self) {
        self.cost = self.cost.saturating_sub(1);
    }

    /// Counts work that is not charged.
    pub(crate) fn work(&mut self, steps: u64) -> Result<(), Failure> {
        self.work = self.work.saturating_add(steps);
        if self.work > MAX_WORK { Err(Failure::CostLimit) } else { Ok(()) }
    }

    /// Refuses to make something too long.
    pub(crate) fn allow(&mut self, length: usize) -> Result<(), Failure> {
        if length > MAX_LENGTH { Err(Failure::CostLimit) } else { self.work(length as u64 / 16) }
    }
}

/// How a call is charged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Price {
    One,
    /// Characters of the first argument, times a factor.
    Traverse(f64),
    /// Leaves of the first argument.
    Leaves,
    /// Characters of the result.
    Result(f64),
    /// Text times pattern.
    Pattern,
    Contains,
    /// The shorter of the two.
    Shorter,
    /// Both.
    Both,
    /// The size of the second argument.
    InList,
    /// A list as long as the result is made.
    NewList,
    Flatten,
    /// Every element of this argument with every other.
    SelfCompare(usize),
    Sets(u64),
    Subnet {
        masks: bool,
        text: bool,
    },
    Validate,
}

impl Price {
    /// By function and overload; the overload is empty where the check left several.
    pub(crate) fn of(function: &str, overload: &str) -> Price {
        match overload {
            "list_slice" | "lists_range" | "list_reverse" => return Price::NewList,
            "list_flatten" | "list_flatten_int" => return Price::Flatten,
            "list_distinct" | "list_sort" => return Price::SelfCompare(0),
            "list_sort_by" => return Price::SelfCompare(1),
            "list_sets_contains_list" | "list_sets_intersects_list" => return Price::Sets(1),
            "list_sets_equivalent_list" => return Price::Sets(2),
            _ => {}
        }
        match function {
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => Price::Leaves,
            "ip" if overload == "cidr_ip" => Price::One,
            "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "cidr" | "isIP" | "isCIDR"
            | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => Price::Traverse(1.0),
            "replace" | "split" | "ip.isCanonical" => Price::Traverse(2.0),
            "join" => Price::Result(2.0),
            "find" | "findAll" => Price::Pattern,
            "containsIP" => Price::Subnet { masks: false, text: overload.ends_with("_string") },
            "containsCIDR" => Price::Subnet { masks: true, text: overload.ends_with("_string") },
            "validate" => Price::Validate,
            _ => Price::standard(overload),
        }
    }

    fn standard(overload: &str) -> Price {
        match overload {
            "string_format" | "strings_quote" | "starts_with_string" | "ends_with_string"
            | "string_to_bytes" | "bytes_to_string" => Price::Traverse(1.0),
            "in_list" => Price::InList,
            "add_string" | "add_bytes" => Price::Both,
            "matches_string" => Price::Pattern,
            "contains_string" => Price::Contains,
            id if compares(id) => Price::Shorter,
            _ => Price::One,
        }
    }

    /// What a call with these arguments and this result costs.
    pub(crate) fn charge(self, args: &[Result<Value, Failure>], result: Option<&Value>) -> u64 {
        let value = |index: usize| args.get(index).and_then(|arg| arg.as_ref().ok());
        let size = |index: usize| value(index).and_then(Value::size).unwrap_or(1);
        let result_size = || result.and_then(Value::size).unwrap_or(1);
        match self {
            Price::One => 1,
            // The order of multiplications is upstream's: (size × 2) × 0.1.
            Price::Traverse(factor) => (size(0) as f64 * factor * TRAVERSAL).ceil() as u64,
            Price::Result(factor) => (result_size() as f64 * factor * TRAVERSAL).ceil() as u64,
            Price::Leaves => value(0).map_or(1, leaves),
            Price::Pattern => {
                let text = ((1.0 + size(0) as f64) * TRAVERSAL).ceil() as u64;
                text.saturating_mul(scale(size(1), REGEX))
            }
            Price::Contains => scale(size(0), TRAVERSAL).saturating_mul(scale(size(1), TRAVERSAL)),
            Price::Shorter => scale(size(0).min(size(1)), TRAVERSAL),
            Price::Both => scale(size(0).saturating_add(size(1)), TRAVERSAL),
            Price::InList => size(1),
            Price::NewList => allocating(1.0, result_size()),
            Price::Flatten => {
                let depth = match value(1) {
                    Some(Value::Int(depth)) => *depth as f64,
                    _ => 1.0,
                };
                allocating(depth, size(0))
            }
            Price::SelfCompare(index) => {
                let texts = matches!(value(index), Some(Value::List(list))
                    if matches!(list.get(0), Some(Value::String(_) | Value::Bytes(_))));
                let factor = if texts { 2.0 + TRAVERSAL } else { 2.0 };
                allocating(factor, size(index).saturating_mul(size(index)))
            }
            Price::Sets(factor) => size(0).saturating_mul(size(1)).saturating_mul(factor).saturating_add(1),
            Price::Subnet { masks, text } => {
                let subnet = size(0);
                let mut cost = scale(subnet + subnet, TRAVERSAL);
                if masks {
                    cost += scale(subnet, TRAVERSAL) + 1;
                }
                if text { cost + scale(size(1), TRAVERSAL) } else { cost }
            }
            Price::Validate => {
                let text = ((1.0 + size(1) as f64) * TRAVERSAL).ceil() as u64;
                let pattern = match value(0) {
                    Some(Value::Format(NamedFormat { regex_size, .. })) => scale(*regex_size, REGEX),
                    _ => 1,
                };
                text.saturating_mul(pattern)
            }
        }
    }
}

fn allocating(factor: f64, size: u64) -> u64 {
    ((size as f64 * factor) as u64).saturating_add(1).saturating_add(LIST_BASE)
}

/// `traversalCost`; given up where lists that share parts are exponentially large, which is far above any limit.
fn leaves(value: &Value) -> u64 {
    fn visit(value: &Value, visited: &mut u64) -> u64 {
        *visited += 1;
        if *visited > MAX_WORK {
            return MAX_WORK;
        }
        match value {
            Value::String(text) => (text.len() as f64 * TRAVERSAL) as u64,
            Value::Bytes(bytes) => (bytes.len() as f64 * TRAVERSAL) as u64,
            Value::List(list) => {
                list.iter().fold(0, |sum: u64, element| sum.saturating_add(visit(element, visited)))
            }
            Value::Map(map) => map.iter().fold(0, |sum: u64, (key, value)| {
                sum.saturating_add(visit(key, visited)).saturating_add(visit(value, visited))
            }),
            _ => 1,
        }
    }
    visit(value, &mut 0)
}

/// Whether equality with this on the left costs one, whatever its size.
pub(crate) fn nominal_equality(left: &Value) -> bool {
    matches!(
        left,
        Value::Quantity { .. }
            | Value::Ip(_)
            | Value::Cidr(..)
            | Value::Format(_)
            | Value::Url(_)
            | Value::Semver(_)
    )
}
