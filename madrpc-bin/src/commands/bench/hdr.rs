//! `--hdr`: latencies in HdrHistogram's percentile format.
//!
//! It is the table that HdrHistogram's `outputPercentileDistribution` and wrk2 print, and HdrHistogram's plotter reads:
//! value in milliseconds, percentile, calls up to it, 1/(1-percentile).

use hdrhistogram::Histogram;
use std::io::{self, Write};

/// Lines for each halving of the distance to 100 %; what HdrHistogram takes where nothing is said.
const LINES_PER_HALVING: u32 = 5;

const US_PER_MS: f64 = 1000.0;

pub(super) fn write(out: &mut impl Write, histogram: &Histogram<u64>) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut total = 0;
    for step in histogram.iter_quantiles(LINES_PER_HALVING) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / US_PER_MS;
        let quantile = step.quantile_iterated_to();
        write!(out, "{value:12.3} {quantile:14.12} {total:10}")?;
        match quantile < 1.0 {
            true => writeln!(out, " {:14.2}", 1.0 / (1.0 - quantile))?,
            false => writeln!(out)?,
        }
    }
    let (mean, deviation) = (histogram.mean(), histogram.stdev());
    writeln!(
        out,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
        mean / US_PER_MS,
        deviation / US_PER_MS
    )?;
    writeln!(
        out,
        "#[Max     = {:12.3}, Total count    = {:12}]",
        histogram.max() as f64 / US_PER_MS,
        histogram.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_form_that_plotters_read() {
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record_n(1_000, 99).unwrap();
        histogram.record(8_000).unwrap();
        let mut text = Vec::new();
        write(&mut text, &histogram).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "       Value     Percentile TotalCount 1/(1-Percentile)"
        );
        assert_eq!(
            lines[2],
            "       1.000 0.000000000000         99           1.00"
        );
        assert_eq!(
            lines[lines.len() - 3],
            "       8.003 1.000000000000        100"
        );
        assert!(lines[lines.len() - 1].ends_with("Total count    =          100]"));
    }
}
