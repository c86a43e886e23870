//! The heartbeat: whether every shard of a server still answers.
//!
//! The control thread asks all shards again and again, and tells what it hears; the command feeds systemd's watchdog by it. A
//! shard can be silent for a good reason: a built-in of JavaScript that cannot be interrupted holds its core. Its beacon
//! tells that from a shard that is dead, and a bound says how long it counts as a reason.

use madrpc_core::stats::Snapshot;
use std::fmt;
use std::time::Duration;

/// How long a function may hold a core and its shard still count as alive, where nobody says otherwise.
pub const DEFAULT_STALL_LIMIT: Duration = Duration::from_secs(60);

/// What the control thread is asked to do, again and again.
pub struct Heartbeat {
    /// The time from one question to the next.
    pub every: Duration,
    /// How long a function may hold a core, or a script while it loads, and its shard still count as alive.
    pub stall_limit: Duration,
    /// Gets what was heard. It runs on the control thread, which waits for it.
    pub tell: Box<dyn FnMut(&Pulse) + Send>,
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat")
            .field("every", &self.every)
            .field("stall_limit", &self.stall_limit)
            .finish_non_exhaustive()
    }
}

/// What the shards of a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// The counts of those that did.
    pub snapshot: Snapshot,
    /// Those that did not.
    pub silent: Vec<Silent>,
}

impl Pulse {
    /// Whether no shard is dead.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.silent.iter().all(|silent| !silent.is_dead)
    }
}

/// A shard that did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    /// Which.
    pub shard: u16,
    /// The function that holds its core, where one does.
    pub holder: Option<String>,
    /// How long it has held it; without one, the time since the shard's last answer.
    pub lasting: Duration,
    /// No function holds its core, or one for longer than the bound.
    pub is_dead: bool,
}

/// `shard 1: held by `sort` for 12 s`.
impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shard, seconds) = (self.shard, self.lasting.as_secs());
        match &self.holder {
            Some(holder) => write!(f, "shard {shard}: held by `{holder}` for {seconds} s"),
            None => write!(f, "shard {shard}: no answer for {seconds} s"),
        }
    }
}
