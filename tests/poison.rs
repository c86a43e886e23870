//! A call that ends the process of every node that it runs on, in a fleet of five: it meets two of them at the most.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::eventually;
use support::fleet::RealFleet;
use support::process::{Home, free_port, stderr, stdout};

/// The test kills who says that it is poisoned.
const SCRIPT: &str = "const poison = () => { console.log('poisoned'); for (;;); };
madrpc.register('poison', poison, { idempotent: true, cpuMs: 20_000 });
madrpc.register('poison_once', poison, { cpuMs: 20_000 });
madrpc.register('parent', () => madrpc.call('poison'), { idempotent: true });
madrpc.register('stubborn_parent', async () => {
  for (let left = 3; ; left--) {
    try { return await madrpc.call('poison'); } catch (error) { if (left === 0) throw error; }
  }
}, { idempotent: true });
madrpc.register('once', (x) => x);";

/// Kills each node that says it is poisoned, until the command has ended; gives how many those are, and the command's outcome.
fn ended_by(fleet: &mut RealFleet, mut command: Command) -> (usize, Output) {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut command = command.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let mut ended = 0;
    while command.try_wait().unwrap().is_none() && Instant::now() < until {
        for node in &mut fleet.nodes {
            if node.says("poisoned", Duration::from_millis(20)).is_ok() {
                node.signal(Signal::SIGKILL);
                node.seen.clear();
                ended += 1;
            }
        }
    }
    let output = command.wait_with_output().unwrap();
    (ended, output)
}

/// Nodes that a call of this function has ended.
fn ended_by_call(fleet: &mut RealFleet, function: &str) -> usize {
    let args = ["call", &fleet.front, function, "--timeout", "40s"];
    let command = fleet.home.command(&args);
    let (ended, output) = ended_by(fleet, command);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains("Unavailable"), "{told}");
    ended
}

/// Five nodes that have the functions of [`SCRIPT`], and whose calls of calls go through the orchestrator.
fn poisoned_fleet() -> RealFleet {
    fleet_of(&[SCRIPT; 5], "1", &[])
}

/// Nodes with these scripts and so many shards, whose calls of calls go through an orchestrator with these flags.
fn fleet_of(scripts: &[&str], shards: &str, flags: &[&str]) -> RealFleet {
    let home = Home::new();
    let front = format!("127.0.0.1:{}", free_port());
    let args = ["orchestrator", "-b", &front, "--shards", "1"];
    let orchestrator = home.serve(&[&args[..], flags].concat());
    let ports: Vec<u16> = scripts.iter().map(|_| free_port()).collect();
    let node = |(script, port): (&&str, &u16)| {
        let (name, bind) = (format!("{port}.js"), format!("127.0.0.1:{port}"));
        home.write(&name, script);
        let args = ["node", "-s", &name, "-b", &bind, "--shards", shards];
        home.serve(&[&args[..], &["--orchestrator", &front]].concat())
    };
    let nodes = scripts.iter().zip(&ports).map(node).collect();
    let fleet = RealFleet {
        orchestrator,
        nodes,
        ports,
        front,
        home,
    };
    eventually("all have said what they have", || {
        let told = fleet.home.run(&["functions", &fleet.front]);
        let told = stdout(&told);
        let mut ports = fleet.ports.iter();
        ports.all(|port| told.contains(&port.to_string()))
    });
    fleet
}

fn still_serves(fleet: &RealFleet) {
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

#[test]
fn a_poison_call_leaves_three_of_five_nodes() {
    let mut fleet = poisoned_fleet();
    assert_eq!(ended_by_call(&mut fleet, "poison"), 2);
    assert_eq!(ended_by_call(&mut fleet, "poison_once"), 1);
    still_serves(&fleet);
}

/// A command that makes calls again on its own makes none that has ended two nodes.
#[test]
fn a_poisoned_line_of_a_map_leaves_three_of_five_nodes() {
    let mut fleet = poisoned_fleet();
    let lines = fleet.home.write("lines", "1\n");
    let args = ["map", &fleet.front, "poison", "--keep-going"];
    let mut command = fleet.home.command(&args);
    command.stdin(std::fs::File::open(lines).unwrap());
    let (ended, output) = ended_by(&mut fleet, command);
    let told = stderr(&output);
    assert!(told.contains("line 1: Unavailable"), "{told}");
    assert_eq!((ended, output.status.code()), (2, Some(6)), "{told}");
    still_serves(&fleet);
}

/// A call that may run twice makes one that may and is poison: neither the tries of the one nor those of the other begin anew. Of
/// a node with two shards the one call may be on the one and the other on the other.
#[test]
fn a_poisoned_call_of_a_call_leaves_three_of_five_nodes() {
    let cases = ["1", "2"].map(|shards| [("parent", shards), ("stubborn_parent", shards)]);
    for (function, shards) in cases.into_iter().flatten() {
        let mut fleet = fleet_of(&[SCRIPT; 5], shards, &[]);
        let args = ["call", &fleet.front, function, "--timeout", "40s"];
        let command = fleet.home.command(&args);
        let (ended, output) = ended_by(&mut fleet, command);
        let told = stderr(&output);
        assert!(!output.status.success(), "{told}");
        assert!(
            (1..=2).contains(&ended),
            "{function}, {shards} shards: {ended}: {told}"
        );
        still_serves(&fleet);
    }
}

/// It spins until `--try-timeout` has it put on another node, and then makes calls in turn, of which some end the nodes they run on.
const DRIVER: &str = "madrpc.register('driver', async (names) => {
  const until = Date.now() + 700;
  while (Date.now() < until);
  const told = [];
  for (const name of names) {
    try { told.push(await madrpc.call(name, told.length)); } catch (error) { told.push(error.message); }
  }
  return told;
}, { idempotent: true, cpuMs: 20_000 });";

/// A call that was put on another node has lost none, and what ends nodes is refused, not what does not.
#[test]
fn a_driver_that_meets_two_losses_goes_on_with_what_has_lost_none() {
    let mut fleet = fleet_of(
        &[DRIVER, DRIVER, SCRIPT, SCRIPT, SCRIPT, SCRIPT],
        "1",
        &["--try-timeout", "300ms"],
    );
    let names = r#"["poison_once","once","poison_once","once","poison_once","once"]"#;
    let args = ["call", &fleet.front, "driver", names, "--timeout", "40s"];
    let command = fleet.home.command(&args);
    let (ended, output) = ended_by(&mut fleet, command);
    let (told, error) = (stdout(&output), stderr(&output));
    assert!(output.status.success(), "{error}");
    assert_eq!(ended, 2, "{told}");
    let told: Vec<serde_json::Value> = serde_json::from_str(&told).unwrap();
    for (at, one) in told.iter().enumerate() {
        let text = one.as_str().unwrap_or_default();
        match at {
            1 | 3 | 5 => assert_eq!(*one, at, "{told:?}"),
            4 => assert!(text.contains("2 nodes were lost"), "{told:?}"),
            _ => assert!(!text.contains("nodes were lost"), "{told:?}"),
        }
    }
}
