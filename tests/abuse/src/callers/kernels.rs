//! Kernels: what a caller can have compiled and run, who calls functions that make them.

use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::{Came, Peer};
use crate::peer::wire;
use madrpc_core::call::ErrorKind;
use std::time::{Duration, Instant};

/// Calls under way at the same time.
const UNDER_WAY: u64 = 64;

/// The deadline of calls that may be endless.
const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(60);

/// Calls of this function with a number that is new for each, always as many under way; `cancels` says whether each is cancelled when
/// the next is made.
fn keep(
    field: &Field<'_>,
    function: &str,
    timeout: Duration,
    cancels: bool,
) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let (mut made, mut results, mut ended, mut faults) = (0, 0_u64, 0, 0_u64);
    while ended < field.amount.count && Instant::now() < until && !peer.is_over() {
        while made < field.amount.count && made < ended + UNDER_WAY {
            peer.call(made, function, &wire::number(made), timeout);
            made += 1;
        }
        if cancels && ended < made {
            peer.cancel(fastrand::u64(ended..made));
        }
        peer.turn(Duration::from_millis(2))?;
        for (_, came) in peer.read() {
            ended += 1;
            match came {
                Came::Reply(_) => results += 1,
                Came::Failure(ErrorKind::Internal) => faults += 1,
                Came::Failure(_) => {}
            }
        }
    }
    peer.close();
    Ok(
        Outcome::did(format!("{made} calls, {results} of them with a result")).check(
            faults == 0,
            format!("{faults} calls ended by a fault of the node"),
        ),
    )
}

pub(super) fn endless(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    keep(field, "kernelEndless", SHORT, false)
}

pub(super) fn recursive(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    keep(field, "kernelRecursive", LONG, false)
}

pub(super) fn made(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    keep(field, "kernelMade", LONG, false)
}

pub(super) fn large(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    keep(field, "kernelLarge", LONG, false)
}

/// In the queue, while the compiler works, and while it runs.
pub(super) fn cancelled(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    keep(field, "kernelMadeEndless", LONG, true)
}
