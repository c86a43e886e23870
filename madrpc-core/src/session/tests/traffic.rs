//! What is put in comes out, once and whole, whatever the weather.

use super::*;
use crate::call::Fields;
use crate::limits::INLINE_BODY_MAX_BYTES;

const CALLS: usize = 10_000;

/// Ten thousand calls at once; gives the datagrams it took.
fn small_calls(weather: Weather) -> usize {
    let length = |id: u64| id as usize % 97;
    let mut pipe = Pipe::new(weather);
    for id in 0..CALLS as u64 {
        pipe.client()
            .outbox()
            .send(&call(id), &body(id, length(id)));
    }
    let (mut calls, mut replies) = (vec![0; CALLS], vec![0; CALLS]);
    while replies.contains(&0) {
        pipe.turn(|end, outbox, event| match end {
            End::Server => {
                if let Event::Frame(Frame {
                    header: Header::Call { id, .. },
                    ..
                }) = event
                {
                    calls[id as usize] += 1;
                }
                echo(outbox, &event);
            }
            End::Client => {
                let (id, echoed) = replied(&event);
                assert_eq!(echoed, body(id, length(id)));
                replies[id as usize] += 1;
            }
        });
    }
    pipe.rest(|_, _, event| panic!("more than was said: {event:?}"));
    assert!(calls.iter().chain(&replies).all(|count| *count == 1));
    assert!(
        pipe.sessions
            .iter()
            .all(|session| session.waiting_bytes() == 0)
    );
    pipe.datagrams
}

#[test]
fn ten_thousand_calls_are_replied_to_once_each() {
    let datagrams = small_calls(CLEAR);
    // A datagram for each frame would be 20,000 of them.
    assert!(datagrams < CALLS / 4, "{datagrams} datagrams");
}

#[test]
fn a_storm_loses_doubles_and_spoils_no_call() {
    small_calls(STORM);
}

/// A large body each way while small calls go on; gives how many of them were done before it.
fn large_and_small(weather: Weather) -> usize {
    const LARGE: u64 = 1 << 40;
    let mut pipe = Pipe::new(weather);
    let large = body(LARGE, 5 << 20);
    pipe.client().outbox().send(&call(LARGE), &large);
    let (mut sent, mut received, mut before_large) = (0, 0, None);
    while before_large.is_none() || received < sent {
        // One small call at a time, the first of them behind the large one.
        if received == sent && before_large.is_none() {
            pipe.client().outbox().send(&call(sent), &body(sent, 40));
            sent += 1;
        }
        pipe.turn(|end, outbox, event| match end {
            End::Server => echo(outbox, &event),
            End::Client => match replied(&event) {
                (LARGE, echoed) => {
                    assert!(echoed == large);
                    assert_eq!(before_large.replace(received), None);
                }
                (id, echoed) => {
                    assert_eq!((id, echoed), (received, &body(id, 40)[..]));
                    received += 1;
                }
            },
        });
    }
    before_large.unwrap_or_default() as usize
}

#[test]
fn small_calls_pass_a_large_one_each_way() {
    let passed = large_and_small(CLEAR);
    // The large one takes dozens of round trips, each of which lets a small call pass.
    assert!(passed >= 10, "{passed} small calls passed");
}

#[test]
fn small_calls_pass_a_large_one_in_the_rain() {
    let passed = large_and_small(DRIZZLE);
    assert!(passed >= 10, "{passed} small calls passed");
}

#[test]
fn more_large_bodies_than_streams_all_arrive() {
    const BODIES: usize = 3 * BODY_STREAMS_MAX as usize + 1;
    let length = |id: u64| INLINE_BODY_MAX_BYTES + 1 + id as usize * 1000;
    for weather in [CLEAR, STORM] {
        let mut pipe = Pipe::new(weather);
        for id in 0..BODIES as u64 {
            pipe.client()
                .outbox()
                .send(&call(id), &body(id, length(id)));
        }
        let mut replies = [0; BODIES];
        while replies.contains(&0) {
            pipe.turn(|end, outbox, event| match end {
                End::Server => echo(outbox, &event),
                End::Client => {
                    let (id, echoed) = replied(&event);
                    assert!(echoed == body(id, length(id)));
                    replies[id as usize] += 1;
                }
            });
        }
        pipe.rest(|_, _, event| panic!("more than was said: {event:?}"));
        assert_eq!(replies, [1; BODIES]);
        for session in &pipe.sessions {
            assert_eq!(session.waiting_bytes(), 0);
            assert!(session.reader.arriving.is_empty());
        }
    }
}

#[test]
fn a_body_at_the_edge_of_the_channel_stays_whole() {
    let mut pipe = Pipe::new(CLEAR);
    let lengths = [0, 1, INLINE_BODY_MAX_BYTES, INLINE_BODY_MAX_BYTES + 1];
    for (id, length) in (0..).zip(lengths) {
        pipe.client().outbox().send(&call(id), &body(id, length));
    }
    let mut replies = Vec::new();
    while replies.len() < lengths.len() {
        pipe.turn(|end, outbox, event| match end {
            End::Server => echo(outbox, &event),
            End::Client => {
                let (id, echoed) = replied(&event);
                assert!(echoed == body(id, lengths[id as usize]));
                replies.push(id);
            }
        });
    }
    replies.sort_unstable();
    assert_eq!(replies, [0, 1, 2, 3]);
    // Only what is too large for the channel has a stream of its own.
    assert_eq!(pipe.client().next_uni, FIRST_UNI_OF_CLIENT + 4);
    assert_eq!(pipe.server().next_uni, FIRST_UNI_OF_SERVER + 4);
}

#[test]
fn frames_put_in_before_the_handshake_arrive() {
    let mut pipe = Pipe::new(STORM);
    pipe.client().outbox().send(&call(1), b"early");
    pipe.server()
        .outbox()
        .send(&Header::GoAway { taken: 0 }, b"");
    let mut heard = [false; 2];
    while heard != [true; 2] {
        pipe.turn(|end, _, event| {
            let Event::Frame(frame) = event else {
                panic!("{event:?}");
            };
            match end {
                End::Server => assert_eq!(
                    frame,
                    Frame {
                        fields: Fields::NONE,
                        header: call(1),
                        body: b"early".into()
                    }
                ),
                End::Client => assert_eq!(frame.header, Header::GoAway { taken: 0 }),
            }
            assert!(!std::mem::replace(&mut heard[end as usize], true));
        });
    }
}

#[test]
fn a_server_may_speak_to_a_client_that_says_nothing() {
    let mut pipe = Pipe::new(CLEAR);
    pipe.server()
        .outbox()
        .send(&Header::GoAway { taken: 0 }, b"");
    let mut heard = false;
    while !heard {
        pipe.turn(|end, _, event| {
            assert_eq!(
                (end, event),
                (
                    End::Client,
                    Event::Frame(Frame {
                        fields: Fields::NONE,
                        header: Header::GoAway { taken: 0 },
                        body: b"".into()
                    })
                )
            );
            heard = true;
        });
    }
}

#[test]
fn a_client_whose_only_call_is_large_gets_a_small_reply() {
    let mut pipe = Pipe::new(CLEAR);
    pipe.client()
        .outbox()
        .send(&call(1), &body(1, INLINE_BODY_MAX_BYTES + 1));
    let mut done = false;
    while !done {
        pipe.turn(|end, outbox, event| match end {
            End::Server => outbox.send(&reply(1), b"small"),
            End::Client => {
                assert_eq!(replied(&event), (1, &b"small"[..]));
                done = true;
            }
        });
    }
}
