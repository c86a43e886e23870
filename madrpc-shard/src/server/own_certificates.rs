//! The certificates by which a server knows its own HTTP, which calls its shards as any caller does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long HTTP may take to go over to another certificate: its threads come last where there is much to do.
const GOING_OVER: Duration = Duration::from_secs(60);

/// Certificates of that time that are known, at the most.
const BEFORE_MAX: usize = 64;

/// The SHA-256 of a certificate.
type Fingerprint = [u8; 32];

pub(super) struct OwnCertificates {
    now: Fingerprint,
    /// Those before it, the last first, and since when they are none.
    before: VecDeque<(Fingerprint, Instant)>,
}

impl OwnCertificates {
    pub(super) fn new(now: Fingerprint) -> Self {
        Self {
            now,
            before: VecDeque::new(),
        }
    }

    /// The server has this one from this moment on, another or the same: it is told at each reload.
    pub(super) fn change(&mut self, to: Fingerprint, now: Instant) {
        if to == self.now {
            return;
        }
        let before = std::mem::replace(&mut self.now, to);
        self.before.push_front((before, now));
        self.before.truncate(BEFORE_MAX);
    }

    /// Whether one is the server's own; the clock is asked only where it was.
    pub(super) fn contains(
        &self,
        certificate: &Fingerprint,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        if self.now == *certificate {
            return true;
        }
        let mut before = self.before.iter();
        let found = before.find(|(before, _)| before == certificate);
        found.is_some_and(|(_, since)| now().saturating_duration_since(*since) < GOING_OVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_changed_holds_for_a_while_however_many_come_after_it() {
        let [first, second, third] = [1, 2, 3].map(|byte| [byte; 32]);
        let start = Instant::now();
        let mut own = OwnCertificates::new(first);
        (0..=BEFORE_MAX).for_each(|_| own.change(first, start));
        assert!(own.before.is_empty());
        own.change(second, start);
        own.change(third, start + GOING_OVER / 2);
        let hold = |after: Duration| {
            [first, second, third, [4; 32]].map(|one| own.contains(&one, || start + after))
        };
        assert_eq!(hold(Duration::ZERO), [true, true, true, false]);
        assert_eq!(hold(GOING_OVER), [false, true, true, false]);
        assert_eq!(hold(2 * GOING_OVER), [false, false, true, false]);
    }
}
