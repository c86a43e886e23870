//! The log: to stderr, filtered by `--log` or `RUST_LOG`.

use crate::args::Command;
use crate::exit::{Failure, Reason};
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Starts logging.
///
/// # Errors
/// Where the filter is none.
pub(crate) fn start(filter: Option<String>, command: &Command) -> Result<(), Failure> {
    let default = match command {
        Command::Node(_) | Command::Orchestrator(_) | Command::Dev(_) => "info",
        // What the script says while it loads is wanted.
        Command::Check(_) => "info",
        // They have their own words for what goes wrong.
        _ => "error",
    };
    let filter = filter
        .filter(|filter| !filter.trim().is_empty())
        .unwrap_or_else(|| default.to_owned());
    let parsed = EnvFilter::try_new(&filter).map_err(|error| {
        let hint = "write a level as info, or directives as info,madrpc_shard=debug";
        Failure::new(
            Reason::Usage,
            format!("--log or RUST_LOG `{filter}`: {error}; {hint}"),
        )
    })?;
    // A line of the log would tear the live table apart.
    if matches!(command, Command::Top(_)) && io::stderr().is_terminal() {
        return Ok(());
    }
    let log = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // It would report a closed stderr by a panic, and so end a server whose log nobody reads.
        .log_internal_errors(false);
    log.try_init()
        .map_err(|error| Failure::new(Reason::Other, format!("log: {error}")))
}
