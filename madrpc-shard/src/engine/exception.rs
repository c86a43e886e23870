//! What JavaScript throws, as the errors of calls.

use madrpc_core::call::{CallError, ErrorKind, Exception};
use rquickjs::{Ctx, Object, Value};

/// The error for the exception that is pending in `ctx`.
pub(super) fn pending(ctx: &Ctx<'_>) -> CallError {
    let thrown = ctx.catch();
    // Where memory ran out while the error itself was made, there is no error to look at.
    let is_remains = thrown.is_null() || thrown.type_of() == rquickjs::Type::Uninitialized;
    if is_remains && thrown.type_of() == rquickjs::Type::Uninitialized {
        return out_of_memory();
    }
    of_value(ctx, &thrown)
}

/// The error for a thrown value or the reason of a rejected promise.
pub(super) fn of_value(ctx: &Ctx<'_>, thrown: &Value<'_>) -> CallError {
    let exception = match thrown.as_object() {
        Some(object) => of_object(ctx, object),
        None => Exception {
            name: thrown.type_name().to_owned(),
            message: text(thrown),
            stack: String::new(),
        },
    };
    match (exception.name.as_str(), exception.message.as_str()) {
        ("RangeError" | "InternalError", "Maximum call stack size exceeded" | "stack overflow") => {
            CallError {
                exception: Some(exception),
                ..CallError::may_have_run(
                    ErrorKind::StackLimit,
                    "the call nested deeper than its stack",
                )
            }
        }
        _ => CallError::thrown(exception),
    }
}

fn out_of_memory() -> CallError {
    CallError::may_have_run(ErrorKind::MemoryLimit, "the heap has run out")
}

/// Reads an error's properties; a getter among them may throw, and then counts as absent.
fn of_object(ctx: &Ctx<'_>, object: &Object<'_>) -> Exception {
    let property = |name: &str| {
        let value = object.get::<_, Value<'_>>(name);
        if value.is_err() {
            ctx.catch();
        }
        value
            .ok()
            .filter(|value| !value.is_undefined())
            .map(|value| text(&value))
    };
    let stack = property("stack").unwrap_or_default();
    Exception {
        name: property("name").unwrap_or_else(|| "object".to_owned()),
        message: property("message").unwrap_or_default(),
        stack: stack.lines().map(str::trim).collect::<Vec<_>>().join("\n"),
    }
}

/// A primitive as text; an object only by its type, as asking it would run its code.
fn text(value: &Value<'_>) -> String {
    if let Some(string) = value.as_string() {
        return string.to_string().unwrap_or_default();
    }
    if let Some(number) = value.as_number() {
        return number.to_string();
    }
    if let Some(bool) = value.as_bool() {
        return bool.to_string();
    }
    value.type_name().to_owned()
}
