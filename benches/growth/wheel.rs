//! The timing wheel, with the deadlines of many calls in it.

use super::{Case, Gauge};
use madrpc_core::numbers;
use madrpc_core::wheel::{TimerKey, Wheel};
use std::time::{Duration, Instant};

pub(crate) const CASES: [Case; 9] = [
    Case::new("wheel: set a timer among n", insert),
    Case::new("wheel: set one more of the same time, n before", again),
    Case::new("wheel: remove a timer among n", remove),
    Case::new("wheel: turn, n timers due in 15 to 30 s", turn),
    Case::new("wheel: fire one of n, deadlines of 30 s", fire),
    Case::new("wheel: fire one of n, one millisecond", fire_together),
    Case::new("wheel: fire one of n, not turned for a day", catch_up),
    Case::new("wheel: turn, n timers just before 4,096 ms", cascade),
    Case::new("wheel: when to turn next, n a day away", next),
];

const MEASUREMENTS: u64 = 32;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `size` timers, evenly from `from` to `to` after `start`.
fn wheel(
    start: Instant,
    size: usize,
    from: Duration,
    to: Duration,
) -> (Wheel<usize>, Vec<TimerKey>) {
    let mut wheel = Wheel::new(start);
    let step = numbers::seconds((to - from).as_secs_f64() / size as f64);
    let at = |number: usize| start + from + numbers::seconds(step.as_secs_f64() * number as f64);
    let keys = (0..size)
        .map(|number| wheel.insert(at(number), number))
        .collect();
    (wheel, keys)
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn insert(size: usize, gauge: &mut Gauge) {
    let start = Instant::now();
    let (mut wheel, _) = wheel(start, size, Duration::ZERO, seconds(30));
    for number in 0..MEASUREMENTS {
        let at = start + Duration::from_millis(number * 937);
        gauge.measure(|| wheel.insert(at, 0));
    }
}

fn again(size: usize, gauge: &mut Gauge) {
    let start = Instant::now();
    let (mut wheel, _) = wheel(start, size, Duration::ZERO, seconds(30));
    let at = start + seconds(30);
    for _ in 0..MEASUREMENTS {
        gauge.measure(|| wheel.insert(at, 0));
    }
}

fn remove(size: usize, gauge: &mut Gauge) {
    let (mut wheel, keys) = wheel(Instant::now(), size, Duration::ZERO, seconds(30));
    for number in 0..MEASUREMENTS as usize {
        let key = keys[number * 7919 % keys.len()];
        gauge.measure(|| wheel.remove(key));
    }
}

/// Nothing is due.
fn turn(size: usize, gauge: &mut Gauge) {
    let start = Instant::now();
    let (mut wheel, _) = wheel(start, size, seconds(15), seconds(30));
    for millisecond in 1..=MEASUREMENTS {
        let now = start + Duration::from_millis(millisecond);
        gauge.measure(|| wheel.expire(now));
    }
}

/// Calls that nobody answers: each millisecond some are set for 30 s later, and those of 30 s ago are due.
fn fire(size: usize, gauge: &mut Gauge) {
    let start = Instant::now();
    let (mut wheel, _) = wheel(start, size, Duration::ZERO, seconds(30));
    let step = numbers::seconds(30.0 / size as f64);
    let mut now = start;
    for _ in 0..MEASUREMENTS {
        now += step.max(Duration::from_millis(1));
        wheel.insert(now + seconds(30), 0);
        gauge.measure(|| wheel.expire(now));
        while wheel.expire(now).is_some() {}
    }
}

fn fire_together(size: usize, gauge: &mut Gauge) {
    let start = Instant::now();
    let at = start + seconds(3600);
    let mut wheel = Wheel::new(start);
    for number in 0..size {
        wheel.insert(at, number);
    }
    for _ in 0..MEASUREMENTS {
        gauge.measure(|| wheel.expire(at));
    }
}

fn catch_up(size: usize, gauge: &mut Gauge) {
    let start = Instant::now();
    let (mut wheel, _) = wheel(start, size, Duration::ZERO, DAY);
    for _ in 0..MEASUREMENTS {
        gauge.measure(|| wheel.expire(start + DAY));
    }
}

/// Where a wheel hands timers from wide slots down to narrow ones, it does so here.
fn cascade(size: usize, gauge: &mut Gauge) {
    let start = Instant::now();
    let (from, to) = (Duration::from_millis(4096), Duration::from_millis(4159));
    let (mut wheel, _) = wheel(start, size, from, to);
    for millisecond in 4096 - MEASUREMENTS / 2..4096 + MEASUREMENTS / 2 {
        let now = start + Duration::from_millis(millisecond);
        gauge.measure(|| wheel.expire(now));
    }
}

fn next(size: usize, gauge: &mut Gauge) {
    let start = Instant::now();
    let (mut wheel, _) = wheel(start, size, DAY - seconds(60), DAY);
    for _ in 0..MEASUREMENTS {
        wheel.expire(start);
        gauge.measure(|| wheel.next());
    }
}
