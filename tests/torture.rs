//! A node with everything going on at once: jobs of all that the engine and the host do, stopped by force wherever they are, with
//! modules, calls of calls and streams, while the script is loaded anew all the time and callers give calls up. What the others say is
//! what an undisturbed node says.
//!
//! Setup: two nodes of one shard in this process. `MADRPC_TORTURE_SECONDS=3600 cargo test --release -p madrpc-bin --test torture` for
//! longer; the engine's own test of the name stops lanes more often.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use futures_lite::future::{block_on, or};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_shard::client::Client;
use madrpc_shard::engine::{LaneConfig, Preemption, Script};
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::path::Path;
use std::time::{Duration, Instant};
use support::Fleet;

/// The jobs of the engine's own test, which register themselves; their calls are real ones here.
const JOBS: &str = include_str!("../madrpc-shard/src/engine/torture.js");

const MAIN: &str = r#"
import "./jobs.js";
import { twice } from "./lib/twice.js";
import "./lib/late.js";
madrpc.register("echo", (value) => value);
madrpc.register("fail", (value) => { throw new RangeError("it fails", { cause: value }); });
madrpc.register("modules", async (value) => [twice(value), (await import("./lib/late.js")).default]);
madrpc.register("below", async (depth) => depth ? [depth, await madrpc.call("below", depth - 1)] : madrpc.callSync("stringify"));
"#;

const CALLERS: u64 = 3;
const RELOAD_INTERVAL: Duration = Duration::from_millis(100);

fn seconds() -> u64 {
    let seconds = std::env::var("MADRPC_TORTURE_SECONDS").ok();
    seconds.map_or(10, |seconds| seconds.parse().unwrap())
}

/// The script, of which every edition is another text.
fn script(folder: &Path, edition: u64) -> Script {
    let path = folder.join("main.js");
    std::fs::write(&path, format!("{MAIN}// {edition}\n")).unwrap();
    Script::read(&path).unwrap()
}

fn node(fleet: &Fleet, script: &Script, preemption: Preemption, slice: Duration) -> Server {
    let config = NodeConfig {
        slice: Some(slice),
        lane: LaneConfig {
            preemption,
            memory_bytes: 256 << 20,
            ..LaneConfig::default()
        },
        ..NodeConfig::default()
    };
    Server::node(&fleet.config(Role::Node, 1), script, &config).unwrap()
}

fn call(client: &Client, job: &str) -> Result<Value, CallError> {
    let call = client.prepare(job).timeout(Duration::from_secs(120));
    call.send_blocking(Value::Integer(3))
        .map(|reply| reply.result)
}

#[derive(Debug, Default)]
struct Counts {
    done: u64,
    given_up: u64,
    late: u64,
}

/// Calls jobs at random, of which it gives some up, until then.
fn torture(
    client: &Client,
    expected: &[(String, Result<Value, CallError>)],
    seed: u64,
    end: Instant,
) -> Counts {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut counts = Counts::default();
    // A machine that has other things to do gets fewer done in the time.
    let last = end + Duration::from_secs(60);
    while Instant::now() < end || counts.done <= 10 && Instant::now() < last {
        let (job, expected) = &expected[random.usize(..expected.len())];
        let moment = Duration::from_millis(random.u64(..8));
        match random.u8(..8) {
            0 => {
                let call = client.prepare(job).timeout(Duration::from_secs(120));
                let sent = async { drop(call.send(Value::Integer(3)).await) };
                let gives_up = async {
                    std::thread::sleep(moment);
                    futures_lite::future::yield_now().await;
                };
                block_on(or(sent, gives_up));
                counts.given_up += 1;
            }
            1 => {
                let call = client.prepare(job).timeout(moment);
                let said = call.send_blocking(Value::Integer(3));
                let said = said.map(|reply| reply.result).map_err(unbilled);
                let too_late = [ErrorKind::DeadlineExceeded, ErrorKind::Overloaded];
                match said {
                    Err(error) if too_late.contains(&error.kind) => counts.late += 1,
                    said => assert_eq!(said, *expected, "{job}, seed {seed}"),
                }
            }
            _ => {
                let said = call(client, job).map_err(unbilled);
                assert_eq!(said, *expected, "{job}, seed {seed}: {counts:?}");
                counts.done += 1;
            }
        }
    }
    counts
}

/// The error without what is never the same.
fn unbilled(error: CallError) -> CallError {
    CallError {
        bill: None,
        ..error
    }
}

#[test]
fn whatever_goes_on_beside_results_are_what_they_are_undisturbed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("lib")).unwrap();
    std::fs::write(folder.join("jobs.js"), JOBS).unwrap();
    let twice =
        "export const twice = (value) => [value, 'x'.repeat(2e4).includes('x'.repeat(8e3) + 'y')];";
    std::fs::write(folder.join("lib/twice.js"), twice).unwrap();
    std::fs::write(folder.join("lib/late.js"), "export default 'late';").unwrap();
    let fleet = Fleet::new();
    let first = script(folder, 0);
    let names = first.functions().unwrap();
    let undisturbed = node(&fleet, &first, Preemption::Polling, Duration::from_secs(60));
    let client = fleet.client(undisturbed.address());
    let expected: Vec<_> = names
        .iter()
        .map(|name| (name.clone(), call(&client, name).map_err(unbilled)))
        .collect();
    for (name, said) in &expected {
        assert!(said.is_ok() || name == "fail", "{name}: {said:?}");
    }
    drop((client, undisturbed));

    let slice = Duration::from_micros(50);
    let mut node = node(&fleet, &first, Preemption::Forced, slice);
    let end = Instant::now() + Duration::from_secs(seconds());
    let clients: Vec<_> = (0..CALLERS).map(|_| fleet.client(node.address())).collect();
    let expected = &expected;
    std::thread::scope(|scope| {
        let callers = (1..).zip(&clients);
        let callers: Vec<_> = callers
            .map(|(seed, client)| scope.spawn(move || torture(client, expected, seed, end)))
            .collect();
        let mut edition = 0;
        while callers.iter().any(|caller| !caller.is_finished()) {
            edition += 1;
            node.reload(&script(folder, edition)).unwrap();
            std::thread::sleep(RELOAD_INTERVAL);
        }
        println!("{edition} reloads");
        assert!(edition > 2, "{edition} reloads");
        for caller in callers {
            let counts = caller.join().unwrap();
            println!("{counts:?}");
            assert!(counts.done > 10 && counts.given_up > 0, "{counts:?}");
        }
    });
}
