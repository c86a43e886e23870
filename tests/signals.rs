//! Signals at every stage of a server's life, and a port that its predecessor has just left.
//!
//! Setup: real processes and real signals; a script that takes its time to load is the stage between start and ready.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use nix::sys::signal::Signal;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use support::process::{Home, Served, free_port, refused, stderr, stdout};

/// Loads for so long, and says when it begins to.
fn slow(ms: u32) -> String {
    format!(
        "console.log('loading'); const end = Date.now() + {ms}; while (Date.now() < end) {{}}
         madrpc.register('add', ([a, b]) => a + b);
         madrpc.register('sleep', (ms) => new Promise((wake) => setTimeout(wake, ms, 'woken')));"
    )
}

fn node(home: &Home, address: &str) -> Served {
    let args = [
        "node",
        "-s",
        "script.js",
        "-b",
        address,
        "--shards",
        "1",
        "--pool-size",
        "1",
    ];
    Served::start(&mut home.command(&args))
}

#[test]
fn a_server_that_is_not_ready_ends_at_once_and_in_order() {
    let home = Home::new();
    home.write("script.js", &slow(20_000));
    for (signal, name) in [(Signal::SIGTERM, "SIGTERM"), (Signal::SIGINT, "SIGINT")] {
        let address = format!("127.0.0.1:{}", free_port());
        let dev = Served::start(&mut home.command(&["dev", "script.js"]));
        for mut server in [node(&home, &address), dev] {
            server.wait_for("loading");
            let begun = Instant::now();
            server.signal(signal);
            assert_eq!(server.end().code(), Some(0));
            assert!(
                begun.elapsed() < Duration::from_secs(3),
                "{:?}",
                begun.elapsed()
            );
            server.wait_for(&format!("madrpc: {name}: ended before it was ready"));
        }
    }
    // An orchestrator has no script to wait for; it is a signal in its first moments that must not kill it.
    let mut orchestrator =
        home.command(&["orchestrator", "-b", "127.0.0.1:0", "-n", "127.0.0.1:1"]);
    for ms in [20, 30, 50, 80] {
        let mut orchestrator = Served::start(&mut orchestrator);
        std::thread::sleep(Duration::from_millis(ms));
        orchestrator.signal(Signal::SIGTERM);
        assert_eq!(orchestrator.end().code(), Some(0), "after {ms} ms");
    }
}

#[test]
fn what_is_to_be_read_anew_before_it_is_ready_is_read_once_it_is() {
    let home = Home::new();
    home.write("script.js", &slow(500));
    let address = format!("127.0.0.1:{}", free_port());
    let mut node = node(&home, &address);
    node.wait_for("loading");
    home.write(
        "script.js",
        &format!("{} madrpc.register('late', () => 1);", slow(0)),
    );
    // All of them are one wish.
    for _ in 0..20 {
        node.signal(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(5));
    }
    node.wait_for("reloaded: functions: add, sleep, late");
    let ready = node.seen.find("madrpc: ready").unwrap();
    assert!(ready < node.seen.find("madrpc: reloaded").unwrap());
    assert_eq!(stdout(&home.call(&[&address, "late"])), "1\n");
    node.signal(Signal::SIGTERM);
    node.wait_for("all calls have ended");
    let reloads = node.seen.matches("madrpc: reloaded").count();
    assert!(reloads <= 2, "{reloads}");
}

#[test]
fn a_signal_to_end_does_not_wait_for_a_script_that_loads_anew() {
    let home = Home::new();
    home.write("script.js", &slow(0));
    let address = format!("127.0.0.1:{}", free_port());
    let mut node = node(&home, &address);
    node.wait_for("ready");
    home.write("script.js", &slow(20_000));
    node.seen.clear();
    node.signal(Signal::SIGHUP);
    node.wait_for("loading");
    // Calls go on meanwhile.
    assert_eq!(stdout(&home.call(&[&address, "add", "[1, 2]"])), "3\n");
    let begun = Instant::now();
    node.signal(Signal::SIGTERM);
    assert_eq!(node.end().code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_draining_server_reads_nothing_anew() {
    let home = Home::new();
    home.write("script.js", &slow(0));
    let address = format!("127.0.0.1:{}", free_port());
    let mut node = node(&home, &address);
    node.wait_for("ready");
    let mut call = Served::start(&mut home.command(&["call", &address, "sleep", "1500"]));
    std::thread::sleep(Duration::from_millis(500));
    // Twice, as timeout(1) does, and as a terminal and a supervisor do: it is one wish.
    node.signal(Signal::SIGTERM);
    node.signal(Signal::SIGINT);
    node.wait_for("taking no new calls");
    for _ in 0..5 {
        node.signal(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(20));
    }
    call.wait_for("woken");
    assert_eq!(node.end().code(), Some(0));
    node.wait_for("all calls have ended");
    assert!(!node.seen.contains("reloaded"), "{}", node.seen);
}

#[test]
fn a_server_that_only_checks_dies_of_a_signal_as_any_command_does() {
    let home = Home::new();
    home.write("script.js", &slow(20_000));
    let mut check = Served::start(&mut home.command(&["node", "-s", "script.js", "--check"]));
    check.wait_for("loading");
    check.signal(Signal::SIGTERM);
    // By the signal: whoever waits for the check must not take it for passed.
    assert_eq!(check.end().code(), None);
}

#[test]
fn a_server_takes_the_place_of_one_that_was_killed() {
    let home = Home::new();
    let port = free_port();
    for _ in 0..5 {
        let mut node = home.node(port);
        node.child.kill().unwrap();
        node.child.wait().unwrap();
    }
    home.node(port);
}

#[test]
fn a_port_that_stays_taken_is_not_waited_for_any_longer() {
    let home = Home::new();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let begun = Instant::now();
    let output = home.run(&["node", "-s", "script.js", "-b", &address]);
    refused(&output, 78, &["in use", &address]);
    let took = begun.elapsed();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(8)).contains(&took),
        "{took:?}"
    );
    // Whoever waits for it can be told to end.
    let mut waiting = node(&home, &address);
    std::thread::sleep(Duration::from_millis(500));
    waiting.signal(Signal::SIGTERM);
    assert_eq!(waiting.end().code(), Some(0), "{}", stderr(&output));
}
