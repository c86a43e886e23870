//! The timer of a thread: it sends the thread a signal.

use super::handler::signal;
use std::cell::{Cell, RefCell};
use std::ptr::null_mut;
use std::time::Duration;

/// It rings again so often until it is told to be quiet, lest a lane run for ever where one ring was lost.
pub(super) const REPEAT: Duration = Duration::from_millis(5);

thread_local! {
    /// What the handler sees of it: a number, which is 0 while there is no timer.
    static ID: Cell<libc::timer_t> = const { Cell::new(null_mut()) };
    static TIMER: RefCell<Option<Timer>> = const { RefCell::new(None) };
    static IS_SET_UP: Cell<bool> = const { Cell::new(false) };
}

/// Goes with its thread.
struct Timer(libc::timer_t);

impl Drop for Timer {
    fn drop(&mut self) {
        IS_SET_UP.set(false);
        ID.set(null_mut());
        // SAFETY: it was made and not deleted yet.
        unsafe { libc::timer_delete(self.0) };
    }
}

pub(super) fn is_set_up() -> bool {
    IS_SET_UP.get()
}

/// Gives the present thread its timer.
pub(super) fn set_up() -> Result<(), String> {
    // SAFETY: all zeros is a valid event, of which the fields below are set for its kind (timer_create(2)).
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = signal();
    // SAFETY: it gives a number.
    event.sigev_notify_thread_id = unsafe { libc::gettid() };
    let mut id = null_mut();
    // SAFETY: both are valid for the call.
    let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut id) };
    if made != 0 {
        let error = std::io::Error::last_os_error();
        return Err(format!("the system gives no timer: {error}"));
    }
    ID.set(id);
    TIMER.with_borrow_mut(|timer| *timer = Some(Timer(id)));
    IS_SET_UP.set(true);
    Ok(())
}

/// Takes it from the present thread.
pub(super) fn take_down() {
    TIMER.with_borrow_mut(Option::take);
}

/// Lets it ring after so long, and not as it was told before; zero silences it. Safe in a signal handler.
pub(super) fn ring_after(time: Duration) {
    let spec = |time: Duration| libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(time.subsec_nanos().cast_signed()),
    };
    let is_silent = time.is_zero();
    let when = libc::itimerspec {
        it_value: spec(time),
        it_interval: spec(if is_silent { Duration::ZERO } else { REPEAT }),
    };
    // SAFETY: the timer is this thread's, or none, which fails.
    unsafe { libc::timer_settime(ID.get(), 0, &raw const when, null_mut()) };
}
