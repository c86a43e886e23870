//! A lane: one QuickJS runtime with the script loaded, on a stack and in a heap of its own.
//!
//! The runtime is made on that stack and never leaves it. QuickJS calls the interrupt handler every so often, about
//! each 0.3 ms; there the lane looks at the clock. Its slice is used up: the lane is suspended, and the shard that resumed it
//! goes on. Its deadline has passed, or it has been cancelled: the handler makes QuickJS throw what no script can catch.
//! Where QuickJS does not ask for too long, the lane is stopped by force, see [`preempt`](super::preempt).
//!
//! A lane is resumed until it says [`Progress::Done`]; after that it takes the next call. One that was stopped by force
//! when its call has to end is not resumed any more, and goes as it is.

mod loading;
mod waiting;

pub(crate) use loading::{Loaded, Loading};

use super::child_calls::{Answer, ChildCall, Order};
use super::exchange::{Exchange, Outcome, Yield, emptied};
use super::faults::on_lane;
use super::image::Image;
use super::life::fault;
use super::limits::{CallLimits, LaneConfig, is_cut_off};
use super::packing::{Model, Packed};
use super::preempt;
use super::stack::used_stack;
use super::stream::Stream;
use super::{Registration, Script, ScriptError};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use madrpc_core::call::frame::Part;
use madrpc_core::call::{Body, CallError, ErrorKind, Trace};
use madrpc_core::limits::INLINE_BODY_MAX_BYTES;
use madrpc_core::numbers::later;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What a lane takes beside its heap and the stack in use, roughly, and beside what is packed of it.
const BESIDE_HEAP_BYTES: usize = 80 << 10;
const PACKED_REST_BYTES: usize = 16 << 10;

/// How long a lane may take to end by itself, once it is not used any more.
const ENDING: Duration = Duration::from_millis(2);

type Fiber = Coroutine<(), Yield, (), DefaultStack>;

/// What a call has come to when its lane gives the core back.
pub(crate) enum Progress {
    /// It wants to go on.
    Running,
    /// It waits for the answers to its child_calls, and wants to go on at [`Lane::wakes_at`] at the latest.
    Waiting,
    /// It has a result, see [`Lane::with_output`], or none.
    Done(Outcome),
}

/// A runtime that runs one call at a time.
pub(crate) struct Lane {
    fiber: Fiber,
    exchange: Rc<Exchange>,
    script: Script,
    config: LaneConfig,
    /// By the functions' places.
    terms: Vec<Terms>,
    calls: u64,
    /// Whether it must not be used again.
    spoilt: bool,
    /// Whether a panic has ended its call or its script: it must not be renewed either.
    is_broken: bool,
    /// Where that was and what it said, until it is told.
    fault: Option<Box<str>>,
    /// Whether it can be stopped by force.
    is_forced: bool,
    /// Whether it was stopped so, and was not resumed since.
    is_stopped: bool,
    /// As it was before its first call, where that is kept.
    image: Option<Image<Fiber>>,
    /// What it holds, while its call waits for long, and what it is compared with then.
    packed: Option<Packed>,
    model: Model,
    /// What it took when that was last asked.
    noted_bytes: usize,
}

/// What holds for calls of one function.
struct Terms {
    limits: CallLimits,
    isolate: bool,
}

impl Lane {
    /// Makes a lane and loads the script in it, in one go; gives what it registers.
    ///
    /// # Errors
    /// Where there is no memory for it, or the script does not load.
    pub(crate) fn load(
        script: &Script,
        node: &str,
        config: &LaneConfig,
    ) -> Result<(Self, Vec<Registration>), ScriptError> {
        Loading::begin(script, node, config)?.finish()
    }

    /// Says which call the next one is, for the log, and the trace that it belongs to, with its span there.
    pub(crate) fn set_call(&mut self, number: u64, trace: Option<Trace>) {
        self.exchange.set_call(number, trace);
    }

    /// Puts a call on the lane's exchange: the function by its place among the registered ones, and its arguments.
    pub(crate) fn assign<'b>(
        &mut self,
        function: usize,
        body: impl Into<Body<'b>>,
        deadline: Instant,
    ) {
        self.exchange.function.set(function);
        self.exchange.deadline.set(deadline);
        self.exchange.stop.set(None);
        if let Some(terms) = self.terms.get(function) {
            self.exchange.meter.begin(terms.limits);
            self.exchange.lane.heap.begin(terms.limits.memory_bytes);
        }
        self.calls += 1;
        let body = body.into();
        let is_large = body.len() > INLINE_BODY_MAX_BYTES;
        // An earlier one may not have been read.
        let large = is_large.then(|| body.to_bytes());
        self.exchange.large_input.set(large);
        if is_large {
            return;
        }
        let mut input = emptied(self.exchange.input.take());
        input.extend_from_slice(&body);
        self.exchange.input.set(Some(input));
    }

    /// Goes on with the call for one slice.
    pub(crate) fn resume(&mut self, now: Instant, slice: Duration) -> Progress {
        if self.is_stopped {
            if self.spoilt {
                let error = "the lane was stopped for good";
                return Progress::Done(Err(CallError::not_run(ErrorKind::Internal, error).into()));
            }
            if let Some(kind) = self.exchange.must_stop() {
                return self.give_up(kind);
            }
        }
        let resumed = self.go_on(now, slice);
        if self.is_broken {
            self.with_output(|_| ());
            return Progress::Done(Err(fault().into()));
        }
        match resumed {
            CoroutineResult::Yield(Yield::Slice) => Progress::Running,
            CoroutineResult::Yield(Yield::Forced) => match self.exchange.must_stop() {
                Some(kind) => self.give_up(kind),
                None => Progress::Running,
            },
            CoroutineResult::Yield(Yield::Waiting) => Progress::Waiting,
            CoroutineResult::Yield(Yield::Done(result)) => {
                self.spoilt =
                    self.is_worn() || result.as_ref().is_err_and(|error| is_cut_off(error.kind));
                if result.is_err() {
                    self.with_output(|_| ());
                }
                Progress::Done(result)
            }
            CoroutineResult::Yield(Yield::Loaded(_)) | CoroutineResult::Return(()) => {
                self.spoilt = true;
                let error = "the lane has ended by itself";
                Progress::Done(Err(
                    CallError::may_have_run(ErrorKind::Internal, error).into()
                ))
            }
        }
    }

    /// Lets the lane have the core, until it gives it back or loses it.
    fn go_on(&mut self, now: Instant, slice: Duration) -> CoroutineResult<Yield, ()> {
        let (exchange, fiber) = (&*self.exchange, &mut self.fiber);
        if let Some(packed) = self.packed.take() {
            // SAFETY: it is of this lane, which was not resumed since.
            unsafe { packed.unpack(exchange) };
        }
        let slice_end = later(now, slice);
        exchange.slice_end.set(slice_end);
        exchange.meter.on_resume(now);
        let (resumed, fault) = on_lane(|| match self.is_forced {
            true => {
                let end = slice_end.min(exchange.deadline.get());
                preempt::run(&exchange.lane, now, end, || fiber.resume(()))
            }
            false => preempt::run_ticking(&exchange.lane, || fiber.resume(())),
        });
        if let Some(fault) = fault {
            self.is_broken = true;
            self.spoilt = true;
            self.fault = Some(fault.into());
        }
        self.is_stopped = matches!(resumed, CoroutineResult::Yield(Yield::Forced));
        if !matches!(resumed, CoroutineResult::Yield(Yield::Done(_))) {
            exchange.meter.on_suspend();
        }
        resumed
    }

    /// When a call that waits wants to go on at the latest.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.exchange.wake_at.get()
    }

    /// When it last gave the core back, as a call ended, where it has looked at the clock then.
    pub(crate) fn take_end(&self) -> Option<Instant> {
        self.exchange.ended_at.take()
    }

    /// Ends the call of a lane that was stopped by force: it may be in the middle of anything, and is not resumed.
    fn give_up(&mut self, kind: ErrorKind) -> Progress {
        self.spoilt = true;
        Progress::Done(Err(self.exchange.stopped(kind).into()))
    }

    /// Where a panic was that has ended the call, and what it said; once.
    pub(crate) fn take_fault(&mut self) -> Option<Box<str>> {
        self.fault.take()
    }

    /// Makes the call end with this error as soon as the engine looks; it still has to be resumed.
    pub(crate) fn stop(&mut self, kind: ErrorKind) {
        self.exchange.stop.set(Some(kind));
    }

    /// Whether the call has asked for calls since the last time.
    pub(crate) fn has_asked(&self) -> bool {
        self.exchange.child_calls.has_asked()
    }

    /// The calls that the call has asked for since the last time.
    pub(crate) fn take_child_calls(&mut self) -> Vec<ChildCall> {
        self.exchange.child_calls.take_asked()
    }

    /// What it has to say of such calls, since the last time.
    pub(crate) fn take_orders(&mut self) -> Vec<(u32, Order)> {
        self.exchange.child_calls.take_orders()
    }

    /// Brings a frame of an item of a child call, unless the stream cannot go on; gives how many more are to be granted at once, and
    /// whether the lane has something to see, for which a waiting one has to be resumed.
    pub(crate) fn take_item(
        &mut self,
        token: u32,
        (number, part, body): (u64, Part, Body<'_>),
    ) -> Result<(u32, bool), CallError> {
        let Exchange {
            lane, child_calls, ..
        } = &*self.exchange;
        child_calls.take_item(token, number, part, body, &lane.heap)
    }

    /// What has come of child calls and it has not seen, in bytes.
    pub(crate) fn unseen_bytes(&self) -> usize {
        self.exchange.child_calls.unseen_bytes()
    }

    /// Brings the answer to a child call; a waiting lane has to be resumed for it.
    pub(crate) fn answer(&mut self, token: u32, answer: Answer) {
        let exchange = &self.exchange;
        let heap = &exchange.lane.heap;
        exchange.child_calls.answer(token, answer, heap);
    }

    /// What its call yields, where it streams.
    pub(crate) fn stream(&self) -> &Stream {
        &self.exchange.stream
    }

    /// Bytes of the result of the call that is done; 0 where it has none.
    pub(crate) fn output_bytes(&self) -> usize {
        let output = self.exchange.output.take();
        let bytes = output.as_ref().map_or(0, |output| output.len());
        self.exchange.output.set(output);
        bytes
    }

    /// The result of the call that is done, once.
    pub(crate) fn take_output(&self) -> Vec<u8> {
        *self.exchange.output.take().unwrap_or_default()
    }

    /// Lends out the result of the call that is done, once.
    pub(crate) fn with_output<R>(&self, use_it: impl FnOnce(&[u8]) -> R) -> R {
        let output = self.exchange.output.take();
        let used = use_it(output.as_ref().map_or(&[], |output| output.as_slice()));
        self.exchange.output.set(Some(emptied(output)));
        used
    }

    /// What the call that is done has come to.
    #[cfg(test)]
    pub(super) fn value_of(
        &self,
        outcome: Outcome,
    ) -> Result<madrpc_core::value::Value, CallError> {
        let value = |bytes: &[u8]| madrpc_core::value::Value::decode(bytes).unwrap();
        outcome
            .map(|()| self.with_output(value))
            .map_err(|error| *error)
    }

    /// The most heap that the call held, with what the script and the engine hold, in bytes.
    pub(crate) fn heap_peak_bytes(&self) -> u64 {
        self.exchange.lane.heap.peak() as u64
    }

    /// What its call may use: time on the core, and bytes of heap.
    pub(crate) fn limits(&self) -> (Duration, usize) {
        let limits = self.exchange.meter.limits();
        (limits.cpu, limits.memory_bytes)
    }

    /// Bytes that it takes, as they were when this was last asked, and now.
    pub(crate) fn note_bytes(&mut self) -> (usize, usize) {
        let (kernels, heap) = (self.exchange.kernels.bytes(), &self.exchange.lane.heap);
        let now = match &self.packed {
            Some(packed) => packed.bytes() + kernels + heap.outside() + PACKED_REST_BYTES,
            None => {
                let held = used_stack(&self.exchange).len() + self.exchange.buffered_bytes();
                heap.taken() + held + kernels + BESIDE_HEAP_BYTES
            }
        };
        (std::mem::replace(&mut self.noted_bytes, now), now)
    }

    /// What the last of these was.
    pub(crate) fn noted_bytes(&self) -> usize {
        self.noted_bytes
    }

    /// It must not be used again.
    pub(crate) fn spoil(&mut self) {
        self.spoilt = true;
    }

    /// What it holds beyond its script, and what it may keep of that from one call to the next, in bytes.
    #[cfg(feature = "internals")]
    pub(crate) fn grown_and_most_bytes(&self) -> (usize, usize) {
        let heap = &self.exchange.lane.heap;
        (heap.grown(), self.config.grown_max_bytes())
    }

    /// Whether the lane must be replaced before the next call: the call was cut off in the middle of something, or is
    /// to leave nothing behind; or the lane has served for long enough, or holds too much.
    pub(crate) fn is_spoilt(&self) -> bool {
        self.spoilt
    }

    /// Whether nothing ran in it but the script's top level.
    pub(crate) fn is_fresh(&self) -> bool {
        self.calls == 0
    }

    /// Keeps what it is like before its first call, so that it can be renewed: as much memory as it has.
    pub(crate) fn keep_image(&mut self) {
        if self.is_forced && self.calls == 0 && self.image.is_none() {
            self.image = Image::of(&self.fiber, &self.exchange);
        }
    }

    /// Gives a part of the memory back of a lane that goes without being resumed, or is renewed; says whether there was something.
    /// It takes less than a millisecond, and cannot be resumed any more.
    pub(crate) fn shrink(&mut self) -> bool {
        if self.exchange.wasm.shrink() {
            self.spoilt = true;
            return true;
        }
        if !self.is_stopped && self.image.is_none() {
            return false;
        }
        self.is_stopped = true;
        self.spoilt = true;
        let heap = &self.exchange.lane.heap;
        heap.shrink_unused(self.image.as_ref().map(Image::heap))
    }

    /// Makes it what it was before its first call, whatever it is in the middle of; says whether that could be.
    pub(crate) fn renew(&mut self) -> bool {
        !self.is_broken && self.rewind()
    }

    fn rewind(&mut self) -> bool {
        let Some(image) = &self.image else {
            return false;
        };
        if self.fiber.done() {
            return false;
        }
        self.packed = None;
        // SAFETY: the image is this lane's, which is suspended while `self` is borrowed.
        unsafe { image.restore(&mut self.fiber, &self.exchange) };
        self.calls = 0;
        self.spoilt = false;
        self.is_stopped = false;
        true
    }

    /// Timers that the script has set while it was loaded, none of which fires.
    pub(crate) fn lost_timers(&self) -> u32 {
        self.exchange.lost_timers.get()
    }

    /// Whether this is the script that it has loaded.
    pub(crate) fn runs(&self, script: &Script) -> bool {
        self.script.is_same(script)
    }

    fn is_worn(&self) -> bool {
        let terms = self.terms.get(self.exchange.function.get());
        let is_isolated = terms.is_some_and(|terms| terms.isolate);
        let recycle_after = self.config.recycle_after;
        let is_old = recycle_after.is_some_and(|calls| self.calls >= calls);
        let has_grown = self.exchange.lane.heap.grown() > self.config.grown_max_bytes();
        is_isolated || is_old || has_grown || self.exchange.wasm.is_worn()
    }
}

impl Drop for Lane {
    /// Lets the lane end by itself, where it can: unwinding its stack through the engine's C frames is no option. One that was
    /// stopped by force is taken back to its beginning first, or is forgotten as it is.
    fn drop(&mut self) {
        if self.is_stopped || self.is_broken {
            self.rewind();
        }
        self.exchange.retired.set(true);
        // That of its last call may be long over.
        self.exchange.deadline.set(later(Instant::now(), ENDING));
        while !self.fiber.done() && !self.is_stopped {
            self.exchange.stop.set(Some(ErrorKind::Cancelled));
            let _ = self.go_on(Instant::now(), ENDING);
        }
        if self.fiber.done() {
            return;
        }
        // SAFETY: what is on the stack is forgotten: the engine's, in the heap that goes with the lane; handles of rquickjs and
        // of ours, which hold memory of the process, some 3 KB, and nothing that anybody waits for; and counts of the exchange
        // and the heap, see below. The lane was stopped in `stoppable`, so no lock is held and no cell of others is borrowed.
        unsafe {
            self.exchange.free_lent();
            self.fiber.force_reset();
        }
        // SAFETY: all other counts are on the forgotten stack, or in what only that leads to.
        unsafe {
            forget_others(&self.exchange);
            forget_others(&self.exchange.lane.heap);
        }
    }
}

/// Lets this be the last count.
///
/// # Safety
/// The others are never used again, nor dropped.
unsafe fn forget_others<T>(counted: &Rc<T>) {
    for _ in 1..Rc::strong_count(counted) {
        // SAFETY: the caller says so; this one stays.
        unsafe { Rc::decrement_strong_count(Rc::as_ptr(counted)) };
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "cost_tests.rs"]
mod cost_tests;

#[cfg(test)]
#[path = "torture_tests.rs"]
mod torture_tests;
