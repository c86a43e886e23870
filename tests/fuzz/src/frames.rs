//! What a peer with a certificate does on its streams: any bytes, in any pieces, ended, reset.

use crate::fleet::{CLIENT, NODE};
use arbitrary::{Result, Unstructured};
use madrpc_core::call::frame::{self, FrameError, Header, Part};
use madrpc_core::call::{Bill, CallError, ErrorKind};
use madrpc_core::identity::SERVER_NAME_ANY;
use madrpc_core::limits::{HEADER_MAX_BYTES, INLINE_FRAME_MAX_BYTES};
use madrpc_core::session::{Event, FrameBuffer, Portion, Room, Session, set_transport};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const CHANNEL: u64 = 0;

/// The peer's streams for bodies.
const BODIES: [u64; 4] = [2, 6, 10, 14];

const BODY_MAX_BYTES: usize = 150_000;

/// All that is sent is read in so many turns.
const TURNS_MAX: usize = 500;

/// What was written comes out as the frames that it is, however it was cut; what is no frame ends the session, and nothing
/// else does.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let mut pair = Pair::new();
    while !input.is_empty() && pair.session.ended().is_none() {
        if pair.act(&mut input).is_err() {
            break;
        }
    }
    pair.settle();
    pair.judge();
}

/// A stream as its peer has written it.
#[derive(Debug, Default, Clone)]
struct Written {
    bytes: Vec<u8>,
    ended: bool,
    reset: bool,
}

struct Pair {
    peer: quiche::Connection,
    session: Session,
    frames: FrameBuffer,
    datagram: Vec<u8>,
    channel: Written,
    bodies: [Written; BODIES.len()],
    /// What the session has made of it.
    came: Vec<Came>,
    /// Something was done after which a body, or the session, may be gone.
    is_vague: bool,
}

/// An event, as far as it is compared.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    Frame(String, Vec<u8>),
    TooLarge(String, usize),
    NoRoom(String, usize),
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Pair {
    fn new() -> Self {
        let mut configs = [
            NODE.server_config().unwrap(),
            CLIENT.client_config().unwrap(),
        ];
        for config in &mut configs {
            set_transport(config, Duration::from_secs(30)).unwrap();
        }
        let [ours, theirs] = &mut configs;
        let id = |byte| quiche::ConnectionId::from_vec(vec![byte; 16]);
        let (here, there) = (address(1), address(2));
        let peer = quiche::connect(Some(SERVER_NAME_ANY), &id(1), there, here, theirs).unwrap();
        let session = quiche::accept(&id(2), None, here, there, ours).unwrap();
        let mut pair = Self {
            peer,
            session: Session::new(session, BODY_MAX_BYTES),
            frames: FrameBuffer::default(),
            datagram: vec![0; 65_535],
            channel: Written::default(),
            bodies: Default::default(),
            came: Vec::new(),
            is_vague: false,
        };
        while !pair.peer.is_established() || !pair.session.is_established() {
            pair.exchange();
        }
        pair.write(None, &frame::NOTHING, false);
        pair
    }

    /// Does what the next bytes say.
    fn act(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        match input.int_in_range(0..=9)? {
            0 => {
                let bytes = some_bytes(input)?;
                self.write(None, &bytes, false);
            }
            1 => {
                let bytes = some_frame(input)?;
                self.write(None, &bytes, false);
            }
            2 => {
                let (index, bytes) = (some_body(input)?, some_bytes(input)?);
                self.write(Some(index), &bytes, false);
            }
            3 => {
                let (index, bytes) = (some_body(input)?, some_frame(input)?);
                let ends = input.arbitrary()?;
                self.write(Some(index), &bytes, ends);
            }
            4 => {
                let index = some_body(input)?;
                self.write(Some(index), &[], true);
            }
            5 => {
                let index = some_body(input)?;
                self.reset(index);
            }
            6 => self.exchange(),
            7 => {
                let frames_max = input.int_in_range(1..=20)?;
                self.read(Instant::now(), Room::ANY, frames_max);
            }
            8 => self.answer(input)?,
            _ => self.misbehave(input)?,
        }
        Ok(())
    }

    /// Writes as much as goes on the channel, or on a stream for a body.
    fn write(&mut self, body: Option<usize>, bytes: &[u8], ends: bool) {
        let (stream, written) = match body {
            Some(index) => (BODIES[index], &mut self.bodies[index]),
            None => (CHANNEL, &mut self.channel),
        };
        if written.ended || written.reset {
            return;
        }
        if let Ok(taken) = self.peer.stream_send(stream, bytes, ends) {
            written.bytes.extend_from_slice(&bytes[..taken]);
            written.ended = ends && taken == bytes.len();
        }
    }

    /// Resets a body, after all that was written has been read.
    fn reset(&mut self, index: usize) {
        self.settle();
        let written = &mut self.bodies[index];
        if !written.ended && !written.reset && !written.bytes.is_empty() {
            written.reset = true;
            let _ = self
                .peer
                .stream_shutdown(BODIES[index], quiche::Shutdown::Write, 7);
        }
    }

    fn answer(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let id = input.arbitrary()?;
        let bill = Bill::default();
        let outbox = self.session.outbox();
        match input.ratio(1, 3)? {
            true => {
                let error = CallError::not_run(ErrorKind::Overloaded, "for once");
                outbox.fail(id, bill, &error);
            }
            false => {
                let body = vec![0; input.int_in_range(0..=100_000)?];
                outbox.send(&Header::Reply { id, bill }, &body);
            }
        }
        Ok(())
    }

    fn misbehave(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        match input.int_in_range(0..=4)? {
            0 => {
                self.write(None, &[], true);
            }
            1 => {
                self.is_vague = true;
                let _ = self
                    .peer
                    .stream_shutdown(CHANNEL, quiche::Shutdown::Read, 7);
            }
            2 => {
                self.is_vague = true;
                let later = Instant::now() + Duration::from_secs(input.int_in_range(0..=100_000)?);
                let room = Room {
                    first: input.int_in_range(0..=100_000)?,
                    more: input.int_in_range(0..=100_000)?,
                };
                self.read(later, room, usize::MAX);
                while self.session.drop_late(later) {}
            }
            3 => {
                self.is_vague = true;
                let reason = some_bytes(input)?;
                let code = input.arbitrary::<u32>()?;
                let _ = self.peer.close(true, code.into(), &reason);
            }
            _ => self.session.set_held_up(input.arbitrary()?),
        }
        Ok(())
    }

    /// Datagrams in both directions, until there are none.
    fn exchange(&mut self) {
        let (here, there) = (address(1), address(2));
        loop {
            let mut moved = false;
            while let Ok((length, _)) = self.peer.send(&mut self.datagram) {
                self.session
                    .receive(&mut self.datagram[..length], there, here);
                moved = true;
            }
            while let Some((length, _)) = self.session.transmit(&mut self.datagram) {
                let info = quiche::RecvInfo {
                    from: here,
                    to: there,
                };
                let _ = self.peer.recv(&mut self.datagram[..length], info);
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    /// A turn of the session, in which bodies have so much room, and which ends after so many frames.
    fn read(&mut self, now: Instant, room: Room, frames_max: usize) {
        let portion = match frames_max % 2 {
            0 => Portion::Whole,
            _ => Portion::Small,
        };
        self.session
            .begin_turn(&mut self.frames, portion, room, now);
        let before = self.came.len();
        while self.session.advance(&mut self.frames) {
            self.came.push(match self.session.frame(&mut self.frames) {
                Event::Frame(frame) => {
                    Came::Frame(format!("{:?}", frame.header), frame.body.to_vec())
                }
                Event::TooLarge { header, bytes } => Came::TooLarge(format!("{header:?}"), bytes),
                Event::NoRoom { header, bytes } => Came::NoRoom(format!("{header:?}"), bytes),
                Event::Stalled { .. } => {
                    self.is_vague = true;
                    continue;
                }
                Event::Broken(_) => return,
            });
            if self.came.len() - before >= frames_max {
                self.session.set_aside(&mut self.frames);
                break;
            }
        }
        let held = BODIES.len() * 2 * BODY_MAX_BYTES + (8 << 20);
        assert!(
            self.session.held_bytes() <= held,
            "{}",
            self.session.held_bytes()
        );
    }

    /// Reads all that has been written.
    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            self.exchange();
            self.read(Instant::now(), Room::ANY, usize::MAX);
            if !self.session.has_unread() || self.session.ended().is_some() {
                return self.exchange();
            }
        }
        panic!("there is no end to what is read");
    }

    fn judge(&mut self) {
        if self.is_vague {
            return;
        }
        // What was reset had been read before.
        let bodies = self.bodies.iter().map(of_body);
        let streams = [of_channel(&self.channel)].into_iter().chain(bodies);
        let expected: std::result::Result<Vec<Vec<Came>>, FrameError> = streams.collect();
        let ended = self.session.ended();
        match expected {
            Ok(expected) => {
                assert_eq!(ended, None);
                // A body's frame comes when it does; those of the channel keep their order.
                let mut expected: Vec<Came> = expected.into_iter().flatten().collect();
                expected.sort();
                self.came.sort();
                assert_eq!(self.came, expected);
            }
            Err(why) => {
                let error = self.peer.peer_error();
                assert!(ended.is_some(), "{why} was not seen");
                assert!(
                    error.is_some_and(|error| error.error_code == 2),
                    "{why}: {error:?}"
                );
            }
        }
    }
}

/// The frames on the channel.
fn of_channel(written: &Written) -> std::result::Result<Vec<Came>, FrameError> {
    let mut came = Vec::new();
    let mut rest = frame::skip_nothing(&written.bytes);
    while let Some((read, used)) = frame::read(rest, INLINE_FRAME_MAX_BYTES)? {
        came.push(Came::Frame(
            format!("{:?}", read.header),
            read.body.to_vec(),
        ));
        rest = frame::skip_nothing(&rest[used..]);
    }
    match written.ended {
        true => Err(FrameError::Torn),
        false => Ok(came),
    }
}

/// The frame on a stream of its own, where it is there.
fn of_body(written: &Written) -> std::result::Result<Vec<Came>, FrameError> {
    let (bytes, ended) = (&written.bytes[..], written.ended);
    let Some(announced) = frame::announced(bytes) else {
        return if ended {
            Err(FrameError::Torn)
        } else {
            Ok(Vec::new())
        };
    };
    let whole = frame::PREFIX_BYTES + announced;
    if announced > HEADER_MAX_BYTES + BODY_MAX_BYTES {
        return match ended || bytes.len() >= HEADER_MAX_BYTES {
            true => {
                let header = frame::read_header(bytes)?;
                Ok(vec![Came::TooLarge(format!("{header:?}"), announced)])
            }
            false => Ok(Vec::new()),
        };
    }
    match bytes.len() == whole {
        false if ended || bytes.len() > whole => Err(FrameError::Torn),
        true if ended => {
            let (read, _) = frame::read(bytes, usize::MAX)?.ok_or(FrameError::Torn)?;
            let header = format!("{:?}", read.header);
            Ok(vec![match read.body.len() > BODY_MAX_BYTES {
                true => Came::TooLarge(header, announced),
                false => Came::Frame(header, read.body.to_vec()),
            }])
        }
        _ => Ok(Vec::new()),
    }
}

fn some_body(input: &mut Unstructured<'_>) -> Result<usize> {
    input.int_in_range(0..=BODIES.len() - 1)
}

fn some_bytes(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = input.int_in_range(0..=63)?;
    let length = length.min(input.len());
    Ok(input.bytes(length)?.to_vec())
}

/// A frame, of which the end may be missing.
fn some_frame(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let id = input.arbitrary()?;
    let header = match input.int_in_range(0..=9)? {
        0 => Header::Call {
            id,
            function: &"f".repeat(input.int_in_range(0..=300)?),
            timeout_us: input.arbitrary()?,
            depth: input.arbitrary()?,
            account: None,
        },
        1 => Header::Cancel { id },
        2 => Header::Reply {
            id,
            bill: Bill::default(),
        },
        3 => Header::Failure {
            id,
            kind: ErrorKind::from_number(input.arbitrary()?),
            bill: Bill::default(),
        },
        4 => Header::GoAway {
            taken: input.arbitrary()?,
        },
        5 => Header::Welcome {
            shards: input.arbitrary()?,
            instance: input.arbitrary()?,
        },
        6 => Header::Functions {
            script: input.arbitrary()?,
        },
        7 => Header::Item {
            id,
            number: input.arbitrary()?,
            part: *input.choose(&[Part::More, Part::Item, Part::Result])?,
        },
        8 => Header::Credit {
            id,
            frames: input.arbitrary()?,
        },
        _ => Header::Taken {
            frames: input.arbitrary()?,
        },
    };
    let length = input.choose(&[0, 1, 100, 65_000, 66_000, 149_999, 150_001, 152_000])?;
    let mut bytes = Vec::new();
    frame::write(&mut bytes, &header, &vec![id as u8; *length]);
    if input.ratio(1, 8)? {
        bytes.truncate(input.int_in_range(0..=bytes.len())?);
    }
    Ok(bytes)
}
