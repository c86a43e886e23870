//! Figures as people read them: to three digits, with a unit.

use indicatif::HumanCount;

/// Microseconds, to three digits.
pub(crate) fn latency(us: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let us = us as f64;
    match us {
        ..999.5 => format!("{us:.0} µs"),
        ..9_995.0 => format!("{:.2} ms", us / 1e3),
        ..99_950.0 => format!("{:.1} ms", us / 1e3),
        ..999_500.0 => format!("{:.0} ms", us / 1e3),
        ..9_995_000.0 => format!("{:.2} s", us / 1e6),
        ..99_950_000.0 => format!("{:.1} s", us / 1e6),
        _ => format!("{:.0} s", us / 1e6),
    }
}

/// Something for each second, to three digits at least.
pub(crate) fn each_second(count: f64) -> String {
    if !(0.0..99.95).contains(&count) {
        return HumanCount(count.round() as u64).to_string();
    }
    // Of 0.0123, four: a zero before the first digit takes a place too.
    let decimals = 2.0 - count.max(1e-9).log10().floor();
    let text = format!("{count:.0$}", decimals as usize);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() { "0" } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_has_three_digits_and_a_unit() {
        for (us, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.00 ms"),
            (9_999, "10.0 ms"),
            (123_456, "123 ms"),
            (999_900, "1.00 s"),
            (600_000_000, "600 s"),
        ] {
            assert_eq!(latency(us), text);
        }
    }

    #[test]
    fn a_rate_has_three_digits_however_low_it_is() {
        for (count, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (0.012_34, "0.0123"),
            (0.000_011_6, "0.0000116"),
            (7.456_7, "7.46"),
            (10.0, "10"),
            (99.9, "99.9"),
            (99.99, "100"),
            (1_234.5, "1,235"),
            (f64::INFINITY, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(each_second(count), text);
        }
    }
}
