//! `WebAssembly` for scripts, as the specification's JavaScript interface has it, on wasmtime.
//!
//! ```text
//!  new WebAssembly.Module(bytes)    webassembly.js   the classes, and what they check and convert
//!    │ bytes                        host             what those ask for
//!    ▼
//!  compiler                         a thread beside the shards; a module is compiled once in the process, see `module`
//!    ┊
//!  store                            one for each lane that has instances: their functions, memories, tables, globals
//!    ▲
//!    │ runs, suspends, asks         drive            whoever calls an export polls it, and runs what it imports
//!  call                             from JavaScript
//! ```
//!
//! A store has one owner at a time. While WebAssembly runs that is a future, which has a stack of its own (JavaScript must not run
//! there, and the lane must not be suspended there). Where it imports a function it stores what it wants and is pending: the lane
//! runs the JavaScript and hands the result over. What that JavaScript asks of the store, calls of exports among it, is handed to the
//! same future, which has it done by the function that waits. After so many instructions the future is pending likewise, and
//! the lane looks at the clock.
//!
//! Nothing of it is on the lane's stack or heap but numbers and handles of JavaScript: a lane that is thrown away drops the future,
//! then the store. A lane whose script has made instances while it loaded is not renewed by copying its memory back, as the store
//! cannot be: it is made anew.
//!
//! Memory is a mapping that never moves and never shrinks while the lane is used, so that an ArrayBuffer over it stays valid
//! whatever a script does with it; when a memory grows, its buffer is detached.

mod bulk;
mod call;
mod compiler;
mod configuration;
mod drive;
mod file;
mod host;
mod lane;
mod limits;
mod memory;
mod module;
mod store;
mod things;
mod values;

pub(super) use file::module_text;
pub(super) use host::maker;
pub(super) use lane::{LaneWasm, Mark};

/// There is nothing to be told of where it is missing.
pub(super) fn hint(_: &str) -> Option<String> {
    None
}

#[cfg(test)]
mod tests;
