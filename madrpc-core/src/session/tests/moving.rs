//! A client whose address changes keeps its session, in the middle of calls.

use super::*;
use crate::limits::PEER_PATHS_MAX;

/// How long a client waits for a reply before it asks whether the server is still there.
const PATIENT_FOR: Duration = Duration::from_millis(20);

/// Makes calls one by one, with replies of so many bytes. While each is under way, the client moves to the next of its
/// addresses, so that what was sent of the reply is lost.
fn calls_on_the_move(weather: Weather, length: usize, addresses: &[SocketAddr]) -> Pipe {
    let mut pipe = Pipe::new(weather);
    pipe.establish();
    for (id, address) in (0..).zip(addresses) {
        pipe.client().outbox().send(&call(id), &body(id, length));
        let (mut called, mut replied_to) = (false, false);
        let mut pinged = Instant::now();
        while !replied_to {
            pipe.turn(|end, outbox, event| match end {
                End::Server => {
                    echo(outbox, &event);
                    called = true;
                }
                End::Client => {
                    let (of, echoed) = replied(&event);
                    assert!(of == id && echoed == body(id, length), "call {id}");
                    replied_to = true;
                }
            });
            if std::mem::take(&mut called) {
                // A part of the reply has left for the address that is no more.
                pipe.carry(End::Server);
                pipe.wires[End::Client as usize].clear();
                pipe.client_at = *address;
            }
            if pinged.elapsed() > PATIENT_FOR {
                pipe.client().ping();
                pinged = Instant::now();
            }
            let ended = pipe.sessions.each_ref().map(Session::ended);
            assert_eq!(ended, [None, None], "call {id}");
        }
        let moved = pipe.server().moved();
        assert_eq!(moved, Some(*address), "call {id}");
        assert_eq!(pipe.server().moved(), None);
    }
    pipe.rest(|_, _, event| panic!("more than was said: {event:?}"));
    pipe
}

fn ports(ports: std::ops::Range<u16>) -> Vec<SocketAddr> {
    let address = |port| SocketAddr::from(([127, 0, 0, 2], 1000 + port));
    ports.map(address).collect()
}

#[test]
fn replies_follow_a_client_that_moves() {
    for length in [30, 3000, 400_000] {
        calls_on_the_move(CLEAR, length, &ports(0..10));
    }
}

#[test]
fn replies_follow_a_client_that_moves_in_a_storm() {
    for length in [30, 3000, 20_000, 60_000] {
        calls_on_the_move(STORM, length, &ports(0..15));
    }
}

#[test]
fn a_client_may_come_back_to_where_it_was() {
    let first = End::Client.address();
    let [one, two] = ports(0..2)[..] else {
        panic!("two")
    };
    calls_on_the_move(CLEAR, 60_000, &[one, first, two, one, two, first, one]);
}

#[test]
fn a_session_ends_when_its_client_has_moved_too_often() {
    let most = PEER_PATHS_MAX as u16;
    let mut pipe = calls_on_the_move(CLEAR, 30, &ports(0..most - 2));
    pipe.client_at = ports(most..most + 1)[0];
    pipe.client().ping();
    let [client, server] = pipe.endings();
    assert_eq!(client.kind, ErrorKind::Unavailable);
    for error in [client, server] {
        assert!(error.message.contains("too often"), "{error}");
    }
}
