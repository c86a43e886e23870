//! A peer that does not keep to the protocol, or may not be here: what it does ends its own session, in words.
//!
//! The client here writes to its QUIC connection itself, past the session.

use super::*;

fn frame(id: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, &call(id), body);
    bytes
}

/// What a client does, and the words it is told.
type Misuse = (&'static str, fn(&mut quiche::Connection), &'static str);

const UNREADABLE: &str = "frame header cannot be read";
const TORN: &str = "a stream ended too early, or not with its frame";
const LIE: &str = "frame of 2147483647 bytes announced, at most 66560 may come here";

const MISUSES: [Misuse; 13] = [
    (
        "a length that is a lie",
        |quic| write(quic, CHANNEL, &[0xff; 4], false),
        LIE,
    ),
    (
        "a length a byte too large",
        |quic| {
            let bytes = (INLINE_FRAME_MAX_BYTES as u32 + 1).to_le_bytes();
            write(quic, CHANNEL, &bytes, false);
        },
        "frame of 66561 bytes announced, at most 66560 may come here",
    ),
    (
        "garbage for a header",
        |quic| write(quic, CHANNEL, &[3, 0, 0, 0, 5, 1, 0xff], false),
        UNREADABLE,
    ),
    (
        "a header cut short",
        |quic| write(quic, CHANNEL, &[1, 0, 0, 0, 0], false),
        UNREADABLE,
    ),
    (
        "a function name that is no UTF-8",
        |quic| {
            let mut bytes = frame(1, b"");
            let name = bytes.windows(4).position(|bytes| bytes == b"echo").unwrap();
            bytes[name] = 0xff;
            write(quic, CHANNEL, &bytes, false);
        },
        UNREADABLE,
    ),
    (
        "a channel that ends",
        |quic| write(quic, CHANNEL, b"", true),
        TORN,
    ),
    (
        "a channel that ends inside a frame",
        |quic| write(quic, CHANNEL, &frame(1, b"body")[..9], true),
        TORN,
    ),
    (
        "a channel that is reset",
        |quic| {
            quic.stream_shutdown(CHANNEL, quiche::Shutdown::Write, 0)
                .unwrap();
        },
        TORN,
    ),
    (
        "a body that ends inside its frame",
        |quic| write(quic, 2, &frame(1, b"body")[..12], true),
        TORN,
    ),
    (
        "a body that ends inside its length",
        |quic| write(quic, 2, &[1, 0], true),
        TORN,
    ),
    (
        "a body that goes on after its frame",
        |quic| {
            write(quic, 2, &[frame(1, b"body"), vec![0]].concat(), false);
        },
        TORN,
    ),
    (
        "a body that goes on after all of it has come",
        |quic| {
            let body = frame(1, &vec![0; 2 * HEADER_MAX_BYTES]);
            write(quic, 2, &[&body[..], &[0]].concat(), false);
        },
        TORN,
    ),
    (
        "garbage for the header of a body",
        |quic| write(quic, 2, &[3, 0, 0, 0, 5, 1, 0xff], true),
        UNREADABLE,
    ),
];

fn write(quic: &mut quiche::Connection, stream: u64, bytes: &[u8], fin: bool) {
    assert_eq!(quic.stream_send(stream, bytes, fin), Ok(bytes.len()));
}

/// A pipe whose client has made a call in good order.
fn in_good_order() -> Pipe {
    let mut pipe = Pipe::new(CLEAR);
    pipe.client().outbox().send(&call(7), b"good");
    let mut replies = 0;
    while replies == 0 {
        pipe.turn(|end, outbox, event| match end {
            End::Server => echo(outbox, &event),
            End::Client => {
                assert_eq!(replied(&event), (7, &b"good"[..]));
                replies += 1;
            }
        });
    }
    pipe
}

#[track_caller]
fn assert_protocol(what: &str, ended: &[CallError; 2], words: &str) {
    let starts = ["the peer ended the session: ", "we ended the session: "];
    for (error, start) in ended.iter().zip(starts) {
        assert_eq!(error.kind, ErrorKind::Protocol, "{what}: {error}");
        assert!(error.may_have_run, "{what}");
        let expected = format!("{start}{words}");
        assert!(error.message.starts_with(&expected), "{what}: {error}");
    }
}

#[test]
fn each_misuse_ends_the_session_and_says_why() {
    for (what, act, words) in MISUSES {
        let mut pipe = in_good_order();
        act(&mut pipe.client().quic);
        let mut heard = Vec::new();
        while pipe
            .sessions
            .iter()
            .any(|session| session.ended().is_none())
        {
            pipe.turn(|_, _, event| heard.push(format!("{event:?}")));
        }
        assert!(heard.is_empty(), "{what}: {heard:?}");
        assert_protocol(what, &pipe.endings(), words);
    }
}

#[test]
fn a_channel_that_the_peer_stopped_ends_the_session() {
    let mut pipe = in_good_order();
    let quic = &mut pipe.client().quic;
    quic.stream_shutdown(CHANNEL, quiche::Shutdown::Read, 0)
        .unwrap();
    pipe.rest(|_, _, event| panic!("{event:?}"));
    pipe.server()
        .outbox()
        .send(&Header::GoAway { taken: 0 }, b"");
    assert_protocol("stopped", &pipe.endings(), "the channel was stopped");
}

#[test]
fn nothing_is_taken_from_a_peer_after_its_misuse() {
    let mut pipe = in_good_order();
    let quic = &mut pipe.client().quic;
    let garbage = [3, 0, 0, 0, 5, 1, 0xff];
    write(
        quic,
        CHANNEL,
        &[&garbage, &frame(8, b"late")[..]].concat(),
        false,
    );
    write(quic, 2, &frame(9, b"late"), true);
    pipe.carry(End::Client);
    let mut wire = std::mem::take(&mut pipe.wires[End::Server as usize]);
    for datagram in &mut wire {
        let [from, to] = End::BOTH.map(End::address);
        pipe.server().receive(datagram, from, to);
    }
    let Pipe {
        sessions: [_, server],
        buffer,
        ..
    } = &mut pipe;
    for _ in 0..3 {
        turn_of(server, buffer, UNBOUNDED, |_, event| panic!("{event:?}"));
        assert!(!server.has_unread());
    }
    assert!(server.quic.local_error().is_some());
}

#[test]
fn lengths_of_nothing_on_the_channel_say_nothing() {
    let mut pipe = in_good_order();
    let mut bytes = vec![0; 4 * 1000];
    bytes.extend(frame(8, b"after nothing"));
    bytes.extend([0; 6]);
    write(&mut pipe.client().quic, CHANNEL, &bytes, false);
    let mut heard = Vec::new();
    pipe.rest(|_, _, event| heard.push(format!("{event:?}")));
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(pipe.server().ended().is_none());
    assert_eq!(pipe.server().reader.partial, [0; 2]);
}

/// What the client and the server say where neither lets the other in.
fn refused(server: &Identity, client: &Identity) -> (Pipe, [CallError; 2]) {
    let mut pipe = Pipe::between(server, client, CLEAR, IDLE, BODY_MAX_BYTES);
    pipe.client().outbox().send(&call(1), b"let me in");
    while pipe
        .sessions
        .iter()
        .any(|session| session.ended().is_none())
    {
        pipe.turn(|_, _, event| panic!("let in: {event:?}"));
    }
    let ended = pipe.endings();
    (pipe, ended)
}

#[track_caller]
fn assert_refused(ended: &[CallError; 2], words: [&str; 2]) {
    for (error, words) in ended.iter().zip(words) {
        assert_eq!(error.kind, ErrorKind::Unauthorized, "{error}");
        assert!(!error.may_have_run, "{error}");
        assert!(error.message.starts_with(words), "{error}");
    }
}

#[test]
fn a_client_of_another_authority_is_refused_though_it_thinks_itself_in() {
    let [ours, theirs] = ["ours", "theirs"].map(|name| Authority::create(name).unwrap());
    let server = ours.issue(Role::Node).unwrap();
    let stranger = theirs.issue(Role::Client).unwrap();
    // It trusts both, so that it is the server who refuses.
    let folder = tempfile::tempdir().unwrap();
    let [ca, cert, key] = ["ca", "cert", "key"].map(|name| folder.path().join(name));
    let both = [server.ca_pem().unwrap(), stranger.ca_pem().unwrap()].concat();
    std::fs::write(&ca, both).unwrap();
    std::fs::write(&cert, stranger.cert_pem().unwrap()).unwrap();
    std::fs::write(&key, stranger.key_pem().unwrap()).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, private).unwrap();
    let stranger = Identity::from_files(&ca, &cert, &key).unwrap();

    let (mut pipe, ended) = refused(&server, &stranger);
    let words = [
        "our certificate is not issued by",
        "the peer's certificate is not issued by",
    ];
    assert_refused(&ended, words);
    assert!(pipe.client().is_established() && !pipe.server().is_established());
}

#[test]
fn a_server_of_another_authority_is_refused() {
    let [ours, theirs] = ["ours", "theirs"].map(|name| Authority::create(name).unwrap());
    let server = theirs.issue(Role::Node).unwrap();
    let (_, ended) = refused(&server, &ours.issue(Role::Client).unwrap());
    let words = [
        "the peer's certificate is not issued by",
        "our certificate is not issued by",
    ];
    assert_refused(&ended, words);
}

#[test]
fn an_alert_after_the_handshake_may_have_found_the_call_running() {
    for (end, alert) in [(End::Server, 80), (End::Client, 80), (End::Client, 10)] {
        let mut pipe = in_good_order();
        pipe.at(end).quic.close(false, 0x100 + alert, b"").unwrap();
        for error in pipe.endings() {
            assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
            assert!(error.may_have_run, "{error}");
        }
    }
}
