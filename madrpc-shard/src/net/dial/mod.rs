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
use super::log_limit::LineBudget;
use super::resolver::Resolver;
use crowding::Crowding;
use doubles::Doubles;
use early::Early;
use large::LargeBodies;
use left::Left;
use links::{Link, Target};
use madrpc_core::balance::Members;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::fleet::{
    Attempt, Copied, Copies, Ending, LOOK_INTERVAL, Router, Routing, SWEEP_INTERVAL, Subset,
    was_sent_after,
};
use madrpc_core::identity::Revoked;
use madrpc_core::limits::{COPIES_MAX_BYTES, ENDINGS_PER_TURN};
use madrpc_core::lists::{ItemKey, ListKey, Lists};
use madrpc_core::numbers::later;
use madrpc_core::session::{Event, FrameBuffer};
use madrpc_core::wheel::{TimerKey, Wheel};
use names::Names;
pub(crate) use registered::Wires;
use registered::is_registered;
use sending::is_large;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use subset::Chooser;
use traced::Traced;
use tracing::info;

/// Bytes of the deadline that a copy of a call begins with.
const TIME_BYTES: usize = size_of::<u64>();

/// Names a call until its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallId(pub(crate) ItemKey);

/// Sessions that are begun in one turn: the first packet of each takes some 0.1 ms to make.
const DIALS_PER_TURN: usize = 4;

/// Lines of the log about targets between two sweeps: a fleet of thousands may come or go at once.
const LINES_MAX: u32 = 20;

/// Sessions to a fixed list of servers, and the calls on them.
pub(crate) struct Upstreams<T> {
    pub(crate) wires: Wires,
    server_name: &'static str,
    keep: Keep,
    sessions: Sessions,
    /// By their numbers, those that are gone and not free yet among them.
    targets: Vec<Target>,
    /// The numbers of those that are gone, in that order; another may have one meanwhile.
    gone: VecDeque<usize>,
    /// How many are not gone.
    there: usize,
    /// Where the first session to each lands, modulo its shards.
    first: u16,
    resolver: Resolver,
    /// What the targets were resolved from, where nobody else looks for them.
    names: Option<Names>,
    doubles: Doubles,
    /// Which of those that it is given are targets, where not all are.
    chooser: Option<Box<Chooser>>,
    early: Early,
    traced: Traced,
    /// Which of the targets gets a call; it knows them by their numbers.
    router: Router,
    copies: Copies,
    large: LargeBodies,
    left: Left,
    /// Memory that copies may take; calls beyond it are sent once.
    copies_max_bytes: usize,
    /// The one that is sent again.
    retried: Vec<u8>,
    tries: Tries,
    /// What is said of targets.
    lines: LineBudget,
    /// What the times in copies count from.
    started: Instant,
    /// The targets with a link that is down, and those with one that is so for a reason that may pass.
    down: Members,
    passing: Members,
    /// The links of the sessions, by the sessions' places.
    places: Vec<Option<(SessionKey, Place)>>,
    calls: Lists<Pending<T>>,
    lost: VecDeque<Lost>,
    timers: Wheel<Due>,
    /// Links that are down and may be dialled.
    due: VecDeque<Place>,
    /// How many of them in this turn.
    dials_left: usize,
    crowding: Crowding,
    /// The call that an item has just come for, until that is asked.
    item: Option<CallId>,
    /// Whether a target has been lost, until that is asked.
    has_lost: bool,
    /// Why no target can be called, where that was asked since the last change.
    unreachable: Option<CallError>,
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

/// How often there was more than one try.
#[derive(Debug, Default)]
struct Tries {
    retries: u64,
    hedges: u64,
    /// Targets that got no calls for a while.
    ejections: u64,
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
        let dials = self.keep == Keep::Always && !self.due.is_empty();
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
        self.early.hedges = routing.hedge_percent.is_some();
        self.early.try_timeout = routing.try_timeout;
        self.chooser = subset.map(|subset| Box::new(Chooser::new(subset, now)));
        if self.chooser.is_some() {
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
            server_name,
            keep,
            sessions,
            targets: Vec::new(),
            gone: VecDeque::new(),
            there: 0,
            first,
            resolver: Resolver::new(),
            names: None,
            doubles: Doubles::default(),
            chooser: None,
            early: Early::default(),
            traced: Traced::default(),
            router: Router::new(now),
            copies: Copies::default(),
            large: LargeBodies::default(),
            left: Left::default(),
            copies_max_bytes: COPIES_MAX_BYTES,
            retried: Vec::new(),
            tries: Tries::default(),
            started: now,
            down: Members::default(),
            passing: Members::default(),
            places: Vec::new(),
            calls: Lists::default(),
            lost: VecDeque::new(),
            timers: Wheel::new(now),
            due: VecDeque::new(),
            lines: LineBudget::new(LINES_MAX, SWEEP_INTERVAL),
            dials_left: DIALS_PER_TURN,
            crowding: Crowding::default(),
            item: None,
            has_lost: false,
            unreachable: None,
        };
        for addresses in targets {
            upstreams.add(upstreams.targets.len(), addresses.clone());
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
        self.due.push_back(Place::new(target, link));
        self.note(target);
    }

    /// Ends all sessions.
    pub(crate) fn close(&mut self, reason: &str) {
        self.wires.endpoint.close_all(reason);
    }

    fn place_of(&self, session: SessionKey) -> Option<Place> {
        if is_registered(session) {
            return self.wires.registered.place(session);
        }
        let known = self.places.get(session.place()).copied().flatten();
        known.and_then(|(key, place)| (key == session).then_some(place))
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
        let target = &mut self.targets[number];
        target.note_condition();
        let is_double = self.doubles.contains(number);
        let is_open = !target.open.is_empty() && !is_double;
        let is_connecting = !target.connecting.is_empty() && !is_double;
        self.router.set_reachable(number, is_open, is_connecting);
        self.router.set_silent(number, target.is_silent());
        let takes_none = target.is_draining() || target.is_asked;
        self.router.set_draining(number, takes_none);
        self.down.set(number, target.is_down() && !target.is_gone);
        self.passing
            .set(number, target.may_come_back() && !target.is_gone);
        self.unreachable = None;
    }
}

/// Pollers: what the driver asks for.
impl<T> Upstreams<T> {
    /// Takes in what has come; gives the datagrams received.
    pub(crate) fn receive(&mut self, now: Instant) -> usize {
        let received = self.wires.endpoint.receive(now);
        self.large.make_room(self.wires.endpoint.budget());
        self.dials_left = DIALS_PER_TURN;
        if self.keep == Keep::Always && !self.due.is_empty() {
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
            if let Some(place) = self.place_of(session)
                && let State::Connecting(_) = self.targets[place.target()].links[place.link()].state
            {
                let target = &mut self.targets[place.target()];
                if target.has_answered() && self.keep == Keep::Always && self.lines.take(now) {
                    info!("{} answers again", target.name());
                }
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
                    if !self.is_there(place) => {}
                Due::Dial(place) => self.due.push_back(place),
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
        std::mem::take(&mut self.has_lost)
    }

    /// Sends what there is to say.
    pub(crate) fn flush(&mut self, now: Instant) {
        self.wires.endpoint.flush(now);
    }
}
