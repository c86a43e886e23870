//! A lane: one QuickJS runtime with the script loaded, on a stack of its own.
//!
//! The runtime is made on that stack and never leaves it. QuickJS calls the interrupt handler every so often, about
//! each 0.3 ms; there the lane looks at the clock. Its slice is used up: the lane is suspended, and whoever resumed it
//! goes on. Its deadline has passed, or it has been cancelled: the handler makes QuickJS throw what no script can catch.
//!
//! A lane is resumed until it says [`Progress::Done`]; after that it takes the next call.

use super::limits::{HEAP_BYTES, JS_STACK_BYTES, LOAD_TIMEOUT, STACK_BYTES};
use super::values::{self, Builtins};
use super::{LoadError, Script, exception};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::limits::BODY_MAX_BYTES;
use rquickjs::promise::PromiseState;
use rquickjs::{Array, Context, Ctx, Function, Module, Object, Promise, Runtime, Value};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

type Fiber = Coroutine<(), Yield, (), DefaultStack>;

/// Why a lane gives the core back.
enum Yield {
    /// The script is loaded, with these functions, or cannot be.
    Loaded(Result<Vec<String>, LoadError>),
    /// The slice is used up, the call is not over.
    Slice,
    /// The call is over.
    Done(Result<(), CallError>),
}

/// What a call has come to when its lane gives the core back.
pub(crate) enum Progress {
    /// It wants to go on.
    Running,
    /// It has a result, see [`Lane::output`], or none.
    Done(Result<(), CallError>),
}

/// A runtime that runs one call at a time.
pub(crate) struct Lane {
    fiber: Fiber,
    desk: Rc<Desk>,
    /// Whether the heap must not be used again.
    spoilt: bool,
}

/// What lies between a lane and whoever resumes it. Both are on one thread, and never run at the same time.
struct Desk {
    function: Cell<usize>,
    input: RefCell<Vec<u8>>,
    output: RefCell<Vec<u8>>,
    deadline: Cell<Instant>,
    slice_end: Cell<Instant>,
    /// Why the call has to end. It stays set until the call is over, as a script can swallow an interrupt.
    stop: Cell<Option<ErrorKind>>,
    retired: Cell<bool>,
}

impl Lane {
    /// Makes a lane and loads the script in it; gives the names that it registers.
    ///
    /// # Errors
    /// Where there is no memory for it, or the script does not load.
    pub(crate) fn load(script: &Script) -> Result<(Self, Vec<String>), LoadError> {
        let now = Instant::now();
        let desk = Rc::new(Desk {
            function: Cell::new(0),
            input: RefCell::default(),
            output: RefCell::default(),
            deadline: Cell::new(now + LOAD_TIMEOUT),
            slice_end: Cell::new(now + LOAD_TIMEOUT * 2),
            stop: Cell::new(None),
            retired: Cell::new(false),
        });
        let stack = DefaultStack::new(STACK_BYTES).map_err(|error| {
            LoadError::new(format!(
                "script {}: no memory for a lane: {error}",
                script.name
            ))
        })?;
        let fiber = {
            let (desk, script) = (Rc::clone(&desk), script.clone());
            Coroutine::with_stack(stack, move |yielder: &Yielder<(), Yield>, ()| {
                live(yielder, &desk, &script);
            })
        };
        let mut lane = Self {
            fiber,
            desk,
            spoilt: false,
        };
        match lane.fiber.resume(()) {
            CoroutineResult::Yield(Yield::Loaded(Ok(functions))) => Ok((lane, functions)),
            CoroutineResult::Yield(Yield::Loaded(Err(error))) => Err(error),
            _ => Err(LoadError::new(format!(
                "script {}: took more than {} s to load",
                script.name,
                LOAD_TIMEOUT.as_secs()
            ))),
        }
    }

    /// Puts a call on the lane's desk: the function by its place among the registered ones, and its arguments.
    pub(crate) fn assign(&mut self, function: usize, body: &[u8], deadline: Instant) {
        self.desk.function.set(function);
        self.desk.deadline.set(deadline);
        self.desk.stop.set(None);
        let mut input = self.desk.input.borrow_mut();
        input.clear();
        input.extend_from_slice(body);
    }

    /// Goes on with the call for one slice.
    pub(crate) fn resume(&mut self, now: Instant, slice: Duration) -> Progress {
        self.desk.slice_end.set(now + slice);
        match self.fiber.resume(()) {
            CoroutineResult::Yield(Yield::Slice) => Progress::Running,
            CoroutineResult::Yield(Yield::Done(result)) => {
                self.spoilt = matches!(&result, Err(error) if error.kind == ErrorKind::MemoryLimit);
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

    /// Lends out the result of the call that is done.
    pub(crate) fn with_output<R>(&self, use_it: impl FnOnce(&[u8]) -> R) -> R {
        use_it(&self.desk.output.borrow())
    }

    /// Whether the lane has run out of memory and must be replaced.
    pub(crate) fn is_spoilt(&self) -> bool {
        self.spoilt
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

/// The life of a lane, on its own stack.
fn live(yielder: &Yielder<(), Yield>, desk: &Rc<Desk>, script: &Script) {
    let fail = |error: rquickjs::Error| {
        LoadError::new(format!("script {}: no engine for it: {error}", script.name))
    };
    let made = Runtime::new().and_then(|runtime| {
        let context = Context::full(&runtime)?;
        Ok((runtime, context))
    });
    let (runtime, context) = match made {
        Ok(made) => made,
        Err(error) => {
            yielder.suspend(Yield::Loaded(Err(fail(error))));
            return;
        }
    };
    runtime.set_max_stack_size(JS_STACK_BYTES);
    runtime.set_memory_limit(HEAP_BYTES);
    runtime.set_interrupt_handler(Some(interrupt_handler(yielder, Rc::clone(desk))));
    context.with(|ctx| match load(&ctx, desk, script) {
        Ok((builtins, functions)) => {
            let names = functions.iter().map(|(name, _)| name.clone()).collect();
            yielder.suspend(Yield::Loaded(Ok(names)));
            while !desk.retired.get() {
                let result = call(&ctx, &builtins, &functions, desk);
                yielder.suspend(Yield::Done(result));
            }
        }
        Err(error) => {
            yielder.suspend(Yield::Loaded(Err(error)));
        }
    });
    runtime.set_interrupt_handler(None);
}

/// What QuickJS asks every so often: `true` ends the call.
fn interrupt_handler(yielder: &Yielder<(), Yield>, desk: Rc<Desk>) -> Box<dyn FnMut() -> bool> {
    let yielder: *const Yielder<(), Yield> = yielder;
    Box::new(move || {
        if desk.stop.get().is_some() {
            return true;
        }
        let now = Instant::now();
        if now >= desk.deadline.get() {
            desk.stop.set(Some(ErrorKind::DeadlineExceeded));
            return true;
        }
        if now >= desk.slice_end.get() {
            // SAFETY: the yielder lives on this lane's stack for as long as `live` runs there, which removes this
            // handler before it returns; and QuickJS calls the handler on this stack only, as the runtime never
            // leaves it.
            unsafe { &*yielder }.suspend(Yield::Slice);
        }
        desk.stop.get().is_some()
    })
}

type Registered<'js> = Vec<(String, Function<'js>)>;

/// Evaluates the prelude and the script.
fn load<'js>(
    ctx: &Ctx<'js>,
    desk: &Desk,
    script: &Script,
) -> Result<(Builtins<'js>, Registered<'js>), LoadError> {
    let name = &script.name;
    let engine = |error: rquickjs::Error| {
        LoadError::new(format!("script {name}: the engine does not start: {error}"))
    };
    let prelude: Object<'js> = ctx.eval(include_str!("prelude.js")).map_err(engine)?;
    let builtins = Builtins::new(ctx, &prelude).map_err(engine)?;
    let evaluated = Module::evaluate(ctx.clone(), name.as_bytes(), script.source.as_bytes());
    let settled = evaluated
        .map_err(|_| exception::pending(ctx))
        .and_then(|promise| settle(ctx, desk, &promise));
    settled.map_err(|error| load_error(name, &error))?;
    let pairs: Array<'js> = prelude
        .get::<_, Function<'js>>("close")
        .and_then(|close| close.call(()))
        .map_err(engine)?;
    let functions = pairs
        .iter::<Array<'js>>()
        .map(|pair| {
            let pair = pair?;
            Ok((pair.get(0)?, pair.get(1)?))
        })
        .collect::<rquickjs::Result<Registered<'js>>>()
        .map_err(engine)?;
    if functions.is_empty() {
        return Err(LoadError::new(format!(
            "script {name}: registers no function; call madrpc.register(name, fn) at its top level"
        )));
    }
    Ok((builtins, functions))
}

fn load_error(name: &str, error: &CallError) -> LoadError {
    match &error.exception {
        Some(exception) => {
            let place = exception.stack.lines().next().and_then(place_of);
            LoadError {
                message: match place {
                    Some(place) => format!("script {place}: {}", error.message),
                    None => format!("script {name}: {}", error.message),
                },
                stack: exception.stack.clone(),
            }
        }
        None if error.kind == ErrorKind::DeadlineExceeded => LoadError::new(format!(
            "script {name}: took more than {} s to load",
            LOAD_TIMEOUT.as_secs()
        )),
        None => LoadError::new(format!("script {name}: {}", error.message)),
    }
}

/// `file:line:column` in a line of a JavaScript stack.
fn place_of(frame: &str) -> Option<&str> {
    let place = frame.trim().strip_prefix("at ")?;
    let place = place.rsplit_once('(').map_or(place, |(_, place)| place);
    Some(place.trim_end_matches(')'))
}

/// Runs the call that lies on the desk.
fn call<'js>(
    ctx: &Ctx<'js>,
    builtins: &Builtins<'js>,
    functions: &[(String, Function<'js>)],
    desk: &Desk,
) -> Result<(), CallError> {
    let result = attempt(ctx, builtins, functions, desk);
    // Work that the call left behind must not run in the next one.
    while desk.stop.get().is_none() && ctx.execute_pending_job() {}
    match desk.stop.get() {
        None => result,
        // Whatever the script made of the interrupt.
        Some(kind) => {
            ctx.catch();
            Err(stopped(kind))
        }
    }
}

fn attempt<'js>(
    ctx: &Ctx<'js>,
    builtins: &Builtins<'js>,
    functions: &[(String, Function<'js>)],
    desk: &Desk,
) -> Result<(), CallError> {
    let Some((_, function)) = functions.get(desk.function.get()) else {
        return Err(CallError::not_run(
            ErrorKind::NoSuchFunction,
            "the lane does not have this function",
        ));
    };
    let argument = values::from_wire(ctx, builtins, &desk.input.borrow())?;
    let returned: Value<'js> = function
        .call((argument,))
        .map_err(|error| thrown(ctx, &error))?;
    let result = match returned.as_promise() {
        Some(promise) => settle(ctx, desk, promise)?,
        None => returned,
    };
    let mut output = desk.output.borrow_mut();
    output.clear();
    values::to_wire(ctx, builtins, &result, &mut output, BODY_MAX_BYTES)
}

/// Runs the jobs that a promise waits for, and gives what it settles to.
fn settle<'js>(
    ctx: &Ctx<'js>,
    desk: &Desk,
    promise: &Promise<'js>,
) -> Result<Value<'js>, CallError> {
    while promise.state() == PromiseState::Pending
        && desk.stop.get().is_none()
        && ctx.execute_pending_job()
    {}
    match promise.result::<Value<'js>>() {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(thrown(ctx, &error)),
        None => match desk.stop.get() {
            Some(kind) => Err(stopped(kind)),
            None => Err(CallError::may_have_run(
                ErrorKind::JavaScript,
                "the function returned a promise that nothing is left to settle",
            )),
        },
    }
}

fn thrown(ctx: &Ctx<'_>, error: &rquickjs::Error) -> CallError {
    match error {
        rquickjs::Error::Exception => exception::pending(ctx),
        error => {
            CallError::may_have_run(ErrorKind::Internal, format!("the engine failed: {error}"))
        }
    }
}

fn stopped(kind: ErrorKind) -> CallError {
    let words = match kind {
        ErrorKind::DeadlineExceeded => "the call did not end by its deadline",
        _ => "the caller gave the call up",
    };
    CallError::may_have_run(kind, words)
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
