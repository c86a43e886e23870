//! The node's part of a shard: it runs calls in its lanes.
//!
//! A call that finds room starts at once, in the middle of reading frames: most are over within microseconds and have
//! their reply in the same datagram as their neighbours. One that has used up its slice goes to the end of the row of
//! running calls; one that finds no room waits in the queue, first in, first out.
//!
//! **Who gets the core.** New calls come first. A running call gets a slice when no new call has come for a moment, or
//! when new ones have had the core for as long as its last slice took: under a flood of tiny calls, long ones still
//! have about half of the core. Among the running, those that have used few slices go first, and every fourth slice
//! goes to the one that has waited longest, so nothing starves. One that has to end, by its deadline or its caller, goes
//! before all: it needs one look at the clock to be gone.
//!
//! **Waiting.** A call that waits for a timer, or for a call of its own, keeps its lane but not its place among the
//! running; another lane takes that, and one is made where none is free. So parents never block their children.

mod children;
mod config;
mod lanes;
mod listing;
mod reply;
mod schedule;
mod ticket;

pub use config::{DEFAULT_QUEUE_MAX, DEFAULT_SLICE, LANES_PER_SHARD, NodeConfig};

use crate::endpoint::{Endpoint, SessionKey};
use crate::engine::{Lane, LaneConfig, LoadError, Registration, Script};
use crate::handler::Incoming;
use crate::shard::Seat;
use crate::upstream::{Keep, Upstreams};
use children::Waiting;
use madrpc_core::error::{CallError, ErrorKind};

use madrpc_core::identity::{Role, SERVER_NAME_ANY};
use madrpc_core::session::Outbox;
use madrpc_core::stats::{Counters, Row};
use madrpc_core::wheel::Wheel;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use ticket::{Origin, Parent, Queued, Registered, Running, Ticket};

/// The slice of a node without slices: longer than any deadline.
const UNSLICED: Duration = Duration::from_secs(48 * 60 * 60);

/// How long calls may be started in one turn before the network has its own.
const TURN: Duration = Duration::from_millis(1);

/// Lanes of one shard, most of them of waiting calls.
const LANES_MAX: usize = 1024;

/// Whom the calls of calls go through.
const ORCHESTRATOR_NAME: &str = match Role::Orchestrator.server_name() {
    Some(name) => name,
    None => SERVER_NAME_ANY,
};

/// Lanes, and the calls in them and before them.
pub(crate) struct Node {
    shard: u16,
    name: String,
    script: Script,
    functions: HashMap<String, Registered>,
    /// The same as the script has them, for those who ask.
    registrations: Vec<Registration>,
    slice: Duration,
    lane_config: LaneConfig,
    /// Calls that wait for a lane; those of callers beyond it are refused.
    queue_max: usize,
    /// Calls that may run at the same time.
    pool: usize,
    lanes: Vec<Lane>,
    free: Vec<usize>,
    /// Lanes that must be replaced before they are used: when the shard has a moment, as it takes a millisecond or
    /// more, or when a call needs one.
    worn: Vec<usize>,
    /// Whether the last try to replace one has failed; then only a call that needs one leads to another try.
    cannot_load: bool,
    running: VecDeque<Running>,
    /// Calls that wait for an answer or a timer, by their lanes.
    waiting: HashMap<usize, Waiting>,
    timers: Wheel<usize>,
    queue: VecDeque<Queued>,
    upstreams: Option<Upstreams<Parent>>,
    counters: Counters,
    last_serial: u64,
    slices_given: u64,
    last_call: Instant,
    /// When the running calls go on although new ones come.
    next_slice: Instant,
    next_search: Instant,
}

impl Node {
    /// A node's part of the shard at this seat, with `pool` lanes that have the script loaded.
    ///
    /// The calls of calls go through the orchestrator, whose address and endpoint are given, else to this shard.
    ///
    /// # Errors
    /// Where a lane cannot load it, or a later one registers other functions than the first.
    pub(crate) fn new(
        seat: &Seat,
        script: &Script,
        config: &NodeConfig,
        pool: usize,
        orchestrator: Option<(SocketAddr, Endpoint)>,
        now: Instant,
    ) -> Result<Self, LoadError> {
        let mut lanes = Vec::with_capacity(pool);
        let mut functions: Vec<Registration> = Vec::new();
        for number in 0..pool {
            let (lane, registered) = Lane::load(script, &seat.name, &config.lane)?;
            if number > 0 && registered != functions {
                return Err(LoadError {
                    message: format!(
                        "script {}: registers other functions each time it is loaded",
                        script.name()
                    ),
                    stack: String::new(),
                });
            }
            functions = registered;
            lanes.push(lane);
        }
        let registrations = functions.clone();
        let mut counters = Counters::new(vec![seat.name.clone()]);
        let numbered = functions.into_iter().enumerate().map(|(place, function)| {
            let registered = Registered {
                place,
                counter: counters.number(&function.name),
                timeout: function.options.timeout,
                isolate: config.lane.isolate || function.options.isolate,
            };
            (function.name, registered)
        });
        Ok(Self {
            shard: seat.shard,
            name: seat.name.clone(),
            script: script.clone(),
            functions: numbered.collect(),
            registrations,
            slice: config.slice.unwrap_or(UNSLICED),
            lane_config: config.lane.clone(),
            queue_max: config.queue_max,
            pool,
            free: (0..lanes.len()).collect(),
            worn: Vec::new(),
            cannot_load: false,
            lanes,
            running: VecDeque::new(),
            waiting: HashMap::new(),
            timers: Wheel::new(now),
            queue: VecDeque::new(),
            upstreams: orchestrator.map(|(address, endpoint)| {
                Upstreams::new(
                    endpoint,
                    &[address],
                    ORCHESTRATOR_NAME,
                    Keep::WhileCalling,
                    now,
                )
            }),
            counters,
            last_serial: 0,
            slices_given: 0,
            last_call: now,
            next_slice: now,
            next_search: now,
        })
    }

    /// Whether the next turn has something to do without anything new from outside.
    pub(crate) fn has_work(&self) -> bool {
        let from_upstream = self
            .upstreams
            .as_ref()
            .is_some_and(|upstreams| upstreams.endpoint().has_work());
        let has_worn = !self.worn.is_empty() && !self.cannot_load;
        from_upstream || !self.running.is_empty() || !self.queue.is_empty() || has_worn
    }

    /// Whether no call is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.queue.is_empty() && self.waiting.is_empty()
    }

    /// When to take the next turn at the latest.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let upstream = self.upstreams.as_ref().and_then(Upstreams::next_timer);
        [self.timers.next(), upstream].into_iter().flatten().min()
    }

    /// The endpoint of the sessions to the orchestrator.
    pub(crate) fn endpoint(&self) -> Option<&Endpoint> {
        self.upstreams.as_ref().map(Upstreams::endpoint)
    }

    /// Rows for a snapshot.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.counters.rows()
    }

    /// A caller calls.
    pub(crate) fn on_call(&mut self, call: &Incoming<'_>, outbox: &mut Outbox) {
        let name = call.request.function;
        let Some(&function) = self.functions.get(name) else {
            let error = self.no_such_function(name);
            let counter = self.counters.number(name);
            self.counters.record(counter, 0, 0, Some(error.kind));
            outbox.fail(
                call.id,
                self.bill(Duration::ZERO, Duration::ZERO, 0, 0),
                &error,
            );
            return;
        };
        let ticket = Ticket {
            origin: Origin::Session {
                session: call.session,
                id: call.id,
            },
            function,
            arrived: call.arrived,
            deadline: function.deadline(call.arrived, call.request.deadline),
            depth: call.request.depth,
        };
        self.last_call = call.arrived;
        // A call's arrival is the beginning of its turn.
        let now = Instant::now();
        if call.request.body.len() > self.lane_config.body_bytes {
            let error = self.body_too_large(call.request.body.len());
            return self.fail(&ticket, now, outbox, error);
        }
        if self.queue.is_empty()
            && now < call.arrived + TURN
            && let Some(lane) = self.claim_lane()
        {
            self.start(ticket, now, lane, call.request.body, outbox);
        } else if self.queue.len() < self.queue_max {
            let body = call.request.body.to_vec();
            self.queue.push_back(Queued { ticket, body });
        } else {
            let error = format!(
                "{} calls wait on shard {} of {}; its limit is {} (--queue-limit)",
                self.queue.len(),
                self.shard,
                self.name,
                self.queue_max
            );
            let error = CallError::not_run(ErrorKind::Overloaded, error);
            self.fail(&ticket, now, outbox, error);
        }
    }

    /// A caller gives a call up.
    pub(crate) fn on_cancel(&mut self, session: SessionKey, id: u64) {
        self.give_up(|origin| *origin == Origin::Session { session, id });
    }

    /// A caller is gone, and its calls with it.
    pub(crate) fn on_session_ended(&mut self, ended: SessionKey) {
        self.give_up(
            |origin| matches!(origin, Origin::Session { session, .. } if *session == ended),
        );
    }

    /// Ends the calls that nobody waits for any more.
    fn give_up(&mut self, mut is_given_up: impl FnMut(&Origin) -> bool) {
        for running in &mut self.running {
            if is_given_up(&running.ticket.origin) {
                running.is_given_up = true;
                self.lanes[running.lane].stop(ErrorKind::Cancelled);
            }
        }
        let waiting = self.waiting.iter();
        let stopped = waiting.filter(|(_, waiting)| is_given_up(&waiting.running.ticket.origin));
        let stopped: Vec<usize> = stopped.map(|(lane, _)| *lane).collect();
        for lane in stopped {
            self.lanes[lane].stop(ErrorKind::Cancelled);
            self.wake(lane);
        }
        let counters = &mut self.counters;
        self.queue.retain(|queued| {
            let given_up = is_given_up(&queued.ticket.origin);
            if given_up {
                let waited = queued.ticket.arrived.elapsed().as_micros() as u64;
                let counter = queued.ticket.function.counter;
                counters.record(counter, 0, waited, Some(ErrorKind::Cancelled));
            }
            !given_up
        });
    }

    /// Sends what there is to say to the orchestrator.
    pub(crate) fn flush(&mut self, now: Instant) {
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.flush(now);
        }
    }

    /// Ends the session to the orchestrator.
    pub(crate) fn close(&mut self, reason: &str) {
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.close(reason);
        }
    }
}
