//! Handshakes that are gone through with, by somebody who will not be let in.

use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::fleet::Fleet;
use crate::peer::client::Peer;
use crate::peer::pace::Pace;
use std::time::Duration;

/// How long the server's word is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

fn refused(field: &Field<'_>, mut config: quiche::Config) -> Result<Outcome, AbuseError> {
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, field.until());
    let (mut refused, mut let_in) = (0, 0);
    while pace.next().is_some() {
        let mut peer = Peer::begin(field.target, &mut config)?;
        peer.turn_until(PATIENCE, |peer| peer.is_over())?;
        refused += u64::from(peer.is_over());
        // A client's handshake is over before the server has judged it: only frames of the server say that it is in.
        let_in += u64::from(!peer.read().is_empty() || peer.quic.readable().next().is_some());
    }
    let tried = pace.done();
    Ok(
        Outcome::did(format!("{tried} handshakes, {refused} refused in words"))
            .check(let_in == 0, format!("{let_in} let in")),
    )
}

pub(super) fn no_certificate(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    refused(field, Fleet::stranger()?)
}

pub(super) fn other_authority(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    refused(field, Fleet::stranger_of_another_authority()?)
}

pub(super) fn other_protocol(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    refused(field, Fleet::stranger_of_another_protocol()?)
}
