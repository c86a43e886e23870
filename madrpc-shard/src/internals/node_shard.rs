//! A node's shard without a thread: it takes its turns when it is told to.

use crate::engine::{Registration, Script, ScriptError};
use crate::net::bell::Listener;
use crate::net::budget::Budget;
use crate::net::endpoint::{Accepting, Endpoint, Resets, Tokens};
use crate::net::relay::Relay;
use crate::net::seat::Seat;
use crate::net::socket::Socket;
use crate::net::spin::Spin;
use crate::net::steer::{SocketGroup, SteeringChoice};
use crate::net::transport::accepting_config;
use crate::node::shared::Shared;
use crate::node::{Node, NodeConfig, ScriptChange};
use crate::server::control::ToControl;
use crate::server::messages::{Inbox, ToShard};
use crate::server::shard::{Next, Served, Shard};
use futures_channel::mpsc::unbounded;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use madrpc_core::identity::Identity;
use madrpc_core::stats::Snapshot;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// A node's only shard, in front of a socket on loopback.
pub struct NodeShard {
    executor: LocalExecutor,
    /// There until it is dropped, which has to happen on the executor.
    shard: Option<Shard<Node>>,
    sockets: SocketGroup,
    budget: Rc<Budget>,
    changes: Sender<ScriptChange>,
    inbox: Inbox,
    control: Receiver<ToControl>,
}

impl NodeShard {
    /// A shard with so many lanes that have this script loaded, and so many bytes for all that it holds.
    ///
    /// # Errors
    /// Where the machine has no io_uring or no port, or the script cannot be used.
    pub fn new(
        identity: &Identity,
        script: &Script,
        lanes: usize,
        memory_max: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut sockets = SocketGroup::bind(address, 1, SteeringChoice::Auto)?;
        let socket = sockets.sockets.pop().ok_or("no socket")?;
        let (name, now) = (sockets.address.to_string(), Instant::now());
        let listener = Listener::new()?;
        let seat = Seat {
            shard: 0,
            shards: 1,
            steering: sockets.steering,
            role: "node",
            name: name.clone(),
            started: now,
            beacon: Arc::default(),
            bell: Arc::clone(listener.bell()),
        };
        let accepting = Accepting {
            config: accepting_config(identity)?,
            shard: 0,
            shards: 1,
            instance: 1,
            tokens: Tokens::new(now)?,
            resets: Resets::new([0; 32], &name, now),
        };
        let budget = Budget::new(memory_max);
        let (changes, changed) = channel();
        let (to_shard, messages) = unbounded();
        let inbox = Inbox::new(to_shard, listener.bell());
        let (to_control, control) = channel();
        let config = NodeConfig::default();
        let node = Node::new(
            &seat,
            script,
            &config,
            lanes,
            (changed, &Shared::default()),
            &budget,
            now,
        )?;
        let executor = LocalExecutorBuilder::new(Placement::Unbound).make()?;
        let socket = executor.run(async { Socket::new(socket) })?;
        let bytes = Rc::clone(&budget);
        let callers = Endpoint::accepting(socket, Relay::default(), accepting, bytes, now);
        let shard = Shard::new(
            seat,
            callers,
            Served {
                service: node,
                upstreams: None,
                announcing: None,
            },
            Rc::clone(&budget),
            (messages, listener),
            (to_control, Arc::default(), [0; 32]),
            Spin::new(Duration::ZERO),
        );
        Ok(Self {
            executor,
            shard: Some(shard),
            sockets,
            budget,
            changes,
            inbox,
            control,
        })
    }

    /// Where its callers find it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.sockets.address
    }

    /// Bytes that it holds for its peers.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.budget.used()
    }

    /// What it tells of itself, without the functions.
    #[must_use]
    pub fn head(&self, now: Instant) -> Snapshot {
        let shard = self.shard.as_ref();
        shard.map(|shard| shard.head(now)).unwrap_or_default()
    }

    /// Whether no call is under way, and none of a caller that has gone is left to be ended.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.shard.as_ref().is_some_and(Shard::is_idle)
    }

    /// Takes a turn; says whether the next one has something to do without anything new from outside.
    pub fn turn(&mut self, now: Instant) -> bool {
        while self.control.try_recv().is_ok() {}
        let next = self.shard.as_mut().map(|shard| shard.turn(now));
        next == Some(Next::Turn)
    }

    /// Loads another script beside the one that runs, in the turns to come; then it is told what that registers.
    pub fn prepare(&mut self, script: &Script) -> Receiver<Result<Vec<Registration>, ScriptError>> {
        let (prepared, answer) = channel();
        self.change(ScriptChange::Prepare(script.clone(), prepared));
        answer
    }

    /// Goes over to the script that is loaded, if there is one.
    pub fn adopt(&mut self) {
        self.change(ScriptChange::Adopt(Shared::default()));
    }

    fn change(&mut self, change: ScriptChange) {
        // They fail only where the shard is gone.
        let _ = self.changes.send(change);
        let _ = self.inbox.send(ToShard::Wake);
    }
}

impl Drop for NodeShard {
    fn drop(&mut self) {
        let shard = self.shard.take();
        self.executor.run(async { drop(shard) });
    }
}
