//! Upstreams: the sessions that we open, and the calls waiting on them.
//!
//! An orchestrator's shard has sessions to each of its nodes, a client's thread has a few to one server. Here a call
//! gets its session, its number and its deadline, and its reply finds its caller. The caller is a tag `T`
//! that is given back with the outcome, exactly once.
//!
//! Its driver asks, each turn in this order: [`receive`], [`next_frame`] until it is `None`, with [`on_frame`] for each,
//! [`next_lost`] until it is `None` or for so many, and [`flush`].
//!
//! [`receive`]: Upstreams::receive
//! [`next_frame`]: Upstreams::next_frame
//! [`on_frame`]: Upstreams::on_frame
//! [`next_lost`]: Upstreams::next_lost
//! [`flush`]: Upstreams::flush

mod crowding;
mod dialing;
mod doubles;
mod early;
mod large;
mod left;
mod links;
mod membership;
mod names;
mod picking;
mod receiving;
mod registered;
mod report;
mod request;
mod retry;
mod sending;
mod silence;
mod streams;
mod subset;
mod targets;
mod traced;
mod unreachable;
mod upkeep;

pub use links::SESSIONS_MAX;
pub(crate) use links::{Keep, Place, Sessions, State};
pub(crate) use request::{Item, Outcome, Request, check_name};
#[cfg(target_os = "linux")]
pub(crate) use subset::FleetNews;

use super::address::Addresses;
use super::endpoint::{Endpoint, SessionKey};
use crowding::Crowding;
use dialing::Dialing;
use early::Early;
use links::{Link, Target};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::fleet::{
    Attempt, Copied, Ending, LOOK_INTERVAL, Router, Routing, SWEEP_INTERVAL, Subset, was_sent_after,
};
use madrpc_core::identity::Revoked;
use madrpc_core::limits::ENDINGS_PER_TURN;
use madrpc_core::lists::{ItemKey, ListKey, Lists};
use madrpc_core::numbers::later;
use madrpc_core::session::{Event, FrameBuffer};
use madrpc_core::wheel::{TimerKey, Wheel};
use membership::Membership;
pub(crate) use registered::Wires;
use retry::Retries;
use sending::is_large;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use subset::Chooser;
use targets::Targets;
use traced::Traced;

/// Names a call until its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallId(pub(crate) ItemKey);

/// Sessions to a fixed list of servers, and the calls on them.
pub(crate) struct Upstreams<T> {
    pub(crate) wires: Wires,
    keep: Keep,
    targets: Targets,
    membership: Membership,
    dialing: Dialing,
    /// Which of the targets gets a call; it knows them by their numbers.
    router: Router,
    crowding: Crowding,
    calls: Lists<Pending<T>>,
    retries: Retries,
    early: Early,
    traced: Traced,
    lost: VecDeque<Lost>,
    timers: Wheel<Due>,
    /// The call that an item has just come for, until that is asked.
    item: Option<CallId>,
}

/// A call without an outcome. There may be very many, and each is moved in and out: more than 128 bytes of it would be moved by
/// a call of the library.
struct Pending<T> {
    place: Place,
    /// That of the link, when it was sent.
    epoch: u32,
    /// Which of the small calls on the link's session it is, the first being 1, modulo 2³²; 0 for a large one.
    sequence: u32,
    deadline: TimerKey,
    attempt: Attempt,
    /// What it takes to send it again.
    copy: Copied,
    tag: T,
}

/// The calls of a session that is over, or of which its server has said that it will not run them.
struct Lost {
    calls: ListKey,
    target: usize,
    why: CallError,
    /// How many of the session's small calls the server had taken, where it has said so.
    taken: Option<u64>,
    /// The session never came about, so nothing was sent.
    is_unsent: bool,
}

/// What is to be done at a time.
enum Due {
    /// This call has no outcome by its deadline.
    Deadline(ItemKey),
    /// This link may be dialled again.
    Dial(Place),
    /// This link's session is to be pinged.
    Ping(Place),
    /// It is to be seen whether this link's session has had nothing to do for long.
    Idle(Place),
    /// It is to be seen whether this link's server says nothing.
    Silence(Place),
    /// The targets are to be compared with each other.
    Sweep,
    /// It is to be seen which targets there are to be.
    Subset,
}

/// Getters.
impl<T> Upstreams<T> {
    /// The sessions' endpoint, to wait on.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.wires.endpoint
    }

    /// Opens sessions with this from now on.
    pub(crate) fn set_dialing(&mut self, config: quiche::Config) {
        self.wires.endpoint.set_dialing(config);
    }

    /// Trusts the owners of these certificates no more.
    pub(crate) fn set_revoked(&mut self, revoked: &Arc<Revoked>) {
        self.wires.endpoint.set_revoked(revoked);
    }

    /// Calls whose outcome is open.
    pub(crate) fn waiting(&self) -> usize {
        self.calls.len()
    }

    /// Whether the next turn has something to do without anything new from outside.
    pub(crate) fn has_work(&self) -> bool {
        let dials = self.keep == Keep::Always && self.dialing.has_due();
        self.wires.endpoint.has_work() || !self.lost.is_empty() || dials || self.has_looks()
    }

    /// When to take the next turn at the latest.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let times = [self.wires.endpoint.next_timer(), self.timers.next()];
        times.into_iter().flatten().min()
    }

    /// Whether so much is on its way to the targets that the calls of callers who have had more than their part are to wait.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowding.is_crowded()
    }
}

/// Handlers: what the driver tells.
impl<T> Upstreams<T> {
    /// Chooses among the targets by this from now on, and has sessions to this part of them.
    pub(crate) fn set_routing(&mut self, routing: Routing, subset: Option<Subset>, now: Instant) {
        self.router.set_balance(routing.balance);
        self.router.set_max_ejected(routing.max_ejected_percent);
        self.router.set_hedge(routing.hedge_percent);
        self.early.set_routing(&routing);
        self.membership.chooser = subset.map(|subset| Box::new(Chooser::new(subset, now)));
        if self.membership.chooser.is_some() {
            self.timers.insert(later(now, LOOK_INTERVAL), Due::Subset);
        }
    }

    /// Sessions to `targets`, whose certificates must be for `server_name`. `first` is where the first session to each
    /// lands, modulo the server's shards.
    pub(crate) fn new(
        endpoint: Endpoint,
        targets: &[Addresses],
        (sessions, first): (Sessions, u16),
        server_name: &'static str,
        keep: Keep,
        now: Instant,
    ) -> Self {
        let mut upstreams = Self {
            wires: Wires::new(endpoint),
            keep,
            targets: Targets::new(),
            membership: Membership::default(),
            dialing: Dialing::new(server_name, sessions, first),
            router: Router::new(now),
            crowding: Crowding::default(),
            calls: Lists::default(),
            retries: Retries::new(now),
            early: Early::default(),
            traced: Traced::default(),
            lost: VecDeque::new(),
            timers: Wheel::new(now),
            item: None,
        };
        for addresses in targets {
            upstreams.add(upstreams.numbers(), addresses.clone());
        }
        if keep == Keep::Always {
            upstreams.timers.insert(now + SWEEP_INTERVAL, Due::Sweep);
        }
        upstreams
    }

    fn add_link(&mut self, target: usize, prefix: u16) {
        let calls = self.calls.add_list();
        let picked = &mut self.targets[target];
        let link = picked.links.len();
        picked.add(Link::new(picked.address(), prefix, calls));
        self.dialing.add(Place::new(target, link));
        self.note(target);
    }

    /// Ends all sessions.
    pub(crate) fn close(&mut self, reason: &str) {
        self.wires.endpoint.close_all(reason);
    }

    pub(crate) fn enter(&mut self, place: Place, state: State) {
        let target = &mut self.targets[place.target()];
        let open_before = target.open.len();
        target.enter(place.link(), state);
        self.crowding.open_links += target.open.len();
        self.crowding.open_links -= open_before;
        self.note(place.target());
    }

    /// Notes that the links of a target have changed.
    fn note(&mut self, number: usize) {
        if self.targets[number].open.is_empty() {
            self.forget_server(number);
        }
        self.targets.note(number);
        let target = &self.targets[number];
        let is_double = self.targets.is_double(number);
        let is_open = !target.open.is_empty() && !is_double;
        let is_connecting = !target.connecting.is_empty() && !is_double;
        self.router.set_reachable(number, is_open, is_connecting);
        self.router.set_silent(number, target.is_silent());
        let takes_none = target.is_draining() || target.is_asked;
        self.router.set_draining(number, takes_none);
    }
}

/// Pollers: what the driver asks for.
impl<T> Upstreams<T> {
    /// Takes in what has come; gives the datagrams received.
    pub(crate) fn receive(&mut self, now: Instant) -> usize {
        let received = self.wires.endpoint.receive(now);
        self.retries.make_room(self.wires.endpoint.budget());
        self.dialing.begin_turn();
        if self.keep == Keep::Always && self.dialing.has_due() {
            self.dial(now);
        }
        received
    }

    /// The next frame that has come, which [`Upstreams::on_frame`] is to be given.
    pub(crate) fn next_frame<'b>(
        &mut self,
        buffer: &'b mut FrameBuffer,
        now: Instant,
    ) -> Option<(SessionKey, Event<'b>)> {
        self.wires.endpoint.next_frame(buffer, now)
    }

    /// A call that will have no answer, with the number of its target and the reason.
    pub(crate) fn next_lost(&mut self, now: Instant) -> Option<(T, usize, CallError)> {
        while let Some(session) = self.wires.endpoint.next_opened() {
            if let Some(place) = self.wires.place(session)
                && let State::Connecting(_) = self.targets.link(place).state
            {
                let is_kept = self.keep == Keep::Always;
                self.targets.has_answered(place.target(), is_kept, now);
                self.enter(place, State::Open(session));
                self.identify(place.target(), session);
                self.watch_over(place, now);
            }
        }
        while let Some(ended) = self.wires.endpoint.next_ended() {
            self.on_session_ended(ended, now);
        }
        let mut tries = 0;
        while let Some(lost) = self.lost.front() {
            let Some((key, pending)) = self.calls.front(lost.calls) else {
                self.calls.drop_list(lost.calls);
                self.lost.pop_front();
                continue;
            };
            let mut error = lost.why.clone();
            error.may_have_run &= lost
                .taken
                .is_none_or(|taken| !was_sent_after(pending.sequence, taken));
            let target = lost.target;
            if lost.is_unsent
                && let Some(pending) = self.calls.get_mut(key)
            {
                pending.attempt.was_not_sent(target);
            }
            if error.may_have_run {
                self.note_lost_node(key, target);
            }
            if self.try_again(key, &error, Ending::Neutral, now) {
                tries += 1;
                if tries == ENDINGS_PER_TURN {
                    return None;
                }
                continue;
            }
            let attempt = self.calls.get(key)?.attempt;
            error.nodes_lost = self.nodes_lost(key, &attempt);
            let pending = self.take(key, Ending::Neutral, None, now)?;
            error.may_have_run |= pending.attempt.may_have_run();
            return Some((pending.tag, target, error));
        }
        while let Some(due) = self.timers.expire(now) {
            match due {
                // Of a target that is gone, and whose number another has with fewer links.
                Due::Dial(place) | Due::Ping(place) | Due::Idle(place) | Due::Silence(place)
                    if !self.targets.has(place) => {}
                Due::Dial(place) => self.dialing.add(place),
                Due::Ping(place) => self.ping(place, now),
                Due::Idle(place) => self.end_idle(place, now),
                Due::Silence(place) if self.postpone_look(place) => {}
                Due::Silence(place) => self.look_for_silence(place, now),
                Due::Sweep => self.sweep(now),
                Due::Subset => self.look_at_subset_again(now),
                Due::Deadline(key) if self.is_early(key, now) => {}
                Due::Deadline(key) => {
                    let is_unsent = self.is_unsent(key);
                    self.drop_second(key, now);
                    if let Some(pending) = self.calls.remove(key) {
                        self.sample_ended(key, &pending.attempt, false, now);
                        self.forget(key, &pending, Ending::Neutral, None, now);
                        self.trace_ended(key, &pending);
                        self.tell_cancelled(&pending, key);
                        let target = pending.place.target();
                        let address = self.targets[target].address();
                        let error = format!("{address} did not answer by the deadline");
                        let mut error = CallError::may_have_run(ErrorKind::DeadlineExceeded, error);
                        error.may_have_run = !is_unsent;
                        return Some((pending.tag, target, error));
                    }
                }
            }
        }
        None
    }

    /// Whether a session to a target has ended, or none has come about, since this was last asked.
    #[inline]
    pub(crate) fn take_lost(&mut self) -> bool {
        self.membership.take_lost()
    }

    /// Sends what there is to say.
    pub(crate) fn flush(&mut self, now: Instant) {
        self.wires.endpoint.flush(now);
    }
}
