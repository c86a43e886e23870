//! What JavaScript throws, as the errors of calls.

use super::preempt::stoppable;
use super::values::{self, Builtins, View, Whole};
use madrpc_core::call::{CallError, ErrorKind, Exception};
use madrpc_core::limits::THROWN_MAX_BYTES;
use madrpc_core::value::json::to_json;
use rquickjs::{Ctx, Object, Type, Value};

/// What is told of a thrown object that is no error.
const OBJECT_MAX_BYTES: usize = 1024;

/// The longest name of an error that is told.
const NAME_MAX_BYTES: usize = 256;

/// The error for the exception that is pending in `ctx`; with `builtins` it has what was thrown as a value.
pub(super) fn pending<'js>(ctx: &Ctx<'js>, builtins: Option<&Builtins<'js>>) -> CallError {
    let thrown = ctx.catch();
    // Where memory ran out while the error itself was made, there is none to look at; the heap knows.
    if thrown.type_of() == Type::Uninitialized {
        let error = "the engine gave the call up without an exception";
        return CallError::may_have_run(ErrorKind::Internal, error);
    }
    let error = of_thrown(ctx, &thrown, builtins);
    // It may be large.
    stoppable(|| drop(thrown));
    error
}

fn of_thrown<'js>(
    ctx: &Ctx<'js>,
    thrown: &Value<'js>,
    builtins: Option<&Builtins<'js>>,
) -> CallError {
    let mut error = of_value(ctx, thrown);
    let (Some(exception), Some(builtins)) = (&mut error.exception, builtins) else {
        return error;
    };
    exception.value = travelling(ctx, builtins, thrown);
    // Any object can be thrown; one that is no error says nothing but what is in it.
    if exception.name == "object"
        && exception.message.is_empty()
        && let Some(value) = exception.value()
    {
        let json = to_json(&value);
        exception.message = bounded(&json, json.encode_utf16().count(), OBJECT_MAX_BYTES);
        return CallError::thrown((**exception).clone());
    }
    error
}

/// The error for a thrown value or the reason of a rejected promise.
pub(super) fn of_value<'js>(ctx: &Ctx<'js>, thrown: &Value<'js>) -> CallError {
    let exception = match thrown.as_object() {
        Some(object) => of_object(ctx, object),
        None => Exception {
            name: type_name(thrown).to_owned(),
            message: told(ctx, thrown, THROWN_MAX_BYTES),
            stack: String::new(),
            value: Vec::new(),
        },
    };
    match (exception.name.as_str(), exception.message.as_str()) {
        ("RangeError" | "InternalError", "Maximum call stack size exceeded" | "stack overflow") => {
            CallError {
                exception: Some(Box::new(exception)),
                ..CallError::may_have_run(
                    ErrorKind::StackLimit,
                    "the call nested deeper than its stack",
                )
            }
        }
        _ => CallError::thrown(exception),
    }
}

/// What was thrown, as it would travel as a result; empty where it cannot.
fn travelling<'js>(ctx: &Ctx<'js>, builtins: &Builtins<'js>, thrown: &Value<'js>) -> Vec<u8> {
    let (thrown, limit) = (View::of(thrown), THROWN_MAX_BYTES);
    let (value, written) =
        builtins.lend(|value| values::to_wire(ctx, builtins, thrown, Whole::Thrown, value, limit));
    match written {
        Ok(()) => *value,
        Err(_) => Vec::new(),
    }
}

/// Reads an error's properties; a getter among them may throw, and then counts as absent.
fn of_object<'js>(ctx: &Ctx<'js>, object: &Object<'js>) -> Exception {
    let property = |name: &str, most: usize| {
        let value = stoppable(|| object.get::<_, Value<'_>>(name));
        if value.is_err() {
            ctx.catch();
        }
        let value = value.ok().filter(|value| !value.is_undefined())?;
        Some(told(ctx, &value, most))
    };
    let stack = property("stack", THROWN_MAX_BYTES).unwrap_or_default();
    let name = property("name", NAME_MAX_BYTES);
    Exception {
        name: name.unwrap_or_else(|| type_name(object.as_value()).to_owned()),
        message: property("message", THROWN_MAX_BYTES).unwrap_or_default(),
        stack: own_frames(&stack),
        value: Vec::new(),
    }
}

/// A stack without the frames of the host's own JavaScript, and of the built-ins that it called.
fn own_frames(stack: &str) -> String {
    let mut own: Vec<&str> = Vec::new();
    for frame in stack.lines().map(str::trim) {
        if !frame.contains("madrpc:") {
            own.push(frame);
            continue;
        }
        while own.pop_if(|frame| frame.ends_with("(native)")).is_some() {}
    }
    own.join("\n")
}

/// `text`, or its beginning, and of how many characters it is that.
fn bounded(text: &str, characters: usize, most: usize) -> String {
    let beginning = &text[..text.floor_char_boundary(most)];
    match characters == beginning.encode_utf16().count() {
        true => beginning.to_owned(),
        false => format!("{beginning}… ({characters} characters)"),
    }
}

/// What `typeof` says, but for null.
fn type_name(value: &Value<'_>) -> &'static str {
    match value.type_of() {
        Type::Undefined | Type::Uninitialized => "undefined",
        Type::Null => "null",
        Type::Bool => "boolean",
        Type::Int | Type::Float => "number",
        Type::String => "string",
        Type::Symbol => "symbol",
        Type::BigInt => "bigint",
        Type::Function | Type::Constructor => "function",
        _ => "object",
    }
}

/// A primitive as JavaScript has it in a text, at most so many bytes of it; an object only by its type, as asking it would run its
/// code.
fn told<'js>(ctx: &Ctx<'js>, value: &Value<'js>, most: usize) -> String {
    let of_text = |text: &Value<'js>| {
        let (head, characters) = values::head(text, most);
        bounded(&head, characters, most)
    };
    if let Some(symbol) = value.as_symbol() {
        let description = symbol
            .description()
            .ok()
            .filter(|text| !text.is_undefined());
        let description = description.map(|text| of_text(&text));
        return format!("Symbol({})", description.unwrap_or_default());
    }
    if value.is_object() {
        return type_name(value).to_owned();
    }
    // Of a primitive it runs no code, and fails only where there is no memory for the text.
    match stoppable(|| value.get::<rquickjs::Coerced<rquickjs::String<'js>>>()) {
        Ok(text) => of_text(text.0.as_value()),
        Err(_) => {
            ctx.catch();
            String::new()
        }
    }
}
