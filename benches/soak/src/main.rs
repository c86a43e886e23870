//! A fleet under all kinds of load for minutes or hours, and whether it stays as it was.
//!
//! A node, an orchestrator and their callers are processes of their own. Load comes in cycles (`clock`), each with
//! the same kinds of load at the same times, so that one cycle can be compared with another: after the warm-up,
//! memory must not grow, no descriptor or thread may be left, and the latency of a well-behaved caller must not drift
//! (`judge`). `make soak` runs it and shows where the report is.
//!
//! ```text
//! run ─▶ fleet (node, orchestrator) ◀─ callers (probe, mixed, killed, strangers), told what to do by run
//!  └──▶ sample (each second) ─▶ judge ─▶ report, chart
//! ```
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its report is what it is for"
)]

mod callers;
mod chart;
mod clock;
mod fleet;
mod judge;
mod load;
mod process;
mod record;
mod report;
mod run;
mod sample;
mod trend;

use clap::{Parser, Subcommand};
use load::Load;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What goes wrong ends the run: it has nobody to hand an error to.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A fleet under all kinds of load for minutes or hours, and whether it stays as it was.
///
/// Exit code 0 if it does, 1 if it does not, with a line for each reason.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    run: RunArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Args)]
struct RunArguments {
    /// How long, as 10m or 4h; whole cycles of 20 s count
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How long at the beginning nothing is judged [default: a third of the duration]
    #[arg(long, value_parser = humantime::parse_duration)]
    warm_up: Option<Duration>,
    /// Shards of the node and of the orchestrator. With 1, the node's is on the first core and the orchestrator's on
    /// the last
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Only these loads, to find the one that does it
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Load>,
    /// All loads but these
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with = "only")]
    without: Vec<Load>,
    /// The command madrpc
    #[arg(long, default_value = "target/release/madrpc")]
    madrpc: PathBuf,
    /// Where the report and the servers' logs go; what is there is removed
    #[arg(long, default_value = "target/soak")]
    out: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// One of the callers
    #[command(hide = true)]
    Caller(callers::CallerArguments),
    /// Becomes a server that ends when the run does
    #[command(hide = true)]
    Server(process::ServerArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Some(Command::Caller(caller)) => callers::run(caller).map(|()| true),
        Some(Command::Server(server)) => process::become_server(server).map(|()| true),
        None => run::run(&arguments.run),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}
