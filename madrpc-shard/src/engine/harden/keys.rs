//! The keys of an object, as the engine gives them.

use super::is_true;
use rquickjs::{Ctx, Value, qjs};
use std::ffi::c_int;

/// An object's own keys.
pub(super) struct Keys<'a, 'js> {
    ctx: &'a Ctx<'js>,
    table: *mut qjs::JSPropertyEnum,
    count: u32,
}

impl<'a, 'js> Keys<'a, 'js> {
    pub(super) fn of(ctx: &'a Ctx<'js>, object: &Value<'js>) -> rquickjs::Result<Self> {
        let (mut table, mut count) = (std::ptr::null_mut(), 0);
        let flags = (qjs::JS_GPN_STRING_MASK | qjs::JS_GPN_SYMBOL_MASK) as c_int;
        // SAFETY: the object is alive and of this context.
        let done = unsafe {
            qjs::JS_GetOwnPropertyNames(
                ctx.as_raw().as_ptr(),
                &raw mut table,
                &raw mut count,
                object.as_raw(),
                flags,
            )
        };
        is_true(done)?;
        Ok(Self { ctx, table, count })
    }

    pub(super) fn as_slice(&self) -> &[qjs::JSPropertyEnum] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: the engine has filled in so many, and they stay until this is dropped.
        unsafe { std::slice::from_raw_parts(self.table, self.count as usize) }
    }
}

impl Drop for Keys<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: the table came from this context, and is not used afterwards.
        unsafe {
            qjs::JS_FreePropertyEnum(self.ctx.as_raw().as_ptr(), self.table, self.count);
        }
    }
}
