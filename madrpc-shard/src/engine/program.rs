//! A program: the script as it is loaded in one lane, and how a call runs in it.
//!
//! Everything here runs on the lane's stack.

mod streaming;

use super::child_calls::News;
use super::exchange::{Buffer, Exchange, Outcome, Yield, emptied, lend};
use super::globals::embedded::PRELUDE;
use super::limits::{JS_STACK_BYTES, LOAD_CPU};
use super::modules::hint_at_node;
use super::preempt;
use super::stack::is_used_up;
use super::values::{self, Builtins, Raw, Whole};
use super::{Options, Registration, Script, ScriptError, exception, globals, host, wasm};
use bytes::Bytes;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::numbers::{later, milliseconds};
use rquickjs::module::Evaluated;
use rquickjs::promise::PromiseState;
use rquickjs::{Array, Ctx, Function, Module, Object, Promise, Value};
use std::borrow::Cow;
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

/// What the prelude's `poll` says where it has run a timer, and where there is none.
const RAN: f64 = -2.0;
const NO_TIMER: f64 = -1.0;

/// A script that is loaded.
pub(super) struct Program<'js> {
    ctx: Ctx<'js>,
    prelude: Prelude<'js>,
    functions: Vec<(Registration, Function<'js>)>,
    /// What JavaScript may use of the lane's stack now.
    stack_bytes: Cell<usize>,
}

/// What the prelude gives to the host.
struct Prelude<'js> {
    tools: Object<'js>,
    builtins: Builtins<'js>,
    poll: Function<'js>,
    settle: Function<'js>,
    item: Function<'js>,
    reset: Function<'js>,
}

impl<'js> Prelude<'js> {
    fn new(ctx: &Ctx<'js>, exchange: &Rc<Exchange>) -> rquickjs::Result<Self> {
        let make: Function<'js> = PRELUDE.evaluate(ctx)?;
        let tools: Object<'js> = make.call((host::object(ctx, exchange)?,))?;
        #[cfg(test)]
        super::faults::tests::install(ctx, exchange)?;
        Ok(Self {
            builtins: Builtins::new(ctx, exchange, &tools)?,
            poll: tools.get("poll")?,
            settle: tools.get("settle")?,
            item: tools.get("item")?,
            reset: tools.get("reset")?,
            tools,
        })
    }
}

impl<'js> Program<'js> {
    /// Evaluates the prelude and the script.
    pub(super) fn load(
        ctx: &Ctx<'js>,
        exchange: &Rc<Exchange>,
        script: &Script,
    ) -> Result<Self, ScriptError> {
        let name = &script.name;
        let engine = |error: rquickjs::Error| {
            ScriptError::new(format!("script {name}: the engine does not start: {error}"))
        };
        let mut program = Self {
            ctx: ctx.clone(),
            prelude: Prelude::new(ctx, exchange).map_err(engine)?,
            functions: Vec::new(),
            stack_bytes: Cell::new(JS_STACK_BYTES),
        };
        exchange.pause();
        let console_log =
            globals::install(ctx, exchange, name, &program.prelude.tools).map_err(engine)?;
        exchange.pause();
        let source = source_of(&script.program);
        let evaluated = preempt::stoppable(|| {
            Module::declare(ctx.clone(), name.as_bytes(), source.as_bytes())?.eval()
        });
        let loaded =
            evaluated
                .map_err(|error| program.thrown(&error))
                .and_then(|(module, promise)| {
                    program.settle(exchange, &promise)?;
                    Ok(module)
                });
        // What nobody has awaited belongs to loading too: it may register, or fill a table.
        run_jobs(ctx, exchange);
        let registered = loaded.and_then(|module| program.register_exports(&module));
        let error = match exchange.must_stop() {
            Some(kind) => Some(exchange.stopped(kind)),
            None => match registered {
                Ok(()) => exchange.unhandled_rejection(),
                Err(error) => Some(*error),
            },
        };
        if let Some(error) = error {
            return Err(load_error(name, exchange, &error));
        }
        program.functions = program.close().map_err(engine)?;
        console_log.know_functions(
            program
                .functions
                .iter()
                .map(|(function, _)| function.name.clone())
                .collect(),
        );
        if program.functions.is_empty() {
            return Err(ScriptError::new(format!(
                "script {name}: registers no function; call madrpc.register(name, fn) at its top level, or export functions"
            )));
        }
        let timers: Function<'js> = program.prelude.tools.get("waitingTimers").map_err(engine)?;
        exchange.lost_timers.set(timers.call(()).map_err(engine)?);
        program.clear(exchange);
        exchange.is_serving.set(true);
        Ok(program)
    }

    /// Registers the functions that the script exports, where it has registered none itself.
    fn register_exports(&self, module: &Module<'js, Evaluated>) -> Result<(), Box<CallError>> {
        let register = || {
            let register: Function<'js> = self.prelude.tools.get("registerExports")?;
            preempt::stoppable(|| register.call((module.namespace()?,)))
        };
        register().map_err(|error| self.thrown(&error))
    }

    /// Ends the registering, and gives what is registered.
    fn close(&self) -> rquickjs::Result<Vec<(Registration, Function<'js>)>> {
        let close: Function<'js> = self.prelude.tools.get("close")?;
        let pairs: Array<'js> = close.call(())?;
        let pairs = pairs.iter::<Array<'js>>().map(|pair| {
            let pair = pair?;
            let options = Options::read(&pair.get(2)?)?;
            let registration = Registration {
                name: pair.get(0)?,
                options,
                is_exported: pair.get(3)?,
            };
            Ok((registration, pair.get(1)?))
        });
        pairs.collect()
    }

    /// What is registered, in its order.
    pub(super) fn registrations(&self) -> Vec<Registration> {
        self.functions
            .iter()
            .map(|(function, _)| function.clone())
            .collect()
    }

    /// Runs the call that lies on the exchange. What it seldom needs is laid out apart, see `Shard::take_calls`.
    #[inline(never)]
    pub(super) fn call(&self, exchange: &Exchange) -> Outcome {
        let stack_bytes = exchange.meter.limits().stack_bytes;
        self.bound_stack(exchange, stack_bytes);
        let result = self.attempt(exchange).map_err(|mut error| {
            if error.kind == ErrorKind::StackLimit {
                match error.exception.take() {
                    Some(exception) if !is_used_up(exchange, stack_bytes) => {
                        *error = CallError::thrown(*exception);
                    }
                    exception => {
                        error.message = exchange.stopped(ErrorKind::StackLimit).message;
                        error.exception = exception;
                    }
                }
            }
            error
        });
        // Whatever the script made of the exception.
        if exchange.stop.get().is_none() && exchange.lane.heap.refused().is_some() {
            exchange.stop.set(Some(ErrorKind::MemoryLimit));
        }
        // Work that the call left behind must not run in the next one.
        run_jobs(&self.ctx, exchange);
        let now = Instant::now();
        let rejection = exchange.unhandled_rejection();
        let result = match exchange.must_stop_at(now) {
            // Whatever the script made of the interrupt.
            Some(kind) => {
                self.ctx.catch();
                Err(Box::new(exchange.stopped(kind)))
            }
            None => match rejection {
                Some(rejection) if result.is_ok() => Err(Box::new(rejection)),
                _ => result,
            },
        };
        exchange
            .ended_at
            .set((!exchange.is_touched.get()).then_some(now));
        self.clear(exchange);
        result
    }

    /// Gives the call no more JavaScript stack than this.
    fn bound_stack(&self, exchange: &Exchange, bytes: usize) {
        if self.stack_bytes.replace(bytes) == bytes {
            return;
        }
        // SAFETY: the context is alive as long as `self`, on whose stack this runs; the call only sets a number.
        unsafe {
            let runtime = rquickjs::qjs::JS_GetRuntime(self.ctx.as_raw().as_ptr());
            rquickjs::qjs::JS_SetMaxStackSize(runtime, bytes as _);
        }
        exchange.kernels.bound_stack(exchange, bytes);
    }

    /// Forgets what the call has left behind.
    fn clear(&self, exchange: &Exchange) {
        if exchange.is_touched.get()
            && preempt::stoppable(|| self.prelude.reset.call::<_, ()>(())).is_err()
        {
            self.ctx.catch();
        }
        exchange.clear();
    }

    fn attempt(&self, exchange: &Exchange) -> Outcome {
        let ctx = &self.ctx;
        let Some((_, function)) = self.functions.get(exchange.function.get()) else {
            let error = "the lane does not have this function";
            return Err(CallError::not_run(ErrorKind::NoSuchFunction, error).into());
        };
        let builtins = &self.prelude.builtins;
        let argument = match exchange.large_input.take() {
            None => {
                let input = exchange.input.take().unwrap_or_default();
                let read = |input: &mut Buffer| values::from_wire(ctx, builtins, input);
                let (input, argument) = lend(&exchange.written, input, read);
                exchange.input.set(Some(emptied(Some(input))));
                argument
            }
            Some(input) => {
                let read = |input: &mut Bytes| values::from_wire(ctx, builtins, input);
                lend(&exchange.read, input, read).1
            }
        };
        let argument = argument?;
        let returned = argument.pass_to(function);
        let returned = returned.map_err(|error| self.thrown(&error))?;
        let promise = values::as_promise(builtins, returned.view());
        let result = match promise.map_err(|error| self.thrown(&error))? {
            Some(promise) => Raw::of(ctx, &self.settle(exchange, &promise)?),
            None => returned,
        };
        let limit = exchange.meter.limits().body_bytes;
        let write = |output: &mut Buffer| {
            values::to_wire(ctx, builtins, result.view(), Whole::Result, output, limit)
        };
        let output = emptied(exchange.output.take());
        let (output, written) = lend(&exchange.written, output, write);
        exchange.output.set(Some(output));
        match written {
            Ok(()) => Ok(()),
            Err(error) => {
                let result = result.into_value();
                let streamed = self.stream(exchange, &result, error);
                preempt::stoppable(|| drop(result));
                streamed
            }
        }
    }

    /// Runs what a promise waits for, and gives what it settles to.
    #[inline(never)]
    fn settle(
        &self,
        exchange: &Exchange,
        promise: &Promise<'js>,
    ) -> Result<Value<'js>, Box<CallError>> {
        let ctx = &self.ctx;
        loop {
            while promise.state() == PromiseState::Pending
                && exchange.stop.get().is_none()
                && preempt::stoppable(|| ctx.execute_pending_job())
            {}
            match promise.result::<Value<'js>>() {
                Some(Ok(value)) => return Ok(value),
                Some(Err(error)) => return Err(self.thrown(&error)),
                None => {}
            }
            if let Some(kind) = exchange.must_stop() {
                return Err(exchange.stopped(kind).into());
            }
            let waits = self.go_on(exchange).map_err(|error| self.thrown(&error))?;
            let Some(wait) = waits else {
                continue;
            };
            if wait == NO_TIMER && !exchange.child_calls.has_open() {
                let error = "the function returned a promise that nothing is left to settle";
                return Err(CallError::may_have_run(ErrorKind::JavaScript, error).into());
            }
            if !exchange.is_serving.get() {
                let error = "a script cannot wait for a timer while it loads";
                return Err(CallError::may_have_run(ErrorKind::JavaScript, error).into());
            }
            let timer = (wait != NO_TIMER).then(|| later(Instant::now(), milliseconds(wait)));
            exchange.wake_at.set(timer);
            exchange.suspend(Yield::Waiting);
        }
    }

    /// The error for what the engine says.
    #[cold]
    fn thrown(&self, error: &rquickjs::Error) -> Box<CallError> {
        Box::new(match error {
            rquickjs::Error::Exception => {
                exception::pending(&self.ctx, Some(&self.prelude.builtins))
            }
            error => {
                CallError::may_have_run(ErrorKind::Internal, format!("the engine failed: {error}"))
            }
        })
    }

    /// Hands over what has come next of a call, or runs the next timer that is due; where there is neither, gives the milliseconds
    /// until the next timer, or [`NO_TIMER`].
    fn go_on(&self, exchange: &Exchange) -> rquickjs::Result<Option<f64>> {
        let Prelude {
            tools,
            builtins,
            poll,
            settle,
            item,
            ..
        } = &self.prelude;
        if let Some((token, news)) = exchange.child_calls.next_news(&exchange.lane.heap) {
            let (body, frames) = match news {
                News::Item(body, frames) => (Some(Ok(body)), Some(frames)),
                News::Result(body) => (Some(Ok(body)), Some(0)),
                News::End(answer) => (Some(answer), None),
                News::Over => (None, None),
            };
            let (is_result, value) = match body {
                None => (true, Value::new_undefined(self.ctx.clone())),
                Some(Ok(body)) => match host::result(&self.ctx, exchange, builtins, tools, body) {
                    Ok(value) => (true, value),
                    Err(rquickjs::Error::Exception) => (false, self.ctx.catch()),
                    Err(error) => return Err(error),
                },
                Some(Err(error)) => {
                    let error = host::make_error(&self.ctx, builtins, tools, &error)?;
                    (false, error)
                }
            };
            preempt::stoppable(|| match frames {
                Some(frames) if is_result => item.call::<_, ()>((token, value, frames)),
                // An item that cannot be read ends its stream.
                Some(_) | None => settle.call::<_, ()>((token, is_result, value)),
            })?;
            return Ok(None);
        }
        let wait: f64 = preempt::stoppable(|| poll.call(()))?;
        Ok((wait != RAN).then_some(wait))
    }
}

/// Runs what promises have left to do, until the call has to end.
fn run_jobs(ctx: &Ctx<'_>, exchange: &Exchange) {
    while exchange.stop.get().is_none() && preempt::stoppable(|| ctx.execute_pending_job()) {}
}

/// A source as the engine takes it: without a byte order mark, which may stand before `#!`, and with an escape for NUL, which
/// ends it there. NUL is allowed in strings, regular expressions and comments only, where that means the same.
pub(super) fn source_of(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.contains('\0') {
        true => text.replace('\0', "\\x00").into(),
        false => text.into(),
    }
}

fn load_error(name: &str, exchange: &Exchange, error: &CallError) -> ScriptError {
    if exchange.lane.heap.refused().is_some() {
        let error = exchange.stopped(ErrorKind::MemoryLimit);
        return ScriptError::new(format!("script {name}: while it loads, {}", error.message));
    }
    match &error.exception {
        Some(exception) => {
            let stack = exception.stack.clone();
            let message = &exception.message;
            let hint = hint_at_type(message)
                .or_else(|| hint_at_node(message, Path::new(name)))
                .or_else(|| wasm::hint(message));
            let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            ScriptError {
                message: format!("script {}: {}{hint}", place_in(name, &stack), error.message),
                stack,
            }
        }
        None if error.kind == ErrorKind::CpuLimit => ScriptError::too_slow(name, LOAD_CPU),
        None => ScriptError::new(format!("script {name}: {}", error.message)),
    }
}

/// What to do where a type was imported as a value: it is gone when the module is loaded.
fn hint_at_type(message: &str) -> Option<String> {
    let is_missing = message.starts_with("Could not find export")
        && (message.ends_with(".ts'") || message.ends_with(".mts'"));
    is_missing.then(|| "a type is imported by `import type`".to_owned())
}

/// The script's name with the innermost place that the stack knows: `script:line:column`, or `script: at module:line:column`.
/// A stack is what the script says, which can assign it: so the name always comes first.
fn place_in(name: &str, stack: &str) -> String {
    match stack.lines().find_map(place_of) {
        None => name.to_owned(),
        Some((file, place)) if file == name => place.to_owned(),
        Some((_, place)) => format!("{name}: at {place}"),
    }
}

/// The file, and `file:line:column`, in a line of a JavaScript stack; built-ins have neither.
fn place_of(frame: &str) -> Option<(&str, &str)> {
    let place = frame.trim().strip_prefix("at ")?;
    let place = place.rsplit_once('(').map_or(place, |(_, place)| place);
    let place = place.trim_end_matches(')');
    let (rest, column) = place.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    (is_number(line) && is_number(column)).then_some((file, place))
}
