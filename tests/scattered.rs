//! What QUIC keeps for a session counts, and is bounded: the command's allocator says how much that is.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod support;

use madrpc_abuse::fleet::Fleet;
use madrpc_abuse::{Amount, Field, attack};
use std::time::Duration;
use support::process::{Home, Served, free_port};

/// Resident bytes of a process.
fn resident_bytes(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// A byte that comes beside no other takes a hundred of them: a window of 512 KiB, full of such, took 35 MB, and nobody counted it.
#[test]
fn pieces_that_nothing_can_be_read_of_take_little() {
    let (home, fleet) = (Home::new(), Fleet::new().unwrap());
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = home.command(&["node", "-s", "script.js", "-b", &address, "--shards", "1"]);
    let mut node = Served::start(command.env("MADRPC_TLS_DIR", fleet.tls_dir()));
    node.wait_for("ready");
    let target = address.parse().unwrap();
    let before = resident_bytes(node.child.id());
    let field = Field {
        target,
        nodes: &[target],
        fleet: &fleet,
        watched: None,
        bad_node: None,
        amount: Amount {
            count: 1_500_000,
            per_second: None,
            time: Duration::from_secs(20),
        },
    };
    let outcome = (attack("bytes-scattered").unwrap().run)(&field).unwrap();
    let more = resident_bytes(node.child.id()).saturating_sub(before) >> 20;
    assert!(more < 60, "{more} MiB for {outcome:?}");
}
