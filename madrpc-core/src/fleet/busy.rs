//! Members that have refused a call of a function and said when they take some again.
//!
//! They work, and are no less healthy for it: they get calls of the function where no other member takes them, and no call a
//! second time before then.

use crate::numbers::later;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The longest time for which a member is believed to be busy: it may have less to do sooner than it thought.
const BUSY_MAX: Duration = Duration::from_secs(1);

/// Those of one function.
#[derive(Debug, Default)]
pub(super) struct Busy {
    until: HashMap<usize, Instant, RandomState>,
    /// The latest of those times.
    last: Option<Instant>,
}

impl Busy {
    /// This member is busy for so long from now on.
    pub(super) fn set(&mut self, member: usize, after: Duration, now: Instant) {
        if !self.is_any(now) {
            self.until.clear();
            self.last = None;
        }
        let until = later(now, after.min(BUSY_MAX));
        self.until.insert(member, until);
        self.last = self.last.max(Some(until));
    }

    /// Whether there may be one: there is none, nearly always.
    #[inline]
    pub(super) fn is_any(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now < last)
    }

    #[inline]
    pub(super) fn contains(&self, member: usize, now: Instant) -> bool {
        self.is_any(now) && self.until.get(&member).is_some_and(|until| now < *until)
    }
}
