//! A load generator: calls one function, in a closed loop or at a given rate, and measures what comes back.
//!
//! It drives its sessions on a pinned thread of its own, without the client's thread and channels, so that what is
//! measured is the server and not the caller. [`measure`] tells all that was seen; [`run`] is the short form for a
//! closed loop.
//!
//! ```text
//! schedule (when is the next call due) ─▶ generator (sends, receives) ─▶ report (counts, corrects)
//! ```

mod generator;
mod report;
mod schedule;

pub use report::{Failures, Place, Report};

use crate::net::address::{AddressError, Addresses};
use crate::net::budget::Budget;
use crate::net::dial::{Keep, Sessions, Upstreams};
use crate::net::named::{Named, distinct, resolve_list};
use crate::net::transport::{TransportError, dialing_endpoint};
use crate::runtime::cpus::{self, CpuError};
use bytes::Bytes;
use core_affinity::CoreId;
use generator::Generator;
use hdrhistogram::Histogram;
use madrpc_core::call::CallError;
use madrpc_core::identity::{Identity, SERVER_NAME_ANY};
use madrpc_core::limits::{BODY_MAX_BYTES, CLIENT_IDLE_TIMEOUT, DEFAULT_TIMEOUT};
use madrpc_core::value::Value;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Why there was no load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The core cannot be had.
    #[error("load generator: {0}")]
    Core(#[from] CpuError),
    /// The thread cannot have its core.
    #[error("load generator: cannot be pinned to core {0}")]
    Pin(usize),
    /// The arguments cannot be sent.
    #[error("arguments: {0}")]
    Arguments(String),
    /// The server did not answer before the first call was sent.
    #[error(transparent)]
    Unreachable(#[from] CallError),
    /// The system gives no thread.
    #[error("load generator: its thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// The system gives no poller.
    #[error("load generator: its socket cannot be waited for: {0}")]
    Poller(std::io::Error),
    /// Sessions cannot be opened from this machine.
    #[error("load generator: {0}")]
    Transport(#[from] TransportError),
    /// Its thread has ended.
    #[error("load generator: its thread has ended")]
    Ended,
}

/// When calls are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// A closed loop: a call is sent when the reply to another has come, so that a slow server slows it down.
    Closed {
        /// Calls in flight.
        concurrency: usize,
    },
    /// An open loop: call `n` is due at `n / rate` seconds after the start, whatever comes back.
    Open {
        /// Calls in a second.
        rate: f64,
        /// The most calls in flight. Calls that are due beyond it wait here, and their latency counts meanwhile.
        in_flight_max: usize,
    },
}

/// When to stop counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After so many calls.
    Calls(u64),
}

/// What to call, how hard and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The address of the orchestrator or node, or those of several, with commas in between.
    pub address: String,
    /// Who calls.
    pub identity: Identity,
    /// The function.
    pub function: String,
    /// Its arguments.
    pub args: Value,
    /// When calls are sent.
    pub pace: Pace,
    /// Sessions they are spread over, to each server.
    pub connections: usize,
    /// How long to call before counting.
    pub warm_up: Duration,
    /// When to stop counting.
    pub until: Until,
    /// The deadline of each call, from when it is sent.
    pub timeout: Duration,
    /// Whether calls may run twice, whatever the function was registered as.
    pub idempotent: bool,
    /// The core that the generator is pinned to; by default the last that the process may use.
    pub core: Option<usize>,
}

/// How it goes, a few times a second.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Since the first call was sent, warm-up included.
    pub elapsed: Duration,
    /// Whether the warm-up is over.
    pub counting: bool,
    /// Calls that were counted, with a result or without.
    pub calls: u64,
    /// Those of them without a result.
    pub errors: u64,
    /// Results in a second since the progress told before.
    pub results_per_s: f64,
    /// Calls in flight.
    pub in_flight: usize,
}

/// Calls a function as the plan says, and waits for the replies to all calls that count.
///
/// `stop` ends it early, by a message; a sender that has gone does not. `on_progress` runs on the caller's thread.
///
/// # Errors
/// Where the generator cannot be started, or the server does not answer. Calls that fail are counted in the report.
pub fn measure(
    plan: Plan,
    stop: Receiver<()>,
    mut on_progress: impl FnMut(Progress),
) -> Result<Report, LoadError> {
    let named = resolve_list(&plan.address)?;
    let wanted = plan.core.map(|core| [core].into_iter().collect());
    let allowed = cpus::choose(wanted.as_ref(), None)?;
    let core = *allowed.last().ok_or(CpuError::Unknown)?;
    let mut body = Vec::new();
    plan.args
        .encode(&mut body, BODY_MAX_BYTES)
        .map_err(|error| LoadError::Arguments(error.to_string()))?;
    let body = Bytes::from(body);
    let (tell_progress, progress) = channel();
    let thread = std::thread::Builder::new().name("load".into());
    let thread = thread.spawn(move || generate(&plan, named, &body, core, &stop, &tell_progress));
    let thread = thread.map_err(LoadError::Thread)?;
    // Until the generator has ended, which drops its end.
    progress.iter().for_each(&mut on_progress);
    thread.join().map_err(|_| LoadError::Ended)?
}

fn generate(
    plan: &Plan,
    named: Vec<Named>,
    body: &Bytes,
    core: CoreId,
    stop: &Receiver<()>,
    progress: &Sender<Progress>,
) -> Result<Report, LoadError> {
    if !core_affinity::set_for_current(core) {
        return Err(LoadError::Pin(core.id));
    }
    let now = Instant::now();
    let targets = distinct(&named);
    let all: Vec<_> = targets.iter().flat_map(Addresses::all).copied().collect();
    let endpoint = dialing_endpoint(
        &plan.identity,
        &all,
        CLIENT_IDLE_TIMEOUT,
        &Budget::unlimited(),
        now,
    )?;
    // Generators with one session each spread over the server's shards by chance.
    let sessions = (Sessions::Fixed(plan.connections), fastrand::u16(..));
    let keep = Keep::WhileCalling;
    let mut upstreams = Upstreams::new(endpoint, &targets, sessions, SERVER_NAME_ANY, keep, now);
    upstreams.set_names(named, now);
    let generator = Generator::new(upstreams, plan, body, core.id).map_err(LoadError::Poller)?;
    generator.run(stop, progress)
}

/// A closed loop, in short.
#[derive(Debug, Clone)]
pub struct Load {
    /// The orchestrator's or node's address.
    pub address: String,
    /// Who calls.
    pub identity: Identity,
    /// The function.
    pub function: String,
    /// Its arguments.
    pub args: Value,
    /// Calls in flight.
    pub concurrency: usize,
    /// Sessions they are spread over.
    pub connections: usize,
    /// How long to call before counting.
    pub warm_up: Duration,
    /// How long to count.
    pub duration: Duration,
    /// The core that the generator is pinned to.
    pub core: usize,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// Calls with a result.
    pub results: u64,
    /// Calls without one, by the error's name.
    pub errors: BTreeMap<&'static str, u64>,
    /// How long was counted.
    pub elapsed: Duration,
    /// From a call's start to its result, in microseconds, to three significant digits.
    pub latency: Histogram<u64>,
}

impl LoadReport {
    /// Results in a second.
    #[must_use]
    pub fn calls_per_s(&self) -> f64 {
        self.results as f64 / self.elapsed.as_secs_f64()
    }
}

/// Calls until the time is over, and waits for the last replies.
///
/// # Errors
/// Where the generator cannot be started, or the server does not answer. Calls that fail are counted in the report.
pub fn run(load: Load) -> Result<LoadReport, LoadError> {
    let plan = Plan {
        address: load.address,
        identity: load.identity,
        function: load.function,
        args: load.args,
        pace: Pace::Closed {
            concurrency: load.concurrency,
        },
        connections: load.connections,
        warm_up: load.warm_up,
        until: Until::Elapsed(load.duration),
        timeout: DEFAULT_TIMEOUT,
        idempotent: false,
        core: Some(load.core),
    };
    let (_stop, stopped) = channel();
    let report = measure(plan, stopped, |_| {})?;
    let errors = report.errors.iter();
    Ok(LoadReport {
        results: report.results_in_time,
        errors: errors
            .map(|(kind, failures)| (kind.name(), failures.calls))
            .collect(),
        elapsed: report.elapsed,
        latency: report.service_us,
    })
}
