//! The flags of commands with which an operator looks after a running server.

use super::help;
use super::parse::{span, target};
use super::tls::TlsArgs;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(after_help = help::NODES)]
pub(crate) struct NodesArgs {
    /// The orchestrator whose nodes are listed, or a node
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    pub(crate) address: String,

    /// Print one JSON document. Times end in _ms, the rest are counts
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = help::DRAIN)]
pub(crate) struct DrainNodeArgs {
    /// The node or orchestrator that is to take no new calls
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    pub(crate) address: String,

    /// How long to wait until the calls under way have ended, as 30s; 0s: not at all
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    pub(crate) timeout: Duration,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UndrainArgs {
    /// The node or orchestrator that is to take calls again
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    pub(crate) address: String,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = help::RELOAD)]
pub(crate) struct ReloadArgs {
    /// The node or orchestrator that is to read its files anew
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    pub(crate) address: String,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}
