//! Each kind of outcome of a madrpc call, checked.
//!
//! ```text
//! cargo run -p simple-test                                     on a cluster of its own, in this process
//! cargo run -p simple-test -- --orchestrator 127.0.0.1:8080    on one that runs already
//! ```
//!
//! The second form needs nodes that have loaded `examples/simple-test/scripts/simple.js`.
//!
//! Prints a line for each check: whether it is ok, what was expected and what came ([`checks`]). The exit code is 0
//! where all are ok, 1 where one is not or there is no cluster to call, 2 for wrong arguments.

mod checks;

use clap::Parser;
use madrpc_shard::client::Client;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::local_cluster::Cluster;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// In the program itself, so that it runs from any directory. Nodes are given the same file by `madrpc node -s`.
const SIMPLE_JS: &str = include_str!("../scripts/simple.js");

/// Each kind of outcome of a madrpc call, checked
#[derive(Debug, Parser)]
struct Args {
    /// An orchestrator or node to call, HOST:PORT [default: a cluster in this process]
    #[arg(long, value_name = "ADDR")]
    orchestrator: Option<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where stderr is closed, the exit code has to do.
            let _ = writeln!(io::stderr(), "simple-test: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all checks and says whether all are ok.
fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    // Kept until the end of the run: dropping a cluster ends it.
    let cluster = match &args.orchestrator {
        Some(_) => None,
        None => Some(Cluster::start(
            &Script::new("simple.js", SIMPLE_JS),
            2,
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
    let (mut run, mut failed) = (0, 0);
    for check in checks::all(&client) {
        print(&check)?;
        run += 1;
        failed += u32::from(!check.is_ok());
    }
    print(&format_args!("{run} checks, {failed} failed"))?;
    Ok(failed == 0)
}

fn print(line: &impl Display) -> Result<(), Box<dyn Error>> {
    writeln!(io::stdout(), "{line}").map_err(|error| format!("stdout: {error}").into())
}
