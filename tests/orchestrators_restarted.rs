//! Both of two orchestrators are restarted, one after the other (SIGTERM, and started again at the same port), while callers who
//! know both make 5,000 calls in a second: none of them is lost, and both have their part of them again. One that is killed loses
//! none of those calls of which their callers say that they may run twice.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use std::thread::sleep;
use std::time::Duration;
use support::eventually;
use support::fleet::RealFleet;
use support::process::{Served, free_port, stdout};

fn orchestrator(fleet: &RealFleet, front: &str) -> Served {
    let mut args = vec!["orchestrator", "-b", front, "--shards", "1"];
    let nodes = fleet.ports.iter().map(|port| format!("127.0.0.1:{port}"));
    let nodes: Vec<String> = nodes.collect();
    args.extend(nodes.iter().flat_map(|node| ["-n", node]));
    fleet.home.serve(&args)
}

/// Calls that an orchestrator has passed on since its start.
fn passed_on(fleet: &RealFleet, front: &str) -> u64 {
    let output = fleet.home.run(&["top", front, "--once", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = document["functions"].as_array().unwrap();
    rows.iter().filter_map(|row| row["calls"].as_u64()).sum()
}

#[test]
fn no_call_is_lost_where_orchestrators_are_restarted() {
    let mut fleet = RealFleet::start(3);
    let fronts = [fleet.front.clone(), format!("127.0.0.1:{}", free_port())];
    let mut second = orchestrator(&fleet, &fronts[1]);
    let load = fleet.load_at(&fronts.join(","), "once", 5_000, "8s");
    sleep(Duration::from_millis(1_500));

    fleet.orchestrator.signal(Signal::SIGTERM);
    assert!(fleet.orchestrator.end().success());
    fleet.orchestrator = orchestrator(&fleet, &fronts[0]);
    eventually("the first has calls again", || {
        passed_on(&fleet, &fronts[0]) > 1_000
    });
    second.signal(Signal::SIGTERM);
    assert!(second.end().success());
    let _second = orchestrator(&fleet, &fronts[1]);
    eventually("the second has calls again", || {
        passed_on(&fleet, &fronts[1]) > 1_000
    });
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 30_000,
        "{outcome:?}"
    );
    let listed = stdout(&fleet.home.run(&["functions", &fronts[0]]));
    assert!(listed.contains("once"), "{listed}");
}

#[test]
fn no_call_that_may_run_twice_is_lost_where_an_orchestrator_is_killed() {
    let fleet = RealFleet::start(3);
    let fronts = [fleet.front.clone(), format!("127.0.0.1:{}", free_port())];
    let _second = orchestrator(&fleet, &fronts[1]);
    let list = fronts.join(",");
    let args = [
        "bench", &list, "twice", "1", "--rate", "2000", "-d", "4s", "--json",
    ];
    let bench = |idempotent: &[&str]| {
        let mut command = fleet.home.command(&[&args[..], idempotent].concat());
        let command = command.stdout(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let load = bench(&["--idempotent"]);
    sleep(Duration::from_millis(2_500));
    fleet.orchestrator.signal(Signal::SIGKILL);
    let output = load.wait_with_output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let (results, errors) = (&document["results"], &document["errors"]);
    assert!(errors.as_object().unwrap().is_empty(), "{errors}");
    assert!(results.as_u64() > Some(7_000), "{results}");
}
