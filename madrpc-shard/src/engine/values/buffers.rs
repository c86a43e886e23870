//! ArrayBuffers of many bytes: memory of the lane's heap into which they are copied part by part.
//!
//! That is the only copy between the body as it came and what a script sees. The engine's own function fills a buffer with zeros
//! first, and gives the core back to nobody meanwhile.

use super::raw::{Raw, pointer};
use crate::engine::preempt::stoppable;
use rquickjs::{Ctx, Error, Result, qjs};
use std::ffi::c_void;
use std::ptr::null_mut;

/// A buffer of these bytes; after each part it asks whether to go on.
pub(super) fn array_buffer<'a, 'js>(
    ctx: &'a Ctx<'js>,
    bytes: &[u8],
    part_bytes: usize,
    go_on: impl Fn() -> Result<()>,
) -> Result<Raw<'a, 'js>> {
    let block = Block::new(ctx, bytes.len())?;
    let mut done = 0_usize;
    for part in bytes.chunks(part_bytes) {
        // SAFETY: the parts are as long together as the block is.
        stoppable(|| unsafe {
            let place = block.place.add(done);
            place.copy_from_nonoverlapping(part.as_ptr(), part.len());
        });
        done += part.len();
        go_on()?;
    }
    block.into_buffer(bytes.len())
}

/// Memory of the lane's heap that no buffer has yet.
struct Block<'a, 'js> {
    ctx: &'a Ctx<'js>,
    place: *mut u8,
}

impl<'a, 'js> Block<'a, 'js> {
    fn new(ctx: &'a Ctx<'js>, bytes: usize) -> Result<Self> {
        // SAFETY: the context is alive; it throws where there is no memory.
        let place = stoppable(|| unsafe { qjs::js_malloc(pointer(ctx), bytes.max(1) as _) });
        match place.is_null() {
            true => Err(Error::Exception),
            false => Ok(Self {
                ctx,
                place: place.cast(),
            }),
        }
    }

    fn into_buffer(mut self, bytes: usize) -> Result<Raw<'a, 'js>> {
        let (ctx, place) = (pointer(self.ctx), self.place);
        // SAFETY: the block is as long, and the buffer's from here on, where one is made; it frees it by `resize`.
        let buffer = unsafe {
            qjs::JS_NewArrayBuffer(ctx, place, bytes as _, 0, Some(resize), null_mut(), false)
        };
        let buffer = Raw::owned(self.ctx, buffer)?;
        self.place = null_mut();
        Ok(buffer)
    }
}

impl Drop for Block<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: it is ours and nobody's else, or null.
        stoppable(|| unsafe { qjs::js_free(pointer(self.ctx), self.place.cast()) });
    }
}

/// What the engine does to the block of a buffer: with 0 bytes, it is freed.
unsafe extern "C" fn resize(
    runtime: *mut qjs::JSRuntime,
    _opaque: *mut c_void,
    block: *mut c_void,
    bytes: qjs::size_t,
) -> *mut c_void {
    // SAFETY: the engine passes what the buffer was made with.
    unsafe { qjs::js_realloc_rt(runtime, block, bytes) }
}
