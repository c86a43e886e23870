//! Kernels: what a caller can have compiled and run, who calls functions that make them.

use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::{Came, Peer};
use crate::peer::wire;
use madrpc_core::call::ErrorKind;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Calls under way at the same time.
const UNDER_WAY: usize = 64;

/// The deadline of calls that may be endless.
const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(60);

/// Within what a cancelled call has to end, and how long it is waited for a node to count all that have.
const ANSWERED: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);

/// What has become of calls.
#[derive(Default)]
struct Ended {
    results: u64,
    faults: u64,
    past_deadline: u64,
    /// Those whose cancel was answered in time, and later.
    cancelled: u64,
    late: u64,
    others: u64,
}

impl Ended {
    fn count(&mut self, came: &Came, cancelled_at: Option<Instant>) {
        let count = match came {
            Came::Reply(_) => &mut self.results,
            Came::Failure(ErrorKind::Internal) => &mut self.faults,
            Came::Failure(ErrorKind::DeadlineExceeded) => &mut self.past_deadline,
            Came::Failure(ErrorKind::Cancelled) => {
                match cancelled_at.is_some_and(|at| at.elapsed() <= ANSWERED) {
                    true => &mut self.cancelled,
                    false => &mut self.late,
                }
            }
            Came::Failure(_) => &mut self.others,
        };
        *count += 1;
    }

    fn all(&self) -> u64 {
        let Self {
            results,
            faults,
            past_deadline,
            cancelled,
            late,
            others,
        } = self;
        results + faults + past_deadline + cancelled + late + others
    }
}

/// Calls of this function with a number that is new for each, always as many under way; `cancels` says whether each is cancelled, one
/// when the next is made, and in the end all.
fn keep(
    field: &Field<'_>,
    function: &str,
    timeout: Duration,
    cancels: bool,
) -> Result<(Outcome, Ended), AbuseError> {
    let until = field.until();
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let mut ended = Ended::default();
    let mut made = 0;
    // Those under way, and when they were cancelled.
    let mut under_way = HashMap::new();
    let read = |peer: &mut Peer, ended: &mut Ended, under_way: &mut HashMap<u64, _>| {
        for (id, came) in peer.read() {
            ended.count(&came, under_way.remove(&id).flatten());
        }
    };
    while ended.all() < field.amount.count && Instant::now() < until && !peer.is_over() {
        while made < field.amount.count && under_way.len() < UNDER_WAY {
            peer.call(made, function, &wire::number(made), timeout);
            under_way.insert(made, None);
            made += 1;
        }
        let next = under_way
            .iter_mut()
            .find(|(_, cancelled)| cancelled.is_none());
        if cancels && let Some((id, cancelled)) = next {
            peer.cancel(*id);
            *cancelled = Some(Instant::now());
        }
        peer.turn(Duration::from_millis(2))?;
        read(&mut peer, &mut ended, &mut under_way);
    }
    if cancels {
        for (id, cancelled) in &mut under_way {
            if cancelled.is_none() {
                peer.cancel(*id);
                *cancelled = Some(Instant::now());
            }
        }
        peer.turn_until(ANSWERED, |peer| {
            read(peer, &mut ended, &mut under_way);
            under_way.is_empty()
        })?;
        ended.late += under_way.len() as u64;
    }
    peer.close();
    let faults = ended.faults;
    let outcome = Outcome::did(format!(
        "{made} calls, {} of them with a result",
        ended.results
    ));
    let outcome = outcome.check(
        faults == 0,
        format!("{faults} calls ended by a fault of the node"),
    );
    Ok((outcome, ended))
}

/// None of these has a result, nor ends by anything but its deadline.
fn until_deadline(field: &Field<'_>, function: &str) -> Result<Outcome, AbuseError> {
    let (outcome, ended) = keep(field, function, SHORT, false)?;
    let (past, all) = (ended.past_deadline, ended.all());
    Ok(outcome.check(
        all > 0 && past + ended.others == all,
        format!("{past} of {all} calls ended at their deadline"),
    ))
}

pub(super) fn endless(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    until_deadline(field, "kernelEndless")
}

pub(super) fn huge(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    until_deadline(field, "kernelHuge")
}

pub(super) fn recursive(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    Ok(keep(field, "kernelRecursive", LONG, false)?.0)
}

pub(super) fn made(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    Ok(keep(field, "kernelMade", LONG, false)?.0)
}

pub(super) fn large(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    Ok(keep(field, "kernelLarge", LONG, false)?.0)
}

/// In the queue, while the compiler works, and while it runs.
pub(super) fn cancelled(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    const FUNCTION: &str = "kernelMadeEndless";
    let mut observer = Peer::connect(field.node(), &mut field.fleet.caller()?)?;
    let before = observer.ended_calls(FUNCTION)?;
    let (outcome, ended) = keep(field, FUNCTION, LONG, true)?;
    let (cancelled, all) = (ended.cancelled, ended.all());
    let begun = Instant::now();
    let mut left = all;
    while left > 0 && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
        left = (before + all).saturating_sub(observer.ended_calls(FUNCTION)?);
    }
    observer.close();
    Ok(outcome
        .check(
            all > 0 && cancelled * 100 >= all * 95,
            format!(
                "{cancelled} of {all} calls ended as cancelled within {} s",
                ANSWERED.as_secs()
            ),
        )
        .check(
            left == 0,
            format!(
                "{left} are left {:.1} s after",
                begun.elapsed().as_secs_f64()
            ),
        ))
}
