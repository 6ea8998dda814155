//! Types as the checker sees them, and the two ways in which cel-go prints them (`common/types/types.go`,
//! `checker/format.go`).

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

/// The first number given to a type variable of the checker; smaller ones are the letters of declarations.
pub(crate) const FIRST_VARIABLE: u32 = 26;

/// A type of CEL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Unknown until run time.
    Dyn,
    /// `google.protobuf.Any`: as `Dyn`, by another name.
    Any,
    /// Of an expression that did not check.
    Error,
    /// `bool`.
    Bool,
    /// `int`, 64 bits.
    Int,
    /// `uint`, 64 bits.
    Uint,
    /// `double`.
    Double,
    /// `string`.
    String,
    /// `bytes`.
    Bytes,
    /// `null_type`.
    Null,
    /// `google.protobuf.Duration`.
    Duration,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `list(T)`.
    List(Arc<Type>),
    /// `map(K, V)`.
    Map(Arc<(Type, Type)>),
    /// The type of a type; `None` for `type` itself.
    Meta(Option<Arc<Type>>),
    /// A type parameter: a letter of a declaration (0 is `A`), or a variable of the checker.
    Param(u32),
    /// A named object, of whose fields the environment may know.
    Object(SmolStr),
    /// A named type that is no object, with parameters: `optional_type(T)`, `net.IP`.
    Opaque(SmolStr, Arc<[Type]>),
}

impl Type {
    /// `list(element)`.
    pub fn list(element: Type) -> Type {
        Type::List(Arc::new(element))
    }

    /// `map(key, value)`.
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new((key, value)))
    }

    /// `optional_type(inner)`.
    pub fn optional(inner: Type) -> Type {
        Type::Opaque(SmolStr::new_static("optional_type"), Arc::new([inner]))
    }

    /// An object type.
    pub fn object(name: &str) -> Type {
        Type::Object(name.into())
    }

    /// The type inside an optional.
    pub(crate) fn unwrap_optional(&self) -> Option<&Type> {
        match self {
            Type::Opaque(name, parameters) if name == "optional_type" => parameters.first(),
            _ => None,
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn | Type::Any)
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        self.is_dyn() || *self == Type::Error
    }

    /// The parameters, as cel-go's `Parameters()`.
    pub(crate) fn parameters(&self) -> Vec<&Type> {
        match self {
            Type::List(element) => vec![element],
            Type::Map(pair) => vec![&pair.0, &pair.1],
            Type::Meta(Some(inner)) => vec![inner],
            Type::Opaque(_, parameters) => parameters.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// The same type with other parameters.
    pub(crate) fn with_parameters(&self, mut parameters: impl FnMut(&Type) -> Type) -> Type {
        match self {
            Type::List(element) => Type::list(parameters(element)),
            Type::Map(pair) => {
                let key = parameters(&pair.0);
                Type::map(key, parameters(&pair.1))
            }
            Type::Meta(Some(inner)) => Type::Meta(Some(Arc::new(parameters(inner)))),
            Type::Opaque(name, inner) => Type::Opaque(name.clone(), inner.iter().map(parameters).collect()),
            other => other.clone(),
        }
    }

    /// Nodes of the type as a tree, counted up to `limit`: types that share parts can be exponentially large.
    pub(crate) fn weight(&self, limit: usize) -> usize {
        let mut weight = 1;
        for parameter in self.parameters() {
            if weight >= limit {
                break;
            }
            weight += parameter.weight(limit - weight);
        }
        weight
    }

    /// The name at run time, without parameters.
    pub fn name(&self) -> &str {
        match self {
            Type::Dyn => "dyn",
            Type::Any => "google.protobuf.Any",
            Type::Error => "*error*",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Null => "null_type",
            Type::Duration => "google.protobuf.Duration",
            Type::Timestamp => "google.protobuf.Timestamp",
            Type::List(_) => "list",
            Type::Map(_) => "map",
            Type::Meta(_) => "type",
            Type::Param(_) => "type_param",
            Type::Object(name) | Type::Opaque(name, _) => name,
        }
    }

    /// The form in messages of the checker (`FormatCELType`).
    pub(crate) fn checker_text(&self) -> String {
        match self {
            Type::Any => "any".into(),
            Type::Duration => "duration".into(),
            Type::Timestamp => "timestamp".into(),
            Type::Error => "!error!".into(),
            Type::Null => "null".into(),
            Type::Param(number) => parameter_name(*number),
            other => {
                let inner: Vec<_> = other.parameters().into_iter().map(Type::checker_text).collect();
                if inner.is_empty() {
                    other.name().into()
                } else {
                    format!("{}({})", other.name(), inner.join(", "))
                }
            }
        }
    }
}

fn parameter_name(number: u32) -> String {
    match u8::try_from(number) {
        Ok(letter) if number < FIRST_VARIABLE => char::from(b'A' + letter).to_string(),
        _ => format!("_var{}", number.saturating_sub(FIRST_VARIABLE)),
    }
}

/// The form of `Type.String()`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Type::Param(number) = self {
            return f.write_str(&parameter_name(*number));
        }
        f.write_str(self.name())?;
        let inner: Vec<_> = self.parameters().into_iter().map(Type::to_string).collect();
        if inner.is_empty() { Ok(()) } else { write!(f, "({})", inner.join(", ")) }
    }
}

/// What stands for type variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping(Vec<(u32, Type)>);

impl Mapping {
    pub(crate) fn find(&self, ty: &Type) -> Option<&Type> {
        let Type::Param(number) = ty else { return None };
        self.0.iter().find(|(n, _)| n == number).map(|(_, found)| found)
    }

    pub(crate) fn add(&mut self, ty: &Type, stands_for: Type) {
        let Type::Param(number) = ty else { return };
        match self.0.iter_mut().find(|(n, _)| n == number) {
            Some((_, old)) => *old = stands_for,
            None => self.0.push((*number, stands_for)),
        }
    }

    /// Replaces bound parameters, and the others by `dyn` if asked.
    pub(crate) fn substitute(&self, ty: &Type, rest_to_dyn: bool) -> Type {
        if let Some(found) = self.find(ty) {
            return self.substitute(found, rest_to_dyn);
        }
        if rest_to_dyn && matches!(ty, Type::Param(_)) {
            return Type::Dyn;
        }
        ty.with_parameters(|inner| self.substitute(inner, rest_to_dyn))
    }

    /// Whether `t1` can be given where `t2` is asked; binds parameters also where it fails, so try it on a copy.
    pub(crate) fn assignable(&mut self, t1: &Type, t2: &Type) -> bool {
        if matches!(t2, Type::Param(_)) {
            match self.valid_substitution(t1, t2) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if matches!(t1, Type::Param(_)) {
            return self.valid_substitution(t2, t1).0;
        }
        if t1.is_dyn_or_error() || t2.is_dyn_or_error() {
            return true;
        }
        match (t1, t2) {
            (Type::Null, other) | (other, Type::Null) => matches!(
                other,
                Type::Null | Type::Object(_) | Type::Opaque(..) | Type::Duration | Type::Timestamp
            ),
            (Type::List(a), Type::List(b)) => self.assignable(a, b),
            (Type::Map(a), Type::Map(b)) => self.assignable(&a.0, &b.0) && self.assignable(&a.1, &b.1),
            (Type::Meta(_), Type::Meta(_)) => true,
            (Type::Opaque(a, inner_a), Type::Opaque(b, inner_b)) => {
                a == b
                    && inner_a.len() == inner_b.len()
                    && inner_a.iter().zip(inner_b.iter()).all(|(x, y)| self.assignable(x, y))
            }
            (a, b) => a == b,
        }
    }

    /// Whether `t1` may stand for the parameter `t2`, and whether something stood for it already.
    fn valid_substitution(&mut self, t1: &Type, t2: &Type) -> (bool, bool) {
        if let Some(bound) = self.find(t2).cloned() {
            if *t1 == bound {
                return (true, true);
            }
            if self.assignable(t1, &bound) {
                let general = most_general(t1, &bound);
                // Only if it is not bound to itself through this assignment.
                if self.not_referenced(t2, &general) {
                    self.add(t2, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.not_referenced(t2, t1) {
            self.add(t2, t1.clone());
            return (true, false);
        }
        (false, false)
    }

    fn not_referenced(&self, parameter: &Type, within: &Type) -> bool {
        if parameter == within {
            return false;
        }
        if matches!(within, Type::Param(_)) {
            return self.find(within).is_none_or(|bound| self.not_referenced(parameter, bound));
        }
        within.parameters().into_iter().all(|inner| self.not_referenced(parameter, inner))
    }
}

/// The more general of two types that unify.
pub(crate) fn most_general(t1: &Type, t2: &Type) -> Type {
    if equal_or_less_specific(t1, t2) { t1.clone() } else { t2.clone() }
}

fn equal_or_less_specific(t1: &Type, t2: &Type) -> bool {
    if t1.is_dyn() || matches!(t1, Type::Param(_)) {
        return true;
    }
    if t2.is_dyn() || matches!(t2, Type::Param(_)) {
        return false;
    }
    match (t1, t2) {
        (Type::List(a), Type::List(b)) => equal_or_less_specific(a, b),
        (Type::Map(a), Type::Map(b)) => {
            equal_or_less_specific(&a.0, &b.0) && equal_or_less_specific(&a.1, &b.1)
        }
        (Type::Meta(_), Type::Meta(_)) => true,
        (Type::Opaque(a, inner_a), Type::Opaque(b, inner_b)) => {
            a == b
                && inner_a.len() == inner_b.len()
                && inner_a.iter().zip(inner_b.iter()).all(|(x, y)| equal_or_less_specific(x, y))
        }
        (a, b) => a == b,
    }
}
