//! Upstreams: the sessions that we open, and the calls waiting on them.
//!
//! An orchestrator's shard has one session to each of its nodes, a client's thread has a few to one server. Here a call
//! gets its session, its number and its deadline, and its reply finds whoever waits for it. Whoever waits is a tag `T`
//! that is given back with the outcome, exactly once.

mod calls;

pub(crate) use calls::CallId;

use crate::endpoint::{Endpoint, SessionKey};
use calls::{Calls, Pending, number};
use madrpc_core::balance::{Backoff, RoundRobin};
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::frame::{Bill, Frame, Header};
use madrpc_core::limits::{BACKLOG_MAX_BYTES, KEEP_ALIVE};
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
    targets: Vec<Target>,
    balance: RoundRobin,
    calls: Calls<T>,
    next_ping: Instant,
}

struct Target {
    address: SocketAddr,
    link: Link,
    backoff: Backoff,
    waiting: usize,
}

enum Link {
    Down { retry_at: Instant, why: CallError },
    Up { key: SessionKey, leaving: bool },
}

/// Getters.
impl<T> Upstreams<T> {
    /// The sessions' endpoint, to wait on.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Calls whose outcome is open.
    pub(crate) fn waiting(&self) -> usize {
        self.calls.pending.len()
    }

    /// When to take the next turn at the latest.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let pinging = self.keep == Keep::Always || self.waiting() > 0;
        let retry = self.targets.iter().filter_map(|target| match &target.link {
            Link::Down { retry_at, .. } if self.keep == Keep::Always => Some(*retry_at),
            _ => None,
        });
        let times = [
            self.endpoint.next_timer(),
            self.calls.deadlines.next(),
            pinging.then_some(self.next_ping),
        ];
        times.into_iter().flatten().chain(retry).min()
    }

    /// Whether each target has an open session, in their order.
    pub(crate) fn open(&self) -> impl Iterator<Item = bool> {
        self.targets
            .iter()
            .map(|target| matches!(&target.link, Link::Up { key, .. } if self.endpoint.is_established(*key)))
    }
}

/// Handlers: what the driver tells.
impl<T> Upstreams<T> {
    /// Sessions to `addresses`, whose certificates must be for `server_name`.
    pub(crate) fn new(
        endpoint: Endpoint,
        addresses: &[SocketAddr],
        server_name: &'static str,
        keep: Keep,
        now: Instant,
    ) -> Self {
        let targets = addresses.iter().map(|&address| Target {
            address,
            link: Link::Down {
                retry_at: now,
                why: CallError::not_run(
                    ErrorKind::Unavailable,
                    format!("{address}: no session yet"),
                ),
            },
            backoff: Backoff::default(),
            waiting: 0,
        });
        Self {
            endpoint,
            server_name,
            keep,
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
        let (target, key) = match self.pick(now) {
            Ok(picked) => picked,
            Err(error) => return Err((tag, error)),
        };
        self.send(now, target, key, request, tag)
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
        match self.targets.get(target).map(|target| &target.link) {
            Some(&Link::Up { key, .. }) => self.send(now, target, key, request, tag),
            Some(Link::Down { why, .. }) => Err((tag, why.clone())),
            None => {
                let error = CallError::not_run(ErrorKind::Internal, "there is no such upstream");
                Err((tag, error))
            }
        }
    }

    fn send(
        &mut self,
        now: Instant,
        target: usize,
        key: SessionKey,
        request: &Request<'_>,
        tag: T,
    ) -> Result<CallId, (T, CallError)> {
        let timeout = request.deadline.saturating_duration_since(now);
        let (id, slot) = self.calls.reserve();
        let Some(outbox) = self.endpoint.outbox(key) else {
            let error = format!(
                "{}: the session has just ended",
                self.targets[target].address
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
        self.targets[target].waiting += 1;
        self.calls.pending.insert(Pending {
            generation: self.calls.generation,
            target,
            session: key,
            timer,
            tag,
        });
        Ok(id)
    }

    /// Gives a call up: whoever runs it is told, and the tag is dropped without an outcome.
    pub(crate) fn cancel(&mut self, id: CallId) {
        if let Some(pending) = self.calls.take(id.0) {
            self.targets[pending.target].waiting -= 1;
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

    /// A target for the next call, and its session.
    fn pick(&mut self, now: Instant) -> Result<(usize, SessionKey), CallError> {
        self.dial(now);
        let Self {
            endpoint,
            targets,
            balance,
            ..
        } = self;
        let mut behind = 0;
        let mut session = |index: usize, established: bool| {
            let Link::Up {
                key,
                leaving: false,
            } = targets[index].link
            else {
                return None;
            };
            if endpoint.is_established(key) != established {
                return None;
            }
            if endpoint.waiting_bytes(key) > BACKLOG_MAX_BYTES {
                behind += 1;
                return None;
            }
            Some(key)
        };
        // A session whose handshake is still going on comes second: nobody knows yet whether it will get through.
        for established in [true, false] {
            let mut picked = None;
            let index = balance.pick(targets.len(), |index| {
                picked = session(index, established);
                picked.is_some()
            });
            if let (Some(index), Some(key)) = (index, picked) {
                return Ok((index, key));
            }
        }
        if behind > 0 {
            let error = format!(
                "{behind} of {} upstreams are open, and none keeps up",
                targets.len()
            );
            return Err(CallError::not_run(ErrorKind::Overloaded, error));
        }
        Err(self.why_none())
    }

    fn why_none(&self) -> CallError {
        let downs = self.targets.iter().filter_map(|target| match &target.link {
            Link::Down { why, .. } => Some(why),
            Link::Up { .. } => None,
        });
        let mut reasons: Vec<&str> = downs.clone().map(|why| why.message.as_str()).collect();
        reasons.dedup();
        // A refused certificate is the caller's to mend; anything else may pass.
        let unauthorized = downs.clone().count() > 0
            && downs.clone().all(|why| why.kind == ErrorKind::Unauthorized);
        let kind = if unauthorized {
            ErrorKind::Unauthorized
        } else {
            ErrorKind::Unavailable
        };
        if reasons.is_empty() {
            reasons.push("all upstreams are stopping");
        }
        CallError::not_run(kind, reasons.join("; "))
    }

    /// Opens the sessions that are down and due.
    fn dial(&mut self, now: Instant) {
        for target in &mut self.targets {
            let Link::Down { retry_at, .. } = target.link else {
                continue;
            };
            if retry_at > now {
                continue;
            }
            target.link = match self.endpoint.connect(target.address, self.server_name, now) {
                Ok(key) => Link::Up {
                    key,
                    leaving: false,
                },
                Err(why) => Link::Down {
                    retry_at: now + target.backoff.failed(fastrand::f64()),
                    why,
                },
            };
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
            let target = &mut self.targets[pending.target];
            target.waiting -= 1;
            let error = CallError::may_have_run(
                ErrorKind::DeadlineExceeded,
                format!("{} did not answer by the deadline", target.address),
            );
            if let Some(outbox) = self.endpoint.outbox(pending.session) {
                outbox.send(&Header::Cancel { id }, &[]);
            }
            on_outcome(pending.tag, pending.target, Outcome::Lost(error));
        }
    }

    /// Ends the calls of sessions that are over.
    fn reap(&mut self, now: Instant, on_outcome: &mut impl FnMut(T, usize, Outcome<'_>)) {
        while let Some((key, error)) = self.endpoint.ended() {
            let up = |target: &&mut Target| matches!(&target.link, Link::Up { key: link, .. } if *link == key);
            let Some(target) = self.targets.iter_mut().find(up) else {
                continue;
            };
            let was_open = error.may_have_run;
            let planned = matches!(target.link, Link::Up { leaving: true, .. });
            let idle = self.keep == Keep::WhileCalling && target.waiting == 0 && was_open;
            let address = target.address;
            let wait = if idle {
                Duration::ZERO
            } else {
                target.backoff.failed(fastrand::f64())
            };
            let why = CallError {
                message: format!("{address}: {}", error.message),
                ..error
            };
            if self.keep == Keep::Always {
                let again = wait.as_millis();
                match planned {
                    true => info!("{address} has stopped; trying again in {again} ms"),
                    false => warn!("{}; trying again in {again} ms", why.message),
                }
            }
            let lost: Vec<usize> = if target.waiting == 0 {
                Vec::new()
            } else {
                let on_it = self
                    .calls
                    .pending
                    .iter()
                    .filter(|(_, pending)| pending.session == key);
                on_it.map(|(slot, _)| slot).collect()
            };
            target.waiting -= lost.len();
            target.link = Link::Down {
                retry_at: now + wait,
                why: CallError {
                    may_have_run: false,
                    ..why.clone()
                },
            };
            for slot in lost {
                let pending = self.calls.pending.remove(slot);
                self.calls.deadlines.remove(pending.timer);
                on_outcome(pending.tag, pending.target, Outcome::Lost(why.clone()));
            }
        }
    }

    /// Pings the sessions that must be known to live; a session that answers has recovered.
    fn ping(&mut self, now: Instant) {
        self.next_ping = now + KEEP_ALIVE;
        for target in &mut self.targets {
            if let Link::Up { key, .. } = target.link
                && self.endpoint.is_established(key)
            {
                target.backoff.succeeded();
                if self.keep == Keep::Always || target.waiting > 0 {
                    self.endpoint.ping(key);
                }
            }
        }
    }
}

fn leave(targets: &mut [Target], session: SessionKey) {
    for target in targets {
        if let Link::Up { key, leaving } = &mut target.link
            && *key == session
        {
            *leaving = true;
        }
    }
}
