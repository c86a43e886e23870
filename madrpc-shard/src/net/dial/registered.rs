//! Sessions that nodes have opened to us to announce themselves: from behind a NAT, or at an address that nobody was told.
//!
//! Such a session is one of the callers' endpoint, and calls go on it in the other direction. What is to be said on it gathers here
//! in a turn and is handed over at its end; what comes on it is handed in by the shard. To all else here it is a session like
//! those that we have opened, with a number of its own.

use super::doubles::ServerId;
use super::links::{Link, Place, State};
use super::{Keep, Upstreams};
use crate::net::endpoint::{Endpoint, SessionKey};
use madrpc_core::call::frame::{Frame, Header};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::Role;
use madrpc_core::session::{Event, Outbox};
use slab::Slab;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tracing::info;

/// What the places of these sessions have beside their number.
const MARK: usize = 1 << (usize::BITS - 2);

/// Nodes that may announce themselves by one certificate: those of one machine share it.
const NODES_PER_CERTIFICATE: usize = 16;

/// What a link is told after a session of it is gone, which only the node can open again.
const NOT_OURS: Duration = Duration::from_secs(1);

/// The sessions of nodes that have announced themselves.
#[derive(Default)]
pub(super) struct Registered {
    sessions: Slab<Registrant>,
    /// Their numbers, by their places among those of callers.
    by_place: Vec<Option<usize>>,
    /// Those that have something to say, or have not taken all that was said.
    dirty: Vec<usize>,
    /// The targets of nodes, by who they are.
    nodes: HashMap<ServerId, usize>,
    /// How many there are of each certificate.
    per_certificate: HashMap<[u8; 32], usize>,
    /// Links of which it is to be seen whether they say nothing.
    looks: Vec<Place>,
    /// Targets that have come by themselves, with their names, until that was asked for.
    joined: Vec<(usize, String)>,
}

struct Registrant {
    /// The session among those of callers.
    session: SessionKey,
    /// Who the node is.
    server: ServerId,
    /// Where it is once the node has said what it has.
    place: Option<Place>,
    outbox: Outbox,
    is_pinged: bool,
    is_dirty: bool,
    /// Bytes that its session has not taken: of small frames, and of all.
    waiting: (usize, usize),
    received_at: Instant,
    round_trip: Duration,
}

impl Registered {
    fn number(&self, session: SessionKey) -> Option<usize> {
        let number = self.by_place.get(session.place()).copied().flatten()?;
        let one = self.sessions.get(number)?;
        (one.session == session).then_some(number)
    }

    fn get(&self, key: SessionKey) -> Option<&Registrant> {
        self.sessions.get(key.index & !MARK)
    }

    fn get_mut(&mut self, key: SessionKey) -> Option<&mut Registrant> {
        let number = key.index & !MARK;
        let one = self.sessions.get_mut(number)?;
        if !one.is_dirty {
            one.is_dirty = true;
            self.dirty.push(number);
        }
        Some(one)
    }

    fn key(&self, number: usize) -> Option<SessionKey> {
        let one = self.sessions.get(number)?;
        Some(SessionKey {
            index: MARK | number,
            generation: one.session.generation,
        })
    }

    pub(super) fn place(&self, key: SessionKey) -> Option<Place> {
        self.get(key)?.place
    }

    /// There are further targets, beside nodes that have announced themselves.
    pub(super) fn has_joined(&mut self, new: Vec<(usize, String)>) {
        self.joined.extend(new);
    }

    /// Whether one more node may have this certificate: it is that of few, or one could have the calls of all.
    fn has_room(&self, (certificate, _): ServerId) -> bool {
        let same = self.per_certificate.get(&certificate);
        same.is_none_or(|nodes| *nodes < NODES_PER_CERTIFICATE)
    }

    fn add_node(&mut self, server: ServerId, number: usize) {
        self.nodes.insert(server, number);
        *self.per_certificate.entry(server.0).or_default() += 1;
    }

    fn remove_node(&mut self, server: ServerId) {
        if self.nodes.remove(&server).is_some()
            && let Entry::Occupied(mut nodes) = self.per_certificate.entry(server.0)
        {
            *nodes.get_mut() -= 1;
            if *nodes.get() == 0 {
                nodes.remove();
            }
        }
    }

    fn add(&mut self, session: SessionKey, server: ServerId, now: Instant) {
        let number = self.sessions.insert(Registrant {
            session,
            server,
            place: None,
            outbox: Outbox::default(),
            is_pinged: false,
            is_dirty: false,
            waiting: (0, 0),
            received_at: now,
            round_trip: Duration::ZERO,
        });
        let at = session.place();
        if at >= self.by_place.len() {
            self.by_place.resize(at + 1, None);
        }
        self.by_place[at] = Some(number);
    }
}

/// Where sessions are: those that we have opened, and those of nodes that have announced themselves.
pub(crate) struct Wires {
    pub(crate) endpoint: Endpoint,
    pub(super) registered: Registered,
    /// The links of those that we have opened, by the sessions' places.
    places: Vec<Option<(SessionKey, Place)>>,
}

impl Wires {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            registered: Registered::default(),
            places: Vec::new(),
        }
    }

    /// The link of a session.
    pub(super) fn place(&self, session: SessionKey) -> Option<Place> {
        if is_registered(session) {
            return self.registered.place(session);
        }
        let known = self.places.get(session.place()).copied().flatten();
        known.and_then(|(key, place)| (key == session).then_some(place))
    }

    /// Opens a session of a link, to an address and by a prefix of its connection ID.
    pub(super) fn connect(
        &mut self,
        (address, prefix): (SocketAddr, u16),
        server_name: &'static str,
        place: Place,
        now: Instant,
    ) -> Result<SessionKey, CallError> {
        let session = self.endpoint.connect(address, server_name, prefix, now)?;
        let at = session.place();
        if at >= self.places.len() {
            self.places.resize(at + 1, None);
        }
        self.places[at] = Some((session, place));
        Ok(session)
    }

    /// A session that we have opened is over.
    pub(super) fn forget(&mut self, session: SessionKey) {
        self.places[session.place()] = None;
    }

    #[inline]
    pub(super) fn outbox(&mut self, key: SessionKey) -> Option<&mut Outbox> {
        match is_registered(key) {
            false => self.endpoint.outbox(key),
            true => self.registered.get_mut(key).map(|one| &mut one.outbox),
        }
    }

    #[inline]
    pub(super) fn has_backlog(&self, key: SessionKey, is_large: bool, bytes: usize) -> bool {
        match is_registered(key) {
            false => self.endpoint.has_backlog(key, is_large, bytes),
            true => self.registered.get(key).is_some_and(|one| {
                let (small, all) = one.waiting;
                match is_large {
                    true => all + one.outbox.waiting_bytes() > bytes,
                    false => small + one.outbox.waiting_small_bytes() > bytes,
                }
            }),
        }
    }

    pub(super) fn ping(&mut self, key: SessionKey) {
        match is_registered(key) {
            false => self.endpoint.ping(key),
            true => {
                if let Some(one) = self.registered.get_mut(key) {
                    one.is_pinged = true;
                }
            }
        }
    }

    pub(super) fn round_trip(&self, key: SessionKey) -> Option<Duration> {
        match is_registered(key) {
            false => self.endpoint.round_trip(key),
            true => self.registered.get(key).map(|one| one.round_trip),
        }
    }

    pub(super) fn fingerprint(&self, key: SessionKey) -> Option<[u8; 32]> {
        match is_registered(key) {
            false => self.endpoint.fingerprint(key),
            true => self.registered.get(key).map(|one| one.server.0),
        }
    }

    /// Whether a session's server is a node, and no orchestrator.
    pub(super) fn is_node(&self, key: SessionKey) -> bool {
        let peer = |session| self.endpoint.peer(session);
        is_registered(key) || peer(key).is_some_and(|peer| peer.role == Some(Role::Node))
    }

    pub(super) fn received_at(&self, key: SessionKey) -> Option<Instant> {
        match is_registered(key) {
            false => self.endpoint.received_at(key),
            true => self.registered.get(key).map(|one| one.received_at),
        }
    }
}

#[inline]
pub(super) const fn is_registered(key: SessionKey) -> bool {
    key.index & MARK != 0
}

impl<T> Upstreams<T> {
    /// A frame of the other side has come on a session of a caller: of a node that announces itself, or has done so. What is
    /// left is for [`Upstreams::on_frame`], on the session that is given.
    pub(crate) fn on_callers_frame(
        &mut self,
        callers: &Endpoint,
        session: SessionKey,
        event: &Event<'_>,
        now: Instant,
    ) -> Option<SessionKey> {
        if self.keep != Keep::Always {
            return None;
        }
        let number = self.wires.registered.number(session);
        let Event::Frame(Frame { header, body, .. }) = event else {
            return self.wires.registered.key(number?);
        };
        match *header {
            // How many shards it has is its own affair: the sessions are its to open.
            Header::Welcome { instance, .. } => {
                let peer = callers.peer(session)?;
                if number.is_none() && peer.role == Some(Role::Node) {
                    let server = (peer.fingerprint, instance);
                    self.wires.registered.add(session, server, now);
                }
                None
            }
            Header::Functions { script } => {
                let key = self.wires.registered.key(number?)?;
                if self.wires.registered.place(key).is_none() {
                    self.register(key, callers.address_of(session)?, now);
                }
                self.learn_functions(key, script, body, now);
                None
            }
            _ => self.wires.registered.key(number?),
        }
    }

    /// The node of this session gets calls on it, unless it is known otherwise.
    fn register(&mut self, key: SessionKey, address: SocketAddr, now: Instant) {
        let Some(server) = self.wires.registered.get(key).map(|one| one.server) else {
            return;
        };
        let target = match self.wires.registered.nodes.get(&server) {
            Some(known) => *known,
            None if self.wires.registered.has_room(server) => {
                self.add_registered(server, address, now)
            }
            None => return,
        };
        let links = &self.targets[target].links;
        let free = links.iter().position(|link| link.session().is_none());
        let link = match free {
            Some(link) => link,
            None if self.targets[target].has_room() => {
                let calls = self.calls.add_list();
                let mut link = Link::new(address, 0, calls);
                link.wanted = false;
                self.targets[target].add(link);
                self.targets[target].links.len() - 1
            }
            None => return,
        };
        let place = Place::new(target, link);
        self.targets.link_mut(place).address = address;
        if let Some(one) = self.wires.registered.get_mut(key) {
            one.place = Some(place);
        }
        self.enter(place, State::Open(key));
        let (_, instance) = server;
        self.targets[target].instance = Some(instance);
        self.identify(target, key);
        self.watch_over(place, now);
    }

    fn add_registered(&mut self, server: ServerId, address: SocketAddr, now: Instant) -> usize {
        let number = self.take_free().unwrap_or(self.numbers());
        self.add_target(number, address.into());
        self.targets[number].is_registered = true;
        let registered = &mut self.wires.registered;
        registered.add_node(server, number);
        let name = self.targets[number].name();
        if self.targets.may_tell(now) {
            info!("node {name} has announced itself");
        }
        registered.joined.push((number, name));
        number
    }

    /// The targets that have come by themselves since this was last asked.
    pub(crate) fn take_joined(&mut self) -> Option<Vec<(usize, String)>> {
        let joined = &mut self.wires.registered.joined;
        (!joined.is_empty()).then(|| std::mem::take(joined))
    }

    /// A session of a caller has ended, which may have been a node's.
    pub(crate) fn on_callers_session_ended(
        &mut self,
        session: SessionKey,
        why: &CallError,
        now: Instant,
    ) {
        let Some(number) = self.wires.registered.number(session) else {
            return;
        };
        self.wires.registered.by_place[session.place()] = None;
        let one = self.wires.registered.sessions.remove(number);
        let Some(place) = one.place else {
            return;
        };
        let target = place.target();
        let address = self.targets.link(place).address;
        let message = format!("{address}: {}", why.message);
        let why = CallError::may_have_run(ErrorKind::Unavailable, message);
        self.enter(place, State::Down { why });
        self.lose_calls(place, now, NOT_OURS);
        let mut links = self.targets[target].links.iter();
        let is_over = links.all(|link| link.session().is_none());
        if is_over && !self.targets[target].is_gone {
            if self.targets.may_tell(now) {
                info!("node {} has left", self.targets[target].name());
            }
            self.wires.registered.remove_node(one.server);
            self.remove(target);
        }
    }

    /// Hands over what is to be said on the sessions of nodes that have announced themselves, and sees how those are.
    pub(crate) fn hand_over(&mut self, callers: &mut Endpoint, now: Instant) {
        let registered = &mut self.wires.registered;
        if registered.dirty.is_empty() && registered.looks.is_empty() {
            return;
        }
        for number in std::mem::take(&mut registered.dirty) {
            let Some(one) = registered.sessions.get_mut(number) else {
                continue;
            };
            if one.outbox.waiting_bytes() > 0
                && let Some(outbox) = callers.outbox(one.session)
            {
                outbox.append(&mut one.outbox);
            }
            if std::mem::take(&mut one.is_pinged) {
                callers.ping(one.session);
            }
            one.look(callers);
            // Until it has room again.
            one.is_dirty = one.waiting.1 > 0;
            if one.is_dirty {
                registered.dirty.push(number);
            }
        }
        for place in std::mem::take(&mut registered.looks) {
            if !self.targets.has(place) {
                continue;
            }
            let session = self.targets.link(place).session();
            if let Some(key) = session
                && is_registered(key)
                && let Some(one) = self.wires.registered.sessions.get_mut(key.index & !MARK)
            {
                one.look(callers);
            }
            self.look_for_silence(place, now);
        }
    }

    /// It is to be seen whether this link says nothing: where it is a registered node's, once its session is at hand.
    pub(super) fn postpone_look(&mut self, place: Place) -> bool {
        let session = self.targets.link(place).session();
        let is_registered = session.is_some_and(is_registered);
        if is_registered {
            self.wires.registered.looks.push(place);
        }
        is_registered
    }

    /// Whether the next turn has something to hand over.
    pub(super) fn has_looks(&self) -> bool {
        !self.wires.registered.looks.is_empty()
    }
}

impl Registrant {
    /// Sees how its session is.
    fn look(&mut self, callers: &Endpoint) {
        self.waiting = callers.waiting_bytes(self.session);
        if let Some(received_at) = callers.received_at(self.session) {
            self.received_at = received_at;
        }
        self.round_trip = callers.round_trip(self.session).unwrap_or_default();
    }
}
