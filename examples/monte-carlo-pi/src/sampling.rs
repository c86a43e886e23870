//! The calls: many at the same time, from one thread.

use crate::plan::{Plan, Task};
use futures_util::{StreamExt, future, stream};
use indicatif::HumanCount;
use madrpc_core::call::Bill;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::{ValueError, from_value, to_value};
use madrpc_shard::client::Client;
use serde::Deserialize;
use std::fmt;
use std::time::{Duration, Instant};

const FUNCTION: &str = "monte_carlo_sample";

/// A task may wait behind many others, and be large: what counts is that a cluster that hangs is noticed at all.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// How long the burst of small calls lasts, and how many are under way at the same time.
const BURST: Duration = Duration::from_secs(1);
const BURST_CONCURRENCY: usize = 256;

/// What `monte_carlo_sample` returns.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Sampled {
    /// Points in the circle.
    pub(crate) inside: u64,
    /// Points thrown.
    pub(crate) total: u64,
}

/// Why a run ends early.
#[derive(Debug)]
pub(crate) enum SamplingError {
    /// A call has no result.
    Call(CallError),
    /// What went there or came back was something else than expected.
    Value(ValueError),
}

impl fmt::Display for SamplingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => write!(f, "{FUNCTION}: {error}"),
            Self::Value(error) => write!(f, "{FUNCTION} takes or gives something else: {error}"),
        }
    }
}

impl std::error::Error for SamplingError {}

impl From<CallError> for SamplingError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<ValueError> for SamplingError {
    fn from(error: ValueError) -> Self {
        Self::Value(error)
    }
}

/// Runs the plan's tasks, `concurrency` at a time, and passes on each result with its bill.
///
/// The first error ends the run; calls that are still under way are then cancelled by being dropped.
pub(crate) async fn run(
    client: &Client,
    plan: Plan,
    concurrency: usize,
    mut on_sampled: impl FnMut(Sampled, &Bill<String>),
) -> Result<(), SamplingError> {
    let mut calls = stream::iter(plan)
        .map(|task| sample(client, task))
        .buffer_unordered(concurrency);
    while let Some(outcome) = calls.next().await {
        let (sampled, bill) = outcome?;
        on_sampled(sampled, &bill);
    }
    Ok(())
}

/// One task, tried a second time where it is certain that it has not run.
async fn sample(client: &Client, task: Task) -> Result<(Sampled, Bill<String>), SamplingError> {
    let args = to_value(&task)?;
    let call = client.prepare(FUNCTION).timeout(TIMEOUT);
    let reply = match call.clone().send(args.clone()).await {
        Err(error) if error.kind == ErrorKind::Unavailable && !error.may_have_run => {
            call.send(args).await?
        }
        outcome => outcome?,
    };
    Ok((from_value(reply.result)?, reply.bill))
}

/// How many small calls there were, and in what time.
#[derive(Debug)]
pub(crate) struct Burst {
    calls: u64,
    took: Duration,
}

/// Throws single points, each by a call of its own.
pub(crate) async fn burst(client: &Client) -> Result<Burst, SamplingError> {
    let started = Instant::now();
    let mut replies = stream::iter(0..)
        .take_while(|_| future::ready(started.elapsed() < BURST))
        .map(|seed| async move {
            let task = Task { samples: 1, seed };
            client.call::<_, Sampled>(FUNCTION, &task).await
        })
        .buffer_unordered(BURST_CONCURRENCY);
    let mut calls = 0;
    while let Some(outcome) = replies.next().await {
        calls += outcome?.total;
    }
    let took = started.elapsed();
    Ok(Burst { calls, took })
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = self.calls as f64 / self.took.as_secs_f64();
        writeln!(f, "small calls")?;
        writeln!(f, "  calls/s    {}", HumanCount(per_second as u64))?;
        write!(
            f,
            "  calls      {} of one sample each, {BURST_CONCURRENCY} under way at a time, in {:.2} s",
            HumanCount(self.calls),
            self.took.as_secs_f64()
        )
    }
}
