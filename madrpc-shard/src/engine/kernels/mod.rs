//! Kernels: numeric functions of a script's, compiled, and called by it like any other.
//!
//! ```text
//!  madrpc.kernel(fn, captured)      kernels.js   what may be captured
//!    │ text, place, names           make         finds it among the script's kernels, or has it compiled
//!    ▼
//!  table                            one for the script, whatever lanes there are: each kernel once
//!  specialisations                  and once for the kinds of arguments that it is called with, as long as that is used
//!    ▼
//!  compiler                         a thread beside the shards, which does jobs
//!    ┊
//!  call                             from JavaScript, on the lane's stack, on its arrays in place
//! ```
//!
//! The compiler itself, and what kernels may say, is in [`madrpc_kernels`]. While a kernel runs nothing else does in its lane, so its
//! arrays stay where they are. It looks at the flag of its thread's (see [`preempt`](super::preempt)), by which it is asked
//! for the core and ended like all else that runs in a lane.

mod array;
mod call;
mod compiler;
mod job;
mod lane;
mod make;
mod specialisations;
mod table;

pub(super) use lane::LaneKernels;
#[cfg(feature = "wasm")]
pub(super) use lane::wait_until;
pub(super) use make::object;
pub use table::KernelInfo;
pub(super) use table::Kernels;

#[cfg(test)]
mod arrays_tests;
#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod tests;
