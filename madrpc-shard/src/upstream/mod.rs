//! Upstreams: the sessions that we open, and the calls waiting on them.
//!
//! An orchestrator's shard has one session to each of its nodes, a client's thread has a few to one server. Here a call
//! gets its session, its number and its deadline, and its reply finds whoever waits for it. Whoever waits is a tag `T`
//! that is given back with the outcome, exactly once.

mod calls;
mod links;

pub(crate) use calls::CallId;
pub use links::SESSIONS_MAX;
pub(crate) use links::Sessions;

use crate::endpoint::{Endpoint, SessionKey};
use calls::{Calls, Pending, number};
use links::{Link, Place, State, Target};
use madrpc_core::balance::RoundRobin;
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::frame::{Bill, Frame, Header};
use madrpc_core::limits::KEEP_ALIVE;
use madrpc_core::session::Event;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How long after its deadline a call still waits for the reply of whoever enforces the deadline, who knows more.
const DEADLINE_GRACE: Duration = Duration::from_millis(50);

/// A call to be sent.
pub(crate) struct Request<'a> {
    pub(crate) function: &'a str,
    /// The encoded arguments.
    pub(crate) body: &'a [u8],
    pub(crate) deadline: Instant,
    /// How many calls are above it.
    pub(crate) depth: u8,
}

/// What became of a call.
pub(crate) enum Outcome<'a> {
    /// The body holds the result.
    Reply { bill: Bill<&'a str>, body: &'a [u8] },
    /// The body holds the error.
    Failure {
        kind: ErrorKind,
        bill: Bill<&'a str>,
        body: &'a [u8],
    },
    /// No answer came.
    Lost(CallError),
}

/// Whether sessions are held while nobody calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Opened at once, opened again when lost, pinged for ever.
    Always,
    /// Opened by the first call, pinged while calls wait, left to end when idle.
    WhileCalling,
}

/// Sessions to a fixed list of servers, and the calls on them.
pub(crate) struct Upstreams<T> {
    endpoint: Endpoint,
    server_name: &'static str,
    keep: Keep,
    sessions: Sessions,
    targets: Vec<Target>,
    balance: RoundRobin,
    calls: Calls<T>,
    next_ping: Instant,
}

/// Getters.
impl<T> Upstreams<T> {
    /// The sessions' endpoint, to wait on.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The endpoint that the sessions are opened from.
    pub(crate) fn endpoint_mut(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// Calls whose outcome is open.
    pub(crate) fn waiting(&self) -> usize {
        self.calls.pending.len()
    }

    /// When to take the next turn at the latest.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let pinging = self.keep == Keep::Always || self.waiting() > 0;
        let links = self.targets.iter().flat_map(|target| &target.links);
        let retry = links
            .filter(|_| self.keep == Keep::Always)
            .filter_map(Link::retry_at);
        let times = [
            self.endpoint.next_timer(),
            self.calls.deadlines.next(),
            pinging.then_some(self.next_ping),
        ];
        times.into_iter().flatten().chain(retry).min()
    }

    /// Whether each target has an open session, in their order.
    pub(crate) fn open(&self) -> impl Iterator<Item = bool> {
        let is_open = |link: &Link| match link.state {
            State::Up { key, .. } => self.endpoint.is_established(key),
            State::Down { .. } => false,
        };
        let targets = self.targets.iter();
        targets.map(move |target| target.links.iter().any(is_open))
    }
}

/// Handlers: what the driver tells.
impl<T> Upstreams<T> {
    /// Sessions to `addresses`, whose certificates must be for `server_name`. `first` is where the first session to each
    /// lands, modulo the server's shards.
    pub(crate) fn new(
        endpoint: Endpoint,
        addresses: &[SocketAddr],
        (sessions, first): (Sessions, u16),
        server_name: &'static str,
        keep: Keep,
        now: Instant,
    ) -> Self {
        let targets = addresses.iter();
        let targets = targets.map(|&address| Target::new(address, sessions, first, now));
        Self {
            endpoint,
            server_name,
            keep,
            sessions,
            targets: targets.collect(),
            balance: RoundRobin::default(),
            calls: Calls::new(now),
            next_ping: now,
        }
    }

    /// Sends a call; its outcome comes from [`Upstreams::turn`] with the tag.
    ///
    /// # Errors
    /// `Unavailable`, at once, where no target can be reached, and `Overloaded` where all that can are behind.
    pub(crate) fn call(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        tag: T,
    ) -> Result<CallId, (T, CallError)> {
        match self.pick(now) {
            Ok((place, key)) => self.send(now, place, key, request, tag),
            Err(error) => Err((tag, error)),
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
        let Some(picked) = self.targets.get_mut(target) else {
            let error = CallError::not_run(ErrorKind::Internal, "there is no such upstream");
            return Err((tag, error));
        };
        for established in [true, false] {
            if let Some((link, key)) = picked.pick(&self.endpoint, established, &mut 0) {
                return self.send(now, Place { target, link }, key, request, tag);
            }
        }
        Err((tag, links::why_none(std::slice::from_ref(picked))))
    }

    fn send(
        &mut self,
        now: Instant,
        place: Place,
        key: SessionKey,
        request: &Request<'_>,
        tag: T,
    ) -> Result<CallId, (T, CallError)> {
        let timeout = request.deadline.saturating_duration_since(now);
        let (id, slot) = self.calls.reserve();
        let Some(outbox) = self.endpoint.outbox(key) else {
            let error = format!(
                "{}: the session has just ended",
                self.targets[place.target].address
            );
            return Err((tag, CallError::not_run(ErrorKind::Unavailable, error)));
        };
        let header = Header::Call {
            id: id.0,
            function: request.function,
            timeout_us: timeout.as_micros() as u64,
            depth: request.depth,
        };
        outbox.send(&header, request.body);
        let timer = self
            .calls
            .deadlines
            .insert(request.deadline + DEADLINE_GRACE, slot);
        self.targets[place.target].links[place.link].waiting += 1;
        self.calls.pending.insert(Pending {
            generation: self.calls.generation,
            place,
            session: key,
            timer,
            tag,
        });
        Ok(id)
    }

    /// Gives a call up: whoever runs it is told, and the tag is dropped without an outcome.
    pub(crate) fn cancel(&mut self, id: CallId) {
        if let Some(pending) = self.calls.take(id.0) {
            let Place { target, link } = pending.place;
            self.targets[target].links[link].waiting -= 1;
            if let Some(outbox) = self.endpoint.outbox(pending.session) {
                outbox.send(&Header::Cancel { id: id.0 }, &[]);
            }
        }
    }

    /// Gives up the calls whose tags say that nobody waits any more.
    pub(crate) fn cancel_abandoned(&mut self, is_abandoned: impl Fn(&T) -> bool) {
        let pending = self.calls.pending.iter();
        let abandoned = pending.filter(|(_, pending)| is_abandoned(&pending.tag));
        let ids: Vec<_> = abandoned
            .map(|(slot, pending)| CallId(number(pending.generation, slot)))
            .collect();
        for id in ids {
            self.cancel(id);
        }
    }

    /// Ends all sessions.
    pub(crate) fn close(&mut self, reason: &str) {
        self.endpoint.close_all(reason);
    }

    /// A link for the next call, and its session.
    fn pick(&mut self, now: Instant) -> Result<(Place, SessionKey), CallError> {
        self.dial(now);
        let Self {
            endpoint,
            targets,
            balance,
            ..
        } = self;
        let mut behind = 0;
        // A session whose handshake is still going on comes second: nobody knows yet whether it will get through.
        for established in [true, false] {
            let mut picked = None;
            let target = balance.pick(targets.len(), |target| {
                picked = targets[target].pick(endpoint, established, &mut behind);
                picked.is_some()
            });
            if let (Some(target), Some((link, key))) = (target, picked) {
                return Ok((Place { target, link }, key));
            }
        }
        if behind > 0 {
            let error = format!(
                "{behind} sessions to {} upstreams are open, and none keeps up",
                targets.len()
            );
            return Err(CallError::not_run(ErrorKind::Overloaded, error));
        }
        Err(links::why_none(targets))
    }

    fn dial(&mut self, now: Instant) {
        for target in &mut self.targets {
            target.dial(&mut self.endpoint, self.server_name, now);
        }
    }
}

/// Pollers: what the driver asks for.
impl<T> Upstreams<T> {
    /// Takes in what has come and tells outcomes, each with the number of the target; gives the datagrams received.
    pub(crate) fn turn(
        &mut self,
        now: Instant,
        mut on_outcome: impl FnMut(T, usize, Outcome<'_>),
    ) -> usize {
        let received = self.endpoint.receive(now);
        self.endpoint.expire(now);
        let Self {
            endpoint,
            targets,
            calls,
            sessions,
            ..
        } = self;
        endpoint.frames(|key, _, event| match event {
            Event::Frame(Frame { header, body }) => match header {
                Header::Reply { id, bill } => {
                    calls.end(targets, id, Outcome::Reply { bill, body }, &mut on_outcome);
                }
                Header::Failure { id, kind, bill } => {
                    calls.end(
                        targets,
                        id,
                        Outcome::Failure { kind, bill, body },
                        &mut on_outcome,
                    );
                }
                Header::GoAway => leave(targets, key),
                Header::Welcome { shards } => {
                    let of =
                        |target: &&mut Target| target.links.iter().any(|link| link.is_session(key));
                    if let Sessions::PerShard { callers } = *sessions
                        && let Some(target) = targets.iter_mut().find(of)
                    {
                        target.learn(shards, callers, now);
                    }
                }
                // Those are a caller's, and we are the caller here.
                Header::Call { .. } | Header::Cancel { .. } => {}
            },
            Event::TooLarge { header, bytes } => {
                if let Header::Reply { id, .. } | Header::Failure { id, .. } = header {
                    let error = format!("the result has {bytes} bytes, more than we take");
                    let error = CallError::may_have_run(ErrorKind::PayloadTooLarge, error);
                    calls.end(targets, id, Outcome::Lost(error), &mut on_outcome);
                }
            }
        });
        self.expire_calls(now, &mut on_outcome);
        self.reap(now, &mut on_outcome);
        if now >= self.next_ping {
            self.ping(now);
        }
        if self.keep == Keep::Always {
            self.dial(now);
        }
        received
    }

    /// Sends what there is to say.
    pub(crate) fn flush(&mut self, now: Instant) {
        self.endpoint.flush(now);
    }

    fn expire_calls(&mut self, now: Instant, on_outcome: &mut impl FnMut(T, usize, Outcome<'_>)) {
        while let Some(slot) = self.calls.deadlines.expire(now) {
            let Some(pending) = self.calls.pending.try_remove(slot) else {
                continue;
            };
            let id = number(pending.generation, slot);
            let target = &mut self.targets[pending.place.target];
            target.links[pending.place.link].waiting -= 1;
            let error = CallError::may_have_run(
                ErrorKind::DeadlineExceeded,
                format!("{} did not answer by the deadline", target.address),
            );
            if let Some(outbox) = self.endpoint.outbox(pending.session) {
                outbox.send(&Header::Cancel { id }, &[]);
            }
            on_outcome(pending.tag, pending.place.target, Outcome::Lost(error));
        }
    }

    /// Ends the calls of sessions that are over.
    fn reap(&mut self, now: Instant, on_outcome: &mut impl FnMut(T, usize, Outcome<'_>)) {
        while let Some((key, error)) = self.endpoint.ended() {
            let found = self.targets.iter_mut().find_map(|target| {
                let link = target.links.iter().position(|link| link.is_session(key))?;
                Some((target.address, link, &mut target.links[link]))
            });
            let Some((address, number, link)) = found else {
                continue;
            };
            let was_open = error.may_have_run;
            let planned = matches!(link.state, State::Up { leaving: true, .. });
            let idle = self.keep == Keep::WhileCalling && link.waiting == 0 && was_open;
            let wait = if idle {
                Duration::ZERO
            } else {
                link.backoff.failed(fastrand::f64())
            };
            let why = CallError {
                message: format!("{address}: {}", error.message),
                ..error
            };
            // One line is enough for all sessions to a server.
            if self.keep == Keep::Always && number == 0 {
                let again = wait.as_millis();
                match planned {
                    true => info!("{address} has stopped; trying again in {again} ms"),
                    false => warn!("{}; trying again in {again} ms", why.message),
                }
            }
            let lost: Vec<usize> = if link.waiting == 0 {
                Vec::new()
            } else {
                let on_it = self
                    .calls
                    .pending
                    .iter()
                    .filter(|(_, pending)| pending.session == key);
                on_it.map(|(slot, _)| slot).collect()
            };
            link.waiting -= lost.len();
            link.state = State::Down {
                retry_at: now + wait,
                why: CallError {
                    may_have_run: false,
                    ..why.clone()
                },
            };
            for slot in lost {
                let pending = self.calls.pending.remove(slot);
                self.calls.deadlines.remove(pending.timer);
                on_outcome(
                    pending.tag,
                    pending.place.target,
                    Outcome::Lost(why.clone()),
                );
            }
        }
    }

    fn ping(&mut self, now: Instant) {
        self.next_ping = now + KEEP_ALIVE;
        for target in &mut self.targets {
            target.ping(&mut self.endpoint, self.keep);
        }
    }
}

fn leave(targets: &mut [Target], session: SessionKey) {
    for link in targets.iter_mut().flat_map(|target| &mut target.links) {
        if let State::Up { key, leaving } = &mut link.state
            && *key == session
        {
            *leaving = true;
        }
    }
}
