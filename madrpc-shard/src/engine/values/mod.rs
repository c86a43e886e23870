//! Between wire bytes and JavaScript values, with nothing in between.
//!
//! | wire | JavaScript |
//! |---|---|
//! | undefined, null, boolean, string | the same |
//! | integer, float | number; a whole number within ±2^53 travels as an integer |
//! | big integer | BigInt |
//! | bytes | ArrayBuffer |
//! | typed array | the view of that kind |
//! | date | Date |
//! | array, object | array, object with its own enumerable string keys in their order |
//!
//! Functions, symbols, maps, sets and the like cannot travel.

mod build;
mod keys;
mod raw;
mod write;

use build::Builder;
use keys::Keys;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::wire::{DecodeError, EncodeError, Encoder, decode};
use raw::{Raw, View};
use rquickjs::{Ctx, Function, Object, Promise, Value};
use write::{Unfit, Writer};

/// Whole numbers up to here are exact in JavaScript.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The built-ins that the host needs, as they were before the script.
pub(super) struct Builtins<'js> {
    keys: Keys<'js>,
    object_prototype: Value<'js>,
    classify: Function<'js>,
    time_of: Function<'js>,
    bytes_of: Function<'js>,
    hex_of: Function<'js>,
    make_big: Function<'js>,
    make_date: Function<'js>,
    make_view: Function<'js>,
}

impl<'js> Builtins<'js> {
    /// Takes them from what the prelude has returned.
    pub(super) fn new(ctx: &Ctx<'js>, prelude: &Object<'js>) -> rquickjs::Result<Self> {
        let prototype = Object::new(ctx.clone())?.get_prototype();
        Ok(Self {
            keys: Keys::new(ctx),
            object_prototype: prototype
                .map_or_else(|| Value::new_null(ctx.clone()), Object::into_value),
            classify: prelude.get("classify")?,
            time_of: prelude.get("timeOf")?,
            bytes_of: prelude.get("bytesOf")?,
            hex_of: prelude.get("hexOf")?,
            make_big: prelude.get("makeBig")?,
            make_date: prelude.get("makeDate")?,
            make_view: prelude.get("makeView")?,
        })
    }
}

/// Makes the JavaScript value that `body` holds; an empty one holds `undefined`.
pub(super) fn from_wire<'js>(
    ctx: &Ctx<'js>,
    builtins: &Builtins<'js>,
    body: &[u8],
) -> Result<Value<'js>, CallError> {
    if body.is_empty() {
        return Ok(Value::new_undefined(ctx.clone()));
    }
    let value = decode(body, &mut Builder { ctx, builtins });
    value.map(Raw::into_value).map_err(|error| match error {
        DecodeError::Malformed(malformed) => CallError::not_run(
            ErrorKind::BadArguments,
            format!("the arguments cannot be decoded: {malformed}"),
        ),
        DecodeError::Build(rquickjs::Error::Exception) => CallError {
            may_have_run: false,
            ..super::exception::pending(ctx)
        },
        DecodeError::Build(error) => CallError::not_run(
            ErrorKind::BadArguments,
            format!("the arguments cannot be used: {error}"),
        ),
    })
}

/// Appends the wire form of `value` to `out`.
pub(super) fn to_wire<'js>(
    ctx: &Ctx<'js>,
    builtins: &Builtins<'js>,
    value: &Value<'js>,
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), CallError> {
    let mut writer = Writer {
        builtins,
        encoder: Encoder::new(out, limit),
    };
    writer.value(View::of(value)).map_err(|unfit| match unfit {
        Unfit::Encode(error @ EncodeError::TooLarge { .. }) => CallError::may_have_run(
            ErrorKind::PayloadTooLarge,
            format!("the result cannot be sent: {error}"),
        ),
        Unfit::Encode(error) => CallError::may_have_run(
            ErrorKind::JavaScript,
            format!("the result cannot be sent: {error}; is there a cycle in it?"),
        ),
        Unfit::Kind(kind) => CallError::may_have_run(
            ErrorKind::JavaScript,
            format!("the result cannot be sent: there is a {kind} in it"),
        ),
        Unfit::Engine(rquickjs::Error::Exception) => super::exception::pending(ctx),
        Unfit::Engine(error) => CallError::may_have_run(
            ErrorKind::JavaScript,
            format!("the result cannot be sent: {error}"),
        ),
    })
}

/// The promise that the value is, where it is one.
pub(super) fn as_promise<'a, 'js>(value: &'a Value<'js>) -> Option<&'a Promise<'js>> {
    View::of(value).is_promise().then(|| value.as_promise())?
}
