//! Tiny calls at one shard: how many a second, with the load generator on another core.
//!
//! Runs a node of one shard pinned to the first core and the generator pinned to the last, in one process but without
//! anything shared but loopback, several rounds of each concurrency, and prints the median.
//!
//! `cargo bench -p madrpc-benches --bench calls`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use madrpc_core::identity::{Authority, Role};
use madrpc_core::value::Value;
use madrpc_shard::engine::Script;
use madrpc_shard::load::{self, Load, LoadReport};
use madrpc_shard::server::{Server, ServerConfig};
use std::error::Error;
use std::time::Duration;

const SCRIPT: &str = r#"madrpc.register("echo", (value) => value);"#;
const ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let cores = core_affinity::get_core_ids().ok_or("the cores of this process cannot be read")?;
    let (Some(first), Some(last)) = (cores.first(), cores.last()) else {
        return Err("no core".into());
    };
    let authority = Authority::create("bench")?;
    let config = ServerConfig {
        bind: ([127, 0, 0, 1], 0).into(),
        shards: Some(1),
        cpus: Some([first.id].into_iter().collect()),
        identity: authority.issue(Role::Node)?,
    };
    let node = Server::node(&config, &Script::new("echo.js", SCRIPT), None)?;
    println!(
        "echo of {{a: 1, b: 2}}, a node of one shard on core {}, the generator on core {}",
        first.id, last.id
    );
    println!(
        "{:>12} {:>12} {:>9} {:>9} {:>9}",
        "in flight", "calls/s", "p50 us", "p99 us", "max us"
    );
    for concurrency in [1, 64, 512, 1024] {
        let load = Load {
            address: node.address().to_string(),
            identity: authority.issue(Role::Client)?,
            function: "echo".into(),
            args: Value::object([("a", Value::Integer(1)), ("b", Value::Integer(2))]),
            concurrency,
            connections: 1,
            warm_up: Duration::from_millis(500),
            duration: Duration::from_secs(2),
            core: last.id,
        };
        let mut rounds = (0..ROUNDS)
            .map(|_| load::run(load.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        rounds.sort_by(|a, b| a.calls_per_s().total_cmp(&b.calls_per_s()));
        let median = &rounds[ROUNDS / 2];
        check(median)?;
        println!(
            "{concurrency:>12} {:>12.0} {:>9} {:>9} {:>9}",
            median.calls_per_s(),
            median.latency.quantile_us(0.5),
            median.latency.quantile_us(0.99),
            median.latency.max_us(),
        );
    }
    Ok(())
}

/// A figure made of failed calls is no figure.
fn check(report: &LoadReport) -> Result<(), Box<dyn Error>> {
    if report.results == 0 || !report.errors.is_empty() {
        return Err(format!("{} results, errors: {:?}", report.results, report.errors).into());
    }
    Ok(())
}
