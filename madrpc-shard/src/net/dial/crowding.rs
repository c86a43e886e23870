//! What is on its way to the upstreams: callers share the sessions to them, and each waits for what was sent before.
//!
//! A server says how many frames it has taken in (`Taken`). Beyond some, callers who have had more than their part wait in
//! their own sessions instead; the others' calls find a short way.

use std::time::{Duration, Instant};

/// Frames on their way on each session, beyond which it is crowded: what a shard takes in within a fraction of a
/// millisecond, and more than are on a network of a data centre at half a million calls a second.
const FRAMES_MAX: usize = 256;

/// After so long without a word of any server nobody waits for one: it may be of those who say nothing.
const SILENCE_MAX: Duration = Duration::from_millis(20);

/// Small frames on all sessions; each link has its own number beside.
pub(super) struct Crowding {
    frames: usize,
    pub(super) open_links: usize,
    /// When a server last said what it has taken in.
    told: Instant,
}

impl Crowding {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            frames: 0,
            open_links: 0,
            told: now,
        }
    }

    #[inline]
    pub(super) fn is_crowded(&self, now: Instant) -> bool {
        self.frames > FRAMES_MAX * self.open_links
            && now.saturating_duration_since(self.told) < SILENCE_MAX
    }

    /// A frame was sent on a link, on which so many are.
    #[inline]
    pub(super) fn on_sent(&mut self, link: &mut usize) {
        *link += 1;
        self.frames += 1;
    }

    /// The link's server has taken so many.
    pub(super) fn on_taken(&mut self, link: &mut usize, frames: u32, now: Instant) {
        let taken = (*link).min(frames as usize);
        *link -= taken;
        self.frames -= taken;
        self.told = now;
    }

    /// What was on the link is lost.
    pub(super) fn on_lost(&mut self, link: &mut usize) {
        self.frames -= std::mem::take(link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_ahead_wait_while_much_is_on_its_way_and_servers_say_what_they_take() {
        let begun = Instant::now();
        let mut crowding = Crowding::new(begun);
        crowding.open_links = 2;
        let (mut one, mut other) = (0, 0);
        for _ in 0..FRAMES_MAX {
            crowding.on_sent(&mut one);
            crowding.on_sent(&mut other);
        }
        assert!(!crowding.is_crowded(begun));
        crowding.on_sent(&mut one);
        assert!(crowding.is_crowded(begun));
        assert!(!crowding.is_crowded(begun + SILENCE_MAX), "nobody says");
        crowding.on_taken(&mut other, 1, begun + SILENCE_MAX);
        assert!(!crowding.is_crowded(begun + SILENCE_MAX));
        crowding.on_sent(&mut one);
        assert!(crowding.is_crowded(begun + SILENCE_MAX));
        // More than there were, or a session that is lost: what there was is gone.
        crowding.on_taken(&mut other, u32::MAX, begun);
        crowding.on_lost(&mut one);
        assert_eq!((crowding.frames, one, other), (0, 0, 0));
    }
}
