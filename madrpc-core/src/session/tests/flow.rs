//! Bounds: how large, how much waits, how much a turn reads.

use super::*;
use crate::limits::INLINE_BODY_MAX_BYTES;

/// Bytes of a frame on the wire.
fn frame_bytes(header: &Header<'_>, body: &[u8]) -> usize {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, header, body);
    bytes.len()
}

#[test]
fn a_body_over_the_limit_is_named_and_the_session_goes_on() {
    const LIMIT: usize = 100_000;
    // Twice as many as there are streams: each has to be given back.
    const REFUSED: u64 = 2 * BODY_STREAMS_MAX;
    let length = |id: u64| match id {
        // More than the windows hold: it has to be read on though nobody wants it.
        0 => 20 << 20,
        // So little too much that only the whole frame shows it.
        1 => LIMIT + 1,
        // Not in the pipe as a whole when the first of it is read.
        _ => 600_000 + id as usize * 1000,
    };
    let mut pipe = Pipe::with(CLEAR, IDLE, LIMIT);
    for id in 0..REFUSED {
        pipe.client().outbox().send(&call(id), &vec![7; length(id)]);
    }
    let largest = body(REFUSED, LIMIT);
    pipe.client().outbox().send(&call(REFUSED), &largest);
    pipe.client().outbox().send(&call(REFUSED + 1), b"small");
    let (mut refused, mut taken) = (Vec::new(), Vec::new());
    while refused.len() + taken.len() < REFUSED as usize + 2 {
        pipe.turn(|_, _, event| match event {
            Event::TooLarge {
                header:
                    Header::Call {
                        id,
                        function: "echo",
                        timeout_us: 30_000_000,
                        depth: 0,
                        account: None,
                    },
                bytes,
            } => {
                let whole = frame_bytes(&call(id), &vec![7; length(id)]);
                assert_eq!(bytes, whole - frame::PREFIX_BYTES);
                refused.push(id);
            }
            Event::Frame(Frame {
                header: Header::Call { id, .. },
                body,
                ..
            }) => {
                assert!(body == largest || body == b"small");
                taken.push(id);
            }
            other => panic!("{other:?}"),
        });
    }
    refused.sort_unstable();
    taken.sort_unstable();
    assert_eq!(refused, (0..REFUSED).collect::<Vec<_>>());
    assert_eq!(taken, [REFUSED, REFUSED + 1]);
    pipe.rest(|_, _, event| panic!("{event:?}"));
    assert_eq!(pipe.client().waiting_bytes(), 0);
    assert!(pipe.server().reader.arriving.is_empty());
    assert!(
        pipe.sessions
            .iter()
            .all(|session| session.ended().is_none())
    );
}

/// Four bodies at a time have room; the others are named and thrown away, and what is small goes on.
#[test]
fn a_body_without_room_is_named_and_the_session_goes_on() {
    const BODIES: u64 = 3 * BODY_STREAMS_MAX;
    const LENGTH: usize = 700_000;
    let mut pipe = Pipe::with(CLEAR, IDLE, BODY_MAX_BYTES);
    pipe.room = Room { first: 0, more: 0 };
    for id in 0..BODIES {
        pipe.client().outbox().send(&call(id), &body(id, LENGTH));
    }
    pipe.client().outbox().send(&call(BODIES), b"small");
    let (mut refused, mut taken, mut most) = (0, Vec::new(), 0);
    while refused + taken.len() < BODIES as usize + 1 {
        let held = pipe.server().reader.held_bytes();
        most = most.max(held);
        let more = (4 * (LENGTH + 100)).saturating_sub(held);
        pipe.room = Room { first: 0, more };
        pipe.turn(|_, _, event| match event {
            Event::NoRoom {
                header: Header::Call { id, .. },
                bytes,
            } => {
                assert!(id < BODIES && bytes > LENGTH);
                refused += 1;
            }
            Event::Frame(Frame {
                header: Header::Call { id, .. },
                body: received,
                ..
            }) => {
                assert!(received == b"small" || received == body(id, LENGTH));
                taken.push(id);
            }
            other => panic!("{other:?}"),
        });
    }
    assert!(refused > 0 && taken.len() > 3, "{refused} {taken:?}");
    assert!(taken.contains(&BODIES));
    // One turn's reading more, of bodies whose headers are not there yet.
    assert!(most <= 4 * (LENGTH + 100) + READ_PER_TURN_BYTES, "{most}");
    pipe.rest(|_, _, event| panic!("{event:?}"));
    assert!(pipe.server().reader.arriving.is_empty());
    assert_eq!(pipe.server().held_bytes(), 0);
}

#[test]
fn a_body_that_comes_alone_has_a_room_of_its_own() {
    const LENGTH: usize = 700_000;
    let mut pipe = Pipe::with(CLEAR, IDLE, BODY_MAX_BYTES);
    let first = LENGTH + 100;
    pipe.room = Room { first, more: 100 };
    pipe.client().outbox().send(&call(1), &body(1, LENGTH));
    pipe.client().outbox().send(&call(2), &body(2, 2 * LENGTH));
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    while taken.len() + refused.len() < 2 {
        pipe.turn(|_, _, event| match event {
            Event::NoRoom {
                header: Header::Call { id, .. },
                ..
            } => refused.push(id),
            Event::Frame(Frame {
                header: Header::Call { id, .. },
                ..
            }) => taken.push(id),
            other => panic!("{other:?}"),
        });
    }
    // The second is too large even alone.
    assert_eq!((&taken[..], &refused[..]), (&[1][..], &[2][..]));
    pipe.client().outbox().send(&call(3), &body(3, LENGTH));
    let mut taken = 0;
    while taken == 0 {
        pipe.turn(|_, _, event| taken += u32::from(matches!(event, Event::Frame(_))));
    }
}

#[test]
fn what_is_set_aside_comes_in_a_later_turn() {
    const CALLS: u64 = 1000;
    for frames_max in [1, 2, 7, FRAMES_PER_TURN] {
        let mut pipe = Pipe::with(CLEAR, IDLE, BODY_MAX_BYTES);
        pipe.frames_max = frames_max;
        // Short ones, long ones, and some with a stream of their own.
        let length = |id: u64| match id % 100 {
            0 => 100_000,
            50 => 60_000,
            other => other as usize,
        };
        for id in 0..CALLS {
            pipe.client()
                .outbox()
                .send(&call(id), &body(id, length(id)));
        }
        let mut ids = Vec::new();
        while ids.len() < CALLS as usize {
            let before = ids.len();
            pipe.turn(|_, _, event| {
                let Event::Frame(Frame {
                    header: Header::Call { id, .. },
                    body: received,
                    ..
                }) = event
                else {
                    panic!("{event:?}");
                };
                assert!(received == body(id, length(id)), "{id}");
                ids.push(id);
            });
            assert!(ids.len() - before <= frames_max);
        }
        pipe.rest(|_, _, event| panic!("{event:?}"));
        let small: Vec<u64> = ids
            .iter()
            .copied()
            .filter(|id| length(*id) < 90_000)
            .collect();
        assert!(small.is_sorted(), "the channel keeps the order");
        ids.sort_unstable();
        assert_eq!(ids, (0..CALLS).collect::<Vec<_>>());
    }
}

#[test]
fn a_limit_below_the_channel_s_holds_there_too() {
    let mut pipe = Pipe::with(CLEAR, IDLE, 10);
    pipe.client().outbox().send(&call(1), &[0; 11]);
    pipe.client().outbox().send(&call(2), &[0; 10]);
    let mut heard = Vec::new();
    while heard.len() < 2 {
        pipe.turn(|_, _, event| {
            heard.push(matches!(event, Event::TooLarge { header, .. } if header == call(1)));
        });
    }
    assert_eq!(heard, [true, false]);
}

#[test]
fn a_peer_that_never_reads_lets_frames_wait_and_no_more() {
    // More than two windows, so that the outbox does not forget at once what QUIC has taken.
    const SMALL: u64 = 80;
    const LARGE: u64 = 10;
    let length = |id: u64| if id < SMALL { 20_000 } else { 1 << 20 };
    let mut pipe = Pipe::new(CLEAR);
    pipe.reads = [true, false];
    let mut put = frame::NOTHING.len();
    for id in 0..SMALL + LARGE {
        let body = body(id, length(id));
        put += frame_bytes(&call(id), &body);
        pipe.client().outbox().send(&call(id), &body);
    }
    assert_eq!(pipe.client().waiting_bytes(), put - frame::NOTHING.len());
    pipe.rest(|_, _, event| panic!("{event:?}"));
    let waiting = pipe.client().waiting_bytes();
    assert!(
        waiting > 0 && waiting >= put - SESSION_WINDOW_BYTES as usize,
        "{waiting} of {put}"
    );
    // Time makes it no worse.
    pipe.client().ping();
    pipe.rest(|_, _, event| panic!("{event:?}"));
    assert_eq!(pipe.client().waiting_bytes(), waiting);

    // What does not wait has arrived, to the byte.
    let Pipe {
        sessions: [_, server],
        buffer,
        ..
    } = &mut pipe;
    let (mut arrived, mut ids) = (frame::NOTHING.len(), Vec::new());
    let mut take = |event: &Event<'_>| {
        let Event::Frame(Frame {
            header: Header::Call { id, .. },
            body: received,
            ..
        }) = event
        else {
            panic!("{event:?}");
        };
        assert!(*received == body(*id, length(*id)));
        ids.push(*id);
        frame_bytes(&call(*id), received)
    };
    loop {
        turn_of(server, buffer, UNBOUNDED, |_, event| {
            arrived += take(&event);
        });
        if !server.has_unread() {
            break;
        }
    }
    arrived += server.reader.arrived_bytes();
    assert_eq!(arrived + waiting, put);

    // And the rest follows as soon as it is read.
    pipe.reads = [true; 2];
    while pipe.client().waiting_bytes() > 0 {
        pipe.turn(|_, _, event| {
            take(&event);
        });
    }
    pipe.rest(|_, _, event| {
        take(&event);
    });
    ids.sort_unstable();
    assert_eq!(ids, (0..SMALL + LARGE).collect::<Vec<_>>());
}

#[test]
fn a_turn_reads_no_more_than_its_budget() {
    const BODY_BYTES: usize = 16_000;
    let mut pipe = Pipe::new(CLEAR);
    pipe.reads = [true, false];
    // The windows hold more than one turn reads.
    let frames = CHANNEL_WINDOW_BYTES as usize / BODY_BYTES;
    for id in 0..frames as u64 {
        pipe.client().outbox().send(&call(id), &[1; BODY_BYTES]);
    }
    pipe.client()
        .outbox()
        .send(&call(u64::MAX), &[2; BODY_WINDOW_BYTES as usize / 2]);
    pipe.rest(|_, _, event| panic!("{event:?}"));
    assert!(!pipe.server().has_unread());

    let Pipe {
        sessions: [_, server],
        buffer,
        ..
    } = &mut pipe;
    let held = |server: &Session| server.reader.arrived_bytes();
    let (mut turns, mut small, mut large) = (0, 0, 0);
    let mut before = 0;
    loop {
        let mut taken = 0;
        turn_of(server, buffer, UNBOUNDED, |_, event| match event {
            Event::Frame(Frame { header, body, .. }) => {
                taken += frame_bytes(&header, &body);
                *if body[0] == 1 { &mut small } else { &mut large } += 1;
            }
            other => panic!("{other:?}"),
        });
        let read = taken + held(server) - before;
        before = held(server);
        turns += 1;
        assert!(
            read <= READ_PER_TURN_BYTES,
            "turn {turns} read {read} bytes"
        );
        if !server.has_unread() {
            break;
        }
        assert!(
            read >= READ_PER_TURN_BYTES - frame::PREFIX_BYTES,
            "turn {turns} read {read} bytes"
        );
    }
    assert_eq!((small, large), (frames, 1));
    assert!(turns >= 2, "{turns} turns");
}

/// What small calls lead to is sent before more of them are taken; the sooner where others wait.
#[test]
fn a_pile_of_small_frames_is_taken_in_bites() {
    for (portion, bite) in [
        (Portion::Whole, FRAMES_PER_TURN),
        (Portion::Small, FRAMES_PER_TURN / 8),
    ] {
        let mut pipe = Pipe::new(CLEAR);
        pipe.establish();
        pipe.reads = [true, false];
        let frames = 10 * FRAMES_PER_TURN;
        for id in 0..frames as u64 {
            pipe.client().outbox().send(&call(id), b"1234567890");
        }
        pipe.rest(|_, _, event| panic!("{event:?}"));
        let Pipe {
            sessions: [_, server],
            buffer,
            ..
        } = &mut pipe;
        let mut turns = Vec::new();
        loop {
            let mut taken = 0;
            let bounds = (portion, Room::ANY, usize::MAX);
            turn_of(server, buffer, bounds, |_, _| taken += 1);
            turns.push(taken);
            if !server.has_unread() {
                break;
            }
        }
        assert_eq!(turns.iter().sum::<usize>(), frames);
        let (last, full) = turns.split_last().unwrap();
        assert!(*last <= 6 * bite, "{turns:?}");
        // As many as there are in a bite of the channel, or in two.
        let bites = bite..6 * bite;
        assert!(full.iter().all(|taken| bites.contains(taken)), "{turns:?}");
    }
}

#[test]
fn a_body_that_fills_every_turn_lets_the_channel_be_read() {
    let mut pipe = Pipe::new(CLEAR);
    pipe.establish();
    pipe.reads = [true, false];
    pipe.client().outbox().send(
        &call(1),
        &[2; 4 * READ_PER_TURN_BYTES - INLINE_BODY_MAX_BYTES],
    );
    pipe.rest(|_, _, event| panic!("{event:?}"));
    // The body has had a turn, and more of it is there, when the small call comes.
    let Pipe {
        sessions: [_, server],
        buffer,
        ..
    } = &mut pipe;
    turn_of(server, buffer, UNBOUNDED, |_, event| panic!("{event:?}"));
    assert!(server.has_unread());
    pipe.client().outbox().send(&call(2), b"small");
    pipe.rest(|_, _, event| panic!("{event:?}"));
    let Pipe {
        sessions: [_, server],
        buffer,
        ..
    } = &mut pipe;
    let mut heard = Vec::new();
    for _ in 0..2 {
        turn_of(server, buffer, UNBOUNDED, |_, event| match event {
            Event::Frame(frame) => heard.push(frame.header == call(2)),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(
        heard,
        [true],
        "the small call comes first, the large one is not over"
    );
}

/// To copy the largest takes some twenty milliseconds, in which a shard serves nobody.
#[test]
fn a_large_body_is_handed_on_as_it_is_and_a_small_one_is_copied() {
    let mut pipe = Pipe::with(CLEAR, IDLE, BODY_MAX_BYTES);
    for id in [0, 1] {
        let length = if id == 0 { 2_000_000 } else { 100 };
        pipe.client().outbox().send(&call(id), &body(id, length));
    }
    let mut replies = 0;
    while replies < 2 {
        pipe.turn(|_, outbox, event| {
            let Event::Frame(Frame {
                header,
                body: received,
                ..
            }) = event
            else {
                panic!("{event:?}");
            };
            match header {
                Header::Call { id, .. } => {
                    let kept = received.to_bytes();
                    assert_eq!(kept.as_ptr() == received.as_ptr(), id == 0);
                    outbox.send(&reply(id), &kept);
                }
                Header::Reply { id, .. } => {
                    assert!(received == body(id, received.len()), "{id}");
                    replies += 1;
                }
                other => panic!("{other:?}"),
            }
        });
    }
}

/// One that announces much and sends little takes no more than twice of what it sends, all of which is counted.
#[test]
fn a_body_takes_memory_as_it_comes() {
    const LENGTH: usize = 7_000_000;
    let mut pipe = Pipe::with(CLEAR, IDLE, BODY_MAX_BYTES);
    pipe.client().outbox().send(&call(1), &body(1, LENGTH));
    let mut is_whole = false;
    while !is_whole {
        pipe.turn(|_, _, event| is_whole |= matches!(event, Event::Frame(_)));
        let reader = &pipe.server().reader;
        let (held, arrived) = (reader.held_bytes(), reader.arrived_bytes());
        assert!(
            (arrived..=2 * arrived).contains(&held),
            "{held} for {arrived}"
        );
        let reserved: usize = reader
            .arriving
            .values()
            .filter_map(|one| Some(one.bytes.as_ref()?.capacity()))
            .sum();
        assert_eq!(held, reserved + reader.partial.len());
    }
}
