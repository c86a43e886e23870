//! What the values of flags have to look like, and the words for those that do not.

use madrpc_core::call::{NoTrace, Trace};
use madrpc_core::limits::{KEY_MAX_BYTES, TIMEOUT_MAX};
use madrpc_shard::traces::{NoReceiver, Receiver};
use std::time::Duration;

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) fn count(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| "expected a whole number from 1 on".to_owned())
}

/// A number of things that take memory each: more than `max` of them is a slip of the pen, and would end the process.
pub(super) fn count_to(max: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.parse() {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from 1 to {max}")),
    }
}

/// A share of a whole, as 50%.
pub(super) fn percent(text: &str) -> Result<u8, String> {
    let number = text
        .strip_suffix('%')
        .and_then(|number| number.parse().ok());
    let number = number.filter(|number| *number <= 100);
    number.ok_or_else(|| "expected a whole number of percent up to 100, as 50%".to_owned())
}

/// The key of a call.
pub(super) fn key(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("expected at least one byte".to_owned()),
        1..=KEY_MAX_BYTES => Ok(text.to_owned()),
        bytes => Err(format!(
            "it has {bytes} bytes, and none has more than {KEY_MAX_BYTES}"
        )),
    }
}

/// A span of time that deadlines can be made of.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let span =
        humantime::parse_duration(text).map_err(|error| format!("{error}; write 5s or 200ms"))?;
    if span > TIMEOUT_MAX {
        return Err(format!(
            "at most {}",
            humantime::format_duration(TIMEOUT_MAX)
        ));
    }
    Ok(span)
}

pub(super) fn receiver(text: &str) -> Result<Receiver, NoReceiver> {
    text.parse()
}

/// A share of all, from 0 to 1.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok();
    ratio
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| "expected a number from 0 to 1, as 0.01".to_owned())
}

pub(super) fn trace(text: &str) -> Result<Trace, NoTrace> {
    text.parse()
}

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if span.is_zero() {
        return Err("more than 0 is needed".to_owned());
    }
    Ok(span)
}

/// The same, of a time that would end or refuse everything if it were shorter than this.
pub(super) fn at_least(least: Duration) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| match span(text)? {
        span if span < least => Err(format!("at least {}", humantime::format_duration(least))),
        span => Ok(span),
    }
}

/// A percentile of latencies, in percent.
pub(super) fn percentile(text: &str) -> Result<u8, String> {
    let percent = text.strip_prefix('p').and_then(|text| text.parse().ok());
    percent
        .filter(|percent| (50..=99).contains(percent))
        .ok_or_else(|| "expected a percentile from p50 to p99, as p95".to_owned())
}

/// The form of an address; what its host means is found out later.
pub(super) fn address(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .and_then(|(host, port)| (!host.is_empty()).then_some(port));
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("expected HOST:PORT, as in 127.0.0.1:9001".to_owned()),
    }
}

/// Where HTTP is served: a port alone is one of this machine.
pub(super) fn http(text: &str) -> Result<String, String> {
    match text.parse::<u16>() {
        Ok(port) => Ok(format!("127.0.0.1:{port}")),
        Err(_) => address(text)
            .map_err(|_| "expected PORT or HOST:PORT, as in 9180 or 10.0.0.1:9180".to_owned()),
    }
}

pub(super) fn target(text: &str) -> Result<String, String> {
    let address = address(text)?;
    if address.ends_with(":0") {
        return Err("port 0 cannot be called".to_owned());
    }
    Ok(address)
}

/// One or several of them.
pub(super) fn targets(text: &str) -> Result<String, String> {
    for one in text.split(',') {
        target(one.trim()).map_err(|error| format!("{error} (several have commas in between)"))?;
    }
    Ok(text.to_owned())
}
