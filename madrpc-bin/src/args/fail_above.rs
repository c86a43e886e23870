//! `--fail-above`: bounds that a script sets.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A figure and what it may be at most.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bound {
    /// A corrected latency, by its name in the document.
    Latency(&'static str, Duration),
    /// Calls without a result.
    Errors(u64),
    /// Their share of the calls that ended, in percent.
    ErrorShare(f64),
}

const LATENCIES: [&str; 5] = ["p50", "p90", "p99", "p999", "max"];

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write it as p99=5ms or errors=0";
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("no `=`; {example}"))?;
        if name == "errors" {
            let share = value.strip_suffix('%').map(str::parse::<f64>);
            return match share {
                Some(Ok(share)) if (0.0..=100.0).contains(&share) => Ok(Self::ErrorShare(share)),
                None if value.parse::<u64>().is_ok() => {
                    Ok(Self::Errors(value.parse().unwrap_or_default()))
                }
                _ => Err(format!("`{value}` is no count and no share; {example}")),
            };
        }
        let known = LATENCIES.into_iter().find(|known| *known == name);
        let known = known.ok_or_else(|| {
            let names = LATENCIES.join(", ");
            format!("`{name}` is not one of {names} and errors; {example}")
        })?;
        let limit = humantime::parse_duration(value)
            .map_err(|error| format!("`{value}`: {error}; {example}"))?;
        Ok(Self::Latency(known, limit))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency(name, limit) => {
                write!(f, "{name}={}", humantime::format_duration(*limit))
            }
            Self::Errors(limit) => write!(f, "errors={limit}"),
            Self::ErrorShare(limit) => write!(f, "errors={limit}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_and_written_alike() {
        for text in ["p99=5ms", "max=1s", "p999=300us", "errors=0", "errors=0.1%"] {
            assert_eq!(text.parse::<Bound>().unwrap().to_string(), text);
        }
        for text in [
            "p99",
            "p98=5ms",
            "p99=5",
            "p99=",
            "errors=-1",
            "errors=x%",
            "errors=NaN%",
            "errors=inf%",
            "errors=100.1%",
            "errors=1ms",
        ] {
            let error = text.parse::<Bound>().unwrap_err();
            assert!(error.contains("p99=5ms"), "{text}: {error}");
        }
    }
}
