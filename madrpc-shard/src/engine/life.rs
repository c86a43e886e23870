//! The life of a lane on its own stack: the engine is made there, loads the script, and runs calls until the lane is retired.

use super::exception;
use super::exchange::{Exchange, Yield};
use super::faults::caught;
use super::heap::Counting;
use super::limits::{GC_THRESHOLD_BYTES, JS_STACK_BYTES};
use super::modules::ModuleLoader;
use super::preempt;
use super::program::Program;
use super::random::Randomness;
use super::{Script, ScriptError};
use madrpc_core::call::{CallError, ErrorKind};
use rquickjs::runtime::RejectionTracker;
use rquickjs::{Context, Runtime};
use std::rc::Rc;
use std::time::Instant;

/// Lives it; where its heap has grown by more than so many bytes when a call is over, garbage is collected.
pub(super) fn live(exchange: &Rc<Exchange>, script: &Script, grown_max: usize) {
    let made =
        Runtime::new_with_alloc(Counting(Rc::clone(&exchange.lane.heap))).and_then(|runtime| {
            exchange.pause();
            let context = Context::full(&runtime)?;
            exchange.pause();
            Ok((runtime, context))
        });
    let (runtime, context) = match made {
        Ok(made) => made,
        Err(error) => {
            let error = format!("script {}: no engine for it: {error}", script.name);
            return exchange.suspend(Yield::Loaded(Box::new(Err(ScriptError::new(error)))));
        }
    };
    runtime.set_max_stack_size(JS_STACK_BYTES);
    // What the engine begins with is less than what a fresh lane holds, none of which is garbage.
    runtime.set_gc_threshold(GC_THRESHOLD_BYTES);
    let module_loader = ModuleLoader::install(&runtime, script);
    runtime.set_interrupt_handler(Some(interrupt_handler(Rc::clone(exchange))));
    runtime.set_host_promise_rejection_tracker(Some(rejection_tracker(Rc::clone(exchange))));
    context.with(|ctx| {
        exchange.lane.heap.attach(&ctx);
        exchange.randomness.set(Randomness::find(&ctx));
    });
    context.with(|ctx| match Program::load(&ctx, exchange, script) {
        Ok(program) => {
            module_loader.close();
            exchange.lane.heap.rest();
            exchange.lane.heap.on_loaded();
            exchange.wasm.on_loaded();
            exchange.suspend(Yield::Loaded(Box::new(Ok(program.registrations()))));
            while !exchange.retired.get() {
                let result =
                    caught(|| program.call(exchange)).unwrap_or_else(|| Err(Box::new(fault())));
                // Only garbage with cycles waits for it; all else is gone already.
                if exchange.lane.heap.grown() > grown_max {
                    preempt::stoppable(|| ctx.run_gc());
                    exchange.ended_at.set(None);
                }
                // Also of one that has failed, which may not go for a while.
                if preempt::stoppable(|| exchange.lane.heap.rest()) {
                    exchange.ended_at.set(None);
                }
                exchange.suspend(Yield::Done(result));
            }
        }
        Err(error) => exchange.suspend(Yield::Loaded(Box::new(Err(error)))),
    });
    exchange.lane.heap.detach();
    // It looks at all that there is, and there may be much.
    preempt::stoppable(|| drop((context, runtime)));
}

/// The error of a call by which the node has failed. What it was is for the log, not for callers.
pub(super) fn fault() -> CallError {
    let error = "the node failed while it ran the call; its log says where";
    CallError::may_have_run(ErrorKind::Internal, error)
}

/// What QuickJS asks every so often: `true` ends the call.
fn interrupt_handler(exchange: Rc<Exchange>) -> Box<dyn FnMut() -> bool> {
    let look = move || {
        let has_to_end = caught(|| has_to_end(&exchange)).unwrap_or(true);
        if has_to_end {
            exchange.lane.heap.make_room_for_end();
        }
        has_to_end
    };
    Box::new(move || preempt::unstoppable(&look))
}

/// Gives the core back where the slice is over; says whether the call has to end.
pub(super) fn has_to_end(exchange: &Exchange) -> bool {
    if exchange.stop.get().is_some() {
        return true;
    }
    let now = Instant::now();
    if let Some(kind) = exchange.limit_passed(now) {
        exchange.stop.set(Some(kind));
        return true;
    }
    if now >= exchange.slice_end.get() {
        exchange.suspend(Yield::Slice);
    }
    exchange.stop.get().is_some()
}

/// What QuickJS tells of promises that are rejected without a handler, and of those that get one later.
fn rejection_tracker(exchange: Rc<Exchange>) -> RejectionTracker {
    Box::new(move |ctx, promise, reason, is_handled| {
        let note = || {
            // SAFETY: the value is a promise, thus an object; its address is compared and never followed.
            let promise = unsafe { rquickjs::qjs::JS_VALUE_GET_PTR(promise.as_raw()) } as usize;
            if is_handled {
                exchange.rejection_handled(promise);
            } else {
                exchange.rejected(promise, || exception::of_value(&ctx, &reason));
            }
        };
        if preempt::unstoppable(|| caught(note)).is_none() {
            exchange.stop.set(Some(ErrorKind::Internal));
        }
    })
}
