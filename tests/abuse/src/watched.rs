//! A server's process as the system sees it.

use crate::error::AbuseError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

/// Kibibytes, in which `/proc` counts.
const KIB: u64 = 1024;

/// A process, by its number.
#[derive(Debug, Clone, Copy)]
pub struct Watched {
    pid: i32,
}

/// What a process uses.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    /// Memory of its own and shared, in bytes.
    pub rss_bytes: u64,
    /// Time on cores since its start.
    #[serde(skip)]
    pub cpu: Duration,
    /// Open descriptors.
    pub descriptors: u64,
}

impl Watched {
    /// The process with this number.
    #[must_use]
    pub fn new(pid: u32) -> Self {
        Self { pid: pid as i32 }
    }

    /// What it uses now.
    ///
    /// # Errors
    /// Where it is no more.
    pub fn usage(self) -> io::Result<Usage> {
        let stat = self.read("stat")?;
        // The name before it may hold anything; the fields are counted from the state, which is the third.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<u64> = fields
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        let ticks = fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0);
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid))?.count() as u64;
        Ok(Usage {
            rss_bytes: self.field("status", "VmRSS:")? * KIB,
            cpu: Duration::from_millis(ticks * 10),
            descriptors,
        })
    }

    /// Its memory alone, which is quicker to ask.
    ///
    /// # Errors
    /// Where it is no more.
    pub fn rss_bytes(self) -> io::Result<u64> {
        Ok(self.field("status", "VmRSS:")? * KIB)
    }

    /// Its part of the memory that it shares, and its own. The kernel walks all of it for that.
    ///
    /// # Errors
    /// Where it is no more.
    pub fn pss_bytes(self) -> io::Result<u64> {
        Ok(self.field("smaps_rollup", "Pss:")? * KIB)
    }

    /// How often its threads have gone to sleep and woken up since they began.
    ///
    /// # Errors
    /// Where it is no more.
    pub fn wakeups(self) -> io::Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let status = fs::read_to_string(task?.path().join("status")).unwrap_or_default();
            sum += field_of(&status, "voluntary_ctxt_switches:");
        }
        Ok(sum)
    }

    /// Waits until it uses less than a tenth of a core, for so long at most: how long it took.
    ///
    /// # Errors
    /// Where it is no more.
    pub fn idle_after(self, patience: Duration) -> io::Result<Option<Duration>> {
        const LOOK: Duration = Duration::from_millis(200);
        let started = Instant::now();
        let mut before = self.usage()?.cpu;
        while started.elapsed() < patience {
            std::thread::sleep(LOOK);
            let cpu = self.usage()?.cpu;
            if cpu.saturating_sub(before) <= LOOK / 10 {
                return Ok(Some(started.elapsed().saturating_sub(LOOK)));
            }
            before = cpu;
        }
        Ok(None)
    }

    /// Stops it in the middle of what it does.
    ///
    /// # Errors
    /// Where it is no more.
    pub fn freeze(self) -> Result<(), AbuseError> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// Where it is no more.
    pub fn thaw(self) -> Result<(), AbuseError> {
        self.signal(Signal::SIGCONT)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// Where it is no more.
    pub fn signal(self, signal: Signal) -> Result<(), AbuseError> {
        Ok(kill(Pid::from_raw(self.pid), signal)?)
    }

    fn read(self, file: &str) -> io::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid))
    }

    fn field(self, file: &str, name: &str) -> io::Result<u64> {
        Ok(field_of(&self.read(file)?, name))
    }
}

fn field_of(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|value| value.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_can_be_watched() {
        let own = Watched::new(std::process::id());
        let usage = own.usage().unwrap();
        assert!(usage.rss_bytes > KIB && usage.descriptors >= 3, "{usage:?}");
        assert!(own.pss_bytes().unwrap() > KIB);
        // Not our own: what a thread has counted goes when it ends, and other tests' threads do.
        let busy = ["-c", "while sleep 0.001; do :; done"];
        let mut child = Command::new("sh").args(busy).spawn().unwrap();
        let shell = Watched::new(child.id());
        let before = shell.wakeups().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let after = shell.wakeups().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(after > before);
        assert!(Watched::new(u32::MAX >> 1).usage().is_err());
    }
}
