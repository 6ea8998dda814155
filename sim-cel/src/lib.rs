//! CEL as Kubernetes 1.34 has it: the language of cel-go 0.26 with the functions of the API server's environments
//! (`k8s.io/apiserver/pkg/cel/environment/base.go`).
//!
//! The parser is that of the `cel` crate; the type check, the evaluator, the estimate of costs and the costs as they happen are
//! written here, so that results, errors and costs are upstream's. An [`Env`] says what an expression may use, a [`Program`] is
//! compiled once and evaluated often.
//!
//! Invariants: no object of the simulation is known here; no expression hangs, overflows the stack or takes unbounded memory —
//! nesting ends in upstream's recursion error, everything else in its cost error; the same program and values give the same
//! outcome and cost.
//!
//! ```
//! use sim_cel::{Decl, Env, Map, Type, Value};
//! use std::sync::Arc;
//!
//! // A variable `labels` of at most 64 labels.
//! let text = || Decl::scalar(Type::String, 63);
//! let env = Env::kubernetes().with_variable("labels", Decl::map(text(), text(), 64));
//! let program = env.compile_condition("labels.app == 'web' && labels.?tier.orValue('none') != 'db'")?;
//!
//! let mut labels = Map::new();
//! labels.insert(Value::string("app"), Value::string("web"));
//! let evaluation = program.evaluate(&[Value::Map(Arc::new(labels))], 1_000_000);
//! assert_eq!(evaluation.outcome.unwrap().as_condition(), Ok(true));
//! assert!(evaluation.cost <= program.max_cost());
//! # Ok::<(), sim_cel::CompileError>(())
//! ```

mod ast;
mod check;
mod collections;
mod cost;
mod decls;
pub mod device;
mod env;
mod equality;
mod eval;
mod expecting;
mod failure;
mod functions;
mod macros;
mod meter;
mod nesting;
mod plan;
mod program;
mod semver;
mod source;
mod syntax;
mod types;
mod validate;
mod value;

pub use collections::{List, Map, Object};
pub use env::{CompileError, Decl, Env};
pub use failure::Failure;
pub use program::{Evaluation, Program};
pub use semver::Semver;
pub use types::Type;
pub use value::{Timestamp, Value};
