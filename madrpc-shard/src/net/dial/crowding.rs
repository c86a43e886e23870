//! What is on its way to the upstreams: callers share the sessions to them, and each waits for what was sent before.
//!
//! A server says how many frames it has taken in (`Taken`). Beyond some, callers who have had more than their part wait in
//! their own sessions instead; the others' calls find a short way. A server that says nothing for a while, as it cannot or
//! is stuck, does not count: nobody waits for it.

use std::time::{Duration, Instant};

/// Frames on their way on each session, beyond which it is crowded: what a shard takes in within a fraction of a
/// millisecond, and more than are on a network of a data centre at half a million calls a second.
const FRAMES_MAX: usize = 256;

/// How long a server that has something to take in may say nothing and count.
const SILENCE_MAX: Duration = Duration::from_millis(20);

/// Small frames on their way on one session.
#[derive(Default)]
pub(super) struct OnTheirWay {
    frames: usize,
    /// Since when there are some and the server has said nothing, as far as was looked.
    since: Option<Instant>,
    is_silent: bool,
}

/// Those on all sessions whose servers are not silent.
#[derive(Default)]
pub(super) struct Crowding {
    frames: usize,
    pub(super) open_links: usize,
}

impl Crowding {
    #[inline]
    pub(super) fn is_crowded(&self) -> bool {
        self.frames > FRAMES_MAX * self.open_links
    }

    /// A frame was sent on a link.
    #[inline]
    pub(super) fn on_sent(&mut self, link: &mut OnTheirWay) {
        link.frames += 1;
        if !link.is_silent {
            self.frames += 1;
        }
    }

    /// Finds out whether the link's server is silent.
    #[inline]
    pub(super) fn look(&mut self, link: &mut OnTheirWay, now: Instant) {
        if link.frames == 0 || link.is_silent {
            return;
        }
        let since = *link.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= SILENCE_MAX {
            link.is_silent = true;
            self.frames -= link.frames;
        }
    }

    /// The link's server has taken so many.
    pub(super) fn on_taken(&mut self, link: &mut OnTheirWay, frames: u32, now: Instant) {
        if link.is_silent {
            link.is_silent = false;
            self.frames += link.frames;
        }
        let taken = link.frames.min(frames as usize);
        link.frames -= taken;
        self.frames -= taken;
        link.since = (link.frames > 0).then_some(now);
    }

    /// What was on the link is lost.
    pub(super) fn on_lost(&mut self, link: &mut OnTheirWay) {
        if !link.is_silent {
            self.frames -= link.frames;
        }
        *link = OnTheirWay::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(crowding: &mut Crowding, link: &mut OnTheirWay, frames: usize, now: Instant) {
        for _ in 0..frames {
            crowding.on_sent(link);
            crowding.look(link, now);
        }
    }

    #[test]
    fn it_is_crowded_while_more_is_on_its_way_than_the_links_may_have() {
        let now = Instant::now();
        let (mut one, mut other) = (OnTheirWay::default(), OnTheirWay::default());
        let mut crowding = Crowding {
            open_links: 2,
            ..Crowding::default()
        };
        send(&mut crowding, &mut one, FRAMES_MAX, now);
        send(&mut crowding, &mut other, FRAMES_MAX, now);
        assert!(!crowding.is_crowded());
        send(&mut crowding, &mut one, 1, now);
        assert!(crowding.is_crowded());
        crowding.on_taken(&mut other, 1, now);
        assert!(!crowding.is_crowded());
        // More than there were, or a session that is lost: what there was is gone.
        crowding.on_taken(&mut other, u32::MAX, now);
        crowding.on_lost(&mut one);
        assert_eq!((crowding.frames, one.frames, other.frames), (0, 0, 0));
    }

    #[test]
    fn nobody_waits_for_a_server_that_says_nothing_whatever_others_say() {
        let begun = Instant::now();
        let (mut silent, mut other) = (OnTheirWay::default(), OnTheirWay::default());
        let mut crowding = Crowding {
            open_links: 2,
            ..Crowding::default()
        };
        send(&mut crowding, &mut silent, 10 * FRAMES_MAX, begun);
        assert!(crowding.is_crowded());
        let late = begun + SILENCE_MAX;
        crowding.on_taken(&mut other, 5, late);
        assert!(crowding.is_crowded());
        send(&mut crowding, &mut silent, 1, late);
        assert!(!crowding.is_crowded());
        send(&mut crowding, &mut silent, 10 * FRAMES_MAX, late);
        assert!(!crowding.is_crowded());
        // All of it counts again once it speaks.
        crowding.on_taken(&mut silent, 1, late);
        assert!(crowding.is_crowded());
        crowding.look(&mut silent, late + SILENCE_MAX);
        assert!(!crowding.is_crowded());
        crowding.on_lost(&mut silent);
        assert_eq!(crowding.frames, 0);
        // One that has had nothing to say is not silent.
        send(
            &mut crowding,
            &mut other,
            3 * FRAMES_MAX,
            late + 10 * SILENCE_MAX,
        );
        assert!(crowding.is_crowded());
    }
}
