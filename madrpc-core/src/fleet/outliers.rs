//! Members that are far from the others: those that fail more of their calls, and those that are slower at the same work.
//!
//! Failures are Envoy's success-rate outliers: enough members with enough calls, and a rate that many standard deviations below
//! the mean. A fleet that fails as a whole has no outliers, so a bad script empties none. A slow member is told by the time on
//! the core that its calls take beside that of the same functions elsewhere, not by how long they waited: of members as fast as
//! each other one may well have the longer queue, and would have the others' load without it.

use std::time::Duration;

/// Why a member is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlier {
    /// It has failed one call after the other, by faults of its own.
    Failures,
    /// The call that was to show whether it works again has failed by a fault of its own.
    Probe,
    /// It fails or refuses far more of its calls than the others.
    Rate,
    /// It takes far longer than the others for the same.
    Slow,
}

impl Outlier {
    /// What it does, in words.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Failures => "fails one call after the other, by faults of its own",
            Self::Probe => "has failed the call that was to show whether it works again",
            Self::Rate => "fails or refuses far more of its calls than the others",
            Self::Slow => "takes far longer than the others for the same calls",
        }
    }
}

/// How often members are compared (Envoy: 10 s).
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Members without which no rate is far from the others', and the calls that each has had since the last sweep.
const RATES_MIN: usize = 5;
pub(super) const CALLS_MIN: u32 = 50;

/// Standard deviations below the mean (Envoy's `success_rate_stdev_factor`).
const DEVIATIONS: f32 = 1.9;

/// And at least so much below it: where hardly anything fails a single failure would be many deviations.
const MARGIN: f32 = 0.1;

/// Members without which it cannot be said which are slow, and calls of each that were looked at.
const PACES_MIN: usize = 3;
pub(super) const SAMPLES_MIN: u16 = 4;

/// How many times as slow as the one in the middle. Machines of a fleet differ by two or three.
pub(super) const SLOW: f32 = 8.0;

/// Those whose success rates, of 0 to 1, are far below those of the others.
pub(super) fn failing(rates: &[(usize, f32)]) -> Vec<usize> {
    if rates.len() < RATES_MIN {
        return Vec::new();
    }
    let count = rates.len() as f32;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f32>() / count;
    let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2));
    let deviation = (variance.sum::<f32>() / count).sqrt();
    let least = mean - (DEVIATIONS * deviation).max(MARGIN);
    let failing = rates.iter().filter(|(_, rate)| *rate < least);
    failing.map(|(member, _)| *member).collect()
}

/// Those that take far longer than the others for the same; `paces` are multiples of what it takes in the fleet.
pub(super) fn slow(mut paces: Vec<(usize, f32)>) -> Vec<usize> {
    if paces.len() < PACES_MIN {
        return Vec::new();
    }
    paces.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let (_, middle) = paces[(paces.len() - 1) / 2];
    let slow = paces.iter().rev();
    let slow = slow.take_while(|(_, pace)| *pace > middle * SLOW);
    slow.map(|(member, _)| *member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(rates: &[f32]) -> Vec<(usize, f32)> {
        rates.iter().copied().enumerate().collect()
    }

    #[test]
    fn one_that_fails_more_than_the_others_is_found_and_a_fleet_that_fails_is_not() {
        assert_eq!(failing(&rates(&[1.0, 0.5, 1.0, 1.0, 1.0])), [1]);
        assert_eq!(failing(&rates(&[1.0, 0.5, 1.0, 1.0])), [] as [usize; 0]);
        assert_eq!(failing(&rates(&[0.0; 10])), [] as [usize; 0]);
        // Hardly anything.
        assert_eq!(
            failing(&rates(&[1.0, 0.99, 1.0, 1.0, 1.0])),
            [] as [usize; 0]
        );
        // Half of them: which are the odd ones?
        assert_eq!(
            failing(&rates(&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0])),
            [] as [usize; 0]
        );
    }

    #[test]
    fn one_that_is_much_slower_is_found_where_there_are_others_to_compare() {
        assert_eq!(slow(rates(&[0.3, 9.0, 0.4])), [1]);
        assert_eq!(slow(rates(&[0.3, 9.0])), [] as [usize; 0]);
        assert_eq!(slow(rates(&[1.0, 2.0, 1.0, 2.0])), [] as [usize; 0]);
        assert_eq!(slow(rates(&[9.0, 9.0, 0.3])), [] as [usize; 0]);
    }
}
