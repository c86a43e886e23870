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
mod links;
mod picking;
mod request;
mod unreachable;
mod upkeep;

pub use links::SESSIONS_MAX;
pub(crate) use links::{Keep, Place, Sessions, State};
pub(crate) use request::{Outcome, Request};

use super::address::Addresses;
use super::endpoint::{Endpoint, SessionKey};
use super::resolver::Resolver;
use crowding::Crowding;
use links::{Link, Target};
use madrpc_core::balance::{Members, RoundRobin};
use madrpc_core::call::frame::{Frame, Header};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::{
    DEADLINE_GRACE, FUNCTION_NAME_MAX_BYTES, INLINE_BODY_MAX_BYTES, KEEP_ALIVE,
};
use madrpc_core::lists::{ItemKey, ListKey, Lists};
use madrpc_core::session::{Event, FrameBuffer};
use madrpc_core::wheel::{TimerKey, Wheel};
use request::answered;
use std::collections::VecDeque;
use std::time::Instant;
use unreachable::why_none;

/// Names a call until its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallId(pub(crate) ItemKey);

/// Sessions that are begun in one turn: the first packet of each takes some 0.1 ms to make.
const DIALS_PER_TURN: usize = 4;

/// Sessions to a fixed list of servers, and the calls on them.
pub(crate) struct Upstreams<T> {
    pub(crate) endpoint: Endpoint,
    server_name: &'static str,
    keep: Keep,
    sessions: Sessions,
    targets: Vec<Target>,
    resolver: Resolver,
    /// The targets with a session whose handshake is over, and those where one is going on.
    open: RoundRobin,
    connecting: RoundRobin,
    /// The targets with a link that is down, and those with one that is so for a reason that may pass.
    down: Members,
    passing: Members,
    /// The links of the sessions, by the sessions' places.
    places: Vec<Option<(SessionKey, Place)>>,
    calls: Lists<Pending<T>>,
    /// The calls of sessions that are over, with their targets and the reason.
    lost: VecDeque<(ListKey, usize, CallError)>,
    timers: Wheel<Due>,
    /// Links that are down and may be dialled.
    due: VecDeque<Place>,
    /// How many of them in this turn.
    dials_left: usize,
    crowding: Crowding,
    /// Why no target can be called, where that was asked since the last change.
    unreachable: Option<CallError>,
}

/// A call without an outcome.
struct Pending<T> {
    place: Place,
    /// That of the link, when it was sent.
    epoch: u64,
    deadline: TimerKey,
    tag: T,
}

/// What is to be done at a time.
enum Due {
    /// This call has no outcome by its deadline.
    Deadline(ItemKey),
    /// This link may be dialled again.
    Dial(Place),
    /// This link's session is to be pinged.
    Ping(Place),
}

/// Getters.
impl<T> Upstreams<T> {
    /// The sessions' endpoint, to wait on.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens sessions with this from now on.
    pub(crate) fn set_dialing(&mut self, config: quiche::Config) {
        self.endpoint.set_dialing(config);
    }

    /// Calls whose outcome is open.
    pub(crate) fn waiting(&self) -> usize {
        self.calls.len()
    }

    /// Whether the next turn has something to do without anything new from outside.
    pub(crate) fn has_work(&self) -> bool {
        let dials = self.keep == Keep::Always && !self.due.is_empty();
        self.endpoint.has_work() || !self.lost.is_empty() || dials
    }

    /// When to take the next turn at the latest.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let times = [self.endpoint.next_timer(), self.timers.next()];
        times.into_iter().flatten().min()
    }

    /// Whether so much is on its way to the targets that the calls of callers who have had more than their part are to wait.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowding.is_crowded()
    }

    /// Whether each target has an open session, in their order.
    pub(crate) fn open(&self) -> impl Iterator<Item = bool> {
        self.targets.iter().map(|target| !target.open.is_empty())
    }
}

/// Handlers: what the driver tells.
impl<T> Upstreams<T> {
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
            endpoint,
            server_name,
            keep,
            sessions,
            targets: Vec::new(),
            resolver: Resolver::new(),
            open: RoundRobin::default(),
            connecting: RoundRobin::default(),
            down: Members::default(),
            passing: Members::default(),
            places: Vec::new(),
            calls: Lists::default(),
            lost: VecDeque::new(),
            timers: Wheel::new(now),
            due: VecDeque::new(),
            dials_left: DIALS_PER_TURN,
            crowding: Crowding::default(),
            unreachable: None,
        };
        for addresses in targets {
            upstreams.add(addresses.clone(), first);
        }
        upstreams
    }

    fn add(&mut self, addresses: Addresses, first: u16) {
        let count = match self.sessions {
            Sessions::Fixed(count) => count.max(1),
            Sessions::PerShard { .. } => 1,
        };
        let target = self.targets.len();
        self.targets.push(Target::new(addresses));
        for number in 0..count {
            self.add_link(target, first.wrapping_add(number as u16));
        }
    }

    fn add_link(&mut self, target: usize, prefix: u16) {
        let calls = self.calls.add_list();
        let picked = &mut self.targets[target];
        let link = picked.links.len();
        picked.add(Link::new(picked.address(), prefix, calls));
        self.due.push_back(Place { target, link });
        self.note(target);
    }

    /// Sends a call; its outcome comes from [`Upstreams::on_frame`] or [`Upstreams::next_lost`] with the tag.
    ///
    /// # Errors
    /// `Unavailable`, at once, where no target can be reached, and `Overloaded` where all that can are behind;
    /// `NoSuchFunction` where the name is longer than any.
    pub(crate) fn call(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        tag: T,
    ) -> Result<CallId, (T, CallError)> {
        match self.pick(now, is_large(request)) {
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
        for is_open in [true, false] {
            if let Some((link, key)) = self.pick_link(target, is_open, is_large(request)) {
                return self.send(now, Place { target, link }, key, request, tag);
            }
        }
        let down = self.targets.get(target).filter(|target| target.is_down());
        let is_passing = down.is_some_and(Target::may_come_back);
        Err((tag, why_none(down.into_iter(), is_passing)))
    }

    fn send(
        &mut self,
        now: Instant,
        place: Place,
        session: SessionKey,
        request: &Request<'_>,
        tag: T,
    ) -> Result<CallId, (T, CallError)> {
        if request.function.len() > FUNCTION_NAME_MAX_BYTES {
            let error = format!(
                "the name of the function has {} bytes, and none has more than {FUNCTION_NAME_MAX_BYTES}",
                request.function.len()
            );
            return Err((tag, CallError::not_run(ErrorKind::NoSuchFunction, error)));
        }
        let timeout = request.deadline.saturating_duration_since(now);
        let target = &mut self.targets[place.target];
        let Some(outbox) = self.endpoint.outbox(session) else {
            let error = format!("{}: the session has just ended", target.address());
            return Err((tag, CallError::not_run(ErrorKind::Unavailable, error)));
        };
        let id = self.calls.next_key();
        let header = Header::Call {
            id: id.to_number(),
            function: request.function,
            timeout_us: timeout.as_micros() as u64,
            depth: request.depth,
            account: request.account,
        };
        outbox.send(&header, request.body);
        let link = &mut target.links[place.link];
        if !is_large(request) {
            self.crowding.on_sent(&mut link.on_their_way);
            self.crowding.look(&mut link.on_their_way, now);
        }
        if link.ping.is_none() {
            link.ping = Some(self.timers.insert(now + KEEP_ALIVE, Due::Ping(place)));
        }
        let deadline = request.deadline + DEADLINE_GRACE;
        let pending = Pending {
            place,
            epoch: link.epoch,
            deadline: self.timers.insert(deadline, Due::Deadline(id)),
            tag,
        };
        Ok(CallId(self.calls.push_back(link.calls, pending)))
    }

    /// Gives a call up: its server is told, and there will be no outcome. Gives the tag, unless there was one already.
    pub(crate) fn cancel(&mut self, CallId(key): CallId) -> Option<T> {
        let pending = self.take(key)?;
        self.tell_cancelled(&pending, key);
        Some(pending.tag)
    }

    fn take(&mut self, key: ItemKey) -> Option<Pending<T>> {
        let pending = self.calls.remove(key)?;
        self.timers.remove(pending.deadline);
        Some(pending)
    }

    fn tell_cancelled(&mut self, pending: &Pending<T>, key: ItemKey) {
        let link = &mut self.targets[pending.place.target].links[pending.place.link];
        let session = link.session().filter(|_| link.epoch == pending.epoch);
        if let Some(session) = session
            && let Some(outbox) = self.endpoint.outbox(session)
        {
            let id = key.to_number();
            outbox.send(&Header::Cancel { id }, &[]);
            self.crowding.on_sent(&mut link.on_their_way);
        }
    }

    /// Ends all sessions.
    pub(crate) fn close(&mut self, reason: &str) {
        self.endpoint.close_all(reason);
    }

    /// A frame of [`Upstreams::next_frame`]; gives the outcome of a call, and the number of its target, where it is that.
    pub(crate) fn on_frame<'b>(
        &mut self,
        session: SessionKey,
        event: &Event<'b>,
        now: Instant,
    ) -> Option<(T, usize, Outcome<'b>)> {
        let (id, outcome) = match *event {
            Event::Frame(Frame { header, body }) => match header {
                Header::Reply { id, bill } => (id, Outcome::Reply { bill, body }),
                Header::Failure { id, kind, bill } => (id, Outcome::Failure { kind, bill, body }),
                Header::GoAway => {
                    self.leave(session);
                    return None;
                }
                Header::Welcome { shards } => {
                    self.learn(session, shards, now);
                    return None;
                }
                Header::Taken { frames } => {
                    if let Some(Place { target, link }) = self.place_of(session) {
                        let link = &mut self.targets[target].links[link];
                        self.crowding.on_taken(&mut link.on_their_way, frames, now);
                    }
                    return None;
                }
                // Those are a caller's, and we are the caller here.
                Header::Call { .. } | Header::Cancel { .. } => return None,
            },
            Event::TooLarge { header, bytes } => (answered(&header)?, Outcome::too_large(bytes)),
            Event::NoRoom { header, bytes } => (answered(&header)?, Outcome::no_room(bytes)),
            Event::Broken(_) => return None,
        };
        let key = ItemKey::from_number(id);
        // A peer may answer what it was asked, and nobody else's calls.
        let place = self.place_of(session)?;
        let epoch = self.targets[place.target].links[place.link].epoch;
        let is_its = |pending: &&Pending<T>| (pending.place, pending.epoch) == (place, epoch);
        self.calls.get(key).filter(is_its)?;
        let pending = self.take(key)?;
        Some((pending.tag, pending.place.target, outcome))
    }

    fn place_of(&self, session: SessionKey) -> Option<Place> {
        let known = self.places.get(session.place()).copied().flatten();
        known.and_then(|(key, place)| (key == session).then_some(place))
    }

    pub(crate) fn enter(&mut self, place: Place, state: State) {
        let target = &mut self.targets[place.target];
        let open_before = target.open.len();
        target.enter(place.link, state);
        self.crowding.open_links += target.open.len();
        self.crowding.open_links -= open_before;
        self.note(place.target);
    }

    /// Notes that the links of a target have changed.
    fn note(&mut self, number: usize) {
        let target = &self.targets[number];
        self.open.set(number, !target.open.is_empty());
        self.connecting.set(number, !target.connecting.is_empty());
        self.down.set(number, target.is_down());
        self.passing.set(number, target.may_come_back());
        self.unreachable = None;
    }
}

/// Pollers: what the driver asks for.
impl<T> Upstreams<T> {
    /// Takes in what has come; gives the datagrams received.
    pub(crate) fn receive(&mut self, now: Instant) -> usize {
        let received = self.endpoint.receive(now);
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
        self.endpoint.next_frame(buffer, now)
    }

    /// A call that will have no answer, with the number of its target and the reason.
    pub(crate) fn next_lost(&mut self, now: Instant) -> Option<(T, usize, CallError)> {
        while let Some(session) = self.endpoint.next_opened() {
            if let Some(place) = self.place_of(session)
                && let State::Connecting(_) = self.targets[place.target].links[place.link].state
            {
                self.targets[place.target].has_answered();
                self.enter(place, State::Open(session));
                self.begin_pinging(place, now);
            }
        }
        while let Some(ended) = self.endpoint.next_ended() {
            self.on_session_ended(ended, now);
        }
        while let Some((list, target, error)) = self.lost.front() {
            if let Some((key, _)) = self.calls.front(*list) {
                let (target, error) = (*target, error.clone());
                let pending = self.take(key)?;
                return Some((pending.tag, target, error));
            }
            self.calls.drop_list(*list);
            self.lost.pop_front();
        }
        while let Some(due) = self.timers.expire(now) {
            match due {
                Due::Dial(place) => self.due.push_back(place),
                Due::Ping(place) => self.ping(place, now),
                Due::Deadline(key) => {
                    if let Some(pending) = self.calls.remove(key) {
                        self.tell_cancelled(&pending, key);
                        let target = pending.place.target;
                        let address = self.targets[target].address();
                        let error = format!("{address} did not answer by the deadline");
                        let error = CallError::may_have_run(ErrorKind::DeadlineExceeded, error);
                        return Some((pending.tag, target, error));
                    }
                }
            }
        }
        None
    }

    /// Sends what there is to say.
    pub(crate) fn flush(&mut self, now: Instant) {
        self.endpoint.flush(now);
    }
}

/// Whether its arguments have a stream of their own.
fn is_large(request: &Request<'_>) -> bool {
    request.body.len() > INLINE_BODY_MAX_BYTES
}
