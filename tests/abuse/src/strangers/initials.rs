//! Initial packets in good order, with frames that nobody sends.

use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::hello::SOURCE_ID;
use crate::peer::keys::Keys;
use crate::peer::pace::Pace;
use crate::peer::packet::{Frames, InitialHeader};
use crate::peer::socket::{From, Sources};
use std::net::Ipv4Addr;

const CONNECTIONS: usize = 20;
const FRAMES_PER_PACKET: u64 = 150;

/// What a server keeps of handshake data that came out of order.
const CRYPTO_BYTES: u64 = 65_000;

/// QUIC's "the server takes no new connection": a peer that closes with it is quoted.
const CONNECTION_REFUSED: u64 = 0x02;

/// A line of a log, with what makes a terminal show something else than is there.
pub(crate) const FORGERY: &str = "gone\n2026-01-01T00:00:00.000000Z ERROR madrpc: all data is lost\r\n\
                                  \u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}txet desrever\u{2066}\u{0}\u{85}";

fn random_id(random: &mut fastrand::Rng) -> [u8; 16] {
    let mut id = [0; 16];
    random.fill(&mut id);
    id
}

/// On each connection, bytes of the handshake with gaps in between, none of which can be used or thrown away.
pub(super) fn crypto_scattered(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let sources = Sources::new(From::One)?;
    let mut random = fastrand::Rng::with_seed(7);
    let ids: Vec<[u8; 16]> = (0..CONNECTIONS).map(|_| random_id(&mut random)).collect();
    let mut keys = Vec::new();
    for id in &ids {
        keys.push(Keys::of_client(id)?);
    }
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, field.until());
    while let Some(number) = pace.next() {
        let connection = number as usize % CONNECTIONS;
        let round = number / CONNECTIONS as u64;
        let mut frames = Frames::default();
        for frame in 0..FRAMES_PER_PACKET {
            let offset = (round * FRAMES_PER_PACKET + frame) * 2 % CRYPTO_BYTES + 1;
            frames.crypto(offset, &[0x5a]);
        }
        let header = InitialHeader {
            destination: &ids[connection],
            source: &SOURCE_ID,
            token: &[],
        };
        let packet = header.seal(&mut keys[connection], round as u32, &frames)?;
        sources.send(&packet, Ipv4Addr::LOCALHOST, field.target);
    }
    let sent = pace.done();
    Ok(Outcome::did(format!(
        "{sent} Initials of {FRAMES_PER_PACKET} CRYPTO frames on {CONNECTIONS} connections"
    )))
}

/// A beginning that says goodbye in the next frame, with a reason that wants to be read.
pub(super) fn close_reason(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let sources = Sources::new(From::Many)?;
    let mut random = fastrand::Rng::with_seed(7);
    let mut frames = Frames::default();
    frames.ping().close(CONNECTION_REFUSED, FORGERY);
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, field.until());
    while let Some(number) = pace.next() {
        let destination = random_id(&mut random);
        let header = InitialHeader {
            destination: &destination,
            source: &SOURCE_ID,
            token: &[],
        };
        let packet = header.seal(&mut Keys::of_client(&destination)?, 0, &frames)?;
        sources.send(&packet, sources.address(number), field.target);
    }
    Ok(Outcome::did(format!(
        "{} connections closed with a reason",
        pace.done()
    )))
}

/// Tokens of chance, of the length of a true one and longer: each has to be looked at.
pub(super) fn forged_token(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let sources = Sources::new(From::Many)?;
    let mut random = fastrand::Rng::with_seed(7);
    let mut frames = Frames::default();
    frames.crypto(0, &[0; 500]);
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, field.until());
    while let Some(number) = pace.next() {
        let destination = random_id(&mut random);
        let mut token = vec![0; if number % 2 == 0 { 56 } else { 500 }];
        random.fill(&mut token);
        let header = InitialHeader {
            destination: &destination,
            source: &SOURCE_ID,
            token: &token,
        };
        let packet = header.seal(&mut Keys::of_client(&destination)?, 0, &frames)?;
        sources.send(&packet, sources.address(number), field.target);
    }
    Ok(Outcome::did(format!("{} forged tokens", pace.done())))
}
