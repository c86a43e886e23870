//! Keeps a peer from filling the log: the first event is told at once, those after it once in a while, counted.

use std::time::{Duration, Instant};

/// How long the log rests after a line of one kind.
const REST: Duration = Duration::from_secs(5);

/// Decides for one kind of event whether it is time for a line.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    next: Option<Instant>,
    untold: u64,
}

impl LogLimit {
    /// Notes an event; gives how many there were since the last line where it is time for the next.
    pub(crate) fn tell(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        self.next = Some(now + REST);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_the_rest_are_counted() {
        let start = Instant::now();
        let mut throttle = LogLimit::default();
        assert_eq!(throttle.tell(start), Some(1));
        assert_eq!(throttle.tell(start), None);
        assert_eq!(throttle.tell(start + REST / 2), None);
        assert_eq!(throttle.tell(start + REST), Some(3));
    }
}
