//! A call that ends the process of every node that it runs on, in a fleet of five: it meets two of them at the most.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use support::eventually;
use support::fleet::RealFleet;
use support::process::stderr;

/// The test kills who says that it is poisoned.
const SCRIPT: &str = "const poison = () => { console.log('poisoned'); for (;;); };
madrpc.register('poison', poison, { idempotent: true, cpuMs: 20_000 });
madrpc.register('poison_once', poison, { cpuMs: 20_000 });
madrpc.register('once', (x) => x);";

/// Nodes that a call of this function has ended.
fn ended_by(fleet: &mut RealFleet, function: &str) -> usize {
    let args = ["call", &fleet.front, function, "--timeout", "20s"];
    let mut call = fleet.home.command(&args);
    let mut call = call.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(15);
    let mut ended = 0;
    while call.try_wait().unwrap().is_none() && Instant::now() < until {
        for node in &mut fleet.nodes {
            if node.says("poisoned", Duration::from_millis(20)).is_ok() {
                node.signal(Signal::SIGKILL);
                node.seen.clear();
                ended += 1;
            }
        }
    }
    let output = call.wait_with_output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains("Unavailable"), "{told}");
    ended
}

#[test]
fn a_poison_call_leaves_three_of_five_nodes() {
    let mut fleet = RealFleet::start(5);
    fleet.home.write("fleet.js", SCRIPT);
    for port in &fleet.ports {
        let node = format!("127.0.0.1:{port}");
        assert!(fleet.home.run(&["reload", &node]).status.success());
    }
    eventually("all have the function", || {
        let told = fleet.home.run(&["functions", &fleet.front]);
        let told = support::process::stdout(&told);
        let line = told.lines().find(|line| line.starts_with("poison "));
        line.is_some_and(|line| {
            fleet
                .ports
                .iter()
                .all(|port| line.contains(&port.to_string()))
        })
    });
    assert_eq!(ended_by(&mut fleet, "poison"), 2);
    assert_eq!(ended_by(&mut fleet, "poison_once"), 1);
    for _ in 0..10 {
        assert!(
            fleet
                .home
                .call(&[&fleet.front, "once", "1"])
                .status
                .success()
        );
    }
}
