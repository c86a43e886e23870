//! A load generator: calls one function as fast as a fixed number of calls in flight allows.
//!
//! It drives its sessions on its own pinned executor, without the client's thread and channels, so that what is
//! measured is the server and not the caller. Latency is from a call's start to its reply; in a closed loop a slow
//! server slows the generator down too, so percentiles under full load say little about a given rate.

use crate::address::{AddressError, resolve_target};
use crate::group::{ShardGroup, Starting};
use crate::preflight::{self, PreflightError};
use crate::server::dialing_endpoint;
use crate::spin::{DEFAULT_SPIN, Spin};
use crate::upstream::{Keep, Outcome, Request, Upstreams};
use crate::wake::too_many_wakes;
use core_affinity::CoreId;
use futures_lite::FutureExt;
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::identity::{Identity, SERVER_NAME_ANY};
use madrpc_core::limits::{BODY_MAX_BYTES, CLIENT_IDLE_TIMEOUT};
use madrpc_core::stats::Latency;
use madrpc_core::value::Value;
use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// The deadline of each call.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there was no load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The machine lacks something.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The arguments cannot be sent.
    #[error("arguments: {0}")]
    Arguments(String),
    /// The generator's thread or socket cannot be made, or its core is not there.
    #[error("load generator: {0}")]
    System(String),
}

/// What to call, and how hard.
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
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    /// Calls with a result.
    pub results: u64,
    /// Calls without one, by the error's name.
    pub errors: BTreeMap<&'static str, u64>,
    /// How long was counted.
    pub elapsed: Duration,
    /// From a call's start to its result.
    pub latency: Latency,
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
/// Where the generator cannot be started. Calls that fail are counted in the report.
pub fn run(load: Load) -> Result<LoadReport, LoadError> {
    let address = resolve_target(&load.address)?;
    preflight::check(1)?;
    let mut body = Vec::new();
    load.args
        .encode(&mut body, BODY_MAX_BYTES)
        .map_err(|error| LoadError::Arguments(error.to_string()))?;
    let (report, reported) = channel();
    let core = CoreId { id: load.core };
    let generator = move |starting: Starting| async move {
        let now = Instant::now();
        match dialing_endpoint(&load.identity, address, CLIENT_IDLE_TIMEOUT, 0, now) {
            Ok(endpoint) => {
                starting.ready();
                let addresses = vec![address; load.connections.max(1)];
                let upstreams = Upstreams::new(
                    endpoint,
                    &addresses,
                    SERVER_NAME_ANY,
                    Keep::WhileCalling,
                    now,
                );
                // It fails only where the caller has gone.
                let _ = report.send(generate(upstreams, &load, &body).await);
            }
            Err(why) => starting.failed(why),
        }
    };
    let group = ShardGroup::start(&[core], vec![generator]).map_err(LoadError::System)?;
    let report = reported.recv();
    group.join();
    report.map_err(|_| LoadError::System("its thread has ended".into()))
}

async fn generate(mut upstreams: Upstreams<Instant>, load: &Load, body: &[u8]) -> LoadReport {
    let begun = Instant::now() + load.warm_up;
    let end = begun + load.duration;
    let mut report = LoadReport::default();
    let mut spin = Spin::new(DEFAULT_SPIN);
    loop {
        let now = Instant::now();
        while now < end && upstreams.waiting() < load.concurrency {
            let request = Request {
                function: &load.function,
                body,
                deadline: now + TIMEOUT,
                depth: 0,
            };
            if let Err((_, error)) = upstreams.call(now, &request, now) {
                *report.errors.entry(error.kind.name()).or_default() += 1;
                break;
            }
        }
        let counts = (begun..end).contains(&now);
        let received = upstreams.turn(now, |started, _, outcome| {
            let error = match outcome {
                Outcome::Reply { .. } => None,
                Outcome::Failure { kind, .. } => Some(kind),
                Outcome::Lost(CallError { kind, .. }) => Some(kind),
            };
            match error {
                _ if !counts => {}
                None => {
                    report.results += 1;
                    report
                        .latency
                        .record(now.duration_since(started).as_micros() as u64);
                }
                Some(kind) => *report.errors.entry(ErrorKind::name(kind)).or_default() += 1,
            }
        });
        upstreams.flush(now);
        if now >= end && upstreams.waiting() == 0 {
            break;
        }
        if received > 0 {
            spin.on_work(now);
        }
        if received > 0 || upstreams.endpoint().has_work() || spin.looks_again(now) {
            glommio::executor().yield_if_needed().await;
            continue;
        }
        let sleep = upstreams
            .next_timer()
            .map_or(load.duration, |at| at.saturating_duration_since(now));
        let slept = async {
            glommio::timer::sleep(sleep).await;
        };
        too_many_wakes()
            .or(upstreams.endpoint().readable())
            .or(slept)
            .await;
    }
    report.elapsed = load.duration;
    upstreams.close("the load is over");
    upstreams.flush(Instant::now());
    report
}
