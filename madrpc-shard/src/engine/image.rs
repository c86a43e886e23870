//! The image of a lane: its memory as it was when its script had been loaded, to which it can be taken back.
//!
//! A lane whose call was cut off in the middle of a built-in cannot be used any more, and one that has served an isolated call
//! must not be. To make another takes a millisecond; to copy the memory back takes some twenty microseconds, and leaves nothing
//! of what was there: neither values nor half-done work, nor what rquickjs and the host hold for it outside.
//!
//! Where the script has made instances of WebAssembly while it loaded, there is no image: they cannot be copied.
//!
//! That memory is the lane's heap, the part of its stack that was in use, and where its fiber stands. What else of the process
//! the lane changes after it was loaded has to be put right besides: counts of the exchange, buffers that are lent, where the
//! stack of kernels ends, and the state of `Math.random`, which would go through the same numbers again.

use super::exchange::Exchange;
use super::heap;
use super::limits::JS_STACK_BYTES;
use super::random::Randomness;
use super::stack::{give_back_below, used_stack, used_stack_of};
use super::wasm;
use std::mem::MaybeUninit;
use std::rc::Rc;

/// The largest heap of which a copy is kept.
const HEAP_MAX_BYTES: usize = 4 << 20;

/// A lane as it was.
pub(super) struct Image<Fiber> {
    fiber: MaybeUninit<Fiber>,
    stack: Box<[u8]>,
    heap: heap::Image,
    wasm: wasm::Mark,
    counts: usize,
    random: Randomness,
}

impl<Fiber> Image<Fiber> {
    /// Of a lane that is suspended, has loaded its script, and has run no call; `None` where there can be none.
    pub(super) fn of(fiber: &Fiber, exchange: &Rc<Exchange>) -> Option<Self> {
        let wasm = exchange.wasm.mark()?;
        let used = used_stack(exchange);
        // SAFETY: it is the upper part of a stack, all of which is mapped.
        let stack = unsafe { std::slice::from_raw_parts(used.start as *const u8, used.len()) };
        let mut copy = MaybeUninit::uninit();
        // SAFETY: both are of one type. The copy is never used as a fiber, see `restore`.
        unsafe { (&raw const *fiber).copy_to_nonoverlapping(copy.as_mut_ptr(), 1) };
        Some(Self {
            fiber: copy,
            stack: stack.into(),
            heap: exchange.lane.heap.image(HEAP_MAX_BYTES)?,
            wasm,
            counts: Rc::strong_count(exchange),
            random: exchange.randomness.get()?,
        })
    }

    pub(super) fn heap(&self) -> &heap::Image {
        &self.heap
    }

    /// Counts of the exchange that there were.
    #[cfg(test)]
    pub(super) fn counts(&self) -> usize {
        self.counts
    }

    /// Takes the lane back.
    ///
    /// # Safety
    /// The image is of this lane, which is suspended, and nobody has anything of it but its exchange.
    pub(super) unsafe fn restore(&self, fiber: &mut Fiber, exchange: &Rc<Exchange>) {
        // SAFETY: the lane is not resumed where it is.
        unsafe { exchange.free_lent() };
        // SAFETY: as above, and what was made since is forgotten below.
        unsafe { exchange.wasm.rewind(self.wasm) };
        let used = used_stack_of(exchange, self.stack.len());
        // SAFETY: the fiber is a stack, which is the same, and the place on it where it was suspended; the frames that are there
        // when the stack is copied too are those that were there. What was further down is forgotten: see `Lane::drop` on what
        // that may be.
        unsafe {
            (&raw mut *fiber).copy_from_nonoverlapping(self.fiber.as_ptr(), 1);
            let stack = used.start as *mut u8;
            stack.copy_from_nonoverlapping(self.stack.as_ptr(), self.stack.len());
        }
        // SAFETY: all that used the heap lies on the stack, or in what only the heap leads to.
        unsafe { exchange.lane.heap.restore(&self.heap) };
        for _ in self.counts..Rc::strong_count(exchange) {
            // SAFETY: those that have come since were on the stack.
            unsafe { Rc::decrement_strong_count(Rc::as_ptr(exchange)) };
        }
        exchange.clear();
        exchange.kernels.bound_stack(exchange, JS_STACK_BYTES);
        self.random.renew();
        give_back_below(exchange.lane.stack().start..used.start);
    }
}
