//! A caller with ten thousand calls in flight does not starve one with a single call: at a node, and through an orchestrator, to
//! whose node all callers come by one session.
//!
//! Setup: real processes, a node of one shard whose function keeps the core for 5 ms, and callers with certificates of their own.
//! What the one gets is told beside what it gets alone, in the same run.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use serde_json::Value;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::process::{Home, Served, free_port};

/// A certificate of its own for each of these callers.
fn callers(home: &Home, names: &[&str]) {
    assert!(home.run(&["tls", "init", "ca"]).status.success());
    for (role, name) in [("node", "node"), ("orchestrator", "orchestrator")] {
        issue(home, role, name);
    }
    for name in names {
        issue(home, "client", name);
    }
}

fn issue(home: &Home, role: &str, name: &str) {
    let issued = home.run(&["tls", "issue", role, name, "--ca", "ca", "--out", name]);
    assert!(issued.status.success(), "{issued:?}");
}

fn command(home: &Home, role: &str, name: &str, args: &[&str]) -> Command {
    let mut command = home.command(args);
    command.env("MADRPC_TLS_DIR", home.path(name).join(role));
    command
}

fn serve(home: &Home, role: &str, args: &[&str]) -> Served {
    let mut served = Served::start(&mut command(home, role, role, args));
    served.wait_for("ready");
    served
}

fn bench(home: &Home, name: &str, address: &str, args: &[&str]) -> Child {
    let args = [&["bench", address, "work", "5", "--json"], args].concat();
    let mut command = command(home, "client", name, &args);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Calls with a result in a second, the 99th percentile of their latency in microseconds, and the errors.
fn figures(child: Child) -> (f64, u64, Value) {
    let output = child.wait_with_output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = document["results"].as_u64().unwrap();
    let seconds = document["elapsed_s"].as_f64().unwrap();
    let p99 = document["service_us"]["p99"].as_u64().unwrap();
    (results as f64 / seconds, p99, document["errors"].clone())
}

/// What one caller gets with one call in flight, alone and beside one with ten thousand.
fn one_beside_many(home: &Home, address: &str) {
    let one = || {
        bench(
            home,
            "one",
            address,
            &["-c", "1", "-d", "3s", "--warm-up", "0s"],
        )
    };
    let (alone, alone_p99, errors) = figures(one());
    assert_eq!(errors, serde_json::json!({}));
    // Those that are left at the end are not waited for.
    let many = [
        "-c",
        "10000",
        "-d",
        "5s",
        "--warm-up",
        "0s",
        "--timeout",
        "6s",
    ];
    let many = bench(home, "many", address, &many);
    std::thread::sleep(Duration::from_secs(1));
    let (beside, beside_p99, errors) = figures(one());
    let (_, _, errors_of_many) = figures(many);
    // Past the harness: the figures are of interest whether it is enough or not.
    let _ = writeln!(
        std::io::stderr(),
        "alone {alone:.0}/s, p99 {alone_p99} us; beside 10,000 calls {beside:.0}/s, p99 {beside_p99} us; errors of those: {errors_of_many}"
    );
    assert_eq!(errors, serde_json::json!({}));
    // Half of the core is its part, and a slice of the other's may come before each of its own.
    assert!(beside * 5.0 > alone, "{beside} of {alone} calls a second");
    assert!(
        beside_p99 < 10 * alone_p99.max(6_000),
        "{beside_p99} of {alone_p99} us"
    );
}

#[test]
fn one_call_is_not_starved_by_ten_thousand_of_another_caller() {
    let home = Home::new();
    callers(&home, &["one", "many"]);
    let [direct, front] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let script = ["node", "-s", "script.js", "-b", &direct, "--shards", "1"];
    let queue = ["--queue-limit", "20000"];
    let _node = serve(&home, "node", &[&script[..], &queue].concat());
    let orchestrator = ["orchestrator", "-b", &front, "-n", &direct, "--shards", "1"];
    let _orchestrator = serve(&home, "orchestrator", &orchestrator);
    one_beside_many(&home, &direct);
    one_beside_many(&home, &front);
}
