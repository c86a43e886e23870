//! Commands whose output goes nowhere: a full disk, a reader that has gone, streams that are closed.
//!
//! Setup: a node as a process, and each command with its stdout at /dev/full, or at a pipe without a reader.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use std::fs::File;
use std::io::pipe;
use std::process::{Command, Stdio};
use support::process::{Home, Served, free_port, stderr, stdout};

/// Every command that prints a result.
fn commands(address: &str) -> Vec<Vec<&str>> {
    let bench = ["bench", address, "echo", "-n", "50", "--warm-up", "0s"];
    vec![
        vec!["call", address, "echo", "[1]"],
        vec!["functions", address],
        vec!["functions", address, "--json"],
        vec!["top", address, "--once"],
        vec!["top", address, "--once", "--json"],
        bench.to_vec(),
        [&bench[..], &["--json"]].concat(),
        vec!["check", "script.js"],
        vec!["check", "script.js", "--json"],
        vec!["config", "node", "-s", "script.js"],
        vec!["config", "--json", "node", "-s", "script.js"],
        vec!["config", "--template", "node"],
        vec!["config", "node", "--help"],
        vec!["completions", "bash"],
        vec!["tls", "show", "issued/client"],
        vec!["tls", "show", "issued/client", "--json"],
        vec!["--help"],
        vec!["--version"],
        vec!["call", "--help"],
        vec!["tls", "issue", "--help"],
    ]
}

fn home() -> (Home, Served, String) {
    let home = Home::new();
    for args in [
        &["tls", "init", "ca"][..],
        &[
            "tls", "issue", "client", "me", "--ca", "ca", "--out", "issued",
        ],
    ] {
        assert!(home.run(args).status.success());
    }
    let port = free_port();
    let node = home.node(port);
    (home, node, format!("127.0.0.1:{port}"))
}

#[test]
fn a_result_that_cannot_be_written_is_one_line_and_a_failure() {
    let (home, _node, address) = home();
    for args in commands(&address) {
        let mut command = home.command(&args);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        assert!(
            said.starts_with("madrpc: error: stdout: cannot be written: "),
            "{said}"
        );
    }
}

#[test]
fn a_reader_that_has_gone_has_seen_enough() {
    let (home, _node, address) = home();
    for args in commands(&address) {
        let mut command = home.command(&args);
        let (reader, end) = pipe().unwrap();
        drop(reader);
        let output = command.stdout(end).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{args:?}: {}",
            stderr(&output)
        );
        assert_eq!(stderr(&output), "", "{args:?}");
    }
}

#[test]
fn a_failure_that_cannot_be_told_has_its_code_all_the_same() {
    let (home, _node, address) = home();
    for (args, code) in [
        (vec!["call", &address, "fail"], 3),
        (vec!["call", &address, "missing"], 4),
        (vec!["call", "--nonsense"], 2),
        (vec!["node", "-s", "missing.js"], 78),
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let status = home.command(&args).stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(code), "{args:?}");
        let (reader, end) = pipe().unwrap();
        drop(reader);
        let status = home.command(&args).stderr(end).status().unwrap();
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn a_server_without_streams_serves() {
    let home = Home::new();
    let address = format!("127.0.0.1:{}", free_port());
    let line = format!(
        "exec {} node -s script.js -b {address} --shards 1 <&- >&- 2>&-",
        env!("CARGO_BIN_EXE_madrpc")
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &line])
        .current_dir(home.dir.path())
        .env("MADRPC_TLS_DIR", home.path("tls"));
    let mut node = Served::watch(command.spawn().unwrap());
    support::eventually("it answers", || {
        stdout(&home.call(&[&address, "add", "[1, 2]"])) == "3\n"
    });
    // Its log must not have gone into a socket or a ring that took the descriptor's number.
    node.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(node.end().code(), Some(0));
}
