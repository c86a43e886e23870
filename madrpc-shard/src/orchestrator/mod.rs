//! The orchestrator's part of a shard: it passes calls on to nodes and replies back, and executes nothing.
//!
//! Bodies are never decoded. Which node gets a call, and whether another does where that one has not ended it, is for the router
//! to say (`madrpc_core::fleet`), which the sessions to the nodes ask (`net::dial`). Only what can be called is asked of all
//! nodes, see `inquiry`.

mod ended;
mod inquiry;
mod results;
mod rules;

use crate::net::address::Addresses;
use crate::net::dial::{CallId, Item, Keep, Outcome, Request, Upstreams};
use crate::net::endpoint::{Endpoint, SessionKey};
use crate::net::incoming::{Incoming, not_taken, number_taken};
use crate::net::seat::Seat;
use crate::net::service::{Io, Service};
use crate::net::traces::{Observing, Tried};
use ended::Ended;
use inquiry::Inquiries;
use madrpc_core::call::frame::Header;
use madrpc_core::call::{Bill, CallError, ErrorKind, Fields};
use madrpc_core::fleet::{Routing, Subset, digest};
use madrpc_core::identity::{Permissions, Role, SERVER_NAME_ANY};
use madrpc_core::stats::{Counters, Snapshot, UNKNOWN, Upstream};
use results::ResultSizes;
use rules::Rules;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a node's certificate must be for: nobody but a node can take its calls.
const NODE_NAME: &str = match Role::Node.server_name() {
    Some(name) => name,
    None => SERVER_NAME_ANY,
};

/// Under which node's name calls are counted that found none.
const NO_NODE: &str = "(none)";

/// Its number in the counters.
const NOBODY: usize = 0;

/// Calls on their way through one shard.
pub(crate) struct Orchestrator {
    /// Its first node stands for the calls that found none.
    counters: Counters,
    /// The numbers of the targets in the counters.
    nodes: Vec<usize>,
    /// How many targets have each number.
    named: Vec<usize>,
    inquiries: Inquiries,
    sizes: ResultSizes,
    /// Calls that were passed on and have no outcome.
    passed_on: usize,
    /// Until it was looked at them.
    rules: Option<Box<Rules>>,
    observing: Observing,
}

/// What an outcome is for.
pub(crate) enum Tag {
    /// A call that was passed on.
    Call(Waiting),
    /// A collection of what can be called, by its number.
    Inquiry(u64),
}

/// A caller's call that is under way.
#[derive(Clone, Copy)]
pub(crate) enum Call {
    /// It was passed on.
    PassedOn(CallId),
    /// It is an inquiry, of this number.
    Inquiry(u64),
}

/// Who waits for the outcome of a call.
pub(crate) struct Waiting {
    session: SessionKey,
    /// The caller's number for the call.
    id: u64,
    function: Function,
    arrived: Instant,
    /// Bytes that its result is expected to have.
    expected: usize,
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
    pub(crate) fn new(
        seat: &Seat,
        endpoint: Endpoint,
        nodes: &[Addresses],
        routing: Routing,
        now: Instant,
    ) -> (Self, Upstreams<Tag>) {
        let mut orchestrator = Self {
            counters: Counters::new([NO_NODE]),
            nodes: Vec::new(),
            named: Vec::new(),
            inquiries: Inquiries::new(&seat.name, now),
            sizes: ResultSizes::default(),
            passed_on: 0,
            rules: None,
            observing: Observing::default(),
        };
        let (sessions, keep) = (seat.sessions(), Keep::Always);
        let subset = routing.subset.map(|size| Subset {
            process: digest(seat.name.as_bytes()),
            shard: usize::from(seat.shard),
            shards: usize::from(seat.shards),
            size,
        });
        let mut upstreams = Upstreams::new(endpoint, &[], sessions, NODE_NAME, keep, now);
        upstreams.set_routing(routing, subset, now);
        upstreams.set_targets(nodes);
        for (target, name) in upstreams.names() {
            orchestrator.learn(target, &name);
        }
        (orchestrator, upstreams)
    }

    /// What to tell of single calls.
    pub(crate) fn set_observing(&mut self, observing: Observing) {
        self.observing = observing;
    }

    /// Says of rules that speak of a function which no node has.
    pub(crate) fn look_at_rules(&mut self, permissions: &Arc<Permissions>) {
        if permissions.named().next().is_some() {
            self.rules = Some(Box::new(Rules::new(Arc::clone(permissions))));
        }
    }

    /// A target has this name.
    fn learn(&mut self, target: usize, name: &str) {
        if target >= self.nodes.len() {
            self.nodes.resize(target + 1, NOBODY);
        }
        let number = self.counters.node(name);
        if number >= self.named.len() {
            self.named.resize(number + 1, 0);
        }
        self.named[number] += 1;
        let before = std::mem::replace(&mut self.nodes[target], number);
        // The number of one that is gone is given to another, so that no more names are kept than there were nodes at a time.
        if before != NOBODY {
            self.named[before] -= 1;
            if self.named[before] == 0 {
                self.counters.forget_node(before);
            }
        }
    }

    /// Counts a call that has ended, and what its node says that it had of the core; gives how long it took.
    fn count(
        &mut self,
        waiting: &Waiting,
        node: usize,
        now: Instant,
        cpu_us: u64,
        error: Option<ErrorKind>,
    ) -> Duration {
        let took = now.saturating_duration_since(waiting.arrived);
        let function = match waiting.function {
            Function::Known(number) => number,
            Function::Named(_) => UNKNOWN,
        };
        let times = (took.as_micros() as u64, cpu_us);
        self.counters.record_run(function, node, times, error);
        took
    }

    /// Ends a call that was passed on, unless it has just ended.
    fn give_up(&mut self, sent: CallId, error: &CallError, io: &mut Io<'_, Self>) {
        if let Some(upstreams) = &mut io.upstreams
            && let Some(Tag::Call(waiting)) = upstreams.cancel(sent)
        {
            self.passed_on -= 1;
            io.calls.remove(waiting.session, waiting.id);
            io.callers.forget_result(waiting.session, waiting.expected);
            let (tries, tried) = (upstreams.tries_of_last(), upstreams.take_traced());
            self.fail(&waiting, error, (tries, tried), io);
        }
    }

    /// Ends a call that has had so many tries.
    fn fail(
        &mut self,
        waiting: &Waiting,
        error: &CallError,
        (tries, tried): (u8, Option<Box<Tried>>),
        io: &mut Io<'_, Self>,
    ) {
        let ended = Ended {
            took: self.count(waiting, NOBODY, io.now, 0, Some(error.kind)),
            node: NOBODY,
            tries,
            error: Some(error.kind),
        };
        self.observe(waiting, &ended, tried, io);
        if let Some(outbox) = io.callers.outbox(waiting.session) {
            outbox.fail(waiting.id, Bill::default(), error);
        }
    }
}

impl Service for Orchestrator {
    type Call = Call;
    type Tag = Tag;

    fn on_call(&mut self, call: &Incoming<'_>, io: &mut Io<'_, Self>) {
        let name = call.request.function;
        let Some(upstreams) = &mut io.upstreams else {
            return;
        };
        let function = upstreams.find(name);
        let number = match function {
            // One look for the name, and not another in the counters.
            Some(function) => upstreams.router().mark(function),
            None => self.counters.find(name),
        };
        let expected = self.sizes.expected(number);
        let waiting = Waiting {
            session: call.session,
            id: call.id,
            function: number.map_or_else(|| Function::Named(name.into()), Function::Known),
            arrived: call.arrived,
            expected,
        };
        let mut tried = self.observing.tried(call.request.fields);
        let said = tried
            .as_mut()
            .and_then(|tried| tried.say(call.request.fields));
        let request = Request {
            account: io.callers.origin(call.session, call.request.account),
            fields: said.as_deref().map_or(call.request.fields, Fields),
            ..call.request
        };
        match upstreams.call_known(io.now, &request, function, Tag::Call(waiting)) {
            Ok(sent) => {
                if let Some(tried) = tried {
                    upstreams.trace(sent, tried, io.now);
                }
                let passed_on = Call::PassedOn(sent);
                // One look at the numbers under way, and not one before and one after: it is much of what a call costs.
                if io.calls.insert(call.session, call.id, passed_on, io.now) {
                    self.passed_on += 1;
                    io.callers.expect_result(call.session, expected);
                } else {
                    upstreams.cancel(sent);
                    upstreams.take_traced();
                    io.callers.break_off(call.session, &number_taken(call.id));
                }
            }
            // The caller would take this failure for that of its call of the same number.
            Err(_) if io.calls.get(call.session, call.id).is_some() => {
                io.callers.break_off(call.session, &number_taken(call.id));
            }
            Err((Tag::Call(waiting), error)) => self.fail(&waiting, &error, (0, tried), io),
            Err((Tag::Inquiry(_), _)) => {}
        }
    }

    fn on_inquiry(&mut self, session: SessionKey, id: u64, io: &mut Io<'_, Self>) {
        self.inquiries.ask(session, id, io);
    }

    fn on_cancel(&mut self, call: Call, io: &mut Io<'_, Self>) {
        match call {
            Call::PassedOn(sent) => {
                let error = "the caller has given the call up";
                let error = CallError::may_have_run(ErrorKind::Cancelled, error);
                self.give_up(sent, &error, io);
            }
            Call::Inquiry(number) => self.inquiries.forget(number, io),
        }
    }

    fn on_credit(&mut self, call: Call, frames: u32, io: &mut Io<'_, Self>) {
        if let (Call::PassedOn(sent), Some(upstreams)) = (call, &mut io.upstreams) {
            upstreams.grant(sent, frames);
        }
    }

    fn on_item(&mut self, call: CallId, item: Item<'_>, io: &mut Io<'_, Self>) {
        let Some(upstreams) = &mut io.upstreams else {
            return;
        };
        let Some(Tag::Call(Waiting { session, id, .. })) = upstreams.tag_mut(call) else {
            return;
        };
        let (session, id) = (*session, *id);
        io.callers.work_for(session);
        // One who grants much and takes nothing; those who grant what they have room for never come to that.
        if io.callers.is_behind(session, false) {
            return self.give_up(call, &not_taken(), io);
        }
        if let Some(outbox) = io.callers.outbox(session) {
            let Item { number, part, body } = item;
            outbox.send(&Header::Item { id, number, part }, body);
        }
    }

    fn on_targets(&mut self, new: &[(usize, String)]) {
        for (target, name) in new {
            self.learn(*target, name);
        }
    }

    fn on_outcome(&mut self, tag: Tag, target: usize, outcome: Outcome<'_>, io: &mut Io<'_, Self>) {
        let node = self.nodes.get(target).copied().unwrap_or(NOBODY);
        let mut waiting = match tag {
            Tag::Call(waiting) => waiting,
            Tag::Inquiry(round) => {
                let name = self.counters.nodes().get(node).map_or("", |name| name);
                return self.inquiries.take(round, name, &outcome, io);
            }
        };
        let (tries, mut tried) = match &mut io.upstreams {
            Some(upstreams) => (upstreams.tries_of_last(), upstreams.take_traced()),
            None => (0, None),
        };
        self.passed_on -= 1;
        let Waiting { session, id, .. } = waiting;
        io.callers.work_for(session);
        io.calls.remove(session, id);
        io.callers.forget_result(session, waiting.expected);
        if let Function::Named(name) = &waiting.function
            && implies_function(&outcome)
        {
            let number = self.counters.number(name);
            if let Some(upstreams) = &mut io.upstreams {
                upstreams.router().set_mark(name, number);
            }
            waiting.function = Function::Known(number);
        }
        let error = outcome.error_kind();
        if let Some(tried) = &mut tried {
            tried.ended(target, error, io.now);
        }
        let ended = Ended {
            took: self.count(&waiting, node, io.now, outcome.cpu_us(), error),
            node,
            tries,
            error,
        };
        self.observe(&waiting, &ended, tried, io);
        if let Function::Known(number) = waiting.function
            && !matches!(outcome, Outcome::Lost(_))
        {
            self.sizes.note(number, outcome.body_bytes());
        }
        let has_room = io.callers.has_room(session, outcome.body_bytes());
        let Some(outbox) = io.callers.outbox(session) else {
            return;
        };
        match outcome {
            _ if !has_room => outbox.fail(id, Bill::default(), &not_taken()),
            Outcome::Reply { bill, body } => outbox.send(&Header::Reply { id, bill }, body),
            Outcome::Failure {
                kind,
                bill,
                fields,
                body,
            } => {
                let mut said = Vec::new();
                fields.write_without_load(&mut said);
                outbox.send_with(&Header::Failure { id, kind, bill }, Fields(&said), body);
            }
            Outcome::Lost(error) => outbox.fail(id, Bill::default(), &error),
        }
    }

    fn turn(&mut self, io: &mut Io<'_, Self>) {
        if !self.inquiries.is_over() {
            self.inquiries.turn(io);
        }
        if let Some(rules) = &mut self.rules
            && let Some(upstreams) = &mut io.upstreams
            && rules.look(upstreams.router(), io.now)
        {
            self.rules = None;
        }
    }

    fn has_work(&self) -> bool {
        self.inquiries.has_work()
    }

    fn next_timer(&self) -> Option<Instant> {
        self.inquiries.next_timer()
    }

    fn is_idle(&self) -> bool {
        self.passed_on == 0 && !self.inquiries.is_awaited()
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn describe(&self, snapshot: &mut Snapshot) {
        snapshot.spans_dropped = self.observing.dropped();
    }

    fn report(
        &self,
        upstreams: &Upstreams<Tag>,
        from: usize,
        now: Instant,
    ) -> (Vec<Upstream>, Option<usize>) {
        upstreams.report(from, now)
    }
}

/// Whether a node that answers so has the function. One that is stopping, or has too much to do, says so of every name.
fn implies_function(outcome: &Outcome<'_>) -> bool {
    match outcome {
        Outcome::Reply { .. } => true,
        Outcome::Lost(_) => false,
        Outcome::Failure { kind, .. } => matches!(
            kind,
            ErrorKind::BadArguments
                | ErrorKind::JavaScript
                | ErrorKind::DeadlineExceeded
                | ErrorKind::CpuLimit
                | ErrorKind::MemoryLimit
                | ErrorKind::StackLimit
                | ErrorKind::PayloadTooLarge
        ),
    }
}
