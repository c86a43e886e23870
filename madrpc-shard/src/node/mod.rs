//! The node's part of a shard: it runs calls in its lanes.
//!
//! A call that finds room starts at once, in the middle of reading frames: most are over within microseconds and have
//! their reply in the same datagram as their neighbours. One that has used up its slice goes to the end of the row of
//! running calls; one that finds no room waits in the queue, first in, first out.
//!
//! **Who gets the core.** Callers have equal parts of it (`net/shares.rs`), those behind an orchestrator too, which says whose
//! each call is. Each has rows and a queue of its own, and
//! those take turns; one who has had more than its part is read, started and resumed where the others have nothing to say,
//! and in half of the time where they have, in shorter slices: what the others say meanwhile waits for the end of one.
//!
//! Of one caller, new calls come first. A running call gets a slice when no new call has come for a moment, which
//! is the longer the more have come, or when new ones have had the core for twice as long as its last slice took: under
//! a flood of tiny calls, long ones still have about a third of the core. Among the running, those that have used few slices
//! go first, and every fourth slice goes to the one that has waited longest, so nothing starves. One that has to end, by
//! its deadline or its caller, goes before all: it needs one look at the clock to be gone.
//!
//! **Long calls** do not use up the lanes: one that has had the core for a few slices does not count for the pool any more.
//! New calls get further lanes, and the long ones share what is left of the core.
//!
//! **Waiting.** A call that waits for a timer, or for a call of its own, keeps its lane but not its place among the
//! running; another lane takes that, and one is made where none is free. So parents never block their children. Where many
//! wait for long, what their lanes hold is compressed meanwhile.
//!
//! **Limits of a function.** One that may have few calls at once (`maxConcurrent`) has its slots on all shards together
//! (`slots`). Its calls wait for them in lines of their own (`limited`), and then in the queue.
//!
//! **Making lanes** is done in slices too: at once while a call waits for the lane, else when nothing is to do, or in a
//! tenth of the time. Who uses lanes up, by calls that are cut off or that wait in them, makes new ones: some are kept for
//! callers who do not.

mod backlog;
mod call;
mod calls;
mod children;
mod config;
mod ended;
mod family;
mod functions;
pub(crate) mod lanes;
mod limited;
mod load;
mod losses;
mod memory;
mod meter;
mod packing;
mod reload;
mod reply;
mod ring;
mod rows;
mod schedule;
mod shard_id;
pub(crate) mod shared;
pub(crate) mod slots;
mod starting;
mod streaming;
mod turns;
mod waits;

pub use config::{DEFAULT_QUEUE_MAX, DEFAULT_SLICE, LANES_PER_SHARD, NodeConfig};
pub(crate) use reload::ScriptChange;

use crate::engine::{Script, ScriptError};
use crate::net::address::Addresses;
use crate::net::budget::Budget;
use crate::net::dial::{CallId, Item, Keep, Outcome, Upstreams};
use crate::net::endpoint::{Endpoint, SessionKey};
use crate::net::incoming::{Incoming, number_taken};
use crate::net::seat::Seat;
use crate::net::service::{Io, Service};
use crate::net::traces::Observing;
use crate::runtime::beacon::Beacon;
use backlog::Backlog;
use bytes::Bytes;
use call::{CallKey, Origin, Parent, Ticket};
use calls::{Calls, queue_of};
use children::Orphans;
use ended::Telemetry;
use family::Families;
use functions::Functions;
use lanes::Lanes;
use madrpc_core::call::{Announcement, CallError, ErrorKind};
use madrpc_core::identity::{Role, SERVER_NAME_ANY};
use madrpc_core::stats::{Counters, Snapshot, UNKNOWN};
use meter::Metering;
use packing::Packing;
use reload::Reload;
use reply::body_too_large;
use rows::Counts;
use schedule::TURN;
use shard_id::ShardId;
use shared::Shared;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use streaming::Blocked;
use turns::{Turns, UNSLICED};

/// Whom the calls of calls go through.
const ORCHESTRATOR_NAME: &str = match Role::Orchestrator.server_name() {
    Some(name) => name,
    None => SERVER_NAME_ANY,
};

/// Lanes, and the calls in them and before them.
pub(crate) struct Node {
    id: ShardId,
    functions: Functions,
    calls: Calls,
    /// What calls that are over have asked for.
    orphans: Orphans,
    families: Families,
    backlog: Backlog,
    metering: Metering,
    lanes: Lanes,
    packing: Packing,
    blocked: Blocked,
    turns: Turns,
    reload: Reload,
    telemetry: Telemetry,
    beacon: Arc<Beacon>,
    last_number: u64,
    told: load::Told,
}

impl Node {
    /// A node's part of the shard at this seat, with `pool` lanes that have the script loaded.
    ///
    /// # Errors
    /// Where a lane cannot load it, or a later one registers other functions than the first.
    pub(crate) fn new(
        seat: &Seat,
        script: &Script,
        config: &NodeConfig,
        pool: usize,
        (changes, shared): (Receiver<ScriptChange>, &Shared),
        budget: &Rc<Budget>,
        now: Instant,
    ) -> Result<Self, ScriptError> {
        let lanes = Lanes::new(seat, script, &config.lane, pool, budget.limit(), now)?;
        let mut calls = Calls::new(budget, seat.shard, config.queue_max, now);
        let mut counters = Counters::new([seat.name.as_str()]);
        Ok(Self {
            id: ShardId {
                shard: seat.shard,
                node: seat.name.clone(),
            },
            functions: Functions::new(
                lanes.registrations(),
                &config.lane,
                &mut counters,
                shared,
                &mut calls.limits,
            ),
            calls,
            orphans: Orphans::default(),
            families: Families::new(),
            backlog: Backlog::new(config.wait_max, now),
            metering: Metering::new(config.caller_rate, shared, seat.started),
            lanes,
            packing: Packing::default(),
            blocked: Blocked::default(),
            turns: Turns::new(config.slice.unwrap_or(UNSLICED), now),
            reload: Reload::new(changes),
            telemetry: Telemetry::new(counters),
            beacon: Arc::clone(&seat.beacon),
            last_number: 0,
            told: load::Told::new(now),
        })
    }

    /// What to tell of single calls.
    pub(crate) fn set_observing(&mut self, observing: Observing) {
        self.telemetry.observing = observing;
    }

    /// The way of the calls of calls, for the shard at this seat: through these orchestrators.
    pub(crate) fn through(
        seat: &Seat,
        orchestrators: &[Addresses],
        endpoint: Endpoint,
        now: Instant,
    ) -> Upstreams<Parent> {
        let (sessions, keep) = (seat.sessions(), Keep::WhileCalling);
        Upstreams::new(
            endpoint,
            orchestrators,
            sessions,
            ORCHESTRATOR_NAME,
            keep,
            now,
        )
    }

    /// Whether there are calls that want the core, or a lane that they may get.
    fn has_calls_to_run(&self) -> bool {
        let rows = &self.calls.rows;
        rows.running() > 0 || rows.queued() > 0 && !self.turns.is_stuck
    }

    /// Ends a call that nobody waits for any more.
    fn give_up(&mut self, call: CallKey, io: &mut Io<'_, Self>) {
        if let Some(queued) = self.calls.take_queued(call) {
            let error = "the caller has given the call up before it had a lane";
            let error = CallError::not_run(ErrorKind::Cancelled, error);
            return self.fail(&queued.ticket, io.now, error, io);
        }
        if let Some(running) = self.calls.running_mut(call) {
            running.lane.stop(ErrorKind::Cancelled);
            self.calls.end(call);
        }
    }
}

impl Service for Node {
    type Call = CallKey;
    type Tag = Parent;

    fn take_changes(&mut self) {
        self.change_script();
    }

    fn on_call(&mut self, call: &Incoming<'_>, io: &mut Io<'_, Self>) {
        if io.calls.get(call.session, call.id).is_some() {
            return io.callers.break_off(call.session, &number_taken(call.id));
        }
        let name = call.request.function;
        let function = match self.functions.named(name) {
            Ok(function) => function,
            Err(error) => {
                let counters = &mut self.telemetry.counters;
                counters.record(UNKNOWN, 0, 0, Some(error.kind));
                let bill = self.id.bill(Duration::ZERO, Duration::ZERO, 0, 0);
                return self.tell_failure(call.session, call.id, bill, &error, io);
            }
        };
        let (session, id, body) = (call.session, call.id, call.request.body);
        let said = call.request.fields.of_call();
        let account = call.request.account;
        let caller = io.callers.caller(session, account, call.arrived);
        let mut ticket = Ticket {
            origin: Origin::Session { session, id },
            caller,
            function: function.clone(),
            arrived: call.arrived,
            deadline: function.deadline(call.arrived, call.request.deadline),
            depth: call.request.depth,
            nodes_lost: said.nodes_lost,
            credit: said.credit,
            context: self.telemetry.observing.context(said.trace),
            member: None,
            slot: None,
        };
        // One who is ahead of the others waits until they have had their turn.
        let is_ahead = io.callers.is_ahead(caller);
        let has_to_wait = is_ahead && io.callers.has_just_heard(call.arrived);
        if !has_to_wait {
            self.turns.on_call(call.arrived);
        }
        let now = self.turns.time_in_turn(call.arrived);
        if account.is_some() {
            io.callers.work_for_guest(caller, is_ahead, now);
        }
        if body.len() > ticket.function.body_bytes {
            let error = body_too_large(body.len(), ticket.function.body_bytes);
            return self.fail(&ticket, now, error, io);
        }
        if let Some(error) = self.metering.over_rate(&ticket, &self.id, io, now) {
            return self.fail(&ticket, now, error, io);
        }
        let load = self.calls.rows.load(caller);
        if let Some(error) = self.backlog.too_late(&ticket, load, &self.id, now) {
            return self.fail(&ticket, now, error, io);
        }
        if account.is_some()
            && let Some(account) = io.callers.origin(session, account)
            && let Some(root) = account.root
        {
            match self.families.join(account, root, body.len(), now) {
                Ok(mut member) => {
                    member.comes_with(said.above, said.nodes_lost);
                    ticket.member = Some(Box::new(member));
                }
                Err(error) => return self.fail(&ticket, now, error, io),
            }
        }
        if let Some(limit) = ticket.function.limit {
            ticket.slot = self.calls.limits.take(limit);
        }
        let counts = self.calls.rows.of(caller);
        let row = queue_of(&ticket);
        if !has_to_wait
            && ticket.lacks_slot_of().is_none()
            && counts.waiting(row) == 0
            && counts.young_of(row) < self.lanes.pool
            && !ticket
                .member
                .as_ref()
                .is_some_and(|member| member.is_full())
            && now < call.arrived + TURN
            && let Some(claimed) =
                self.claim_lane(&ticket.function, row, ticket.depth, counts, is_ahead)
        {
            self.start(ticket, None, now, claimed, body, io);
        } else if let Some(error) = self.queue_full(&ticket, io) {
            self.fail(&ticket, now, error, io);
        } else {
            let key = self.calls.enqueue(ticket, body.to_bytes());
            let _ = io.calls.insert(session, id, key, io.now);
        }
    }

    fn on_inquiry(&mut self, session: SessionKey, id: u64, io: &mut Io<'_, Self>) {
        let functions = &mut self.functions;
        let catalog = functions.catalog(&self.id.node, self.lanes.registrations());
        io.callers.answer(session, id, catalog);
    }

    fn on_cancel(&mut self, call: CallKey, io: &mut Io<'_, Self>) {
        // It may come by a session of many, after the call of another.
        if let Some(caller) = self.calls.caller_of(call) {
            io.callers.work_for_guest(caller, true, Instant::now());
        }
        self.give_up(call, io);
    }

    fn on_credit(&mut self, call: CallKey, frames: u32, io: &mut Io<'_, Self>) {
        if let Some(caller) = self.calls.caller_of(call) {
            io.callers.work_for_guest(caller, true, Instant::now());
        }
        self.grant(call, frames, io);
    }

    fn on_item(&mut self, call: CallId, item: Item<'_>, io: &mut Io<'_, Self>) {
        self.take_sent_item(call, item, io);
    }

    fn on_outcome(&mut self, parent: Parent, _: usize, outcome: Outcome<'_>, _: &mut Io<'_, Self>) {
        let answer = match outcome {
            Outcome::Reply { body, .. } => Ok(body.to_bytes()),
            Outcome::Failure { fields, body, .. } => Err(CallError::from_failure(&body, fields)),
            Outcome::Lost(error) => Err(error),
        };
        self.answer(parent, answer);
    }

    fn turn(&mut self, io: &mut Io<'_, Self>) {
        self.take_due(io);
        self.pack_one(io);
        self.turns.last_look = io.now;
        let has_calls = self.calls.rows.running() + self.calls.rows.queued() > 0;
        self.backlog.rate.look(has_calls, io.now);
        self.look_at_load(io.now);
        self.look_after_held(io);
        self.look_after_starved(io);
        self.look_after_blocked(io);
        self.give_up_orphans(io);
        self.end_overdue(io);
        self.calls.give_slots();
        self.start_queued(io);
        self.lanes.give_back(io.now);
        self.families.forget(io.now);
        let rows = &self.calls.rows;
        io.callers
            .forget_guests(io.now, |guest| rows.of(guest) != Counts::default());
    }

    fn wants_core(&self) -> bool {
        self.has_calls_to_run() || self.lanes.wants() || self.reload.wants()
    }

    fn hold_core(&mut self, io: &mut Io<'_, Self>) {
        let slice = self.give_slice(io);
        self.make_lanes(slice, io);
    }

    fn has_work(&self) -> bool {
        self.has_calls_to_run()
            || self.calls.has_slots_left
            || !self.orphans.is_empty()
            || self.lanes.wants()
            || self.reload.wants()
    }

    fn next_timer(&self) -> Option<Instant> {
        let packing = self.packing.next();
        let timers = [
            self.calls.next_timer(),
            packing,
            self.next_look(),
            self.lanes.wakes_at(),
            self.reload.wakes_at(),
        ];
        timers.into_iter().flatten().min()
    }

    fn is_idle(&self) -> bool {
        self.calls.rows.is_empty()
    }

    fn new_function_names(&mut self) -> Option<HashMap<usize, String>> {
        let are_told = std::mem::replace(&mut self.functions.are_told, true);
        (!are_told).then(|| self.functions.names(&self.telemetry.counters))
    }

    fn new_announcement(&mut self) -> Option<(u64, Bytes)> {
        if std::mem::replace(&mut self.functions.are_announced, true) {
            return None;
        }
        let registered = self.lanes.registrations().iter();
        let functions = registered.map(|one| (one.name.clone(), one.options.into()));
        let announcement = Announcement {
            functions: functions.collect(),
        };
        let script = self.lanes.script().digest();
        Some((script, announcement.encode().into()))
    }

    fn counters(&self) -> &Counters {
        &self.telemetry.counters
    }

    fn describe(&self, snapshot: &mut Snapshot) {
        let rows = &self.calls.rows;
        let [running, queued] = [rows.running(), rows.queued()].map(|calls| calls as u64);
        let (in_use, free) = self.lanes.counts();
        snapshot.script = self.lanes.script().digest();
        snapshot.queued = queued;
        for core in &mut snapshot.cores {
            core.queued = queued;
            core.calls_us = self.turns.held.as_micros() as u64;
        }
        snapshot.lanes_running = running;
        snapshot.lanes_waiting = (in_use as u64).saturating_sub(running);
        snapshot.lanes_free = free as u64;
        self.telemetry.describe(snapshot);
    }
}
