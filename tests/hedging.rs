//! Second nodes: asked as well for calls that take long (`--hedge`), or in the place of one that does not answer (`--try-timeout`).
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "support/mod.rs"]
mod support;

use std::thread::sleep;
use std::time::Duration;
use support::eventually;
use support::fleet::{Outcome, load_at};
use support::process::{Home, Served, free_port};

/// One call in fifty takes a third of a second, at whichever node it is.
const SOMETIMES_SLOW: &str =
    "const slow = () => Math.random() < 0.02 ? new Promise((done) => setTimeout(done, 300)) : 0;
madrpc.register('twice', slow, { idempotent: true });
madrpc.register('once', slow);";

const NEVER: &str = "const late = () => new Promise((done) => setTimeout(done, 60_000));
madrpc.register('twice', late, { idempotent: true });
madrpc.register('once', late);";

const FINE: &str = "madrpc.register('twice', (x) => x, { idempotent: true });
madrpc.register('once', (x) => x);";

/// Nodes with these scripts, behind an orchestrator with these flags.
fn fleet(scripts: &[&str], flags: &[&str]) -> (Home, String, Vec<Served>) {
    let home = Home::new();
    let front = format!("127.0.0.1:{}", free_port());
    let args = [&["orchestrator", "-b", &front, "--shards", "1"], flags].concat();
    let mut servers = vec![home.serve(&args)];
    for (number, script) in scripts.iter().enumerate() {
        let name = format!("{number}.js");
        home.write(&name, script);
        servers.push(home.serve(&[
            "node",
            "-s",
            &name,
            "-b",
            "127.0.0.1:0",
            "--shards",
            "1",
            "--orchestrator",
            &front,
        ]));
    }
    let count = scripts.len().to_string();
    eventually("all nodes are there", || {
        let told = home.run(&["top", &front, "--once"]);
        support::process::stdout(&told).contains(&format!("nodes: {count} of {count} up"))
    });
    (home, front, servers)
}

fn load(home: &Home, front: &str, function: &str, time: &str) -> Outcome {
    load_at(home, front, function, 400, time).end()
}

#[test]
fn a_second_node_is_asked_for_what_takes_long_and_the_slower_one_is_given_up() {
    let (home, front, _servers) = fleet(&[SOMETIMES_SLOW; 3], &["--hedge", "p90"]);
    // Until it is known what calls take.
    load(&home, &front, "twice", "1s");
    let hedged = load(&home, &front, "twice", "4s");
    let alone = load(&home, &front, "once", "4s");
    assert!(hedged.errors.is_empty() && alone.errors.is_empty());
    assert!(alone.p99_us > 250_000, "{alone:?}");
    assert!(hedged.p99_us < alone.p99_us / 3, "{hedged:?}");
    // The slower ones were given up: nothing is left of them at the nodes.
    eventually("no call is under way", || {
        let told = home.run(&["nodes", &front]);
        let told = support::process::stdout(&told);
        told.contains("calls under way: 0")
    });
}

#[test]
fn another_node_is_asked_in_the_place_of_one_that_does_not_answer() {
    let flags = ["--try-timeout", "200ms"];
    let (home, front, _servers) = fleet(&[NEVER, FINE, FINE], &flags);
    let outcome = load_at(&home, &front, "twice", 30, "3s").end();
    assert!(outcome.errors.is_empty(), "{outcome:?}");
    assert!(
        (190_000..1_000_000).contains(&outcome.max_us),
        "{outcome:?}"
    );
    // What may not run twice waits for its one node.
    sleep(Duration::from_millis(100));
    let waiting = |_: u32| {
        let output = home.call(&[&front, "once", "1", "--timeout", "1s"]);
        output.status.code() == Some(5)
    };
    assert_eq!((0..3).filter(|call| waiting(*call)).count(), 1);
}

/// Takes as many milliseconds as it is told.
const WAITS: &str = "madrpc.register('twice', (ms) => new Promise((done) => setTimeout(() => done(ms), ms)), { idempotent: true });";

/// The number that a gone node had among the orchestrator's is given to the next, who must not be taken for it.
#[test]
fn who_comes_after_a_second_node_has_gone_is_not_taken_for_it() {
    let (home, front, mut servers) = fleet(&[WAITS; 2], &["--hedge", "p50"]);
    load(&home, &front, "twice", "1s");
    let call = || {
        let args = ["call", &front, "twice", "9000", "--timeout", "20s"];
        let mut command = home.command(&args);
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let calls: Vec<_> = (0..6).map(|_| call()).collect();
    sleep(Duration::from_secs(1));
    servers
        .pop()
        .unwrap()
        .signal(nix::sys::signal::Signal::SIGKILL);
    eventually("it has left", || {
        let told = home.run(&["nodes", &front, "--json"]);
        let told = support::process::stdout(&told);
        told.matches("connected_shards").count() == 1
    });
    let args = [
        "node",
        "-s",
        "0.js",
        "-b",
        "127.0.0.1:0",
        "--shards",
        "2",
        "--orchestrator",
        &front,
    ];
    let _other = home.serve(&args);
    for mut call in calls {
        assert!(call.wait().unwrap().success());
    }
    assert!(home.call(&[&front, "twice", "1"]).status.success());
}

#[test]
fn percentiles_that_make_no_sense_are_refused() {
    let home = Home::new();
    for bad in ["95", "p100", "p20", "p", "high"] {
        let output = home.run(&["orchestrator", "--check", "--hedge", bad]);
        assert_eq!(output.status.code(), Some(2));
        let told = support::process::stderr(&output);
        assert!(
            told.contains("expected a percentile from p50 to p99"),
            "{told}"
        );
    }
}
