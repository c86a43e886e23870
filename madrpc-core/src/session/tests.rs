//! Two sessions back to back, with real TLS and with weather made by the test.
//!
//! Owns the pipe: what one end sends is lost, doubled, cut or overtaken by chance out of a seed, then given to the
//! other. quiche reads the clock itself, so where nothing moves the pipe sleeps until the next timer.

mod endings;
mod flow;
mod halves;
mod misuse;
mod moving;
mod traffic;

use super::*;
use crate::call::frame;
use crate::call::{Bill, ErrorKind};
use crate::identity::{Authority, Identity, Role, SERVER_NAME_ANY};
use crate::limits::{
    FRAMES_PER_TURN, HEADER_MAX_BYTES, INLINE_FRAME_MAX_BYTES, READ_PER_TURN_BYTES,
};
use std::collections::VecDeque;
use std::thread::sleep;

/// A test that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(5);
const BODY_MAX_BYTES: usize = 8 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Client,
    Server,
}

impl End {
    const BOTH: [Self; 2] = [Self::Client, Self::Server];

    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    fn address(self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1 + self as u16))
    }
}

/// Marsaglia's xorshift, so that a failure can be repeated.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What becomes of datagrams, in per cent.
#[derive(Clone, Copy, Default)]
struct Weather {
    lost: usize,
    doubled: usize,
    cut: usize,
    overtaken: usize,
}

const CLEAR: Weather = Weather {
    lost: 0,
    doubled: 0,
    cut: 0,
    overtaken: 0,
};

const STORM: Weather = Weather {
    lost: 10,
    doubled: 5,
    cut: 2,
    overtaken: 10,
};

/// For what is large: a storm takes quiche's window down to a few datagrams.
const DRIZZLE: Weather = Weather {
    lost: 1,
    doubled: 2,
    cut: 1,
    overtaken: 1,
};

struct Pipe {
    sessions: [Session; 2],
    /// Datagrams on their way to each end.
    wires: [VecDeque<Vec<u8>>; 2],
    /// Where the client is for the server; what goes elsewhere is lost.
    client_at: SocketAddr,
    /// Whether an end takes its frames.
    reads: [bool; 2],
    weather: Weather,
    chance: Chance,
    datagrams: usize,
    buffer: FrameBuffer,
    /// Room for bodies that begin in a turn.
    room: Room,
    /// Frames after which a turn's reading ends early.
    frames_max: usize,
    started: Instant,
}

impl Pipe {
    fn new(weather: Weather) -> Self {
        Self::with(weather, IDLE, BODY_MAX_BYTES)
    }

    fn with(weather: Weather, idle: Duration, body_max_bytes: usize) -> Self {
        let ours = Authority::create("test").unwrap();
        let (server, client) = (ours.issue(Role::Node), ours.issue(Role::Client));
        Self::between(
            &server.unwrap(),
            &client.unwrap(),
            weather,
            idle,
            body_max_bytes,
        )
    }

    fn between(
        server: &Identity,
        client: &Identity,
        weather: Weather,
        idle: Duration,
        body_max_bytes: usize,
    ) -> Self {
        let mut server = server.server_config().unwrap();
        let mut client = client.client_config().unwrap();
        for config in [&mut server, &mut client] {
            set_transport(config, idle).unwrap();
            // Without it, a lost first datagram costs a second.
            config.set_initial_rtt(Duration::from_millis(5));
        }
        let id = |byte| quiche::ConnectionId::from_vec(vec![byte; 16]);
        let [here, there] = End::BOTH.map(End::address);
        let name = Some(SERVER_NAME_ANY);
        let client = quiche::connect(name, &id(1), here, there, &mut client).unwrap();
        let server = quiche::accept(&id(2), None, there, here, &mut server).unwrap();
        Self {
            sessions: [client, server].map(|quic| Session::new(quic, body_max_bytes)),
            wires: Default::default(),
            client_at: End::Client.address(),
            reads: [true; 2],
            weather,
            chance: Chance(0x9e37_79b9_7f4a_7c15),
            datagrams: 0,
            buffer: FrameBuffer::default(),
            room: Room::ANY,
            frames_max: usize::MAX,
            started: Instant::now(),
        }
    }

    fn at(&mut self, end: End) -> &mut Session {
        &mut self.sessions[end as usize]
    }

    fn client(&mut self) -> &mut Session {
        self.at(End::Client)
    }

    fn server(&mut self) -> &mut Session {
        self.at(End::Server)
    }

    fn establish(&mut self) {
        while !self.sessions.iter().all(Session::is_established) {
            self.turn(|_, _, event| panic!("nobody said anything: {event:?}"));
        }
    }

    /// Turns until both ends know that the session is over: what the client and the server say of it.
    #[track_caller]
    fn endings(&mut self) -> [CallError; 2] {
        loop {
            if let [Some(client), Some(server)] = self.sessions.each_ref().map(Session::ended) {
                return [client, server];
            }
            self.turn(|_, _, _| ());
        }
    }

    /// Turns until nothing moves any more, for so long that no loss can be the cause.
    fn rest(&mut self, mut on_event: impl FnMut(End, &mut Outbox, Event<'_>)) {
        let mut still_since = Instant::now();
        while still_since.elapsed() < Duration::from_millis(60) {
            if self.turn(&mut on_event) {
                still_since = Instant::now();
            }
        }
    }

    /// One turn of both drivers; whether anything moved.
    #[track_caller]
    fn turn(&mut self, mut on_event: impl FnMut(End, &mut Outbox, Event<'_>)) -> bool {
        assert!(
            self.started.elapsed() < PATIENCE,
            "hung: {:?}",
            self.sessions.each_ref().map(Session::ended)
        );
        let mut moved = false;
        for end in End::BOTH {
            moved |= self.carry(end);
        }
        for end in End::BOTH {
            let mut wire = std::mem::take(&mut self.wires[end as usize]);
            let session = &mut self.sessions[end as usize];
            for mut datagram in wire.drain(..) {
                let from = match end {
                    End::Client => End::Server.address(),
                    End::Server => self.client_at,
                };
                session.receive(&mut datagram, from, end.address());
            }
            if session
                .timeout()
                .is_some_and(|timeout| timeout <= Instant::now())
            {
                session.on_timeout();
            }
            if self.reads[end as usize] {
                let bounds = (Portion::Whole, self.room, self.frames_max);
                turn_of(session, &mut self.buffer, bounds, |outbox, event| {
                    on_event(end, outbox, event);
                });
                moved |= session.has_unread();
            }
        }
        if !moved {
            let timeouts = self
                .sessions
                .iter()
                .filter(|session| !session.quic().is_closed());
            let next = timeouts.filter_map(Session::timeout).min();
            let wait = next.map(|next| next.saturating_duration_since(Instant::now()));
            sleep(wait.unwrap_or_default().min(Duration::from_millis(10)));
        }
        moved
    }

    /// Puts all that an end has to send on the wire; whether there was anything.
    fn carry(&mut self, from: End) -> bool {
        let Weather {
            lost,
            doubled,
            cut,
            overtaken,
        } = self.weather;
        let mut out = [0; DATAGRAM_MAX_BYTES];
        let mut any = false;
        while let Some((length, to)) = self.sessions[from as usize].transmit(&mut out) {
            any = true;
            self.datagrams += 1;
            match from {
                End::Client => assert_eq!(to, End::Server.address()),
                End::Server if to != self.client_at => continue,
                End::Server => {}
            }
            if self.chance.percent(lost) {
                continue;
            }
            let mut datagram = out[..length].to_vec();
            if self.chance.percent(cut) {
                datagram.truncate(self.chance.below(length));
            }
            let copies = 1 + usize::from(self.chance.percent(doubled));
            let wire = &mut self.wires[from.other() as usize];
            for _ in 0..copies {
                let mut place = wire.len();
                if self.chance.percent(overtaken) {
                    place -= self.chance.below(place.min(8) + 1);
                }
                wire.insert(place, datagram.clone());
            }
        }
        any
    }
}

/// What a turn is given, and the frames after which it is ended.
type Bounds = (Portion, Room, usize);

/// A whole portion, any room for bodies, and any number of frames.
const UNBOUNDED: Bounds = (Portion::Whole, Room::ANY, usize::MAX);

/// A turn's reading.
fn turn_of(
    session: &mut Session,
    buffer: &mut FrameBuffer,
    (portion, room, frames_max): Bounds,
    mut on_event: impl FnMut(&mut Outbox, Event<'_>),
) {
    session.begin_turn(buffer, portion, room, Instant::now());
    for _ in 0..frames_max {
        if !session.advance(buffer) {
            return;
        }
        match session.frame(buffer) {
            Event::Broken(_) => {}
            event => on_event(session.outbox(), event),
        }
    }
    session.set_aside(buffer);
}

fn call(id: u64) -> Header<'static> {
    Header::Call {
        id,
        function: "echo",
        timeout_us: 30_000_000,
        depth: 0,
        account: None,
    }
}

fn reply(id: u64) -> Header<'static> {
    Header::Reply {
        id,
        bill: Bill::default(),
    }
}

/// Bytes that tell by themselves whose they are, and whether one is missing or out of place.
fn body(id: u64, length: usize) -> Vec<u8> {
    let mut chance = Chance((id + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (0..length).map(|_| chance.next() as u8).collect()
}

/// Answers a call with its own body.
#[track_caller]
fn echo(outbox: &mut Outbox, event: &Event<'_>) {
    let Event::Frame(Frame {
        header: Header::Call { id, .. },
        body,
        ..
    }) = event
    else {
        panic!("a server is called: {event:?}");
    };
    outbox.send(&reply(*id), *body);
}

/// What a caller is told: the call's number and the reply's body.
#[track_caller]
fn replied<'a>(event: &Event<'a>) -> (u64, &'a [u8]) {
    match event {
        Event::Frame(Frame {
            header: Header::Reply { id, .. },
            body,
            ..
        }) => (*id, body.as_slice()),
        other => panic!("a client is replied to: {other:?}"),
    }
}
