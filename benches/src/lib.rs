//! The bench harness: what the reports of `systems` and `soak` have in common.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Date, processor, cores and kernel in one line: where the figures of a report are from.
#[must_use]
pub fn machine() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let date = now
        .ok()
        .and_then(|since| madrpc_core::value::iso_8601(since.as_millis() as f64));
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}; {model}, {cores} cores; Linux {}",
        date.unwrap_or_default(),
        kernel.trim()
    )
}

/// A figure with its thousands apart, and with decimals where they tell something: `1,234`, `56`, `7.89`.
#[must_use]
pub fn number(value: f64) -> String {
    if value < 100.0 && value.fract() != 0.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
