//! Numbers from outside, which may be anything: NaN, negative, infinite, or larger than what they count.
//!
//! Every number of a script, a caller or a setting becomes a time or a size through here, or through `try_from` and the
//! checked and saturating operations of the standard library. That panics where it is given a time that is none or a point in
//! time that the clock has not; clippy.toml keeps the former out everywhere, and `clippy::arithmetic_side_effects` the
//! latter where such numbers come in.

use std::time::{Duration, Instant};

/// The longest time of a script: no call lives longer.
const LONGEST_MS: f64 = 24.0 * 60.0 * 60.0 * 1000.0;

/// A century, which no clock of a machine that runs is near to the end of.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// So many milliseconds: a day at most, and nothing where that is no number or a negative one.
#[must_use]
pub fn milliseconds(number: f64) -> Duration {
    // NaN stays what it is, and is cast to nothing.
    let micros = number.clamp(0.0, LONGEST_MS) * 1000.0;
    Duration::from_micros(micros as u64)
}

/// So many seconds, and the longest time there is where that is too many, or no number.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "it is the place for it")]
pub fn seconds(number: f64) -> Duration {
    match number < 0.0 {
        true => Duration::ZERO,
        false => Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX),
    }
}

/// So many things of `each` bytes; nothing where that is no number or a negative one, and the most there can be where it is more.
#[must_use]
pub fn bytes(number: f64, each: u32) -> usize {
    (number * f64::from(each)) as usize
}

/// So much later; a century from then where the clock has no such time.
#[must_use]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a century from now is there"
)]
pub fn later(at: Instant, by: Duration) -> Instant {
    at.checked_add(by).unwrap_or_else(|| at + FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_a_time() {
        let day = Duration::from_secs(24 * 60 * 60);
        let none = Duration::ZERO;
        for (number, time, in_seconds) in [
            (
                1.5,
                Duration::from_micros(1500),
                Duration::from_millis(1500),
            ),
            (0.0004, none, Duration::from_micros(400)),
            (-1.0, none, none),
            (f64::NAN, none, Duration::MAX),
            (f64::NEG_INFINITY, none, none),
            (f64::INFINITY, day, Duration::MAX),
            (f64::MAX, day, Duration::MAX),
            (1e25, day, Duration::MAX),
            (f64::MIN_POSITIVE, none, none),
        ] {
            assert_eq!(milliseconds(number), time, "{number} ms");
            assert_eq!(seconds(number), in_seconds, "{number} s");
        }
    }

    #[test]
    fn any_number_is_a_size() {
        for (number, size) in [
            (1.5, 1536),
            (-1.0, 0),
            (f64::NAN, 0),
            (f64::INFINITY, usize::MAX),
            (1e300, usize::MAX),
        ] {
            assert_eq!(bytes(number, 1024), size, "{number}");
        }
    }

    #[test]
    fn any_time_later_is_one() {
        let now = Instant::now();
        assert_eq!(
            later(now, Duration::from_secs(1)),
            now + Duration::from_secs(1)
        );
        assert_eq!(later(now, Duration::MAX), now + FAR);
    }
}
