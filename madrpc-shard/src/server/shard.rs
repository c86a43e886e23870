//! A shard: one thread, one core, one socket, and everything that its calls touch.
//!
//! Owns the loop. Each turn takes in what has come, lets the service work on it for a bounded time, sends what there is
//! to say, and sleeps when nothing is left to do. Nothing here is shared with another thread; the control thread sends
//! messages, and gets messages.

mod announcing;
mod leaving;
mod taking;
mod telling;

use super::control::ToControl;
use super::messages::{Caller, Cursor, ToShard};
use super::own_certificates::OwnCertificates;
use crate::net::askers::Askers;
use crate::net::bell::Listener;
use crate::net::budget::Budget;
use crate::net::dial::{Item, Outcome, Upstreams};
use crate::net::endpoint::Endpoint;
use crate::net::incoming::{CallsOfCallers, number_taken};
use crate::net::seat::Seat;
use crate::net::service::{Io, Service};
use crate::net::sleep::{LONGEST_SLEEP, sleep};
use crate::net::spin::Spin;
use crate::net::transport::{accepting_config, dialing_config};
use crate::runtime::memory;
pub(crate) use announcing::Announcing;
use futures_channel::mpsc::UnboundedReceiver;
use leaving::Stage;
use madrpc_core::identity::{Identity, Permissions};
use madrpc_core::limits::{
    ENDINGS_PER_TURN, MEMORY_GIVE_BACK_INTERVAL, MEMORY_GIVEN_BACK_BYTES, UPSTREAM_IDLE_TIMEOUT,
};
use madrpc_core::numbers::later;
use madrpc_core::session::FrameBuffer;
use std::iter::once;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

/// What the key of stateless resets is derived for.
pub(super) const RESET_PURPOSE: &str = "stateless reset";

/// One shard of a server.
pub(crate) struct Shard<S: Service> {
    seat: Seat,
    callers: Endpoint,
    calls: CallsOfCallers<S::Call>,
    upstreams: Option<Upstreams<S::Tag>>,
    /// Where it announces itself.
    announcing: Option<Announcing>,
    service: S,
    /// Where frames are read into.
    buffer: FrameBuffer,
    budget: Rc<Budget>,
    /// The most that was held since memory was last given back to the system.
    peak_bytes: usize,
    give_back_at: Instant,
    inbox: UnboundedReceiver<ToShard>,
    /// Hears when there is something in the inbox or from another shard.
    listener: Listener,
    control: Sender<ToControl>,
    /// Who waits for an answer of the control thread.
    askers: Askers,
    permissions: Arc<Permissions>,
    own: OwnCertificates,
    spin: Spin,
    stage: Stage,
    /// Whether it takes no new calls until it is told otherwise.
    is_draining: bool,
}

/// What a shard serves with.
pub(crate) struct Served<S: Service> {
    pub(crate) service: S,
    /// The sessions that this opens itself.
    pub(crate) upstreams: Option<Upstreams<S::Tag>>,
    pub(crate) announcing: Option<Announcing>,
}

/// What comes after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another one at once.
    Turn,
    /// Another one when a datagram or a message comes, or a timer is over.
    Sleep,
    /// None: the shard has ended.
    Nothing,
}

impl<S: Service> Shard<S> {
    pub(crate) fn new(
        seat: Seat,
        callers: Endpoint,
        Served {
            service,
            upstreams,
            announcing,
        }: Served<S>,
        budget: Rc<Budget>,
        (inbox, listener): (UnboundedReceiver<ToShard>, Listener),
        (control, permissions, own): (Sender<ToControl>, Arc<Permissions>, [u8; 32]),
        spin: Spin,
    ) -> Self {
        Self {
            seat,
            callers,
            calls: CallsOfCallers::new(Instant::now()),
            upstreams,
            announcing,
            service,
            buffer: FrameBuffer::default(),
            budget,
            peak_bytes: 0,
            give_back_at: Instant::now(),
            inbox,
            listener,
            control,
            askers: Askers::default(),
            permissions,
            own: OwnCertificates::new(own),
            spin,
            stage: Stage::Serving,
            is_draining: false,
        }
    }

    /// Serves until told to stop.
    pub(super) fn run(mut self) {
        loop {
            let now = Instant::now();
            match self.turn(now) {
                Next::Turn => {}
                Next::Sleep if self.spin.looks_again(now) => {}
                Next::Sleep => {
                    self.give_back(now);
                    self.sleep();
                }
                Next::Nothing => return,
            }
        }
    }

    /// Does what there is to do, for a bounded time; gives what comes next.
    pub(crate) fn turn(&mut self, now: Instant) -> Next {
        self.spin.on_turn(now);
        if self.listener.was_rung() {
            self.callers.on_bell();
            while let Ok(message) = self.inbox.try_recv() {
                self.on_message(message, now);
            }
        }
        let mut received = self.callers.receive(now);
        if let Some(upstreams) = &mut self.upstreams {
            received += upstreams.receive(now);
        }
        self.service.take_changes();
        self.take_calls(now);
        self.take_outcomes(now);
        self.end_calls(now);
        self.tell_of_targets();
        let (service, mut io) = self.split(now);
        service.turn(&mut io);
        if service.wants_core() {
            // Replies must not wait for a slice to end: their callers would send nothing meanwhile.
            io.callers.flush(now);
            service.hold_core(&mut io);
        }
        self.tell_functions();
        if let Some((script, body)) = self.service.new_announcement() {
            self.callers.announce(script, body);
        }
        self.leave(now);
        self.flush(now);
        if self.has_left(now) {
            return Next::Nothing;
        }
        if received > 0 {
            self.spin.on_work(now);
        }
        // Where it sleeps after this, the system looks for more.
        match received > 0 && self.spin.is_busy() || self.has_work() {
            true => Next::Turn,
            false => Next::Sleep,
        }
    }

    fn split(&mut self, now: Instant) -> (&mut S, Io<'_, S>) {
        let io = Io {
            now,
            callers: &mut self.callers,
            calls: &mut self.calls,
            upstreams: self.upstreams.as_mut(),
        };
        (&mut self.service, io)
    }

    /// Takes in what has become of the calls that the service has sent. Laid out apart, as [`Shard::take_calls`].
    #[inline(never)]
    fn take_outcomes(&mut self, now: Instant) {
        let Self {
            callers,
            calls,
            upstreams: Some(upstreams),
            service,
            buffer,
            ..
        } = self
        else {
            return;
        };
        while let Some((session, event)) = upstreams.next_frame(buffer, now) {
            if let Some((tag, target, outcome)) = upstreams.on_frame(session, &event, now) {
                let mut io = Io {
                    now,
                    callers,
                    calls,
                    upstreams: Some(upstreams),
                };
                service.on_outcome(tag, target, outcome, &mut io);
            } else if let (Some(call), Some(item)) = (upstreams.take_item(), Item::of(&event)) {
                let mut io = Io {
                    now,
                    callers,
                    calls,
                    upstreams: Some(upstreams),
                };
                service.on_item(call, item, &mut io);
            }
        }
        callers.rest();
        for _ in 0..ENDINGS_PER_TURN {
            let Some((tag, target, error)) = upstreams.next_lost(now) else {
                break;
            };
            let mut io = Io {
                now,
                callers,
                calls,
                upstreams: Some(upstreams),
            };
            service.on_outcome(tag, target, Outcome::Lost(error), &mut io);
        }
    }

    /// Ends the calls of callers that have gone, a bounded number.
    #[inline(never)]
    fn end_calls(&mut self, now: Instant) {
        while let Some(ended) = self.callers.next_ended() {
            self.calls.end(ended.session);
            if let Some(announcing) = &mut self.announcing {
                announcing.on_ended(ended.session, &ended.why, now);
            }
            if let Some(upstreams) = &mut self.upstreams {
                upstreams.on_callers_session_ended(ended.session, &ended.why, now);
            }
        }
        if let Some(announcing) = &mut self.announcing
            && self.stage == Stage::Serving
        {
            announcing.turn(&mut self.callers, now);
        }
        while let Some(session) = self.calls.next_watched(now) {
            self.callers.probe(session, now);
        }
        let (service, mut io) = self.split(now);
        for _ in 0..ENDINGS_PER_TURN {
            let Some(call) = io.calls.next_orphan() else {
                break;
            };
            service.on_cancel(call, &mut io);
        }
    }

    fn on_message(&mut self, message: ToShard, now: Instant) {
        match message {
            ToShard::Count { round, from } => {
                let head = (from == Cursor::START).then(|| Box::new(self.head(now)));
                let counted = ToControl::Counted {
                    round,
                    shard: self.seat.shard,
                    head,
                    counts: self.counts(from, now),
                };
                // It fails only while the process ends.
                let _ = self.control.send(counted);
            }
            ToShard::Answer(caller, result) => {
                let Caller { session, id, .. } = caller;
                self.askers.answered(session, id);
                match self.calls.get(session, id) {
                    // A later one, which has the number too.
                    Some(_) => self.callers.break_off(session, &number_taken(id)),
                    None => self.callers.answer(session, id, result.as_ref()),
                }
            }
            ToShard::Wake => {}
            ToShard::Targets(targets) => {
                if let Some(upstreams) = &mut self.upstreams {
                    let new = upstreams.set_targets(&targets);
                    self.service.on_targets(&new);
                }
            }
            ToShard::Scripts(scripts) => {
                if let Some(upstreams) = &mut self.upstreams {
                    upstreams.set_scripts(scripts, now);
                }
            }
            ToShard::SetDraining(is_draining) => {
                self.is_draining = is_draining;
                self.callers.tell_draining(is_draining);
            }
            ToShard::Revoke(revoked) => {
                self.callers.set_revoked(&revoked);
                if let Some(upstreams) = &mut self.upstreams {
                    upstreams.set_revoked(&revoked);
                }
            }
            ToShard::Identify(identity) => self.identify(&identity),
            ToShard::Drain => {
                self.stage = Stage::Draining;
                self.callers.stop_accepting();
                self.callers.say_goodbye();
            }
            ToShard::Stop => self.stage = Stage::leaving_at(now),
        }
    }

    fn identify(&mut self, identity: &Identity) {
        let own = identity.fingerprint();
        let made = accepting_config(identity).and_then(|accepting| {
            let dialing = dialing_config(identity, UPSTREAM_IDLE_TIMEOUT)?;
            let announcing = dialing_config(identity, UPSTREAM_IDLE_TIMEOUT)?;
            Ok((
                accepting,
                dialing,
                announcing,
                identity.derive_secret(RESET_PURPOSE)?,
                own?,
            ))
        });
        match made {
            Ok((accepting, dialing, announcing, reset_key, own)) => {
                self.own.change(own, Instant::now());
                self.callers.set_accepting(accepting, reset_key);
                self.set_dialing(dialing, announcing);
            }
            // Tried once before; the TLS library must be out of memory.
            Err(why) => tracing::error!(
                "shard {} of {} keeps its certificate: {why}",
                self.seat.shard,
                self.seat.name
            ),
        }
    }

    fn set_dialing(&mut self, dialing: quiche::Config, announcing: quiche::Config) {
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.set_dialing(dialing);
        }
        if self.announcing.is_some() {
            self.callers.set_dialing(announcing);
        }
    }

    /// Says what has become of the targets.
    fn tell_of_targets(&mut self) {
        let Some(upstreams) = &mut self.upstreams else {
            return;
        };
        // They fail only while the process ends.
        if upstreams.take_lost() {
            let _ = self.control.send(ToControl::Missing);
        }
        if let Some(news) = upstreams.take_news() {
            let _ = self.control.send(ToControl::Fleet(news));
        }
        if let Some(joined) = upstreams.take_joined() {
            self.service.on_targets(&joined);
        }
    }

    /// Names the functions that the beacon shows by their numbers, where they have changed.
    fn tell_functions(&mut self) {
        if let Some(names) = self.service.new_function_names() {
            let shard = self.seat.shard;
            // It fails only while the process ends.
            let _ = self.control.send(ToControl::Functions { shard, names });
        }
    }

    /// Whether no call is under way, and none of a caller that has gone is left to be ended.
    #[cfg(feature = "internals")]
    pub(crate) fn is_idle(&self) -> bool {
        self.service.is_idle() && !self.calls.has_orphans()
    }

    fn has_work(&self) -> bool {
        let upstreams = self.upstreams.as_ref();
        self.callers.has_work()
            || self.calls.has_orphans()
            || upstreams.is_some_and(Upstreams::has_work)
            || self.service.has_work()
    }

    fn flush(&mut self, now: Instant) {
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.hand_over(&mut self.callers, now);
        }
        self.callers.flush(now);
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.flush(now);
        }
    }

    /// Gives memory back to the system after a peak, now that there is nothing to do.
    fn give_back(&mut self, now: Instant) {
        self.peak_bytes = self.peak_bytes.max(self.budget.take_peak());
        let freed = self.peak_bytes.saturating_sub(self.budget.used());
        if freed >= MEMORY_GIVEN_BACK_BYTES && now >= self.give_back_at {
            memory::give_back();
            self.peak_bytes = self.budget.used();
            self.give_back_at = later(now, MEMORY_GIVE_BACK_INTERVAL);
        }
    }

    /// Sleeps until a datagram, a message or a timer.
    fn sleep(&self) {
        let linger = self.stage.next_timer();
        let timers = [
            self.callers.next_timer(),
            self.upstreams.as_ref().and_then(Upstreams::next_timer),
            self.service.next_timer(),
            self.calls.next_timer(),
            self.announcing.as_ref().and_then(Announcing::next_timer),
            linger,
        ];
        let timer = timers.into_iter().flatten().min();
        let time = timer.map_or(LONGEST_SLEEP, |at| {
            at.saturating_duration_since(Instant::now())
        });
        let upstreams = self.upstreams.iter().map(Upstreams::endpoint);
        let endpoints = once(&self.callers).chain(upstreams);
        let sockets = endpoints.map(|endpoint| endpoint.socket().as_fd());
        sleep(&self.listener, sockets, time);
    }
}
