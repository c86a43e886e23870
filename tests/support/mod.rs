//! What the end-to-end tests share: an authority of their own, and servers in this process.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses its own part, and that is how a test fails"
)]

pub mod collector;
pub mod fleet;
pub mod http;
pub mod map;
pub mod process;
pub mod seccomp;
pub mod steady;
pub mod terminal;
pub mod traced;

use madrpc_core::call::CallError;
use madrpc_core::identity::{Authority, Identity, Role};
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{Server, ServerConfig};
use std::fmt::Write;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// An authority that exists for one test.
pub struct Fleet {
    authority: Authority,
}

impl Fleet {
    pub fn new() -> Self {
        Self {
            authority: Authority::create("test").unwrap(),
        }
    }

    pub fn identity(&self, role: Role) -> Identity {
        self.authority.issue(role).unwrap()
    }

    pub fn named(&self, name: &str, role: Role) -> Identity {
        self.authority.issue_to(name, role, 1).unwrap()
    }

    pub fn config(&self, role: Role, shards: usize) -> ServerConfig {
        ServerConfig {
            shards: Some(shards),
            ..ServerConfig::new(([127, 0, 0, 1], 0).into(), self.identity(role))
        }
    }

    /// A node of one shard and two lanes.
    pub fn node(&self, source: &str) -> Server {
        let script = Script::new("test.js", source);
        let settings = NodeConfig {
            pool_size: Some(2),
            ..NodeConfig::default()
        };
        Server::node(&self.config(Role::Node, 1), &script, &settings).unwrap()
    }

    pub fn orchestrator(&self, nodes: &[SocketAddr]) -> Server {
        Server::orchestrator(&self.config(Role::Orchestrator, 1), nodes).unwrap()
    }

    /// A node whose calls of calls come back to it by way of an orchestrator, and that.
    pub fn node_with_orchestrator(&self, script: &Script) -> (Server, Server) {
        let mut config = self.config(Role::Node, 1);
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        config.bind = free.local_addr().unwrap();
        drop(free);
        let orchestrator = self.orchestrator(&[config.bind]);
        let settings = NodeConfig {
            orchestrators: vec![orchestrator.address().into()],
            ..NodeConfig::default()
        };
        let node = Server::node(&config, script, &settings).unwrap();
        (node, orchestrator)
    }

    /// A client that may ask for statistics, too.
    pub fn client(&self, address: SocketAddr) -> Client {
        Client::new(&self.client_config(address)).unwrap()
    }

    pub fn client_config(&self, address: SocketAddr) -> ClientConfig {
        ClientConfig::with_identity(&address.to_string(), self.identity(Role::Operator))
    }
}

/// Tries until `done` holds, for at most ten seconds.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come about within ten seconds: {what}");
}

/// Memory that this process takes.
pub fn rss() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse::<usize>()
        .unwrap()
        << 10
}

/// What those functions may use.
const CLASSES: &str = "
class AppError extends Error { constructor(message, code) { super(message); this.name = 'AppError'; this.code = code; } }
function OldError(message) { this.message = message; } OldError.prototype = Object.create(Error.prototype);
class Point { constructor(x, y) { this.x = x; this.y = y; } get length() { return Math.hypot(this.x, this.y); } }
madrpc.register('tenfold', (n) => { if (n < 0) throw new RangeError(String(n)); return n * 10; });
class Hidden { #rows = [1]; }
const said = (key) => 'key: ' + key;
class Keyed { toJSON(key) { return said(key); } }
class Money { #cents = 150; toJSON() { return { cents: this.#cents }; } }
class Query { #rows = [1, 2]; then(yes) { yes(this.#rows); } }
class Lazy { constructor() { this.sql = 'select 1'; } then(yes) { setTimeout(() => yes('rows'), 1); } }
const resizable = (bytes, size) => { const buffer = new ArrayBuffer(bytes, { maxByteLength: 64 }); return [buffer, () => buffer.resize(size)]; };
const revoked = (target) => { const { proxy, revoke } = Proxy.revocable(target, {}); revoke(); return proxy; };
";

/// A node whose functions have these bodies, by their places.
pub struct Functions {
    _fleet: Fleet,
    _node: Server,
    pub client: Client,
}

impl Functions {
    pub fn new<'a>(bodies: impl IntoIterator<Item = &'a str>) -> Self {
        let mut script = CLASSES.to_owned();
        for (place, body) in bodies.into_iter().enumerate() {
            writeln!(
                script,
                "madrpc.register('f{place}', function () {{ {body} }});"
            )
            .unwrap();
        }
        let fleet = Fleet::new();
        let node = fleet.node(&script);
        let client = fleet.client(node.address());
        Self {
            _fleet: fleet,
            _node: node,
            client,
        }
    }

    pub fn call(&self, place: usize) -> Result<Value, CallError> {
        let name = format!("f{place}");
        let call = self.client.prepare(&name);
        let call = call.timeout(Duration::from_secs(5));
        call.send_blocking(Value::from(5)).map(|reply| reply.result)
    }
}
