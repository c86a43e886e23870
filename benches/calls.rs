//! Tiny calls: how many a second, with the load generator on another core than the node.
//!
//! A node of one shard is pinned to the first core, the generator to the last; an orchestrator of one shard stands in
//! front of the node on the generator's core. All are in one process, with nothing shared but loopback. Each way is
//! measured in several rounds, one after the other; the median is printed, and the ratio of the two ways. Then it is counted what
//! an orchestrator takes of its core at a steady pace, for calls and for looking for the next ones: more than
//! [`AWAKE_MAX_PERCENT`] ends the bench with 1.
//!
//! `cargo bench -p madrpc-benches --bench calls`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use core_affinity::CoreId;
use madrpc_core::identity::{Authority, Role};
use madrpc_core::stats::{STATS, Snapshot};
use madrpc_core::value::Value;
use madrpc_shard::client::load::{self, Load, LoadReport, Pace, Plan, Until};
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::runtime::memory::CountingAllocator;
use madrpc_shard::server::{Server, ServerConfig};
use std::error::Error;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

// As the command has it.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SCRIPT: &str = r#"madrpc.register("echo", (value) => value);"#;
const ROUNDS: usize = 3;

/// The steady pace, and what of its core an orchestrator may take at it.
const STEADY_PER_S: f64 = 5_000.0;
const AWAKE_MAX_PERCENT: f64 = 15.0;
const STEADY_TIME: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let cores = core_affinity::get_core_ids().ok_or("the cores of this process cannot be read")?;
    let (Some(first), Some(last)) = (cores.first(), cores.last()) else {
        return Err("no core".into());
    };
    let authority = Authority::create("bench")?;
    let config = |role: Role, core: &CoreId| {
        Ok::<_, Box<dyn Error>>(ServerConfig {
            shards: Some(1),
            cpus: Some([core.id].into_iter().collect()),
            ..ServerConfig::new(([127, 0, 0, 1], 0).into(), authority.issue(role)?)
        })
    };
    let script = Script::new("echo.js", SCRIPT);
    let node = Server::node(&config(Role::Node, first)?, &script, &NodeConfig::default())?;
    let front = Server::orchestrator(&config(Role::Orchestrator, last)?, &[node.address()])?;
    println!(
        "echo of {{a: 1, b: 2}}; node on core {}, orchestrator and generator on core {}",
        first.id, last.id
    );
    println!(
        "{:>14} {:>10} {:>10} {:>8} {:>8} {:>8}",
        "way", "in flight", "calls/s", "p50 us", "p99 us", "max us"
    );
    for concurrency in [1, 64, 512, 1024] {
        let load = |server: &Server| {
            Ok::<_, Box<dyn Error>>(Load {
                address: server.address().to_string(),
                identity: authority.issue(Role::Client)?,
                function: "echo".into(),
                args: Value::object([("a", Value::Integer(1)), ("b", Value::Integer(2))]),
                concurrency,
                connections: 1,
                warm_up: Duration::from_millis(500),
                duration: Duration::from_secs(2),
                core: last.id,
            })
        };
        let mut medians = Vec::new();
        for (way, server) in [("direct", &node), ("orchestrator", &front)] {
            let median = median(&load(server)?)?;
            println!(
                "{way:>14} {concurrency:>10} {:>10.0} {:>8} {:>8} {:>8}",
                median.calls_per_s(),
                median.latency.value_at_quantile(0.5),
                median.latency.value_at_quantile(0.99),
                median.latency.max(),
            );
            medians.push(median.calls_per_s());
        }
        println!(
            "{:>14} {concurrency:>10} {:>9.0}%",
            "ratio",
            100.0 * medians[1] / medians[0]
        );
    }
    let percent = awake(&authority, &front, first.id)?;
    println!(
        "{STEADY_PER_S} calls/s, open loop, through the orchestrator: {percent:.1} % of its core, at most {AWAKE_MAX_PERCENT} %"
    );
    match percent <= AWAKE_MAX_PERCENT {
        true => Ok(()),
        false => Err("an orchestrator at a steady pace takes too much of its core".into()),
    }
}

/// What the orchestrator takes of its core at a steady pace, in per cent.
fn awake(authority: &Authority, front: &Server, core: usize) -> Result<f64, Box<dyn Error>> {
    let address = front.address().to_string();
    let operator = authority.issue(Role::Operator)?;
    let watcher = Client::new(&ClientConfig::with_identity(&address, operator))?;
    let cpu = || -> Result<(u64, Instant), Box<dyn Error>> {
        let told: Snapshot = watcher.call_blocking(STATS, &())?;
        Ok((
            told.cores.iter().map(|core| core.cpu_us).sum(),
            Instant::now(),
        ))
    };
    let plan = |time| -> Result<Plan, Box<dyn Error>> {
        Ok(Plan {
            address: address.clone(),
            identity: authority.issue(Role::Client)?,
            function: "echo".into(),
            args: Value::Integer(1),
            pace: Pace::Open {
                rate: STEADY_PER_S,
                in_flight_max: 1_000,
            },
            connections: 1,
            warm_up: Duration::ZERO,
            until: Until::Elapsed(time),
            timeout: Duration::from_secs(10),
            idempotent: false,
            core: Some(core),
        })
    };
    // Its sender has to be there as long as it goes on.
    let (_stop, stopped) = channel();
    load::measure(plan(Duration::from_secs(1))?, stopped, |_| ())?;
    let before = cpu()?;
    let (_stop, stopped) = channel();
    let report = load::measure(plan(STEADY_TIME)?, stopped, |_| ())?;
    let after = cpu()?;
    let wanted = STEADY_PER_S * STEADY_TIME.as_secs_f64();
    if (report.results as f64) < 0.95 * wanted {
        return Err(format!(
            "{} results of {wanted}: not the steady pace",
            report.results
        )
        .into());
    }
    let elapsed = after.1.duration_since(before.1).as_secs_f64();
    Ok((after.0 - before.0) as f64 / 1e6 / elapsed * 100.0)
}

/// The round of middle speed.
fn median(load: &Load) -> Result<LoadReport, Box<dyn Error>> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let report = load::run(load.clone())?;
        check(&report)?;
        rounds.push(report);
    }
    rounds.sort_by(|a, b| a.calls_per_s().total_cmp(&b.calls_per_s()));
    Ok(rounds.swap_remove(ROUNDS / 2))
}

/// A figure made of failed calls is no figure.
fn check(report: &LoadReport) -> Result<(), Box<dyn Error>> {
    if report.results == 0 || !report.errors.is_empty() {
        return Err(format!("{} results, errors: {:?}", report.results, report.errors).into());
    }
    Ok(())
}
