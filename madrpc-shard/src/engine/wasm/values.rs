//! Values between JavaScript and WebAssembly (the JavaScript interface's ToWebAssemblyValue and ToJSValue).

use super::super::preempt::stoppable;
use super::store::Held;
use rquickjs::{Ctx, qjs};
use wasmtime::{Val, ValType};

/// A type, as the host's JavaScript has it too: one letter each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    I32,
    I64,
    F32,
    F64,
    /// A reference to a function, or null: in JavaScript the function's number, or -1.
    Function,
    /// What JavaScript has no value for.
    Other,
}

impl Kind {
    pub(super) fn of(kind: &ValType) -> Self {
        match kind {
            ValType::I32 => Self::I32,
            ValType::I64 => Self::I64,
            ValType::F32 => Self::F32,
            ValType::F64 => Self::F64,
            ValType::Ref(_) if kind.is_funcref() => Self::Function,
            ValType::Ref(_) | ValType::V128 => Self::Other,
        }
    }

    pub(super) fn letter(self) -> char {
        match self {
            Self::I32 => 'i',
            Self::I64 => 'I',
            Self::F32 => 'f',
            Self::F64 => 'd',
            Self::Function => 'F',
            Self::Other => 'v',
        }
    }

    /// The one that has this letter.
    pub(super) fn from_letter(letter: char) -> Self {
        let all = [Self::I32, Self::I64, Self::F32, Self::F64, Self::Function];
        let found = all.into_iter().find(|kind| kind.letter() == letter);
        found.unwrap_or(Self::Other)
    }

    pub(super) fn value_type(self) -> ValType {
        match self {
            Self::I32 => ValType::I32,
            Self::I64 => ValType::I64,
            Self::F32 => ValType::F32,
            Self::F64 => ValType::F64,
            Self::Function | Self::Other => ValType::FUNCREF,
        }
    }

    /// A place for such a value.
    pub(super) fn zero(self) -> Val {
        match self {
            Self::I32 => Val::I32(0),
            Self::I64 => Val::I64(0),
            Self::F32 => Val::F32(0),
            Self::F64 => Val::F64(0),
            Self::Function | Self::Other => Val::FuncRef(None),
        }
    }
}

/// The value of this kind that a JavaScript value is; `None` where something is thrown. It may run JavaScript.
///
/// # Safety
/// The value is alive, and of this context.
#[inline]
pub(super) unsafe fn from_js(
    held: &Held,
    ctx: &Ctx<'_>,
    kind: Kind,
    value: qjs::JSValue,
) -> Option<Val> {
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: the caller says so; each reads what belongs to its tag.
    unsafe {
        let tag = qjs::JS_VALUE_GET_NORM_TAG(value);
        let double = || {
            let mut number = 0.0;
            match tag {
                qjs::JS_TAG_INT => Some(f64::from(qjs::JS_VALUE_GET_INT(value))),
                qjs::JS_TAG_FLOAT64 => Some(qjs::JS_VALUE_GET_FLOAT64(value)),
                _ => {
                    let failed = stoppable(|| qjs::JS_ToFloat64(raw, &raw mut number, value));
                    (failed == 0).then_some(number)
                }
            }
        };
        Some(match kind {
            Kind::I32 if tag == qjs::JS_TAG_INT => Val::I32(qjs::JS_VALUE_GET_INT(value)),
            Kind::I32 => {
                let mut number = 0;
                let failed = stoppable(|| qjs::JS_ToInt32(raw, &raw mut number, value));
                if failed != 0 {
                    return None;
                }
                Val::I32(number)
            }
            Kind::I64 => {
                let mut number = 0;
                let failed = stoppable(|| qjs::JS_ToBigInt64(raw, &raw mut number, value));
                if failed != 0 {
                    return None;
                }
                Val::I64(number)
            }
            Kind::F32 => Val::F32((double()? as f32).to_bits()),
            Kind::F64 => Val::F64(double()?.to_bits()),
            Kind::Function => {
                let number = match tag {
                    qjs::JS_TAG_INT => usize::try_from(qjs::JS_VALUE_GET_INT(value)).ok(),
                    _ => None,
                };
                Val::FuncRef(number.and_then(|number| held.function(number)))
            }
            Kind::Other => {
                throw_type(
                    ctx,
                    c"a value of type v128 or externref cannot be had from JavaScript",
                );
                return None;
            }
        })
    }
}

/// The JavaScript value of this one; an exception where there is no memory for it. Functions have been given numbers by then.
#[inline]
pub(super) fn to_js(held: &Held, ctx: &Ctx<'_>, value: &Val) -> qjs::JSValue {
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: the context is alive.
    unsafe {
        match value {
            Val::I32(number) => qjs::JS_MKVAL(qjs::JS_TAG_INT, *number),
            Val::I64(number) => qjs::JS_NewBigInt64(raw, *number),
            Val::F32(bits) => qjs::__JS_NewFloat64(f64::from(f32::from_bits(*bits))),
            Val::F64(bits) => qjs::__JS_NewFloat64(f64::from_bits(*bits)),
            Val::FuncRef(function) => {
                let number = function.map_or(-1, |function| {
                    held.function_number(function)
                        .map_or(-1, |number| number as i32)
                });
                qjs::JS_MKVAL(qjs::JS_TAG_INT, number)
            }
            _ => {
                throw_type(
                    ctx,
                    c"a value of type v128 or externref cannot be given to JavaScript",
                );
                qjs::JS_EXCEPTION
            }
        }
    }
}

pub(super) fn throw_type(ctx: &Ctx<'_>, words: &std::ffi::CStr) {
    // SAFETY: the context is alive, and the words have no place for anything.
    unsafe { qjs::JS_ThrowTypeError(ctx.as_raw().as_ptr(), words.as_ptr()) };
}
