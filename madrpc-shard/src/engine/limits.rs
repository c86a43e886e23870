//! The bounds of a lane and of the calls in it, what a call has used of them, and the words when one is passed.

use super::heap::Heap;
use super::preempt::Preemption;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::{BODY_MAX_BYTES, TIMEOUT_MAX};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// A lane's native stack. Only what is used of it takes memory; a guard page ends it.
pub(super) const STACK_BYTES: usize = 1 << 20;

/// How much of it JavaScript may use.
pub(super) const JS_STACK_BYTES: usize = 768 << 10;

/// The heap at which the engine first looks for garbage with cycles; from then on, at half more than it has left.
pub(super) const GC_THRESHOLD_BYTES: usize = 512 << 10;

/// Time on the core that a script may take to load.
pub(super) const LOAD_CPU: Duration = Duration::from_secs(10);

/// The heap of a call, where nothing else is said.
pub const DEFAULT_MEMORY_BYTES: usize = 64 << 20;

/// The least that a script and its functions can be given.
pub const MEMORY_MIN_BYTES: usize = 1 << 20;

/// The time on the core of a call, where nothing else is said: as much as a call has time at all whose caller names no
/// deadline. It is there for callers who allow hours, and for those who have gone without being noticed.
pub const DEFAULT_CPU: Duration = Duration::from_secs(30);

// What the host and the engine's C functions use beyond JavaScript's own frames.
const _: () = assert!(JS_STACK_BYTES + (128 << 10) <= STACK_BYTES);
const _: () = assert!(MEMORY_MIN_BYTES <= DEFAULT_MEMORY_BYTES);

/// What every lane of a node is told. A function can have limits of its own, see [`Options`](super::Options).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneConfig {
    /// What a call may hold, in bytes: heap that it adds to its lane's, and what the host holds for it of arguments, answers and
    /// results; also what the script may hold once it is loaded. Default: [`DEFAULT_MEMORY_BYTES`].
    pub memory_bytes: usize,
    /// Time on the core of a call; waiting costs nothing. The engine looks at the clock about each 0.3 ms. Default:
    /// [`DEFAULT_CPU`].
    pub cpu: Duration,
    /// The largest arguments and the largest result, in bytes on the wire. Default and most:
    /// [`BODY_MAX_BYTES`](madrpc_core::limits::BODY_MAX_BYTES).
    pub body_bytes: usize,
    /// Whether every call gets a context in which nothing ran but the script. It costs some 20 us where the lane can be taken
    /// back to its beginning, and loading the script each time where calls are not stopped by force (`preemption`): a
    /// millisecond for a small one. Default: false.
    pub isolate: bool,
    /// After how many calls a lane is replaced by a fresh one. Default: `None`, never.
    ///
    /// One whose heap has grown by more than half of `memory_bytes`, after a collection, is replaced all the same.
    pub recycle_after: Option<u64>,
    /// How calls lose the core that do not give it back. Default: [`Preemption::Forced`], and polling where the machine does
    /// not allow it.
    pub preemption: Preemption,
}

impl Default for LaneConfig {
    fn default() -> Self {
        Self {
            memory_bytes: DEFAULT_MEMORY_BYTES,
            cpu: DEFAULT_CPU,
            body_bytes: BODY_MAX_BYTES,
            isolate: false,
            recycle_after: None,
            preemption: Preemption::default(),
        }
    }
}

impl LaneConfig {
    /// Refuses what no lane can keep to.
    ///
    /// # Errors
    /// In words, the first setting that makes no sense.
    pub fn check(&self) -> Result<(), String> {
        if self.memory_bytes < MEMORY_MIN_BYTES {
            let least = Mib(MEMORY_MIN_BYTES);
            return Err(format!(
                "a memory limit of {} bytes: it must be at least {least}",
                self.memory_bytes
            ));
        }
        if self.cpu.is_zero() || self.cpu > TIMEOUT_MAX {
            return Err("a CPU limit must be more than 0, and at most 24 h".into());
        }
        if self.body_bytes == 0 || self.body_bytes > BODY_MAX_BYTES {
            let most = Mib(BODY_MAX_BYTES);
            return Err(format!(
                "a limit of {} bytes for bodies: it must be from 1 byte to {most}",
                self.body_bytes
            ));
        }
        if self.recycle_after == Some(0) {
            return Err("a lane can be replaced after 1 call or more".into());
        }
        Ok(())
    }

    /// The growth of its heap, after a collection, beyond which a lane is replaced.
    pub(super) fn grown_max_bytes(&self) -> usize {
        self.memory_bytes / 2
    }
}

/// What calls of one function may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallLimits {
    pub(super) memory_bytes: usize,
    pub(super) cpu: Duration,
    pub(super) stack_bytes: usize,
    /// The largest result.
    pub(super) body_bytes: usize,
}

/// What the call in a lane may use, and how long it was on the core.
pub(super) struct Meter {
    limits: Cell<CallLimits>,
    /// In the slices that are over.
    used: Cell<Duration>,
    /// When the slice began.
    begun: Cell<Instant>,
}

impl Meter {
    /// For the time in which the script loads, which is bound by [`LOAD_CPU`] alone.
    pub(super) fn new(now: Instant, config: &LaneConfig) -> Self {
        Self {
            limits: Cell::new(CallLimits {
                memory_bytes: config.memory_bytes,
                cpu: LOAD_CPU,
                stack_bytes: JS_STACK_BYTES,
                body_bytes: config.body_bytes,
            }),
            used: Cell::new(Duration::ZERO),
            begun: Cell::new(now),
        }
    }

    /// What the call may use.
    pub(super) fn limits(&self) -> CallLimits {
        self.limits.get()
    }

    /// A call begins.
    pub(super) fn begin(&self, limits: CallLimits) {
        self.limits.set(limits);
        self.used.set(Duration::ZERO);
    }

    /// The call gets the core.
    pub(super) fn on_resume(&self, now: Instant) {
        self.begun.set(now);
    }

    /// The call has given the core back and is not over.
    pub(super) fn on_suspend(&self) {
        self.used.set(self.used_by(Instant::now()));
    }

    /// Others have worked for the call so long.
    pub(super) fn charge(&self, took: Duration) {
        self.used.set(self.used.get().saturating_add(took));
    }

    /// Whether the call, which has the core, has had it for longer than it may.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.used_by(now) >= self.limits.get().cpu
    }

    fn used_by(&self, now: Instant) -> Duration {
        let now = now.saturating_duration_since(self.begun.get());
        self.used.get().saturating_add(now)
    }

    /// The error of a call that the lane ended, for this reason. The call must have the core.
    pub(super) fn error(&self, kind: ErrorKind, heap: &Heap) -> CallError {
        let limits = self.limits.get();
        let words = match kind {
            ErrorKind::DeadlineExceeded => "the call did not end by its deadline".to_owned(),
            ErrorKind::CpuLimit => format!(
                "the call used {} ms of CPU time; its limit is {} ms (--cpu-limit, or cpuMs at register)",
                self.used_by(Instant::now()).as_millis(),
                limits.cpu.as_millis()
            ),
            ErrorKind::MemoryLimit if heap.is_bound() => format!(
                "the call used {} of heap and asked for {} more, and the calls that it belongs to hold all that they may together on \
                 this shard (--memory-limit, or memoryMb at register, of the first)",
                Mib(heap.used().saturating_add(heap.charged())),
                Mib(heap.refused().unwrap_or_default()),
            ),
            ErrorKind::MemoryLimit => format!(
                "the call used {} of heap and asked for {} more; its limit is {} (--memory-limit, or memoryMb at \
                 register)",
                Mib(heap.used().saturating_add(heap.charged())),
                Mib(heap.refused().unwrap_or_default()),
                Mib(limits.memory_bytes)
            ),
            ErrorKind::StackLimit => format!(
                "the call nested deeper than its stack of {} KiB (stackKb at register)",
                limits.stack_bytes >> 10
            ),
            ErrorKind::Overloaded => format!(
                "the calls of this caller hold more than its part of the memory for lanes (half of the shard's part of \
                 --memory-max), and this one grew: it used {} of heap",
                Mib(heap.used())
            ),
            _ => "the caller gave the call up".to_owned(),
        };
        CallError::may_have_run(kind, words)
    }
}

/// Whether calls that end so are cut off wherever they are, and may leave half of something behind.
pub(super) fn is_cut_off(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DeadlineExceeded
            | ErrorKind::Cancelled
            | ErrorKind::CpuLimit
            | ErrorKind::MemoryLimit
            | ErrorKind::StackLimit
            | ErrorKind::Overloaded
    )
}

/// Bytes, for people.
pub(super) struct Mib(pub(super) usize);

impl std::fmt::Display for Mib {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.0;
        match bytes {
            0..1024 => write!(f, "{bytes} bytes"),
            1024..1_048_576 => write!(f, "{} KiB", bytes >> 10),
            _ if bytes.is_multiple_of(1 << 20) => write!(f, "{} MiB", bytes >> 20),
            _ => write!(f, "{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        }
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
