//! Large bodies: how many bytes an echo of them moves each way.
//!
//! A node of one shard is pinned to the first core, the load generator to the last.
//!
//! `cargo bench -p madrpc-benches --bench bulk`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use core_affinity::CoreId;
use madrpc_core::identity::{Authority, Role};
use madrpc_core::value::Value;
use madrpc_shard::client::load::{self, Load};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::runtime::memory::CountingAllocator;
use madrpc_shard::server::{Server, ServerConfig};
use std::error::Error;
use std::time::Duration;

// As the command has it.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SCRIPT: &str = r#"madrpc.register("echo", (value) => value);"#;

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
    println!(
        "{:>10} {:>10} {:>10} {:>10} {:>8}",
        "bytes", "in flight", "calls/s", "MB/s", "p50 us"
    );
    for (bytes, concurrency) in [
        (1 << 16, 8),
        (1 << 20, 1),
        (1 << 20, 4),
        (1 << 20, 16),
        (1 << 24, 4),
    ] {
        let report = load::run(Load {
            address: node.address().to_string(),
            identity: authority.issue(Role::Client)?,
            function: "echo".into(),
            args: Value::Bytes(vec![7; bytes]),
            concurrency,
            connections: 1,
            warm_up: Duration::from_millis(500),
            duration: Duration::from_secs(2),
            core: last.id,
        })?;
        // A figure made of failed calls is no figure.
        if report.results == 0 || !report.errors.is_empty() {
            return Err(format!("{} results, errors: {:?}", report.results, report.errors).into());
        }
        println!(
            "{bytes:>10} {concurrency:>10} {:>10.0} {:>10.0} {:>8}",
            report.calls_per_s(),
            report.calls_per_s() * bytes as f64 / 1e6,
            report.latency.value_at_quantile(0.5),
        );
    }
    Ok(())
}
