//! A client that knows several servers: calls are put on those that answer, and on one that has stopped again once it is back.
//!
//! Setup: nodes in this process, over real sockets and mutual TLS; a socket that nobody listens at, and one that is silent.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use futures_lite::future::block_on;
use futures_util::future::try_join_all;
use madrpc_core::identity::Role;
use madrpc_core::limits::HANDSHAKE_TIMEOUT;
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{Server, ServerConfig};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use support::{Fleet, eventually};

/// The socket of a server that says nothing, and its address.
fn silent() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

#[test]
fn a_client_of_several_servers_calls_those_that_answer() {
    let fleet = Fleet::new();
    let nodes = [0, 1].map(|number| {
        let script =
            format!("madrpc.register('who', () => {number}); madrpc.register('echo', (x) => x);");
        fleet.node(&script)
    });
    let [first, second] = nodes.each_ref().map(|node| node.address().to_string());
    let (socket, dead) = silent();
    drop(socket);
    let (_socket, mute) = silent();
    let client = |list: &[&str], one_at_a_time| {
        let identity = fleet.identity(Role::Client);
        let config = ClientConfig {
            one_at_a_time,
            timeout: Duration::from_secs(20),
            ..ClientConfig::with_identity(&list.join(","), identity)
        };
        Client::new(&config).unwrap()
    };
    let who = |client: &Client| client.call_blocking::<_, usize>("who", &()).unwrap();

    // In turn, but for those that are not there.
    let in_turn = client(&[&dead, &first, &mute, &second], false);
    let begun = Instant::now();
    who(&in_turn);
    let took = begun.elapsed();
    eventually("both are called", || {
        let mut counts = [0; 2];
        (0..10).for_each(|_| counts[who(&in_turn)] += 1);
        counts == [5, 5]
    });
    // Before its handshake would have been given up.
    let alone = client(&[&mute, &second], false);
    let begun = Instant::now();
    let many = (0..100).map(|_| alone.prepare("who").send(Value::Undefined));
    block_on(try_join_all(many)).unwrap();
    println!(
        "beside a dead one {took:?}, beside one that says nothing {:?}",
        begun.elapsed()
    );
    assert!(begun.elapsed() < HANDSHAKE_TIMEOUT, "{:?}", begun.elapsed());

    let ordered = client(&[&dead, &second, &first], true);
    assert!((0..10).all(|_| who(&ordered) == 1));
    // A server goes, and comes back.
    let [_one, two] = nodes;
    assert!(two.drain(Duration::from_secs(10)));
    assert!((0..10).all(|_| who(&in_turn) == 0));
    eventually("the next in the order is called", || {
        ordered
            .call_blocking::<_, usize>("who", &())
            .is_ok_and(|who| who == 0)
    });
    let config = ServerConfig {
        bind: second.parse().unwrap(),
        ..fleet.config(Role::Node, 1)
    };
    let script = Script::new("test.js", "madrpc.register('who', () => 2);");
    let _two = Server::node(&config, &script, &NodeConfig::default()).unwrap();
    eventually("it is called again", || who(&in_turn) == 2);
}

#[test]
fn a_server_by_two_addresses_counts_once() {
    let fleet = Fleet::new();
    let own = |config: ServerConfig| ServerConfig {
        bind: ([0, 0, 0, 0], 0).into(),
        ..config
    };
    let [one, other] = [0, 1].map(|number| {
        let source = format!("madrpc.register('who', () => {number});");
        let script = Script::new("test.js", &source);
        let config = own(fleet.config(Role::Node, 1));
        Server::node(&config, &script, &NodeConfig::default()).unwrap()
    });
    let at = |ip: [u8; 4], server: &Server| SocketAddr::from((ip, server.address().port()));
    let addresses = [
        at([127, 0, 0, 1], &one),
        at([127, 0, 0, 2], &one),
        at([127, 0, 0, 1], &other),
    ];
    let front = fleet.orchestrator(&addresses);
    let through = fleet.client(front.address());
    let list = addresses.map(|address| address.to_string()).join(",");
    let identity = fleet.identity(Role::Client);
    let direct = Client::new(&ClientConfig::with_identity(&list, identity)).unwrap();
    let counts = |client: &Client| {
        let mut counts = [0; 2];
        for _ in 0..30 {
            if let Ok(who) = client.call_blocking::<_, usize>("who", &()) {
                counts[who] += 1;
            }
        }
        counts
    };
    for client in [&through, &direct] {
        eventually("both have as many calls", || counts(client) == [15, 15]);
    }
    assert!(one.drain(Duration::from_secs(10)));
    for client in [&through, &direct] {
        eventually("the other has all", || counts(client) == [0, 30]);
    }
}

/// A server that a call was never sent to is no try of it.
#[test]
fn whatever_number_of_dead_servers_is_named_beside_it_the_live_one_has_all_calls() {
    let fleet = Fleet::new();
    let node = fleet.node("madrpc.register('echo', (x) => x);");
    let live = node.address().to_string();
    for dead in [1, 2, 3, 4, 5, 9] {
        for _ in 0..10 {
            // Others each time: clients of the same servers share their sessions.
            let sockets: Vec<_> = (0..dead).map(|_| silent()).collect();
            let mut list: Vec<String> = sockets.iter().map(|(_, at)| at.clone()).collect();
            drop(sockets);
            list.push(live.clone());
            let identity = fleet.identity(Role::Client);
            let client =
                Client::new(&ClientConfig::with_identity(&list.join(","), identity)).unwrap();
            let echo = client.call_blocking::<_, u8>("echo", &7);
            assert_eq!(echo, Ok(7), "beside {dead}");
        }
    }
}
