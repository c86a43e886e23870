//! A call is sent, is taken out again, or is given up.

use super::links::{Place, State};
use super::request::{Request, check_name};
use super::unreachable::why_none;
use super::{CallId, Due, Pending, Target, Upstreams};
use crate::net::endpoint::SessionKey;
use madrpc_core::call::control::RESERVED_PREFIX;
use madrpc_core::call::frame::Header;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::fleet::{Attempt, Copied, Ending, FunctionNumber, RUNS_MAX, Router, Took};
use madrpc_core::limits::{DEADLINE_GRACE, INLINE_BODY_MAX_BYTES, KEEP_ALIVE};
use madrpc_core::lists::ItemKey;
use madrpc_core::numbers::later;
use std::time::Instant;

/// Targets that a call may be put on, one after the other, until one takes it.
const TRIES: u8 = 3;

impl<T> Upstreams<T> {
    /// Sends a call; its outcome comes from [`Upstreams::on_frame`] or [`Upstreams::next_lost`] with the tag.
    ///
    /// # Errors
    /// `Unavailable`, at once, where no target can be reached, and `Overloaded` where all that can are behind;
    /// `NoSuchFunction` where none that can be reached has the function, or the name is longer than any.
    pub(crate) fn call(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        tag: T,
    ) -> Result<CallId, (T, CallError)> {
        let function = self.find(request.function);
        self.call_known(now, request, function, tag)
    }

    /// The number of a function that one of several targets has.
    #[inline]
    pub(crate) fn find(&self, name: &str) -> Option<FunctionNumber> {
        // Where there is only one, it gets the call whatever it has.
        match self.targets.there() > 1 {
            true => self.router.find(name),
            false => None,
        }
    }

    /// What the functions of the targets are marked with, and can be.
    pub(crate) fn router(&mut self) -> &mut Router {
        &mut self.router
    }

    /// The same as [`Upstreams::call`], of a function that [`Upstreams::find`] has found.
    ///
    /// # Errors
    /// As of [`Upstreams::call`].
    #[inline]
    pub(crate) fn call_known(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        function: Option<FunctionNumber>,
        tag: T,
    ) -> Result<CallId, (T, CallError)> {
        if let Err(error) = check_name(request.function) {
            return Err((tag, error));
        }
        let has_others = self.targets.there() > 1;
        let said = request.fields.of_call();
        let mut attempt = Attempt::new(function, said.may_repeat);
        if said.nodes_lost > 0 {
            if said.nodes_lost >= RUNS_MAX {
                return Err((tag, lost_too_often(said.nodes_lost)));
            }
            attempt.has_lost(said.nodes_lost);
        }
        if has_others {
            self.router.on_call();
            if function.is_none() && request.function.starts_with(RESERVED_PREFIX) {
                attempt.is_for_any();
            }
        }
        let mut unsent = tag;
        loop {
            let to = match self.pick(&mut attempt, now, request, None) {
                Ok(to) => to,
                Err(error) => return Err((unsent, error)),
            };
            match self.send(now, to, request, (attempt, has_others), unsent) {
                Ok(sent) => return Ok(sent),
                // The session of that one has just ended, which is not noted before the end of the turn.
                Err((tag, _)) if has_others && attempt.number() < TRIES => unsent = tag,
                Err(unsent) => return Err(unsent),
            }
        }
    }

    /// Sends a call to the target with this number, whose turn it may not be.
    ///
    /// # Errors
    /// Why it cannot be reached.
    pub(crate) fn call_at(
        &mut self,
        target: usize,
        now: Instant,
        request: &Request<'_>,
        tag: T,
    ) -> Result<CallId, (T, CallError)> {
        for is_open in [true, false] {
            if let Some((link, key)) = self.pick_link(target, is_open, is_large(request)) {
                let place = Place::new(target, link);
                let once = (Attempt::new(None, false), false);
                return self.send(now, (place, key), request, once, tag);
            }
        }
        let down = self.targets.get(target).filter(|target| target.is_down());
        let is_passing = down.is_some_and(Target::may_come_back);
        Err((tag, why_none(down.into_iter(), is_passing)))
    }

    fn send(
        &mut self,
        now: Instant,
        to: (Place, SessionKey),
        request: &Request<'_>,
        (mut attempt, is_kept): (Attempt, bool),
        tag: T,
    ) -> Result<CallId, (T, CallError)> {
        let id = self.calls.next_key();
        let (place, _) = to;
        let (sequence, copy) = match self.put_on_session(now, to, id, request, is_kept) {
            Ok(sent) => sent,
            Err(error) => {
                self.note_ending(place.target(), &attempt, Ending::Neutral, now);
                return Err((tag, error));
            }
        };
        self.router.begun(&mut attempt, place.target());
        let link = self.targets.link(place);
        let deadline = later(request.deadline, DEADLINE_GRACE);
        let epoch = link.epoch;
        let (list, due) = (
            link.calls,
            self.first_timer(&mut attempt, copy, deadline, now),
        );
        self.sample_begun(id, &attempt, now);
        let pending = Pending {
            place,
            epoch,
            sequence,
            deadline: self.timers.insert(due, Due::Deadline(id)),
            attempt,
            copy,
            tag,
        };
        Ok(CallId(self.calls.push_back(list, pending)))
    }

    /// Puts a call on a session, under this number; gives which of the session's small calls it is, and a copy of it, with which
    /// it can be put on another, where it is to be kept and there is room for it.
    #[inline]
    pub(super) fn put_on_session(
        &mut self,
        now: Instant,
        (place, session): (Place, SessionKey),
        id: ItemKey,
        request: &Request<'_>,
        is_kept: bool,
    ) -> Result<(u32, Copied), CallError> {
        let timeout = request.deadline.saturating_duration_since(now);
        let target = &mut self.targets[place.target()];
        let Some(outbox) = self.wires.outbox(session) else {
            let error = format!("{}: the session has just ended", target.address());
            return Err(CallError::not_run(ErrorKind::Unavailable, error));
        };
        let header = Header::Call {
            id: id.to_number(),
            function: request.function,
            timeout_us: timeout.as_micros() as u64,
            depth: request.depth,
            account: request.account,
        };
        let start = outbox.small_end();
        outbox.send_with(&header, request.fields, request.body);
        let mut copy = Copied::NONE;
        if is_kept && self.retries.has_room() {
            copy = match is_large(request) {
                false => {
                    let frame = outbox.small_from(start);
                    self.retries.copy_small(request.deadline, frame)
                }
                true => {
                    let budget = self.wires.endpoint.budget();
                    self.retries.copy_large(id, &header, request, budget)
                }
            };
        }
        let link = &mut target.links[place.link()];
        let mut sequence = 0;
        if !is_large(request) {
            link.sent = link.sent.wrapping_add(1);
            sequence = link.sent;
            self.crowding.on_sent(&mut link.on_their_way);
            self.crowding.look(&mut link.on_their_way, now);
        }
        if link.ping.is_none() {
            link.ping = Some(self.timers.insert(now + KEEP_ALIVE, Due::Ping(place)));
        }
        self.on_sent(place, now);
        Ok((sequence, copy))
    }

    /// Gives a call up: its server is told, and there will be no outcome. Gives the tag, unless there was one already.
    pub(crate) fn cancel(&mut self, CallId(key): CallId) -> Option<T> {
        let pending = self.take(key, Ending::Neutral, None, self.retries.started)?;
        self.tell_cancelled(&pending, key);
        Some(pending.tag)
    }

    /// Whether a call has been sent to nobody: it still waits for its first session.
    pub(super) fn is_unsent(&self, key: ItemKey) -> bool {
        let Some(Pending { place, attempt, .. }) = self.calls.get(key) else {
            return false;
        };
        let link = self.targets.get(place.target());
        let link = link.and_then(|target| target.links.get(place.link()));
        link.is_some_and(|link| {
            // One that was lost with the session before is on a list of its own.
            let waits = self.calls.list_of(key) == Some(link.calls);
            waits && matches!(link.state, State::Connecting(_)) && !attempt.may_have_run()
        })
    }

    /// Takes a call out that has ended so, and took so long at its target.
    pub(super) fn take(
        &mut self,
        key: ItemKey,
        ending: Ending,
        took: Option<Took>,
        now: Instant,
    ) -> Option<Pending<T>> {
        let pending = self.calls.remove(key)?;
        self.timers.remove(pending.deadline);
        self.drop_second(key, now);
        self.sample_ended(key, &pending.attempt, took.is_some(), now);
        self.forget(key, &pending, ending, took, now);
        self.trace_ended(key, &pending);
        Some(pending)
    }

    pub(super) fn tell_cancelled(&mut self, pending: &Pending<T>, key: ItemKey) {
        self.tell_gone(pending.place, pending.epoch, key);
    }

    /// Tells the server of a link's session of this epoch that nobody waits for a call any more.
    pub(super) fn tell_gone(&mut self, place: Place, epoch: u32, key: ItemKey) {
        let link = self.targets.link_mut(place);
        let session = link.session().filter(|_| link.epoch == epoch);
        if let Some(session) = session
            && let Some(outbox) = self.wires.outbox(session)
        {
            let id = key.to_number();
            outbox.send(&Header::Cancel { id }, &[]);
            self.crowding.on_sent(&mut link.on_their_way);
            self.wires.endpoint.drop_answer(session, id);
        }
    }
}

#[cold]
fn lost_too_often(nodes: u8) -> CallError {
    let error = format!(
        "{nodes} nodes were lost that this call, or one that it is a part of, was on: it is sent to no other"
    );
    CallError {
        nodes_lost: nodes,
        ..CallError::not_run(ErrorKind::Unavailable, error)
    }
}

/// Whether its arguments have a stream of their own.
pub(super) fn is_large(request: &Request<'_>) -> bool {
    request.body.len() > INLINE_BODY_MAX_BYTES
}
