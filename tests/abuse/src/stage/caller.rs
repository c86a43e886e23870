//! Well-behaved callers: `madrpc bench` in a closed loop, and newcomers who open a session for one call.

use super::server::Binary;
use crate::error::AbuseError;
use crate::fleet::Fleet;
use crate::watched::Watched;
use nix::sys::signal::Signal;
use serde::Deserialize;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is called.
const FUNCTION: &str = "echo";
const ARGUMENT: &str = "{\"a\": 1, \"b\": 2}";

/// How long a caller may take to report after it was told to stop.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a newcomer waits for its result.
const NEWCOMER_PATIENCE: Duration = Duration::from_secs(5);

/// Time between two newcomers.
const NEWCOMERS_EVERY: Duration = Duration::from_secs(1);

/// How much a caller asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Demand {
    /// As much as there is, with so many calls in flight.
    InFlight(usize),
    /// So many calls a second, and at most [`MOST_IN_FLIGHT`] at the same time.
    PerSecond(f64),
}

/// Calls in flight of the caller whose throughput is looked at.
pub(crate) const MOST_IN_FLIGHT: usize = 64;

/// A caller that calls until it is stopped.
pub(crate) struct Caller {
    child: Child,
}

/// What it got.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) calls_per_s: f64,
    pub(crate) p99_us: Option<u64>,
}

#[derive(Deserialize)]
struct Document {
    calls_per_s: f64,
    latency_us: Option<Percentiles>,
}

#[derive(Deserialize)]
struct Percentiles {
    p99: u64,
}

impl Caller {
    /// Starts to call; it counts from `warm_up` on.
    pub(crate) fn start(
        binary: &Binary<'_>,
        fleet: &Fleet,
        server: SocketAddr,
        demand: Demand,
        core: usize,
    ) -> Result<Self, AbuseError> {
        let (server, core) = (server.to_string(), core.to_string());
        let demand = match demand {
            Demand::InFlight(calls) => vec![format!("--concurrency={calls}")],
            Demand::PerSecond(rate) => vec![
                format!("--rate={rate}"),
                format!("--max-in-flight={MOST_IN_FLIGHT}"),
            ],
        };
        let args = [
            "bench",
            &server,
            FUNCTION,
            ARGUMENT,
            "--duration",
            "10m",
            "--warm-up",
            "200ms",
            "--pin",
            &core,
            "--json",
        ];
        let mut command = binary.command(fleet, &args);
        let child = command
            .args(demand)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        // Until it is connected and counts.
        std::thread::sleep(Duration::from_millis(500));
        Ok(Self { child })
    }

    /// Stops it: what it got. One that cannot say so got nothing.
    pub(crate) fn stop(mut self) -> Result<Figures, AbuseError> {
        Watched::new(self.child.id()).signal(Signal::SIGINT)?;
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let mut text = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut text)?;
        }
        Ok(match serde_json::from_str::<Document>(&text) {
            Ok(document) => Figures {
                calls_per_s: document.calls_per_s,
                p99_us: document.latency_us.map(|latency| latency.p99),
            },
            Err(_) => Figures::default(),
        })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // It fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What became of newcomers, and what the server told meanwhile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Newcomers {
    pub(crate) tried: u64,
    pub(crate) got_in: u64,
    pub(crate) slowest: Duration,
    pub(crate) told: Vec<Top>,
}

/// Of `madrpc top --once --json`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Top {
    pub(crate) sessions: u64,
    pub(crate) open_handshakes: u64,
    pub(crate) retries: u64,
    pub(crate) resets: u64,
}

/// Sends newcomers until told to stop.
pub(crate) fn newcomers(
    binary: &Binary<'_>,
    fleet: &Fleet,
    server: SocketAddr,
    stop: &AtomicBool,
) -> Result<Newcomers, AbuseError> {
    let mut seen = Newcomers::default();
    let address = server.to_string();
    let call = ["call", &address, FUNCTION, ARGUMENT, "--timeout", "5s"];
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        let output = binary.output(fleet, &call, NEWCOMER_PATIENCE * 2)?;
        seen.tried += 1;
        seen.got_in += u64::from(output.is_some_and(|output| output.status.success()));
        seen.slowest = seen.slowest.max(started.elapsed());
        seen.told.extend(top(binary, fleet, server)?);
        while !stop.load(Ordering::Relaxed) && started.elapsed() < NEWCOMERS_EVERY {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(seen)
}

/// What the server tells of itself; `None` where it tells nothing.
pub(crate) fn top(
    binary: &Binary<'_>,
    fleet: &Fleet,
    server: SocketAddr,
) -> Result<Option<Top>, AbuseError> {
    let address = server.to_string();
    let args = ["top", &address, "--once", "--json"];
    let output = binary.output(fleet, &args, NEWCOMER_PATIENCE)?;
    let Some(output) = output.filter(|output| output.status.success()) else {
        return Ok(None);
    };
    let command = "madrpc top --once --json";
    serde_json::from_slice(&output.stdout)
        .map(Some)
        .map_err(|error| AbuseError::Document { command, error })
}

/// Whether a call returns.
pub(crate) fn is_served(
    binary: &Binary<'_>,
    fleet: &Fleet,
    server: SocketAddr,
) -> Result<bool, AbuseError> {
    let address = server.to_string();
    let args = ["call", &address, FUNCTION, ARGUMENT, "--timeout", "5s"];
    let output = binary.output(fleet, &args, NEWCOMER_PATIENCE * 2)?;
    Ok(output.is_some_and(|output| output.status.success()))
}
