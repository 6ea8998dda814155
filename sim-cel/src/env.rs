//! Environments: the functions of Kubernetes, plus the variables of one use.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::check::check;
use crate::cost;
use crate::decls::{self, Functions};
use crate::failure::Failure;
use crate::plan;
use crate::program::Program;
use crate::source::Text;
use crate::syntax;
use crate::types::Type;
use crate::validate::validate;

/// A declared type of variables, with the bounds that the cost estimate needs (`DeclType` of `k8s.io/apiserver/pkg/cel`).
#[derive(Clone, Debug)]
pub struct Decl {
    ty: Type,
    /// Most characters, bytes or entries; 0 counts as nothing to traverse.
    max_elements: u64,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    Scalar,
    Map(Box<(Decl, Decl)>, bool),
    Object(Vec<(SmolStr, Decl)>),
}

impl Decl {
    /// A type without parts. `max_elements` bounds a string's characters.
    pub fn scalar(ty: Type, max_elements: u64) -> Decl {
        Decl { ty, max_elements, shape: Shape::Scalar }
    }

    /// A map with at most so many entries.
    pub fn map(key: Decl, value: Decl, max_elements: u64) -> Decl {
        let ty = Type::map(key.ty.clone(), value.ty.clone());
        Decl { ty, max_elements, shape: Shape::Map(Box::new((key, value)), false) }
    }

    /// For a map: a selection `.name` is as large as any value, also to the cost estimate.
    pub fn selectable(mut self) -> Decl {
        if let Shape::Map(_, selectable) = &mut self.shape {
            *selectable = true;
        }
        self
    }

    /// An object with fields.
    pub fn object(name: &str, fields: Vec<(&str, Decl)>) -> Decl {
        let fields = fields.into_iter().map(|(field, decl)| (field.into(), decl)).collect();
        Decl { ty: Type::object(name), max_elements: 0, shape: Shape::Object(fields) }
    }

    fn part(&self, step: &str) -> Option<&Decl> {
        match (&self.shape, step) {
            (Shape::Map(parts, _), "@values" | "@items") => Some(&parts.1),
            (Shape::Map(parts, _), "@keys") => Some(&parts.0),
            (Shape::Map(parts, true), _) => Some(&parts.1),
            (Shape::Object(fields), field) => fields.iter().find(|(n, _)| n == field).map(|(_, decl)| decl),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
struct Variable {
    name: SmolStr,
    decl: Decl,
    /// What the cost estimate takes it for, if its type has parts that this environment does not show.
    sized_as: Decl,
}

/// What an expression may use.
#[derive(Clone, Debug)]
pub struct Env {
    pub(crate) functions: Arc<Functions>,
    variables: Vec<Variable>,
    /// Whether `sortBy` is a macro.
    sort_by: bool,
}

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// Syntax, types or literals are wrong; every complaint with its place.
    #[error("compilation failed: {0}")]
    Invalid(String),
    /// It gives something that is not wanted.
    #[error("must evaluate to {wanted} or the unknown type, not {found}")]
    Output {
        /// The wanted type.
        wanted: String,
        /// What it gives.
        found: String,
    },
    /// A constant part of it fails.
    #[error("program instantiation failed: {0}")]
    Constant(String),
}

impl Env {
    /// The environment that all of Kubernetes 1.34 starts from, without variables: what stored expressions may use.
    pub fn kubernetes() -> Env {
        Env { functions: Arc::new(decls::functions()), variables: Vec::new(), sort_by: true }
    }

    /// Without what version 1.33 does not know: what is written now must still be understood when the API server goes back
    /// one version (`DefaultCompatibilityVersion`). In 1.34 that is cel-go's library of lists.
    pub fn for_new_expressions(mut self) -> Env {
        Arc::make_mut(&mut self.functions).retain(|name, _| !decls::SINCE_1_34.contains(&name.as_str()));
        self.sort_by = false;
        self
    }

    /// One more variable.
    pub fn with_variable(self, name: &str, decl: Decl) -> Env {
        let sized_as = decl.clone();
        self.with_sized_variable(name, decl, sized_as)
    }

    /// One more variable whose cost is estimated as if it had another type.
    pub fn with_sized_variable(mut self, name: &str, decl: Decl, sized_as: Decl) -> Env {
        self.variables.push(Variable { name: name.into(), decl, sized_as });
        self
    }

    /// Compiles a condition, which gives a `bool`, or something known only at run time.
    ///
    /// # Errors
    /// [`CompileError`], in cel-go's words.
    pub fn compile_condition(&self, text: &str) -> Result<Program, CompileError> {
        let source = Text(text);
        let invalid = |issues: crate::source::Issues| CompileError::Invalid(issues.display(&source));
        let mut parsed = syntax::parse(text, self.sort_by).map_err(invalid)?;
        let checked = check(self, &mut parsed).map_err(invalid)?;
        let issues = validate(&parsed, &checked);
        if !issues.is_empty() {
            return Err(invalid(issues));
        }
        let output = checked.ty(parsed.expr.id).clone();
        if !matches!(output, Type::Bool | Type::Any) {
            return Err(CompileError::Output { wanted: Type::Bool.to_string(), found: output.to_string() });
        }
        let plan = plan::plan(self, &parsed.expr, &checked)
            .map_err(|failure: Failure| CompileError::Constant(failure.to_string()))?;
        let max_cost = cost::estimate(self, &parsed.expr, &checked).max;
        Ok(Program::new(plan, output, max_cost))
    }

    /// The number of a variable.
    pub(crate) fn variable(&self, name: &str) -> Option<usize> {
        self.variables.iter().position(|v| v.name == name)
    }

    /// The type of a variable or of the name of a type.
    pub(crate) fn ident(&self, name: &str) -> Option<Type> {
        let variable = self.variables.iter().find(|v| v.name == name).map(|v| v.decl.ty.clone());
        variable.or_else(|| self.named_type(name).map(|ty| Type::Meta(Some(Arc::new(ty)))))
    }

    /// The type of a name that means one.
    pub(crate) fn named_type(&self, name: &str) -> Option<Type> {
        Some(match name {
            "bool" => Type::Bool,
            "bytes" => Type::Bytes,
            "double" => Type::Double,
            "google.protobuf.Duration" => Type::Duration,
            "google.protobuf.Timestamp" => Type::Timestamp,
            "int" => Type::Int,
            "list" => Type::list(Type::Dyn),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            "null_type" => Type::Null,
            "string" => Type::String,
            "type" => Type::Meta(None),
            "uint" => Type::Uint,
            "optional_type" => Type::optional(Type::Dyn),
            "net.IP" | "net.CIDR" => Type::Opaque(name.into(), Arc::new([])),
            _ => self.variables.iter().find(|v| v.decl.ty.name() == name).map(|v| v.decl.ty.clone())?,
        })
    }

    /// The type of an object's field.
    pub(crate) fn field(&self, object: &str, field: &str) -> Option<Type> {
        let owner = self.variables.iter().find(|v| v.decl.ty.name() == object)?;
        owner.decl.part(field).map(|decl| decl.ty.clone())
    }

    /// The largest size of what a path leads to; `None` if nobody knows.
    pub(crate) fn max_size(&self, path: &[SmolStr]) -> Option<u64> {
        let (root, rest) = path.split_first()?;
        let mut decl = &self.variables.iter().find(|v| v.name == *root)?.sized_as;
        for step in rest {
            decl = decl.part(step)?;
        }
        Some(decl.max_elements)
    }
}
