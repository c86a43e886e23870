//! Families of metrics, written one after the other.

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt::Error;

/// The upper bounds of the buckets of durations, in seconds: from what a tiny call takes to what a long one may.
const BOUNDS: [f64; 20] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

const US_PER_SECOND: f64 = 1e6;

/// The labels of one line.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// What can be written as a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Whole(u64),
    /// Microseconds, which are written as seconds.
    Us(u64),
}

/// Durations in microseconds, by how long they were.
pub(super) struct Durations<'a> {
    /// Pairs of microseconds and how many took so long.
    pub(super) buckets: &'a [(u64, u64)],
    pub(super) sum_us: u64,
}

/// Writes families, each with its lines at once.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

impl Families<'_> {
    /// What only grows.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        lines: &[(Labels<'_>, Number)],
    ) -> Result<(), Error> {
        self.family(
            name,
            help,
            MetricType::Counter,
            lines,
            |number, encoder| match number {
                Number::Whole(whole) => ConstCounter::new(whole).encode(encoder),
                Number::Us(us) => ConstCounter::new(seconds(us)).encode(encoder),
            },
        )
    }

    /// What goes up and down.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        lines: &[(Labels<'_>, Number)],
    ) -> Result<(), Error> {
        self.family(
            name,
            help,
            MetricType::Gauge,
            lines,
            |number, encoder| match number {
                Number::Whole(whole) => ConstGauge::new(whole).encode(encoder),
                Number::Us(us) => ConstGauge::new(seconds(us)).encode(encoder),
            },
        )
    }

    /// One number without labels that goes up and down.
    pub(super) fn level(&mut self, name: &str, help: &str, number: u64) -> Result<(), Error> {
        self.gauge(name, help, &[(&[], Number::Whole(number))])
    }

    /// One without labels that only grows.
    pub(super) fn total(&mut self, name: &str, help: &str, number: u64) -> Result<(), Error> {
        self.counter(name, help, &[(&[], Number::Whole(number))])
    }

    /// Durations in seconds; the name is without the unit.
    pub(super) fn durations(
        &mut self,
        name: &str,
        help: &str,
        lines: &[(Labels<'_>, Durations<'_>)],
    ) -> Result<(), Error> {
        if lines.is_empty() {
            return Ok(());
        }
        let Self(encoder) = self;
        let unit = Some(&Unit::Seconds);
        // The encoder adds the unit to the name of a line, and expects it there in that of the family.
        let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for (labels, durations) in lines {
            let buckets = buckets(durations.buckets);
            let count = durations.buckets.iter().map(|(_, count)| *count);
            let count = count.fold(0, u64::saturating_add);
            let sum = seconds(durations.sum_us);
            if labels.is_empty() {
                return family.encode_histogram::<NoLabelSet>(sum, count, &buckets, None);
            }
            let labels = escaped(labels);
            let mut line = family.encode_family(&labels)?;
            line.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    /// What does not change, in labels.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: Labels<'_>) -> Result<(), Error> {
        let Self(encoder) = self;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Info)?;
        family.encode_info(&escaped(labels))
    }

    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        lines: &[(Labels<'_>, Number)],
        write: impl Fn(Number, MetricEncoder<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if lines.is_empty() {
            return Ok(());
        }
        let Self(encoder) = self;
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, number) in lines {
            match labels.is_empty() {
                true => return write(*number, family),
                false => write(*number, family.encode_family(&escaped(labels))?)?,
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a double is what there is")]
fn seconds(us: u64) -> f64 {
    us as f64 / US_PER_SECOND
}

/// Counts between the bounds; what is above the last comes behind it.
///
/// A latency is known to a sixteenth, so that near a bound it may be counted one too high.
fn buckets(durations: &[(u64, u64)]) -> Vec<(f64, u64)> {
    let mut buckets: Vec<(f64, u64)> = BOUNDS.iter().map(|bound| (*bound, 0)).collect();
    // How the encoder knows the last one.
    buckets.push((f64::MAX, 0));
    for (us, count) in durations {
        let duration = seconds(*us);
        let place = buckets.partition_point(|(bound, _)| *bound < duration);
        if let Some((_, sum)) = buckets.get_mut(place) {
            *sum = sum.saturating_add(*count);
        }
    }
    buckets
}

/// Labels as they stand between quotes, which the encoder leaves to others: names of functions are a script's.
pub(super) fn escaped(labels: Labels<'_>) -> Vec<(&'static str, String)> {
    let labels = labels.iter();
    labels
        .map(|(key, value)| {
            let value = value
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', r"\n");
            (*key, value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_below_their_bounds() {
        let counted = buckets(&[
            (1, 5),
            (10, 1),
            (11, 2),
            (1_000_000, 3),
            (30_000_001, 4),
            (u64::MAX, u64::MAX),
        ]);
        let count = |bound: f64| {
            counted
                .iter()
                .find(|(one, _)| *one == bound)
                .map(|(_, count)| *count)
        };
        assert_eq!(count(0.000_01), Some(6));
        assert_eq!(count(0.000_025), Some(2));
        assert_eq!(count(1.0), Some(3));
        assert_eq!(count(f64::MAX), Some(u64::MAX));
        assert_eq!(counted.len(), BOUNDS.len() + 1);
        assert!(BOUNDS.is_sorted());
    }
}
