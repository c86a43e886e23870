//! Calls of exports from JavaScript, and what is thrown where they have no result.

use super::super::exchange::Exchange;
use super::super::faults::caught;
use super::super::host::interrupted;
use super::super::preempt::{stoppable, unstoppable};
use super::drive::{FAIL, Failure, Order};
use super::module::words;
use super::store::{Function, Held};
use super::values::{Kind, from_js, to_js};
use madrpc_core::call::ErrorKind;
use rquickjs::{Ctx, Exception, Value, qjs};
use std::ffi::c_int;
use std::ptr::NonNull;
use wasmtime::{Trap, Val};

/// What webassembly.js calls the errors.
pub(super) const LINK: u32 = 1;
const RUNTIME: u32 = 2;

/// Values that are converted without asking for memory.
const USUAL_VALUES: usize = 8;

/// What the engine calls for an export, with as many arguments as that has parameters, or more. With the function go the array of
/// imports, the export's number and the exchange's address.
unsafe extern "C" fn call(
    ctx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    _count: c_int,
    arguments: *mut qjs::JSValue,
    _magic: c_int,
    data: *mut qjs::JSValue,
) -> qjs::JSValue {
    let Some(ctx) = NonNull::new(ctx) else {
        return qjs::JS_EXCEPTION;
    };
    unstoppable(|| {
        // SAFETY: the engine calls with the context of the function, and with what the function was made with; the lane's exchange
        // is there as long as the lane runs.
        let (ctx, imports, number, exchange) = unsafe {
            (
                Ctx::from_raw(ctx),
                *data,
                qjs::JS_VALUE_GET_INT(*data.add(1)),
                &*(qjs::JS_VALUE_GET_FLOAT64(*data.add(2)) as usize as *const Exchange),
            )
        };
        let called = caught(|| {
            let held = exchange.wasm.held().ok_or(Failure::Stopped)?;
            let export = usize::try_from(number).ok();
            let export = export.and_then(|number| held.export(number));
            let export = export.ok_or(Failure::Stopped)?;
            // SAFETY: the engine fills up what is missing with `undefined`.
            unsafe { enter(&ctx, exchange, held, imports, &export, arguments) }
        });
        match called {
            Some(Ok(result)) => result,
            Some(Err(failure)) => {
                throw(&ctx, exchange, imports, RUNTIME, failure);
                qjs::JS_EXCEPTION
            }
            None => {
                exchange.stop.set(Some(ErrorKind::Internal));
                interrupted(&ctx, exchange);
                qjs::JS_EXCEPTION
            }
        }
    })
}

/// A function of JavaScript's that calls the export with this number.
pub(super) fn bind<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    imports: &Value<'js>,
    number: usize,
) -> rquickjs::Result<Value<'js>> {
    let held = exchange.wasm.held().ok_or(rquickjs::Error::Unknown)?;
    let export = held.export(number).ok_or(rquickjs::Error::Unknown)?;
    let count = export.parameters.len() as c_int;
    let place = std::ptr::from_ref(exchange).addr();
    // SAFETY: the function takes references of its own to what goes with it.
    let function = unsafe {
        let mut data = [
            imports.as_raw(),
            qjs::JS_MKVAL(qjs::JS_TAG_INT, number as i32),
            // An address is a whole number below 2^53.
            qjs::__JS_NewFloat64(place as f64),
        ];
        let raw = ctx.as_raw().as_ptr();
        let (length, data) = (data.len() as c_int, data.as_mut_ptr());
        let function = qjs::JS_NewCFunctionData(raw, Some(call), count, 0, length, data);
        Value::from_raw(ctx.clone(), function)
    };
    match function.is_exception() {
        true => Err(rquickjs::Error::Exception),
        false => Ok(function),
    }
}

/// # Safety
/// There are as many arguments as the export has parameters.
unsafe fn enter(
    ctx: &Ctx<'_>,
    exchange: &Exchange,
    held: &Held,
    imports: qjs::JSValue,
    export: &Function,
    arguments: *const qjs::JSValue,
) -> Result<qjs::JSValue, Failure> {
    let (parameters, results) = (export.parameters.len(), export.results.len());
    let mut usual = [Val::I32(0); USUAL_VALUES];
    let mut many = Vec::new();
    let values = match parameters + results <= USUAL_VALUES {
        true => &mut usual[..parameters + results],
        false => {
            many.resize(parameters + results, Val::I32(0));
            &mut many[..]
        }
    };
    let (given, returned) = values.split_at_mut(parameters);
    for (at, (value, kind)) in given.iter_mut().zip(&export.parameters).enumerate() {
        // SAFETY: the caller says so.
        *value = unsafe { from_js(held, ctx, *kind, *arguments.add(at)) }.ok_or(Failure::Thrown)?;
    }
    for (value, kind) in returned.iter_mut().zip(&export.results) {
        *value = kind.zero();
    }
    let order = Order::Call {
        function: export.function,
        parameters: NonNull::from(given),
        results: NonNull::from(&mut *returned),
    };
    held.run(ctx, exchange, imports, order)?;
    if export.results.contains(&Kind::Function) {
        let functions = returned
            .iter()
            .filter_map(|value| value.func_ref().flatten());
        for function in functions.copied() {
            held.with_store(|store| held.number_function(&store, function));
        }
    }
    match returned {
        [] => Ok(qjs::JS_UNDEFINED),
        [result] => Ok(to_js(held, ctx, result)),
        results => list(held, ctx, results),
    }
}

fn list(held: &Held, ctx: &Ctx<'_>, values: &[Val]) -> Result<qjs::JSValue, Failure> {
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: the array is new, and takes the values.
    unsafe {
        let list = qjs::JS_NewArray(raw);
        for (at, value) in values.iter().enumerate() {
            let value = to_js(held, ctx, value);
            let is_made = qjs::JS_VALUE_GET_TAG(value) != qjs::JS_TAG_EXCEPTION;
            let flags = qjs::JS_PROP_C_W_E as c_int;
            if !is_made || qjs::JS_DefinePropertyValueUint32(raw, list, at as u32, value, flags) < 0
            {
                qjs::JS_FreeValue(raw, list);
                return Err(Failure::Thrown);
            }
        }
        Ok(list)
    }
}

/// Throws what is to be thrown; `kind` is how an error is called that is no trap.
pub(super) fn throw(
    ctx: &Ctx<'_>,
    exchange: &Exchange,
    imports: qjs::JSValue,
    kind: u32,
    failure: Failure,
) {
    let error = match failure {
        Failure::Thrown => return,
        _ if exchange.must_stop().is_some() => {
            interrupted(ctx, exchange);
            return;
        }
        Failure::Stopped => {
            interrupted(ctx, exchange);
            return;
        }
        Failure::TooDeep => return too_deep(ctx),
        Failure::Wasm(error) => error,
    };
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => too_deep(ctx),
        Some(trap) => make_error(ctx, imports, RUNTIME, trap_words(*trap)),
        None => make_error(ctx, imports, kind, &words(&error)),
    }
}

/// In the engine's words.
fn too_deep(ctx: &Ctx<'_>) {
    Exception::throw_range(ctx, "Maximum call stack size exceeded");
}

/// In the words of the specification's tests.
fn trap_words(trap: Trap) -> &'static str {
    match trap {
        Trap::MemoryOutOfBounds => "out of bounds memory access",
        Trap::TableOutOfBounds => "out of bounds table access",
        Trap::IndirectCallToNull => "uninitialized element",
        Trap::BadSignature => "indirect call type mismatch",
        Trap::IntegerOverflow => "integer overflow",
        Trap::IntegerDivisionByZero => "integer divide by zero",
        Trap::BadConversionToInteger => "invalid conversion to integer",
        Trap::UnreachableCodeReached => "unreachable",
        Trap::AllocationTooLarge => "allocation too large",
        _ => "the instance has trapped",
    }
}

/// Throws one of the errors of `WebAssembly`.
fn make_error(ctx: &Ctx<'_>, imports: qjs::JSValue, kind: u32, words: &str) {
    // SAFETY: `imports` is an array with this function in this place; all values are of this context, and each is freed once.
    unsafe {
        let raw = ctx.as_raw().as_ptr();
        let fail = qjs::JS_GetPropertyUint32(raw, imports, FAIL);
        let text = qjs::JS_NewStringLen(raw, words.as_ptr().cast(), words.len() as _);
        let mut arguments = [qjs::JS_MKVAL(qjs::JS_TAG_INT, kind as i32), text];
        let (count, place) = (arguments.len() as c_int, arguments.as_mut_ptr());
        let error = stoppable(|| qjs::JS_Call(raw, fail, qjs::JS_UNDEFINED, count, place));
        qjs::JS_FreeValue(raw, text);
        qjs::JS_FreeValue(raw, fail);
        if qjs::JS_VALUE_GET_TAG(error) != qjs::JS_TAG_EXCEPTION {
            qjs::JS_Throw(raw, error);
        }
    }
}
