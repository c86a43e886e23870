//! What an object is, by the engine's class of it: nothing that a script says can change that.
//!
//! The numbers are those of quickjs.c (`JS_CLASS_OBJECT` and what follows), which no header has; a test asks the engine for
//! each.

use super::raw::pointer;
use madrpc_core::value::TypedArrayKind;
use rquickjs::{Ctx, qjs};

/// What is asked of an object before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A plain object, or an instance of a script's class.
    Object,
    Array,
    /// A boxed number, string, boolean or BigInt.
    Boxed,
    /// `arguments`.
    Arguments,
    /// Those whose prototypes say what they are: errors, and what stands behind a proxy.
    Told,
    Date,
    ArrayBuffer,
    View(TypedArrayKind),
    /// All others, none of which can travel.
    Other(u32),
}

const OBJECT: u32 = 1;
const ARRAY: u32 = 2;
const ERROR: u32 = 3;
const NUMBER: u32 = 4;
const STRING: u32 = 5;
const BOOLEAN: u32 = 6;
const ARGUMENTS: u32 = 8;
const MAPPED_ARGUMENTS: u32 = 9;
const DATE: u32 = 10;
const ARRAY_BUFFER: u32 = 20;
/// The first of the views; they follow each other.
const VIEWS: u32 = 22;
const BIG_INT: u32 = 35;
const PROXY: u32 = 51;
const DOM_EXCEPTION: u32 = 64;

/// The views in the order of their classes.
const VIEW_KINDS: [TypedArrayKind; 12] = [
    TypedArrayKind::Uint8Clamped,
    TypedArrayKind::Int8,
    TypedArrayKind::Uint8,
    TypedArrayKind::Int16,
    TypedArrayKind::Uint16,
    TypedArrayKind::Int32,
    TypedArrayKind::Uint32,
    TypedArrayKind::BigInt64,
    TypedArrayKind::BigUint64,
    TypedArrayKind::Float16,
    TypedArrayKind::Float32,
    TypedArrayKind::Float64,
];

impl Class {
    /// That with this number.
    #[inline]
    pub(super) fn from_number(number: u32) -> Self {
        match number {
            OBJECT => Self::Object,
            ARRAY => Self::Array,
            NUMBER | STRING | BOOLEAN | BIG_INT => Self::Boxed,
            ARGUMENTS | MAPPED_ARGUMENTS => Self::Arguments,
            ERROR | PROXY | DOM_EXCEPTION => Self::Told,
            DATE => Self::Date,
            ARRAY_BUFFER => Self::ArrayBuffer,
            _ => match VIEW_KINDS.get(number.wrapping_sub(VIEWS) as usize) {
                Some(kind) => Self::View(*kind),
                None => Self::Other(number),
            },
        }
    }
}

/// An object of this class, in words, with what to do instead.
pub(super) fn words(ctx: &Ctx<'_>, class: u32) -> String {
    let name = name_of(ctx, class);
    let hint = match name.as_str() {
        "Map" => " (send [...map], or Object.fromEntries(map))",
        "Set" => " (send [...set])",
        "Promise" => " (await it)",
        "RegExp" => " (send its source and flags)",
        "DataView" => " (send its buffer)",
        "AsyncGenerator" => " (send what it yields, in an array)",
        name if name.ends_with("Iterator") || name == "Generator" => {
            " (send what it yields: [...it])"
        }
        _ => "",
    };
    format!("{}{hint}", with_article(&name))
}

/// An object of this class, in words.
pub(super) fn named(ctx: &Ctx<'_>, class: u32) -> String {
    with_article(&name_of(ctx, class))
}

fn with_article(name: &str) -> String {
    match name.as_bytes().first() {
        Some(b'A' | b'E' | b'I' | b'O') => format!("an {name}"),
        _ => format!("a {name}"),
    }
}

/// Whether it is that of generators, or of async ones. No script can make an object of them that is none.
pub(super) fn is_generator(ctx: &Ctx<'_>, class: u32) -> bool {
    matches!(name_of(ctx, class).as_str(), "Generator" | "AsyncGenerator")
}

fn name_of(ctx: &Ctx<'_>, class: u32) -> String {
    let ctx = pointer(ctx);
    // SAFETY: the context is alive; the name that the engine gives is counted for us, and freed. The text is the engine's
    // until it is freed, and ends with a zero.
    unsafe {
        let atom = qjs::JS_GetClassName(qjs::JS_GetRuntime(ctx), class);
        let text = qjs::JS_AtomToCStringLen(ctx, std::ptr::null_mut(), atom);
        qjs::JS_FreeAtom(ctx, atom);
        if text.is_null() {
            qjs::JS_FreeValue(ctx, qjs::JS_GetException(ctx));
            return "object".to_owned();
        }
        let name = std::ffi::CStr::from_ptr(text)
            .to_string_lossy()
            .into_owned();
        qjs::JS_FreeCString(ctx, text);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::super::raw::View;
    use super::*;
    use rquickjs::{Context, Runtime, Value};

    #[test]
    fn the_numbers_of_the_classes_are_the_engines() {
        let context = Context::full(&Runtime::new().unwrap()).unwrap();
        context.with(|ctx| {
            let class = |source: &str| {
                let value: Value<'_> = ctx.eval(source).unwrap();
                Class::from_number(View::of(&value).class())
            };
            for (sources, expected) in [
                (&["({})", "new (class A {})"][..], Class::Object),
                (&["[]", "new (class A extends Array {})"], Class::Array),
                (
                    &[
                        "new Number(1)",
                        "new String('')",
                        "new Boolean(true)",
                        "Object(1n)",
                    ],
                    Class::Boxed,
                ),
                (
                    &[
                        "new RangeError()",
                        "new AggregateError([])",
                        "new (class A extends Error {})",
                        "new DOMException('m', 'AbortError')",
                        "new Proxy({}, {})",
                        "new Proxy([], {})",
                    ],
                    Class::Told,
                ),
                (
                    &[
                        "(function () { return arguments })()",
                        "(function () { 'use strict'; return arguments })()",
                    ],
                    Class::Arguments,
                ),
                (&["new Date()"], Class::Date),
                (&["new ArrayBuffer(1)"], Class::ArrayBuffer),
            ] {
                for source in sources {
                    assert_eq!(class(source), expected, "{source}");
                }
            }
            for kind in TypedArrayKind::ALL {
                assert_eq!(class(&format!("new {kind}(1)")), Class::View(kind));
            }
            for (source, expected) in [
                (
                    "new Map()",
                    "a Map (send [...map], or Object.fromEntries(map))",
                ),
                ("new Set()", "a Set (send [...set])"),
                ("new WeakMap()", "a WeakMap"),
                ("new WeakRef({})", "a WeakRef"),
                ("Object(Symbol())", "a Symbol"),
                ("/x/", "a RegExp (send its source and flags)"),
                ("Promise.resolve()", "a Promise (await it)"),
                (
                    "new DataView(new ArrayBuffer(1))",
                    "a DataView (send its buffer)",
                ),
                ("new SharedArrayBuffer(1)", "a SharedArrayBuffer"),
                (
                    "[].values()",
                    "an Array Iterator (send what it yields: [...it])",
                ),
                (
                    "new Map().keys()",
                    "a Map Iterator (send what it yields: [...it])",
                ),
                (
                    "(function* () {})()",
                    "a Generator (send what it yields: [...it])",
                ),
                (
                    "(async function* () {})()",
                    "an AsyncGenerator (send what it yields, in an array)",
                ),
                (
                    "new FinalizationRegistry(() => {})",
                    "a FinalizationRegistry",
                ),
            ] {
                match class(source) {
                    Class::Other(number) => assert_eq!(words(&ctx, number), expected),
                    other => panic!("{source}: {other:?}"),
                }
            }
        });
    }
}
