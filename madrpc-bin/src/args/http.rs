//! The flags of HTTP beside the calls.

use super::parse::http;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "HTTP")]
pub(crate) struct HttpArgs {
    /// Where HTTP is served beside the calls: health, metrics, calls with JSON, JSON-RPC 2.0. A port alone is one of 127.0.0.1; port
    /// 0 chooses a free one. Where others than this machine can come, it is TLS, by the server's certificate, and --http-tokens
    /// has to be given [default: no HTTP]
    #[arg(long, value_name = "[HOST:]PORT", value_parser = http)]
    pub(crate) http: Option<String>,

    /// A file of the tokens of those who may come by HTTP, a line `TOKEN ROLE:NAME` for each, the role client or operator; it is
    /// looked at four times a second [default: none, and whoever is on this machine may come, as client:http]
    #[arg(long, value_name = "FILE")]
    pub(crate) http_tokens: Option<PathBuf>,
}
