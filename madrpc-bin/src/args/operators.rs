//! The flags of commands with which an operator looks after a running server.

use super::parse::{span, target};
use super::tls::TlsArgs;
use std::time::Duration;

/// Of `madrpc nodes`, `undrain` and `reload`.
#[derive(Debug, clap::Args)]
pub(crate) struct OperatorArgs {
    /// The orchestrator or node
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    pub(crate) address: String,

    /// Print one JSON document. Times end in _ms, the rest are counts
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DrainServerArgs {
    /// How long to wait until the calls under way have ended, as 30s; 0s: not at all
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) server: OperatorArgs,
}
