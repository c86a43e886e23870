//! How WebAssembly runs in a lane: the future that has the store is polled here, by whoever called an export, and what it wants
//! is done between the polls.

use super::super::exchange::Exchange;
use super::super::life::has_to_end;
use super::super::preempt::stoppable;
use super::limits::{LOOK_EVERY_CALLS, NESTED_MAX};
use super::store::{Data, Held, Running};
use super::values::{Kind, from_js, to_js};
use rquickjs::{Ctx, qjs};
use std::cell::Cell;
use std::ffi::c_int;
use std::fmt;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};
use wasmtime::{
    AsContextMut, Caller, Extern, Func, FuncType, Instance, Module, StoreContextMut, Val,
};

/// Arguments that are converted without asking for memory.
const USUAL_ARGUMENTS: usize = 8;

/// Where the lane and what runs in its store leave word for each other. They never run at the same time.
#[derive(Default)]
pub(super) struct Link {
    /// A function that is imported is called.
    request: Cell<Option<Request>>,
    /// What the function that waits is to do.
    order: Cell<Option<Order>>,
    /// What has come of an order that was not to return.
    done: Cell<Option<wasmtime::Result<()>>>,
    /// Whether a memory has grown since JavaScript last ran.
    pub(super) has_grown: Cell<bool>,
}

/// A call of an imported function. What it points to stays while the function waits.
#[derive(Clone, Copy)]
struct Request {
    import: u32,
    parameters: NonNull<[Val]>,
    results: NonNull<[Val]>,
    kinds: NonNull<[Kind]>,
}

/// What is asked of whoever has the store. What it points to stays until it is done.
pub(super) enum Order {
    /// The imported function has returned, or has thrown.
    Return(Result<(), Thrown>),
    Call {
        function: Func,
        parameters: NonNull<[Val]>,
        results: NonNull<[Val]>,
    },
    Instantiate {
        module: Module,
        imports: Vec<Extern>,
        made: NonNull<Option<Instance>>,
    },
    Do(NonNull<Use<'static>>),
}

/// What uses the store for a moment.
type Use<'a> = dyn FnMut(StoreContextMut<'_, Data>) + 'a;

/// What was thrown is pending in the engine.
#[derive(Debug)]
pub(super) struct Thrown;

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JavaScript has thrown")
    }
}

impl std::error::Error for Thrown {}

/// Why something has no result.
pub(super) enum Failure {
    /// What was thrown is pending in the engine.
    Thrown,
    /// The call has to end.
    Stopped,
    TooDeep,
    Wasm(wasmtime::Error),
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        match error.is::<Thrown>() {
            true => Self::Thrown,
            false => Self::Wasm(error),
        }
    }
}

/// What goes into a future of wasmtime's, which is asked to be one that may go to another thread; it never does.
struct Here<T>(T);

// SAFETY: a store, and all that has to do with it, stays on the thread of its lane.
unsafe impl<T> Send for Here<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Here<T> {}

impl Held {
    /// Has something done that may take long, and runs the JavaScript that is imported by it.
    pub(super) fn run(
        &self,
        ctx: &Ctx<'_>,
        exchange: &Exchange,
        imports: qjs::JSValue,
        order: Order,
    ) -> Result<(), Failure> {
        if self.is_dropped.get() {
            return Err(Failure::Stopped);
        }
        if self.is_time_to_look() && has_to_end(exchange) {
            return Err(Failure::Stopped);
        }
        let nested = self.nested.get();
        if nested >= NESTED_MAX {
            return Err(Failure::TooDeep);
        }
        match nested {
            0 => drop(self.running.replace(Some(self.begin(order)))),
            _ => self.link.order.set(Some(order)),
        }
        self.nested.set(nested + 1);
        let result = self.drive(ctx, exchange, imports);
        self.nested.set(nested);
        if nested == 0 {
            drop(self.running.take());
            self.is_dropped.set(false);
        }
        if !matches!(result, Err(Failure::Stopped)) {
            self.refresh(ctx, imports)?;
        }
        result
    }

    /// Has something done with the store that is over at once.
    pub(super) fn with_store<R>(
        &self,
        run: impl FnOnce(StoreContextMut<'_, Data>) -> R,
    ) -> Option<R> {
        if self.is_dropped.get() {
            return None;
        }
        if self.nested.get() == 0 {
            // SAFETY: nobody else has it.
            let store = unsafe { self.store().as_mut() };
            return Some(self.memories_made.collect(|| run(store.as_context_mut())));
        }
        let (mut run, mut result) = (Some(run), None);
        let mut once = |store: StoreContextMut<'_, Data>| {
            if let Some(run) = run.take() {
                result = Some(run(store));
            }
        };
        let erased: NonNull<Use<'_>> = NonNull::from(&mut once);
        // SAFETY: only the life is another; it is called by the poll below or never, as no order outlives that.
        let order =
            unsafe { std::mem::transmute::<NonNull<Use<'_>>, NonNull<Use<'static>>>(erased) };
        let order = Order::Do(order);
        self.link.order.set(Some(order));
        let _ = self.poll();
        self.link.order.take();
        self.link.done.take();
        result
    }

    /// What does the first of what is asked, and so has the store.
    fn begin(&self, order: Order) -> Running {
        let (mut store, link) = (self.store(), NonNull::from(&*self.link));
        Box::pin(async move {
            // SAFETY: what holds this owns the store and the link, and uses neither while this is there.
            let (store, link) = unsafe { (store.as_mut(), link.as_ref()) };
            perform(store.as_context_mut(), link, order).await
        })
    }

    fn poll(&self) -> Poll<wasmtime::Result<()>> {
        let mut running = self.running.borrow_mut();
        let Some(running) = running.as_mut() else {
            return Poll::Ready(Err(wasmtime::Error::msg("nothing runs")));
        };
        let mut context = Context::from_waker(Waker::noop());
        self.memories_made
            .collect(|| running.as_mut().poll(&mut context))
    }

    fn drive(
        &self,
        ctx: &Ctx<'_>,
        exchange: &Exchange,
        imports: qjs::JSValue,
    ) -> Result<(), Failure> {
        loop {
            let polled = self.poll();
            if let Poll::Ready(result) = polled {
                return Ok(result?);
            }
            if let Some(result) = self.link.done.take() {
                return Ok(result?);
            }
            let request = self.link.request.take();
            if (request.is_none() || self.is_time_to_look()) && has_to_end(exchange) {
                self.is_dropped.set(true);
                drop(self.running.take());
                return Err(Failure::Stopped);
            }
            if let Some(request) = request {
                let served = self
                    .refresh(ctx, imports)
                    .and_then(|()| self.serve(ctx, imports, request));
                if self.is_dropped.get() {
                    return Err(Failure::Stopped);
                }
                let served = served.map_err(|_| Thrown);
                self.link.order.set(Some(Order::Return(served)));
            }
        }
    }

    /// Calls take longer than the steps that the engine counts, and fewer instructions than are counted here.
    fn is_time_to_look(&self) -> bool {
        let calls = self.calls.get().wrapping_add(1);
        self.calls.set(calls);
        calls.is_multiple_of(LOOK_EVERY_CALLS)
    }

    /// Has the buffers of memories detached that have grown, before JavaScript sees them.
    fn refresh(&self, ctx: &Ctx<'_>, imports: qjs::JSValue) -> Result<(), Failure> {
        if !self.link.has_grown.take() {
            return Ok(());
        }
        // SAFETY: `imports` is an array with this function in this place, see webassembly.js; it calls nothing of a script's.
        unsafe {
            let raw = ctx.as_raw().as_ptr();
            let refresh = qjs::JS_GetPropertyUint32(raw, imports, REFRESH);
            // Something may have been thrown before.
            let pending = qjs::JS_GetException(raw);
            let result = stoppable(|| {
                qjs::JS_Call(raw, refresh, qjs::JS_UNDEFINED, 0, std::ptr::null_mut())
            });
            qjs::JS_FreeValue(raw, refresh);
            let has_thrown = qjs::JS_VALUE_GET_TAG(result) == qjs::JS_TAG_EXCEPTION;
            qjs::JS_FreeValue(raw, result);
            if has_thrown {
                qjs::JS_FreeValue(raw, pending);
                return Err(Failure::Thrown);
            }
            if qjs::JS_VALUE_GET_TAG(pending) != qjs::JS_TAG_UNINITIALIZED {
                qjs::JS_Throw(raw, pending);
            }
        }
        Ok(())
    }

    /// Calls an imported function.
    fn serve(&self, ctx: &Ctx<'_>, imports: qjs::JSValue, request: Request) -> Result<(), Failure> {
        let raw = ctx.as_raw().as_ptr();
        // SAFETY: the function that has asked waits, with what it points to.
        let (parameters, kinds) = unsafe { (request.parameters.as_ref(), request.kinds.as_ref()) };
        let mut usual = [qjs::JS_UNDEFINED; USUAL_ARGUMENTS];
        let mut many = Vec::new();
        let arguments = match parameters.len() <= USUAL_ARGUMENTS {
            true => &mut usual[..parameters.len()],
            false => {
                many.resize(parameters.len(), qjs::JS_UNDEFINED);
                &mut many[..]
            }
        };
        let mut is_made = true;
        for (argument, value) in arguments.iter_mut().zip(parameters) {
            *argument = to_js(self, ctx, value);
            // SAFETY: it looks at the tag.
            is_made &= unsafe { qjs::JS_VALUE_GET_TAG(*argument) } != qjs::JS_TAG_EXCEPTION;
        }
        // SAFETY: all values are of this context, and each is freed once. `imports` is an array of functions.
        unsafe {
            let returned = match is_made {
                false => qjs::JS_EXCEPTION,
                true => {
                    let function = qjs::JS_GetPropertyUint32(raw, imports, request.import);
                    let (count, place) = (arguments.len() as c_int, arguments.as_mut_ptr());
                    let none = qjs::JS_UNDEFINED;
                    let returned = stoppable(|| qjs::JS_Call(raw, function, none, count, place));
                    qjs::JS_FreeValue(raw, function);
                    returned
                }
            };
            for argument in arguments {
                qjs::JS_FreeValue(raw, *argument);
            }
            if qjs::JS_VALUE_GET_TAG(returned) == qjs::JS_TAG_EXCEPTION {
                return Err(Failure::Thrown);
            }
            let converted = self.convert(ctx, kinds, returned, request.results);
            stoppable(|| qjs::JS_FreeValue(raw, returned));
            converted
        }
    }

    /// Writes what an imported function has returned; where it has several results, that is an array of as many.
    ///
    /// # Safety
    /// The function that has asked waits.
    unsafe fn convert(
        &self,
        ctx: &Ctx<'_>,
        kinds: &[Kind],
        returned: qjs::JSValue,
        mut results: NonNull<[Val]>,
    ) -> Result<(), Failure> {
        // SAFETY: the caller says so.
        let results = unsafe { results.as_mut() };
        for (at, (result, kind)) in results.iter_mut().zip(kinds).enumerate() {
            let raw = ctx.as_raw().as_ptr();
            // SAFETY: the value is alive until the caller frees it, and what is in it gets a reference of its own.
            *result = unsafe {
                let part = match kinds.len() {
                    1 => qjs::JS_DupValue(raw, returned),
                    _ => stoppable(|| qjs::JS_GetPropertyUint32(raw, returned, at as u32)),
                };
                let value = from_js(self, ctx, *kind, part);
                qjs::JS_FreeValue(raw, part);
                value.ok_or(Failure::Thrown)?
            };
        }
        Ok(())
    }
}

/// Where the host's JavaScript has these in the array of imports.
pub(super) const FAIL: u32 = 0;
const REFRESH: u32 = 1;

/// Does what is asked, and has the store meanwhile.
async fn perform(
    mut store: StoreContextMut<'_, Data>,
    link: &Link,
    order: Order,
) -> wasmtime::Result<()> {
    match order {
        Order::Call {
            function,
            parameters,
            mut results,
        } => {
            // SAFETY: both stay until this is done.
            let (parameters, results) = unsafe { (parameters.as_ref(), results.as_mut()) };
            function.call_async(&mut store, parameters, results).await
        }
        Order::Instantiate {
            module,
            imports,
            mut made,
        } => {
            let instance = Instance::new_async(&mut store, &module, &imports).await?;
            // SAFETY: as above.
            unsafe { *made.as_mut() = Some(instance) };
            Ok(())
        }
        Order::Do(mut run) => {
            // SAFETY: as above.
            unsafe { run.as_mut()(store) };
            Ok(())
        }
        // None waits.
        Order::Return(_) => {
            link.order.take();
            Ok(())
        }
    }
}

/// A function of JavaScript's, for an instance to import: the one in this place of the array of imports.
pub(super) fn import(
    mut store: StoreContextMut<'_, Data>,
    held: &Held,
    kind: FuncType,
    import: u32,
) -> Func {
    let kinds: Box<[Kind]> = kind.results().map(|kind| Kind::of(&kind)).collect();
    let kinds = Here(kinds);
    let held = Here(NonNull::from(held));
    Func::new_async(
        &mut store,
        kind,
        move |caller: Caller<'_, Data>, parameters, results| {
            let kinds = &kinds;
            // SAFETY: what holds the store outlives it.
            let held = unsafe { held.here().as_ref() };
            for value in parameters {
                if let Val::FuncRef(Some(function)) = value {
                    held.number_function(&caller, *function);
                }
            }
            let request = Request {
                import,
                parameters: NonNull::from(parameters),
                results: NonNull::from(results),
                kinds: NonNull::from(&*kinds.0),
            };
            let link = Here(caller.data().link());
            Box::new(wait(caller, link, Here(request)))
        },
    )
}

impl<T: Copy> Here<T> {
    /// A closure takes hold of the whole by this, and not of what is in it.
    fn here(&self) -> T {
        self.0
    }
}

/// Waits for JavaScript to return, and does what it wants of the store meanwhile.
fn wait<'a>(
    mut caller: Caller<'a, Data>,
    link: Here<NonNull<Link>>,
    request: Here<Request>,
) -> impl Future<Output = wasmtime::Result<()>> + Send + 'a {
    let waiting = async move {
        let request = request;
        // SAFETY: it outlives the store.
        let link = unsafe { link.here().as_ref() };
        link.request.set(Some(request.0));
        loop {
            match (NextOrder { link }).await {
                Order::Return(result) => return result.map_err(wasmtime::Error::new),
                order => {
                    let done = perform(caller.as_context_mut(), link, order).await;
                    link.done.set(Some(done));
                }
            }
        }
    };
    Local(waiting)
}

/// A future that never goes to another thread.
struct Local<F>(F);

// SAFETY: as of `Here`.
unsafe impl<F> Send for Local<F> {}

impl<F: Future> Future for Local<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: it is pinned as this is, and never moved out.
        unsafe { self.map_unchecked_mut(|local| &mut local.0) }.poll(context)
    }
}

struct NextOrder<'a> {
    link: &'a Link,
}

impl Future for NextOrder<'_> {
    type Output = Order;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Order> {
        self.link.order.take().map_or(Poll::Pending, Poll::Ready)
    }
}
