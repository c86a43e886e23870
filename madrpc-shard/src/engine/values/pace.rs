//! How often the host gives the core back while it reads or writes a value: QuickJS does not ask there.

use crate::engine::exchange::Exchange;
use std::cell::Cell;
use std::rc::Rc;

/// Values between two looks at the clock: some ten microseconds.
const VALUES: u32 = 256;

/// Bytes that are looked at and copied in one go: some hundreds of microseconds, where they are no ASCII.
pub(super) const PART_BYTES: usize = 512 << 10;

pub(super) struct Pace {
    pub(super) exchange: Rc<Exchange>,
    left: Cell<u32>,
}

impl Pace {
    pub(super) fn new(exchange: &Rc<Exchange>) -> Self {
        Self {
            exchange: Rc::clone(exchange),
            left: Cell::new(VALUES),
        }
    }

    /// One more value; says whether to go on.
    #[inline]
    pub(super) fn look(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.wrapping_sub(1));
        left > 0 || self.pause()
    }

    /// A value had so many bytes: a part of that size counts for as much as there is between two looks.
    #[inline]
    pub(super) fn note(&self, bytes: usize) {
        let values = bytes / (PART_BYTES / VALUES as usize);
        if values > 0 {
            let values = u32::try_from(values).unwrap_or(u32::MAX);
            self.left.set(self.left.get().saturating_sub(values));
        }
    }

    /// Gives the core back where it is time; says whether to go on.
    #[cold]
    pub(super) fn pause(&self) -> bool {
        self.left.set(VALUES);
        self.exchange.pause();
        self.exchange.must_stop().is_none()
    }
}
