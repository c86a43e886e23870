//! What the end-to-end tests share: an authority of their own, and servers in this process.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses its own part, and that is how a test fails"
)]

pub mod process;

use madrpc_core::identity::{Authority, Identity, Role};
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{Server, ServerConfig};
use std::net::SocketAddr;
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

    pub fn client(&self, address: SocketAddr) -> Client {
        Client::new(&self.client_config(address)).unwrap()
    }

    pub fn client_config(&self, address: SocketAddr) -> ClientConfig {
        ClientConfig::with_identity(&address.to_string(), self.identity(Role::Client))
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
