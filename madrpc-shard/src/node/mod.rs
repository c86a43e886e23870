//! The node's part of a shard: it runs calls in its lanes.
//!
//! A call that finds room starts at once, in the middle of reading frames: most are over within microseconds and have
//! their reply in the same datagram as their neighbours. One that has used up its slice goes to the end of the row of
//! running calls; one that finds no room waits in the queue, first in, first out.
//!
//! **Who gets the core.** New calls come first. A running call gets a slice when no new call has come for a moment, which
//! is the longer the more have come, or when new ones have had the core for twice as long as its last slice took: under
//! a flood of tiny calls, long ones still have about a third of the core. Among the running, those that have used few slices
//! go first, and every fourth slice goes to the one that has waited longest, so nothing starves. One that has to end, by
//! its deadline or its caller, goes before all: it needs one look at the clock to be gone.
//!
//! **Waiting.** A call that waits for a timer, or for a call of its own, keeps its lane but not its place among the
//! running; another lane takes that, and one is made where none is free. So parents never block their children.
//!
//! **Making lanes** is done in slices too: at once while a call waits for the lane, else when nothing is to do, or in a
//! tenth of the time.

mod children;
mod config;
mod lanes;
mod listing;
mod reload;
mod reply;
mod schedule;
mod ticket;

pub use config::{DEFAULT_QUEUE_MAX, DEFAULT_SLICE, LANES_PER_SHARD, NodeConfig};
pub(crate) use reload::Prepared;

use crate::beacon::Beacon;
use crate::endpoint::{Endpoint, SessionKey};
use crate::engine::{LoadError, Registration, Script};
use crate::handler::Incoming;
use crate::shard::Seat;
use crate::upstream::{Keep, Upstreams};
use children::Waiting;
use foldhash::fast::RandomState;
use lanes::Lanes;
use madrpc_core::error::ErrorKind;
use madrpc_core::identity::{Role, SERVER_NAME_ANY};
use madrpc_core::session::Outbox;
use madrpc_core::stats::{Counters, UNKNOWN};
use madrpc_core::wheel::Wheel;
use reload::Staged;
use reply::body_too_large;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
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
    functions: HashMap<String, Registered, RandomState>,
    slice: Duration,
    /// Calls that wait for a lane; those of callers beyond it are refused.
    queue_max: usize,
    /// Calls that may run at the same time.
    pool: usize,
    lanes: Lanes,
    staged: Option<Staged>,
    running: VecDeque<Running>,
    /// Calls that wait for an answer or a timer, by their serials.
    waiting: HashMap<u64, Waiting>,
    timers: Wheel<u64>,
    queue: VecDeque<Queued>,
    upstreams: Option<Upstreams<Parent>>,
    counters: Counters,
    beacon: Arc<Beacon>,
    last_serial: u64,
    slices_given: u64,
    last_call: Instant,
    /// Calls that have come since the last slice of a running one.
    new_calls: u32,
    /// When the running calls go on although new ones come.
    next_slice: Instant,
    /// When lanes are made although new calls come.
    next_making: Instant,
    next_search: Instant,
    /// When a call last gave the core back.
    last_end: Instant,
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
        let lanes = Lanes::new(seat, script, &config.lane, pool, now)?;
        let registrations = lanes.registrations().to_vec();
        let mut node = Self {
            shard: seat.shard,
            name: seat.name.clone(),
            functions: HashMap::default(),
            slice: config.slice.unwrap_or(UNSLICED),
            queue_max: config.queue_max,
            pool,
            lanes,
            staged: None,
            running: VecDeque::new(),
            waiting: HashMap::new(),
            timers: Wheel::new(now),
            queue: VecDeque::new(),
            upstreams: orchestrator.map(|(address, endpoint)| {
                Upstreams::new(
                    endpoint,
                    &[address],
                    seat.sessions(),
                    ORCHESTRATOR_NAME,
                    Keep::WhileCalling,
                    now,
                )
            }),
            counters: Counters::new([seat.name.as_str()]),
            beacon: Arc::clone(&seat.beacon),
            last_serial: 0,
            slices_given: 0,
            last_call: now,
            new_calls: 0,
            next_slice: now,
            next_making: now,
            next_search: now,
            last_end: now,
        };
        node.functions = node.number(&registrations);
        Ok(node)
    }

    /// The functions by name, each with its number in the counters.
    fn number(
        &mut self,
        registrations: &[Registration],
    ) -> HashMap<String, Registered, RandomState> {
        let numbered = registrations.iter().enumerate().map(|(place, function)| {
            let registered = Registered {
                place,
                counter: self.counters.number(&function.name),
                timeout: function.options.timeout,
                body_bytes: function
                    .options
                    .body_bytes
                    .unwrap_or(self.lanes.config().body_bytes),
                queue_max: function.options.queue_max,
                isolate: self.lanes.config().isolate || function.options.isolate,
            };
            (function.name.clone(), registered)
        });
        numbered.collect()
    }

    /// Whether the next turn has something to do without anything new from outside.
    pub(crate) fn has_work(&self) -> bool {
        let from_upstream = self
            .upstreams
            .as_ref()
            .is_some_and(|upstreams| upstreams.endpoint().has_work());
        let has_calls = !self.running.is_empty() || !self.queue.is_empty();
        from_upstream || has_calls || self.lanes.wants() || self.is_preparing()
    }

    /// Whether there is a call to give a slice, or a lane to make.
    pub(crate) fn may_hold_core(&self) -> bool {
        !self.running.is_empty() || self.lanes.wants() || self.is_preparing()
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

    /// The endpoint that the sessions to an orchestrator are opened from.
    pub(crate) fn endpoint_mut(&mut self) -> Option<&mut Endpoint> {
        self.upstreams.as_mut().map(Upstreams::endpoint_mut)
    }

    /// What was counted, for a snapshot.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A caller calls.
    pub(crate) fn on_call(&mut self, call: &Incoming<'_>, outbox: &mut Outbox) {
        let name = call.request.function;
        let Some(&function) = self.functions.get(name) else {
            let error = self.no_such_function(name);
            self.counters.record(UNKNOWN, 0, 0, Some(error.kind));
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
        self.new_calls = self.new_calls.saturating_add(1);
        let now = self.time_in_turn(call.arrived);
        if call.request.body.len() > function.body_bytes {
            let error = body_too_large(call.request.body.len(), function.body_bytes);
            return self.fail(&ticket, now, outbox, error);
        }
        if self.queue.is_empty()
            && now < call.arrived + TURN
            && let Some(lane) = self.claim_lane(&function)
        {
            self.start(ticket, now, lane, call.request.body, outbox);
        } else if let Some(error) = self.queue_full(&function) {
            self.fail(&ticket, now, outbox, error);
        } else {
            let body = call.request.body.to_vec();
            self.queue.push_back(Queued { ticket, body });
        }
    }

    /// The time within the turn that began then. The end of one call is the beginning of the next: to ask the clock
    /// twice for each takes a tenth of what a tiny call takes in all.
    fn time_in_turn(&self, begun: Instant) -> Instant {
        match self.last_end {
            end if end > begun => end,
            _ => Instant::now(),
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
                running.lane.stop(ErrorKind::Cancelled);
            }
        }
        let waiting = self.waiting.iter_mut();
        let mut stopped = Vec::new();
        for (serial, Waiting { running, .. }) in waiting {
            if is_given_up(&running.ticket.origin) {
                running.lane.stop(ErrorKind::Cancelled);
                stopped.push(*serial);
            }
        }
        for serial in stopped {
            self.wake(serial);
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
