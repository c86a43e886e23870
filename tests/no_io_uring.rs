//! Who only calls needs neither io_uring nor locked memory, as in a container: commands and clients work without; who serves
//! needs both, and says so.
//!
//! Setup: a node with all it needs; callers under a seccomp filter by which the kernel refuses io_uring, with a word that
//! container runtimes use or with that of an old kernel, and under a limit of no locked memory at all.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_shard::client::Client;
use nix::sys::resource::{Resource, setrlimit};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use support::process::{Home, free_port, refused, stderr, stdout};
use support::seccomp::refuse_io_uring;

/// How a kernel refuses io_uring: a filter or a sysctl does by the first, one that is built without it by the second.
const REFUSALS: [i32; 2] = [libc::EPERM, libc::ENOSYS];

/// Where the test that is run again in a process of its own finds the node.
const NODE: &str = "MADRPC_TEST_NODE_WITHOUT_IO_URING";

/// From now on there is neither io_uring nor locked memory for this process.
fn confine(error: i32) -> io::Result<()> {
    setrlimit(Resource::RLIMIT_MEMLOCK, 0, 0)?;
    refuse_io_uring(error)
}

fn confined(mut command: Command, error: i32) -> Command {
    // SAFETY: between fork and exec it makes three system calls and allocates nothing.
    unsafe { command.pre_exec(move || confine(error)) };
    command
}

#[test]
fn commands_that_only_call_work_without() {
    let home = Home::new();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let _node = home.node(port);
    for error in REFUSALS {
        let run = |args: &[&str]| {
            let output = confined(home.command(args), error).output().unwrap();
            assert!(output.status.success(), "{args:?}: {}", stderr(&output));
            stdout(&output)
        };
        assert_eq!(run(&["call", &address, "add", "[1, 2]"]), "3\n");
        assert!(run(&["functions", &address]).contains("echo"));
        assert!(run(&["nodes", &address]).contains("is serving"));
        assert!(run(&["top", &address, "--once"]).contains("add"));
        for pace in [["--concurrency", "64"], ["--rate", "10000"]] {
            let bench = ["bench", &address, "echo", "1", "--count", "500", "--json"];
            let report = run(&[&bench[..], &pace].concat());
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            assert_eq!(report["results"], 500, "{report}");
        }
        run(&["drain", &address]);
        run(&["undrain", &address]);
        run(&["reload", &address]);
    }
}

#[test]
fn a_client_works_without() {
    if let Ok(node) = std::env::var(NODE) {
        let (error, address) = node.split_once(' ').unwrap();
        confine(error.parse().unwrap()).unwrap();
        let client = Client::connect(address).unwrap();
        for value in 0..100_u32 {
            let echoed: u32 = client.call_blocking("echo", &value).unwrap();
            assert_eq!(echoed, value);
        }
        // Sleeps longer than it looks, and by a timer.
        let done: String = client.call_blocking("work", &50).unwrap();
        assert_eq!(done, "done");
        return;
    }
    let home = Home::new();
    let port = free_port();
    let _node = home.node(port);
    for error in REFUSALS {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_client_works_without", "--nocapture"])
            .env("MADRPC_TLS_DIR", home.path("tls"))
            .env(NODE, format!("{error} 127.0.0.1:{port}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(stdout(&output).contains("1 passed"), "{output:?}");
    }
}

#[test]
fn who_serves_is_told_what_is_lacking() {
    let home = Home::new();
    let address = format!("127.0.0.1:{}", free_port());
    let servers = [
        vec!["node", "-s", "script.js", "-b", &address],
        vec!["orchestrator", "-b", &address, "-n", "127.0.0.1:9"],
        vec!["dev", "script.js"],
    ];
    for args in &servers {
        for (error, remedy) in REFUSALS
            .into_iter()
            .zip(["seccomp profile", "a kernel from"])
        {
            let mut command = home.command(args);
            // SAFETY: between fork and exec it makes two system calls and allocates nothing.
            unsafe { command.pre_exec(move || refuse_io_uring(error)) };
            let said = command.output().unwrap();
            refused(&said, 78, &["io_uring: the kernel refuses it", remedy]);
        }
        let said = confined(home.command(args), libc::EPERM).output().unwrap();
        refused(&said, 78, &["locked memory: the limit is 0 KiB"]);
    }
}
