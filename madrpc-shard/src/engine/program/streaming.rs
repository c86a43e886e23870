//! A call whose function has returned a generator: what that yields is sent, item by item.
//!
//! The generator is asked for the next item only while the reader takes some: in between the lane waits, as for a call of its own.

use super::Program;
use crate::engine::exchange::{Buffer, Exchange, Outcome, Yield, emptied, lend};
use crate::engine::preempt::stoppable;
use crate::engine::stream::Waits;
use crate::engine::values::{self, View, Whole};
use madrpc_core::call::frame::Part;
use madrpc_core::call::{CallError, ErrorKind};
use rquickjs::convert::Coerced;
use rquickjs::function::This;
use rquickjs::{Function, Value};

type Result<T> = std::result::Result<T, Box<CallError>>;

impl<'js> Program<'js> {
    /// Streams what a function has returned, where that is a generator; `refused` says why it cannot travel as it is.
    #[cold]
    pub(super) fn stream(
        &self,
        exchange: &Exchange,
        returned: &Value<'js>,
        mut refused: Box<CallError>,
    ) -> Outcome {
        if !values::is_generator(&self.ctx, returned) {
            return Err(refused);
        }
        let output = exchange.output.take();
        exchange.output.set(Some(emptied(output)));
        if !exchange.stream.begin() {
            refused.message += "; the function streams: call it so (`stream` of a client, `madrpc call`, or by HTTP with `Accept: text/event-stream`)";
            return Err(refused);
        }
        let outcome = self.pull(exchange, returned);
        // An error comes after what was yielded before it.
        wait(exchange, Waits::End)?;
        outcome
    }

    fn pull(&self, exchange: &Exchange, generator: &Value<'js>) -> Outcome {
        let thrown = |error: rquickjs::Error| self.thrown(&error);
        let next = |value: &Value<'js>| value.as_object().map(|object| object.get("next"));
        let next: Option<rquickjs::Result<Function<'js>>> = stoppable(|| next(generator));
        let Some(next) = next.transpose().map_err(thrown)? else {
            return Err(no_step());
        };
        // What is yielded and not sent is a part of the heap.
        let (heap, mut charged) = (&exchange.lane.heap, 0);
        loop {
            wait(exchange, Waits::Room)?;
            heap.discharge(charged);
            charged = exchange.stream.held_bytes();
            heap.charge_anyway(charged);
            let step: Value<'js> =
                stoppable(|| next.call((This(generator.clone()),))).map_err(thrown)?;
            let step = self.awaited(exchange, step)?;
            let object = step.as_object().ok_or_else(no_step)?;
            let is_over: Coerced<bool> = stoppable(|| object.get("done")).map_err(thrown)?;
            let value: Value<'js> = stoppable(|| object.get("value")).map_err(thrown)?;
            let value = self.awaited(exchange, value)?;
            let (whole, part) = match is_over.0 {
                true => (Whole::Result, Part::Result),
                false => (Whole::Item, Part::Item),
            };
            let limit = exchange.meter.limits().body_bytes;
            let write = |item: &mut Buffer| {
                values::to_wire(
                    &self.ctx,
                    &self.prelude.builtins,
                    View::of(&value),
                    whole,
                    item,
                    limit,
                )
            };
            let (item, written) = lend(&exchange.written, Buffer::default(), write);
            stoppable(|| drop((step, value)));
            written?;
            exchange.stream.put(item, part);
            if is_over.0 {
                return Ok(());
            }
            exchange.pause();
        }
    }

    /// The value, or what it settles to where it is a promise.
    fn awaited(&self, exchange: &Exchange, value: Value<'js>) -> Result<Value<'js>> {
        let promise = values::as_promise(&self.prelude.builtins, View::of(&value));
        match promise.map_err(|error| self.thrown(&error))? {
            Some(promise) => self.settle(exchange, &promise),
            None => Ok(value),
        }
    }
}

/// Suspends the lane until its stream has that.
fn wait(exchange: &Exchange, what: Waits) -> Outcome {
    loop {
        if let Some(kind) = exchange.must_stop() {
            return Err(exchange.stopped(kind).into());
        }
        if exchange.stream.has(what) {
            return Ok(());
        }
        exchange.wake_at.set(None);
        exchange.stream.set_waiting(what);
        exchange.suspend(Yield::Waiting);
        exchange.stream.set_waiting(Waits::Nothing);
    }
}

fn no_step() -> Box<CallError> {
    let error = "the generator's `next` has given no object";
    CallError::may_have_run(ErrorKind::JavaScript, error).into()
}
