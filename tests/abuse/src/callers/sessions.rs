//! Sessions: many, abandoned, and closed with words.

use super::lanes::nothing;
use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::{Held, Peer};
use crate::peer::pace::Pace;
use crate::strangers::FORGERY;
use std::time::{Duration, Instant};

/// The application's code for a peer that does not keep to the protocol.
const PROTOCOL: u64 = 2;

/// Opens as many as it can, and holds them until the time is over.
pub(super) fn held(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut config = field.fleet.caller()?;
    let mut held = Vec::new();
    let (mut refused, mut words) = (0, String::new());
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, until);
    while pace.next().is_some() {
        match Peer::connect(field.target, &mut config) {
            Ok(mut peer) => match peer.ask(1, "echo", &nothing(), Duration::from_secs(2))? {
                Some(_) => held.push(peer.hold()),
                None => (refused, words) = (refused + 1, peer.said()),
            },
            Err(AbuseError::NotMade(why)) => (refused, words) = (refused + 1, why),
            Err(error) => return Err(error),
        }
    }
    std::thread::sleep(Duration::from_secs(2).min(until.saturating_duration_since(Instant::now())));
    let count = held.len();
    held.into_iter().for_each(Held::close);
    let refused = match refused {
        0 => "none refused".to_owned(),
        _ => format!("{refused} refused: {words}"),
    };
    Ok(Outcome::did(format!("{count} sessions held, {refused}")))
}

/// Leaves each without a word, so that only silence tells the server.
pub(super) fn abandoned(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut config = field.fleet.caller()?;
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, field.until());
    let mut opened = 0;
    while pace.next().is_some() {
        opened += u64::from(Peer::connect(field.target, &mut config).is_ok());
    }
    Ok(Outcome::did(format!("{opened} sessions left")))
}

pub(super) fn churned(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut config = field.fleet.caller()?;
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, field.until());
    let mut answered = 0;
    while pace.next().is_some() {
        if let Ok(mut peer) = Peer::connect(field.target, &mut config) {
            let came = peer.ask(1, "echo", &nothing(), Duration::from_secs(2))?;
            answered += u64::from(came.is_some());
            peer.close();
        }
    }
    Ok(Outcome::did(format!("{answered} sessions of one call")))
}

/// The server quotes the peer's reason in its log.
pub(super) fn closed_with_reason(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut config = field.fleet.caller()?;
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, field.until());
    while pace.next().is_some() {
        let mut peer = Peer::connect(field.target, &mut config)?;
        peer.ask(1, "echo", &nothing(), Duration::from_secs(2))?;
        // It fails only where the connection is closed already.
        let _ = peer.quic.close(true, PROTOCOL, FORGERY.as_bytes());
        peer.flush();
    }
    Ok(Outcome::did(format!("{} sessions", pace.done())))
}
