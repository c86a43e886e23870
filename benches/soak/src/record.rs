//! What is recorded, and what the callers tell the run: a line of JSON on their standard output for each [`Word`].

use crate::load::Load;
use crate::sample::Sample;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// What a caller tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Word {
    /// The probe's last second.
    Probe(ProbeSecond),
    /// What became of calls in the last second.
    Calls(BTreeMap<Load, Outcomes>),
    /// So many calls have been sent, and none of them has been answered.
    UnderWay(u64),
    /// So many datagrams, or handshakes, of that kind.
    Sent(Load, u64),
}

impl Word {
    pub(crate) fn say(&self) -> crate::Outcome<()> {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, self)?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }
}

/// A second of the well-behaved caller.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProbeSecond {
    /// From when each call was due until its result was there, in microseconds.
    pub(crate) latencies_us: Vec<u32>,
    /// How late a thread of that process woke that had asked to sleep, in microseconds: the machine's part.
    pub(crate) wakes_us: Vec<u32>,
    pub(crate) outcomes: Outcomes,
}

/// What became of calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcomes {
    /// As it should be.
    pub(crate) right: u64,
    /// A result that is not the function's.
    pub(crate) wrong: u64,
    /// An error that the call did not ask for, by its kind.
    pub(crate) failed: BTreeMap<String, u64>,
    /// The first that was not right, in words.
    pub(crate) first: Option<String>,
}

impl Outcomes {
    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        for (kind, count) in &other.failed {
            *self.failed.entry(kind.clone()).or_default() += count;
        }
        if self.first.is_none() {
            self.first.clone_from(&other.first);
        }
    }
}

/// All that was seen.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// By the name of the process, a sample each second.
    pub(crate) samples: BTreeMap<&'static str, Vec<Sample>>,
    /// Each second, and the time that cores have spent on others until then.
    pub(crate) others: Vec<(f64, f64)>,
    /// The probe's seconds with when they ended, in seconds since the run began.
    pub(crate) probe: Vec<(f64, ProbeSecond)>,
    pub(crate) calls: BTreeMap<Load, Outcomes>,
    /// Datagrams or handshakes of strangers.
    pub(crate) sent: BTreeMap<Load, u64>,
    /// The calls under way of each caller that was killed.
    pub(crate) killed: Vec<u64>,
    /// Scripts that were replaced, and ran.
    pub(crate) reloads: u64,
    /// When the machine stood still: from and to, in seconds since the run began.
    pub(crate) stalls: Vec<(f64, f64)>,
    /// What ended the run, or is wrong whatever the figures are.
    pub(crate) wrongs: Vec<String>,
    pub(crate) elapsed: Duration,
    pub(crate) warm_up: Duration,
}
