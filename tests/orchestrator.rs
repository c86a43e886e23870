//! Calls through an orchestrator: who gets them, and what happens when a node is not there.
//!
//! Setup: an orchestrator of one shard and nodes of one shard each, in this process, over real sockets and mutual TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use futures_lite::future::{block_on, poll_once};
use madrpc_core::call::ErrorKind;
use madrpc_core::identity::Role;
use madrpc_core::limits::MEMORY_MIN_BYTES;
use madrpc_core::stats::Snapshot;
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, ClientConfig, SESSIONS_MAX};
use madrpc_shard::net::address::Addresses;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{Server, ServerConfig};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::{Fleet, eventually};

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("fail", () => { throw new TypeError("no good"); });
madrpc.register("spin", () => { for (;;) {} });
madrpc.register("work", (ms) => { const end = Date.now() + ms; while (Date.now() < end) {} return "done"; });
"#;

/// Calls `echo` so often and counts the nodes that answered; a call that fails counts by its kind.
fn spread(client: &Client, calls: usize) -> BTreeMap<String, usize> {
    let mut spread = BTreeMap::new();
    for number in 0..calls {
        let call = client.prepare("echo").timeout(Duration::from_secs(20));
        let who = match call.send_blocking(Value::Integer(number as i64)) {
            Ok(reply) => {
                assert_eq!(reply.result, Value::Integer(number as i64));
                reply.bill.node
            }
            Err(error) => error.kind.name().to_owned(),
        };
        *spread.entry(who).or_default() += 1;
    }
    spread
}

/// Waits until the orchestrator has sessions to all its nodes.
fn connected(client: &Client, nodes: usize) {
    eventually("sessions to all nodes", || {
        let snapshot: Snapshot = client
            .call_blocking(madrpc_core::stats::STATS, &())
            .unwrap();
        snapshot
            .upstreams
            .iter()
            .filter(|upstream| upstream.connected_shards > 0)
            .count()
            == nodes
    });
}

#[test]
fn nodes_take_turns() {
    let fleet = Fleet::new();
    let nodes = [fleet.node(SCRIPT), fleet.node(SCRIPT)];
    let orchestrator = fleet.orchestrator(&nodes.each_ref().map(Server::address));
    let client = fleet.client(orchestrator.address());
    connected(&client, 2);
    let expected: BTreeMap<_, _> = nodes
        .iter()
        .map(|node| (node.name().to_owned(), 10))
        .collect();
    assert_eq!(spread(&client, 20), expected);
}

#[test]
fn a_few_sessions_spread_evenly_over_the_shards() {
    let shards = std::thread::available_parallelism().unwrap().get();
    let shards = shards.min(SESSIONS_MAX);
    let fleet = Fleet::new();
    let script = madrpc_shard::engine::Script::new("test.js", SCRIPT);
    let node = fleet.config(Role::Node, shards);
    let node = Server::node(&node, &script, &NodeConfig::default()).unwrap();
    let sessions = || {
        let snapshot = fleet.client_config(node.address());
        let connections = Some(1);
        let client = Client::new(&ClientConfig {
            connections,
            ..snapshot
        })
        .unwrap();
        let snapshot: Snapshot = client
            .call_blocking(madrpc_core::stats::STATS, &())
            .unwrap();
        snapshot.sessions as usize - 1
    };
    let seen_by = |client: &Client| {
        let call = || client.prepare("echo").send_blocking(Value::Null).unwrap();
        let mut seen: Vec<_> = (0..shards).map(|_| call().bill.shard).collect();
        seen.sort_unstable();
        seen
    };
    let all: Vec<u16> = (0..shards as u16).collect();
    // The first call opens a session, on which the server tells its shards. Once there is one to each, calls take turns.
    let client = fleet.client(node.address());
    eventually("a session of the client to each shard", || {
        client.call_blocking::<_, Value>("echo", &()).unwrap();
        sessions() == shards
    });
    assert_eq!(seen_by(&client), all);
    // An orchestrator of one shard does the same, beside the client.
    let orchestrator = fleet.orchestrator(&[node.address()]);
    let through = fleet.client(orchestrator.address());
    eventually("a session of the orchestrator to each shard", || {
        sessions() == 2 * shards
    });
    assert_eq!(seen_by(&through), all);
}

#[test]
fn errors_pass_through_whole() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let orchestrator = fleet.orchestrator(&[node.address()]);
    let client = fleet.client(orchestrator.address());
    let error = client.call_blocking::<_, Value>("fail", &()).unwrap_err();
    let exception = error.exception.unwrap();
    assert_eq!(
        (exception.name.as_str(), exception.message.as_str()),
        ("TypeError", "no good")
    );
    assert!(
        exception.stack.contains("test.js:3:"),
        "{}",
        exception.stack
    );
    let error = client
        .call_blocking::<_, Value>("missing", &())
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoSuchFunction);
    let call = client.prepare("spin").timeout(Duration::from_millis(100));
    assert_eq!(
        call.send_blocking(Value::Null).unwrap_err().kind,
        ErrorKind::DeadlineExceeded
    );
}

#[test]
fn without_any_node_a_caller_is_told_at_once() {
    let fleet = Fleet::new();
    let closed = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let orchestrator = fleet.orchestrator(&[closed]);
    let client = fleet.client(orchestrator.address());
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    let error = client.call_blocking::<_, Value>("echo", &1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(!error.may_have_run);
    assert!(error.message.contains(&closed.to_string()), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_node_that_is_gone_is_skipped_and_taken_up_again_when_it_is_back() {
    let fleet = Fleet::new();
    let stays = fleet.node(SCRIPT);
    let goes = fleet.node(SCRIPT);
    let address = goes.address();
    let orchestrator = fleet.orchestrator(&[stays.address(), address]);
    let client = fleet.client(orchestrator.address());
    connected(&client, 2);
    drop(goes);
    connected(&client, 1);
    assert_eq!(
        spread(&client, 10),
        BTreeMap::from([(stays.name().to_owned(), 10)])
    );
    let config = ServerConfig {
        bind: address,
        ..fleet.config(Role::Node, 1)
    };
    let script = madrpc_shard::engine::Script::new("test.js", SCRIPT);
    let back = Server::node(&config, &script, &NodeConfig::default()).unwrap();
    connected(&client, 2);
    assert_eq!(spread(&client, 10).get(back.name()), Some(&5));
}

#[test]
fn a_call_that_was_given_up_frees_the_lane_behind_the_orchestrator() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let orchestrator = fleet.orchestrator(&[node.address()]);
    // The callers' sessions end with their clients, and their calls with the sessions.
    for _ in 0..2 {
        let client = fleet.client(orchestrator.address());
        let call = client.prepare("spin").timeout(Duration::from_secs(60));
        let short = async {
            std::thread::sleep(Duration::from_millis(200));
            futures_lite::future::yield_now().await;
        };
        let endless = async { drop(call.send(Value::Null).await) };
        block_on(futures_lite::future::or(endless, short));
    }
    let client = fleet.client(orchestrator.address());
    let call = client.prepare("echo").timeout(Duration::from_secs(10));
    assert_eq!(
        call.send_blocking(Value::Bool(true)).unwrap().result,
        Value::Bool(true)
    );
}

#[test]
fn a_draining_node_ends_its_calls_and_gets_no_new_ones() {
    let fleet = Fleet::new();
    let stays = fleet.node(SCRIPT);
    let stops = fleet.node(SCRIPT);
    let orchestrator = fleet.orchestrator(&[stays.address(), stops.address()]);
    let client = fleet.client(orchestrator.address());
    connected(&client, 2);
    std::thread::scope(|scope| {
        // One on each node.
        let working: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| client.call_blocking::<_, String>("work", &1000)))
            .collect();
        std::thread::sleep(Duration::from_millis(200));
        let drained = scope.spawn(|| stops.drain(Duration::from_secs(20)));
        std::thread::sleep(Duration::from_millis(200));
        assert!(!drained.is_finished(), "it did not wait for the call");
        assert_eq!(
            spread(&client, 10),
            BTreeMap::from([(stays.name().to_owned(), 10)])
        );
        for call in working {
            assert_eq!(call.join().unwrap().unwrap(), "done");
        }
        assert!(drained.join().unwrap());
    });
}

#[test]
fn a_draining_server_refuses_newcomers_at_once() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    let newcomer = fleet.client(node.address());
    std::thread::scope(|scope| {
        let working = scope.spawn(|| client.call_blocking::<_, String>("work", &1500));
        std::thread::sleep(Duration::from_millis(200));
        let drained = scope.spawn(|| node.drain(Duration::from_secs(20)));
        std::thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        let error = newcomer.call_blocking::<_, Value>("echo", &1).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(!error.may_have_run);
        assert!(error.message.contains("stopping"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!(working.join().unwrap().unwrap(), "done");
        assert!(drained.join().unwrap());
    });
}

#[test]
fn drain_gives_up_at_its_timeout() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    std::thread::scope(|scope| {
        let call = scope.spawn(|| client.call_blocking::<_, Value>("spin", &()));
        std::thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        assert!(!node.drain(Duration::from_millis(300)));
        assert!(begun.elapsed() < Duration::from_secs(5));
        let error = call.join().unwrap().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.may_have_run);
        assert!(error.message.contains("stopping"), "{error}");
    });
}

#[test]
fn statistics_count_calls_and_errors_by_node_and_function() {
    let fleet = Fleet::new();
    let nodes = [fleet.node(SCRIPT), fleet.node(SCRIPT)];
    let orchestrator = fleet.orchestrator(&nodes.each_ref().map(Server::address));
    let client = fleet.client(orchestrator.address());
    connected(&client, 2);
    spread(&client, 10);
    for _ in 0..4 {
        client.call_blocking::<_, Value>("fail", &()).unwrap_err();
    }
    let snapshot: Snapshot = client
        .call_blocking(madrpc_core::stats::STATS, &())
        .unwrap();
    assert_eq!(
        (
            snapshot.role.as_str(),
            snapshot.shards,
            snapshot.silent_shards
        ),
        ("orchestrator", 1, 0)
    );
    let rows: Vec<_> = snapshot
        .rows
        .iter()
        .map(|row| {
            (
                row.function.as_str(),
                row.calls,
                row.error_count(),
                row.latency().count(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("echo", 5, 0, 5),
            ("fail", 2, 2, 2),
            ("echo", 5, 0, 5),
            ("fail", 2, 2, 2)
        ]
    );
    let own: Snapshot = fleet
        .client(nodes[0].address())
        .call_blocking(madrpc_core::stats::STATS, &())
        .unwrap();
    assert_eq!(own.role, "node");
    assert_eq!(own.rows.iter().map(|row| row.calls).sum::<u64>(), 7);
}

#[test]
fn a_server_without_a_nodes_certificate_gets_no_calls() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let inner = fleet.orchestrator(&[node.address()]);
    let outer = fleet.orchestrator(&[inner.address()]);
    let client = fleet.client(outer.address());
    eventually("the refusal", || {
        let error = client.call_blocking::<_, Value>("echo", &1).unwrap_err();
        error.kind == ErrorKind::Unauthorized && error.message.contains("name")
    });
}

#[test]
fn a_server_of_several_addresses_is_reached_at_the_one_that_answers() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    // Nobody listens at the first two, of which one is of the other family, as `localhost` is on many machines.
    let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = node.address().port();
    let v6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
    let dead_port = dead.local_addr().unwrap();
    drop(dead);
    let addresses = Addresses::try_from(vec![v6, dead_port, node.address()]).unwrap();
    let config = fleet.config(Role::Orchestrator, 1);
    let front = Server::orchestrator(&config, &[addresses]).unwrap();
    let client = fleet.client(front.address());
    eventually("a call", || {
        let echoed = client.call_blocking::<_, i64>("echo", &1);
        echoed.is_ok_and(|echoed| echoed == 1)
    });
    drop(node);
    eventually("the loss is noticed", || {
        client.call_blocking::<_, i64>("echo", &1).is_err()
    });
}

#[test]
fn the_first_call_to_a_name_waits_for_the_address_that_answers() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let config = ClientConfig::with_identity(
        &format!("localhost:{}", node.address().port()),
        fleet.identity(Role::Client),
    );
    let client = Client::new(&config).unwrap();
    assert_eq!(client.call_blocking::<_, i64>("echo", &1).unwrap(), 1);
}

/// An orchestrator with as little memory as it can have.
fn small(fleet: &Fleet, node: &Server) -> Server {
    let config = ServerConfig {
        memory_max_bytes: Some(MEMORY_MIN_BYTES as u64),
        ..fleet.config(Role::Orchestrator, 1)
    };
    Server::orchestrator(&config, &[node.address()]).unwrap()
}

/// More than the orchestrator has memory for: once it knows how large the results are, it asks for as much at a time as
/// there is room for, and every call gets its own. A caller of small things beside it is answered meanwhile.
#[test]
fn large_results_come_by_and_by() {
    const CALLS: usize = 80;
    const BYTES: usize = 4_000_000;
    let fleet = Fleet::new();
    let script = format!("madrpc.register('large', () => new Uint8Array({BYTES}));{SCRIPT}");
    let node = fleet.node(&script);
    let orchestrator = small(&fleet, &node);
    let large = fleet.client(orchestrator.address());
    let small = fleet.client(orchestrator.address());
    connected(&large, 1);
    let call = || {
        let call = large.prepare("large").timeout(Duration::from_secs(30));
        match call
            .send_blocking(Value::Undefined)
            .map(|reply| reply.result)
        {
            Ok(Value::TypedArray(array)) => assert_eq!(array.bytes().len(), BYTES),
            Ok(other) => panic!("{}", other.kind()),
            Err(error) => panic!("{error}"),
        }
    };
    call();
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..CALLS).map(|_| scope.spawn(call)).collect();
        assert_eq!(spread(&small, 200).get(node.name()), Some(&200));
        calls.into_iter().for_each(|call| call.join().unwrap());
    });
}

/// As little memory as an orchestrator can have, and almost as large a result as there can be.
#[test]
fn the_largest_result_has_room_where_it_comes_alone() {
    const BYTES: usize = 60_000_000;
    let fleet = Fleet::new();
    let script =
        format!("madrpc.register('large', () => new Uint8Array({BYTES}), {{ memoryMb: 256 }});");
    let node = fleet.node(&script);
    let orchestrator = small(&fleet, &node);
    let client = fleet.client(orchestrator.address());
    connected(&client, 1);
    for _ in 0..3 {
        match client.prepare("large").send_blocking(Value::Undefined) {
            Ok(reply) => match reply.result {
                Value::TypedArray(array) => assert_eq!(array.bytes().len(), BYTES),
                other => panic!("{}", other.kind()),
            },
            Err(error) => panic!("{error}"),
        }
    }
}

/// A caller whose results would take its part of the memory waits with further calls, and is heard all the same.
#[test]
fn calls_are_given_up_though_their_caller_waits_for_results() {
    const CALLS: usize = 60;
    let fleet = Fleet::new();
    let node = fleet.node(
        "madrpc.register('slow', async (ms) => { await new Promise((done) => setTimeout(done, ms)); return new Uint8Array(4_000_000); });",
    );
    let orchestrator = small(&fleet, &node);
    let client = fleet.client(orchestrator.address());
    connected(&client, 1);
    let slow = |ms: i64| {
        let call = client.prepare("slow").timeout(Duration::from_secs(60));
        Box::pin(call.send(Value::Integer(ms)))
    };
    assert!(block_on(slow(0)).is_ok());
    let mut calls: Vec<_> = (0..CALLS).map(|_| slow(50_000)).collect();
    for call in &mut calls {
        assert!(block_on(poll_once(call)).is_none());
    }
    std::thread::sleep(Duration::from_millis(500));
    drop(calls);
    let observer = fleet.client(node.address());
    eventually("every call at the node has ended", || {
        let snapshot: Snapshot = observer
            .call_blocking(madrpc_core::stats::STATS, &())
            .unwrap();
        let rows = snapshot.rows.iter().filter(|row| row.function == "slow");
        rows.map(|row| row.calls).sum::<u64>() > CALLS as u64 / 2
    });
    assert!(block_on(slow(0)).is_ok());
}
