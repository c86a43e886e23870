//! Latencies, counted by how long they were.

use hdrhistogram::Histogram;

/// The longest latency that is told apart: ten minutes, in microseconds. Longer ones count as this.
const LATENCY_MAX_US: u64 = 600_000_000;

/// Calls counted in one histogram at the most: hdrhistogram adds up its counts without looking for an overflow.
const CALLS_MAX: u64 = 1 << 62;

/// A histogram of latencies in microseconds, each known to a sixteenth: what is told is never less than what was
/// counted, and at most 6.25 % more. Below 32 µs it is exact.
///
/// It grows with the longest latency: 0.9 KiB up to a millisecond, 2.2 KiB up to a second, and never more than 3.4 KiB.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(up_to(2))
    }
}

/// An empty histogram, to one significant digit.
fn up_to(microseconds: u64) -> Histogram<u64> {
    let bounds = Histogram::new_with_bounds(1, microseconds.clamp(2, LATENCY_MAX_US), 1);
    bounds.unwrap_or_else(|_| unreachable!("hdrhistogram accepts every bound from 2 on"))
}

impl Latency {
    /// Counts one call.
    pub fn record(&mut self, microseconds: u64) {
        self.record_all(microseconds, 1);
    }

    fn record_all(&mut self, microseconds: u64, calls: u64) {
        let microseconds = microseconds.clamp(1, LATENCY_MAX_US);
        self.reach(microseconds);
        let calls = calls.min(CALLS_MAX.saturating_sub(self.0.len()));
        self.0.saturating_record_n(microseconds, calls);
    }

    /// Widens the range so that it has a place for this latency.
    fn reach(&mut self, microseconds: u64) {
        if microseconds <= self.0.high() {
            return;
        }
        // Histograms that widen themselves keep room for twice of what they need.
        let mut wider = up_to((microseconds + 1).next_power_of_two() - 1);
        // It fails only where the other has the wider range.
        let _ = wider.add(&self.0);
        self.0 = wider;
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        self.reach(other.0.high());
        // It fails only where the other has the wider range.
        let _ = self.0.add(&other.0);
    }

    /// The latency in microseconds that the given share of calls (0 to 1) stays within; 0 without calls.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// The longest latency in microseconds; 0 without calls.
    #[must_use]
    pub fn max_us(&self) -> u64 {
        self.0.max()
    }

    /// What its counts take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.distinct_values() * size_of::<u64>()
    }

    /// Calls counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The histogram as pairs of microseconds and calls.
    #[must_use]
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let recorded = self.0.iter_recorded();
        recorded
            .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
            .collect()
    }

    /// Counts calls by pairs of microseconds and calls.
    pub fn add_buckets(&mut self, buckets: &[(u64, u64)]) {
        for &(microseconds, calls) in buckets {
            self.record_all(microseconds, calls);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_known_to_a_sixteenth() {
        let mut shown = 1;
        for microseconds in
            (0..27).flat_map(|bit| [1_u64 << bit, (1 << bit) * 5 / 3, (2 << bit) - 1])
        {
            let mut latency = Latency::default();
            latency.record(microseconds);
            shown = latency.quantile_us(0.5);
            assert!(
                shown >= microseconds && shown * 16 <= microseconds * 17,
                "{microseconds} us read as {shown} us"
            );
            assert!(microseconds >= 32 || shown == microseconds);
        }
        assert!(shown > 100_000_000);
    }

    #[test]
    fn a_histogram_is_as_large_as_its_longest_latency_asks_for() {
        let bytes = |longest: u64| {
            let mut latency = Latency::default();
            (0..=longest.ilog2()).for_each(|bit| latency.record(1 << bit));
            latency.record(longest);
            latency.bytes()
        };
        assert_eq!(bytes(1), 256);
        assert_eq!(bytes(1_000), 896);
        assert_eq!(bytes(1_000_000), 2176);
        assert_eq!(bytes(u64::MAX), 3456);
    }

    #[test]
    fn sums_of_narrow_and_wide_ones_count_the_same() {
        let (mut short, mut long) = (Latency::default(), Latency::default());
        [3, 3, 900].iter().for_each(|&us| short.record(us));
        [900, 5_000_000].iter().for_each(|&us| long.record(us));
        let mut sums = [short.clone(), long.clone(), Latency::default()];
        sums[0].merge(&long);
        sums[1].merge(&short);
        sums[2].add_buckets(&long.buckets());
        sums[2].add_buckets(&short.buckets());
        for sum in sums {
            let counts: Vec<u64> = sum.buckets().iter().map(|&(_, calls)| calls).collect();
            assert_eq!(counts, [2, 2, 1]);
            assert_eq!((sum.count(), sum.quantile_us(0.4)), (5, 3));
        }
    }

    #[test]
    fn counts_that_a_peer_made_up_do_no_harm() {
        let mut latency = Latency::default();
        latency.add_buckets(&[(0, u64::MAX), (u64::MAX, u64::MAX), (7, u64::MAX), (7, 0)]);
        for share in [-1.0, 0.0, 0.5, 0.999, 1.0, 2.0, f64::NAN] {
            assert!(latency.quantile_us(share) <= 2 * LATENCY_MAX_US, "{share}");
        }
        assert_eq!((latency.count(), latency.buckets().len()), (CALLS_MAX, 1));
    }
}
