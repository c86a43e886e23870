//! The flags of commands with which an operator looks after a running server.

use super::parse::{span, targets};
use super::tls::TlsArgs;
use std::time::Duration;

/// Of `madrpc nodes`, `undrain` and `reload`.
#[derive(Debug, clap::Args)]
pub(crate) struct OperatorArgs {
    /// The orchestrator or node; several with commas in between, which are asked one after the other, as each server of a name
    /// with several addresses is
    #[arg(value_name = "HOST:PORT[,...]", value_parser = targets)]
    pub(crate) address: String,

    /// Print a JSON document, on one line for each server. Times end in _ms, the rest are counts
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
