//! Calls that have taken too long (`--slow`): one is told in a line, those after it once in a while, counted.

use crate::net::log_limit::LogLimit;
use std::time::{Duration, Instant};

/// Which calls are slow, and when it is time for a line.
#[derive(Debug)]
pub(crate) struct SlowCalls {
    /// Those that take longer are; without end where nobody wants to know.
    limit: Duration,
    log: LogLimit,
}

impl Default for SlowCalls {
    fn default() -> Self {
        Self::new(None)
    }
}

impl SlowCalls {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self {
            limit: limit.unwrap_or(Duration::MAX),
            log: LogLimit::default(),
        }
    }

    /// Whether any call is to be told of.
    pub(crate) fn are_told(&self) -> bool {
        self.limit != Duration::MAX
    }

    /// Whether a call was slow that took so long from its arrival to its end.
    #[inline]
    pub(crate) fn is_slow(&self, took: Duration) -> bool {
        took > self.limit
    }

    /// Notes a call that was; gives how many there were since the last line where it is time for the next.
    pub(crate) fn tell(&mut self, now: Instant) -> Option<u64> {
        self.log.tell(now)
    }
}
