//! Packing: what a lane holds while its call waits for long, compressed.
//!
//! A lane has some 300 KB of heap and stack, and a call that sleeps for seconds needs none of it: what is in use is compressed
//! (LZ4), its pages go back to the system, and all is put back where it was when the call goes on. Lanes that have loaded one
//! script hold nearly the same, but for where they lie: so of the heap only that is kept in which it differs from a model, the heap
//! of the first lane as it was when the script was loaded.

use super::exchange::Exchange;
use super::stack::{give_back_below, used_stack};
use std::rc::Rc;

/// The largest heap that is packed.
const HEAP_MAX_BYTES: usize = 2 << 20;

/// What a lane holds, packed.
pub(super) struct Packed {
    heap: Box<[u8]>,
    stack: Box<[u8]>,
    stack_from: usize,
    model: Model,
}

/// What lanes of a script are compared with.
pub(crate) type Model = Rc<[u8]>;

/// That of a lane which has loaded its script and served no call; an empty one where it holds too much.
pub(super) fn model(exchange: &Exchange) -> Model {
    exchange.lane.heap.model(HEAP_MAX_BYTES).unwrap_or_default()
}

impl Packed {
    /// Of a lane that is suspended, and has given the core back by itself; `None` where it holds too much, or there is no gain.
    pub(super) fn of(exchange: &Exchange, model: &Model) -> Option<Self> {
        let heap = exchange.lane.heap.pack(HEAP_MAX_BYTES, model)?;
        let used = used_stack(exchange);
        // SAFETY: it is the upper part of a stack, all of which is mapped.
        let stack = unsafe { std::slice::from_raw_parts(used.start as *const u8, used.len()) };
        let packed = Self {
            heap: heap.into(),
            stack: lz4_flex::block::compress(stack).into(),
            stack_from: used.start,
            model: Rc::clone(model),
        };
        give_back_below(exchange.lane.stack());
        Some(packed)
    }

    /// Puts it back.
    ///
    /// # Safety
    /// It is of this lane, which was neither resumed nor changed since.
    pub(super) unsafe fn unpack(&self, exchange: &Exchange) {
        let stack = self.stack_from..exchange.lane.stack().end;
        // SAFETY: it is where it was; nobody runs on it.
        let place = unsafe { std::slice::from_raw_parts_mut(stack.start as *mut u8, stack.len()) };
        let unpacked = lz4_flex::block::decompress_into(&self.stack, place);
        assert_eq!(unpacked.ok(), Some(stack.len()), "a lane's stack");
        // SAFETY: the caller says so.
        unsafe { exchange.lane.heap.unpack(&self.heap, &self.model) };
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.heap.len() + self.stack.len()
    }
}
