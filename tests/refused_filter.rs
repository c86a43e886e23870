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

/// `struct seccomp_data`: the number of the system call, and the low half of its third argument (little endian).
const CALL_AT: u32 = 0;
const THIRD_ARGUMENT_AT: u32 = 16 + 2 * 8;

/// From now on the kernel refuses this process the filter, and all that it becomes.
fn refuse_steering() -> io::Result<()> {
    let load = |at| (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let unless = |value: u32, skip| (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, skip, value);
    let answer = |with| (libc::BPF_RET | libc::BPF_K, 0, 0, with);
    let program = [
        load(CALL_AT),
        unless(libc::SYS_setsockopt as u32, 3),
        load(THIRD_ARGUMENT_AT),
        unless(libc::SO_ATTACH_REUSEPORT_CBPF as u32, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ]
    .map(|(code, jt, jf, k): (u32, u8, u8, u32)| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    });
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: it takes numbers only.
    let privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the kernel copies the program out of `filter`, whose pointer and length are those of `program`.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) };
    match (privileges, set) {
        (0, 0) => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
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
