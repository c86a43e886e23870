//! Preemption: how a lane loses the core that does not give it back.
//!
//! A lane gives the core back where QuickJS asks the host, between the steps of JavaScript. Inside a built-in it does not ask:
//! one `includes` can take ten seconds, and a `join` of 2³² elements as good as for ever. For those there is force:
//!
//! ```text
//!  timer            rings when a lane has had its slice and some grace
//!    │ signal       to the shard's thread, on whatever stack it is: the lane's
//!    ▼
//!  handler          looks whether the lane may be stopped where it is, see `code` and `stoppable`
//!    │              suspends it, from within the handler
//!    ▼
//!  Lane::resume     returns to the shard, as if the lane had given the core back
//!    ┊              …other calls…
//!  Lane::resume     the handler returns, into the middle of the built-in
//! ```
//!
//! A lane that was stopped so owns all that it is in the middle of: its stack, its heap with the allocator in it, and the
//! processor's registers, which the kernel has put on its stack. So it can go on later, or never: one whose call has to end is
//! not resumed, and its stack and heap are unmapped, see [`Lane`](super::lane::Lane).
//!
//! A kernel is compiled code, which asks nobody: it looks at a flag of its lane's, which is set when the slice is over, by the same
//! timer, or where lanes are not stopped by force by a thread that has nothing else to do, see `ticker`.
//!
//! That holds only for code whose every step touches nothing but the lane's own. So a lane may be stopped by force in
//! [`stoppable`] alone, and not in what the host does for it, where others would find a borrowed cell or a lock that is held.
//!
//! What force makes needless is not done besides. Built-ins are the engine's own: a search in linear time, lengths below 2³² or
//! `normalize` in slices would be copies of them to keep equal, and would leave all others. The engine's counter of polls is not
//! set by the timer: that took 4 to 6 % of the processor and a place in the engine's memory that has to be guessed (the prototype
//! measured it), and a loop of short built-ins is stopped by force as soon as a long one.
//!
//! A process bears as many stopped calls as come: a lane is taken back to its image, which leaves nothing. One without an image
//! (a heap beyond 4 MB once loaded, or instances of WebAssembly) is thrown away, and leaves the 3 KB that Rust held on its stack:
//! 100 MB after 30,000 of them.

mod code;
mod flag;
mod handler;
mod self_test;
mod ticker;
mod timer;

pub(super) use handler::{Stoppable, run};
pub(super) use ticker::{run_ticking, tick_here};

use code::Code;
use std::cell::Cell;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{Ordering, compiler_fence};

/// How lanes lose the core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preemption {
    /// Where the engine asks the host, and by force in built-ins that take too long.
    #[default]
    Forced,
    /// Only where the engine asks the host: a long built-in keeps the core, whatever waits.
    Polling,
}

impl Preemption {
    /// The names of both, as they are read.
    pub const NAMES: [&str; 2] = ["forced", "polling"];
}

impl FromStr for Preemption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "forced" => Ok(Self::Forced),
            "polling" => Ok(Self::Polling),
            _ => Err(format!("expected one of {}", Self::NAMES.join(", "))),
        }
    }
}

/// Makes the present thread one on which lanes can be stopped by force.
///
/// # Errors
/// In words, why that cannot be on this machine.
pub(crate) fn set_up() -> Result<(), String> {
    if timer::is_set_up() {
        return Ok(());
    }
    static CODE: OnceLock<Result<Code, String>> = OnceLock::new();
    let code = CODE.get_or_init(|| {
        if std::env::var_os("ASAN_OPTIONS").is_some() {
            return Err(
                "AddressSanitizer knows nothing of stacks that a signal changes".to_owned(),
            );
        }
        let code = Code::find()?;
        handler::install()?;
        Ok(code)
    });
    handler::set_code(code.as_ref().map_err(Clone::clone)?);
    timer::set_up()?;
    static WORKS: OnceLock<bool> = OnceLock::new();
    if *WORKS.get_or_init(self_test::works) {
        return Ok(());
    }
    timer::take_down();
    Err("a timer was to stop a loop, as a test, and did not".to_owned())
}

/// Runs a kernel, in the middle of a script: code that computes on the lane's memory and its registers alone, so that it may be
/// stopped at every instruction.
#[inline]
pub(super) fn in_kernel<R>(run: impl FnOnce() -> R) -> R {
    let _mark = Mark::set(Place::Anywhere);
    run()
}

/// Where the lane that runs may be stopped by force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nowhere: the host's code runs, or no lane.
    Nowhere,
    /// In the code that [`Code`] knows to hold nothing.
    Script,
    /// Nowhere, but in what it leaves out: a step of the heap in the middle of a script.
    Heap,
    /// At every instruction.
    Anywhere,
}

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(Place::Nowhere) };
}

/// Sets the place for a while.
struct Mark {
    before: Place,
}

impl Mark {
    #[inline]
    fn set(place: Place) -> Self {
        let before = PLACE.replace(place);
        // Only a signal handler of this thread reads the mark, so nothing but the compiler could put it elsewhere.
        compiler_fence(Ordering::SeqCst);
        Self { before }
    }

    /// Sets it where another is set.
    #[inline]
    fn change(from: Place, to: Place) -> Self {
        let present = PLACE.get();
        Self::set(if present == from { to } else { present })
    }
}

impl Drop for Mark {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        PLACE.set(self.before);
    }
}

/// Runs the engine's code, in which the lane may be stopped by force and may then be thrown away: what `run` changes is the
/// engine's, and no borrow of anybody else's, and no lock, is held.
#[inline]
pub(super) fn stoppable<R>(run: impl FnOnce() -> R) -> R {
    let _mark = Mark::set(Place::Script);
    run()
}

/// Runs the host's code, which is never stopped, in the middle of a script.
#[inline]
pub(super) fn unstoppable<R>(run: impl FnOnce() -> R) -> R {
    let _mark = Mark::set(Place::Nowhere);
    run()
}

/// From here on the lane is not stopped, until what runs now is left.
pub(super) fn forbid() {
    PLACE.set(Place::Nowhere);
    compiler_fence(Ordering::SeqCst);
}

/// Runs a step of the lane's heap, in the middle of a script or of the host's code.
#[inline]
pub(super) fn heap_step<R>(run: impl FnOnce() -> R) -> R {
    let _mark = Mark::change(Place::Script, Place::Heap);
    run()
}

/// Runs what takes long in a step of the heap, where that is in the middle of a script: the lane may be stopped in it at every
/// instruction, also of the C library's, and may then be thrown away. Nothing else than the lane uses what is half done then.
#[inline]
pub(super) fn anywhere<R>(run: impl FnOnce() -> R) -> R {
    let _mark = Mark::change(Place::Heap, Place::Anywhere);
    run()
}
