//! Servers that are called by name may go to another address, and be several. Real name resolution, with an /etc/hosts of the
//! process's own.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "support/mod.rs"]
mod support;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use support::eventually;
use support::process::{Home, Served, free_port, stdout};

/// Whether a process here may have mounts of its own.
fn may_mount() -> bool {
    let tried = Command::new("unshare")
        .args(["--map-root-user", "--mount", "true"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// The command with these arguments, for which this file says whose names are whose.
fn command_with(home: &Home, hosts: &Path, args: &str) -> Command {
    let line = format!(
        "mount --bind {} /etc/hosts && exec {} {args}",
        hosts.display(),
        env!("CARGO_BIN_EXE_madrpc"),
    );
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", &line])
        .env("MADRPC_TLS_DIR", home.path("tls"))
        .stdin(Stdio::null());
    command
}

fn node(home: &Home, ip: &str, port: u16) -> Served {
    let bind = format!("{ip}:{port}");
    let script = ["-s", "script.js", "--shards", "1", "--pool-size", "1"];
    home.serve(&[&["node", "-b", &bind], &script[..]].concat())
}

#[test]
fn a_caller_finds_a_server_that_has_moved() {
    if !may_mount() {
        println!("skipped: no mount namespaces here (unshare --map-root-user --mount)");
        return;
    }
    let home = Home::new();
    let port = free_port();
    let hosts = home.write("hosts", "127.0.0.1 fleet.test\n");
    let [first, _second] = ["127.0.0.1", "127.0.0.2"].map(|ip| node(&home, ip, port));
    let args = format!("bench fleet.test:{port} echo 1 --rate 100 --warm-up 0s -d 8s --json");
    let mut command = command_with(&home, &hosts, &args);
    let callers = command.stdout(Stdio::piped()).spawn().unwrap();
    sleep(Duration::from_secs(2));
    std::fs::write(&hosts, "127.0.0.2 fleet.test\n").unwrap();
    drop(first);
    let output = callers.wait_with_output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let places = document["places"].to_string();
    for ip in ["127.0.0.1", "127.0.0.2"] {
        assert!(places.contains(&format!("{ip}:{port}")), "{document}");
    }
}

#[test]
fn a_name_is_resolved_again_when_none_of_its_addresses_answers() {
    if !may_mount() {
        println!("skipped: no mount namespaces here (unshare --map-root-user --mount)");
        return;
    }
    let home = Home::new();
    let (port, front) = (free_port(), free_port());
    let hosts = home.write("hosts", "127.0.0.1 fleet.test\n");
    let first = node(&home, "127.0.0.1", port);
    let args = format!("orchestrator -b 127.0.0.1:{front} -n fleet.test:{port} --shards 1");
    let mut command = command_with(&home, &hosts, &args);
    let mut orchestrator = Served::start(&mut command);
    orchestrator.wait_for("ready");
    let front = format!("127.0.0.1:{front}");
    let is_answered = || stdout(&home.call(&[&front, "add", "[1,2]"])).trim() == "3";
    eventually("the node is called by its name", is_answered);

    drop(first);
    let _second = node(&home, "127.0.0.2", port);
    // In place: the file is mounted.
    std::fs::write(&hosts, "127.0.0.2 fleet.test\n").unwrap();
    eventually("the node is found at its other address", is_answered);
    orchestrator.wait_for(&format!("node 127.0.0.2:{port} is there"));
    orchestrator.wait_for(&format!("node 127.0.0.1:{port} is there no more"));

    let _third = node(&home, "127.0.0.3", port);
    std::fs::write(&hosts, "127.0.0.2 fleet.test\n127.0.0.3 fleet.test\n").unwrap();
    eventually("both of its addresses are nodes", || {
        let listed = stdout(&home.run(&["functions", &front]));
        ["127.0.0.2", "127.0.0.3"]
            .iter()
            .all(|ip| listed.contains(*ip))
    });
    std::fs::write(&hosts, "127.0.0.1 other.test\n").unwrap();
    orchestrator.wait_for("cannot be resolved");
    orchestrator.wait_for("; the 2 that it named before stay");
    assert!(is_answered());
}
