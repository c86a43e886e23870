//! Faults: panics on a lane's stack, each of which ends its call and its lane, and nothing else.
//!
//! No panic may go through the engine's C frames. So it is caught where the engine calls the host, and where a call begins. Who
//! has resumed the lane finds out by the note that the process' panic hook makes, whoever caught it: rquickjs does so too, and
//! lets the script go on. The lane is not used again.
//!
//! A panic elsewhere is none of a call's, and is told and ends what it ended before.

use super::preempt;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// What goes on on the present thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No lane runs.
    Elsewhere,
    OnLane,
    /// One has panicked, which nobody has caught yet, or rquickjs has.
    Unwinding,
    Caught,
}

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State::Elsewhere) };
    /// The place and the message of the first panic of the lane that runs.
    static NOTE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Has panics noted that are a lane's; of all others is told as before.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let of_others = take_hook();
        set_hook(Box::new(move |panic| {
            if !note(panic) {
                of_others(panic);
            }
        }));
    });
}

fn note(panic: &PanicHookInfo<'_>) -> bool {
    match STATE.get() {
        State::Elsewhere => return false,
        State::Caught => return true,
        State::OnLane => {}
        // One in the middle of another, or in a C frame, and the process ends.
        State::Unwinding => {
            STATE.set(State::Elsewhere);
            tracing::error!("a call panicked at {}", NOTE.take().unwrap_or_default());
            return false;
        }
    }
    STATE.set(State::Unwinding);
    // What goes on here is the thread's as much as the lane's.
    preempt::forbid();
    let place = panic.location().map(ToString::to_string);
    NOTE.set(Some(format!(
        "{}: {}",
        place.as_deref().unwrap_or("an unknown place"),
        panic.payload_as_str().unwrap_or("no message")
    )));
    true
}

/// Runs a lane, until it gives the core back; gives the place and the message of its first panic besides.
#[inline]
pub(super) fn on_lane<R>(run: impl FnOnce() -> R) -> (R, Option<String>) {
    STATE.set(State::OnLane);
    let ran = run();
    let note = match STATE.replace(State::Elsewhere) {
        State::OnLane => None,
        _ => NOTE.take(),
    };
    (ran, note)
}

/// Runs what could panic below the engine's frames, or as a whole call; `None` where it did.
#[inline]
pub(super) fn caught<R>(run: impl FnOnce() -> R) -> Option<R> {
    let ran = catch_unwind(AssertUnwindSafe(run));
    if ran.is_err() && STATE.get() == State::Unwinding {
        STATE.set(State::Caught);
    }
    ran.ok()
}

#[cfg(test)]
#[path = "faults_tests.rs"]
pub(super) mod tests;
