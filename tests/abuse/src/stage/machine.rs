//! What else runs on the machine while something is measured.

use crate::error::AbuseError;
use crate::watched::Watched;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::time::{Duration, Instant};

/// A clock tick of `/proc/stat`.
const TICK: Duration = Duration::from_millis(10);

/// What others may have of a core while ratios are measured.
pub(crate) const QUIET: f64 = 0.15;

/// Counts the time on cores that neither servers nor harness have had.
pub(crate) struct Others {
    started: Instant,
    busy: Duration,
    own: Duration,
}

impl Others {
    /// Counts from now on.
    pub(crate) fn since_now(servers: &[Watched]) -> Result<Self, AbuseError> {
        Ok(Self {
            started: Instant::now(),
            busy: busy()?,
            own: own(servers)?,
        })
    }

    /// What others have had since, as a share of one core. Processes that the harness has started count once they have
    /// ended.
    pub(crate) fn share(&self, servers: &[Watched]) -> Result<f64, AbuseError> {
        let busy = busy()?.saturating_sub(self.busy);
        let others = busy.saturating_sub(own(servers)?.saturating_sub(self.own));
        Ok(others.as_secs_f64() / self.started.elapsed().as_secs_f64())
    }
}

/// Waits until others leave the cores alone for a moment, at most so long.
pub(crate) fn wait_until_quiet(servers: &[Watched], patience: Duration) -> Result<(), AbuseError> {
    const LOOK: Duration = Duration::from_millis(500);
    let started = Instant::now();
    while started.elapsed() < patience {
        let others = Others::since_now(servers)?;
        std::thread::sleep(LOOK);
        if others.share(servers)? <= QUIET {
            return Ok(());
        }
    }
    Ok(())
}

/// Time that all cores together were not idle.
fn busy() -> Result<Duration, AbuseError> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<u32> = line
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // User, nice, system; then idle and waiting; then interrupts, and what the hypervisor kept.
    let sum: u32 = [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|at| fields.get(*at))
        .sum();
    Ok(TICK * sum)
}

fn own(servers: &[Watched]) -> Result<Duration, AbuseError> {
    let mut sum = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        for time in [usage.user_time(), usage.system_time()] {
            sum += Duration::from_micros(time.num_microseconds() as u64);
        }
    }
    for server in servers {
        // One that has ended is among the children.
        sum += server.usage().map(|usage| usage.cpu).unwrap_or_default();
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_work_is_not_others() {
        let others = Others::since_now(&[]).unwrap();
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {}
        let cores = std::thread::available_parallelism().unwrap().get();
        let share = others.share(&[]).unwrap();
        assert!((0.0..cores as f64).contains(&share), "{share}");
    }
}
