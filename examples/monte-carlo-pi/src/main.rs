//! Pi by random sampling, computed on a madrpc cluster.
//!
//! ```text
//! cargo run --release -p monte-carlo-pi                                     a cluster of its own, in this process
//! cargo run --release -p monte-carlo-pi -- --orchestrator 127.0.0.1:8080    one that runs already
//! ```
//!
//! The second form needs nodes that have loaded `examples/monte-carlo-pi/scripts/pi.js`.
//!
//! The samples are divided into tasks ([`plan`]). Each task is one call of the JavaScript function
//! `monte_carlo_sample`, with a seed of its own; many calls are under way at the same time ([`sampling`]). Results go
//! to stdout ([`report`]), a progress bar to stderr where that is a terminal. Equal arguments give equal digits,
//! however many nodes there are. The exit code is 0, or 1 with one line that says why, or 2 for wrong arguments.

mod plan;
mod report;
mod sampling;

use clap::Parser;
use futures_lite::future::block_on;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use madrpc_shard::client::Client;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::local_cluster::Cluster;
use plan::Plan;
use report::Report;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

/// In the program itself, so that it runs from any directory. Nodes are given the same file by `madrpc node -s`.
const PI_JS: &str = include_str!("../scripts/pi.js");

/// Pi by random sampling, computed on a madrpc cluster
#[derive(Debug, Parser)]
struct Args {
    /// An orchestrator or node to call, HOST:PORT [default: a cluster in this process]
    #[arg(long, value_name = "ADDR")]
    orchestrator: Option<String>,

    /// Points to throw, over all tasks
    #[arg(long, value_name = "N", default_value_t = 20_000_000, value_parser = clap::value_parser!(u64).range(1..=plan::SAMPLES_MAX))]
    samples: u64,

    /// Calls to divide them into
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=plan::TASKS_MAX))]
    tasks: u64,

    /// Chooses the points: the same number gives the same result
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,

    /// Nodes of the cluster in this process
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        conflicts_with = "orchestrator"
    )]
    nodes: usize,

    /// Tasks under way at the same time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is closed, the exit code has to do.
            let _ = writeln!(io::stderr(), "monte-carlo-pi: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    // Kept until the end of the run: dropping a cluster ends it.
    let cluster = match &args.orchestrator {
        Some(_) => None,
        None => Some(Cluster::start(
            &Script::new("pi.js", PI_JS),
            args.nodes,
            &NodeConfig::default(),
            None,
        )?),
    };
    let address = match (&args.orchestrator, &cluster) {
        (Some(address), _) => address.clone(),
        (None, Some(cluster)) => cluster.address().to_string(),
        (None, None) => return Err("there is nobody to call".into()),
    };
    let client = Client::connect(&address)?;
    block_on(compute(&client, args))
}

async fn compute(client: &Client, args: &Args) -> Result<(), Box<dyn Error>> {
    let plan = Plan::new(args.samples, args.tasks, args.seed);
    let bar = progress_bar(plan.tasks())?;
    let started = Instant::now();
    let mut report = Report::new(args.seed);
    sampling::run(client, plan, args.concurrency.into(), |sampled, bill| {
        report.add(sampled, bill);
        bar.inc(1);
    })
    .await?;
    report.took(started.elapsed());
    bar.finish_and_clear();
    print(&report)?;

    // Two hundred tasks of milliseconds say how fast the cores are; calls that do next to nothing, how fast calls are.
    print(&sampling::burst(client).await?)
}

fn print(results: &impl Display) -> Result<(), Box<dyn Error>> {
    writeln!(io::stdout(), "{results}").map_err(|error| format!("stdout: {error}").into())
}

/// Draws on stderr, and only where that is a terminal.
fn progress_bar(tasks: u64) -> Result<ProgressBar, Box<dyn Error>> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} tasks, {eta} left")?;
    // Cleared also when an error ends the run, which then has a line of its own.
    let bar = ProgressBar::new(tasks)
        .with_style(style)
        .with_finish(ProgressFinish::AndClear);
    // Drawn at once, and not only when the first task is done.
    bar.tick();
    Ok(bar)
}
