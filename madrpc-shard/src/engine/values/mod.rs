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
//! | array | array; `arguments`, and an array behind a proxy, travel as one |
//! | object | object with its own enumerable string keys in their order; an instance of a class travels as one |
//!
//! What has a `toJSON` travels as that says, a boxed primitive as what is inside, an error as an object of its name, message,
//! cause and what else it has of its own. All else is refused, with the way to it: nothing becomes `{}` that is not empty.

mod array;
mod buffers;
mod build;
mod classes;
mod keys;
mod pace;
mod raw;
mod text;
mod write;

use super::exchange::{Buffer, Exchange, Outcome, lend};
use super::limits::Mib;
use super::preempt::stoppable;
use build::Builder;
use keys::Keys;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::wire::{DecodeError, EncodeError, Encoder, decode};
use pace::Pace;
use raw::{Atom, Kind};
pub(super) use raw::{Raw, View};
use rquickjs::function::IntoArgs;
use rquickjs::{Ctx, FromJs, Function, Object, Promise, Value};
use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use write::{At, Path, Unfit, Writer};

/// Whole numbers up to here are exact in JavaScript.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The built-ins that the host needs, as they were before the script.
pub(super) struct Builtins<'js> {
    pace: Pace,
    keys: Keys<'js>,
    to_json: Atom<'js>,
    then: Atom<'js>,
    object_prototype: Value<'js>,
    array_prototype: Value<'js>,
    prelude: Object<'js>,
    classify: Tool<'js>,
    hollow: Tool<'js>,
    error_data: Tool<'js>,
    json_of: Tool<'js>,
    has_own_json: Tool<'js>,
    unbox: Tool<'js>,
    time_of: Tool<'js>,
    is_detached: Tool<'js>,
    bytes_of: Tool<'js>,
    hex_of: Tool<'js>,
    make_big: Tool<'js>,
    make_date: Tool<'js>,
    make_view: Tool<'js>,
    resolve: Tool<'js>,
}

/// A function of the prelude's, looked up when it is first called: a call of a call has built-ins of its own, and needs few.
struct Tool<'js> {
    name: &'static str,
    function: OnceCell<Function<'js>>,
}

impl Tool<'_> {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            function: OnceCell::new(),
        }
    }
}

impl<'js> Builtins<'js> {
    /// Takes them from what the prelude has returned.
    pub(super) fn new(
        ctx: &Ctx<'js>,
        exchange: &Rc<Exchange>,
        prelude: &Object<'js>,
    ) -> rquickjs::Result<Self> {
        Ok(Self {
            pace: Pace::new(exchange),
            keys: Keys::new(ctx),
            to_json: Atom::new(ctx, "toJSON")?,
            then: Atom::new(ctx, "then")?,
            object_prototype: prelude.get("objectPrototype")?,
            array_prototype: prelude.get("arrayPrototype")?,
            prelude: prelude.clone(),
            classify: Tool::new("classify"),
            hollow: Tool::new("hollow"),
            error_data: Tool::new("errorData"),
            json_of: Tool::new("jsonOf"),
            has_own_json: Tool::new("hasOwnJson"),
            unbox: Tool::new("unbox"),
            time_of: Tool::new("timeOf"),
            is_detached: Tool::new("isDetached"),
            bytes_of: Tool::new("bytesOf"),
            hex_of: Tool::new("hexOf"),
            make_big: Tool::new("makeBig"),
            make_date: Tool::new("makeDate"),
            make_view: Tool::new("makeView"),
            resolve: Tool::new("resolve"),
        })
    }

    /// Lets `write` have a buffer while scripts may run.
    pub(super) fn lend<R>(&self, write: impl FnOnce(&mut Buffer) -> R) -> (Buffer, R) {
        lend(&self.pace.exchange.written, Buffer::default(), write)
    }

    fn call<A: IntoArgs<'js>, R: FromJs<'js>>(
        &self,
        tool: &Tool<'js>,
        args: A,
    ) -> rquickjs::Result<R> {
        let function = match tool.function.get() {
            Some(function) => function,
            None => {
                let found = self.prelude.get(tool.name)?;
                tool.function.get_or_init(|| found)
            }
        };
        stoppable(|| function.call(args))
    }
}

/// Makes the JavaScript value that `body` holds; an empty one holds `undefined`.
pub(super) fn from_wire<'a, 'js>(
    ctx: &'a Ctx<'js>,
    builtins: &'a Builtins<'js>,
    body: &[u8],
) -> Result<Raw<'a, 'js>, Box<CallError>> {
    if body.is_empty() {
        return Ok(Raw::undefined(ctx));
    }
    let value = decode(body, &mut Builder { ctx, builtins });
    value.map_err(|error| Box::new(unreadable(ctx, error)))
}

#[cold]
fn unreadable(ctx: &Ctx<'_>, error: DecodeError<rquickjs::Error>) -> CallError {
    match error {
        DecodeError::Malformed(malformed) => CallError::not_run(
            ErrorKind::BadArguments,
            format!("the arguments cannot be decoded: {malformed}"),
        ),
        DecodeError::Build(rquickjs::Error::Exception) => CallError {
            may_have_run: false,
            ..super::exception::pending(ctx, None)
        },
        DecodeError::Build(error) => CallError::not_run(
            ErrorKind::BadArguments,
            format!("the arguments cannot be used: {error}"),
        ),
    }
}

/// What a value that is to travel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Result,
    Argument,
    /// It is yielded.
    Item,
    /// It goes with an error, where it can.
    Thrown,
}

impl Whole {
    fn name(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Argument => "argument",
            Self::Item => "item",
            Self::Thrown => "error",
        }
    }

    fn unfit(self, kind: ErrorKind, path: &Path, is: &str) -> CallError {
        let whole = self.name();
        let at = path.words(whole).unwrap_or_else(|| "it".to_owned());
        CallError::may_have_run(kind, format!("the {whole} cannot be sent: {at} {is}"))
    }
}

/// Appends the wire form of `value` to `out`, at most `limit` bytes, and no more than the call may hold: what is written counts as a
/// part of its heap, of a result until the next call begins. All else is to be counted by whoever keeps it.
pub(super) fn to_wire<'js>(
    ctx: &Ctx<'js>,
    builtins: &Builtins<'js>,
    value: View<'_, 'js>,
    whole: Whole,
    out: &mut Vec<u8>,
    limit: usize,
) -> Outcome {
    let exchange = &builtins.pace.exchange;
    let (heap, charged) = (&exchange.lane.heap, Cell::new(0));
    let room = |bytes| {
        let may_have = exchange.charge(bytes);
        charged.set(charged.get() + if may_have { bytes } else { 0 });
        may_have
    };
    let mut writer = Writer {
        builtins,
        encoder: Encoder::asking(out, limit, &room),
        path: Path::default(),
    };
    let written = writer.value(value, At::Root);
    let used = heap.used_now();
    if written.is_err() || whole != Whole::Result {
        heap.discharge(charged.get());
    }
    match written {
        Ok(()) => Ok(()),
        Err(Unfit::Encode(EncodeError::NoRoom { bytes })) => {
            let limit = heap.limit();
            let (whole, used) = (whole.name(), Mib(used));
            let (wants, limit) = (Mib(bytes), Mib(limit));
            let error = format!(
                "the {whole} cannot be sent: the call uses {used}, with what is written of it, and it takes {wants} more; the limit \
                 is {limit} together (--memory-limit, or memoryMb at register)"
            );
            Err(CallError::may_have_run(ErrorKind::MemoryLimit, error).into())
        }
        Err(unfit) => Err(Box::new(unsendable(
            ctx,
            builtins,
            whole,
            &writer.path,
            unfit,
        ))),
    }
}

#[cold]
fn unsendable<'js>(
    ctx: &Ctx<'js>,
    builtins: &Builtins<'js>,
    whole: Whole,
    path: &Path,
    unfit: Unfit,
) -> CallError {
    let kind = match whole {
        Whole::Result | Whole::Item | Whole::Thrown => ErrorKind::JavaScript,
        // It is the caller's mistake, not an exception of the function.
        Whole::Argument => ErrorKind::BadArguments,
    };
    match unfit {
        Unfit::Encode(EncodeError::TooLarge { limit }) => CallError::may_have_run(
            ErrorKind::PayloadTooLarge,
            format!(
                "the {} cannot be sent: it is larger than {limit} bytes",
                whole.name()
            ),
        ),
        Unfit::Encode(error @ EncodeError::TooDeep) => whole.unfit(
            kind,
            path,
            &format!("is too deep: {error}; is there a cycle?"),
        ),
        Unfit::Encode(error) => whole.unfit(kind, path, &format!("is odd: {error}")),
        Unfit::Kind(is) => whole.unfit(kind, path, &format!("is {is}")),
        // What an error throws when it is looked at is not looked at in turn: that could go on for ever.
        Unfit::Engine(rquickjs::Error::Exception) => {
            super::exception::pending(ctx, (whole != Whole::Thrown).then_some(builtins))
        }
        Unfit::Engine(error) => whole.unfit(kind, path, &format!("cannot be read: {error}")),
        // The caller of this knows why.
        Unfit::Stopped => CallError::may_have_run(ErrorKind::Cancelled, "the call has to end"),
    }
}

/// Whether this is what a generator gives, or an async one.
#[cold]
pub(super) fn is_generator(ctx: &Ctx<'_>, value: &Value<'_>) -> bool {
    let view = View::of(value);
    matches!(view.kind(), Kind::Object) && classes::is_generator(ctx, view.class())
}

/// The promise that the value is, or of what it will be where it has a `then`.
pub(super) fn as_promise<'js>(
    builtins: &Builtins<'js>,
    view: View<'_, 'js>,
) -> rquickjs::Result<Option<Promise<'js>>> {
    if !matches!(view.kind(), Kind::Object) {
        return Ok(None);
    }
    if view.is_promise() {
        return Ok(view.to_value().into_promise());
    }
    // The prototype of a plain object has none, which nobody can change; to ask it takes as long as a property that is there.
    let is_plain = view.is_plain(&builtins.object_prototype)?;
    let has_then = !is_plain || view.has_own(&builtins.then)?;
    match has_then && view.has_method(&builtins.then)? {
        true => builtins
            .call(&builtins.resolve, (view.to_value(),))
            .map(Some),
        false => Ok(None),
    }
}

/// What a value is, in words.
pub(super) fn object_name(value: &Value<'_>) -> String {
    match View::of(value).kind() {
        Kind::Undefined => "undefined".to_owned(),
        Kind::Null => "null".to_owned(),
        Kind::Bool(_) => "a boolean".to_owned(),
        Kind::Int(_) | Kind::Float(_) => "a number".to_owned(),
        Kind::String => "a string".to_owned(),
        Kind::Object => classes::named(value.ctx(), View::of(value).class()),
        Kind::Other if value.is_symbol() => "a symbol".to_owned(),
        Kind::Other => "a BigInt".to_owned(),
    }
}

/// Lends out the UTF-8 of a string in which no surrogate stands alone, however long: nobody looks at it. `use_it` runs no script.
pub(super) fn with_utf8<R>(
    string: &Value<'_>,
    use_it: impl FnOnce(&[u8]) -> R,
) -> rquickjs::Result<R> {
    let text = View::of(string).to_text()?;
    Ok(use_it(text.bytes()))
}

/// The bytes of a string as UTF-8.
pub(super) fn text_bytes(string: &Value<'_>) -> usize {
    View::of(string)
        .to_text()
        .map_or(usize::MAX, |text| text.len())
}

/// The first so many units of a string as text, and how many it has in all: however many those are, nothing looks at the rest.
pub(super) fn head(string: &Value<'_>, most: usize) -> (String, usize) {
    let head = || -> rquickjs::Result<_> {
        let (head, units) = View::of(string).head(most)?;
        let text = head.view().to_text()?.as_str().into_owned();
        Ok((text, units))
    };
    head().unwrap_or_else(|_| {
        string.ctx().catch();
        Default::default()
    })
}

#[cfg(test)]
mod slices_tests;
