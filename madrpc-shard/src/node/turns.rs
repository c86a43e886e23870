//! When calls have the core: how long a slice is, and how long the running calls stay back for new ones.

use std::time::{Duration, Instant};

/// The slice of a node without slices: longer than any deadline.
pub(super) const UNSLICED: Duration = Duration::from_secs(48 * 60 * 60);

/// How long the running calls stay back for further new ones, for each that has come since their last slice, and at the
/// most. Callers that are many come back soon, but were asleep during the slice; for one alone it is not worth waiting.
const STAY_BACK_PER_CALL: Duration = Duration::from_micros(25);
const STAY_BACK_MAX: Duration = Duration::from_micros(250);

/// The same where the running calls are of a caller who is ahead of the others: about what a call takes to come that follows
/// a reply.
const STAY_BACK_OF_AHEAD: Duration = Duration::from_micros(100);

/// What part of a slice a call has whose caller is ahead of the others: as long a call of theirs may have to wait.
const PART_OF_AHEAD: u32 = 2;

/// What has become of the time for a running call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Slice {
    Given,
    /// New calls come before, or the network.
    Later,
    /// None wants it.
    Nobody,
}

/// When what has the core.
pub(super) struct Turns {
    pub(super) slice: Duration,
    pub(super) slices_given: u64,
    /// How long calls have had the core, all together.
    pub(super) held: Duration,
    last_call: Instant,
    /// Calls that have come since the last slice of a running one.
    pub(super) new_calls: u32,
    /// When the running calls go on although new ones come.
    pub(super) next_slice: Instant,
    /// Whether calls wait for lanes that none of the running ones will give back.
    pub(super) is_stuck: bool,
    /// When it was looked at the calls that are set aside.
    pub(super) last_look: Instant,
    /// When lanes are made although new calls come.
    pub(super) next_making: Instant,
    /// When a call last gave the core back.
    pub(super) last_end: Instant,
    /// Whether the slice of one who is ahead was put off for the network's sake.
    pub(super) is_put_off: bool,
}

impl Turns {
    pub(super) fn new(slice: Duration, now: Instant) -> Self {
        Self {
            slice,
            slices_given: 0,
            held: Duration::ZERO,
            last_call: now,
            new_calls: 0,
            next_slice: now,
            is_stuck: false,
            last_look: now,
            next_making: now,
            last_end: now,
            is_put_off: false,
        }
    }

    /// A new call has come.
    pub(super) fn on_call(&mut self, arrived: Instant) {
        self.last_call = arrived;
        self.new_calls = self.new_calls.saturating_add(1);
    }

    /// The time within the turn that began then. The end of one call is the beginning of the next: to ask the clock
    /// twice for each takes a tenth of what a tiny call takes in all.
    pub(super) fn time_in_turn(&self, begun: Instant) -> Instant {
        match self.last_end {
            end if end > begun => end,
            _ => Instant::now(),
        }
    }

    /// Whether no new call has come for a moment.
    pub(super) fn is_quiet(&self, now: Instant, is_ahead: bool) -> bool {
        let least = match is_ahead && self.new_calls > 0 {
            true => STAY_BACK_OF_AHEAD,
            false => Duration::ZERO,
        };
        let stay_back = STAY_BACK_PER_CALL * self.new_calls;
        now >= self.last_call + stay_back.clamp(least, STAY_BACK_MAX)
    }

    /// The longest slice for a call of one who is ahead of the others, or not.
    pub(super) fn slice_of(&self, is_ahead: bool) -> Duration {
        match is_ahead && self.slice != UNSLICED {
            true => self.slice / PART_OF_AHEAD,
            false => self.slice,
        }
    }
}
