//! The orchestrator's part of a shard: it passes calls on to nodes and replies back, and executes nothing.
//!
//! Bodies are never decoded. A call is sent to one node only, and never a second time. Only what can be called is asked
//! of all nodes, see `inquiry`.

mod inquiry;

use crate::catalog::Catalog;
use crate::endpoint::{Endpoint, SessionKey};
use crate::handler::Incoming;
use crate::shard::Seat;
use crate::upstream::{CallId, Keep, Outcome, Upstreams};
use inquiry::Inquiries;
use madrpc_core::error::ErrorKind;
use madrpc_core::frame::{Bill, Header};
use madrpc_core::identity::{Role, SERVER_NAME_ANY};
use madrpc_core::session::Outbox;
use madrpc_core::stats::{Counters, UNKNOWN};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

/// What a node's certificate must be for: nobody but a node can take its calls.
const NODE_NAME: &str = match Role::Node.server_name() {
    Some(name) => name,
    None => SERVER_NAME_ANY,
};

/// Under which node's name calls are counted that found none.
const NO_NODE: &str = "(none)";

/// Calls on their way through one shard.
pub(crate) struct Orchestrator {
    upstreams: Upstreams<Tag>,
    /// By the targets' numbers; one more stands for the calls that found no node.
    counters: Counters,
    /// The calls under way by their callers' names for them, for those who give one up.
    by_caller: HashMap<(SessionKey, u64), CallId>,
    inquiries: Inquiries,
}

/// What an outcome is for.
enum Tag {
    /// A call that was passed on.
    Call(Waiting),
    /// An inquiry, by its number.
    Inquiry(u64),
}

/// Who waits for the outcome of a call.
struct Waiting {
    session: SessionKey,
    /// The caller's number for the call.
    id: u64,
    function: Function,
    arrived: Instant,
}

/// A function as the counters have it.
enum Function {
    /// Its number.
    Known(usize),
    /// Nobody has answered for one of this name yet: callers can invent names.
    Named(Box<str>),
}

impl Orchestrator {
    /// An orchestrator in front of `nodes`, whose sessions are on `endpoint`.
    pub(crate) fn new(seat: &Seat, endpoint: Endpoint, nodes: &[SocketAddr], now: Instant) -> Self {
        let names = nodes
            .iter()
            .map(ToString::to_string)
            .chain([NO_NODE.to_owned()]);
        let sessions = seat.sessions();
        Self {
            upstreams: Upstreams::new(endpoint, nodes, sessions, NODE_NAME, Keep::Always, now),
            counters: Counters::new(names),
            by_caller: HashMap::new(),
            inquiries: Inquiries::default(),
        }
    }

    /// The endpoint of the sessions to the nodes.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.upstreams.endpoint()
    }

    /// The endpoint that the sessions to nodes are opened from.
    pub(crate) fn endpoint_mut(&mut self) -> &mut Endpoint {
        self.upstreams.endpoint_mut()
    }

    /// When to take the next turn at the latest.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.upstreams.next_timer()
    }

    /// Whether no caller waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.upstreams.waiting() == 0
    }

    /// What was counted, for a snapshot.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The nodes, each with 1 where this shard has a session to it, else 0.
    pub(crate) fn links(&self) -> Vec<(String, u16)> {
        let open = self.upstreams.open().map(u16::from);
        let names = self.counters.nodes().iter();
        names.map(ToString::to_string).zip(open).collect()
    }

    /// A caller calls.
    pub(crate) fn on_call(&mut self, call: &Incoming<'_>, outbox: &mut Outbox) {
        let &Incoming {
            session,
            id,
            ref request,
            arrived,
        } = call;
        let waiting = Waiting {
            session,
            id,
            function: match self.counters.find(request.function) {
                Some(number) => Function::Known(number),
                None => Function::Named(request.function.into()),
            },
            arrived,
        };
        match self.upstreams.call(arrived, request, Tag::Call(waiting)) {
            Ok(call) => {
                self.by_caller.insert((session, id), call);
            }
            Err((Tag::Inquiry(_), _)) => {}
            Err((Tag::Call(waiting), error)) => {
                let nobody = self.counters.nodes().len() - 1;
                count(
                    &mut self.counters,
                    &waiting,
                    nobody,
                    arrived,
                    Some(error.kind),
                );
                outbox.fail(id, Bill::default(), &error);
            }
        }
    }

    /// A caller asks what can be called: all nodes are asked, and their answers are added to `catalog`.
    pub(crate) fn on_inquiry(
        &mut self,
        call: &Incoming<'_>,
        catalog: Catalog,
        outbox: &mut Outbox,
    ) {
        let Self {
            upstreams,
            counters,
            inquiries,
            ..
        } = self;
        let nodes = counters.nodes();
        // The last of the names stands for no node.
        let nodes = &nodes[..nodes.len() - 1];
        inquiries.open(call, catalog, nodes, outbox, |node, request, number| {
            let sent = upstreams.call_at(node, call.arrived, request, Tag::Inquiry(number));
            sent.map(|_| ()).map_err(|(_, error)| error)
        });
    }

    /// A caller gives a call up.
    pub(crate) fn on_cancel(&mut self, session: SessionKey, id: u64) {
        match self.by_caller.remove(&(session, id)) {
            Some(call) => self.upstreams.cancel(call),
            None => self.inquiries.forget(session, Some(id)),
        }
    }

    /// A caller is gone, and its calls with it.
    pub(crate) fn on_session_ended(&mut self, session: SessionKey) {
        let upstreams = &mut self.upstreams;
        self.by_caller.retain(|&(caller, _), call| {
            if caller == session {
                upstreams.cancel(*call);
            }
            caller != session
        });
        self.inquiries.forget(session, None);
    }

    /// Takes in the nodes' replies and passes them on; gives the datagrams received.
    pub(crate) fn turn(&mut self, now: Instant, callers: &mut Endpoint) -> usize {
        let Self {
            upstreams,
            counters,
            by_caller,
            inquiries,
        } = self;
        upstreams.turn(now, |tag, node, outcome| {
            let mut waiting = match tag {
                Tag::Call(waiting) => waiting,
                Tag::Inquiry(number) => {
                    let name = counters.nodes().get(node).map_or("", |name| name);
                    return inquiries.take(number, name, &outcome, callers);
                }
            };
            by_caller.remove(&(waiting.session, waiting.id));
            let id = waiting.id;
            let (kind, exists) = match &outcome {
                Outcome::Reply { .. } => (None, true),
                Outcome::Failure { kind, .. } => (Some(*kind), implies_function(*kind)),
                Outcome::Lost(error) => (Some(error.kind), false),
            };
            if let Function::Named(name) = &waiting.function
                && exists
            {
                waiting.function = Function::Known(counters.number(name));
            }
            count(counters, &waiting, node, now, kind);
            let Some(outbox) = callers.outbox(waiting.session) else {
                return;
            };
            match outcome {
                Outcome::Reply { bill, body } => outbox.send(&Header::Reply { id, bill }, body),
                Outcome::Failure { kind, bill, body } => {
                    outbox.send(&Header::Failure { id, kind, bill }, body);
                }
                Outcome::Lost(error) => outbox.fail(id, Bill::default(), &error),
            }
        })
    }

    /// Sends what there is to say to the nodes.
    pub(crate) fn flush(&mut self, now: Instant) {
        self.upstreams.flush(now);
    }

    /// Ends the sessions to the nodes.
    pub(crate) fn close(&mut self, reason: &str) {
        self.upstreams.close(reason);
    }
}

fn count(
    counters: &mut Counters,
    waiting: &Waiting,
    node: usize,
    now: Instant,
    error: Option<ErrorKind>,
) {
    let latency = now.saturating_duration_since(waiting.arrived);
    let function = match waiting.function {
        Function::Known(number) => number,
        Function::Named(_) => UNKNOWN,
    };
    counters.record(function, node, latency.as_micros() as u64, error);
}

/// Whether a node that answers with this error has the function. One that is stopping, or has too much to do, says so of
/// every name.
fn implies_function(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::BadArguments
            | ErrorKind::JavaScript
            | ErrorKind::DeadlineExceeded
            | ErrorKind::CpuLimit
            | ErrorKind::MemoryLimit
            | ErrorKind::StackLimit
            | ErrorKind::PayloadTooLarge
    )
}
