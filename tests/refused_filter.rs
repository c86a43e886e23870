//! A kernel that refuses the filter: shards relay to each other, and say so; who insists on the kernel is refused.
//!
//! Setup: the command runs under a seccomp filter by which the kernel refuses `SO_ATTACH_REUSEPORT_CBPF`, as hardened
//! containers do, and allows everything else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use support::process::{Home, Served, free_port, refused, stdout};
use support::seccomp::{CALL_AT, THIRD_ARGUMENT_AT, answer, install, load, unless};

/// From now on the kernel refuses this process the filter, and all that it becomes.
fn refuse_steering() -> io::Result<()> {
    install(&[
        load(CALL_AT),
        unless(libc::SYS_setsockopt as u32, 3),
        load(THIRD_ARGUMENT_AT),
        unless(libc::SO_ATTACH_REUSEPORT_CBPF as u32, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ])
}

fn node(home: &Home, address: &str, steering: &str) -> Command {
    let mut command = home.command(&[
        "node",
        "-s",
        "script.js",
        "-b",
        address,
        "--shards",
        "2",
        "--steering",
        steering,
    ]);
    // SAFETY: between fork and exec it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(refuse_steering) };
    command
}

#[test]
fn where_the_kernel_refuses_shards_relay_and_who_insists_is_told() {
    let home = Home::new();
    let address = format!("127.0.0.1:{}", free_port());
    let insists = node(&home, &address, "kernel").output().unwrap();
    refused(
        &insists,
        78,
        &["the kernel refuses the filter", "--steering relay"],
    );

    let mut node = Served::start(&mut node(&home, &address, "auto"));
    node.wait_for("ready");
    assert!(node.seen.contains("the kernel refuses the filter"));
    assert!(node.seen.contains("relayed between shards"));
    // One session for each shard, and both from one port: half of the datagrams arrive at the wrong shard.
    let args = [
        "bench",
        &address,
        "echo",
        "1",
        "--count",
        "2000",
        "--connections",
        "2",
        "--json",
    ];
    let output = home.run(&args);
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["results"], 2000, "{report}");
    let output = home.run(&["top", &address, "--once", "--json"]);
    let seen: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(seen["steering"], "relay");
    let misrouted = seen["misrouted_datagrams"].as_u64().unwrap();
    assert!(misrouted > 0, "{seen}");
    assert_eq!(seen["relayed_datagrams"], misrouted);
}
