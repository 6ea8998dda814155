//! Macros beyond those of the parser: bindings, optionals, two-variable comprehensions and `sortBy`
//! (cel-go `cel/library.go`, `ext/bindings.go`, `ext/comprehensions.go`, `ext/lists.go`).

use smol_str::SmolStr;

use crate::ast::{ACCUMULATOR, Call, Comprehension, Element, Expr, Kind, UNUSED};
use crate::source::Place;
use crate::syntax::Builder;
use crate::value::Value;

/// The hidden name of what `sortBy` sorts.
const SORT_INPUT: &str = "@__sortBy_input__";

/// Expands the call if it is a macro's; otherwise gives it back.
pub(crate) fn expand(builder: &mut Builder<'_>, place: Place, mut call: Call) -> Result<Expr, Call> {
    let Some(target) = call.target.take() else { return Err(call) };
    let mut make = Make { builder, place };
    let args = std::mem::take(&mut call.args);
    let expanded = match (call.function.as_str(), args.len()) {
        ("bind", 3) if matches!(&target.kind, Kind::Ident(name) if name == "cel") => make.bind(&target, args),
        ("optMap", 2) => make.optional(target, args, true),
        ("optFlatMap", 2) => make.optional(target, args, false),
        ("all" | "exists" | "existsOne" | "exists_one", 3) => make.quantifier(&call.function, target, args),
        ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => {
            make.transform(&call.function, target, args)
        }
        ("sortBy", 2) if make.builder.sort_by => make.sort_by(target, args),
        _ => return Err(Call { target: Some(target), args, ..call }),
    };
    Ok(expanded)
}

/// Makes nodes at the place of the macro.
struct Make<'a, 'b> {
    builder: &'a mut Builder<'b>,
    place: Place,
}

impl Make<'_, '_> {
    fn node(&mut self, kind: Kind) -> Expr {
        self.builder.node(self.place, kind)
    }

    fn literal(&mut self, value: Value) -> Expr {
        self.node(Kind::Literal(value))
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.node(Kind::Ident(name.into()))
    }

    fn accu(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn list(&mut self, values: Vec<Expr>) -> Expr {
        self.node(Kind::List(values.into_iter().map(|value| Element { value, optional: false }).collect()))
    }

    fn call(&mut self, function: &'static str, args: Vec<Expr>) -> Expr {
        self.node(Kind::Call(Box::new(Call { function: SmolStr::new_static(function), target: None, args })))
    }

    fn member(&mut self, function: &'static str, target: Expr, args: Vec<Expr>) -> Expr {
        let function = SmolStr::new_static(function);
        self.node(Kind::Call(Box::new(Call { function, target: Some(target), args })))
    }

    fn fold(&mut self, comprehension: Comprehension) -> Expr {
        self.node(Kind::Comprehension(Box::new(comprehension)))
    }

    /// A simple name, or a complaint and a stand-in.
    fn name(&mut self, expr: &Expr, complaint: &str) -> SmolStr {
        if let Kind::Ident(name) = &expr.kind {
            return name.clone();
        }
        let place = self.builder.place(expr.id);
        self.builder.complain(place, complaint);
        UNUSED.into()
    }

    /// `result` with `name` bound to `init`.
    fn binding(&mut self, name: SmolStr, init: Expr, result: Expr) -> Expr {
        let comprehension = Comprehension {
            range: self.list(Vec::new()),
            var: UNUSED.into(),
            var2: None,
            init,
            condition: self.literal(Value::Bool(false)),
            step: self.ident(&name),
            accu: name,
            result,
        };
        self.fold(comprehension)
    }

    fn bind(&mut self, target: &Expr, args: Vec<Expr>) -> Expr {
        let [name, init, result] = three(args);
        let complaint = "cel.bind() variable names must be simple identifiers";
        let name = match &name.kind {
            Kind::Ident(name) => name.clone(),
            _ => {
                let place = self.builder.place(target.id);
                self.builder.complain(place, complaint);
                UNUSED.into()
            }
        };
        self.binding(name, init, result)
    }

    fn optional(&mut self, target: Expr, args: Vec<Expr>, wrap: bool) -> Expr {
        let [name, result, _] = three(args);
        let function = if wrap { "optMap" } else { "optFlatMap" };
        let name = self.name(&name, &format!("{function}() variable name must be a simple identifier"));
        let Some(copy) = self.builder.copy(&target) else {
            self.builder.complain(self.place, "expression is too large: optional macros repeat their target");
            return target;
        };
        let value = self.member("value", target, Vec::new());
        let bound = self.binding(name, value, result);
        let some = if wrap { self.call("optional.of", vec![bound]) } else { bound };
        let has = self.member("hasValue", copy, Vec::new());
        let none = self.call("optional.none", Vec::new());
        self.call("_?_:_", vec![has, some, none])
    }

    fn two_names(&mut self, args: &[Expr]) -> (SmolStr, SmolStr) {
        let mut names = args.iter().map(|arg| self.name(arg, "argument must be a simple name"));
        let first = names.next().unwrap_or_default();
        (first, names.next().unwrap_or_default())
    }

    fn quantifier(&mut self, function: &str, range: Expr, mut args: Vec<Expr>) -> Expr {
        let predicate = args.pop().unwrap_or_else(|| self.literal(Value::Null));
        let (var, var2) = self.two_names(&args);
        let accu = self.accu();
        let (init, condition, step, result) = match function {
            "all" => {
                let condition = self.call("@not_strictly_false", vec![accu]);
                let accu = self.accu();
                let step = self.call("_&&_", vec![accu, predicate]);
                (self.literal(Value::Bool(true)), condition, step, self.accu())
            }
            "exists" => {
                let not = self.call("!_", vec![accu]);
                let condition = self.call("@not_strictly_false", vec![not]);
                let accu = self.accu();
                let step = self.call("_||_", vec![accu, predicate]);
                (self.literal(Value::Bool(false)), condition, step, self.accu())
            }
            _ => {
                let one = self.literal(Value::Int(1));
                let more = self.call("_+_", vec![accu, one]);
                let same = self.accu();
                let step = self.call("_?_:_", vec![predicate, more, same]);
                let (count, one) = (self.accu(), self.literal(Value::Int(1)));
                let result = self.call("_==_", vec![count, one]);
                (self.literal(Value::Int(0)), self.literal(Value::Bool(true)), step, result)
            }
        };
        let accu = ACCUMULATOR.into();
        self.fold(Comprehension { range, var, var2: Some(var2), accu, init, condition, step, result })
    }

    fn transform(&mut self, function: &str, range: Expr, mut args: Vec<Expr>) -> Expr {
        let transform = args.pop().unwrap_or_else(|| self.literal(Value::Null));
        let filter = if args.len() == 3 { args.pop() } else { None };
        let (var, var2) = self.two_names(&args);
        let accu = self.accu();
        let mut step = match function {
            "transformList" => {
                let item = self.list(vec![transform]);
                self.call("_+_", vec![accu, item])
            }
            "transformMap" => {
                let key = self.ident(&var);
                self.call("cel.@mapInsert", vec![accu, key, transform])
            }
            _ => self.call("cel.@mapInsert", vec![accu, transform]),
        };
        if let Some(filter) = filter {
            let same = self.accu();
            step = self.call("_?_:_", vec![filter, step, same]);
        }
        let init = if function == "transformList" {
            self.list(Vec::new())
        } else {
            self.node(Kind::Map(Vec::new()))
        };
        let (condition, result) = (self.literal(Value::Bool(true)), self.accu());
        let accu = ACCUMULATOR.into();
        self.fold(Comprehension { range, var, var2: Some(var2), accu, init, condition, step, result })
    }

    fn sort_by(&mut self, target: Expr, args: Vec<Expr>) -> Expr {
        if matches!(target.kind, Kind::Literal(_) | Kind::Map(_) | Kind::Struct(..)) {
            let place = self.builder.place(target.id);
            let complaint =
                "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
            self.builder.complain(place, complaint);
        }
        let [name, key, _] = three(args);
        let var = self.name(&name, "argument is not an identifier");
        let (range, item, accu) = (self.ident(SORT_INPUT), self.list(vec![key]), self.accu());
        let keys = Comprehension {
            range,
            var,
            var2: None,
            accu: ACCUMULATOR.into(),
            init: self.list(Vec::new()),
            condition: self.literal(Value::Bool(true)),
            step: self.call("_+_", vec![accu, item]),
            result: self.accu(),
        };
        let keys = self.fold(keys);
        let input = self.ident(SORT_INPUT);
        let sorted = self.member("@sortByAssociatedKeys", input, vec![keys]);
        self.binding(SORT_INPUT.into(), target, sorted)
    }
}

/// The first three; macros are expanded by the number of their arguments, so none is missing where it is used.
fn three(args: Vec<Expr>) -> [Expr; 3] {
    let mut args = args.into_iter();
    let mut next = || args.next().unwrap_or(Expr { id: 0, kind: Kind::Literal(Value::Null) });
    [next(), next(), next()]
}
