//! The kernels of one lane: the functions that it has of them, how they are asked for the core, and how it waits for the compiler.

use super::super::exchange::{Exchange, Yield};
use super::super::faults::caught;
use super::super::life::has_to_end;
use super::super::preempt::{tick_here, unstoppable};
use super::array;
use super::call::{Bound, call, throw};
use super::job::Job;
use super::table::{Entry, Kernels};
use madrpc_core::numbers::later;
use madrpc_kernels::{Context, Decision, Kernel, Reason, Refused};
use rquickjs::{Ctx, Value, qjs};
use std::cell::{Cell, OnceCell, RefCell, UnsafeCell};
use std::ffi::{CString, c_int};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a kernel's frames, the C library's functions and the way back to the shard may take below the script's stack.
const STACK_LEFT_BYTES: usize = 128 << 10;

/// After what time a lane that waits for the compiler first looks whether it is done: a small kernel takes as long. From look to look
/// it waits twice as long, and no longer than this.
const FIRST_LOOK: Duration = Duration::from_micros(50);
const LOOKS_EVERY: Duration = Duration::from_micros(500);

/// The kernels that a lane has functions of.
pub(in super::super) struct LaneKernels {
    script: Kernels,
    /// Freed with the lane, and not before: a function knows its own by the address alone, so that a lane can be thrown away.
    #[expect(clippy::vec_box, reason = "the address stays")]
    bound: RefCell<Vec<Box<Bound>>>,
    context: OnceCell<Box<UnsafeCell<Context>>>,
    /// What they take beside the lane's heap.
    bytes: Cell<usize>,
}

impl LaneKernels {
    pub(in super::super) fn new(script: &Kernels) -> Self {
        Self {
            script: script.clone(),
            bound: RefCell::default(),
            context: OnceCell::new(),
            bytes: Cell::new(0),
        }
    }

    /// What they take of memory beside the lane's heap, in bytes.
    pub(in super::super) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Forgets all code, which others then may let go.
    pub(super) fn let_go(&self) {
        self.bound.borrow().iter().for_each(|bound| bound.let_go());
    }

    pub(super) fn note_bytes(&self, more: usize) {
        self.bytes.update(|bytes| bytes + more);
    }

    pub(super) fn script(&self) -> &Kernels {
        &self.script
    }

    /// Makes the lane one that has kernels.
    ///
    /// # Errors
    /// What is thrown: no memory, no thread, an engine that is another.
    pub(super) fn begin(&self, ctx: &Ctx<'_>, exchange: &Exchange) -> rquickjs::Result<()> {
        if self.context.get().is_some() {
            return Ok(());
        }
        let refuse = |why| Err(throw(ctx, Reason::System, &format!("madrpc.kernel: {why}")));
        if !exchange.is_forced.get() && !tick_here() {
            return refuse("the system gives no thread to tell kernels the time");
        }
        if !array::is_known(ctx)? {
            return refuse("this engine holds its arrays otherwise than it is known to");
        }
        let flag = exchange.lane.flag();
        let stack_limit = stack_limit(exchange, exchange.meter.limits().stack_bytes);
        let host = std::ptr::from_ref(exchange).cast_mut().cast();
        let context = Context::new(flag.place(), on_interrupt, stack_limit, host);
        let _ = self.context.set(Box::new(UnsafeCell::new(context)));
        // What runs has begun as one without kernels, which nobody tells when its slice is over.
        exchange.suspend(Yield::Slice);
        Ok(())
    }

    /// Gives kernels as much of the stack as JavaScript has from here on.
    pub(in super::super) fn bound_stack(&self, exchange: &Exchange, bytes: usize) {
        if let Some(context) = self.context.get() {
            // SAFETY: no kernel runs, or none that goes on.
            unsafe { (*context.get()).stack_limit = stack_limit(exchange, bytes) };
        }
    }

    /// The number of this kernel in the lane.
    pub(super) fn number(
        &self,
        exchange: &Exchange,
        entry: &Arc<Entry>,
        kernel: &Arc<Kernel>,
    ) -> usize {
        let mut all = self.bound.borrow_mut();
        let known = all
            .iter()
            .position(|bound| Arc::ptr_eq(bound.entry(), entry));
        known.unwrap_or_else(|| {
            let context = self
                .context
                .get()
                .map_or(std::ptr::null_mut(), |context| context.get());
            let bound = Bound::new(Arc::clone(entry), Arc::clone(kernel), exchange, context);
            all.push(Box::new(bound));
            self.note_bytes(size_of::<Bound>() + size_of::<Box<Bound>>());
            all.len() - 1
        })
    }

    /// The kernel with this number.
    pub(super) fn entry(&self, number: usize) -> Option<Arc<Entry>> {
        let all = self.bound.borrow();
        all.get(number).map(|bound| Arc::clone(bound.entry()))
    }

    /// A function of it.
    pub(super) fn function<'js>(
        &self,
        ctx: &Ctx<'js>,
        number: usize,
    ) -> rquickjs::Result<Value<'js>> {
        let all = self.bound.borrow();
        let Some(bound) = all.get(number) else {
            return Err(rquickjs::Error::Unknown);
        };
        // No name of JavaScript's has a NUL.
        let name = CString::new(bound.kernel().name().as_bytes()).unwrap_or_default();
        let count = bound.kernel().parameters().len() as c_int;
        let place = std::ptr::from_ref(&**bound).cast_mut().cast();
        // SAFETY: what the function knows by its address stays as long as the lane.
        let function = unsafe {
            let ctx = ctx.as_raw().as_ptr();
            qjs::JS_NewCClosure(ctx, Some(call), name.as_ptr(), None, count, 0, place)
        };
        // SAFETY: the reference that was made is the handle's.
        let function = unsafe { Value::from_raw(ctx.clone(), function) };
        match function.is_exception() {
            true => Err(rquickjs::Error::Exception),
            false => Ok(function),
        }
    }
}

/// Where the stack of a kernel ends, where JavaScript has so many bytes of it.
fn stack_limit(exchange: &Exchange, bytes: usize) -> usize {
    let stack = exchange.lane.stack();
    let script = stack.end.saturating_sub(bytes);
    script.max(stack.start + STACK_LEFT_BYTES)
}

/// What a kernel calls that has found the flag set.
unsafe extern "C" fn on_interrupt(context: *mut Context) -> Decision {
    // SAFETY: it is what the context was made with, and the lane is alive as it runs.
    let exchange = unsafe { &*(*context).host.cast::<Exchange>() };
    match unstoppable(|| caught(|| has_to_end_for_flag(exchange))).unwrap_or(true) {
        true => Decision::Stop,
        false => Decision::GoOn,
    }
}

/// Where the flag is set: gives the core back if the slice is over, and says whether the call has to end.
pub(super) fn has_to_end_for_flag(exchange: &Exchange) -> bool {
    exchange.lane.flag().clear();
    has_to_end(exchange)
}

/// Suspends the lane until the compiler has done this, of which it is told by `ask` where it does not know; `None` where the call
/// has to end.
pub(super) fn wait_for<'a, T>(
    exchange: &Exchange,
    job: &'a Job<T>,
    ask: impl FnOnce() -> Result<(), Refused>,
) -> Option<Result<&'a T, &'a Refused>> {
    let waiting = job.wait(ask);
    let is_done = wait_until(exchange, || waiting.outcome().is_some());
    waiting.outcome().filter(|_| is_done)
}

/// Suspends the lane until that is so, for which it looks now and then; says whether it is, and the call has not to end.
pub(in super::super) fn wait_until(exchange: &Exchange, is_so: impl Fn() -> bool) -> bool {
    let mut pause = FIRST_LOOK;
    loop {
        if exchange.must_stop().is_some() {
            return false;
        }
        if is_so() {
            return true;
        }
        let at = later(Instant::now(), pause);
        pause = pause.saturating_mul(2).min(LOOKS_EVERY);
        exchange.wake_at.set(Some(at));
        exchange.suspend(Yield::Waiting);
        exchange.wake_at.set(None);
    }
}
