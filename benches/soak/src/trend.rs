//! How a series goes, whatever single values of it do.

/// The middle value; 0 where there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that a share of the values do not exceed; 0 where there is none.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1) as f64;
    let at = last * share;
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    match (sorted.get(below), sorted.get(above)) {
        (Some(below), Some(above)) => below + (above - below) * at.fract(),
        _ => 0.0,
    }
}

/// A line through a series of values at equal distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trend {
    /// The line at the first value.
    pub(crate) from: f64,
    /// The line at the last value.
    pub(crate) to: f64,
    /// What [`Trend::rise`] may be off by chance: one standard error.
    pub(crate) error: f64,
}

impl Trend {
    /// The line of Theil and Sen, the median of the slopes between all pairs: up to 29 % of the values may be anything.
    pub(crate) fn of(values: &[f64]) -> Self {
        let count = values.len();
        let slopes: Vec<_> = (0..count)
            .flat_map(|i| (i + 1..count).map(move |j| (i, j)))
            .map(|(i, j)| (values[j] - values[i]) / (j - i) as f64)
            .collect();
        let slope = median(&slopes);
        let offsets: Vec<_> = (0..count).map(|i| values[i] - slope * i as f64).collect();
        let from = median(&offsets);
        let distances: Vec<_> = offsets.iter().map(|offset| (offset - from).abs()).collect();
        // 1.4826: the standard deviation of normal noise by its median distance, which the line has made too small by
        // two of the points. 12: a slope by so many points is known to σ·√(12/n³), and the rise is n of it.
        let freedom = count as f64 / count.saturating_sub(2).max(1) as f64;
        let noise = 1.4826 * freedom * median(&distances);
        Self {
            from,
            to: from + slope * count.saturating_sub(1) as f64,
            error: noise * (12.0 / count.max(1) as f64).sqrt(),
        }
    }

    pub(crate) fn rise(&self) -> f64 {
        self.to - self.from
    }
}

/// The medians of the first and the last tenth of a series, of three values at least.
pub(crate) fn ends(values: &[f64]) -> (f64, f64) {
    let tenth = (values.len() / 10).max(3).min(values.len());
    (
        median(&values[..tenth]),
        median(&values[values.len() - tenth..]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_among_values_that_are_off() {
        let mut values: Vec<_> = (0..20).map(|i| 100.0 + f64::from(i)).collect();
        for at in [3, 9, 15, 19] {
            values[at] = 1e6;
        }
        let trend = Trend::of(&values);
        assert!((trend.from - 100.0).abs() < 1.0, "{trend:?}");
        assert!((trend.rise() - 19.0).abs() < 2.0, "{trend:?}");
    }

    #[test]
    fn noise_without_a_trend_is_no_rise() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..100 {
            let values: Vec<_> = (0..30).map(|_| 50.0 + random.f64()).collect();
            let trend = Trend::of(&values);
            assert!(trend.rise().abs() < 4.0 * trend.error, "{trend:?}");
        }
    }

    #[test]
    fn quantiles_lie_between_values() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0], 0.25), 1.25);
        assert_eq!(quantile(&[], 0.5), 0.0);
        assert_eq!(ends(&[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]), (2.0, 20.0));
        assert_eq!(ends(&[5.0]), (5.0, 5.0));
    }
}
