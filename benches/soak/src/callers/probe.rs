//! The well-behaved caller: a tiny call when it is due, a hundred times a second, through the orchestrator.

use super::CallerArguments;
use crate::Outcome;
use crate::clock::Clock;
use crate::record::{Outcomes, ProbeSecond, Word};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const CALLS_PER_S: u32 = 100;

/// What the thread asks to sleep that tells how late threads wake here.
const NAP: Duration = Duration::from_millis(5);

pub(super) fn run(arguments: &CallerArguments) -> Outcome<()> {
    let client = arguments.client(arguments.addresses.orchestrator)?;
    let clock = arguments.clock();
    let wakes = wakes();
    let mut second = clock.elapsed().as_secs();
    let mut told = ProbeSecond::default();
    let first = clock.elapsed();
    for number in 0_u32.. {
        let due = clock.at(first + Duration::from_secs(1) * number / CALLS_PER_S);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let wanted = (number, format!("probe {number}"));
        let outcome = Outcomes::expect(client.call_blocking("echo", &wanted), &wanted);
        if outcome.right > 0 {
            told.latencies_us.push(us(due.elapsed()));
        }
        told.outcomes.add(&outcome);
        second = tell_second(&clock, second, &mut told, &wakes)?;
    }
    Ok(())
}

/// Tells what was seen once a second is over: the second that goes on.
fn tell_second(
    clock: &Clock,
    second: u64,
    told: &mut ProbeSecond,
    wakes: &Receiver<u32>,
) -> Outcome<u64> {
    let now = clock.elapsed().as_secs();
    if now > second {
        told.wakes_us.extend(wakes.try_iter());
        Word::Probe(std::mem::take(told)).say()?;
    }
    Ok(now)
}

/// How late a thread wakes, from now on.
fn wakes() -> Receiver<u32> {
    let (sender, wakes) = channel();
    std::thread::spawn(move || {
        loop {
            let due = Instant::now() + NAP;
            std::thread::sleep(NAP);
            if sender.send(us(due.elapsed())).is_err() {
                return;
            }
        }
    });
    wakes
}

fn us(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
