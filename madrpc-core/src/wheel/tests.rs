//! The wheel against a model that does everything the slow way, and the cases that a model would not come upon.

use super::*;
use std::collections::BTreeMap;

/// Few under Miri, which takes a thousand times as long.
const ROUNDS: u64 = if cfg!(miri) { 400 } else { 20_000 };

/// Timers of one millisecond, an even number.
const CROWD: u64 = if cfg!(miri) { 1000 } else { 100_000 };

/// What a wheel has to do, in the order of time and of setting.
#[derive(Default)]
struct Model {
    /// The values by their millisecond, and then by when they were set.
    timers: BTreeMap<(u64, u64), u64>,
    keys: Vec<(TimerKey, (u64, u64))>,
    turned: u64,
}

impl Model {
    fn due(&self) -> Option<u64> {
        self.timers.keys().next().map(|&(at, _)| at)
    }
}

/// Every ring has two slots in use or more, and holds what belongs there; all timers and rings are found once.
fn check(wheel: &Wheel<u64>) {
    /// What is held lies in the `width` milliseconds from `start`.
    fn visit(wheel: &Wheel<u64>, held: Held, start: u64, width: u64, seen: &mut [usize; 2]) {
        let within = start..start + width;
        match held {
            Held::Nothing => panic!("a slot in use is empty"),
            Held::Timers(last) => {
                let (mut index, mut serial) = (wheel.timers[last as usize].next, 0);
                loop {
                    let timer = &wheel.timers[index as usize];
                    assert!(within.contains(&timer.at));
                    assert_eq!(timer.at, wheel.timers[last as usize].at);
                    assert!(timer.serial > serial);
                    assert_eq!(wheel.timers[timer.next as usize].previous, index);
                    serial = timer.serial;
                    seen[0] += 1;
                    if index == last {
                        break;
                    }
                    index = timer.next;
                }
            }
            Held::Ring(index) => {
                let ring = &wheel.rings[index as usize];
                let slot_width = 1 << ring.shift;
                assert!(within.contains(&ring.near) && slot_width < width);
                assert!(ring.used.count_ones() >= 2);
                seen[1] += 1;
                let start = ring.near & !((slot_width << SLOT_BITS) - 1);
                for (slot, &held) in (0..).zip(&ring.slots) {
                    match ring.used >> slot & 1 {
                        0 => assert_eq!(held, Held::Nothing),
                        _ => visit(wheel, held, start + slot * slot_width, slot_width, seen),
                    }
                }
            }
        }
    }
    let mut seen = [0, 0];
    if wheel.top != Held::Nothing {
        visit(wheel, wheel.top, 0, LATEST_MS + 1, &mut seen);
    }
    assert_eq!(seen, [wheel.timers.len(), wheel.rings.len()]);
    assert!(wheel.rings.is_empty() || wheel.rings.len() < wheel.timers.len());
}

/// Sets, removes and turns at random; `span_us` says how far the timers are apart, `step_us` the turns.
fn against_the_model(seed: u64, span_us: u64, step_us: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let start = Instant::now();
    let mut now_us = 0;
    let mut wheel = Wheel::new(start);
    let mut model = Model::default();
    let at = |us: u64| start + Duration::from_micros(us);
    for number in 0..ROUNDS {
        match random.u32(..10) {
            // Most lie ahead, some in the past, and often many in the same millisecond.
            0..5 => {
                let ahead = match random.u32(..4) {
                    0 => span_us,
                    _ => random.u64(..=span_us),
                };
                let due = (now_us + ahead).saturating_sub(step_us / 2);
                let key = wheel.insert(at(due), number);
                let place = (due.div_ceil(1000).max(model.turned + 1), number);
                model.timers.insert(place, number);
                model.keys.push((key, place));
            }
            // Keys of timers that have fired or been removed stay in the list: those must do nothing.
            5..9 if !model.keys.is_empty() => {
                let (key, place) = model.keys[random.usize(..model.keys.len())];
                assert_eq!(wheel.remove(key), model.timers.remove(&place));
            }
            _ => {
                now_us += random.u64(..=step_us);
                let now_ms = now_us / 1000;
                model.turned = now_ms;
                while let Some(value) = wheel.expire(at(now_us)) {
                    let (due, expected) = model.timers.pop_first().unwrap();
                    assert_eq!(value, expected);
                    assert!(due.0 <= now_ms, "{} ms fired at {now_ms} ms", due.0);
                }
                assert!(model.due().is_none_or(|due| due > now_ms));
            }
        }
        let due = model.due().map(|ms| start + Duration::from_millis(ms));
        assert_eq!(wheel.next(), due);
        assert_eq!(wheel.len(), model.timers.len());
        if number % 512 == 0 {
            check(&wheel);
        }
    }
    check(&wheel);
}

const SECOND_US: u64 = 1_000_000;
const DAY_US: u64 = 24 * 60 * 60 * SECOND_US;

#[test]
fn it_does_what_the_model_does_with_timers_side_by_side() {
    against_the_model(1, 3_000, 500);
    against_the_model(2, 40_000, 2_000);
}

#[test]
fn it_does_what_the_model_does_with_deadlines_of_calls() {
    against_the_model(3, 30 * SECOND_US, 5_000);
    against_the_model(4, 30 * SECOND_US, 20 * SECOND_US);
}

#[test]
fn it_does_what_the_model_does_with_timers_of_days_and_years() {
    against_the_model(5, DAY_US, 60 * SECOND_US);
    against_the_model(6, 2 * DAY_US, DAY_US);
    against_the_model(7, 10_000 * DAY_US, 300 * DAY_US);
}

/// How far the wheel is turned, millisecond by millisecond.
const LAST_MS: u64 = if cfg!(miri) { 2000 } else { 70_000 };

#[test]
fn timers_fire_in_their_millisecond_and_never_early() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    let delays_us = [
        0,
        1,
        999,
        1000,
        1001,
        5000,
        1_023_000,
        1_024_000,
        1_025_000,
        LAST_MS * 1000,
    ];
    for delay in delays_us {
        wheel.insert(start + Duration::from_micros(delay), delay);
    }
    let mut seen = Vec::new();
    for millisecond in 0..=LAST_MS {
        let now = start + Duration::from_millis(millisecond);
        while let Some(delay) = wheel.expire(now) {
            assert!(
                delay <= millisecond * 1000,
                "{delay} us fired at {millisecond} ms"
            );
            assert!(
                delay + 2000 > millisecond * 1000,
                "{delay} us fired at {millisecond} ms"
            );
            seen.push(delay);
        }
    }
    assert_eq!(seen, delays_us);
    assert!(wheel.is_empty());
}

#[test]
fn who_turns_the_wheel_when_it_says_never_finds_nothing_due() {
    let start = Instant::now();
    for delay_ms in [1, 63, 64, 1024, 5000, 30_000, 3_600_000, DAY_US / 1000] {
        let mut wheel = Wheel::new(start);
        let at = start + Duration::from_millis(delay_ms);
        wheel.insert(at + Duration::from_secs(70), 0);
        wheel.insert(at, delay_ms);
        assert_eq!(wheel.expire(start), None);
        assert_eq!(wheel.next(), Some(at), "{delay_ms} ms");
        assert_eq!(wheel.expire(at), Some(delay_ms));
        assert_eq!(wheel.expire(at), None);
    }
}

#[test]
fn the_key_of_a_timer_that_has_gone_never_removes_another() {
    let start = Instant::now();
    let at = start + Duration::from_millis(5);
    let mut wheel = Wheel::new(start);
    let removed = wheel.insert(at, 'a');
    assert_eq!(wheel.remove(removed), Some('a'));
    let fired = wheel.insert(at, 'b');
    assert_eq!((wheel.remove(removed), wheel.expire(at)), (None, Some('b')));
    let kept = wheel.insert(at, 'c');
    assert_eq!((wheel.remove(removed), wheel.remove(fired)), (None, None));
    assert_eq!(wheel.remove(kept), Some('c'));
}

#[test]
fn who_sets_a_timer_whenever_one_fires_does_not_go_round_for_ever() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    wheel.insert(start, 0);
    let now = start + Duration::from_secs(1);
    for turn in 0..3 {
        let now = now + Duration::from_millis(turn);
        assert_eq!(wheel.expire(now), Some(turn));
        wheel.insert(start, turn + 1);
        assert_eq!(
            wheel.expire(now),
            None,
            "it fires in the turn it was set in"
        );
        assert_eq!(wheel.next(), Some(now + Duration::from_millis(1)));
    }
}

#[test]
fn a_hundred_thousand_timers_of_one_millisecond_come_as_they_were_set() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    let at = start + Duration::from_secs(3600);
    let keys: Vec<_> = (0..CROWD).map(|value| wheel.insert(at, value)).collect();
    // Another structure may hand them down before they are due; here that must change nothing.
    for seconds in 0..3600 {
        assert_eq!(wheel.expire(start + Duration::from_secs(seconds)), None);
    }
    for key in keys.iter().step_by(2) {
        wheel.remove(*key);
    }
    let fired: Vec<u64> = std::iter::from_fn(|| wheel.expire(at)).collect();
    assert!(fired.into_iter().eq((1..CROWD).step_by(2)));
    assert_eq!((wheel.next(), wheel.rings.len()), (None, 0));
}

#[test]
fn a_wheel_that_was_not_turned_for_long_catches_up() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    for delay in [100_000, 900, 3, 2000] {
        wheel.insert(start + Duration::from_millis(delay), delay);
    }
    let now = start + Duration::from_secs(50);
    let fired: Vec<u64> = std::iter::from_fn(|| wheel.expire(now)).collect();
    assert_eq!(fired, [3, 900, 2000]);
    assert_eq!(wheel.len(), 1);
    assert_eq!(
        wheel.expire(start + Duration::from_secs(1 << 40)),
        Some(100_000)
    );
}

#[test]
fn times_that_no_clock_reaches_are_kept_apart_from_the_others() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    let far = start + Duration::from_secs(u64::MAX >> 2);
    let key = wheel.insert(far, 1);
    wheel.insert(far, 2);
    wheel.insert(start, 3);
    let years = start + Duration::from_secs(1000 * 365 * 24 * 60 * 60);
    assert_eq!((wheel.expire(years), wheel.expire(years)), (Some(3), None));
    check(&wheel);
    assert_eq!(wheel.remove(key), Some(1));
    assert_eq!((wheel.expire(far), wheel.expire(far)), (Some(2), None));
    // The range is at its end: what is set now is due at once, and still fires.
    wheel.insert(far, 4);
    assert_eq!(wheel.expire(far), Some(4));
}
