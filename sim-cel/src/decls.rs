//! Declarations of functions: cel-go's standard library (`common/stdlib/standard.go`) and optional types, its extensions
//! (strings 2, sets, lists 3, two-variable comprehensions), and the libraries of `k8s.io/apiserver/pkg/cel/library`, all in the
//! versions of Kubernetes 1.34 (`environment/base.go`).
//!
//! One line per overload: the function, the overload, its signature, what runs. A signature is `(args) -> result`, with the
//! receiver before the parenthesis (`string.(int) -> string`); single capitals are type parameters.

use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use smol_str::SmolStr;

use crate::eval::Meter;
use crate::failure::Failure;
use crate::functions::{self as f, Function};
use crate::types::Type;
use crate::value::Value;

/// One overload.
#[derive(Debug)]
pub(crate) struct Overload {
    pub(crate) id: SmolStr,
    pub(crate) member: bool,
    /// With the receiver first.
    pub(crate) args: Vec<Type>,
    pub(crate) result: Type,
    pub(crate) run: Function,
}

impl Overload {
    /// Whether values of these types can be given at run time; of containers, only the first element is looked at.
    pub(crate) fn accepts(&self, args: &[Value]) -> bool {
        args.len() == self.args.len() && self.args.iter().zip(args).all(|(ty, value)| fits(ty, value))
    }
}

fn fits(ty: &Type, value: &Value) -> bool {
    match (ty, value) {
        (Type::Dyn | Type::Any | Type::Param(_), _) => true,
        (Type::List(element), Value::List(list)) => list.get(0).is_none_or(|v| fits(element, v)),
        (Type::Map(pair), Value::Map(map)) => {
            map.at(0).is_none_or(|(key, value)| fits(&pair.0, key) && fits(&pair.1, value))
        }
        (Type::Opaque(name, inner), Value::Optional(value)) if name == "optional_type" => {
            value.as_ref().is_none_or(|v| inner.first().is_none_or(|ty| fits(ty, v)))
        }
        (Type::List(_) | Type::Map(_), _) => false,
        (Type::Meta(_), value) => matches!(value, Value::Type(_)),
        (ty, value) => ty.name() == value.type_of().name(),
    }
}

/// A function with its overloads in the order of declaration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declaration {
    pub(crate) overloads: Vec<Arc<Overload>>,
    /// One implementation for all overloads, which looks at its arguments itself.
    pub(crate) unguarded: bool,
}

/// All functions by name.
pub(crate) type Functions = IndexMap<SmolStr, Declaration, FxBuildHasher>;

/// Functions whose implementation checks its arguments itself (singletons, disabled type guards).
const UNGUARDED: &[&str] = &[
    "!_",
    "-_",
    "_+_",
    "_-_",
    "_*_",
    "_/_",
    "_%_",
    "_<_",
    "_<=_",
    "_>_",
    "_>=_",
    "@in",
    "size",
    "type",
    "dyn",
    "matches",
    "startsWith",
    "endsWith",
    "contains",
    "flatten",
    "@not_strictly_false",
];

/// Functions of cel-go's library of lists in version 3 (`ext.Lists`).
pub(crate) const SINCE_1_34: &[&str] =
    &["slice", "flatten", "lists.range", "reverse", "distinct", "sort", "@sortByAssociatedKeys"];

type Line = (&'static str, &'static str, &'static str, Function);

/// The functions of Kubernetes' environments.
pub(crate) fn functions() -> Functions {
    let mut functions = Functions::default();
    let tables = [OPERATORS, CONVERSIONS, STRINGS, TIME, LISTS, OPTIONALS, KUBERNETES, NETWORK, AUTHORIZER];
    for (function, id, signature, run) in tables.iter().copied().flatten() {
        declare(&mut functions, function, id, signature, *run);
    }
    for (operator, name) in COMPARISONS {
        for (lhs, rhs, suffix) in COMPARABLE {
            let id = format!("{name}_{suffix}");
            let run = match *operator {
                "_<_" => f::operators::less,
                "_<=_" => f::operators::less_equals,
                "_>_" => f::operators::greater,
                _ => f::operators::greater_equals,
            };
            declare(&mut functions, operator, &id, &format!("({lhs}, {rhs}) -> bool"), run);
        }
    }
    for ty in SORTABLE {
        let list = |function: &str| format!("list({ty}).() -> {function}");
        declare(&mut functions, "isSorted", "is_sorted", &list("bool"), f::lists::is_sorted);
        declare(&mut functions, "min", "min", &list(ty), f::lists::min);
        declare(&mut functions, "max", "max", &list(ty), f::lists::max);
        declare(&mut functions, "sort", "list_sort", &format!("list({ty}).() -> list({ty})"), f::lists::sort);
        let by = format!("list(T).(list({ty})) -> list(T)");
        declare(&mut functions, "@sortByAssociatedKeys", "list_sort_by", &by, f::lists::sort_by_keys);
    }
    for format in f::formats::FORMATS {
        let name: SmolStr = format!("format.{}", format.key).into();
        let overload = Overload {
            id: SmolStr::new_static("format"),
            member: false,
            args: Vec::new(),
            result: Type::object("kubernetes.NamedFormat"),
            run: format.constant,
        };
        functions.entry(name).or_default().overloads.push(Arc::new(overload));
    }
    functions
}

fn declare(functions: &mut Functions, function: &str, id: &str, signature: &str, run: Function) {
    let declaration = functions.entry(function.into()).or_default();
    declaration.unguarded = UNGUARDED.contains(&function);
    let (head, result) = signature.split_once(" -> ").unwrap_or((signature, "dyn"));
    let open = receiver_end(head);
    let mut args: Vec<Type> = Vec::new();
    let member = open > 0;
    if member {
        args.push(read(&head[..open - 1]));
    }
    let inner = head[open..].trim_start_matches('(');
    let inner = inner.strip_suffix(')').unwrap_or(inner);
    args.extend(split(inner).into_iter().map(read));
    declaration.overloads.push(Arc::new(Overload { id: id.into(), member, args, result: read(result), run }));
}

/// The byte of the parenthesis that opens the arguments: the one that the last closes.
fn receiver_end(head: &str) -> usize {
    let mut depth = 0;
    for (at, c) in head.char_indices().rev() {
        match c {
            ')' => depth += 1,
            '(' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    0
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

/// Reads a type of a signature.
fn read(text: &str) -> Type {
    if let Some((name, inner)) = text.split_once('(') {
        let mut inner = split(inner.strip_suffix(')').unwrap_or(inner)).into_iter().map(read);
        let mut next = || inner.next().unwrap_or(Type::Dyn);
        return match name {
            "list" => Type::list(next()),
            "map" => {
                let key = next();
                Type::map(key, next())
            }
            "type" => Type::Meta(Some(Arc::new(next()))),
            _ => Type::optional(next()),
        };
    }
    match text {
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "quantity" => Type::object("kubernetes.Quantity"),
        "semver" => Type::object("kubernetes.Semver"),
        "url" => Type::object("kubernetes.URL"),
        "format" => Type::object("kubernetes.NamedFormat"),
        "ip" => Type::Opaque(SmolStr::new_static("net.IP"), Arc::new([])),
        "cidr" => Type::Opaque(SmolStr::new_static("net.CIDR"), Arc::new([])),
        name => match name.as_bytes() {
            [letter @ b'A'..=b'Z'] => Type::Param(u32::from(letter - b'A')),
            _ => Type::object(name),
        },
    }
}

/// Of what only the authorizer of admission has; no other environment can make its receivers.
fn no_authorizer(_: &mut Meter, _: &[Value]) -> Result<Value, Failure> {
    Err(Failure::error("no such overload"))
}

const COMPARISONS: &[(&str, &str)] =
    &[("_<_", "less"), ("_<=_", "less_equals"), ("_>_", "greater"), ("_>=_", "greater_equals")];

/// Pairs of types that compare; only the overloads of texts have a name of their own, because only they cost more.
const COMPARABLE: &[(&str, &str, &str)] = &[
    ("bool", "bool", "scalar"),
    ("int", "int", "scalar"),
    ("int", "double", "scalar"),
    ("int", "uint", "scalar"),
    ("uint", "uint", "scalar"),
    ("uint", "double", "scalar"),
    ("uint", "int", "scalar"),
    ("double", "double", "scalar"),
    ("double", "int", "scalar"),
    ("double", "uint", "scalar"),
    ("string", "string", "string"),
    ("bytes", "bytes", "bytes"),
    ("timestamp", "timestamp", "scalar"),
    ("duration", "duration", "scalar"),
];

const SORTABLE: &[&str] = &["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"];

const OPERATORS: &[Line] = &[
    ("_?_:_", "conditional", "(bool, A, A) -> A", f::operators::none),
    ("_&&_", "logical_and", "(bool, bool) -> bool", f::operators::none),
    ("_||_", "logical_or", "(bool, bool) -> bool", f::operators::none),
    ("!_", "logical_not", "(bool) -> bool", f::operators::not),
    ("@not_strictly_false", "not_strictly_false", "(bool) -> bool", f::operators::not_strictly_false),
    ("_==_", "equals", "(A, A) -> bool", f::operators::none),
    ("_!=_", "not_equals", "(A, A) -> bool", f::operators::none),
    ("_+_", "add_bytes", "(bytes, bytes) -> bytes", f::operators::add),
    ("_+_", "add_double", "(double, double) -> double", f::operators::add),
    ("_+_", "add_duration_duration", "(duration, duration) -> duration", f::operators::add),
    ("_+_", "add_duration_timestamp", "(duration, timestamp) -> timestamp", f::operators::add),
    ("_+_", "add_timestamp_duration", "(timestamp, duration) -> timestamp", f::operators::add),
    ("_+_", "add_int64", "(int, int) -> int", f::operators::add),
    ("_+_", "add_list", "(list(A), list(A)) -> list(A)", f::operators::add),
    ("_+_", "add_string", "(string, string) -> string", f::operators::add),
    ("_+_", "add_uint64", "(uint, uint) -> uint", f::operators::add),
    ("_/_", "divide_double", "(double, double) -> double", f::operators::divide),
    ("_/_", "divide_int64", "(int, int) -> int", f::operators::divide),
    ("_/_", "divide_uint64", "(uint, uint) -> uint", f::operators::divide),
    ("_%_", "modulo_int64", "(int, int) -> int", f::operators::modulo),
    ("_%_", "modulo_uint64", "(uint, uint) -> uint", f::operators::modulo),
    ("_*_", "multiply_double", "(double, double) -> double", f::operators::multiply),
    ("_*_", "multiply_int64", "(int, int) -> int", f::operators::multiply),
    ("_*_", "multiply_uint64", "(uint, uint) -> uint", f::operators::multiply),
    ("-_", "negate_double", "(double) -> double", f::operators::negate),
    ("-_", "negate_int64", "(int) -> int", f::operators::negate),
    ("_-_", "subtract_double", "(double, double) -> double", f::operators::subtract),
    ("_-_", "subtract_duration_duration", "(duration, duration) -> duration", f::operators::subtract),
    ("_-_", "subtract_int64", "(int, int) -> int", f::operators::subtract),
    ("_-_", "subtract_timestamp_duration", "(timestamp, duration) -> timestamp", f::operators::subtract),
    ("_-_", "subtract_timestamp_timestamp", "(timestamp, timestamp) -> duration", f::operators::subtract),
    ("_-_", "subtract_uint64", "(uint, uint) -> uint", f::operators::subtract),
    ("_[_]", "index_list", "(list(A), int) -> A", f::operators::none),
    ("_[_]", "index_map", "(map(A, B), A) -> B", f::operators::none),
    ("_[_]", "optional_list_index_int", "(optional(list(V)), int) -> optional(V)", f::operators::none),
    ("_[_]", "optional_map_index_value", "(optional(map(K, V)), K) -> optional(V)", f::operators::none),
    ("_[?_]", "list_optindex_optional_int", "(list(V), int) -> optional(V)", f::operators::none),
    (
        "_[?_]",
        "optional_list_optindex_optional_int",
        "(optional(list(V)), int) -> optional(V)",
        f::operators::none,
    ),
    ("_[?_]", "map_optindex_optional_value", "(map(K, V), K) -> optional(V)", f::operators::none),
    (
        "_[?_]",
        "optional_map_optindex_optional_value",
        "(optional(map(K, V)), K) -> optional(V)",
        f::operators::none,
    ),
    ("@in", "in_list", "(A, list(A)) -> bool", f::operators::contains),
    ("@in", "in_map", "(A, map(A, B)) -> bool", f::operators::contains),
    ("size", "size_bytes", "(bytes) -> int", f::operators::size),
    ("size", "bytes_size", "bytes.() -> int", f::operators::size),
    ("size", "size_list", "(list(A)) -> int", f::operators::size),
    ("size", "list_size", "list(A).() -> int", f::operators::size),
    ("size", "size_map", "(map(A, B)) -> int", f::operators::size),
    ("size", "map_size", "map(A, B).() -> int", f::operators::size),
    ("size", "size_string", "(string) -> int", f::operators::size),
    ("size", "string_size", "string.() -> int", f::operators::size),
    ("cel.@mapInsert", "@mapInsert_map_key_value", "(map(K, V), K, V) -> map(K, V)", f::lists::map_insert),
    ("cel.@mapInsert", "@mapInsert_map_map", "(map(K, V), map(K, V)) -> map(K, V)", f::lists::map_insert),
];

const CONVERSIONS: &[Line] = &[
    ("type", "type", "(A) -> type(A)", f::convert::type_of),
    ("dyn", "to_dyn", "(A) -> dyn", f::convert::identity),
    ("bool", "bool_to_bool", "(bool) -> bool", f::convert::identity),
    ("bool", "string_to_bool", "(string) -> bool", f::convert::to_bool),
    ("bytes", "bytes_to_bytes", "(bytes) -> bytes", f::convert::identity),
    ("bytes", "string_to_bytes", "(string) -> bytes", f::convert::to_bytes),
    ("double", "double_to_double", "(double) -> double", f::convert::identity),
    ("double", "int64_to_double", "(int) -> double", f::convert::to_double),
    ("double", "string_to_double", "(string) -> double", f::convert::to_double),
    ("double", "uint64_to_double", "(uint) -> double", f::convert::to_double),
    ("duration", "duration_to_duration", "(duration) -> duration", f::convert::identity),
    ("duration", "int64_to_duration", "(int) -> duration", f::convert::to_duration),
    ("duration", "string_to_duration", "(string) -> duration", f::convert::to_duration),
    ("int", "int64_to_int64", "(int) -> int", f::convert::identity),
    ("int", "double_to_int64", "(double) -> int", f::convert::to_int),
    ("int", "duration_to_int64", "(duration) -> int", f::convert::to_int),
    ("int", "string_to_int64", "(string) -> int", f::convert::to_int),
    ("int", "timestamp_to_int64", "(timestamp) -> int", f::convert::to_int),
    ("int", "uint64_to_int64", "(uint) -> int", f::convert::to_int),
    ("string", "string_to_string", "(string) -> string", f::convert::identity),
    ("string", "bool_to_string", "(bool) -> string", f::convert::to_string),
    ("string", "bytes_to_string", "(bytes) -> string", f::convert::to_string),
    ("string", "double_to_string", "(double) -> string", f::convert::to_string),
    ("string", "duration_to_string", "(duration) -> string", f::convert::to_string),
    ("string", "int64_to_string", "(int) -> string", f::convert::to_string),
    ("string", "timestamp_to_string", "(timestamp) -> string", f::convert::to_string),
    ("string", "uint64_to_string", "(uint) -> string", f::convert::to_string),
    ("string", "ip_to_string", "(ip) -> string", f::net::to_string),
    ("string", "cidr_to_string", "(cidr) -> string", f::net::to_string),
    ("timestamp", "timestamp_to_timestamp", "(timestamp) -> timestamp", f::convert::identity),
    ("timestamp", "int64_to_timestamp", "(int) -> timestamp", f::convert::to_timestamp),
    ("timestamp", "string_to_timestamp", "(string) -> timestamp", f::convert::to_timestamp),
    ("uint", "uint64_to_uint64", "(uint) -> uint", f::convert::identity),
    ("uint", "double_to_uint64", "(double) -> uint", f::convert::to_uint),
    ("uint", "int64_to_uint64", "(int) -> uint", f::convert::to_uint),
    ("uint", "string_to_uint64", "(string) -> uint", f::convert::to_uint),
];

const STRINGS: &[Line] = &[
    ("contains", "contains_string", "string.(string) -> bool", f::strings::contains),
    ("endsWith", "ends_with_string", "string.(string) -> bool", f::strings::ends_with),
    ("startsWith", "starts_with_string", "string.(string) -> bool", f::strings::starts_with),
    ("matches", "matches", "(string, string) -> bool", f::regexes::matches),
    ("matches", "matches_string", "string.(string) -> bool", f::regexes::matches),
    ("find", "string_find_string", "string.(string) -> string", f::regexes::find),
    ("findAll", "string_find_all_string", "string.(string) -> list(string)", f::regexes::find_all),
    ("findAll", "string_find_all_string_int", "string.(string, int) -> list(string)", f::regexes::find_all),
    ("charAt", "string_char_at_int", "string.(int) -> string", f::strings::char_at),
    ("indexOf", "string_index_of_string", "string.(string) -> int", f::strings::index_of),
    ("indexOf", "string_index_of_string_int", "string.(string, int) -> int", f::strings::index_of),
    ("lastIndexOf", "string_last_index_of_string", "string.(string) -> int", f::strings::last_index_of),
    (
        "lastIndexOf",
        "string_last_index_of_string_int",
        "string.(string, int) -> int",
        f::strings::last_index_of,
    ),
    ("lowerAscii", "string_lower_ascii", "string.() -> string", f::strings::lower),
    ("upperAscii", "string_upper_ascii", "string.() -> string", f::strings::upper),
    ("replace", "string_replace_string_string", "string.(string, string) -> string", f::strings::replace),
    (
        "replace",
        "string_replace_string_string_int",
        "string.(string, string, int) -> string",
        f::strings::replace,
    ),
    ("split", "string_split_string", "string.(string) -> list(string)", f::strings::split),
    ("split", "string_split_string_int", "string.(string, int) -> list(string)", f::strings::split),
    ("substring", "string_substring_int", "string.(int) -> string", f::strings::substring),
    ("substring", "string_substring_int_int", "string.(int, int) -> string", f::strings::substring),
    ("trim", "string_trim", "string.() -> string", f::strings::trim),
    ("join", "list_join", "list(string).() -> string", f::strings::join),
    ("join", "list_join_string", "list(string).(string) -> string", f::strings::join),
    ("format", "string_format", "string.(list(dyn)) -> string", f::format::format),
    ("strings.quote", "strings_quote", "(string) -> string", f::strings::quote),
];

const TIME: &[Line] = &[
    ("getFullYear", "timestamp_to_year", "timestamp.() -> int", f::time::year),
    ("getFullYear", "timestamp_to_year_with_tz", "timestamp.(string) -> int", f::time::year),
    ("getMonth", "timestamp_to_month", "timestamp.() -> int", f::time::month),
    ("getMonth", "timestamp_to_month_with_tz", "timestamp.(string) -> int", f::time::month),
    ("getDayOfYear", "timestamp_to_day_of_year", "timestamp.() -> int", f::time::day_of_year),
    ("getDayOfYear", "timestamp_to_day_of_year_with_tz", "timestamp.(string) -> int", f::time::day_of_year),
    ("getDayOfMonth", "timestamp_to_day_of_month", "timestamp.() -> int", f::time::day_of_month),
    (
        "getDayOfMonth",
        "timestamp_to_day_of_month_with_tz",
        "timestamp.(string) -> int",
        f::time::day_of_month,
    ),
    ("getDate", "timestamp_to_day_of_month_1_based", "timestamp.() -> int", f::time::date),
    ("getDate", "timestamp_to_day_of_month_1_based_with_tz", "timestamp.(string) -> int", f::time::date),
    ("getDayOfWeek", "timestamp_to_day_of_week", "timestamp.() -> int", f::time::day_of_week),
    ("getDayOfWeek", "timestamp_to_day_of_week_with_tz", "timestamp.(string) -> int", f::time::day_of_week),
    ("getHours", "timestamp_to_hours", "timestamp.() -> int", f::time::hours),
    ("getHours", "timestamp_to_hours_with_tz", "timestamp.(string) -> int", f::time::hours),
    ("getHours", "duration_to_hours", "duration.() -> int", f::time::hours),
    ("getMinutes", "timestamp_to_minutes", "timestamp.() -> int", f::time::minutes),
    ("getMinutes", "timestamp_to_minutes_with_tz", "timestamp.(string) -> int", f::time::minutes),
    ("getMinutes", "duration_to_minutes", "duration.() -> int", f::time::minutes),
    ("getSeconds", "timestamp_to_seconds", "timestamp.() -> int", f::time::seconds),
    ("getSeconds", "timestamp_to_seconds_tz", "timestamp.(string) -> int", f::time::seconds),
    ("getSeconds", "duration_to_seconds", "duration.() -> int", f::time::seconds),
    ("getMilliseconds", "timestamp_to_milliseconds", "timestamp.() -> int", f::time::milliseconds),
    (
        "getMilliseconds",
        "timestamp_to_milliseconds_with_tz",
        "timestamp.(string) -> int",
        f::time::milliseconds,
    ),
    ("getMilliseconds", "duration_to_milliseconds", "duration.() -> int", f::time::milliseconds),
];

const LISTS: &[Line] = &[
    ("slice", "list_slice", "list(T).(int, int) -> list(T)", f::lists::slice),
    ("flatten", "list_flatten", "list(list(T)).() -> list(T)", f::lists::flatten),
    ("flatten", "list_flatten_int", "list(dyn).(int) -> list(dyn)", f::lists::flatten),
    ("lists.range", "lists_range", "(int) -> list(int)", f::lists::range),
    ("reverse", "list_reverse", "list(T).() -> list(T)", f::lists::reverse),
    ("distinct", "list_distinct", "list(T).() -> list(T)", f::lists::distinct),
    ("sum", "list_int_sum_int", "list(int).() -> int", f::lists::sum_int),
    ("sum", "list_uint_sum_uint", "list(uint).() -> uint", f::lists::sum_uint),
    ("sum", "list_double_sum_double", "list(double).() -> double", f::lists::sum_double),
    ("sum", "list_duration_sum_duration", "list(duration).() -> duration", f::lists::sum_duration),
    ("indexOf", "list_a_index_of_int", "list(A).(A) -> int", f::lists::index_of),
    ("lastIndexOf", "list_a_last_index_of_int", "list(A).(A) -> int", f::lists::last_index_of),
    ("sets.contains", "list_sets_contains_list", "(list(T), list(T)) -> bool", f::lists::sets_contains),
    ("sets.equivalent", "list_sets_equivalent_list", "(list(T), list(T)) -> bool", f::lists::sets_equivalent),
    ("sets.intersects", "list_sets_intersects_list", "(list(T), list(T)) -> bool", f::lists::sets_intersects),
];

const OPTIONALS: &[Line] = &[
    ("optional.of", "optional_of", "(V) -> optional(V)", f::optionals::of),
    ("optional.ofNonZeroValue", "optional_ofNonZeroValue", "(V) -> optional(V)", f::optionals::of_non_zero),
    ("optional.none", "optional_none", "() -> optional(V)", f::optionals::none),
    ("value", "optional_value", "optional(V).() -> V", f::optionals::value),
    ("hasValue", "optional_hasValue", "optional(V).() -> bool", f::optionals::has_value),
    ("or", "optional_or_optional", "optional(V).(optional(V)) -> optional(V)", f::operators::none),
    ("orValue", "optional_orValue_value", "optional(V).(V) -> V", f::operators::none),
];

const KUBERNETES: &[Line] = &[
    ("quantity", "string_to_quantity", "(string) -> quantity", f::quantities::parse),
    ("isQuantity", "is_quantity_string", "(string) -> bool", f::quantities::is),
    ("sign", "quantity_sign", "(quantity) -> int", f::quantities::sign),
    ("isGreaterThan", "quantity_is_greater_than", "quantity.(quantity) -> bool", f::quantities::greater),
    ("isGreaterThan", "semver_is_greater_than", "semver.(semver) -> bool", f::semvers::greater),
    ("isLessThan", "quantity_is_less_than", "quantity.(quantity) -> bool", f::quantities::less),
    ("isLessThan", "semver_is_less_than", "semver.(semver) -> bool", f::semvers::less),
    ("compareTo", "quantity_compare_to", "quantity.(quantity) -> int", f::quantities::compare),
    ("compareTo", "semver_compare_to", "semver.(semver) -> int", f::semvers::compare),
    ("asApproximateFloat", "quantity_get_float", "quantity.() -> double", f::quantities::float),
    ("asInteger", "quantity_get_int", "quantity.() -> int", f::quantities::integer),
    ("isInteger", "quantity_is_integer", "quantity.() -> bool", f::quantities::is_integer),
    ("add", "quantity_add", "quantity.(quantity) -> quantity", f::quantities::add),
    ("add", "quantity_add_int", "quantity.(int) -> quantity", f::quantities::add),
    ("sub", "quantity_sub", "quantity.(quantity) -> quantity", f::quantities::sub),
    ("sub", "quantity_sub_int", "quantity.(int) -> quantity", f::quantities::sub),
    ("semver", "string_to_semver", "(string) -> semver", f::semvers::parse),
    ("semver", "string_bool_to_semver", "(string, bool) -> semver", f::semvers::parse),
    ("isSemver", "is_semver_string", "(string) -> bool", f::semvers::is),
    ("isSemver", "is_semver_string_bool", "(string, bool) -> bool", f::semvers::is),
    ("major", "semver_major", "semver.() -> int", f::semvers::major),
    ("minor", "semver_minor", "semver.() -> int", f::semvers::minor),
    ("patch", "semver_patch", "semver.() -> int", f::semvers::patch),
    ("validate", "format-validate", "format.(string) -> optional(list(string))", f::formats::validate),
    ("format.named", "format-named", "(string) -> optional(format)", f::formats::named),
];

const NETWORK: &[Line] = &[
    ("url", "string_to_url", "(string) -> url", f::urls::parse),
    ("isURL", "is_url_string", "(string) -> bool", f::urls::is),
    ("getScheme", "url_get_scheme", "url.() -> string", f::urls::scheme_of),
    ("getHost", "url_get_host", "url.() -> string", f::urls::host),
    ("getHostname", "url_get_hostname", "url.() -> string", f::urls::hostname),
    ("getPort", "url_get_port", "url.() -> string", f::urls::port),
    ("getEscapedPath", "url_get_escaped_path", "url.() -> string", f::urls::path),
    ("getQuery", "url_get_query", "url.() -> map(string, list(string))", f::urls::query),
    ("ip", "string_to_ip", "(string) -> ip", f::net::ip),
    ("ip", "cidr_ip", "cidr.() -> ip", f::net::cidr_ip),
    ("isIP", "is_ip", "(string) -> bool", f::net::is_ip),
    ("ip.isCanonical", "ip_is_canonical", "(string) -> bool", f::net::is_canonical),
    ("family", "ip_family", "ip.() -> int", f::net::family),
    ("isUnspecified", "ip_is_unspecified", "ip.() -> bool", f::net::is_unspecified),
    ("isLoopback", "ip_is_loopback", "ip.() -> bool", f::net::is_loopback),
    ("isLinkLocalMulticast", "ip_is_link_local_multicast", "ip.() -> bool", f::net::is_link_local_multicast),
    ("isLinkLocalUnicast", "ip_is_link_local_unicast", "ip.() -> bool", f::net::is_link_local_unicast),
    ("isGlobalUnicast", "ip_is_global_unicast", "ip.() -> bool", f::net::is_global_unicast),
    ("cidr", "string_to_cidr", "(string) -> cidr", f::net::cidr),
    ("isCIDR", "is_cidr", "(string) -> bool", f::net::is_cidr),
    ("containsIP", "cidr_contains_ip_string", "cidr.(string) -> bool", f::net::contains_ip),
    ("containsIP", "cidr_contains_ip_ip", "cidr.(ip) -> bool", f::net::contains_ip),
    ("containsCIDR", "cidr_contains_cidr_string", "cidr.(string) -> bool", f::net::contains_cidr),
    ("containsCIDR", "cidr_contains_cidr", "cidr.(cidr) -> bool", f::net::contains_cidr),
    ("prefixLength", "cidr_prefix_length", "cidr.() -> int", f::net::prefix_length),
    ("masked", "cidr_masked", "cidr.() -> cidr", f::net::masked),
];

const AUTHORIZER: &[Line] = &[
    (
        "path",
        "authorizer_path",
        "kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.PathCheck",
        no_authorizer,
    ),
    (
        "group",
        "authorizer_group",
        "kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.GroupCheck",
        no_authorizer,
    ),
    (
        "serviceAccount",
        "authorizer_serviceaccount",
        "kubernetes.authorization.Authorizer.(string, string) -> kubernetes.authorization.Authorizer",
        no_authorizer,
    ),
    (
        "resource",
        "groupcheck_resource",
        "kubernetes.authorization.GroupCheck.(string) -> kubernetes.authorization.ResourceCheck",
        no_authorizer,
    ),
    (
        "subresource",
        "resourcecheck_subresource",
        "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck",
        no_authorizer,
    ),
    (
        "namespace",
        "resourcecheck_namespace",
        "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck",
        no_authorizer,
    ),
    (
        "name",
        "resourcecheck_name",
        "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck",
        no_authorizer,
    ),
    (
        "fieldSelector",
        "authorizer_fieldselector",
        "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck",
        no_authorizer,
    ),
    (
        "labelSelector",
        "authorizer_labelselector",
        "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck",
        no_authorizer,
    ),
    (
        "check",
        "pathcheck_check",
        "kubernetes.authorization.PathCheck.(string) -> kubernetes.authorization.Decision",
        no_authorizer,
    ),
    (
        "check",
        "resourcecheck_check",
        "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.Decision",
        no_authorizer,
    ),
    ("errored", "decision_errored", "kubernetes.authorization.Decision.() -> bool", no_authorizer),
    ("error", "decision_error", "kubernetes.authorization.Decision.() -> string", no_authorizer),
    ("allowed", "decision_allowed", "kubernetes.authorization.Decision.() -> bool", no_authorizer),
    ("reason", "decision_reason", "kubernetes.authorization.Decision.() -> string", no_authorizer),
];
