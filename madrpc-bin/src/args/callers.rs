//! The flags of commands that ask a server something and print its answer.

use super::help;
use super::parse::{key, targets, timeout, trace};
use super::tls::TlsArgs;
use super::traces::CallTraceArgs;
use madrpc_core::call::Trace;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(after_help = help::CALL)]
pub(crate) struct CallArgs {
    /// The orchestrator or node to ask, or several with commas in between, of which one that answers is asked
    #[arg(value_name = "HOST:PORT[,...]", value_parser = targets)]
    pub(crate) address: String,

    /// The function's registered name
    #[arg(value_name = "NAME")]
    pub(crate) function: String,

    /// Its argument; `-` reads it from stdin [default: undefined]
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    pub(crate) json: Option<String>,

    /// Time until the deadline, as 5s or 200ms; at most 24h
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = timeout)]
    pub(crate) timeout: Duration,

    /// Calls of the same key go to the same node, where the orchestrator balances by keys (--balance hash); up to 256 bytes
    #[arg(long, value_name = "KEY", value_parser = key)]
    pub(crate) key: Option<String>,

    /// The call may run twice, whatever the function was registered as: where the orchestrator or node that has it is lost, another
    /// of those given gets it
    #[arg(long)]
    pub(crate) idempotent: bool,

    /// The trace that the call belongs to, as a traceparent (W3C Trace Context): 00-, trace-id, parent-id and flags
    #[arg(long, value_name = "TRACEPARENT", value_parser = trace)]
    pub(crate) trace: Option<Trace>,

    /// Say on stderr what the call cost and where it ran
    #[arg(short, long)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,

    #[command(flatten)]
    pub(crate) traces: CallTraceArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TopArgs {
    /// The orchestrator or node to watch, or several with commas in between, of which the first that answers is watched
    #[arg(value_name = "HOST:PORT[,...]", value_parser = targets)]
    pub(crate) address: String,

    /// Milliseconds between looks, 50 to 60000
    #[arg(short, long, value_name = "MS", default_value = "250", value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub(crate) interval: u64,

    /// Print the totals since the server's start as a table, and end
    #[arg(long)]
    pub(crate) once: bool,

    /// With --once: as one JSON document. Times end in _us or _ms, the rest are counts
    #[arg(long, requires = "once")]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FunctionsArgs {
    /// The node to ask, or the orchestrator, which asks its nodes; or several with commas in between, of which one that answers is
    /// asked
    #[arg(value_name = "HOST:PORT[,...]", value_parser = targets)]
    pub(crate) address: String,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}
