//! Nodes that announce themselves (`madrpc node --orchestrator`): calls come on the sessions that they open, so nobody has to know
//! or to reach their addresses.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "support/mod.rs"]
mod support;

use madrpc_core::identity::Role;
use madrpc_core::stats::{STATS, Snapshot};
use madrpc_core::value::Value;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{Server, ServerConfig};
use nix::sys::signal::Signal;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::process::Stdio;
use std::sync::Arc;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};
use support::fleet::{Load, load_at};
use support::process::{Home, Served, free_port, stdout};
use support::{Fleet, eventually};

const SCRIPT: &str = "madrpc.register('twice', (x) => x, { idempotent: true });
madrpc.register('once', (x) => x);
madrpc.register('large', (text) => text + text);";

fn node(home: &Home, front: &str, shards: &str) -> Served {
    home.serve(&[
        "node",
        "-s",
        "f.js",
        "-b",
        "127.0.0.1:0",
        "--shards",
        shards,
        "--orchestrator",
        front,
    ])
}

fn orchestrator(home: &Home, front: &str) -> Served {
    home.serve(&["orchestrator", "-b", front, "--shards", "2"])
}

/// An orchestrator that is told of no node.
fn start() -> (Home, String, Served) {
    let home = Home::new();
    home.write("f.js", SCRIPT);
    let front = format!("127.0.0.1:{}", free_port());
    let orchestrator = orchestrator(&home, &front);
    (home, front, orchestrator)
}

/// The orchestrator's nodes, with the shards that have a session to each and the calls that it has ended.
fn nodes(home: &Home, front: &str) -> Vec<(String, u64, u64)> {
    let told = home.run(&["nodes", front, "--json"]);
    let document: Json = serde_json::from_str(&stdout(&told)).unwrap();
    let nodes = document["nodes"].as_array().unwrap().iter();
    // One that is there twice is shown with what it is again.
    let nodes = nodes.filter(|node| node["states"].get("double").is_none());
    let one = |node: &Json| {
        let number = |key: &str| node[key].as_u64().unwrap();
        let name = node["node"].as_str().unwrap().to_owned();
        (name, number("connected_shards"), number("calls"))
    };
    nodes.map(one).collect()
}

fn until_all_have(home: &Home, front: &str, count: usize) {
    eventually("the orchestrator's shards have sessions to all", || {
        let nodes = nodes(home, front);
        nodes.len() == count && nodes.iter().all(|(_, shards, _)| *shards == 2)
    });
}

fn load(home: &Home, front: &str, function: &str, time: &str) -> Load {
    load_at(home, front, function, 2_000, time)
}

#[test]
fn nodes_come_and_go_by_themselves_and_no_call_is_lost() {
    let (home, front, _orchestrator) = start();
    let mut first = node(&home, &front, "2");
    let _second = node(&home, &front, "1");
    until_all_have(&home, &front, 2);
    let load = load(&home, &front, "once", "5s");
    sleep(Duration::from_millis(500));
    let begun = Instant::now();
    let third = node(&home, &front, "2");
    until_all_have(&home, &front, 3);
    let _ = std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!(
            "a node more, started and there after {:?}\n",
            begun.elapsed()
        ),
    );
    first.signal(Signal::SIGTERM);
    assert!(first.end().success());
    eventually("it is gone", || nodes(&home, &front).len() == 2);
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 8_000,
        "{outcome:?}"
    );
    let nodes = nodes(&home, &front);
    assert!(nodes.iter().all(|(_, _, calls)| *calls > 500), "{nodes:?}");
    drop(third);
}

#[test]
fn a_node_that_is_killed_costs_no_call_that_may_run_twice() {
    let (home, front, _orchestrator) = start();
    let first = node(&home, &front, "1");
    let _second = node(&home, &front, "1");
    until_all_have(&home, &front, 2);
    let load = load(&home, &front, "twice", "3s");
    sleep(Duration::from_secs(1));
    first.signal(Signal::SIGKILL);
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 5_000,
        "{outcome:?}"
    );
    eventually("it is gone", || nodes(&home, &front).len() == 1);
}

#[test]
fn nodes_find_an_orchestrator_that_was_started_anew() {
    let (home, front, mut first) = start();
    let _node = node(&home, &front, "2");
    until_all_have(&home, &front, 1);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        first.signal(signal);
        first.end();
        first = orchestrator(&home, &front);
        until_all_have(&home, &front, 1);
        assert!(home.call(&[&front, "once", "1"]).status.success());
    }
}

#[test]
fn a_node_that_is_named_as_well_counts_once() {
    let home = Home::new();
    home.write("f.js", SCRIPT);
    let front = format!("127.0.0.1:{}", free_port());
    let bind = format!("127.0.0.1:{}", free_port());
    let args = [
        "node",
        "-s",
        "f.js",
        "--shards",
        "1",
        "--orchestrator",
        &front,
        "-b",
        &bind,
    ];
    let _node = home.serve(&args);
    let _other = node(&home, &front, "1");
    let args = ["orchestrator", "-b", &front, "--shards", "1", "-n", &bind];
    let _orchestrator = home.serve(&args);
    eventually("both are there, once each", || {
        let nodes = nodes(&home, &front);
        let named = nodes
            .iter()
            .filter(|(name, shards, _)| *name == bind && *shards == 1);
        nodes.len() == 2 && named.count() == 1
    });
    let outcome = load(&home, &front, "once", "1s").end();
    assert!(outcome.errors.is_empty());
    let calls: Vec<u64> = nodes(&home, &front).iter().map(|one| one.2).collect();
    assert!(calls[0].abs_diff(calls[1]) < 100, "{calls:?}");
}

/// Without a reset that reaches the shard whose session it is, it is four seconds until the silence tells it.
/// What it was given is made again, and not by the same process under its other name.
#[test]
fn a_node_that_is_named_as_well_and_is_killed_takes_no_call_a_second_time() {
    let mut fleet = support::traced::Fleet::start(&[]);
    let call = || {
        let mut command = fleet.home.command(&["call", &fleet.front, "sleep", "1500"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    // In turn: half of them are there.
    let calls: Vec<_> = (0..8).map(|_| call()).collect();
    sleep(Duration::from_millis(1000));
    fleet.nodes[0].child.kill().unwrap();
    for call in calls {
        let output = call.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a_node_is_back_soon_where_an_orchestrator_was_killed_and_started_anew() {
    let (home, front, mut first) = start();
    let mut node = node(&home, &front, "2");
    until_all_have(&home, &front, 1);
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        // Until QUIC has nothing on its way.
        sleep(Duration::from_millis(1500));
        first.signal(Signal::SIGKILL);
        first.end();
        first = orchestrator(&home, &front);
        let begun = Instant::now();
        until_all_have(&home, &front, 1);
        quickest = quickest.min(begun.elapsed());
    }
    let _ = std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("there again after {quickest:?}\n"),
    );
    // Of three, as the machine may be busy.
    assert!(quickest < Duration::from_millis(2500), "{quickest:?}");
    assert!(
        node.says("it was started anew", Duration::from_secs(5))
            .is_ok()
    );
    let refused = node.seen.lines().filter(|line| line.contains("refused"));
    assert_eq!(refused.count(), 0, "{}", node.seen);
}

#[test]
fn nodes_that_are_not_to_join_are_told_so_once_and_disturb_nobody() {
    let home = Home::new();
    home.write("f.js", SCRIPT);
    let front = format!("127.0.0.1:{}", free_port());
    // By whom the authority is made.
    let _other = home.node(free_port());
    for name in ["web-1", "db"] {
        let made = home.run(&["tls", "issue", "node", name, "--ca", "tls", "--out", name]);
        assert!(made.status.success(), "{made:?}");
    }
    let join = ["--join", "node:web-*,node:gpu"];
    let args = ["orchestrator", "-b", &front, "--shards", "2"];
    let mut orchestrator = home.serve(&[&args[..], &join].concat());
    let start = |name: &str| {
        let file = |kind: &str| format!("{name}/node/{kind}.pem");
        let [ca, cert, key] = ["ca", "cert", "key"].map(file);
        let tls = ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key];
        let args = ["node", "-s", "f.js", "-b", "127.0.0.1:0", "--shards", "2"];
        home.serve(&[&args[..], &["--orchestrator", &front], &tls].concat())
    };
    let mut wanted = start("web-1");
    wanted.wait_for("announced to orchestrator");
    let load = load(&home, &front, "once", "4s");
    let mut other = start("db");
    other.wait_for("no session to orchestrator");
    orchestrator.wait_for("refused");
    let outcome = load.end();
    assert!(outcome.errors.is_empty(), "{outcome:?}");
    assert_eq!(nodes(&home, &front).len(), 1);
    let _ = other.says("never", Duration::from_millis(100));
    let _ = orchestrator.says("never", Duration::from_millis(100));
    let told: Vec<&str> = other
        .seen
        .lines()
        .filter(|line| line.contains("WARN"))
        .collect();
    let is_clear = |line: &str| {
        let words = ["node:web-*, node:gpu", "node:db", "--join"];
        words.iter().all(|word| line.contains(word))
    };
    assert!(told.len() == 1 && is_clear(told[0]), "{}", other.seen);
    assert!(!other.seen.contains("announced to"), "{}", other.seen);
    let told = orchestrator
        .seen
        .lines()
        .filter(|line| line.contains("WARN"));
    let told: Vec<&str> = told.collect();
    // Each of two shards says it, and not each time.
    assert!((1..=4).contains(&told.len()), "{}", orchestrator.seen);
    assert!(
        told.iter().all(|line| is_clear(line)),
        "{}",
        orchestrator.seen
    );
}

/// Passes datagrams on as a translator of addresses does: what is behind it is seen at a port of its own, and only who was written
/// to can answer. Gives its address.
fn translator(front: SocketAddr) -> SocketAddr {
    let inside = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).unwrap());
    let address = inside.local_addr().unwrap();
    spawn(move || {
        let mut outsides: HashMap<SocketAddr, UdpSocket> = HashMap::new();
        let mut datagram = [0; 65_536];
        loop {
            let (length, from) = inside.recv_from(&mut datagram).unwrap();
            let outside = outsides.entry(from).or_insert_with(|| {
                let outside = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
                outside.connect(front).unwrap();
                let (back, inside) = (outside.try_clone().unwrap(), Arc::clone(&inside));
                spawn(move || {
                    let mut datagram = [0; 65_536];
                    while let Ok(length) = back.recv(&mut datagram) {
                        let _ = inside.send_to(&datagram[..length], from);
                    }
                });
                outside
            });
            let _ = outside.send(&datagram[..length]);
        }
    });
    address
}

#[test]
fn a_node_behind_a_translator_of_addresses_gets_calls() {
    let (home, front, _orchestrator) = start();
    let inside = translator(front.parse().unwrap());
    let node = node(&home, &inside.to_string(), "2");
    until_all_have(&home, &front, 1);
    let (name, ..) = &nodes(&home, &front)[0];
    assert!(!node.seen.contains(name), "{name} is where it listens");
    // Large ones take other ways in a session than small ones, in both directions.
    let text = format!("\"{}\"", "x".repeat(300_000));
    home.write("text", &text);
    let large = home
        .command(&["call", &front, "large", "-"])
        .stdin(std::fs::File::open(home.path("text")).unwrap())
        .output()
        .unwrap();
    assert_eq!(stdout(&large).trim().len(), 600_002);
    let outcome = load(&home, &front, "once", "2s").end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 3_000,
        "{outcome:?}"
    );
}

#[test]
fn only_the_certificate_of_a_node_lets_it_announce_itself() {
    let fleet = Fleet::new();
    let orchestrator = fleet.orchestrator(&[]);
    let operator = fleet.client(orchestrator.address());
    let script = Script::new("s.js", SCRIPT);
    let settings = NodeConfig {
        orchestrators: vec![orchestrator.address().into()],
        announces: true,
        ..NodeConfig::default()
    };
    let start = |role: Role| {
        let config = ServerConfig {
            shards: Some(1),
            ..ServerConfig::new(([127, 0, 0, 1], 0).into(), fleet.identity(role))
        };
        Server::node(&config, &script, &settings).unwrap()
    };
    let known = || {
        let snapshot: Snapshot = operator.call_blocking(STATS, &()).unwrap();
        snapshot.upstreams.len()
    };
    let _posing = start(Role::Orchestrator);
    let _node = start(Role::Node);
    eventually("the node is there", || known() == 1);
    sleep(Duration::from_millis(500));
    assert_eq!(known(), 1);
    assert_eq!(
        operator.call_blocking::<_, Value>("once", &7).unwrap(),
        Value::from(7)
    );
}

/// Each instance is the node's own word: with one certificate it could be any number of them, and have nearly all calls.
#[test]
fn one_certificate_is_that_of_few_nodes() {
    const MOST: usize = 16;
    let fleet = Fleet::new();
    let orchestrator = fleet.orchestrator(&[]);
    let operator = fleet.client(orchestrator.address());
    let script = Script::new("s.js", SCRIPT);
    let settings = NodeConfig {
        pool_size: Some(1),
        orchestrators: vec![orchestrator.address().into()],
        announces: true,
        ..NodeConfig::default()
    };
    let shared = fleet.identity(Role::Node);
    let start = |identity| {
        let config = ServerConfig {
            shards: Some(1),
            ..ServerConfig::new(([127, 0, 0, 1], 0).into(), identity)
        };
        Server::node(&config, &script, &settings).unwrap()
    };
    let _many: Vec<Server> = (0..MOST + 3).map(|_| start(shared.clone())).collect();
    let known = || {
        let snapshot: Snapshot = operator.call_blocking(STATS, &()).unwrap();
        snapshot.upstreams.len()
    };
    eventually("as many as may be are there", || known() == MOST);
    let _other = start(fleet.identity(Role::Node));
    eventually("another machine's is there", || known() == MOST + 1);
    sleep(Duration::from_millis(500));
    assert_eq!(known(), MOST + 1);
}
