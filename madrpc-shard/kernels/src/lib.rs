//! The compiler of kernels: numeric JavaScript in, a native function out. It knows nothing of an engine, of lanes or of calls.
//!
//! ```text
//!  text of a function ─▶ Kernel::new ─▶ Kernel        read, names and forms checked; whatever the arguments will be
//!                                         │ specialise(kinds of the arguments)
//!                                         ▼
//!                                       Compiled      types found, machine code in memory that is sealed and executable
//!                                         │ call(context, arguments, result)
//!                                         ▼
//!                                       Status        done, stopped, out of bounds, or the stack is used up
//! ```
//!
//! # What the host does
//!
//! 1. [`Kernel::new`] with what `Function.prototype.toString` gave and the captured constants and kernels. A [`Refused`] is
//!    one line for whoever wrote the script.
//! 2. [`Kernel::specialise`] for the kinds of a call's arguments, on a thread with [`STACK`] bytes of stack, not on a shard:
//!    it takes from a tenth of a millisecond up. Numbers that are whole and fit 32 bits (and are not -0) are best passed as
//!    [`ArgumentKind::Int32`], however the engine holds them: loops over them are a few times faster. What was compiled for
//!    [`ArgumentKind::Double`] takes any number.
//! 3. [`Compiled::call`], from any thread; nothing of it is shared but the code. Arrays are used in place: an [`Array`] says
//!    where the elements are. While the kernel runs, the host sees to it that they stay there, but for the time in
//!    [`Context::on_interrupt`]: afterwards the kernel reads all its [`Array`]s anew.
//!
//! # The subset
//!
//! `function name(…) {…}` over numbers, booleans and typed arrays; the arrays are parameters, and a kernel returns a number, a
//! boolean or nothing. `let` and `const` with a value, `if`, `for`, `while`, `do`, `switch`, labels, `break`, `continue`, `return`;
//! all operators on numbers and booleans but `typeof`, `void`, `in` and `??`; `a[i]`, `a.length`; `Math`, but for `random`; calls of
//! itself and of captured kernels. One variable is either a number or a boolean.
//!
//! # Interrupts
//!
//! At the head of each loop and in each recursive call, the kernel looks at [`Context::interrupt`]. When that is not zero it
//! calls [`Context::on_interrupt`], which may suspend the stack it runs on, resets the flag, and says whether the kernel goes on.
//!
//! # Meaning
//!
//! Results equal the engine's bit for bit, with one exception: an index that is no place in the array (outside of it, a
//! fraction, NaN) ends the call with [`Status::OutOfBounds`], where JavaScript reads `undefined` and ignores writes. `Math`
//! calls the functions of the C library that the engine calls.
//!
//! # Bounds
//!
//! A text of [`MAX_TEXT_BYTES`], [`MAX_PARAMETERS`] parameters, expressions and statements nested [`MAX_DEPTH`] deep (long sums and
//! `else if` after `else if` are not nested),
//! [`MAX_VARIABLES`] variables, [`MAX_LOOPS`] loops, [`MAX_EXPRESSIONS`] operations, and [`MAX_TOGETHER`] with the kernels that
//! it calls, [`MAX_CALL_DEPTH`] deep: what is beyond is refused. So is what is within all that and would take long all the
//! same: types that are not found in [`MAX_STEPS`], and a function whose registers would take more than about two seconds to
//! give out. A kernel of thirty lines takes about a millisecond; none takes more than some seconds, and 300 MB.
//!
//! # Machines
//!
//! All tests ran on x86-64 alone. For aarch64 there is Cranelift and [`synchronise_code`], and nothing has been tried: `cargo check
//! --target aarch64-unknown-linux-gnu` had no standard library where this was written. Unproven are the calls and the same bits.

mod abi;
mod emit;
mod kernel;
mod limits;
mod math;
mod memory;
mod read;
mod refused;
mod text;
mod tree;
mod types;

pub use abi::{
    ArgumentKind, Array, Context, Decision, ElementKind, Fault, MAX_LENGTH, Place, ResultKind,
    Slot, Status,
};
pub use kernel::Compiled;
pub use limits::{
    Budget, MAX_CALL_DEPTH, MAX_DEPTH, MAX_EXPRESSIONS, MAX_LOOPS, MAX_PARAMETERS, MAX_STEPS,
    MAX_TEXT_BYTES, MAX_TOGETHER, MAX_VARIABLES, STACK,
};
pub use memory::{sealed_code, synchronise_code};
pub use refused::{Reason, Refused};
pub use tree::{Captured, Kernel, Parameter, Usage};
