//! Lanes whose calls wait, or go on beside others: what they hold meanwhile, and may add.

use super::super::packing::{self, Model, Packed};
use super::super::stack::{give_back_below, used_stack};
use super::Lane;

impl Lane {
    /// What lanes of its script are like, before its first call.
    pub(crate) fn model(&self) -> Model {
        packing::model(&self.exchange)
    }

    /// Is compared with this one when it is packed.
    pub(crate) fn set_model(&mut self, model: &Model) {
        self.model = Model::clone(model);
    }

    /// Compresses what it holds, until it is resumed: its call waits for long. Says to how many bytes.
    pub(crate) fn pack(&mut self) -> Option<usize> {
        if self.is_stopped || self.packed.is_some() {
            return None;
        }
        self.packed = Packed::of(&self.exchange, &self.model);
        self.packed.as_ref().map(Packed::bytes)
    }

    /// Gives the pages of its stack back that were in use and are not: its call waits.
    pub(crate) fn give_back_stack(&self) {
        if !self.is_stopped {
            let start = self.exchange.lane.stack().start;
            give_back_below(start..used_stack(&self.exchange).start);
        }
    }

    /// Others leave so much room for what its call adds, or may yet give something back, for which it `may_wait`.
    pub(crate) fn bound_memory(&mut self, room: usize, may_wait: bool) {
        // One that ends needs what it has for that.
        if self.exchange.stop.get().is_none() {
            self.exchange.lane.heap.leave(room, may_wait);
        }
    }

    /// What it waits for that others have to give back.
    pub(crate) fn wanted_bytes(&self) -> usize {
        self.exchange.wanted_bytes.get()
    }
}
