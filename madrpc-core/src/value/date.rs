//! Dates as text, in the form of JavaScript's `toISOString`.

/// The largest distance from 1970 that a JavaScript `Date` holds: 100 million days, in milliseconds.
const MAX_MS: f64 = 8.64e15;

/// `ms` since 1970-01-01 UTC as `2026-11-22T18:31:00.000Z`; years outside 0 to 9999 have a sign and six digits.
///
/// `None` for an invalid date: NaN, or beyond what JavaScript's `Date` holds. Parts of a millisecond are cut off.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
pub fn iso_8601(ms: f64) -> Option<String> {
    if ms.is_nan() || ms.abs() > MAX_MS {
        return None;
    }
    let ms = ms as i64;
    let (year, month, day) = civil(ms.div_euclid(86_400_000));
    let in_day = ms.rem_euclid(86_400_000);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    let year = if (0..=9999).contains(&year) {
        format!("{year:04}")
    } else {
        format!("{year:+07}")
    };
    Some(format!(
        "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
    ))
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar carried on to all times.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, so that the leap day is the last of its year, in eras of 400 years that are all alike.
    const ERA: i64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    // A leap day every 4 years (1,461 days), none every 100 (36,524), but one at the end of the era.
    let year = (day - day / 1460 + day / 36_524 - day / (ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on, five months always have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let january_on = i64::from(month >= 10);
    (
        400 * era + year + january_on,
        month + 3 - 12 * january_on,
        day,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_as_javascript_writes_them() {
        for (ms, text) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (-1.0, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000.0, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999.9, "2000-02-29T23:59:59.999Z"),
            (1_795_372_260_123.0, "2026-11-22T18:31:00.123Z"),
            (-62_167_219_200_000.0, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001.0, "-000001-12-31T23:59:59.999Z"),
            (253_402_300_800_000.0, "+010000-01-01T00:00:00.000Z"),
            (8.64e15, "+275760-09-13T00:00:00.000Z"),
            (-8.64e15, "-271821-04-20T00:00:00.000Z"),
        ] {
            assert_eq!(iso_8601(ms).as_deref(), Some(text));
        }
        for ms in [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            8.64e15 + 1.0,
            -8.64e15 - 1.0,
        ] {
            assert_eq!(iso_8601(ms), None, "{ms}");
        }
    }

    /// Two eras; less under Miri, which takes a thousand times as long.
    const DAYS: i64 = if cfg!(miri) { 1000 } else { 2 * 146_097 };

    #[test]
    fn every_day_of_an_era_follows_the_one_before() {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..DAYS {
            assert_eq!(civil(days), (year, month, day));
            let length = match month {
                2 => 28 + i64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
