//! The options of functions, as `madrpc functions` and `madrpc check` tell them.

use madrpc_core::call::catalog::FunctionOptions;
use serde::Serialize;
use std::time::Duration;

/// Options under the names that scripts give them; `null`: the node's own limit holds.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Options {
    idempotent: bool,
    isolate: bool,
    timeout_ms: Option<f64>,
    cpu_ms: Option<f64>,
    memory_mb: Option<f64>,
    stack_kb: Option<f64>,
    body_kb: Option<f64>,
    queue: Option<u64>,
    max_concurrent: Option<u64>,
    rate: Option<u64>,
    burst: Option<u64>,
}

impl From<&FunctionOptions> for Options {
    fn from(options: &FunctionOptions) -> Self {
        let part = |whole: Option<u64>, unit: u64| whole.map(|whole| whole as f64 / unit as f64);
        Self {
            idempotent: options.idempotent,
            isolate: options.isolate,
            timeout_ms: part(options.timeout_us, 1000),
            cpu_ms: part(options.cpu_us, 1000),
            memory_mb: part(options.memory_bytes, 1 << 20),
            stack_kb: part(options.stack_bytes, 1 << 10),
            body_kb: part(options.body_bytes, 1 << 10),
            queue: options.queue_max,
            max_concurrent: options.max_concurrent,
            rate: options.rate,
            burst: options.burst,
        }
    }
}

/// What was said at the registration, in words.
pub(super) fn describe(options: &FunctionOptions) -> String {
    let time = |us: u64| humantime::format_duration(Duration::from_micros(us)).to_string();
    let words = [
        options.idempotent.then(|| "idempotent".to_owned()),
        options.isolate.then(|| "isolated".to_owned()),
        options.timeout_us.map(|us| format!("timeout {}", time(us))),
        options.cpu_us.map(|us| format!("CPU {}", time(us))),
        options
            .memory_bytes
            .map(|bytes| format!("memory {} MiB", bytes as f64 / f64::from(1 << 20))),
        options
            .stack_bytes
            .map(|bytes| format!("stack {} KiB", bytes >> 10)),
        options
            .body_bytes
            .map(|bytes| format!("bodies {} KiB", bytes >> 10)),
        options.queue_max.map(|calls| format!("queue {calls}")),
        options
            .max_concurrent
            .map(|calls| format!("at most {calls} at once")),
        options.rate.map(|calls| format!("{calls} a second")),
        options.burst.map(|calls| format!("bursts of {calls}")),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    match words.is_empty() {
        true => "-".to_owned(),
        false => words.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> FunctionOptions {
        FunctionOptions {
            idempotent: true,
            timeout_us: Some(1_500_000),
            memory_bytes: Some(1 << 19),
            ..FunctionOptions::default()
        }
    }

    #[test]
    fn options_are_told_in_words_and_as_scripts_name_them() {
        assert_eq!(
            describe(&options()),
            "idempotent, timeout 1s 500ms, memory 0.5 MiB"
        );
        assert_eq!(describe(&FunctionOptions::default()), "-");
        let json = serde_json::to_value(Options::from(&options())).unwrap();
        let expected = serde_json::json!({
            "idempotent": true, "isolate": false, "timeoutMs": 1500.0, "cpuMs": null, "memoryMb": 0.5,
            "stackKb": null, "bodyKb": null, "queue": null, "maxConcurrent": null, "rate": null, "burst": null,
        });
        assert_eq!(json, expected);
    }
}
