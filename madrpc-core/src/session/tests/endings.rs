//! How a session ends, and what each end then says of it.

use super::*;

#[test]
fn every_goodbye_is_seen_by_the_peer_with_its_words() {
    let goodbyes = [
        (Goodbye::Done, ErrorKind::Unavailable),
        (Goodbye::Draining, ErrorKind::Unavailable),
        (Goodbye::Protocol, ErrorKind::Protocol),
    ];
    for end in End::BOTH {
        for (goodbye, kind) in goodbyes {
            let mut pipe = Pipe::new(CLEAR);
            pipe.establish();
            pipe.at(end).close(goodbye, "the reason");
            let ended = pipe.endings();
            // It is known at once, not only when QUIC may forget the connection.
            assert!(!pipe.at(end.other()).quic().is_closed());
            assert!(
                ended
                    .iter()
                    .all(|error| error.kind == kind && error.may_have_run),
                "{ended:?}"
            );
            let ours = format!(
                "we ended the session: the reason (code {:#x})",
                goodbye as u64
            );
            assert_eq!(ended[end as usize].message, ours);
            let theirs = "the peer ended the session: the reason";
            assert_eq!(ended[end.other() as usize].message, theirs);
            let error = pipe.at(end.other()).quic().peer_error().unwrap();
            assert_eq!((error.is_app, error.error_code), (true, goodbye as u64));
        }
    }
}

#[test]
fn a_client_that_leaves_while_its_handshake_is_probed_says_so_and_stops() {
    leave_while_probed(|client| {
        client.on_timeout();
        client.close(Goodbye::Done, "the reason");
    });
}

#[test]
fn a_client_whose_handshake_would_be_probed_after_its_goodbye_says_that_and_stops() {
    leave_while_probed(|client| {
        client.close(Goodbye::Done, "the reason");
        assert_eq!(client.timeout(), None, "its last packet waits for nothing");
        client.on_timeout();
    });
}

fn leave_while_probed(leave: fn(&mut Session)) {
    let mut pipe = Pipe::new(CLEAR);
    // What the server says once it has the client's certificate, which confirms the handshake, does not arrive.
    while !pipe.client().is_established() {
        pipe.turn(|_, _, _| ());
    }
    pipe.carry(End::Client);
    let mut datagrams = std::mem::take(&mut pipe.wires[End::Server as usize]);
    for datagram in &mut datagrams {
        let (from, to) = (End::Client.address(), End::Server.address());
        pipe.server().receive(datagram, from, to);
    }
    assert!(pipe.server().is_established());
    // The client's timer for the handshake is over, and it has nothing else to say.
    let timer = pipe.client().timeout().unwrap();
    sleep(timer.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
    leave(pipe.client());
    let mut sent = Vec::new();
    let mut out = [0; 2048];
    while let Some((length, _)) = pipe.client().transmit(&mut out) {
        sent.push(out[..length].to_vec());
        assert!(sent.len() < 10, "there is no end to it");
    }
    for mut datagram in sent {
        let (from, to) = (End::Client.address(), End::Server.address());
        pipe.server().receive(&mut datagram, from, to);
    }
    let ended = pipe.server().ended().map(|error| error.message);
    assert_eq!(
        ended.as_deref(),
        Some("the peer ended the session: the reason")
    );
}

#[test]
fn a_reason_too_long_for_a_datagram_is_cut_at_a_letter() {
    let mut pipe = Pipe::new(CLEAR);
    pipe.establish();
    pipe.server()
        .close(Goodbye::Done, &format!("x{}", "é".repeat(5000)));
    let [client, _] = pipe.endings();
    let letters = (REASON_MAX_BYTES - 1) / 2;
    assert_eq!(
        client.message,
        format!("the peer ended the session: x{}", "é".repeat(letters))
    );
}

#[test]
fn replies_sent_before_a_goodbye_are_still_handed_out() {
    let mut pipe = Pipe::new(CLEAR);
    pipe.client().outbox().send(&call(1), b"");
    let mut called = false;
    while !called {
        pipe.turn(|_, outbox, event| {
            echo(outbox, &event);
            called = true;
        });
    }
    // The reply is given to QUIC, and the close goes with it.
    pipe.carry(End::Server);
    pipe.server().close(Goodbye::Draining, "stopping");
    let mut replies = 0;
    while pipe.client().ended().is_none() {
        pipe.turn(|_, _, event| {
            assert_eq!(replied(&event), (1, &b""[..]));
            replies += 1;
        });
    }
    assert_eq!(replies, 1);
}

#[test]
fn a_goodbye_during_the_handshake_leaves_no_doubt_that_nothing_ran() {
    let mut pipe = Pipe::new(CLEAR);
    pipe.client().outbox().send(&call(1), b"");
    // The client is through, the server has not heard so yet.
    while !pipe.client().is_established() {
        assert!(!pipe.server().is_established());
        pipe.turn(|_, _, event| panic!("{event:?}"));
    }
    pipe.server().close(Goodbye::Draining, "stopping");
    let [client, server] = pipe.endings();
    assert!(pipe.client().is_established() && !pipe.server().is_established());
    for error in [&client, &server] {
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(!error.may_have_run, "{error}");
    }
    assert_eq!(
        client.message,
        "the peer ended the session before the handshake was over"
    );
}

#[test]
fn silence_ends_both_ends_and_calls_may_have_run() {
    let mut pipe = Pipe::with(CLEAR, Duration::from_millis(500), BODY_MAX_BYTES);
    pipe.establish();
    pipe.weather.lost = 100;
    pipe.client().outbox().send(&call(1), b"into the void");
    let begun = Instant::now();
    for error in pipe.endings() {
        let silence = CallError::may_have_run(ErrorKind::Unavailable, "the peer went silent");
        assert_eq!(error, silence);
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(400),
        "{:?}",
        begun.elapsed()
    );
    assert!(pipe.client().quic().is_timed_out());
}

#[test]
fn a_peer_that_never_answers_has_run_nothing() {
    let nobody = Weather { lost: 100, ..CLEAR };
    let mut pipe = Pipe::with(nobody, Duration::from_millis(100), BODY_MAX_BYTES);
    pipe.client().outbox().send(&call(1), b"into the void");
    while pipe.client().ended().is_none() {
        pipe.turn(|_, _, event| panic!("{event:?}"));
    }
    let silence = CallError::not_run(ErrorKind::Unavailable, "the peer went silent");
    assert_eq!(pipe.client().ended(), Some(silence));
    // It keeps what it could not say.
    assert!(pipe.client().waiting_bytes() > b"into the void".len());
}

#[test]
fn a_ping_keeps_a_silent_session() {
    let mut pipe = Pipe::with(CLEAR, Duration::from_millis(500), BODY_MAX_BYTES);
    pipe.establish();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(900) {
        pipe.client().ping();
        pipe.turn(|_, _, event| panic!("{event:?}"));
        sleep(Duration::from_millis(20));
    }
    assert!(
        pipe.sessions
            .iter()
            .all(|session| session.ended().is_none())
    );
    // Without pings it ends by itself.
    assert!(
        pipe.endings()
            .iter()
            .all(|error| error.message == "the peer went silent")
    );
}
