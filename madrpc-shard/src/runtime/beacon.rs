//! The beacon: what a shard shows of itself while it can answer nothing.
//!
//! A built-in of JavaScript can hold a core for seconds without asking whether it may, and a message to its shard then
//! finds nobody. So a shard writes here, before it gives the core away and after, who has it; the control thread reads
//! it now and then. One word, written by one core and read some ten times a second: no call waits for anything.

use std::sync::atomic::{AtomicU64, Ordering};

/// The low bits say who has the core, those above count.
const WHO_BITS: u32 = 24;
const WHO_MASK: u64 = (1 << WHO_BITS) - 1;

/// The core is the shard's own.
const NOBODY: u64 = 0;
/// A script that is being loaded has it.
const LOADING: u64 = WHO_MASK;

/// Who has the core of a shard. In a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Beacon(AtomicU64);

/// Who holds a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A call of the function with this number in the shard's counters.
    Function(usize),
    /// A script that is being loaded.
    Loading,
}

/// A stretch of time in which one holder has the core. Two readings are equal where it is the same stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold(u64);

impl Hold {
    /// Who it is; `None` where it is the shard itself.
    pub(crate) fn holder(self) -> Option<Holder> {
        match self.0 & WHO_MASK {
            NOBODY => None,
            LOADING => Some(Holder::Loading),
            number => Some(Holder::Function(number as usize - 1)),
        }
    }
}

#[cfg_attr(
    not(feature = "engine"),
    expect(dead_code, reason = "only JavaScript holds a core")
)]
impl Beacon {
    /// A call of this function gets the core.
    pub(crate) fn begin(&self, function: usize) {
        self.write((function as u64 + 1).min(LOADING - 1));
    }

    /// A script that is being loaded gets the core.
    pub(crate) fn begin_loading(&self) {
        self.write(LOADING);
    }

    /// The shard has its core back.
    pub(crate) fn end(&self) {
        self.write(NOBODY);
    }

    /// Only the shard writes, so it needs no read-modify-write to count.
    fn write(&self, who: u64) {
        let count = (self.0.load(Ordering::Relaxed) >> WHO_BITS).wrapping_add(1);
        self.0.store(count << WHO_BITS | who, Ordering::Relaxed);
    }

    /// Who has the core now.
    pub(crate) fn read(&self) -> Hold {
        Hold(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stretch_is_told_from_the_next() {
        let beacon = Beacon::default();
        assert_eq!(beacon.read().holder(), None);
        beacon.begin(0);
        let first = beacon.read();
        assert_eq!(first.holder(), Some(Holder::Function(0)));
        assert_eq!(beacon.read(), first);
        beacon.end();
        assert_eq!(beacon.read().holder(), None);
        beacon.begin(0);
        assert_ne!(beacon.read(), first);
        beacon.end();
        beacon.begin_loading();
        assert_eq!(beacon.read().holder(), Some(Holder::Loading));
        beacon.end();
        // More functions than there are numbers for are not taken for a load.
        beacon.begin(usize::MAX - 1);
        assert!(matches!(beacon.read().holder(), Some(Holder::Function(_))));
    }
}
