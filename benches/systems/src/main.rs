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
mod dispatch;
mod figures;
mod fleet;
mod identity;
mod madrpc;
mod outcome;
mod peers;
mod programs;
mod report;
mod run;
mod slow_node;
mod system;

use child::ServeArguments;
use clap::{Parser, Subcommand};
use run::RunArguments;
use std::process::ExitCode;

/// Whole systems side by side, each running the same JavaScript
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    run: RunArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// One of the servers, until standard input ends
    #[command(hide = true)]
    Serve(ServeArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Some(Command::Serve(serve)) => dispatch::serve(serve),
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
