//! The frames of the protocol, by the project's own encoder.

use madrpc_core::call::frame::{self, Header};
use madrpc_core::stats::Snapshot;
use madrpc_core::value::{Value, from_value};
use std::time::Duration;

/// What every server answers itself.
pub(crate) const STATISTICS: &str = "madrpc.stats";

/// What can be called there.
pub(crate) const FUNCTIONS: &str = "madrpc.functions";

/// The encoded form of a value.
pub(crate) fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    // It refuses only what is nested too deep or longer than the limit.
    let _ = value.encode(&mut out, usize::MAX);
    out
}

/// Bytes as an argument.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    encoded(&Value::Bytes(vec![0x5a; length]))
}

/// A number as an argument.
pub(crate) fn number(number: u64) -> Vec<u8> {
    encoded(&Value::Integer(number as i64))
}

/// Appends a call.
pub(crate) fn call(out: &mut Vec<u8>, id: u64, function: &str, body: &[u8], timeout: Duration) {
    let header = Header::Call {
        id,
        function,
        timeout_us: timeout.as_micros() as u64,
        depth: 0,
        account: None,
    };
    frame::write(out, &header, body);
}

/// Appends a cancel.
pub(crate) fn cancel(out: &mut Vec<u8>, id: u64) {
    frame::write(out, &Header::Cancel { id }, &[]);
}

/// The statistics in a reply's body.
pub(crate) fn snapshot(body: &[u8]) -> Option<Snapshot> {
    from_value(Value::decode(body).ok()?).ok()
}
