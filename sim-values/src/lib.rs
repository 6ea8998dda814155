//! Values of the Kubernetes API that are texts, with the arithmetic and the messages of apimachinery:
//!
//! - [`quantity`]: `500m`, `1Gi`: exact numbers with suffixes;
//! - [`syntax`]: what names, labels and keys may look like, and how Go quotes.
//!
//! Invariant: no floats in arithmetic, no object of the API, no simulation. The API server (`sim-core`, which shows both under its
//! own name) and CEL (`sim-cel`) stand on it.
//!
//! ```
//! use sim_values::quantity::Quantity;
//! use sim_values::syntax::is_dns1123_label;
//!
//! let mut memory: Quantity = "512Mi".parse().unwrap();
//! memory.add(&"0.5Gi".parse().unwrap());
//! assert_eq!((memory.to_string().as_str(), memory.value()), ("1Gi", 1 << 30));
//! assert!(is_dns1123_label("web-1").is_empty());
//! ```

pub mod quantity;
pub mod syntax;
