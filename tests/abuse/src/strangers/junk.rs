//! Datagrams that belong to no session and begin none.

use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::{Came, Peer};
use crate::peer::pace::Pace;
use crate::peer::packet::INITIAL_BYTES;
use crate::peer::socket::{DATAGRAM_BYTES, From, Sources};

use std::time::Duration;

/// Of a packet that is long enough to be answered by a reset.
const SHORT_BYTES: usize = 60;

fn send(
    field: &Field<'_>,
    mut write: impl FnMut(&mut Vec<u8>, &mut fastrand::Rng),
) -> Result<Outcome, AbuseError> {
    let sources = Sources::new(From::One)?;
    let from = sources.address(0);
    let mut random = fastrand::Rng::with_seed(7);
    let mut datagram = Vec::new();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, field.until());
    let mut answers = 0u64;
    while let Some(number) = pace.next() {
        datagram.clear();
        write(&mut datagram, &mut random);
        sources.send(&datagram, from, field.target);
        if number.is_multiple_of(64) {
            while sources.receive(&mut buffer)?.is_some() {
                answers += 1;
            }
        }
    }
    let sent = pace.done();
    Ok(Outcome::did(format!("{sent} datagrams, {answers} answers")))
}

pub(super) fn any(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    send(field, |datagram, random| {
        datagram.resize(random.usize(1..=1400), 0);
        random.fill(datagram);
    })
}

pub(super) fn short_header(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    send(field, |datagram, random| {
        datagram.resize(SHORT_BYTES, 0);
        random.fill(datagram);
        // The fixed bit set, and the one of long headers not (RFC 9000, section 17.3).
        datagram[0] = datagram[0] & 0x3f | 0x40;
    })
}

/// The caller whose session it is goes on meanwhile.
pub(super) fn known_session(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut victim = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let id = victim.quic.destination_id().to_vec();
    let sources = Sources::new(From::Many)?;
    let mut random = fastrand::Rng::with_seed(7);
    let mut datagram = vec![0; SHORT_BYTES];
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, field.until());
    let (mut asked, mut answered) = (0u64, 0u64);
    while let Some(number) = pace.next() {
        random.fill(&mut datagram);
        datagram[0] = datagram[0] & 0x3f | 0x40;
        datagram[1..][..id.len()].copy_from_slice(&id);
        sources.send(&datagram, sources.address(number), field.target);
        if number.is_multiple_of(5_000) {
            asked += 1;
            let came = victim.ask(number, "echo", &[0], Duration::from_secs(2))?;
            answered += u64::from(matches!(came, Some(Came::Reply(_))));
        }
    }
    victim.close();
    Ok(Outcome::did(format!("{} packets", pace.done())).check(
        asked == answered,
        format!("the caller got {answered} of {asked} results"),
    ))
}

pub(super) fn version(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    send(field, |datagram, random| {
        datagram.resize(INITIAL_BYTES, 0);
        random.fill(&mut datagram[5..80]);
        // A version that is reserved so that nobody has it (RFC 9000, section 15), and IDs of 16 bytes.
        datagram[..6].copy_from_slice(&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 16]);
        datagram[22] = 16;
    })
}
