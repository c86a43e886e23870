//! Bodies of which the half has come, and the rest does not.

use super::*;
use crate::limits::BODY_STALL_TIMEOUT;

/// The client begins a frame with a large body, and does not go on.
fn begin(pipe: &mut Pipe, stream: u64, header: &Header<'_>) {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, header, &body(1, 700_000));
    let sent = pipe
        .client()
        .quic
        .stream_send(stream, &bytes[..200_000], false);
    assert_eq!(sent, Ok(200_000));
}

/// Time as the session is told it; quiche has its own.
#[test]
fn bodies_that_do_not_go_on_are_let_go_of_unless_it_is_we_who_do_not_read() {
    let mut pipe = Pipe::with(CLEAR, IDLE, BODY_MAX_BYTES);
    pipe.establish();
    begin(&mut pipe, 2, &call(1));
    begin(&mut pipe, 6, &call(2));
    pipe.rest(|_, _, event| panic!("{event:?}"));
    let server = pipe.server();
    assert!(server.held_bytes() > 350_000, "{}", server.held_bytes());
    let due = server.next_late().unwrap();
    assert!(due <= Instant::now() + BODY_STALL_TIMEOUT);
    // We have not read, and may be what it waits for.
    server.set_held_up(true);
    assert!(!server.drop_late(due));
    server.set_held_up(false);
    let again = server.next_late().unwrap();
    assert!(again > due && !server.has_unread());
    assert!(!server.drop_late(again - Duration::from_millis(1)) && !server.has_unread());
    assert!(!server.drop_late(again) && server.has_unread());
    let mut stalled = Vec::new();
    pipe.turn(|_, _, event| match event {
        Event::Stalled {
            header: Header::Call { id, .. },
        } => stalled.push(id),
        other => panic!("{other:?}"),
    });
    stalled.sort_unstable();
    assert_eq!(stalled, [1, 2]);
    let server = pipe.server();
    assert!(server.held_bytes() < 1000, "{}", server.held_bytes());
    assert_eq!(server.next_late(), None);
}

#[test]
fn the_half_of_an_answer_that_nobody_waits_for_is_let_go_of() {
    let mut pipe = Pipe::with(CLEAR, IDLE, BODY_MAX_BYTES);
    let reply = Header::Reply {
        id: 7,
        bill: Bill::default(),
    };
    pipe.establish();
    begin(&mut pipe, 2, &reply);
    pipe.rest(|_, _, event| panic!("{event:?}"));
    let server = pipe.server();
    server.drop_answer(8);
    assert!(server.held_bytes() > 150_000, "{}", server.held_bytes());
    server.drop_answer(7);
    assert!(server.held_bytes() < 1000, "{}", server.held_bytes());
}
