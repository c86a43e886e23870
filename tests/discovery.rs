//! Nodes come and go while calls do, and the orchestrator is not restarted.

#[path = "support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::eventually;
use support::fleet::RealFleet;
use support::process::{Home, free_port, refused, stdout};

/// The nodes that have answered what can be called.
fn listed(fleet: &RealFleet) -> String {
    stdout(&fleet.home.run(&["functions", &fleet.front]))
}

#[test]
fn nodes_of_a_file_come_and_go_without_a_lost_call() {
    let mut fleet = RealFleet::start_by_file(2);
    let load = fleet.load("once", 2_000, "8s");
    sleep(Duration::from_millis(1_000));

    let new = fleet.add();
    let [first, second] = [0, 1].map(|number| format!("127.0.0.1:{}", fleet.ports[number]));
    let begun = Instant::now();
    fleet
        .home
        .write("nodes", &format!("{first}\n{second} # as before\n{new}\n"));
    eventually("the new node gets calls", || listed(&fleet).contains(&new));
    // A look, a handshake and the command itself.
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );

    fleet.home.write("nodes", &format!("{second}\n{new}\n"));
    eventually("the first node is there no more", || {
        !listed(&fleet).contains(&first)
    });
    fleet
        .orchestrator
        .wait_for(&format!("node {first} is there no more"));
    // It may be stopped now, and nobody notices.
    fleet.nodes[0].signal(Signal::SIGTERM);
    assert!(fleet.nodes[0].end().success());

    // What cannot be read takes nobody away.
    std::fs::remove_file(fleet.home.path("nodes")).unwrap();
    fleet.orchestrator.wait_for("nodes cannot be read");
    fleet.home.write("nodes", "\n");
    fleet
        .orchestrator
        .wait_for("nodes names no node; the 2 that it named before stay");
    fleet
        .home
        .write("nodes", &format!("{second}\nnonsense\n{new}\n{first}\n"));
    fleet.orchestrator.wait_for("nodes:2: address `nonsense`");
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 12_000,
        "{outcome:?}"
    );
    let said = &fleet.orchestrator.seen;
    assert_eq!(said.matches("nodes cannot be read").count(), 1, "{said}");
}

#[test]
fn an_orchestrator_may_begin_without_any() {
    let home = Home::new();
    let (port, front) = (free_port(), format!("127.0.0.1:{}", free_port()));
    let args = [
        "orchestrator",
        "-b",
        &front,
        "--shards",
        "1",
        "--discover",
        "file:nodes",
    ];
    let mut orchestrator = home.serve(&args);
    assert!(
        orchestrator
            .seen
            .contains("nodes: those that announce themselves"),
        "{}",
        orchestrator.seen
    );
    let output = home.call(&[&front, "add", "[1, 2]"]);
    refused(&output, 6, &["Unavailable", "no node is known"]);
    let _node = home.node(port);
    home.write("nodes", &format!("127.0.0.1:{port}"));
    eventually("a node is found", || {
        stdout(&home.call(&[&front, "add", "[1, 2]"])).trim() == "3"
    });
    orchestrator.wait_for(&format!("node 127.0.0.1:{port} is there"));
}

#[test]
fn orchestrators_among_the_nodes_are_told_of_once_and_disturb_nobody() {
    let home = Home::new();
    let [node, one, other] = [0; 3].map(|_| free_port());
    let _node = home.node(node);
    // Each has the other for a node, and one has itself.
    let start = |own: u16, others: &[u16]| {
        let front = format!("0.0.0.0:{own}");
        let nodes = others.iter().map(|port| format!("127.0.0.1:{port}"));
        let nodes: Vec<String> = nodes.collect();
        let mut args = vec!["orchestrator", "-b", &front, "--shards", "1"];
        args.extend(nodes.iter().flat_map(|node| ["-n", node]));
        home.serve(&args)
    };
    let mut first = start(one, &[node, one, other]);
    let mut second = start(other, &[node, one]);
    let itself = format!("node 127.0.0.1:{one} is this orchestrator itself, and gets no calls");
    first.wait_for(&itself);
    let no_node = "it has to be a `node.madrpc.internal`";
    for orchestrator in [&mut first, &mut second] {
        orchestrator.wait_for(no_node);
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        for port in [one, other] {
            let output = home.call(&[&format!("127.0.0.1:{port}"), "add", "[1, 2]"]);
            assert_eq!(stdout(&output).trim(), "3");
        }
    }
    first.signal(Signal::SIGTERM);
    first.wait_for("all calls have ended");
    for words in [no_node, &itself] {
        assert_eq!(first.seen.matches(words).count(), 1, "{}", first.seen);
    }
}

#[test]
fn a_node_by_two_addresses_is_called_by_the_one_that_is_left() {
    let home = Home::new();
    let (port, front) = (free_port(), format!("127.0.0.1:{}", free_port()));
    let bind = format!("0.0.0.0:{port}");
    let node = ["node", "-s", "script.js", "-b", &bind, "--shards", "1"];
    let _node = home.serve(&node);
    let lines = |ips: &[&str]| {
        let lines: Vec<String> = ips.iter().map(|ip| format!("{ip}:{port}\n")).collect();
        home.write("nodes", &lines.concat());
    };
    lines(&["127.0.0.1", "127.0.0.2"]);
    let source = ["--discover", "file:nodes"];
    let args = ["orchestrator", "-b", &front, "--shards", "1"];
    let mut orchestrator = home.serve(&[&args[..], &source].concat());
    orchestrator.wait_for("by another address, and counts once");
    let said = orchestrator.seen.clone();
    let words = format!("127.0.0.1:{port} is 127.0.0.2:{port}");
    // Whose session is open first is a matter of chance.
    let (first, last) = match said.contains(&words) {
        true => ("127.0.0.2", "127.0.0.1"),
        false => ("127.0.0.1", "127.0.0.2"),
    };
    let is_answered = || stdout(&home.call(&[&front, "add", "[1, 2]"])).trim() == "3";
    assert!(is_answered());
    lines(&[last]);
    orchestrator.wait_for(&format!("node {first}:{port} is there no more"));
    assert!((0..5).all(|_| is_answered()));
}

#[test]
fn a_check_says_of_a_file_that_it_is_not_there_and_which_line_is_none() {
    let home = Home::new();
    let check = || home.run(&["orchestrator", "--discover", "file:nodes", "--check"]);
    refused(&check(), 78, &["nodes cannot be read", "No such file"]);
    let long = "x".repeat(3 << 20);
    home.write("nodes", &format!("127.0.0.1:1\n{long}\n"));
    let output = check();
    refused(
        &output,
        78,
        &["nodes:2: address", "bytes more", "HOST:PORT"],
    );
    assert!(output.stderr.len() < 1000);
    home.write("nodes", "127.0.0.1:1 # one\n");
    let output = check();
    assert!(output.status.success(), "{output:?}");
}
