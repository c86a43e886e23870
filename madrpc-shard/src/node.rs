//! The node's part of a shard: it runs calls in its lanes.
//!
//! A call that finds a free lane starts at once, in the middle of reading frames: most are over within microseconds and
//! have their reply in the same datagram as their neighbours. One that has used up its slice goes to the end of the row
//! of running calls; one that finds no lane waits in the queue, first in, first out.

use crate::endpoint::{Endpoint, SessionKey};
use crate::engine::{Lane, LoadError, Progress, Script};
use crate::upstream::Request;
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::frame::{Bill, Header};
use madrpc_core::session::Outbox;
use madrpc_core::stats::{Counters, Row};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use tracing::error;

/// How long a call holds the core before the network and the other calls have their turn.
const SLICE: Duration = Duration::from_micros(500);

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
    /// The registered functions: their places in every lane.
    places: HashMap<String, usize>,
    lanes: Vec<Lane>,
    free: Vec<usize>,
    running: VecDeque<Running>,
    queue: VecDeque<Queued>,
    counters: Counters,
    /// Until when calls may be started in this turn.
    turn_end: Instant,
    next_search: Instant,
}

/// A call and where its reply goes.
struct Ticket {
    session: SessionKey,
    id: u64,
    /// The function's place in the lanes.
    place: usize,
    /// Its number in the counters.
    counter: usize,
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
        shard: u16,
        name: &str,
        script: &Script,
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
        Ok(Self {
            shard,
            name: name.to_owned(),
            script: script.clone(),
            places: functions.into_iter().zip(0..).collect(),
            free: (0..loaded.len()).collect(),
            lanes: loaded,
            running: VecDeque::new(),
            queue: VecDeque::new(),
            counters: Counters::new(vec![name.to_owned()]),
            turn_end: now,
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
    pub(crate) fn on_call(
        &mut self,
        now: Instant,
        session: SessionKey,
        outbox: &mut Outbox,
        id: u64,
        request: &Request<'_>,
    ) {
        let function = request.function;
        let counter = self.counters.number(function);
        let Some(&place) = self.places.get(function) else {
            let error = self.no_such_function(function);
            self.counters.record(counter, 0, 0, Some(error.kind));
            outbox.fail(id, self.bill(Duration::ZERO, Duration::ZERO, 0), &error);
            return;
        };
        let ticket = Ticket {
            session,
            id,
            place,
            counter,
            arrived: now,
            deadline: request.deadline,
        };
        if self.queue.is_empty()
            && Instant::now() < self.turn_end
            && let Some(lane) = self.free.pop()
        {
            self.start(ticket, lane, request.body, outbox);
        } else if self.queue.len() < QUEUE_MAX {
            let body = request.body.to_vec();
            self.queue.push_back(Queued { ticket, body });
        } else {
            let error = format!(
                "shard {} of {} has {QUEUE_MAX} calls waiting",
                self.shard, self.name
            );
            self.end(
                &ticket,
                Duration::ZERO,
                None,
                outbox,
                Err(CallError::not_run(ErrorKind::Overloaded, error)),
            );
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
                counters.record(queued.ticket.counter, 0, waited, Some(ErrorKind::Cancelled));
            }
            !theirs
        });
    }

    /// Gives every running call a slice, and starts waiting ones while the turn lasts.
    pub(crate) fn turn(&mut self, now: Instant, callers: &mut Endpoint) {
        self.turn_end = now + TURN;
        if now >= self.next_search {
            self.next_search = now + SEARCH_INTERVAL;
            self.expire_queue(now, callers);
        }
        for _ in 0..self.running.len() {
            if let Some(running) = self.running.pop_front() {
                let session = running.ticket.session;
                self.go_on(running, &mut Reply::new(callers, session));
            }
        }
        while !self.queue.is_empty()
            && Instant::now() < self.turn_end
            && let Some(lane) = self.free.pop()
        {
            let Some(Queued { ticket, body }) = self.queue.pop_front() else {
                break;
            };
            let session = ticket.session;
            self.start(ticket, lane, &body, &mut Reply::new(callers, session));
        }
    }

    fn start(&mut self, ticket: Ticket, lane: usize, body: &[u8], reply: &mut impl ReplyTo) {
        self.lanes[lane].assign(ticket.place, body, ticket.deadline);
        let running = Running {
            ticket,
            lane,
            started: Instant::now(),
            cpu: Duration::ZERO,
            slices: 0,
        };
        self.go_on(running, reply);
    }

    /// Gives a call one slice.
    fn go_on(&mut self, mut running: Running, reply: &mut impl ReplyTo) {
        let begun = if running.slices == 0 {
            running.started
        } else {
            Instant::now()
        };
        let progress = self.lanes[running.lane].resume(begun, SLICE);
        running.cpu += begun.elapsed();
        running.slices += 1;
        match progress {
            Progress::Running => self.running.push_back(running),
            Progress::Done(result) => {
                self.end(&running.ticket, running.cpu, Some(&running), reply, result);
                self.set_free(running.lane);
            }
        }
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
            self.end(
                &ticket,
                Duration::ZERO,
                None,
                &mut Reply::new(callers, session),
                Err(error),
            );
        }
    }

    /// Counts a call and sends its reply.
    fn end(
        &mut self,
        ticket: &Ticket,
        cpu: Duration,
        ran: Option<&Running>,
        reply: &mut impl ReplyTo,
        result: Result<(), CallError>,
    ) {
        let kind = result.as_ref().err().map(|error| error.kind);
        let latency = ticket.arrived.elapsed();
        self.counters
            .record(ticket.counter, 0, latency.as_micros() as u64, kind);
        let queued = ran.map_or(latency, |ran| ran.started.duration_since(ticket.arrived));
        let bill = self.bill(queued, cpu, ran.map_or(0, |ran| ran.slices));
        let Some(outbox) = reply.outbox() else {
            return;
        };
        match (result, ran) {
            (Ok(()), Some(ran)) => {
                let header = Header::Reply {
                    id: ticket.id,
                    bill,
                };
                self.lanes[ran.lane].with_output(|body| outbox.send(&header, body));
            }
            (Err(error), _) => outbox.fail(ticket.id, bill, &error),
            (Ok(()), None) => {}
        }
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
        let mut names: Vec<&str> = self.places.keys().map(String::as_str).collect();
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

impl<'a> Reply<'a> {
    fn new(callers: &'a mut Endpoint, session: SessionKey) -> Self {
        Self { callers, session }
    }
}

impl ReplyTo for Reply<'_> {
    fn outbox(&mut self) -> Option<&mut Outbox> {
        self.callers.outbox(self.session)
    }
}
