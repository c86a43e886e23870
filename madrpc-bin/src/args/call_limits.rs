//! The flags of `madrpc node` that bound what calls may use, and sizes as people write them.

use super::parse::{MILLISECOND, at_least, count};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use madrpc_core::limits::BODY_MAX_BYTES;
use madrpc_shard::engine::{LaneConfig, MEMORY_MIN_BYTES, Preemption};
use std::time::Duration;

/// What each call may use. A function can say otherwise when it is registered.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct CallLimitArgs {
    /// Heap that a call may add to its lane's, as 64M or 1G; per function: memoryMb
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = memory)]
    pub(crate) memory_limit: usize,

    /// Time on the core of a call, as 30s or 200ms; waiting costs nothing; per function: cpuMs
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = at_least(MILLISECOND))]
    pub(crate) cpu_limit: Duration,

    /// The largest arguments and the largest result, as 512K or 64M, which is the most
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = body)]
    pub(crate) body_limit: usize,

    /// Calls that wait for a lane of one shard; of those beyond, the last of the caller who has most is refused at once
    #[arg(long, value_name = "N", default_value = "16384", value_parser = count)]
    pub(crate) queue_limit: usize,

    /// The longest that a call may be expected to take where others are before it; one that would take longer is refused at once
    /// [default: three quarters of the time until its deadline, which holds in any case]
    #[arg(long, value_name = "TIME", value_parser = at_least(MILLISECOND))]
    pub(crate) wait_limit: Option<Duration>,

    /// Calls of one caller (a certificate) in a second on the whole node, and as many at once; those beyond are refused with a hint
    /// when to come back [default: no bound]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) caller_rate: Option<usize>,

    /// Give every call a fresh context; per function: isolate
    #[arg(long)]
    pub(crate) isolate: bool,

    /// Replace a lane after so many calls [default: only when it has been cut off, or its heap has grown by half of
    /// the memory limit]
    #[arg(long, value_name = "N", value_parser = calls)]
    pub(crate) recycle_after: Option<u64>,

    /// How calls lose the core that do not give it back: forced, in the middle of a built-in too; polling, only between the
    /// steps of JavaScript. A machine that does not allow the one has the other, and the start says so
    #[arg(long, value_name = "HOW", default_value = "forced", value_parser = preemption())]
    pub(crate) preempt: Preemption,
}

impl CallLimitArgs {
    /// What the lanes of the node are told.
    pub(crate) fn lane(&self) -> LaneConfig {
        LaneConfig {
            memory_bytes: self.memory_limit,
            cpu: self.cpu_limit,
            body_bytes: self.body_limit,
            isolate: self.isolate,
            recycle_after: self.recycle_after,
            preemption: self.preempt,
        }
    }
}

fn preemption() -> impl TypedValueParser<Value = Preemption> {
    PossibleValuesParser::new(Preemption::NAMES).try_map(|name| name.parse())
}

fn calls(text: &str) -> Result<u64, String> {
    count(text).map(|calls| calls as u64)
}

pub(super) fn memory(text: &str) -> Result<usize, String> {
    within(
        text,
        MEMORY_MIN_BYTES,
        "at least 1M is needed",
        usize::MAX,
        "",
    )
}

fn body(text: &str) -> Result<usize, String> {
    within(
        text,
        1,
        "more than 0 is needed",
        BODY_MAX_BYTES,
        "at most 64M",
    )
}

fn within(
    text: &str,
    least: usize,
    below: &str,
    most: usize,
    above: &str,
) -> Result<usize, String> {
    match size(text)? {
        bytes if bytes < least => Err(below.to_owned()),
        bytes if bytes > most => Err(above.to_owned()),
        bytes => Ok(bytes),
    }
}

/// A number of bytes; K, M and G are powers of 1024.
fn size(text: &str) -> Result<usize, String> {
    let (digits, factor) = match text.trim_end_matches(['K', 'M', 'G', 'k', 'm', 'g']) {
        digits if digits.len() + 1 < text.len() => (text, 1),
        digits => match text[digits.len()..].to_ascii_uppercase().as_str() {
            "K" => (digits, 1 << 10),
            "M" => (digits, 1 << 20),
            "G" => (digits, 1 << 30),
            _ => (digits, 1),
        },
    };
    let number: Option<usize> = digits.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(factor));
    bytes.ok_or_else(|| "expected a number of bytes, or one with K, M or G, as 64M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size("1000"), Ok(1000));
        assert_eq!(size("512K"), Ok(512 << 10));
        assert_eq!(size("64m"), Ok(64 << 20));
        assert_eq!(size("2G"), Ok(2 << 30));
        for text in [
            "",
            "M",
            "64MM",
            "64 M",
            "-1",
            "1.5G",
            "64MB",
            "99999999999999999999",
            "17179869184G",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(memory("1023K").is_err());
        assert!(memory("1M").is_ok());
        assert!(body("65M").is_err());
        assert!(body("0").is_err());
    }
}
