//! Whether a peer says nothing, seen from one session to it.
//!
//! Whoever is sent something acknowledges it at once, whatever it has to do. One that has not for as long as patience lasts is
//! stopped, gone or cut off. The driver says when it sends and what it has received, and looks when [`Watch`] asks for it.

use std::time::{Duration, Instant};

/// Looks in the time that a peer may say nothing.
const LOOKS: u32 = 4;

/// How often that time passes before a peer is asked which owes nothing but results.
const PINGED_AFTER: u32 = 4;

/// What one session's peer was sent and has not acknowledged.
#[derive(Debug, Default, Clone, Copy)]
pub struct Watch {
    /// When something was last sent.
    sent_at: Option<Instant>,
    /// When it was first seen that the peer has not acknowledged that.
    asked_at: Option<Instant>,
    /// Whether somebody is going to look.
    is_on: bool,
}

/// What a look has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It says something, or has not been asked for long.
    Fine,
    /// It owes nothing but results, which may take as long as they like: it is to be asked whether it is there.
    Ask,
    /// It says nothing.
    Silent,
    /// There is nothing to wait for. No look follows, until something is sent.
    Over,
}

impl Watch {
    /// Something was sent; says whether a look has to follow, as nobody is going to.
    #[inline]
    pub fn sent(&mut self, now: Instant) -> bool {
        self.sent_at = Some(now);
        !std::mem::replace(&mut self.is_on, true)
    }

    /// How long until the next look, unless the last has found [`Look::Over`].
    #[must_use]
    pub fn interval(patience: Duration) -> Duration {
        patience / LOOKS
    }

    /// Looks. `received_at` is when something last came from the peer, `owes` whether calls on the session have no outcome.
    /// After [`Look::Ask`] the peer has been sent something.
    pub fn look(
        &mut self,
        now: Instant,
        received_at: Instant,
        owes: bool,
        patience: Duration,
    ) -> Look {
        let since = |at: Instant| now.saturating_duration_since(at);
        if self.sent_at.is_some_and(|sent_at| sent_at > received_at) {
            // The first that it has not acknowledged was sent between the last look and this one, or before.
            let asked_at = self.asked_at.filter(|asked_at| *asked_at > received_at);
            let asked_at = *self.asked_at.insert(asked_at.unwrap_or(now));
            return match since(asked_at) >= patience {
                true => Look::Silent,
                false => Look::Fine,
            };
        }
        if !owes {
            self.is_on = false;
            return Look::Over;
        }
        if since(received_at) >= patience * PINGED_AFTER {
            self.sent_at = Some(now);
            return Look::Ask;
        }
        Look::Fine
    }

    /// Looks while the session's handshake goes on; says for how long calls have waited for it. No look follows where none does.
    pub fn look_at_handshake(&mut self, now: Instant, owes: bool) -> Option<Duration> {
        if !owes {
            self.is_on = false;
            self.asked_at = None;
            return None;
        }
        let asked_at = *self.asked_at.get_or_insert(now);
        Some(now.saturating_duration_since(asked_at))
    }

    /// Since when it is known that the peer has not acknowledged something, where it has not.
    #[must_use]
    pub fn asked_at(&self) -> Option<Instant> {
        self.asked_at
    }

    /// Nobody looks any more.
    pub fn stop(&mut self) {
        self.is_on = false;
    }

    /// What was sent is lost, with its session.
    pub fn lose(&mut self) {
        self.sent_at = None;
        self.asked_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    #[test]
    fn one_that_acknowledges_is_asked_now_and_then_and_one_that_does_not_is_silent() {
        let begun = Instant::now();
        let mut watch = Watch::default();
        assert!(watch.sent(begun) && !watch.sent(begun));
        let (mut received_at, mut asked, mut silent) = (begun, 0, None);
        for step in 1..200 {
            let now = begun + Watch::interval(PATIENCE) * step;
            match watch.look(now, received_at, true, PATIENCE) {
                // It is frozen after two seconds.
                Look::Ask if step < 80 => {
                    received_at = now;
                    asked += 1;
                }
                Look::Ask | Look::Fine => {}
                Look::Silent => silent = silent.or(Some(now)),
                Look::Over => panic!("a result is owed"),
            }
        }
        assert!((3..=6).contains(&asked), "{asked}");
        let silent = silent.unwrap() - begun;
        assert!(silent < Duration::from_millis(2_000 + 700), "{silent:?}");
    }

    #[test]
    fn a_watch_ends_where_nothing_is_owed_and_begins_with_the_next_call() {
        let begun = Instant::now();
        let mut watch = Watch::default();
        watch.sent(begun);
        let now = begun + PATIENCE;
        assert_eq!(watch.look(now, now, false, PATIENCE), Look::Over);
        assert!(watch.sent(now));
        watch.lose();
        assert_eq!(watch.look(now, begun, true, PATIENCE), Look::Fine);
    }
}
