//! Clients of one process: what each of them waits for the others. They share a thread.
//!
//! A node of one shard has the first core; a thread for each client has the last, and so has the clients' own. Of several
//! clients the first makes one call after the other, the rest have 64 in flight.
//!
//! `cargo bench -p madrpc-benches --bench clients`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use futures_lite::future::block_on;
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use madrpc_core::identity::{Authority, Role};
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::runtime::memory::CountingAllocator;
use madrpc_shard::server::{Server, ServerConfig};
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

// As the command has it.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SCRIPT: &str = r#"madrpc.register("echo", (value) => value);"#;
const DURATION: Duration = Duration::from_secs(3);
const IN_FLIGHT: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let cores = core_affinity::get_core_ids().ok_or("the cores of this process cannot be read")?;
    let (Some(first), Some(last)) = (cores.first(), cores.last()) else {
        return Err("no core".into());
    };
    let authority = Authority::create("bench")?;
    let config = ServerConfig {
        shards: Some(1),
        cpus: Some([first.id].into_iter().collect()),
        ..ServerConfig::new(([127, 0, 0, 1], 0).into(), authority.issue(Role::Node)?)
    };
    let script = Script::new("echo.js", SCRIPT);
    let node = Server::node(&config, &script, &NodeConfig::default())?;
    // The clients' thread is started by the first, and has the core of whoever starts it.
    core_affinity::set_for_current(*last);
    println!(
        "{:>8} {:>10} {:>10} {:>8} {:>8} {:>8}",
        "clients", "in flight", "calls/s", "p50 us", "p99 us", "max us"
    );
    for clients in [1, 2, 4] {
        let mut threads = Vec::new();
        for number in 0..clients {
            let identity = authority.issue(Role::Client)?;
            let address = node.address().to_string();
            let client = Client::new(&ClientConfig::with_identity(&address, identity))?;
            let in_flight = if number == 0 { 1 } else { IN_FLIGHT };
            threads.push((in_flight, thread::spawn(move || call(&client, in_flight))));
        }
        for (in_flight, thread) in threads {
            let latencies = thread.join().map_err(|_| "a caller panicked")??;
            println!(
                "{clients:>8} {in_flight:>10} {:>10.0} {:>8} {:>8} {:>8}",
                latencies.len() as f64 / DURATION.as_secs_f64(),
                latencies.value_at_quantile(0.5),
                latencies.value_at_quantile(0.99),
                latencies.max(),
            );
        }
    }
    Ok(())
}

/// Calls for a while, so many at a time; gives the latencies in microseconds.
fn call(client: &Client, in_flight: usize) -> Result<Histogram<u64>, String> {
    let end = Instant::now() + DURATION;
    let one = || async {
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let begun = Instant::now();
            let result: i64 = client
                .call("echo", &7)
                .await
                .map_err(|error| error.to_string())?;
            if result != 7 {
                return Err(format!("{result} in place of 7"));
            }
            latencies.push(begun.elapsed().as_micros() as u64);
        }
        Ok(latencies)
    };
    let all = block_on(try_join_all((0..in_flight).map(|_| one())))?;
    let mut histogram = Histogram::new(3).map_err(|error| error.to_string())?;
    for latency in all.into_iter().flatten() {
        histogram
            .record(latency)
            .map_err(|error| error.to_string())?;
    }
    Ok(histogram)
}
