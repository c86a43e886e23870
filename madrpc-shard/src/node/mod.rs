//! The node's part of a shard: it runs calls in its lanes.
//!
//! A call that finds a free lane starts at once, in the middle of reading frames: most are over within microseconds and
//! have their reply in the same datagram as their neighbours. One that has used up its slice goes to the end of the row
//! of running calls; one that finds no lane waits in the queue, first in, first out.

mod config;

pub use config::{DEFAULT_SLICE, LANES_PER_SHARD, NodeConfig};

use crate::endpoint::{Endpoint, SessionKey};
use crate::engine::{Lane, LoadError, Progress, Script};
use crate::handler::Incoming;
use crate::shard::Seat;
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::frame::{Bill, Header};
use madrpc_core::session::Outbox;
use madrpc_core::stats::{Counters, Row};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use tracing::error;

/// The slice of a node without slices: longer than any deadline.
const UNSLICED: Duration = Duration::from_secs(48 * 60 * 60);

/// How long calls may be started in one turn before the network has its own.
const TURN: Duration = Duration::from_millis(1);

/// Calls that wait for a lane of one shard; those beyond are refused.
const QUEUE_MAX: usize = 4096;

/// How often the queue is searched for calls whose deadline has passed.
const SEARCH_INTERVAL: Duration = Duration::from_millis(5);

/// Lanes, and the calls in them and before them.
pub(crate) struct Node {
    shard: u16,
    name: String,
    script: Script,
    functions: HashMap<String, Registered>,
    slice: Duration,
    lanes: Vec<Lane>,
    free: Vec<usize>,
    running: VecDeque<Running>,
    queue: VecDeque<Queued>,
    counters: Counters,
    next_search: Instant,
}

/// A registered function.
#[derive(Clone, Copy)]
struct Registered {
    /// Its place in every lane.
    place: usize,
    /// Its number in the counters.
    counter: usize,
}

/// A call and where its reply goes.
struct Ticket {
    session: SessionKey,
    id: u64,
    function: Registered,
    arrived: Instant,
    deadline: Instant,
}

struct Running {
    ticket: Ticket,
    lane: usize,
    started: Instant,
    cpu: Duration,
    slices: u32,
}

struct Queued {
    ticket: Ticket,
    body: Vec<u8>,
}

impl Node {
    /// A node's part of the shard with this number: `lanes` lanes with the script loaded.
    ///
    /// # Errors
    /// Where a lane cannot load it, or a later one registers other functions than the first.
    pub(crate) fn new(
        seat: &Seat,
        script: &Script,
        config: &NodeConfig,
        lanes: usize,
        now: Instant,
    ) -> Result<Self, LoadError> {
        let mut loaded = Vec::with_capacity(lanes);
        let mut functions: Vec<String> = Vec::new();
        for number in 0..lanes {
            let (lane, names) = Lane::load(script)?;
            if number > 0 && names != functions {
                return Err(LoadError {
                    message: format!(
                        "script {}: registers other functions each time it is loaded",
                        script.name()
                    ),
                    stack: String::new(),
                });
            }
            functions = names;
            loaded.push(lane);
        }
        let mut counters = Counters::new(vec![seat.name.clone()]);
        let numbered = functions.into_iter().enumerate().map(|(place, function)| {
            let counter = counters.number(&function);
            (function, Registered { place, counter })
        });
        Ok(Self {
            shard: seat.shard,
            name: seat.name.clone(),
            script: script.clone(),
            functions: numbered.collect(),
            free: (0..loaded.len()).collect(),
            slice: config.slice.unwrap_or(UNSLICED),
            lanes: loaded,
            running: VecDeque::new(),
            queue: VecDeque::new(),
            counters,
            next_search: now,
        })
    }

    /// Whether calls are running or waiting.
    pub(crate) fn has_work(&self) -> bool {
        !self.running.is_empty() || !self.queue.is_empty()
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
                self.bill(Duration::ZERO, Duration::ZERO, 0),
                &error,
            );
            return;
        };
        let ticket = Ticket {
            session: call.session,
            id: call.id,
            function,
            arrived: call.arrived,
            deadline: call.request.deadline,
        };
        // A call's arrival is the beginning of its turn.
        let now = Instant::now();
        if self.queue.is_empty()
            && now < call.arrived + TURN
            && let Some(lane) = self.free.pop()
        {
            self.start(ticket, now, lane, call.request.body, outbox);
        } else if self.queue.len() < QUEUE_MAX {
            let body = call.request.body.to_vec();
            self.queue.push_back(Queued { ticket, body });
        } else {
            let error = format!(
                "shard {} of {} has {QUEUE_MAX} calls waiting",
                self.shard, self.name
            );
            let error = CallError::not_run(ErrorKind::Overloaded, error);
            self.fail(&ticket, now, outbox, &error);
        }
    }

    /// A caller gives a call up.
    pub(crate) fn on_cancel(&mut self, session: SessionKey, id: u64) {
        self.give_up(|ticket| ticket.session == session && ticket.id == id);
    }

    /// A caller is gone, and its calls with it.
    pub(crate) fn on_session_ended(&mut self, session: SessionKey) {
        self.give_up(|ticket| ticket.session == session);
    }

    fn give_up(&mut self, mut is_theirs: impl FnMut(&Ticket) -> bool) {
        for running in &self.running {
            if is_theirs(&running.ticket) {
                self.lanes[running.lane].stop(ErrorKind::Cancelled);
            }
        }
        let counters = &mut self.counters;
        self.queue.retain(|queued| {
            let theirs = is_theirs(&queued.ticket);
            if theirs {
                let waited = queued.ticket.arrived.elapsed().as_micros() as u64;
                counters.record(
                    queued.ticket.function.counter,
                    0,
                    waited,
                    Some(ErrorKind::Cancelled),
                );
            }
            !theirs
        });
    }

    /// Gives every running call a slice, and starts waiting ones while the turn lasts.
    pub(crate) fn turn(&mut self, now: Instant, callers: &mut Endpoint) {
        if now >= self.next_search {
            self.next_search = now + SEARCH_INTERVAL;
            self.expire_queue(now, callers);
        }
        for _ in 0..self.running.len() {
            if let Some(running) = self.running.pop_front() {
                let session = running.ticket.session;
                self.go_on(running, Instant::now(), &mut Reply { callers, session });
            }
        }
        while !self.queue.is_empty() {
            let begun = Instant::now();
            if begun >= now + TURN {
                break;
            }
            let Some(lane) = self.free.pop() else {
                break;
            };
            let Some(Queued { ticket, body }) = self.queue.pop_front() else {
                break;
            };
            let session = ticket.session;
            self.start(ticket, begun, lane, &body, &mut Reply { callers, session });
        }
    }

    fn start(
        &mut self,
        ticket: Ticket,
        now: Instant,
        lane: usize,
        body: &[u8],
        reply: &mut impl ReplyTo,
    ) {
        self.lanes[lane].assign(ticket.function.place, body, ticket.deadline);
        let running = Running {
            ticket,
            lane,
            started: now,
            cpu: Duration::ZERO,
            slices: 0,
        };
        self.go_on(running, now, reply);
    }

    /// Gives a call one slice, and its reply where it is over.
    fn go_on(&mut self, mut running: Running, begun: Instant, reply: &mut impl ReplyTo) {
        let progress = self.lanes[running.lane].resume(begun, self.slice);
        let now = Instant::now();
        running.cpu += now.duration_since(begun);
        running.slices += 1;
        let Progress::Done(result) = progress else {
            self.running.push_back(running);
            return;
        };
        let Running {
            ticket,
            lane,
            started,
            cpu,
            slices,
        } = running;
        self.count(&ticket, now, result.as_ref().err());
        if let Some(outbox) = reply.outbox() {
            let bill = self.bill(started.duration_since(ticket.arrived), cpu, slices);
            match result {
                Ok(()) => {
                    let header = Header::Reply {
                        id: ticket.id,
                        bill,
                    };
                    self.lanes[lane].with_output(|body| outbox.send(&header, body));
                }
                Err(error) => outbox.fail(ticket.id, bill, &error),
            }
        }
        self.set_free(lane);
    }

    /// Makes a lane ready for the next call; one whose memory ran out is replaced.
    fn set_free(&mut self, lane: usize) {
        if self.lanes[lane].is_spoilt() {
            match Lane::load(&self.script) {
                Ok((fresh, _)) => self.lanes[lane] = fresh,
                Err(error) => error!(
                    "a lane that ran out of memory cannot be replaced, and is used again: {error}"
                ),
            }
        }
        self.free.push(lane);
    }

    fn expire_queue(&mut self, now: Instant, callers: &mut Endpoint) {
        while let Some(at) = self
            .queue
            .iter()
            .position(|queued| queued.ticket.deadline <= now)
        {
            let Some(Queued { ticket, .. }) = self.queue.remove(at) else {
                break;
            };
            let waited = now.duration_since(ticket.arrived).as_millis();
            let error = format!("the call waited {waited} ms for a lane, until its deadline");
            let error = CallError::not_run(ErrorKind::DeadlineExceeded, error);
            let session = ticket.session;
            self.fail(&ticket, now, &mut Reply { callers, session }, &error);
        }
    }

    /// Ends a call that never ran.
    fn fail(&mut self, ticket: &Ticket, now: Instant, reply: &mut impl ReplyTo, error: &CallError) {
        self.count(ticket, now, Some(error));
        if let Some(outbox) = reply.outbox() {
            let bill = self.bill(now.duration_since(ticket.arrived), Duration::ZERO, 0);
            outbox.fail(ticket.id, bill, error);
        }
    }

    fn count(&mut self, ticket: &Ticket, now: Instant, error: Option<&CallError>) {
        let latency = now.duration_since(ticket.arrived).as_micros() as u64;
        let kind = error.map(|error| error.kind);
        self.counters
            .record(ticket.function.counter, 0, latency, kind);
    }

    fn bill(&self, queued: Duration, cpu: Duration, slices: u32) -> Bill<&str> {
        Bill {
            queue_us: queued.as_micros() as u64,
            cpu_us: cpu.as_micros() as u64,
            slices,
            shard: self.shard,
            node: &self.name,
        }
    }

    fn no_such_function(&self, function: &str) -> CallError {
        let mut names: Vec<&str> = self.functions.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.truncate(10);
        CallError::not_run(
            ErrorKind::NoSuchFunction,
            format!(
                "no function `{function}` is registered; there are: {}",
                names.join(", ")
            ),
        )
    }
}

/// Where a reply goes: an outbox at hand, or the one of a session, which may be gone.
trait ReplyTo {
    fn outbox(&mut self) -> Option<&mut Outbox>;
}

impl ReplyTo for Outbox {
    fn outbox(&mut self) -> Option<&mut Outbox> {
        Some(self)
    }
}

struct Reply<'a> {
    callers: &'a mut Endpoint,
    session: SessionKey,
}

impl ReplyTo for Reply<'_> {
    fn outbox(&mut self) -> Option<&mut Outbox> {
        self.callers.outbox(self.session)
    }
}
