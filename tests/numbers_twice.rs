//! Two calls of one number: the second one's answer would be taken for the first one's, so the session ends, whatever the second is
//! of, and however it would have been answered.
//!
//! Setup: a node and an orchestrator of one shard in this process; a caller of plain quiche, with a call under way.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod support;

use madrpc_core::call::catalog::FUNCTIONS;
use madrpc_core::call::control::{DRAIN, PING};
use madrpc_core::call::frame::{self, Header};
use madrpc_core::identity::{Permissions, Role, SERVER_NAME_ANY};
use madrpc_core::session::set_transport;
use madrpc_core::stats::STATS;
use madrpc_core::value::Value;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{Server, ServerConfig};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Fleet, eventually};

const SCRIPT: &str = r#"
madrpc.register("wait", () => new Promise((then) => setTimeout(then, 60_000)));
madrpc.register("forbidden", () => 1);
"#;

/// Second calls: what is special about each, and its function.
fn seconds() -> Vec<(&'static str, String)> {
    let second = |what, function: &str| (what, function.to_owned());
    vec![
        second("a ping", PING),
        second("statistics", STATS),
        second("what can be called", FUNCTIONS),
        second("a reserved name of nothing", "madrpc.nothing"),
        second("a name that is too long", &"n".repeat(300)),
        second("a name that nobody has", "nobody"),
        second("a function that is not for everybody", "forbidden"),
        second("the same again", "wait"),
    ]
}

/// A QUIC connection of an operator, with no session of ours on it.
struct Caller {
    socket: UdpSocket,
    quic: quiche::Connection,
}

impl Caller {
    fn connect(fleet: &Fleet, server: SocketAddr) -> Self {
        let mut config = fleet.identity(Role::Operator).client_config().unwrap();
        set_transport(&mut config, Duration::from_secs(30)).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let wait = Duration::from_millis(5);
        socket.set_read_timeout(Some(wait)).unwrap();
        let local = socket.local_addr().unwrap();
        // One of its own: the server may remember those of the connections before.
        let mut id = [7; 16];
        id[..2].copy_from_slice(&local.port().to_be_bytes());
        let id = quiche::ConnectionId::from_ref(&id);
        let quic = quiche::connect(Some(SERVER_NAME_ANY), &id, local, server, &mut config);
        let mut caller = Self {
            socket,
            quic: quic.unwrap(),
        };
        assert!(caller.drive(quiche::Connection::is_established));
        caller
    }

    /// Exchanges datagrams until `done`, for at most ten seconds.
    fn drive(&mut self, done: impl Fn(&quiche::Connection) -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end && !done(&self.quic) {
            self.pump();
        }
        done(&self.quic)
    }

    fn pump(&mut self) {
        let mut buffer = [0; 65_535];
        while let Ok((length, info)) = self.quic.send(&mut buffer) {
            self.socket.send_to(&buffer[..length], info.to).unwrap();
        }
        match self.socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let to = self.socket.local_addr().unwrap();
                let info = quiche::RecvInfo { from, to };
                let _ = self.quic.recv(&mut buffer[..length], info);
            }
            Err(_) => self.quic.on_timeout(),
        }
    }

    /// Calls with this number, all at once.
    fn call(&mut self, id: u64, functions: &[&str]) {
        let mut bytes = Vec::new();
        for function in functions {
            let header = Header::Call {
                id,
                function,
                timeout_us: 60_000_000,
                depth: 0,
                account: None,
            };
            frame::write(&mut bytes, &header, &Value::UNDEFINED_BYTES);
        }
        assert_eq!(
            self.quic.stream_send(0, &bytes, false),
            Ok(bytes.len()),
            "a small frame"
        );
    }

    /// What the server has ended the session with.
    fn end(&mut self, what: &str) -> (u64, String) {
        assert!(self.drive(|quic| quic.peer_error().is_some()), "{what}");
        let error = self.quic.peer_error().unwrap();
        let reason = String::from_utf8_lossy(&error.reason).into_owned();
        (error.error_code, reason)
    }
}

/// An orchestrator before two nodes, so that it knows what they have; and one of the nodes.
fn servers(fleet: &Fleet) -> [Server; 3] {
    let rule = "forbidden=client:nobody".parse().unwrap();
    let permissions = Arc::new(Permissions::new(vec![rule]));
    let config = |role| ServerConfig {
        permissions: Arc::clone(&permissions),
        ..fleet.config(role, 1)
    };
    let settings = NodeConfig {
        pool_size: Some(2),
        ..NodeConfig::default()
    };
    let script = Script::new("test.js", SCRIPT);
    let [one, two] =
        [(); 2].map(|()| Server::node(&config(Role::Node), &script, &settings).unwrap());
    let nodes = [one.address(), two.address()];
    let orchestrator = Server::orchestrator(&config(Role::Orchestrator), &nodes).unwrap();
    let client = fleet.client(orchestrator.address());
    eventually("the orchestrator knows what both have", || {
        let said = client.call_blocking::<_, Value>("nobody", &1);
        said.is_err_and(|error| error.message.contains("wait"))
    });
    [orchestrator, one, two]
}

/// The session has to end for this second call.
fn ends(caller: &mut Caller, what: &str) {
    let (code, reason) = caller.end(what);
    assert_eq!(
        (code, &*reason),
        (2, "call 7 is under way already"),
        "{what}"
    );
}

#[test]
fn the_session_ends_whatever_the_second_call_is_of() {
    let fleet = Fleet::new();
    let servers = servers(&fleet);
    for server in &servers[..2] {
        for (what, function) in seconds() {
            let mut caller = Caller::connect(&fleet, server.address());
            caller.call(7, &["wait", &function]);
            ends(&mut caller, what);
        }
        let mut caller = Caller::connect(&fleet, server.address());
        caller.call(7, &[STATS, STATS]);
        ends(&mut caller, "statistics twice");
        let mut caller = Caller::connect(&fleet, server.address());
        caller.call(7, &[STATS, "wait"]);
        ends(&mut caller, "statistics, and a call after them");
    }
    let mut caller = Caller::connect(&fleet, servers[0].address());
    caller.call(7, &[FUNCTIONS, FUNCTIONS]);
    ends(&mut caller, "what can be called, twice, of an orchestrator");
    for server in &servers[..2] {
        let mut caller = Caller::connect(&fleet, server.address());
        caller.call(7, &["wait"]);
        caller.call(8, &[DRAIN]);
        let client = fleet.client(server.address());
        eventually("it takes no calls", || {
            caller.pump();
            let said = client.call_blocking::<_, Value>("nobody", &1);
            said.is_err_and(|error| error.message.contains("drained"))
        });
        caller.call(7, &["wait"]);
        ends(&mut caller, "a server that is drained");
    }
}
