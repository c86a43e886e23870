//! Numbers from scripts, which may be anything: NaN, negative, infinite, or larger than what they count.
//!
//! Every number of a script that becomes a time comes through here: the standard library panics where it is given one that
//! is none (clippy.toml keeps its functions out). Those that become a size are cast, which saturates, and checked by who
//! takes them.

use std::time::Duration;

/// The longest time: no call lives longer.
const LONGEST_MS: f64 = 24.0 * 60.0 * 60.0 * 1000.0;

/// So many milliseconds: a day at most, and nothing where that is no number or a negative one.
pub(super) fn milliseconds(number: f64) -> Duration {
    // NaN stays what it is, and is cast to nothing.
    let micros = number.clamp(0.0, LONGEST_MS) * 1000.0;
    Duration::from_micros(micros as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_a_time() {
        let day = Duration::from_secs(24 * 60 * 60);
        let none = Duration::ZERO;
        for (number, time) in [
            (1.5, Duration::from_micros(1500)),
            (0.0004, none),
            (-1.0, none),
            (f64::NAN, none),
            (f64::NEG_INFINITY, none),
            (f64::INFINITY, day),
            (f64::MAX, day),
            (1e25, day),
            (f64::MIN_POSITIVE, none),
        ] {
            assert_eq!(milliseconds(number), time, "{number}");
        }
    }
}
