//! Slow peers.

use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::fleet::Fleet;
use crate::peer::hello::{Hello, SOURCE_ID};
use crate::peer::keys::Keys;
use crate::peer::packet::{Frames, InitialHeader};
use crate::peer::socket::{From, Sources};
use std::time::{Duration, Instant};

/// How late the server's first flight is acknowledged: it thinks the way that long, and gives a closed connection
/// three times as long to be forgotten (RFC 9000, section 10.2).
const DELAY: Duration = Duration::from_millis(1500);

/// When the time of a handshake is over, counted from its beginning, and a little more.
const OVER: Duration = Duration::from_millis(3500);

/// How long wake-ups are counted.
const LOOK: Duration = Duration::from_secs(4);

/// Wake-ups in a second that the attack may cost: an idle server has a few of its own.
const WAKEUPS_MAX: f64 = 100.0;

/// Each acknowledges late, then closes in the middle of its handshake.
pub(super) fn half_open_close(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let rate = |time: Duration| -> Result<Option<f64>, AbuseError> {
        let Some([target, _]) = field.watched else {
            std::thread::sleep(time);
            return Ok(None);
        };
        let (before, started) = (target.wakeups()?, Instant::now());
        std::thread::sleep(time);
        let woken = target.wakeups()? - before;
        Ok(Some(woken as f64 / started.elapsed().as_secs_f64()))
    };
    let idle = rate(Duration::from_secs(2))?;
    let hello = Hello::of(&mut Fleet::stranger()?)?;
    let sources = Sources::new(From::Many)?;
    let mut random = fastrand::Rng::with_seed(7);
    let begun = Instant::now();
    let mut ids = Vec::new();
    for number in 0..field.amount.count {
        let mut id = [0; 16];
        random.fill(&mut id);
        for datagram in hello.datagrams(&header(&id), 0)? {
            sources.send(&datagram, sources.address(number), field.target);
        }
        ids.push(id);
    }
    for (number, frames) in [
        (10, Frames::default().ack(0).clone()),
        (11, Frames::default().close(0, "").clone()),
    ] {
        std::thread::sleep(DELAY / 2 + DELAY / 4);
        for (source, id) in (0..).zip(&ids) {
            let packet = header(id).seal(&mut Keys::of_client(id)?, number, &frames)?;
            sources.send(&packet, sources.address(source), field.target);
        }
    }
    std::thread::sleep(OVER.saturating_sub(begun.elapsed()));
    let after = rate(LOOK)?;
    let outcome = Outcome::did(format!("{} handshakes closed late", ids.len()));
    Ok(match idle.zip(after) {
        Some((idle, after)) => outcome.check(
            after <= idle + WAKEUPS_MAX,
            format!("{after:.0} wake-ups a second afterwards, {idle:.0} before"),
        ),
        None => outcome,
    })
}

fn header(id: &[u8; 16]) -> InitialHeader<'_> {
    InitialHeader {
        destination: id,
        source: &SOURCE_ID,
        token: &[],
    }
}
