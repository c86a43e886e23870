//! A kernel that refuses timers: lanes lose the core only where the engine asks, the start says so, and the node works.
//!
//! Setup: the command runs under a seccomp filter by which the kernel refuses `timer_create`, and allows everything else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use std::io;
use std::os::unix::process::CommandExt;
use support::process::{Home, Served, free_port, stderr, stdout};
use support::seccomp::{CALL_AT, answer, install, load, unless};

/// What the start says of it.
const WARNING: &str = "calls lose the core only where the engine asks, as with --preempt polling: ";

/// From now on there are no timers of one's own for this process.
fn refuse_timers() -> io::Result<()> {
    install(&[
        load(CALL_AT),
        unless(libc::SYS_timer_create as u32, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ])
}

#[test]
fn without_timers_a_node_works_by_polling_and_says_so() {
    let home = Home::new();
    for is_refused in [true, false] {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command =
            home.command(&["node", "-s", "script.js", "-b", &address, "--shards", "1"]);
        if is_refused {
            // SAFETY: between fork and exec it makes two system calls and allocates nothing.
            unsafe { command.pre_exec(refuse_timers) };
        }
        let mut node = Served::start(&mut command);
        node.wait_for("ready");
        assert_eq!(node.seen.contains(WARNING), is_refused, "{}", node.seen);
        let spinning = home.run(&["call", &address, "spin", "null", "--timeout", "300ms"]);
        assert!(
            stderr(&spinning).contains("DeadlineExceeded"),
            "{}",
            stderr(&spinning)
        );
        assert_eq!(
            stdout(&home.run(&["call", &address, "add", "[1, 2]"])),
            "3\n"
        );
    }
}
