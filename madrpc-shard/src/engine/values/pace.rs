//! How often the host gives the core back while it reads or writes a value: QuickJS does not ask there.

use crate::engine::exchange::Exchange;
use std::cell::Cell;
use std::rc::Rc;

/// Values between two looks at the clock: some ten microseconds.
const VALUES: u32 = 256;

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

    /// Gives the core back where it is time; says whether to go on.
    #[cold]
    pub(super) fn pause(&self) -> bool {
        self.left.set(VALUES);
        self.exchange.pause();
        self.exchange.must_stop().is_none()
    }
}
