//! The type check (`checker/checker.go`): every node gets a type, every call its overloads, and names that turn out to be
//! qualified are rewritten.

use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};

use crate::ast::{Comprehension, Expr, Id, Kind, qualified_name};
use crate::decls::Declaration;
use crate::env::Env;
use crate::source::{Issues, Place};
use crate::syntax::Parsed;
use crate::types::{FIRST_VARIABLE, Mapping, Type, most_general};
use crate::value::Value;

/// Largest type of an expression, in nodes: types that share parts grow exponentially otherwise.
const MAX_TYPE: usize = 2_000;

/// The overloads of a call, by their places in the declaration.
pub(crate) type Chosen = SmallVec<[usize; 2]>;

/// What the check found.
pub(crate) struct Checked {
    pub(crate) types: Vec<Type>,
    pub(crate) overloads: Vec<Option<Chosen>>,
}

impl Checked {
    pub(crate) fn ty(&self, id: Id) -> &Type {
        self.types.get(id as usize).unwrap_or(&Type::Dyn)
    }

    pub(crate) fn chosen(&self, id: Id) -> Option<&Chosen> {
        self.overloads.get(id as usize).and_then(Option::as_ref)
    }
}

/// Checks a tree against an environment, and rewrites its qualified names.
///
/// # Errors
/// All complaints.
pub(crate) fn check(env: &Env, parsed: &mut Parsed) -> Result<Checked, Issues> {
    let mut expr = std::mem::replace(&mut parsed.expr, Expr { id: 0, kind: Kind::Literal(Value::Null) });
    let mut checker = Checker {
        env,
        parsed,
        mapping: Mapping::default(),
        variables: FIRST_VARIABLE,
        scopes: Vec::new(),
        types: Vec::new(),
        overloads: Vec::new(),
        issues: Issues::default(),
    };
    checker.check(&mut expr);
    let Checker { mapping, types, overloads, issues, .. } = checker;
    parsed.expr = expr;
    if !issues.is_empty() {
        return Err(issues);
    }
    Ok(Checked { types: types.iter().map(|ty| mapping.substitute(ty, true)).collect(), overloads })
}

struct Checker<'a> {
    env: &'a Env,
    parsed: &'a Parsed,
    mapping: Mapping,
    variables: u32,
    /// Names of comprehensions, innermost last.
    scopes: Vec<(SmolStr, Type)>,
    types: Vec<Type>,
    overloads: Vec<Option<Chosen>>,
    issues: Issues,
}

impl Checker<'_> {
    fn place(&self, expr: &Expr) -> Place {
        self.parsed.place(expr.id)
    }

    fn ty(&self, expr: &Expr) -> Type {
        self.types.get(expr.id as usize).cloned().unwrap_or(Type::Error)
    }

    fn set(&mut self, id: Id, ty: Type) {
        let ty = if ty.weight(MAX_TYPE) < MAX_TYPE {
            ty
        } else {
            self.issues.report(self.parsed.place(id), "type of the expression is too large");
            Type::Error
        };
        let index = id as usize;
        if self.types.len() <= index {
            self.types.resize(index + 1, Type::Error);
        }
        self.types[index] = ty;
    }

    fn fresh(&mut self) -> Type {
        let variable = Type::Param(self.variables);
        self.variables += 1;
        variable
    }

    fn assignable(&mut self, t1: &Type, t2: &Type) -> bool {
        let mut mapping = self.mapping.clone();
        let fits = mapping.assignable(t1, t2);
        if fits {
            self.mapping = mapping;
        }
        fits
    }

    fn mismatch(&mut self, place: Place, expected: &Type, found: &Type) {
        let (expected, found) = (expected.checker_text(), found.checker_text());
        self.issues.report(place, format!("expected type '{expected}' but found '{found}'"));
    }

    fn undeclared(&mut self, place: Place, name: &str) {
        self.issues.report(place, format!("undeclared reference to '{name}' (in container '')"));
    }

    /// The type of a name in the innermost scope that has it.
    fn lookup(&self, name: &str) -> Option<Type> {
        let absolute = name.strip_prefix('.');
        let local = self.scopes.iter().rev().find(|(n, _)| absolute.is_none() && n == name);
        local.map(|(_, ty)| ty.clone()).or_else(|| self.env.ident(absolute.unwrap_or(name)))
    }

    fn check(&mut self, expr: &mut Expr) {
        let (id, place) = (expr.id, self.place(expr));
        match &mut expr.kind {
            Kind::Literal(value) => self.set(id, value.type_of()),
            Kind::Ident(name) => {
                let name = name.clone();
                match self.lookup(&name) {
                    Some(ty) => self.set(id, ty),
                    None => {
                        self.set(id, Type::Error);
                        self.undeclared(place, &name);
                    }
                }
            }
            Kind::Select(_) => self.select(expr),
            Kind::Call(_) => self.call(expr),
            Kind::List(elements) => {
                let mut joined = None;
                for element in elements {
                    self.check(&mut element.value);
                    let ty = self.element_type(&element.value, element.optional);
                    joined = Some(self.join(joined, ty));
                }
                let element = joined.unwrap_or_else(|| self.fresh());
                self.set(id, Type::list(element));
            }
            Kind::Map(entries) => {
                let mut joined = None;
                for entry in entries {
                    self.check(&mut entry.key);
                    let key = self.ty(&entry.key);
                    self.check(&mut entry.value);
                    let value = self.element_type(&entry.value, entry.optional);
                    let (old_key, old_value) = joined.unzip();
                    joined = Some((self.join(old_key, key), self.join(old_value, value)));
                }
                let (key, value) = joined.unwrap_or_else(|| (self.fresh(), self.fresh()));
                self.set(id, Type::map(key, value));
            }
            Kind::Struct(name, values) => {
                let name = name.clone();
                values.iter_mut().for_each(|value| self.check(value));
                self.set(id, Type::Error);
                match self.lookup(&name) {
                    None => self.undeclared(place, &name),
                    Some(ty) => {
                        self.issues.report(place, format!("'{}' is not a message type", ty.checker_text()));
                    }
                }
            }
            Kind::Comprehension(comprehension) => self.comprehension(id, comprehension),
        }
    }

    /// The type of a value in a list or map; of an optional one, what is inside.
    fn element_type(&mut self, value: &Expr, optional: bool) -> Type {
        let ty = self.ty(value);
        if !optional {
            return ty;
        }
        match ty.unwrap_optional() {
            Some(inner) => inner.clone(),
            None => {
                if !ty.is_dyn() {
                    let place = self.place(value);
                    self.mismatch(place, &Type::optional(ty.clone()), &ty);
                }
                ty
            }
        }
    }

    fn join(&mut self, previous: Option<Type>, current: Type) -> Type {
        match previous {
            None => current,
            Some(previous) if self.assignable(&previous, &current) => most_general(&previous, &current),
            Some(_) => Type::Dyn,
        }
    }

    fn select(&mut self, expr: &mut Expr) {
        if let Some(name) = qualified_name(expr)
            && let Some(ty) = self.lookup(&name)
        {
            expr.kind = Kind::Ident(name.into());
            self.set(expr.id, ty);
            return;
        }
        let (id, place) = (expr.id, self.place(expr));
        let Kind::Select(select) = &mut expr.kind else { return };
        let field = select.field.clone();
        let mut ty = self.select_field(place, &mut select.operand, &field, false);
        if select.test {
            ty = Type::Bool;
        }
        let ty = self.mapping.substitute(&ty, false);
        self.set(id, ty);
    }

    fn select_field(&mut self, place: Place, operand: &mut Expr, field: &str, optional: bool) -> Type {
        self.check(operand);
        let operand_type = self.mapping.substitute(&self.ty(operand), false);
        let (target, was_optional) = match operand_type.unwrap_optional() {
            Some(inner) => (inner.clone(), true),
            None => (operand_type, false),
        };
        let result = match &target {
            Type::Map(pair) => pair.1.clone(),
            Type::Object(name) => match self.env.field(name, field) {
                Some(ty) => ty,
                None => {
                    self.issues.report(place, format!("undefined field '{field}'"));
                    Type::Error
                }
            },
            Type::Param(_) => {
                self.assignable(&Type::Dyn, &target);
                Type::Dyn
            }
            other => {
                if !other.is_dyn_or_error() {
                    let text = other.checker_text();
                    self.issues.report(place, format!("type '{text}' does not support field selection"));
                }
                Type::Dyn
            }
        };
        if was_optional || optional { Type::optional(result) } else { result }
    }

    fn call(&mut self, expr: &mut Expr) {
        let (id, place) = (expr.id, self.place(expr));
        let Kind::Call(call) = &mut expr.kind else { return };
        if call.function == "_?._" {
            if let [operand, field] = call.args.as_mut_slice()
                && let Kind::Literal(Value::String(name)) = &field.kind
            {
                let name = name.clone();
                let field_id = field.id;
                let ty = self.select_field(place, operand, &name, true);
                let ty = self.mapping.substitute(&ty, false);
                self.set(field_id, Type::String);
                self.set(id, ty);
                self.choose(id, Chosen::new());
            } else {
                self.issues.report(place, "unsupported optional field selection");
                self.set(id, Type::Error);
            }
            return;
        }
        call.args.iter_mut().for_each(|arg| self.check(arg));
        let env = self.env;
        if let Some(target) = &mut call.target {
            if let Some(prefix) = qualified_name(target) {
                let name = format_smolstr!("{prefix}.{}", call.function);
                if let Some(declaration) = env.functions.get(name.as_str()) {
                    call.function = name;
                    call.target = None;
                    self.resolve(id, &call.function, declaration, None, &call.args);
                    return;
                }
            }
            self.check(target);
        }
        match env.functions.get(call.function.as_str()) {
            Some(declaration) => {
                self.resolve(id, &call.function, declaration, call.target.as_ref(), &call.args);
            }
            None => {
                self.set(id, Type::Error);
                self.undeclared(place, &call.function);
            }
        }
    }

    fn choose(&mut self, id: Id, chosen: Chosen) {
        let index = id as usize;
        if self.overloads.len() <= index {
            self.overloads.resize(index + 1, None);
        }
        self.overloads[index] = Some(chosen);
    }

    fn resolve(
        &mut self,
        id: Id,
        name: &str,
        declaration: &Declaration,
        target: Option<&Expr>,
        args: &[Expr],
    ) {
        let types: Vec<Type> = target.into_iter().chain(args).map(|arg| self.ty(arg)).collect();
        if matches!(name, "_&&_" | "_||_") {
            self.logical(id, args, &types);
            return;
        }
        let (mut chosen, mut result): (Chosen, Option<Type>) = (Chosen::new(), None);
        for (index, overload) in declaration.overloads.iter().enumerate() {
            if overload.member != target.is_some() || overload.args.len() != types.len() {
                continue;
            }
            let mut instance = Mapping::default();
            let mut instantiate = |checker: &mut Self, ty: &Type| checker.instantiate(&mut instance, ty);
            let wanted: Vec<Type> = overload.args.iter().map(|ty| instantiate(self, ty)).collect();
            let gives = instantiate(self, &overload.result);
            let mut mapping = self.mapping.clone();
            if types.iter().zip(&wanted).all(|(t, w)| mapping.assignable(t, w)) {
                self.mapping = mapping;
                chosen.push(index);
                let gives = self.mapping.substitute(&gives, false);
                result = Some(match result {
                    Some(previous) if !previous.is_dyn() && previous != gives => Type::Dyn,
                    Some(previous) => previous,
                    None => gives,
                });
            }
        }
        match result {
            Some(ty) => {
                self.set(id, ty);
                self.choose(id, chosen);
            }
            None => {
                let texts: Vec<String> =
                    types.iter().map(|ty| self.mapping.substitute(ty, true).checker_text()).collect();
                let signature = match (target, texts.split_first()) {
                    (Some(_), Some((receiver, rest))) => format!("{receiver}.({})", rest.join(", ")),
                    _ => format!("({})", texts.join(", ")),
                };
                let message = format!("found no matching overload for '{name}' applied to '{signature}'");
                self.issues.report(self.parsed.place(id), message);
                self.set(id, Type::Error);
            }
        }
    }

    /// A declared type with fresh variables for its parameters.
    fn instantiate(&mut self, instance: &mut Mapping, ty: &Type) -> Type {
        if matches!(ty, Type::Param(_)) {
            if let Some(found) = instance.find(ty) {
                return found.clone();
            }
            let fresh = self.fresh();
            instance.add(ty, fresh.clone());
            return fresh;
        }
        ty.with_parameters(|inner| self.instantiate(instance, inner))
    }

    fn logical(&mut self, id: Id, args: &[Expr], types: &[Type]) {
        let mut fits = true;
        for (arg, ty) in args.iter().zip(types) {
            if !self.assignable(ty, &Type::Bool) {
                let place = self.place(arg);
                self.mismatch(place, &Type::Bool, ty);
                fits = false;
            }
        }
        self.set(id, if fits { Type::Bool } else { Type::Error });
        self.choose(id, Chosen::from_slice(&[0]));
    }

    fn comprehension(&mut self, id: Id, c: &mut Comprehension) {
        self.check(&mut c.range);
        self.check(&mut c.init);
        let range = self.mapping.substitute(&self.ty(&c.range), false);
        let accu = self.ty(&c.init);
        let outer = self.scopes.len();
        self.scopes.push((c.accu.clone(), accu.clone()));
        let (first, second) = match &range {
            Type::List(element) if c.var2.is_some() => (Type::Int, (**element).clone()),
            Type::List(element) => ((**element).clone(), Type::Dyn),
            Type::Map(pair) => (pair.0.clone(), pair.1.clone()),
            Type::Dyn | Type::Any | Type::Error | Type::Param(_) => {
                self.assignable(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let text = other.checker_text();
                let place = self.place(&c.range);
                let message = format!(
                    "expression of type '{text}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.issues.report(place, message);
                (Type::Error, Type::Error)
            }
        };
        self.scopes.push((c.var.clone(), first));
        if let Some(var2) = &c.var2 {
            self.scopes.push((var2.clone(), second));
        }
        self.check(&mut c.condition);
        self.assert(&c.condition, &Type::Bool);
        self.check(&mut c.step);
        self.assert(&c.step, &accu);
        self.scopes.truncate(outer + 1);
        self.check(&mut c.result);
        self.scopes.truncate(outer);
        let ty = self.mapping.substitute(&self.ty(&c.result), false);
        self.set(id, ty);
    }

    fn assert(&mut self, expr: &Expr, expected: &Type) {
        let found = self.ty(expr);
        if !self.assignable(expected, &found) {
            let place = self.place(expr);
            self.mismatch(place, expected, &found);
        }
    }
}
