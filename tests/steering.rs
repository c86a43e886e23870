//! A session stays with its shard, wherever its datagrams come from and however they are steered.
//!
//! Setup: a node of two shards in this process, steered by the kernel or by relay; clients call it directly, or through
//! a forwarder that plays a network address translator, which forgets its mappings in the middle of calls.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use futures_lite::future::{block_on, zip};
use madrpc_core::identity::Role;
use madrpc_core::stats::Snapshot;
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::engine::Script;
use madrpc_shard::net::steer::{Steering, SteeringChoice};
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{Server, ServerConfig};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use support::process::{Home, stdout};
use support::{Fleet, eventually};

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("size", (value) => value.byteLength);
madrpc.register("later", async (length) => {
  await new Promise((done) => setTimeout(done, 400));
  return "x".repeat(length);
});
"#;

fn node(fleet: &Fleet, steering: SteeringChoice) -> Server {
    let config = ServerConfig {
        steering,
        ..fleet.config(Role::Node, 2)
    };
    let script = Script::new("test.js", SCRIPT);
    Server::node(&config, &script, &NodeConfig::default()).unwrap()
}

fn client(fleet: &Fleet, address: SocketAddr, connections: usize) -> Client {
    let config = ClientConfig {
        connections: Some(connections),
        ..fleet.client_config(address)
    };
    Client::new(&config).unwrap()
}

fn snapshot(client: &Client) -> Snapshot {
    client
        .call_blocking(madrpc_core::stats::STATS, &())
        .unwrap()
}

/// Calls and gives the shard that ran it.
fn shard_of(client: &Client) -> u16 {
    let call = client.prepare("echo").timeout(Duration::from_secs(20));
    let reply = call.send_blocking(Value::Integer(5)).unwrap();
    assert_eq!(reply.result, Value::Integer(5));
    reply.bill.shard
}

/// Translates addresses: what comes from the client goes on to the server from an address of its own, and back.
struct Translator {
    address: SocketAddr,
    orders: Sender<(Ipv4Addr, Sender<SocketAddr>)>,
    thread: Option<JoinHandle<()>>,
}

impl Translator {
    fn new(server: SocketAddr) -> Self {
        let inside = socket(Ipv4Addr::LOCALHOST);
        let address = inside.local_addr().unwrap();
        let (orders, received) = channel();
        let thread = std::thread::spawn(move || translate(&inside, server, &received));
        Self {
            address,
            orders,
            thread: Some(thread),
        }
    }

    /// Forgets the address from which it forwards, and takes a fresh port of this one; gives both.
    fn rebind(&self, to: Ipv4Addr) -> SocketAddr {
        let (done, rebound) = channel();
        self.orders.send((to, done)).unwrap();
        rebound.recv().unwrap()
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        self.orders = channel().0;
        let _ = self.thread.take().unwrap().join();
    }
}

fn socket(ip: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn translate(
    inside: &UdpSocket,
    server: SocketAddr,
    orders: &Receiver<(Ipv4Addr, Sender<SocketAddr>)>,
) {
    let mut outside = socket(Ipv4Addr::LOCALHOST);
    let mut client = None;
    let mut buffer = [0; 65_535];
    loop {
        match orders.recv_timeout(Duration::from_micros(200)) {
            Ok((ip, done)) => {
                outside = socket(ip);
                done.send(outside.local_addr().unwrap()).unwrap();
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
        }
        while let Ok((length, from)) = inside.recv_from(&mut buffer) {
            client = Some(from);
            let _ = outside.send_to(&buffer[..length], server);
        }
        while let Ok((length, from)) = outside.recv_from(&mut buffer) {
            // As a translator does: what others send to the mapped port does not get in.
            if from == server
                && let Some(client) = client
            {
                let _ = inside.send_to(&buffer[..length], client);
            }
        }
    }
}

/// Changes the client's address in the middle of calls, more often than quiche keeps paths by default.
fn calls_survive_changes_of_address(steering: SteeringChoice) {
    let fleet = Fleet::new();
    let node = node(&fleet, steering);
    let translator = Translator::new(node.address());
    let client = client(&fleet, translator.address, 1);
    let home = shard_of(&client);
    let mut addresses = BTreeSet::new();
    for round in 0..6u8 {
        // A fresh port, and each second time another host too.
        let ip = Ipv4Addr::new(127, 0, 0, 1 + round % 2);
        let call = client.prepare("later").timeout(Duration::from_secs(20));
        // One datagram, or hundreds, of which some are on their way when the address changes.
        let length = if round % 3 == 0 { 10 } else { 400_000 };
        let call = call.send(Value::Integer(length));
        let change = async {
            // The call has left and runs, its reply will go to an address that is no more.
            std::thread::sleep(Duration::from_millis(if round == 5 { 401 } else { 100 }));
            translator.rebind(ip)
        };
        let (reply, address) = block_on(zip(call, change));
        let reply = reply.unwrap();
        let expected = "x".repeat(length as usize);
        assert!(reply.result == Value::String(expected), "round {round}");
        assert_eq!(reply.bill.shard, home, "round {round}");
        assert!(addresses.insert(address));
        assert_eq!(shard_of(&client), home, "round {round}");
    }
    eventually("all changes are counted", || {
        snapshot(&client).migrations >= 6
    });
    let seen = snapshot(&client);
    assert_eq!(seen.sessions, 1, "the client had to connect again");
    match node.steering() {
        Steering::ConnectionId => assert_eq!(seen.misrouted, 0),
        _ => assert_eq!(seen.relayed, seen.misrouted),
    }
}

#[test]
fn calls_survive_changes_of_address_where_the_kernel_steers() {
    calls_survive_changes_of_address(SteeringChoice::Kernel);
}

#[test]
fn calls_survive_changes_of_address_where_shards_relay() {
    calls_survive_changes_of_address(SteeringChoice::Relay);
}

/// Eight clients, each from a port of its own and with a session to each shard.
fn fresh_ports(fleet: &Fleet, node: &Server) -> Snapshot {
    let clients: Vec<Client> = (0..8).map(|_| client(fleet, node.address(), 2)).collect();
    for client in &clients {
        let mut shards = BTreeSet::new();
        eventually("both sessions are used, one on each shard", || {
            shards.insert(shard_of(client));
            shards == BTreeSet::from([0, 1])
        });
        let args = Value::Bytes(vec![7; 3 << 20]);
        let size = client.prepare("size").send_blocking(args).unwrap().result;
        assert_eq!(size, Value::Integer(3 << 20));
    }
    let snapshot = snapshot(&clients[0]);
    assert_eq!(snapshot.sessions, 16);
    snapshot
}

#[test]
fn sessions_from_fresh_ports_land_where_they_belong() {
    let fleet = Fleet::new();
    let node = node(&fleet, SteeringChoice::Kernel);
    assert_eq!(node.steering(), Steering::ConnectionId);
    let seen = fresh_ports(&fleet, &node);
    assert_eq!(seen.steering, "kernel");
    assert_eq!((seen.misrouted, seen.relayed), (0, 0));
}

#[test]
fn sessions_from_fresh_ports_are_served_by_relay() {
    let fleet = Fleet::new();
    let node = node(&fleet, SteeringChoice::Relay);
    assert_eq!(node.steering(), Steering::Relay);
    let seen = fresh_ports(&fleet, &node);
    assert_eq!(seen.steering, "relay");
    // Both sessions of a client come from one port, so one of them always has to be relayed.
    assert!(seen.misrouted > 8, "{seen:?}");
    assert_eq!(seen.relayed + seen.relay_dropped, seen.misrouted);
}

#[test]
fn the_ready_line_and_the_statistics_say_how_datagrams_are_steered() {
    let home = Home::new();
    for (choice, words, steering) in [
        (
            "kernel",
            "2 shards on cores 0,1, steered by connection ID",
            "kernel",
        ),
        (
            "relay",
            "2 shards on cores 0,1, relayed between shards",
            "relay",
        ),
    ] {
        let port = support::process::free_port();
        let address = format!("127.0.0.1:{port}");
        let node = home.serve(&[
            "node",
            "-s",
            "script.js",
            "-b",
            &address,
            "--cpus",
            "0,1",
            "--steering",
            choice,
        ]);
        assert!(node.seen.contains(words), "{}", node.seen);
        let output = home.run(&["top", &address, "--once", "--json"]);
        let document: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(document["steering"], steering);
    }
}
