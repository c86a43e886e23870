//! The example as it is run: a process of its own, with a cluster in it and a certificate authority made for it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows tests only by their attribute, and this has helpers"
)]

use std::process::{Command, Output};

fn monte_carlo_pi(args: &[&str]) -> Output {
    let state = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_monte-carlo-pi"))
        .args(args)
        .env("MADRPC_TLS_DIR", state.path())
        .output()
        .unwrap()
}

/// The line of `output` that begins with `name`, without it.
fn line<'a>(output: &'a str, name: &str) -> &'a str {
    let found = output
        .lines()
        .find_map(|line| line.trim().strip_prefix(name));
    found
        .map(str::trim)
        .unwrap_or_else(|| panic!("no line {name} in {output}"))
}

#[test]
fn a_run_repeats_to_the_last_digit() {
    let common = ["--samples", "1000003", "--tasks", "77", "--seed", "5"];
    let run = |more: &[&str]| {
        let output = monte_carlo_pi(&[&common, more].concat());
        assert!(output.status.success(), "{output:?}");
        // No terminal, no progress bar.
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let one = run(&["--nodes", "1", "--concurrency", "1"]);
    let two = run(&["--nodes", "2", "--concurrency", "50"]);
    // What these arguments give on every machine; a change here changes every result that anyone has published.
    assert_eq!(
        line(&one, "samples "),
        "786,077 inside of 1,000,003, seed 5"
    );
    assert_eq!(line(&one, "samples "), line(&two, "samples "));
    assert_eq!(line(&one, "pi "), line(&two, "pi "));
    let error: f64 = line(&one, "error ")
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(error.abs() < 0.005, "{one}");
    let rows = |output: &str| {
        output
            .lines()
            .filter(|line| line.starts_with("127.0.0.1:"))
            .count()
    };
    assert!(rows(&one) >= 1 && rows(&two) >= 2, "{one}\n{two}");
    let small_calls = two.split("small calls").nth(1).unwrap();
    let per_second: u64 = line(small_calls, "calls/s ")
        .replace(',', "")
        .parse()
        .unwrap();
    assert!(per_second > 0, "{two}");
}

#[test]
fn nobody_to_call_is_one_line() {
    // Port 9 is discard; nothing of ours listens there.
    for (address, says) in [("127.0.0.1:9", "Unavailable"), ("nowhere", "HOST:PORT")] {
        let output = monte_carlo_pi(&["--orchestrator", address]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty(), "{output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(
            stderr.starts_with("monte-carlo-pi: ") && stderr.contains(says),
            "{stderr}"
        );
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for args in [
        ["--samples", "0"],
        ["--tasks", "0"],
        ["--tasks", "2097153"],
        ["--concurrency", "0"],
        ["--seed", "-1"],
        ["--samples", "9007199254740992"],
    ] {
        assert_eq!(monte_carlo_pi(&args).status.code(), Some(2), "{args:?}");
    }
    let output = monte_carlo_pi(&["--nodes", "0"]);
    assert_eq!(output.status.code(), Some(1));
}
