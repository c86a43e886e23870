//! A lane: one QuickJS runtime with the script loaded, on a stack of its own.
//!
//! The runtime is made on that stack and never leaves it. QuickJS calls the interrupt handler every so often, about
//! each 0.3 ms; there the lane looks at the clock. Its slice is used up: the lane is suspended, and whoever resumed it
//! goes on. Its deadline has passed, or it has been cancelled: the handler makes QuickJS throw what no script can catch.
//!
//! A lane is resumed until it says [`Progress::Done`]; after that it takes the next call.

use super::desk::{Answer, Desk, Errand, Yield};
use super::heap::Counting;
use super::limits::{
    CallLimits, GC_THRESHOLD_BYTES, JS_STACK_BYTES, LOAD_CPU, LaneConfig, STACK_BYTES,
};
use super::modules::Librarian;
use super::program::Program;
use super::{Registration, Script, ScriptError, exception};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use madrpc_core::call::{CallError, ErrorKind};
use rquickjs::runtime::RejectionTracker;
use rquickjs::{Context, Runtime};
use std::rc::Rc;
use std::time::{Duration, Instant};

type Fiber = Coroutine<(), Yield, (), DefaultStack>;

/// What a call has come to when its lane gives the core back.
pub(crate) enum Progress {
    /// It wants to go on.
    Running,
    /// It waits for the answers to its errands, and wants to go on at this time at the latest.
    Waiting(Option<Instant>),
    /// It has a result, see [`Lane::with_output`], or none.
    Done(Result<(), CallError>),
}

/// A runtime that runs one call at a time.
pub(crate) struct Lane {
    fiber: Fiber,
    desk: Rc<Desk>,
    script: Script,
    config: LaneConfig,
    /// By the functions' places.
    terms: Vec<Terms>,
    calls: u64,
    /// Whether it must not be used again.
    spoilt: bool,
}

/// What holds for calls of one function.
struct Terms {
    limits: CallLimits,
    isolate: bool,
}

/// A lane in the making: its script is being loaded, slice by slice, as a script may compute for long while it loads.
pub(crate) struct Loading(Lane);

/// What a lane in the making has come to.
pub(crate) enum Loaded {
    /// It wants to go on.
    Not(Loading),
    /// It takes calls, of what the script has registered.
    Ready(Lane, Vec<Registration>),
    /// The script does not load, or there is no memory for it.
    Failed(ScriptError),
}

impl Loading {
    /// Makes a lane that has done nothing yet.
    ///
    /// # Errors
    /// Where there is no memory for its stack.
    pub(crate) fn begin(
        script: &Script,
        node: &str,
        config: &LaneConfig,
    ) -> Result<Self, ScriptError> {
        let desk = Rc::new(Desk::new(node, config));
        let stack = DefaultStack::new(STACK_BYTES).map_err(|error| {
            ScriptError::new(format!(
                "script {}: no memory for a lane: {error}",
                script.name
            ))
        })?;
        let fiber = {
            let (desk, script) = (Rc::clone(&desk), script.clone());
            let grown_max = config.grown_max_bytes();
            Coroutine::with_stack(stack, move |yielder: &Yielder<(), Yield>, ()| {
                desk.enter(yielder);
                live(&desk, &script, grown_max);
                desk.leave();
            })
        };
        let lane = Lane {
            fiber,
            desk,
            script: script.clone(),
            config: config.clone(),
            terms: Vec::new(),
            calls: 0,
            spoilt: false,
        };
        Ok(Self(lane))
    }

    /// Goes on for one slice.
    pub(crate) fn resume(mut self, now: Instant, slice: Duration) -> Loaded {
        let desk = &self.0.desk;
        desk.slice_end.set(now + slice);
        desk.meter.on_resume(now);
        match self.0.fiber.resume(()) {
            CoroutineResult::Yield(Yield::Slice) => {
                self.0.desk.meter.on_suspend();
                Loaded::Not(self)
            }
            CoroutineResult::Yield(Yield::Loaded(Ok(functions))) => {
                let config = &self.0.config;
                let terms = functions.iter().map(|function| Terms {
                    limits: function.options.limits(config),
                    isolate: config.isolate || function.options.isolate,
                });
                self.0.terms = terms.collect();
                Loaded::Ready(self.0, functions)
            }
            CoroutineResult::Yield(Yield::Loaded(Err(error))) => Loaded::Failed(error),
            _ => Loaded::Failed(ScriptError::too_slow(&self.0.script.name, LOAD_CPU)),
        }
    }

    /// Goes on to the end, however long it takes.
    ///
    /// # Errors
    /// Where the script does not load, or there is no memory for it.
    pub(crate) fn finish(mut self) -> Result<(Lane, Vec<Registration>), ScriptError> {
        loop {
            match self.resume(Instant::now(), LOAD_CPU * 2) {
                Loaded::Not(loading) => self = loading,
                Loaded::Ready(lane, functions) => return Ok((lane, functions)),
                Loaded::Failed(error) => return Err(error),
            }
        }
    }
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

    /// Says which call the next one is, for the log.
    pub(crate) fn set_call_number(&mut self, number: u64) {
        self.desk.call.set(number);
    }

    /// Puts a call on the lane's desk: the function by its place among the registered ones, and its arguments.
    pub(crate) fn assign(&mut self, function: usize, body: &[u8], deadline: Instant) {
        self.desk.function.set(function);
        self.desk.deadline.set(deadline);
        self.desk.stop.set(None);
        if let Some(terms) = self.terms.get(function) {
            self.desk.meter.begin(terms.limits);
            self.desk.heap.begin(terms.limits.memory_bytes);
        }
        self.calls += 1;
        let mut input = self.desk.input.borrow_mut();
        input.clear();
        input.extend_from_slice(body);
    }

    /// Goes on with the call for one slice.
    pub(crate) fn resume(&mut self, now: Instant, slice: Duration) -> Progress {
        self.desk.slice_end.set(now + slice);
        self.desk.meter.on_resume(now);
        match self.fiber.resume(()) {
            CoroutineResult::Yield(Yield::Slice) => {
                self.desk.meter.on_suspend();
                Progress::Running
            }
            CoroutineResult::Yield(Yield::Waiting) => {
                self.desk.meter.on_suspend();
                Progress::Waiting(self.desk.wake_at.get())
            }
            CoroutineResult::Yield(Yield::Done(result)) => {
                self.spoilt =
                    self.is_worn() || result.as_ref().is_err_and(|error| is_cut_off(error.kind));
                if result.is_err() {
                    self.desk.release_output();
                }
                Progress::Done(result)
            }
            CoroutineResult::Yield(Yield::Loaded(_)) | CoroutineResult::Return(()) => {
                self.spoilt = true;
                let error = "the lane has ended by itself";
                Progress::Done(Err(CallError::may_have_run(ErrorKind::Internal, error)))
            }
        }
    }

    /// Makes the call end with this error as soon as the engine looks; it still has to be resumed.
    pub(crate) fn stop(&mut self, kind: ErrorKind) {
        self.desk.stop.set(Some(kind));
    }

    /// The calls that the call has asked for since the last time.
    pub(crate) fn take_errands(&mut self) -> Vec<Errand> {
        self.desk.take_errands()
    }

    /// Brings the answer to an errand; a waiting lane has to be resumed for it.
    pub(crate) fn answer(&mut self, token: u32, answer: Answer) {
        self.desk.answer(token, answer);
    }

    /// Bytes of the result of the call that is done; 0 where it has none.
    pub(crate) fn output_bytes(&self) -> usize {
        self.desk.output.borrow().len()
    }

    /// Lends out the result of the call that is done, once.
    pub(crate) fn with_output<R>(&self, use_it: impl FnOnce(&[u8]) -> R) -> R {
        let used = use_it(&self.desk.output.borrow());
        self.desk.release_output();
        used
    }

    /// The most heap that the call held, with what the script and the engine hold, in bytes.
    pub(crate) fn heap_peak_bytes(&self) -> u64 {
        self.desk.heap.peak() as u64
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

    /// Whether this is the script that it has loaded.
    pub(crate) fn runs(&self, script: &Script) -> bool {
        self.script.is_same(script)
    }

    fn is_worn(&self) -> bool {
        let is_isolated = self
            .terms
            .get(self.desk.function.get())
            .is_some_and(|terms| terms.isolate);
        let is_old = self
            .config
            .recycle_after
            .is_some_and(|calls| self.calls >= calls);
        is_isolated || is_old || self.desk.heap.grown() > self.config.grown_max_bytes()
    }
}

impl Drop for Lane {
    /// Lets the lane end by itself: unwinding its stack through the engine's C frames is no option.
    fn drop(&mut self) {
        self.desk.retired.set(true);
        self.desk.stop.set(Some(ErrorKind::Cancelled));
        while !self.fiber.done() {
            let _ = self.fiber.resume(());
        }
    }
}

/// Whether calls that end so are cut off wherever they are, and may leave half of something behind.
fn is_cut_off(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DeadlineExceeded
            | ErrorKind::Cancelled
            | ErrorKind::CpuLimit
            | ErrorKind::MemoryLimit
            | ErrorKind::StackLimit
    )
}

/// The life of a lane, on its own stack.
fn live(desk: &Rc<Desk>, script: &Script, grown_max: usize) {
    let made = Runtime::new_with_alloc(Counting(Rc::clone(&desk.heap))).and_then(|runtime| {
        let context = Context::full(&runtime)?;
        Ok((runtime, context))
    });
    let (runtime, context) = match made {
        Ok(made) => made,
        Err(error) => {
            let error = format!("script {}: no engine for it: {error}", script.name);
            return desk.suspend(Yield::Loaded(Err(ScriptError::new(error))));
        }
    };
    runtime.set_max_stack_size(JS_STACK_BYTES);
    // What the engine begins with is less than what a fresh lane holds, none of which is garbage.
    runtime.set_gc_threshold(GC_THRESHOLD_BYTES);
    let librarian = Librarian::install(&runtime, script);
    runtime.set_interrupt_handler(Some(interrupt_handler(Rc::clone(desk))));
    runtime.set_host_promise_rejection_tracker(Some(rejection_tracker(Rc::clone(desk))));
    context.with(|ctx| desk.heap.attach(&ctx));
    context.with(|ctx| match Program::load(&ctx, desk, script) {
        Ok(program) => {
            librarian.close();
            desk.heap.on_loaded();
            desk.suspend(Yield::Loaded(Ok(program.registrations())));
            while !desk.retired.get() {
                let result = program.call(desk);
                // Only garbage with cycles waits for it; all else is gone already.
                if desk.heap.grown() > grown_max {
                    ctx.run_gc();
                }
                desk.suspend(Yield::Done(result));
            }
        }
        Err(error) => desk.suspend(Yield::Loaded(Err(error))),
    });
    desk.heap.detach();
}

/// What QuickJS asks every so often: `true` ends the call.
fn interrupt_handler(desk: Rc<Desk>) -> Box<dyn FnMut() -> bool> {
    Box::new(move || {
        if desk.stop.get().is_some() {
            return true;
        }
        let now = Instant::now();
        if let Some(kind) = desk.limit_passed(now) {
            desk.stop.set(Some(kind));
            return true;
        }
        if now >= desk.slice_end.get() {
            desk.suspend(Yield::Slice);
        }
        desk.stop.get().is_some()
    })
}

/// What QuickJS tells of promises that are rejected without a handler, and of those that get one later.
fn rejection_tracker(desk: Rc<Desk>) -> RejectionTracker {
    Box::new(move |ctx, promise, reason, is_handled| {
        // SAFETY: the value is a promise, thus an object; its address is compared and never followed.
        let promise = unsafe { rquickjs::qjs::JS_VALUE_GET_PTR(promise.as_raw()) } as usize;
        if is_handled {
            desk.rejection_handled(promise);
        } else {
            desk.rejected(promise, exception::of_value(&ctx, &reason));
        }
    })
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
