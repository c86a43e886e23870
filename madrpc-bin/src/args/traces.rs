//! The flags of traces.

use super::parse::{ratio, receiver};
use madrpc_shard::traces::Receiver;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Traces")]
pub(crate) struct TraceArgs {
    /// Where spans of calls are sent, as http://127.0.0.1:4318: to a collector of OTLP over HTTP, once a second, of the calls whose
    /// trace context says that they are recorded. One that is away holds nothing up [default: nowhere]
    #[arg(long, value_name = "URL", value_parser = receiver)]
    pub(crate) otlp: Option<Receiver>,

    /// The share of the calls without a trace context that is recorded as well, from 0 to 1, as 0.01
    #[arg(long, value_name = "RATIO", default_value = "0", value_parser = ratio)]
    pub(crate) otlp_sample: f64,
}

/// The same of a command that calls.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Traces")]
pub(crate) struct CallTraceArgs {
    /// Where spans of the calls are sent, as http://127.0.0.1:4318: to a collector of OTLP over HTTP, before the command ends. One
    /// that is away costs it a second at most [default: nowhere]
    #[arg(long, value_name = "URL", value_parser = receiver)]
    pub(crate) otlp: Option<Receiver>,

    /// The share of the calls without a trace context that is recorded, from 0 to 1, as 0.01
    #[arg(long, value_name = "RATIO", default_value = "1", requires = "otlp", value_parser = ratio)]
    pub(crate) otlp_sample: f64,
}
