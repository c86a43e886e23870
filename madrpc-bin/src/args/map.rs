//! The flags of `madrpc map`.

use super::help;
use super::parse::{count_to, span, targets, timeout};
use super::tls::TlsArgs;
use super::traces::CallTraceArgs;
use std::path::PathBuf;
use std::time::Duration;

/// Calls that may be under way: each takes memory at both ends.
const IN_FLIGHT_MAX: usize = 65_536;

#[derive(Debug, clap::Args)]
#[command(after_help = help::MAP)]
pub(crate) struct MapArgs {
    /// The orchestrator or node to ask, or several with commas in between, of which each call goes to one
    #[arg(value_name = "HOST:PORT[,...]", value_parser = targets)]
    pub(crate) address: String,

    /// The function's registered name
    #[arg(value_name = "NAME")]
    pub(crate) function: String,

    /// Calls that are under way at the same time, at most; fewer where servers refuse some
    #[arg(short, long, value_name = "N", default_value = "512", value_parser = count_to(IN_FLIGHT_MAX))]
    pub(crate) concurrency: usize,

    /// Time until the deadline of each call, as 5s or 200ms; at most 24h
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = timeout)]
    pub(crate) timeout: Duration,

    /// How long a line is tried again whose call was refused or had nobody to run it; one that may have run only where the function
    /// is idempotent
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = span)]
    pub(crate) retry_for: Duration,

    /// Write results as they come, and not in the order of the lines
    #[arg(long)]
    pub(crate) unordered: bool,

    /// Write each result with the number of its line, the first being 1: {"line":1,"result":...}
    #[arg(long)]
    pub(crate) numbered: bool,

    /// Go on after a line has failed
    #[arg(long)]
    pub(crate) keep_going: bool,

    /// Write the lines that have failed there, each with its number and why: {"line":1,"args":...,"error":{...}}
    #[arg(long, value_name = "FILE")]
    pub(crate) errors: Option<PathBuf>,

    /// Write the results there, and not to stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Keep there how far it is; started again with the same input and the same files, it goes on from there, whatever ended it
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,

    /// Say nothing of how it goes
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,

    #[command(flatten)]
    pub(crate) traces: CallTraceArgs,
}
