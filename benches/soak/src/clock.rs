//! The cycle: when what happens, in all processes of a run alike.

use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds of a cycle. Long enough for each load to have its own time and some rest, short enough for ten minutes to
/// hold thirty.
pub(crate) const CYCLE_S: u64 = 20;

/// The script is replaced and has to be running soon after.
pub(crate) const RELOAD_AT: u64 = 2;
/// A caller starts…
pub(crate) const KILLED_FROM: u64 = 4;
/// … that has thousands of calls under way when it is killed…
pub(crate) const KILLED_AT: u64 = 6;
/// … and has to be gone.
pub(crate) const KILLED_BY: u64 = 8;
/// A script that does not load is put there, and the certificates are read anew.
pub(crate) const BAD_RELOAD_AT: u64 = 9;
/// Strangers begin.
pub(crate) const STRANGERS_AT: u64 = 10;
/// Hundreds of calls are cancelled at once, and a very large body is sent.
pub(crate) const BURST_AT: u64 = 13;
/// Nobody calls but the probe.
pub(crate) const QUIET: Range<u64> = 16..CYCLE_S;

/// The time since the run began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    begin: Instant,
}

impl Clock {
    /// Starts now; the number is for [`Clock::of`] in other processes.
    pub(crate) fn start() -> (Self, u64) {
        let clock = Self {
            begin: Instant::now(),
        };
        (clock, unix_ms())
    }

    /// The clock of a run that began at `begin_ms` since 1970.
    pub(crate) fn of(begin_ms: u64) -> Self {
        let ago = Duration::from_millis(unix_ms().saturating_sub(begin_ms));
        let now = Instant::now();
        Self {
            begin: now.checked_sub(ago).unwrap_or(now),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// When the run is so old.
    pub(crate) fn at(&self, age: Duration) -> Instant {
        self.begin + age
    }

    /// The number of the cycle, from 0, and the second of it.
    pub(crate) fn now(&self) -> (u64, u64) {
        let second = self.elapsed().as_secs();
        (second / CYCLE_S, second % CYCLE_S)
    }

    pub(crate) fn is_quiet(&self) -> bool {
        QUIET.contains(&self.now().1)
    }
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64)
}
