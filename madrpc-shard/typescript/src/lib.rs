//! TypeScript: a module's text without its types.
//!
//! Types are blanked out and nothing is checked, so that every line and column stays as it was written. What TypeScript
//! makes code of (`enum`, `namespace`, properties from parameters, decorators) is refused where it stands: the language is that
//! of TypeScript's own option `erasableSyntaxOnly`, and what is imported is as with `verbatimModuleSyntax`.
//!
//! ```
//! let text = "const half = (n: number): number => n / 2;";
//! assert_eq!(madrpc_typescript::erase(text).unwrap(), "const half = (n        )         => n / 2;");
//! ```

mod code;
mod erase;
mod eraser;
mod memory;
mod nesting;
mod refused;
mod text;

pub use erase::erase;
pub use nesting::{TEXT_MAX_BYTES, stack_bytes};
pub use refused::Refused;
