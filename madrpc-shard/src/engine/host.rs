//! What the prelude gets from the host: the functions behind `madrpc.call`, timers and the deadline.
//!
//! They hold the exchange and no JavaScript value: a value held outside of the engine's sight could never be collected.

use super::child_calls::Order;
use super::exchange::{Buffer, Exchange, Yield, lend};
use super::faults::caught;
use super::globals::embedded::{KERNELS, LOCALE, OPTIONS};
use super::kernels;
use super::preempt::{stoppable, unstoppable};
use super::values::{self, Builtins, Raw, View, Whole};
use bytes::Bytes;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::{BODY_MAX_BYTES, FUNCTION_NAME_MAX_BYTES};
use madrpc_core::numbers::milliseconds;
use rquickjs::function::{IntoJsFunc, ParamRequirement, Params};
use rquickjs::{Ctx, Exception, Function, IntoJs, Object, Value, qjs};
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Instant;

/// The object that the prelude is called with.
pub(super) fn object<'js>(
    ctx: &Ctx<'js>,
    exchange: &Rc<Exchange>,
) -> rquickjs::Result<Object<'js>> {
    let host = Object::new(ctx.clone())?;
    let of = || Rc::clone(exchange);
    let exchange = of();
    let send = move |ctx, tools, name, args, timeout, streams| {
        send(&exchange, &ctx, &tools, &name, &args, timeout, streams)
    };
    host.set("send", function(ctx, &of(), send)?)?;
    let exchange = of();
    let wait = move |ctx, tools, token| wait(&exchange, &ctx, &tools, token);
    host.set("wait", function(ctx, &of(), wait)?)?;
    let exchange = of();
    let order = |exchange: &Exchange, token, order| {
        exchange
            .child_calls
            .order(token, order, &exchange.lane.heap);
    };
    let grant = move |token, frames| order(&exchange, token, Order::Grant(frames));
    host.set("grant", function(ctx, &of(), grant)?)?;
    let exchange = of();
    let give_up = move |token| order(&exchange, token, Order::GiveUp);
    host.set("giveUp", function(ctx, &of(), give_up)?)?;
    let exchange = of();
    let touch = move || exchange.is_touched.set(true);
    host.set("touch", getter(ctx, &of(), touch)?)?;
    let exchange = of();
    let deadline = move || exchange.deadline_ms();
    host.set("deadline", getter(ctx, &of(), deadline)?)?;
    let exchange = of();
    let cancelled = move || exchange.must_stop().is_some();
    host.set("cancelled", getter(ctx, &of(), cancelled)?)?;
    let exchange = of();
    let node = move || exchange.node.clone();
    host.set("node", getter(ctx, &of(), node)?)?;
    let exchange = of();
    let traceparent = move || exchange.trace.get().map(|trace| trace.to_string());
    host.set("traceparent", getter(ctx, &of(), traceparent)?)?;
    host.set("nameMaxBytes", FUNCTION_NAME_MAX_BYTES as u32)?;
    let text_bytes = |text: rquickjs::String<'_>| values::text_bytes(text.as_value());
    host.set("textBytes", function(ctx, &of(), text_bytes)?)?;
    // Few scripts need it, and every lane would have to hold it.
    let checker = |ctx: Ctx<'js>| OPTIONS.evaluate::<Function<'js>>(&ctx);
    host.set("optionsChecker", function(ctx, &of(), checker)?)?;
    let exchange = of();
    let kernel_maker = move |ctx: Ctx<'js>| {
        let make: Function<'js> = KERNELS.evaluate(&ctx)?;
        make.call::<_, Function<'js>>((kernels::object(&ctx, &exchange)?,))
    };
    host.set("kernelMaker", function(ctx, &of(), kernel_maker)?)?;
    let locale = |ctx: Ctx<'js>| LOCALE.evaluate::<Object<'js>>(&ctx);
    host.set("locale", function(ctx, &of(), locale)?)?;
    let begun = Instant::now();
    let now = move || begun.elapsed().as_secs_f64() * 1000.0;
    host.set("now", getter(ctx, &of(), now)?)?;
    Ok(host)
}

/// A function of the host's, in the middle of which no lane is stopped. The engine counts a call of it as one of the 10,000
/// steps until it asks whether the lane has to give the core back, so that is asked here too.
pub(super) fn function<'js, P: 'js>(
    ctx: &Ctx<'js>,
    exchange: &Rc<Exchange>,
    function: impl IntoJsFunc<'js, P> + 'js,
) -> rquickjs::Result<Function<'js>> {
    let exchange = Rc::clone(exchange);
    let looking = Looking {
        function,
        exchange,
        params: PhantomData,
    };
    Function::new(ctx.clone(), looking)
}

/// One that is over at once.
fn getter<'js, R: IntoJs<'js> + 'js>(
    ctx: &Ctx<'js>,
    exchange: &Rc<Exchange>,
    value: impl Fn() -> R + 'js,
) -> rquickjs::Result<Function<'js>> {
    let exchange = Rc::clone(exchange);
    let get = move || {
        unstoppable(|| caught(&value)).ok_or_else(|| {
            exchange.stop.set(Some(ErrorKind::Internal));
            rquickjs::Error::Unknown
        })
    };
    Function::new(ctx.clone(), get)
}

struct Looking<F, P> {
    function: F,
    exchange: Rc<Exchange>,
    params: PhantomData<P>,
}

impl<'js, P, F: IntoJsFunc<'js, P>> IntoJsFunc<'js, (Self,)> for Looking<F, P> {
    fn param_requirements() -> ParamRequirement {
        F::param_requirements()
    }

    fn call(&self, params: Params<'_, 'js>) -> rquickjs::Result<Value<'js>> {
        let ctx = params.ctx().clone();
        unstoppable(|| {
            let made = caught(|| self.function.call(params));
            if made.is_none() {
                self.exchange.stop.set(Some(ErrorKind::Internal));
            }
            match made {
                Some(made) if !self.exchange.pause_or_stop() => made,
                _ => Err(interrupted(&ctx, &self.exchange)),
            }
        })
    }
}

/// What the engine throws where a call has to end, which no script can catch.
pub(super) fn interrupted(ctx: &Ctx<'_>, exchange: &Exchange) -> rquickjs::Error {
    exchange.lane.heap.make_room_for_end();
    let error = Exception::throw_internal(ctx, "interrupted");
    let thrown = ctx.catch();
    // SAFETY: the value is alive; it gets a mark.
    unsafe { qjs::JS_SetUncatchableError(ctx.as_raw().as_ptr(), thrown.as_raw()) };
    match thrown.is_error() {
        true => ctx.throw(thrown),
        false => error,
    }
}

/// `host.send(tools, name, args, timeoutMs, streams)`: asks for a call, and its items where it streams, and gives its token.
fn send<'js>(
    exchange: &Rc<Exchange>,
    ctx: &Ctx<'js>,
    tools: &Object<'js>,
    name: &rquickjs::String<'js>,
    args: &Value<'js>,
    timeout_ms: Option<f64>,
    streams: bool,
) -> rquickjs::Result<u32> {
    if !exchange.is_serving.get() {
        return Err(Exception::throw_type(
            ctx,
            "madrpc.call: a script cannot call while it loads",
        ));
    }
    let (name, characters) = values::head(name.as_value(), FUNCTION_NAME_MAX_BYTES);
    if characters > FUNCTION_NAME_MAX_BYTES || name.len() > FUNCTION_NAME_MAX_BYTES {
        return Err(Exception::throw_range(
            ctx,
            "madrpc.call: the function's name is too long",
        ));
    }
    let builtins = Builtins::new(ctx, exchange, tools)?;
    let (body, written) = lend(&exchange.written, Buffer::default(), |body| {
        let args = View::of(args);
        values::to_wire(ctx, &builtins, args, Whole::Argument, body, BODY_MAX_BYTES)
    });
    written.map_err(|error| {
        let error = CallError {
            may_have_run: false,
            ..*error
        };
        throw(ctx, &builtins, tools, &error)
    })?;
    let timeout = timeout_ms.map(milliseconds);
    exchange.is_touched.set(true);
    let asked =
        exchange
            .child_calls
            .ask(name, (*body).into(), timeout, streams, &exchange.lane.heap);
    asked.map_err(|error| {
        let error = CallError::not_run(ErrorKind::Overloaded, format!("madrpc.call: {error}"));
        throw(ctx, &builtins, tools, &error)
    })
}

/// `host.wait(tools, token)`: suspends the lane until the answer is there, and gives the result.
fn wait<'js>(
    exchange: &Rc<Exchange>,
    ctx: &Ctx<'js>,
    tools: &Object<'js>,
    token: u32,
) -> rquickjs::Result<Value<'js>> {
    loop {
        if let Some(answer) = exchange.child_calls.answer_to(token, &exchange.lane.heap) {
            let builtins = Builtins::new(ctx, exchange, tools)?;
            return match answer {
                Ok(body) => result(ctx, exchange, &builtins, tools, body),
                Err(error) => Err(throw(ctx, &builtins, tools, &error)),
            };
        }
        if let Some(kind) = exchange.must_stop() {
            let builtins = Builtins::new(ctx, exchange, tools)?;
            let error = CallError::may_have_run(kind, "the call has to end");
            return Err(throw(ctx, &builtins, tools, &error));
        }
        exchange.wake_at.set(None);
        exchange.suspend(Yield::Waiting);
    }
}

/// The value of a result, or an exception that says why it cannot be used.
pub(super) fn result<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    builtins: &Builtins<'js>,
    tools: &Object<'js>,
    body: Bytes,
) -> rquickjs::Result<Value<'js>> {
    let read = |body: &mut Bytes| values::from_wire(ctx, builtins, body);
    let (_, value) = lend(&exchange.read, body, read);
    let value = value.map(Raw::into_value);
    value.map_err(|error| throw(ctx, builtins, tools, &error))
}

fn throw<'js>(
    ctx: &Ctx<'js>,
    builtins: &Builtins<'js>,
    tools: &Object<'js>,
    error: &CallError,
) -> rquickjs::Error {
    match make_error(ctx, builtins, tools, error) {
        Ok(error) => ctx.throw(error),
        Err(error) => error,
    }
}

/// The JavaScript error for a call's error: as what was thrown there, or named after its kind.
pub(super) fn make_error<'js>(
    ctx: &Ctx<'js>,
    builtins: &Builtins<'js>,
    tools: &Object<'js>,
    error: &CallError,
) -> rquickjs::Result<Value<'js>> {
    let make: Function<'js> = tools.get("makeError")?;
    let kind = error.kind.name();
    let may_have_run = error.may_have_run;
    match &error.exception {
        Some(thrown) => {
            // One that cannot be read, by whatever runs there, is not worth the error.
            let value = values::from_wire(ctx, builtins, &thrown.value);
            let value = value.map(Raw::into_value).ok();
            let (name, message) = (thrown.name.as_str(), thrown.message.as_str());
            let stack = thrown.stack.as_str();
            stoppable(|| make.call((kind, name, message, may_have_run, stack, value)))
        }
        None => {
            let message = error.message.as_str();
            stoppable(|| make.call((kind, kind, message, may_have_run)))
        }
    }
}
