//! The example as it is run: a process of its own, with a cluster in it and a certificate authority made for it.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute, and this has helpers"
)]

use std::process::{Command, Output};

fn simple_test(args: &[&str]) -> Output {
    let state = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_simple-test"))
        .args(args)
        .env("MADRPC_TLS_DIR", state.path())
        .output()
        .unwrap()
}

#[test]
fn every_check_passes_on_its_own_cluster() {
    let output = simple_test(&[]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}");
    assert!(stdout.lines().count() > 30, "{stdout}");
    assert!(stdout.ends_with(" checks, 0 failed\n"), "{stdout}");
}

#[test]
fn checks_that_reach_nobody_fail_one_by_one() {
    // Port 9 is discard; nothing of ours listens there.
    let output = simple_test(&["--orchestrator", "127.0.0.1:9"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(
        stdout.contains("\nFAILED  add 2 and 40: expected 42, got Unavailable: "),
        "{stdout}"
    );
}

#[test]
fn an_address_that_is_none_is_one_line() {
    let output = simple_test(&["--orchestrator", "nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.starts_with("simple-test: address `nowhere`: "),
        "{stderr}"
    );
}
