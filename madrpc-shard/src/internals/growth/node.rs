//! A node whose only lane has a call that does not end, and what waits for it.

use super::{FOR_LONG, Failure, Silent, request, seat};
use crate::engine::{LaneConfig, Script};
use crate::net::budget::Budget;
use crate::net::endpoint::{Endpoint, SessionKey};
use crate::net::incoming::{CallsOfCallers, Incoming};
use crate::net::service::{Io, Service};
use crate::node::lanes::{Lanes, Making, RETURN_INTERVAL};
use crate::node::shared::Shared;
use crate::node::{Node, NodeConfig};
use madrpc_core::value::Value;
use std::time::{Duration, Instant};

/// Calls of one caller that wait for a lane.
pub struct Queue {
    node: Node,
    callers: Endpoint,
    calls: CallsOfCallers<<Node as Service>::Call>,
    caller: SessionKey,
    arguments: Vec<u8>,
    now: Instant,
    _peer: Silent,
}

impl Queue {
    /// So many calls, of the first of so many functions, where no more than `queue_max` may wait.
    ///
    /// # Errors
    /// Where there can be no such node.
    pub fn new(functions: usize, calls: u64, queue_max: usize) -> Result<Self, Failure> {
        let (peer, now) = (Silent::new()?, Instant::now());
        let mut callers = peer.endpoint(now)?;
        let caller = peer.session(&mut callers, now)?;
        let source = format!(
            "madrpc.register('spin', () => {{ for (;;); }});
             for (let i = 0; i < {functions}; i++) madrpc.register('f' + i, () => i);"
        );
        let config = NodeConfig {
            queue_max,
            lane: LaneConfig {
                memory_bytes: 1 << 30,
                ..LaneConfig::default()
            },
            ..NodeConfig::default()
        };
        let (_, changes) = std::sync::mpsc::channel();
        let node = Node::new(
            &seat("node", now)?,
            &Script::new("growth", &source),
            &config,
            1,
            (changes, &Shared::default()),
            &Budget::unlimited(),
            now,
        )?;
        let mut arguments = Vec::new();
        Value::Array(Vec::new()).encode(&mut arguments, 100)?;
        let mut made = Self {
            node,
            callers,
            calls: CallsOfCallers::new(now),
            caller,
            arguments,
            now: Instant::now(),
            _peer: peer,
        };
        made.call("spin", u64::MAX);
        (0..calls).for_each(|id| made.call("f0", id));
        Ok(made)
    }

    fn split(&mut self) -> (&mut Node, Io<'_, Node>) {
        let io = Io {
            now: self.now,
            callers: &mut self.callers,
            calls: &mut self.calls,
            upstreams: None,
        };
        (&mut self.node, io)
    }

    /// A call of this function comes.
    pub fn call(&mut self, function: &str, id: u64) {
        self.call_for(function, id, FOR_LONG);
    }

    /// A call comes that has so much time.
    pub fn call_for(&mut self, function: &str, id: u64, timeout: Duration) {
        let arguments = std::mem::take(&mut self.arguments);
        let (session, now) = (self.caller, self.now);
        let mut request = request(now);
        (request.function, request.body) = (function, (&arguments).into());
        request.deadline = now + timeout;
        let call = Incoming {
            session,
            id,
            request,
            arrived: now,
        };
        let (node, mut io) = self.split();
        node.on_call(&call, &mut io);
        self.arguments = arguments;
    }

    /// Whether this call is under way.
    #[must_use]
    pub fn is_under_way(&mut self, id: u64) -> bool {
        self.calls.get(self.caller, id).is_some()
    }

    /// The caller gives a call up; says whether it was under way.
    pub fn cancel(&mut self, id: u64) -> bool {
        let caller = self.caller;
        let (node, mut io) = self.split();
        let call = io.calls.get(caller, id);
        if let Some(call) = call {
            node.on_cancel(call, &mut io);
        }
        call.is_some()
    }

    /// Time passes.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Does what a turn of the shard does.
    pub fn turn(&mut self) {
        let (node, mut io) = self.split();
        node.turn(&mut io);
    }

    /// The caller is gone.
    pub fn end(&mut self) {
        self.calls.end(self.caller);
    }

    /// Gives up a call whose caller is gone; says whether there was one.
    pub fn end_next(&mut self) -> bool {
        let (node, mut io) = self.split();
        let call = io.calls.next_orphan();
        if let Some(call) = call {
            node.on_cancel(call, &mut io);
        }
        call.is_some()
    }
}

/// Lanes that nobody needs any more.
pub struct Idle {
    lanes: Lanes,
    now: Instant,
}

impl Idle {
    /// So many beyond the one of the pool.
    ///
    /// # Errors
    /// Where a lane cannot be made.
    pub fn new(beyond: usize) -> Result<Self, Failure> {
        let now = Instant::now();
        let script = Script::new("growth", "madrpc.register('f', () => 1);");
        let config = LaneConfig::default();
        let mut lanes = Lanes::new(&seat("node", now)?, &script, &config, 1, usize::MAX, now)?;
        let mut made = 0;
        while made < beyond {
            match lanes.make(Instant::now(), FOR_LONG) {
                Making::Ready => made += 1,
                Making::Going => {}
                Making::Full => return Err("there are no more lanes".into()),
                Making::Failed(error) | Making::NoMemory(error) => return Err(error.into()),
            }
        }
        let mut idle = Self { lanes, now };
        // From here on it is known that nobody needs them.
        idle.give_back();
        Ok(idle)
    }

    /// Gives back those that nobody has needed for a while.
    pub fn give_back(&mut self) {
        self.now += RETURN_INTERVAL;
        self.lanes.give_back(self.now);
    }
}
