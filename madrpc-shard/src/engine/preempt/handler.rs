//! The signal handler that stops a lane, and what it knows of the one that runs.
//!
//! It runs on the lane's stack, at any step of the lane. It touches nothing but cells of its thread, the clock and the timer,
//! and calls nothing that a signal handler may not (signal-safety(7)), but for the change of stacks.

use super::super::exchange::Yield;
use super::super::heap::Heap;
use super::code::Code;
use super::flag::Flag;
use super::{PLACE, Place, timer, unstoppable};
use corosensei::Yielder;
use madrpc_core::numbers::later;
use std::cell::{Cell, OnceCell};
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::ops::Range;
use std::ptr::{null, null_mut};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{Ordering, compiler_fence};
use std::time::{Duration, Instant};

/// How long after its time a lane is stopped by force. A ring costs 2 to 20 us: calls that give the core back by themselves
/// shall not pay for many. The engine asks the host each 0.3 ms.
const GRACE: Duration = Duration::from_micros(1500);

/// The same for a while after a lane of the thread had to be stopped, and for one that was itself stopped the last time.
const GRACE_AFTER_FORCE: Duration = Duration::from_micros(400);
const GRACE_OF_STOPPED: Duration = Duration::from_micros(50);
const AFTER_FORCE: Duration = Duration::from_secs(1);

/// How soon it is tried again where a lane could not be stopped. Shorter than a ring takes, nothing would go on.
const AGAIN: Duration = Duration::from_micros(50);
const AGAIN_IN_HOST: Duration = Duration::from_micros(200);

/// A signal that nobody else uses.
pub(super) fn signal() -> c_int {
    libc::SIGRTMIN() + 7
}

/// What there must be known of a lane to stop it.
pub(in super::super) struct Stoppable {
    stack: Cell<(usize, usize)>,
    yielder: Cell<*const Yielder<(), Yield>>,
    /// Whether it was stopped by force the last time.
    is_stopped: Cell<bool>,
    /// Where on its stack it last gave the core back.
    suspended_at: Cell<usize>,
    /// What kernels look at; `None` while the lane has none.
    pub(super) flag: OnceCell<Arc<Flag>>,
    pub(in super::super) heap: Rc<Heap>,
}

impl Stoppable {
    /// A lane with this heap, which is not on its stack yet.
    pub(in super::super) fn new(heap: Heap) -> Self {
        Self {
            stack: Cell::new((0, 0)),
            yielder: Cell::new(null()),
            is_stopped: Cell::new(false),
            suspended_at: Cell::new(0),
            flag: OnceCell::new(),
            heap: Rc::new(heap),
        }
    }

    /// Its stack.
    pub(in super::super) fn has_stack(&self, stack: Range<usize>) {
        self.stack.set((stack.start, stack.end));
    }

    pub(in super::super) fn stack(&self) -> Range<usize> {
        let (lowest, end) = self.stack.get();
        lowest..end
    }

    pub(in super::super) fn suspended_at(&self) -> usize {
        self.suspended_at.get()
    }

    /// Names its way back; it must be cleared by [`Stoppable::leave`] before the yielder goes.
    pub(in super::super) fn enter(&self, yielder: &Yielder<(), Yield>) {
        self.yielder.set(yielder);
    }

    pub(in super::super) fn leave(&self) {
        self.yielder.set(null());
    }

    /// What kernels of this lane look at, from here on: it is set when the slice is over.
    pub(in super::super) fn flag(&self) -> &Arc<Flag> {
        self.flag.get_or_init(Flag::of_thread)
    }

    /// Gives the core back; returns when the lane is resumed. Only the lane itself may call it.
    pub(in super::super) fn suspend(&self, why: Yield) {
        // SAFETY: the yielder lives on the lane's stack from `enter` to `leave`, and is null outside of that. Only code
        // on that stack calls this, as the runtime and its callbacks never leave it.
        if let Some(yielder) = unsafe { self.yielder.get().as_ref() } {
            let here = 0_u8;
            self.suspended_at
                .set(std::ptr::from_ref(black_box(&here)).addr());
            // In the middle of a change of stacks there is no way back that a second one could take.
            unstoppable(|| yielder.suspend(why));
        }
    }
}

thread_local! {
    static WATCH: Watch = const { Watch {
        lane: Cell::new(null()),
        end: Cell::new(None),
        stop_at: Cell::new(None),
        rings_at: Cell::new(None),
        forced_at: Cell::new(None),
        code: Cell::new(None),
    } };
}

/// What watches the lanes of a thread.
struct Watch {
    /// The one that has the core.
    lane: Cell<*const Stoppable>,
    /// When its slice is over, where it has kernels, which are told then.
    end: Cell<Option<Instant>>,
    /// When that is stopped by force.
    stop_at: Cell<Option<Instant>>,
    /// When the timer rings first; `None` while it is silent.
    rings_at: Cell<Option<Instant>>,
    /// When one was last stopped by force.
    forced_at: Cell<Option<Instant>>,
    code: Cell<Option<&'static Code>>,
}

pub(super) fn set_code(code: &'static Code) {
    WATCH.with(|watch| watch.code.set(Some(code)));
}

/// Lets a lane run, by `resume`, which is on time if it returns by `end`, and is stopped by force some time after. The thread
/// must be set up.
pub(in super::super) fn run<R>(
    lane: &Stoppable,
    now: Instant,
    end: Instant,
    resume: impl FnOnce() -> R,
) -> R {
    WATCH.with(|watch| {
        let was_forced = watch
            .forced_at
            .get()
            .is_some_and(|at| now.saturating_duration_since(at) < AFTER_FORCE);
        let grace = match was_forced {
            _ if lane.is_stopped.take() => GRACE_OF_STOPPED,
            true => GRACE_AFTER_FORCE,
            false => GRACE,
        };
        let stop_at = later(end, grace);
        watch.stop_at.set(Some(stop_at));
        let flag = lane.flag.get();
        watch.end.set(flag.map(|_| end));
        let first = flag.map_or(stop_at, |flag| {
            flag.clear();
            end
        });
        // A ring that finds no lane silences the timer: the lane comes first.
        watch.lane.set(lane);
        compiler_fence(Ordering::SeqCst);
        if watch.rings_at.get().is_none_or(|at| at > first) {
            watch.ring_at(first, now);
        }
        let resumed = resume();
        compiler_fence(Ordering::SeqCst);
        watch.lane.set(null());
        resumed
    })
}

impl Watch {
    fn ring_at(&self, at: Instant, now: Instant) {
        self.rings_at.set(Some(at));
        // Zero would silence it.
        let time = at
            .saturating_duration_since(now)
            .max(Duration::from_nanos(1));
        timer::ring_after(time);
    }

    fn on_ring(&self, at: &Processor) {
        // SAFETY: it is set for as long as `run` has the lane borrowed.
        let lane = unsafe { self.lane.get().as_ref() };
        let (Some(lane), Some(stop_at)) = (lane, self.stop_at.get()) else {
            self.rings_at.set(None);
            timer::ring_after(Duration::ZERO);
            return;
        };
        let now = Instant::now();
        self.rings_at.set(Some(later(now, timer::REPEAT)));
        if let Some(end) = self.end.get() {
            if now < end {
                return self.ring_at(end, now);
            }
            self.end.set(None);
            if let Some(flag) = lane.flag.get() {
                flag.set();
            }
        }
        if now < stop_at {
            return self.ring_at(stop_at, now);
        }
        let may_be_stopped = match PLACE.get() {
            Place::Nowhere | Place::Heap => return self.ring_at(later(now, AGAIN_IN_HOST), now),
            Place::Script => self.holds_nothing(at),
            Place::Anywhere => true,
        };
        // On its way to the lane, or back, the thread is on a stack of its own.
        if !may_be_stopped || !lane.stack().contains(&at.stack) {
            return self.ring_at(later(now, AGAIN), now);
        }
        self.forced_at.set(Some(now));
        lane.is_stopped.set(true);
        self.lane.set(null());
        // The kernel keeps the signal back while its handler runs, and the shard goes on in it. When the handler returns, the
        // kernel sets what held where the lane was stopped.
        let_through();
        lane.suspend(Yield::Forced);
    }

    /// Whether the lane, which runs a script, holds nothing of others where it is.
    fn holds_nothing(&self, at: &Processor) -> bool {
        // SAFETY: it is on a stack, on which there is something.
        let top = unsafe { *(at.stack as *const usize) };
        let code = self.code.get();
        code.is_some_and(|code| code.holds_nothing(at.code, top))
    }
}

/// Where the processor was.
struct Processor {
    code: usize,
    stack: usize,
}

impl Processor {
    #[cfg(target_arch = "x86_64")]
    fn of(context: &libc::ucontext_t) -> Self {
        let registers = &context.uc_mcontext.gregs;
        let register = |which: c_int| registers[which as usize].cast_unsigned() as usize;
        Self {
            code: register(libc::REG_RIP),
            stack: register(libc::REG_RSP),
        }
    }

    /// Nothing is stopped there.
    #[cfg(not(target_arch = "x86_64"))]
    fn of(_: &libc::ucontext_t) -> Self {
        Self { code: 0, stack: 0 }
    }
}

extern "C" fn on_signal(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: it is a cell of this thread.
    let error = unsafe { *libc::__errno_location() };
    // SAFETY: the kernel passes it (SA_SIGINFO), as it was when the signal came.
    let at = Processor::of(unsafe { &*context.cast() });
    WATCH.with(|watch| watch.on_ring(&at));
    // SAFETY: as above. The shard's calls of the system have set it meanwhile.
    unsafe { *libc::__errno_location() = error };
}

/// Makes [`on_signal`] the process' handler of the signal.
pub(super) fn install() -> Result<(), String> {
    let failed = || format!("signals: {}", std::io::Error::last_os_error());
    // SAFETY: all zeros is a valid action, which is filled in or replaced below.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `before` is valid for the call.
    if unsafe { libc::sigaction(signal(), null(), &raw mut before) } != 0 {
        return Err(failed());
    }
    if before.sa_sigaction != libc::SIG_DFL {
        return Err(format!("signal {} is in use already", signal()));
    }
    // SAFETY: as above.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    // Without SA_NODEFER, by which handlers would nest until the stack is full.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the handler keeps to what one may do.
    match unsafe { libc::sigaction(signal(), &raw const action, null_mut()) } {
        0 => Ok(()),
        _ => Err(failed()),
    }
}

/// Lets the signal through to this thread.
fn let_through() {
    // SAFETY: all zeros is valid for a set that is then emptied; the calls write to it, and to the thread's mask.
    unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        libc::sigaddset(&raw mut signals, signal());
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const signals, null_mut());
    }
}
