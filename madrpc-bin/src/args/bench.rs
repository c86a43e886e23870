//! The flags of `madrpc bench`.

use super::fail_above::Bound;
use super::help;
use super::parse::{count, count_to, span, targets, timeout};
use super::tls::TlsArgs;
use madrpc_shard::client::CONNECTIONS_MAX;
use std::path::PathBuf;
use std::time::Duration;

/// More is beyond what one core can send.
const RATE_MAX: f64 = 10_000_000.0;

/// One in a day: no time of this program is longer.
const RATE_MIN: f64 = 1.0 / (24.0 * 60.0 * 60.0);

/// Some 300 MB of them.
const IN_FLIGHT_MAX: usize = 1_000_000;

#[derive(Debug, clap::Args)]
#[command(after_help = help::BENCH)]
pub(crate) struct BenchArgs {
    /// The orchestrator or node to call, or several with commas in between, which are called in turn
    #[arg(value_name = "HOST:PORT[,...]", value_parser = targets)]
    pub(crate) address: String,

    /// The function's registered name
    #[arg(value_name = "NAME")]
    pub(crate) function: String,

    /// Its argument; `-` reads it from stdin [default: undefined]
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    pub(crate) json_argument: Option<String>,

    /// Calls in flight: a closed loop; at most 1000000
    #[arg(short, long, value_name = "N", default_value = "64", value_parser = count_to(IN_FLIGHT_MAX), conflicts_with = "rate")]
    pub(crate) concurrency: usize,

    /// Calls in a second, sent when they are due whatever comes back: an open loop; one in a day at least, as 0.5 or 20000
    #[arg(short, long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// With --rate: calls in flight at most; further ones wait until there is room, and the wait counts
    #[arg(long, value_name = "N", default_value = "100000", value_parser = count_to(IN_FLIGHT_MAX), requires = "rate")]
    pub(crate) max_in_flight: usize,

    /// How long to measure
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = timeout)]
    pub(crate) duration: Duration,

    /// How many calls to measure, however long it takes
    #[arg(short = 'n', long, value_name = "N", value_parser = count, conflicts_with = "duration")]
    pub(crate) count: Option<usize>,

    /// How long to call before measuring
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span)]
    pub(crate) warm_up: Duration,

    /// Sessions with each server; calls take them in turn; at most 10000
    #[arg(long, value_name = "N", default_value = "1", value_parser = count_to(CONNECTIONS_MAX))]
    pub(crate) connections: usize,

    /// The deadline of each call, from when it is sent; at most 24h
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = timeout)]
    pub(crate) timeout: Duration,

    /// The calls may run twice, whatever the function was registered as: those of an orchestrator that is lost go to another
    #[arg(long)]
    pub(crate) idempotent: bool,

    /// The core that the generator runs on [default: the last that the process may use]
    #[arg(long, value_name = "CPU")]
    pub(crate) pin: Option<usize>,

    /// Print one JSON document and nothing else. Times end in _us or _s
    #[arg(long)]
    pub(crate) json: bool,

    /// Write the corrected latencies to this file in HdrHistogram's percentile format (.hgrm, in milliseconds), which
    /// HdrHistogram's plotter and others draw
    #[arg(long, value_name = "FILE")]
    pub(crate) hdr: Option<PathBuf>,

    /// Compare with what an earlier run printed with --json
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,

    /// Exit with 7 where a figure is above this: p50, p90, p99, p999, max (corrected latency) as p99=5ms, or errors
    /// as errors=0 or errors=0.1%; can be given again
    #[arg(long, value_name = "FIGURE=VALUE")]
    pub(crate) fail_above: Vec<Bound>,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok();
    rate.filter(|rate| (RATE_MIN..=RATE_MAX).contains(rate))
        .ok_or_else(|| {
            let range = "from one in a day (0.0000116) to 10000000";
            format!("expected a number of calls in a second, {range}")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_that_can_be_sent() {
        assert_eq!(rate("20000"), Ok(20_000.0));
        assert_eq!(rate("0.5"), Ok(0.5));
        assert_eq!(rate("1.2e-5"), Ok(1.2e-5));
        for text in [
            "0", "-1", "x", "", "NaN", "inf", "1e9", "1e-300", "5e-324", "1e-5",
        ] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
