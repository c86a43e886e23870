//! A whole cluster in one process, on loopback: for development, examples and tests.

use super::{Server, ServerConfig, StartError, bind};
use crate::engine::{Script, ScriptError};
use crate::net::address::Addresses;
use crate::node::NodeConfig;
use crate::runtime::cpus::{self, CpuSet};
use madrpc_core::identity::{Identity, Role};
use madrpc_core::numbers::later;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// An orchestrator and its nodes. Dropping it ends them at once.
pub struct Cluster {
    // Fields are dropped in their order: no call is forwarded to a node that has gone.
    orchestrator: Server,
    nodes: Vec<Server>,
}

impl Cluster {
    /// Starts `nodes` nodes that run `script`, and an orchestrator in front of them, on free ports and as this user.
    ///
    /// The cores are divided among the nodes, where there are enough; the orchestrator has one shard. The calls of
    /// calls go through it, whatever `settings` say. Calls that take longer than `slow` are told of in the log.
    ///
    /// # Errors
    /// What is wrong with the first server that cannot be started.
    pub fn start(
        script: &Script,
        nodes: usize,
        settings: &NodeConfig,
        slow: Option<Duration>,
    ) -> Result<Self, StartError> {
        if nodes == 0 {
            return Err(StartError::Settings(
                "a cluster needs at least 1 node".into(),
            ));
        }
        let cores = cpus::choose(None, None)?;
        let config =
            |role: Role, cpus: Option<CpuSet>, shards: Option<usize>| -> Result<_, StartError> {
                Ok(ServerConfig {
                    shards,
                    cpus,
                    slow,
                    ..ServerConfig::new(
                        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                        Identity::of_this_user(role)?,
                    )
                })
            };
        // The nodes and the orchestrator have to know each other's addresses.
        let front = ServerConfig {
            label: Some("orchestrator".into()),
            ..config(Role::Orchestrator, None, Some(1))?
        };
        let sockets = bind(&front, 1)?;
        let settings = NodeConfig {
            orchestrators: vec![sockets.address.into()],
            ..settings.clone()
        };
        let mut started = Vec::with_capacity(nodes);
        for number in 0..nodes {
            let first = number % cores.len();
            let share = cores.iter().skip(first).step_by(nodes).map(|core| core.id);
            let config = ServerConfig {
                label: Some(format!("node-{}", number.saturating_add(1))),
                ..config(Role::Node, Some(share.collect()), None)?
            };
            started.push(Server::node(&config, script, &settings)?);
        }
        let addresses = started.iter().map(|node| node.address().into());
        let addresses: Vec<Addresses> = addresses.collect();
        let cores = cpus::choose(None, front.shards)?;
        let orchestrator = Server::orchestrator_at(sockets, &front, &cores, &addresses)?;
        Ok(Self {
            orchestrator,
            nodes: started,
        })
    }

    /// The orchestrator's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.orchestrator.address()
    }

    /// The orchestrator.
    #[must_use]
    pub fn orchestrator(&self) -> &Server {
        &self.orchestrator
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// Lets all nodes go over to another script, see [`Server::reload`]; gives the names of its functions.
    ///
    /// # Errors
    /// Where a node cannot use the script; the nodes before it have gone over to it already.
    pub fn reload(&mut self, script: &Script) -> Result<Vec<String>, ScriptError> {
        let mut functions = Vec::new();
        for node in &mut self.nodes {
            functions = node.reload(script)?;
        }
        Ok(functions)
    }

    /// Takes nothing new, waits for the calls under way for at most `timeout`, and ends. Says whether all calls ended.
    pub fn drain(self, timeout: Duration) -> bool {
        let deadline = later(Instant::now(), timeout);
        let mut drained = self.orchestrator.drain(timeout);
        for node in self.nodes {
            drained &= node.drain(deadline.saturating_duration_since(Instant::now()));
        }
        drained
    }
}
