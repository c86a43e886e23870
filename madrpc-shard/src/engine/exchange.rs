//! The exchange: what lies between a lane and the shard that resumes it.
//!
//! Both are on one thread and never run at the same time. The lane finds its call here and leaves its result, and asks
//! here for calls to others, whose answers are brought here.

use super::child_calls::ChildCalls;
use super::heap::Heap;
use super::kernels::{Kernels, LaneKernels};
use super::limits::{LaneConfig, Meter};
use super::preempt::Stoppable;
use super::random::Randomness;
use super::stream::Stream;
use super::wasm::LaneWasm;
use super::{Registration, ScriptError};
use bytes::Bytes;
use madrpc_core::call::{CallError, ErrorKind, Trace};
use madrpc_core::limits::TIMEOUT_MAX;
use madrpc_core::numbers::later;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ptr::null;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What a lane keeps of its buffers between calls; the largest bodies are a thousand times that.
const BUFFER_KEPT_BYTES: usize = 64 << 10;

/// Why a lane gives the core back.
pub(super) enum Yield {
    /// The script is loaded, with these functions, or cannot be.
    Loaded(Box<Result<Vec<Registration>, ScriptError>>),
    /// The slice is used up, the call is not over.
    Slice,
    /// It was stopped by force, wherever it was.
    Forced,
    /// The call waits for an answer, or for a timer, see [`Exchange::wake_at`].
    Waiting,
    /// The call is over.
    Done(Outcome),
}

/// How a call ended. It goes through many hands for each call, in one register.
pub(crate) type Outcome = Result<(), Box<CallError>>;

/// Bytes of a call's arguments or result, which go from hand to hand likewise.
pub(super) type Buffer = Box<Vec<u8>>;

pub(super) struct Exchange {
    pub(super) lane: Stoppable,
    /// Whether the lane can be stopped by force.
    pub(super) is_forced: Cell<bool>,
    pub(super) kernels: LaneKernels,
    /// Before the heap that it counts in.
    pub(super) wasm: LaneWasm,
    pub(super) node: String,
    /// Whether a call runs, and not the script's top level.
    pub(super) is_serving: Cell<bool>,
    pub(super) function: Cell<usize>,
    /// The call's number, for the log.
    pub(super) call: Cell<u64>,
    /// The trace that it belongs to, and its span in it.
    pub(super) trace: Cell<Option<Trace>>,
    /// The arguments, until they are read.
    pub(super) input: Cell<Option<Buffer>>,
    /// The same, where they are large.
    pub(super) large_input: Cell<Option<Bytes>>,
    /// The result, once it is written.
    pub(super) output: Cell<Option<Buffer>>,
    /// The last of what is in use on the lane's stack: buffers that are written, and large bodies that are read.
    pub(super) written: Cell<*const Lent<Buffer>>,
    pub(super) read: Cell<*const Lent<Bytes>>,
    pub(super) deadline: Cell<Instant>,
    pub(super) meter: Meter,
    pub(super) slice_end: Cell<Instant>,
    /// When the call ended, where nothing was to be done after it.
    pub(super) ended_at: Cell<Option<Instant>>,
    /// Where `Math.random` has its state, if that was found.
    pub(super) randomness: Cell<Option<Randomness>>,
    /// Why the call has to end. It stays set until the call is over, as a script can swallow an interrupt.
    pub(super) stop: Cell<Option<ErrorKind>>,
    pub(super) retired: Cell<bool>,
    /// Whether the call has used timers or calls, which have to be cleared away after it.
    pub(super) is_touched: Cell<bool>,
    /// Timers that the script has set while it was loaded: they never fire.
    pub(super) lost_timers: Cell<u32>,
    /// When a waiting call wants to go on at the latest.
    pub(super) wake_at: Cell<Option<Instant>>,
    /// What it yields, where it streams.
    pub(super) stream: Stream,
    pub(super) child_calls: ChildCalls,
    /// What the host cannot charge for the call until others hold less.
    pub(super) wanted_bytes: Cell<usize>,
    rejections: RefCell<Rejections>,
}

/// Rejected promises that nothing handles, by their addresses: of very many the engine may have forgotten all but these.
#[derive(Default)]
struct Rejections {
    by_address: HashMap<usize, Rejection, foldhash::fast::RandomState>,
    count: u64,
}

struct Rejection {
    number: u64,
    /// Of the first ones.
    reason: Option<CallError>,
}

/// What the lane's stack owns, and what was lent before.
pub(super) struct Lent<T> {
    place: *mut T,
    before: *const Lent<T>,
}

/// As many are known of, and of so many the reason; one is told.
const REJECTIONS_MAX: usize = 65_536;
const REASONS_MAX: usize = 64;

impl Exchange {
    pub(super) fn new(node: &str, config: &LaneConfig, kernels: &Kernels) -> Self {
        let now = Instant::now();
        Self {
            lane: Stoppable::new(Heap::new(config.memory_bytes)),
            is_forced: Cell::new(false),
            kernels: LaneKernels::new(kernels),
            wasm: LaneWasm::default(),
            node: node.to_owned(),
            is_serving: Cell::new(false),
            function: Cell::new(0),
            call: Cell::new(0),
            trace: Cell::new(None),
            input: Cell::default(),
            large_input: Cell::default(),
            output: Cell::default(),
            written: Cell::new(null()),
            read: Cell::new(null()),
            deadline: Cell::new(later(now, TIMEOUT_MAX)),
            meter: Meter::new(now, config),
            slice_end: Cell::new(now),
            ended_at: Cell::new(None),
            randomness: Cell::new(None),
            stop: Cell::new(None),
            retired: Cell::new(false),
            is_touched: Cell::new(false),
            lost_timers: Cell::new(0),
            wake_at: Cell::new(None),
            stream: Stream::default(),
            child_calls: ChildCalls::default(),
            wanted_bytes: Cell::new(0),
            rejections: RefCell::default(),
        }
    }

    /// Gives the core back; returns when the lane is resumed. Only the lane itself may call it.
    pub(super) fn suspend(&self, why: Yield) {
        self.lane.suspend(why);
    }

    /// Gives the core back where the slice is used up, in the host's own work: QuickJS does not ask there, and counts a call
    /// of the host as one of the 10,000 steps until it does.
    pub(super) fn pause(&self) {
        if Instant::now() >= self.slice_end.get() {
            self.suspend(Yield::Slice);
        }
    }

    /// The same, and says whether the call has to end.
    pub(super) fn pause_or_stop(&self) -> bool {
        let now = Instant::now();
        if now >= self.slice_end.get() {
            self.suspend(Yield::Slice);
            return self.must_stop().is_some();
        }
        if self.stop.get().is_none() {
            self.stop.set(self.limit_passed(now));
        }
        self.stop.get().is_some()
    }

    /// Charges bytes that the host holds for the call, see [`Heap::charge`]; where others may yet give back what there is no room for, the
    /// lane is suspended meanwhile.
    pub(super) fn charge(&self, bytes: usize) -> bool {
        let heap = &self.lane.heap;
        loop {
            if heap.charge(bytes) {
                return true;
            }
            if !heap.may_get_room(bytes) || self.must_stop().is_some() {
                return false;
            }
            self.wanted_bytes.set(bytes);
            self.suspend(Yield::Slice);
            self.wanted_bytes.set(0);
        }
    }

    /// Whether the call has to end, and why; looks at the clock.
    pub(super) fn must_stop(&self) -> Option<ErrorKind> {
        if self.stop.get().is_some() {
            return self.stop.get();
        }
        self.must_stop_at(Instant::now())
    }

    /// The same, at this time.
    pub(super) fn must_stop_at(&self, now: Instant) -> Option<ErrorKind> {
        if self.stop.get().is_none() {
            self.stop.set(self.limit_passed(now));
        }
        self.stop.get()
    }

    /// Which of its limits the call has passed.
    pub(super) fn limit_passed(&self, now: Instant) -> Option<ErrorKind> {
        if self.lane.heap.refused().is_some() {
            Some(ErrorKind::MemoryLimit)
        } else if now >= self.deadline.get() {
            Some(ErrorKind::DeadlineExceeded)
        } else if self.meter.is_over(now) {
            Some(ErrorKind::CpuLimit)
        } else {
            None
        }
    }

    /// What to tell of a call that was ended for this reason.
    pub(super) fn stopped(&self, kind: ErrorKind) -> CallError {
        self.meter.error(kind, &self.lane.heap)
    }

    /// The deadline as JavaScript tells time: milliseconds since 1970.
    pub(super) fn deadline_ms(&self) -> f64 {
        let left = self
            .deadline
            .get()
            .saturating_duration_since(Instant::now());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0.0, |now| now.saturating_add(left).as_secs_f64() * 1000.0)
    }

    /// Which call the next one is, and its trace. Nearly none has one, and to write that down has a price.
    pub(super) fn set_call(&self, number: u64, trace: Option<Trace>) {
        self.call.set(number);
        if trace.is_some() || self.trace.get().is_some() {
            self.trace.set(trace);
        }
    }

    /// A promise is rejected, for this `reason`.
    pub(super) fn rejected(&self, promise: usize, reason: impl FnOnce() -> CallError) {
        let known = self.rejections.borrow().by_address.len();
        if known >= REJECTIONS_MAX {
            return;
        }
        // To read it may run a script.
        let reason = (known < REASONS_MAX).then(reason);
        let mut rejections = self.rejections.borrow_mut();
        let number = rejections.count;
        rejections.count += 1;
        rejections
            .by_address
            .insert(promise, Rejection { number, reason });
    }

    pub(super) fn rejection_handled(&self, promise: usize) {
        self.rejections.borrow_mut().by_address.remove(&promise);
    }

    fn has_rejections(&self) -> bool {
        self.rejections.borrow().count > 0
    }

    /// Why the first of those was rejected that nothing has handled.
    pub(super) fn unhandled_rejection(&self) -> Option<CallError> {
        if !self.has_rejections() {
            return None;
        }
        let rejections = self.rejections.take();
        let all = rejections.by_address.into_values();
        let first = all.min_by_key(|rejection| rejection.number)?;
        Some(first.reason.unwrap_or_else(|| {
            let error = "a promise was rejected, one of very many, and nothing has handled it";
            CallError::may_have_run(ErrorKind::JavaScript, error)
        }))
    }

    /// Bytes of the call's arguments and result that are on their way to or from its heap. The lane does not run, so what it has
    /// lent out lies still.
    pub(super) fn buffered_bytes(&self) -> usize {
        let mut bytes = self.stream.held_bytes();
        for buffer in [&self.input, &self.output] {
            let held = buffer.take();
            bytes += held.as_ref().map_or(0, |held| held.capacity());
            buffer.set(held);
        }
        let large = self.large_input.take();
        let large_bytes = large.as_ref().map_or(0, Bytes::len);
        self.large_input.set(large);
        // SAFETY: the lane does not run.
        unsafe {
            each(self.written.get(), |place| bytes += (*place).capacity());
            each(self.read.get(), |place| bytes += (*place).len());
        }
        bytes.saturating_sub(2 * BUFFER_KEPT_BYTES) + large_bytes
    }

    /// Frees what is lent.
    ///
    /// # Safety
    /// The lane's stack is still there, and the lane is never resumed where it is.
    pub(super) unsafe fn free_lent(&self) {
        // SAFETY: the caller says so, and whoever would have freed it never will.
        unsafe {
            each(self.written.replace(null()), |place| drop(place.read()));
            each(self.read.replace(null()), |place| drop(place.read()));
        }
        drop(self.large_input.take());
    }

    /// Clears away what the last call has left.
    pub(super) fn clear(&self) {
        self.stop.set(None);
        self.wake_at.set(None);
        self.wanted_bytes.set(0);
        if self.is_touched.take() {
            self.child_calls.clear();
        }
        if self.has_rejections() {
            self.rejections.take();
        }
    }
}

/// Lets `use_it` have something while scripts may run: the lane's stack owns it, and where the lane is thrown away meanwhile it
/// is freed all the same, as it is in the `list`.
pub(super) fn lend<T, R>(
    list: &Cell<*const Lent<T>>,
    mut owned: T,
    use_it: impl FnOnce(&mut T) -> R,
) -> (T, R) {
    /// Takes it off the list, however it ends.
    struct End<'a, T>(&'a Cell<*const Lent<T>>, *const Lent<T>);
    impl<T> Drop for End<'_, T> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let (place, before) = (&raw mut owned, list.get());
    let lent = Lent { place, before };
    list.set(&raw const lent);
    let end = End(list, before);
    // SAFETY: it is here until `use_it` returns, and nobody else looks at it before the lane is thrown away.
    let used = use_it(unsafe { &mut *place });
    drop(end);
    (owned, used)
}

/// Goes through a list of what is lent.
///
/// # Safety
/// The lane does not run, and its stack is there: what is in the list lies whole on it, as the lane was stopped in no step of the
/// host's own.
unsafe fn each<T>(list: *const Lent<T>, mut see: impl FnMut(*mut T)) {
    let mut next = list;
    while !next.is_null() {
        // SAFETY: the caller says so.
        let Lent { place, before } = unsafe { next.read() };
        see(place);
        next = before;
    }
}

/// A buffer that is not used any more, without what is much of it: no limit of a call counts what a lane keeps beside its heap.
pub(super) fn emptied(buffer: Option<Buffer>) -> Buffer {
    let mut buffer = buffer.unwrap_or_default();
    buffer.clear();
    buffer.shrink_to(BUFFER_KEPT_BYTES);
    buffer
}
