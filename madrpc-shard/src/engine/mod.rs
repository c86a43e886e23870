//! The JavaScript engine: scripts, lanes and the way between wire bytes and JavaScript values.
//!
//! ```text
//! wire bytes ─▶ values ─▶ function ─▶ values ─▶ wire bytes
//!               └──────────── one lane ────────────┘
//! ```
//!
//! A lane is one QuickJS runtime with the script loaded, on a stack of its own, so that a call can be put aside in the
//! middle and taken up again. There is one runtime for each lane because QuickJS cannot have two calls suspended on
//! one runtime. Numeric functions of a script's are compiled and run beside it, on the same stack and arrays, see
//! `kernels`; WebAssembly, where the build has it, on a stack of its own, see `wasm`. Nothing here knows sessions or shards.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod child_calls;
mod exception;
mod exchange;
mod faults;
mod globals;
mod harden;
mod heap;
mod host;
mod image;
mod kernels;
mod lane;
mod life;
mod limits;
mod modules;
mod options;
mod packing;
pub(crate) mod preempt;
mod program;
mod random;
mod script;
mod stack;
mod stream;
mod typescript;
mod values;
#[cfg(feature = "wasm")]
mod wasm;
#[cfg(not(feature = "wasm"))]
#[path = "wasm/absent.rs"]
mod wasm;

#[cfg(any(test, feature = "internals"))]
pub(crate) use child_calls::echo_items;
pub(crate) use child_calls::{Answer, CHILDREN_MAX, ChildCall, Order};
pub(crate) use exchange::Outcome;
pub(crate) use heap::LARGE_BLOCKS_MAX;
pub use kernels::KernelInfo;
pub(crate) use lane::{Lane, Loaded, Loading, Progress};
pub use limits::{DEFAULT_CPU, DEFAULT_MEMORY_BYTES, LaneConfig, MEMORY_MIN_BYTES};
pub(crate) use modules::file_text;
pub use options::{Options, Registration};
pub(crate) use packing::Model;
pub use preempt::Preemption;
pub use script::{Script, ScriptError};
