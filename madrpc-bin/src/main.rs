//! The command `madrpc`: runs nodes and orchestrators, calls functions, and shows what a cluster does.
//!
//! Arguments, the terminal and exit codes are here; everything else is a library's. Results go to stdout and nothing
//! else does; what is said to a person, and the log, goes to stderr.
//!
//! ```text
//! commands           a file for each
//! serving            a server in the foreground: ready, reloads, drain
//! settings identity  what a server is told; which certificates it has
//! logging signals
//! exit               failures and their codes
//! service_manager    what systemd hears
//! output             the two streams
//! args sandbox
//! ```
//!
//! What stands lower knows nothing of what stands higher: `make tidy` looks (.ci/layers.txt).
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
#![forbid(unsafe_code)]

mod args;
mod commands;
mod exit;
mod identity;
mod logging;
mod output;
mod sandbox;
mod service_manager;
mod serving;
mod settings;
mod signals;

use args::Args;
use exit::Failure;
use madrpc_shard::runtime::memory::CountingAllocator;
use signals::Events;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    exit::tell_panics();
    exit::code(run())
}

fn run() -> Result<(), Failure> {
    // Signals and a stuck log must not hurt a server while it is still being told what to be.
    let events = if args::starts_server(std::env::args_os()) {
        output::never_wait();
        Some(Events::of_server()?)
    } else {
        None
    };
    let Some(Args { log, command }) = settings::args()? else {
        return Ok(());
    };
    logging::start(log, &command)?;
    commands::run(&command, events)
}
