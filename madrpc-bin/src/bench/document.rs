//! The document of `--json`, and the comparison with an earlier one.

use super::args::BenchArgs;
use crate::exit::{Failure, Reason};
use hdrhistogram::Histogram;
use madrpc_shard::client::load::Report;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The document of `--json`. Keys are only ever added.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    #[serde(flatten)]
    pub(super) settings: Settings,
    /// The counted time.
    pub(super) elapsed_s: f64,
    /// Whether it was ended early.
    pub(super) stopped: bool,
    /// Calls that were due in the counted time and were sent.
    pub(super) sent: u64,
    /// Those of them that returned.
    pub(super) results: u64,
    /// Results that came within the counted time, in a second of it.
    pub(super) calls_per_s: f64,
    /// From when a call should have been sent; `null` where none returned. So are the next four.
    pub(super) latency_us: Option<Figures<u64>>,
    /// From when it was sent.
    pub(super) service_us: Option<Figures<u64>>,
    /// The part of the service time in a node's queue.
    pub(super) queue_us: Option<Figures<u64>>,
    /// The part on a node's core.
    pub(super) cpu_us: Option<Figures<u64>>,
    /// The rest of it.
    pub(super) network_us: Option<Figures<u64>>,
    /// Calls without a result, by the names of `ErrorKind`; those that occurred.
    pub(super) errors: BTreeMap<&'a str, u64>,
    /// Calls of an open loop that there was no time to send.
    pub(super) not_sent: u64,
    /// Calls whose replies were not waited for, after an early end.
    pub(super) cut_off: u64,
    /// The most calls in flight.
    pub(super) in_flight_max: usize,
    /// The longest time that a call was sent after it was due.
    pub(super) late_max_us: u64,
    /// Results by node and shard.
    pub(super) places: Vec<Place<'a>>,
    /// With --baseline: these figures divided by the earlier ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratios: Option<Ratios>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// The version of the document, by which it is known.
    madrpc_bench: u32,
    pub(super) function: String,
    /// `closed` or `open`.
    mode: String,
    /// Of a closed loop.
    concurrency: Option<usize>,
    /// Of an open loop, in calls in a second.
    rate: Option<f64>,
    connections: usize,
}

/// Percentiles; `T` is `u64` microseconds, or `f64` for ratios.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures<T> {
    pub(super) p50: T,
    pub(super) p90: T,
    pub(super) p99: T,
    pub(super) p999: T,
    pub(super) max: T,
}

#[derive(Serialize)]
pub(super) struct Place<'a> {
    pub(super) node: &'a str,
    pub(super) shard: u16,
    pub(super) calls: u64,
}

/// What is compared of an earlier document.
#[derive(Debug, Deserialize)]
pub(super) struct Baseline {
    #[serde(flatten)]
    pub(super) settings: Settings,
    pub(super) calls_per_s: f64,
    pub(super) latency_us: Option<Figures<u64>>,
    pub(super) service_us: Option<Figures<u64>>,
}

/// Figures divided by those of a baseline; `null` where either is missing or the earlier one is 0.
#[derive(Debug, Serialize)]
pub(super) struct Ratios {
    pub(super) calls_per_s: Option<f64>,
    pub(super) latency_us: Option<Figures<Option<f64>>>,
    pub(super) service_us: Option<Figures<Option<f64>>>,
}

impl Settings {
    pub(super) fn new(args: &BenchArgs) -> Self {
        Self {
            madrpc_bench: 1,
            function: args.function.clone(),
            mode: if args.rate.is_some() {
                "open"
            } else {
                "closed"
            }
            .to_owned(),
            concurrency: args.rate.is_none().then_some(args.concurrency),
            rate: args.rate,
            connections: args.connections,
        }
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        let pace = match (self.rate, self.concurrency) {
            (Some(rate), _) => format!("open loop of {rate} calls/s"),
            (None, concurrency) => {
                format!("closed loop, {} in flight", concurrency.unwrap_or_default())
            }
        };
        let plural = if self.connections == 1 { "" } else { "s" };
        format!("{pace}, {} session{plural}", self.connections)
    }
}

impl<T: Copy> Figures<T> {
    /// In the order of the columns.
    pub(super) fn all(&self) -> [T; 5] {
        [self.p50, self.p90, self.p99, self.p999, self.max]
    }

    /// By the name of its key.
    pub(super) fn named(&self, name: &str) -> Option<T> {
        let names = ["p50", "p90", "p99", "p999", "max"];
        let index = names.iter().position(|known| *known == name)?;
        self.all().get(index).copied()
    }
}

impl Figures<u64> {
    fn new(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        })
    }

    fn ratios(&self, earlier: &Self) -> Figures<Option<f64>> {
        Figures {
            p50: ratio(self.p50 as f64, earlier.p50 as f64),
            p90: ratio(self.p90 as f64, earlier.p90 as f64),
            p99: ratio(self.p99 as f64, earlier.p99 as f64),
            p999: ratio(self.p999 as f64, earlier.p999 as f64),
            max: ratio(self.max as f64, earlier.max as f64),
        }
    }
}

fn ratio(now: f64, earlier: f64) -> Option<f64> {
    (earlier > 0.0).then(|| now / earlier)
}

impl<'a> Document<'a> {
    pub(super) fn new(args: &BenchArgs, report: &'a Report, baseline: Option<&Baseline>) -> Self {
        let errors = report.errors.iter();
        let places = report.places.iter().map(|place| Place {
            node: &place.node,
            shard: place.shard,
            calls: place.calls,
        });
        let mut document = Self {
            settings: Settings::new(args),
            elapsed_s: report.elapsed.as_secs_f64(),
            stopped: report.stopped,
            sent: report.sent,
            results: report.results,
            calls_per_s: report.calls_per_s(),
            latency_us: Figures::new(&report.latency_us),
            service_us: Figures::new(&report.service_us),
            queue_us: Figures::new(&report.queue_us),
            cpu_us: Figures::new(&report.cpu_us),
            network_us: Figures::new(&report.network_us),
            errors: errors
                .map(|(kind, failures)| (kind.name(), failures.calls))
                .collect(),
            not_sent: report.not_sent,
            cut_off: report.cut_off,
            in_flight_max: report.in_flight_max,
            late_max_us: report.late_max.as_micros() as u64,
            places: places.collect(),
            ratios: None,
        };
        document.ratios = baseline.map(|baseline| document.against(baseline));
        document
    }

    fn against(&self, baseline: &Baseline) -> Ratios {
        let ratios = |now: &Option<Figures<u64>>, earlier: &Option<Figures<u64>>| {
            now.as_ref()
                .zip(earlier.as_ref())
                .map(|(now, earlier)| now.ratios(earlier))
        };
        Ratios {
            calls_per_s: ratio(self.calls_per_s, baseline.calls_per_s),
            latency_us: ratios(&self.latency_us, &baseline.latency_us),
            service_us: ratios(&self.service_us, &baseline.service_us),
        }
    }

    /// One line of JSON.
    ///
    /// # Errors
    /// None that is known: numbers and text are always JSON.
    pub(super) fn json(&self) -> Result<String, Failure> {
        serde_json::to_string(self)
            .map_err(|error| Failure::new(Reason::Other, format!("JSON: {error}")))
    }
}

impl Baseline {
    /// Reads what an earlier run printed with --json.
    ///
    /// # Errors
    /// Where the file cannot be read, or is nothing of the kind.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |why: String| {
            let path = path.display();
            Failure::new(Reason::Usage, format!("--baseline {path}: {why}"))
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| failed(format!("it cannot be read: {error}")))?;
        serde_json::from_str(&text).map_err(|error| {
            let hint = "give a file that `madrpc bench … --json` has written";
            failed(format!("it is no result of a bench: {error}; {hint}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_now_by_earlier_and_missing_without_either() {
        let figures = |p50| Figures {
            p50,
            p90: 20,
            p99: 30,
            p999: 40,
            max: 50,
        };
        let ratios = figures(30).ratios(&figures(20));
        assert_eq!((ratios.p50, ratios.max), (Some(1.5), Some(1.0)));
        assert_eq!(figures(30).ratios(&figures(0)).p50, None);
        assert_eq!(figures(7).named("p50"), Some(7));
        assert_eq!(figures(7).named("p999"), Some(40));
        assert_eq!(Figures::new(&Histogram::new(3).unwrap()), None);
    }
}
