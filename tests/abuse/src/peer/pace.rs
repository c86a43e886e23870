//! So many in a second, and no more than so many.

use std::time::{Duration, Instant};

/// Sleeping for less is not worth a system call.
const NAP: Duration = Duration::from_micros(500);

/// Says when the next of many is due.
pub(crate) struct Pace {
    started: Instant,
    per_second: Option<f64>,
    until: Instant,
    done: u64,
    count: u64,
}

impl Pace {
    pub(crate) fn new(count: u64, per_second: Option<u32>, until: Instant) -> Self {
        Self {
            started: Instant::now(),
            per_second: per_second.map(f64::from),
            until,
            done: 0,
            count,
        }
    }

    /// Waits until the next is due: its number, or `None` where all are done or the time is over.
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.done >= self.count {
            return None;
        }
        let number = self.done;
        if let Some(per_second) = self.per_second {
            let due =
                self.started + Duration::from_nanos((number as f64 / per_second * 1e9) as u64);
            let wait = due.saturating_duration_since(Instant::now());
            if wait > NAP {
                std::thread::sleep(wait);
            }
        }
        if number.is_multiple_of(16) && Instant::now() >= self.until {
            return None;
        }
        self.done += 1;
        Some(number)
    }

    /// How many there were.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_count_and_by_time() {
        let now = Instant::now();
        let mut pace = Pace::new(5, None, now + Duration::from_secs(60));
        assert_eq!(std::iter::from_fn(|| pace.next()).count(), 5);
        assert_eq!(pace.done(), 5);
        let mut pace = Pace::new(5, Some(10), now);
        assert_eq!(pace.next(), None);
        let start = Instant::now();
        let mut pace = Pace::new(3, Some(100), now + Duration::from_secs(60));
        while pace.next().is_some() {}
        assert!(start.elapsed() >= Duration::from_millis(20) - NAP);
    }
}
