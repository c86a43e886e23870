//! Whole systems side by side: madrpc, its peers and its ceilings, each running the same JavaScript.
//!
//! Each server is a process of its own on the first core; the load comes from the last. Systems take turns, several
//! rounds of them, so that a machine that slows down slows down all. `make bench` runs it and shows where the report is.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints its figures"
)]

mod ceiling;
mod chart;
mod child;
mod cores;
mod figures;
mod madrpc;
mod peers;
mod report;
mod run;
mod system;

use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use system::System;

/// What goes wrong ends the run: a bench has nobody to hand an error to.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Whole systems side by side, each running the same JavaScript
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    run: RunArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Args)]
struct RunArguments {
    /// One round of 0.5 s instead of three of 2 s
    #[arg(long)]
    quick: bool,
    /// Only these systems
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<System>,
    /// Where the report goes
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// One of the servers, until standard input ends
    #[command(hide = true)]
    Serve(ServeArguments),
}

/// What a server process is told.
#[derive(clap::Args)]
struct ServeArguments {
    /// Which
    #[arg(value_enum)]
    system: System,
    /// The core it is pinned to
    #[arg(long)]
    core: usize,
    /// Where the authority and the installed Node.js package are
    #[arg(long)]
    dir: PathBuf,
    /// The node behind an orchestrator
    #[arg(long)]
    upstream: Option<SocketAddr>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Some(Command::Serve(serve)) => serve.system.serve(serve),
        None => run::run(&arguments.run),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("systems: {error}");
            ExitCode::FAILURE
        }
    }
}
