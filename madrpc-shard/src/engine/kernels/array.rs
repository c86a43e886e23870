//! What the engine holds of a typed array: where its elements are at the moment, and how many.
//!
//! Of arrays whose buffers can be resized no function of the engine's interface says that. So it is read where the interpreter
//! reads it for `array[i]`: in the object itself (quickjs.c, `struct JSObject` and `struct JSTypedArray`), which no
//! header has. Before it is read first, it is looked whether it is there.

use madrpc_kernels::{Array, ElementKind};
use rquickjs::{Ctx, qjs};
use std::ffi::c_void;

/// Where these are in the object of a typed array, in bytes: its other half, its elements, and their number (32 bits).
const OTHER_HALF_AT: usize = 48;
const ELEMENTS_AT: usize = 56;
const COUNT_AT: usize = 64;

/// Where the other half has the object of the buffer.
const BUFFER_AT: usize = 24;

/// The kinds in the order of the engine's classes (`JSTypedArrayEnum`), as a key has them: the place among [`ElementKind::ALL`].
const KINDS: [Option<u8>; 12] = [
    Some(ElementKind::Uint8Clamped as u8),
    Some(ElementKind::Int8 as u8),
    Some(ElementKind::Uint8 as u8),
    Some(ElementKind::Int16 as u8),
    Some(ElementKind::Uint16 as u8),
    Some(ElementKind::Int32 as u8),
    Some(ElementKind::Uint32 as u8),
    None,
    None,
    Some(ElementKind::Float16 as u8),
    Some(ElementKind::Float32 as u8),
    Some(ElementKind::Float64 as u8),
];

/// The kind of the typed array that the object is, as a key has it; `None` of another object, and of an array of BigInts.
///
/// # Safety
/// It is an object.
#[inline]
pub(super) unsafe fn kind(object: qjs::JSValue) -> Option<u8> {
    // SAFETY: it looks at the class of the object.
    let number = unsafe { qjs::JS_GetTypedArrayType(object) };
    *KINDS.get(usize::try_from(number).ok()?)?
}

/// The elements of a typed array; none where its buffer is detached or too short for it.
///
/// # Safety
/// It is a typed array, and [`is_known`] said yes.
#[inline]
pub(super) unsafe fn elements(array: qjs::JSValue) -> Array {
    // SAFETY: the caller says so.
    unsafe {
        let object = qjs::JS_VALUE_GET_PTR(array).cast::<u8>();
        Array {
            data: object.add(ELEMENTS_AT).cast::<*mut u8>().read(),
            length: object.add(COUNT_AT).cast::<u32>().read() as usize,
        }
    }
}

/// Whether nothing may be written to a typed array.
///
/// # Safety
/// As of [`elements`].
#[inline]
pub(super) unsafe fn is_immutable(array: qjs::JSValue) -> bool {
    // SAFETY: the caller says so; the buffer is there as long as the array is.
    unsafe {
        let object = qjs::JS_VALUE_GET_PTR(array).cast::<u8>();
        let half = object.add(OTHER_HALF_AT).cast::<*mut u8>().read();
        let buffer = half.add(BUFFER_AT).cast::<*mut c_void>().read();
        qjs::JS_IsImmutableArrayBuffer(qjs::JS_MKPTR(qjs::JS_TAG_OBJECT, buffer)) > 0
    }
}

/// Whether the engine holds all of this where it is looked for.
///
/// # Errors
/// What the engine throws, where there is no memory for the two objects that it is tried with.
pub(super) fn is_known(ctx: &Ctx<'_>) -> rquickjs::Result<bool> {
    let ctx = ctx.as_raw().as_ptr();
    // SAFETY: the context is alive, and every value is freed once. What is looked at lies within the two objects: that of the array
    // is as long as that of an array can be, and its other half as it must be to hold what it does.
    unsafe {
        let bytes = [0_u8; 24];
        let buffer = qjs::JS_NewArrayBufferCopy(ctx, bytes.as_ptr(), bytes.len() as _);
        if qjs::JS_IsException(buffer) {
            return Err(rquickjs::Error::Exception);
        }
        let (offset, count) = (
            qjs::JS_MKVAL(qjs::JS_TAG_INT, 4),
            qjs::JS_MKVAL(qjs::JS_TAG_INT, 5),
        );
        let mut arguments = [buffer, offset, count];
        let kind = qjs::JSTypedArrayEnum_JS_TYPED_ARRAY_UINT16;
        let array = qjs::JS_NewTypedArray(ctx, 3, arguments.as_mut_ptr(), kind);
        if qjs::JS_IsException(array) {
            qjs::JS_FreeValue(ctx, buffer);
            return Err(rquickjs::Error::Exception);
        }
        let mut length = 0;
        let first = qjs::JS_GetArrayBuffer(ctx, &raw mut length, buffer);
        let mut is_known = !first.is_null() && qjs::JS_GetTypedArrayType(array) >= 0;
        if is_known {
            let object = qjs::JS_VALUE_GET_PTR(array).cast::<u8>();
            let half = object.add(OTHER_HALF_AT).cast::<*mut u8>().read();
            let held = elements(array);
            is_known = held.data == first.add(4)
                && held.length == 5
                && half.add(BUFFER_AT).cast::<*mut c_void>().read()
                    == qjs::JS_VALUE_GET_PTR(buffer)
                && !is_immutable(array);
        }
        if is_known {
            qjs::JS_DetachArrayBuffer(ctx, buffer);
            let held = elements(array);
            is_known = held.data.is_null() && held.length == 0;
        }
        qjs::JS_FreeValue(ctx, array);
        qjs::JS_FreeValue(ctx, buffer);
        Ok(is_known)
    }
}
