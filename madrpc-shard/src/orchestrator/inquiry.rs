//! Inquiries: what can be called, asked of every node and answered in one.
//!
//! The nodes are asked once for all who want to know meanwhile, at intervals, some of them in each turn: however many ask, and
//! however often, it costs the shard and the nodes a bounded share of their time, and there is one catalogue at a time, which
//! counts against the budget. Who asks gets what was collected after that.
//!
//! Each node has the same short time to answer; one that does not is named in the answer and holds nobody up. Nothing that a
//! caller has sent with its question goes any further.

use super::{Call, Orchestrator, Tag};
use crate::net::askers::Askers;
use crate::net::budget::Held;
use crate::net::dial::{Outcome, Request};
use crate::net::endpoint::SessionKey;
use crate::net::service::Io;
use bytes::Bytes;
use madrpc_core::call::catalog::{Catalog, FUNCTIONS};
use madrpc_core::call::{Body, CallError, ErrorKind, Fields};
use madrpc_core::identity::Role;
use madrpc_core::numbers::later;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a node may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The least time from the beginning of one collection to that of the next.
const INTERVAL: Duration = Duration::from_millis(100);

/// After a collection, how many times as long as it kept the shard busy there is none.
const REST: u32 = 9;

/// Targets that are asked in a turn: each takes about as long as a call that is passed on.
const ASKED_PER_TURN: usize = 32;

/// A node's answer that is read at all: some ten thousand functions, which takes tens of milliseconds.
const ANSWER_MAX_BYTES: usize = 8 * 1024 * 1024;

/// A catalogue: to encode more would hold up the calls for long.
const CATALOG_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Those who want to know what can be called, and what is being collected for them.
pub(super) struct Inquiries {
    /// The server's.
    name: String,
    /// By their numbers, in the order in which they asked.
    waiting: BTreeMap<u64, Asker>,
    askers: Askers,
    collection: Option<Collection>,
    /// The number of the one who asked last.
    last: u64,
    round: u64,
    /// When a collection may begin.
    not_before: Instant,
}

struct Asker {
    session: SessionKey,
    /// The caller's number for the call.
    id: u64,
}

struct Collection {
    begun: Instant,
    /// Who had asked last when it began.
    last: u64,
    catalog: Catalog,
    held: Held,
    /// The number of the target that is asked next.
    next: usize,
    /// Whether there are further ones.
    is_asking: bool,
    /// Nodes that have not answered.
    left: usize,
    /// How long it has kept the shard busy.
    work: Duration,
}

impl Collection {
    /// Adds something, and counts it: `add` says how many bytes it takes.
    fn add(
        &mut self,
        add: impl FnOnce(&mut Catalog) -> Result<usize, CallError>,
    ) -> Result<(), String> {
        let held = self.held.bytes();
        if held > CATALOG_MAX_BYTES || self.held.is_over(held) {
            return Err("there is no room for its answer".into());
        }
        let added = add(&mut self.catalog).map_err(|error| error.message)?;
        self.held.set(held.saturating_add(added));
        Ok(())
    }
}

impl Inquiries {
    pub(super) fn new(name: &str, now: Instant) -> Self {
        Self {
            name: name.to_owned(),
            waiting: BTreeMap::new(),
            askers: Askers::default(),
            collection: None,
            last: 0,
            round: 0,
            not_before: now,
        }
    }

    /// Whether somebody waits for an answer.
    pub(super) fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether there is nothing to do.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.collection.is_none()
    }

    /// Whether nodes are to be asked now.
    pub(super) fn has_work(&self) -> bool {
        let collection = self.collection.as_ref();
        collection.is_some_and(|collection| collection.is_asking)
    }

    /// When the next collection may begin, where one is wanted.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        (self.collection.is_none() && self.is_awaited()).then_some(self.not_before)
    }

    /// A caller wants to know.
    pub(super) fn ask(&mut self, session: SessionKey, id: u64, io: &mut Io<'_, Orchestrator>) {
        if let Err(error) = self.askers.asks(session, id) {
            return io.callers.answer(session, id, Err(&error));
        }
        self.last += 1;
        self.waiting.insert(self.last, Asker { session, id });
        let _ = io
            .calls
            .insert(session, id, Call::Inquiry(self.last), io.now);
    }

    /// Begins a collection where one is wanted and it is time, and asks some of the nodes.
    pub(super) fn turn(&mut self, io: &mut Io<'_, Orchestrator>) {
        if self.collection.is_none() && self.is_awaited() && io.now >= self.not_before {
            self.round += 1;
            self.collection = Some(Collection {
                begun: io.now,
                last: self.last,
                catalog: Catalog::new(Role::Orchestrator.name(), &self.name),
                held: Held::new(io.callers.budget(), 0),
                next: 0,
                is_asking: true,
                left: 0,
                work: Duration::ZERO,
            });
        }
        self.ask_some(io);
        self.finish(io);
    }

    fn ask_some(&mut self, io: &mut Io<'_, Orchestrator>) {
        let (Some(collection), Some(upstreams)) = (&mut self.collection, &mut io.upstreams) else {
            return;
        };
        if !collection.is_asking {
            return;
        }
        let begun = Instant::now();
        let request = Request {
            function: FUNCTIONS,
            body: Body::EMPTY,
            deadline: later(collection.begun, ANSWER_TIMEOUT),
            depth: 0,
            account: None,
            fields: Fields::NONE,
        };
        for _ in 0..ASKED_PER_TURN {
            if collection.next >= upstreams.numbers() {
                collection.is_asking = false;
                for (node, said) in upstreams.elsewhere() {
                    let functions = said.functions.iter().cloned();
                    let added = collection.add(|all| Ok(all.add(&node, functions)));
                    if let Err(reason) = added {
                        collection.catalog.add_silent(&node, reason);
                    }
                }
                break;
            }
            let number = collection.next;
            collection.next += 1;
            let Some(name) = upstreams.name_of(number) else {
                continue;
            };
            match upstreams.call_at(number, io.now, &request, Tag::Inquiry(self.round)) {
                Ok(_) => collection.left += 1,
                Err((_, error)) => collection.catalog.add_silent(&name, error.message),
            }
        }
        collection.work = collection.work.saturating_add(begun.elapsed());
    }

    /// Takes in what a node has answered, in this round.
    pub(super) fn take(
        &mut self,
        round: u64,
        node: &str,
        outcome: &Outcome<'_>,
        io: &mut Io<'_, Orchestrator>,
    ) {
        let Some(collection) = self.collection.as_mut().filter(|_| round == self.round) else {
            return;
        };
        let begun = Instant::now();
        let added = match outcome {
            Outcome::Reply { body, .. } if body.len() > ANSWER_MAX_BYTES => {
                Err(format!("its answer has {} bytes", body.len()))
            }
            Outcome::Reply { body, .. } => collection.add(|all| all.add_answer(node, body)),
            Outcome::Failure { body, .. } => Err(CallError::from_body(body).message),
            Outcome::Lost(error) => Err(error.message.clone()),
        };
        if let Err(reason) = added {
            collection.catalog.add_silent(node, reason);
        }
        collection.left -= 1;
        collection.work = collection.work.saturating_add(begun.elapsed());
        self.finish(io);
    }

    /// Answers those who asked before the collection began, once every node has had its time.
    fn finish(&mut self, io: &mut Io<'_, Orchestrator>) {
        let is_whole = |one: &mut Collection| one.left == 0 && !one.is_asking;
        let Some(collection) = self.collection.take_if(is_whole) else {
            return;
        };
        let begun = Instant::now();
        let answer = collection.catalog.encode().map(Bytes::from);
        let later_ones = self.waiting.split_off(&(collection.last + 1));
        for Asker { session, id } in std::mem::replace(&mut self.waiting, later_ones).into_values()
        {
            self.askers.answered(session, id);
            io.calls.remove(session, id);
            io.callers.answer(session, id, answer.as_ref());
        }
        let now = Instant::now();
        let work = collection
            .work
            .saturating_add(now.saturating_duration_since(begun));
        let rested = later(now, work.saturating_mul(REST));
        self.not_before = later(collection.begun, INTERVAL).max(rested);
    }

    /// Forgets one who wants to know no more.
    pub(super) fn forget(&mut self, number: u64, io: &mut Io<'_, Orchestrator>) {
        if let Some(Asker { session, id }) = self.waiting.remove(&number) {
            self.askers.answered(session, id);
            io.calls.remove(session, id);
            let error = "the caller has given the call up";
            let error = CallError::not_run(ErrorKind::Cancelled, error);
            io.callers.answer(session, id, Err(&error));
        }
    }
}
