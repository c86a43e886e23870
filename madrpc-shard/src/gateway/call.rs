//! `POST /call/FUNCTION`: the body is the argument as JSON, the answer's the result; or what it yields, see `events`.
//!
//! A call goes the way of any client's: by a session of the process' client thread to the server's own address, over loopback. So a
//! node runs it and an orchestrator passes it on as it does all others, with the same bounds, deadlines, retries and drain, and
//! HTTP needs to know nothing of shards. That is a hop more, some 0.05 ms, which nobody notices beside HTTP and JSON; a way of its own into the
//! shards would be a second kind of caller in each of them.
//!
//! In a trace it has the span of any client's call, below the span that `traceparent` says. The HTTP request has none of its own: it
//! would say the same again, with a fraction of a millisecond of JSON around it, and a batch still needs one for each call.

use super::accept::takes_events;
use super::access::Caller;
use super::failure::{failure, written as answer_of};
use super::room::Held;
use super::routes::{Served, no_name};
use super::sending::Kept;
use super::{Stage, events};
use crate::client::{self, Reply, decode_result, encode_args};
use crate::net::dial::check_name;
use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use madrpc_core::call::control::RESERVED_PREFIX;
use madrpc_core::call::{Bill, CallError, ErrorKind, Trace};
use madrpc_core::limits::{DEFAULT_TIMEOUT, TIMEOUT_MAX};
use madrpc_core::value::Value;
use madrpc_core::value::json::{from_json, to_json};
use std::sync::Arc;
use std::time::Duration;

/// The time until the deadline, as `5s`, `200ms`, `500us`, `2m` or `1h`. Default: 30 s.
const TIMEOUT: &str = "madrpc-timeout";

/// Calls of the same key go to the same node, where the orchestrator balances by keys.
const KEY: &str = "madrpc-key";

/// The trace that calls belong to (W3C Trace Context). One that cannot be read counts as not there, as the recommendation
/// wants it. `tracestate` is not passed on: it is the tracing systems' own, of up to 512 characters, and none of ours looks at it,
/// while every call would have to carry it through sessions, queues and retries.
const TRACEPARENT: &str = "traceparent";

/// What a request says of all its calls.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) timeout: Duration,
    pub(super) key: Option<Vec<u8>>,
    pub(super) trace: Option<Trace>,
}

impl Terms {
    /// # Errors
    /// `BadArguments`, where the timeout is none.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, CallError> {
        let timeout = match headers.get(TIMEOUT) {
            None => DEFAULT_TIMEOUT,
            Some(text) => text.to_str().ok().and_then(timeout).ok_or_else(|| {
                let error = "the header Madrpc-Timeout is no time: a whole number and us, ms, s, m or h, as 200ms";
                CallError::not_run(ErrorKind::BadArguments, error)
            })?,
        };
        let key = headers.get(KEY).map(|key| key.as_bytes().to_vec());
        // Of several none is the caller's for certain.
        let mut traces = headers.get_all(TRACEPARENT).iter();
        let trace = match (traces.next(), traces.next()) {
            (Some(text), None) => text.to_str().ok().and_then(|text| text.parse().ok()),
            _ => None,
        };
        Ok(Self {
            timeout,
            key,
            trace,
        })
    }
}

/// A time that is written so; at most a day.
fn timeout(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let each = match unit.trim() {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    let time = Duration::from_micros(number.saturating_mul(each));
    (!time.is_zero()).then(|| time.min(TIMEOUT_MAX))
}

/// What came of a call.
pub(super) struct Called {
    /// Encoded, as it has come: as a value it may take many times as much.
    pub(super) result: Bytes,
    pub(super) held: Held,
    pub(super) bill: Bill<String>,
}

/// Calls a function for somebody, with an argument that is encoded.
pub(super) async fn call(
    served: &Served,
    caller: &Caller,
    function: &str,
    argument: Bytes,
    terms: &Terms,
) -> Result<Called, CallError> {
    let call = prepare(served, caller, function, terms)?;
    let Reply { result, bill } = call.send_encoded(argument).await?;
    match served.room.take_for_result(result.len()) {
        Ok(held) => Ok(Called { result, held, bill }),
        Err(error) => Err(CallError {
            bill: Some(Box::new(bill)),
            ..error
        }),
    }
}

/// A call that somebody may make.
///
/// # Errors
/// Why he may not, or not now.
pub(super) fn prepare<'a>(
    served: &Served,
    caller: &'a Caller,
    function: &'a str,
    terms: &'a Terms,
) -> Result<client::Call<'a>, CallError> {
    if *served.stage.borrow() != Stage::Serving {
        let error = "this process is stopping and takes no new calls";
        return Err(CallError::not_run(ErrorKind::Unavailable, error));
    }
    check_name(function)?;
    if function.starts_with(RESERVED_PREFIX) {
        let error = format!("`{function}` is not called by HTTP; the command `madrpc` does");
        return Err(CallError::not_run(ErrorKind::Unauthorized, error));
    }
    caller.may_call(function)?;
    let mut call = caller.client()?.prepare(function).timeout(terms.timeout);
    if let Some(key) = &terms.key {
        call = call.key(key);
    }
    if let Some(trace) = terms.trace {
        call = call.trace(trace);
    }
    Ok(call)
}

/// A text about a result, and its room.
///
/// # Errors
/// Where there is no room for it, or the result cannot be read.
pub(super) async fn write(
    served: &Served,
    result: Bytes,
    held: Held,
    text: impl FnOnce(Value) -> String + Send + 'static,
) -> Result<(String, Held), CallError> {
    let (room, bytes) = (served.room.clone(), result.len());
    let write = move || {
        let text = text(decode_result(&result)?);
        let held = held.resize(text.len(), &room)?;
        Ok((text, held))
    };
    let written = served.bulk.run(bytes, write).await;
    written.unwrap_or_else(|| {
        let error = "nobody could write the result";
        Err(CallError::may_have_run(ErrorKind::Internal, error))
    })
}

/// Answers a request.
pub(super) async fn answer(
    State(served): State<Served>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(held): Extension<Arc<Held>>,
    function: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let function = match function {
        Ok(Path(function)) => function,
        Err(rejection) => return no_name(&rejection),
    };
    let answered = async {
        let terms = Terms::of(&headers)?;
        let argument = argument(&served, body, held).await?;
        match takes_events(&headers) {
            true => events::answer(&served, &caller, &function, argument, &terms).await,
            false => result(&served, &caller, &function, argument, &terms).await,
        }
    };
    answered.await.unwrap_or_else(|mut error: CallError| {
        let bill = error.bill.take();
        let mut response = failure(&error);
        if let Some(bill) = bill {
            tell(&bill, response.headers_mut());
        }
        response
    })
}

/// The answer that is a result.
async fn result(
    served: &Served,
    caller: &Caller,
    function: &str,
    argument: Bytes,
    terms: &Terms,
) -> Result<Response<Body>, CallError> {
    let Called { result, held, bill } = call(served, caller, function, argument, terms).await?;
    let written = write(served, result, held, |result| to_json(&result)).await;
    let (text, held) = match written {
        Ok(written) => written,
        Err(error) => {
            let bill = Some(Box::new(bill));
            return Err(CallError { bill, ..error });
        }
    };
    let mut response = answer_of(StatusCode::OK, text);
    let kept: Kept = vec![Arc::new(held)];
    response.extensions_mut().insert(kept);
    tell(&bill, response.headers_mut());
    Ok(response)
}

/// The argument that a body says, encoded; none is `undefined`.
async fn argument(served: &Served, body: Bytes, held: Arc<Held>) -> Result<Bytes, CallError> {
    if body.is_empty() {
        return Ok(Bytes::from_static(&Value::UNDEFINED_BYTES));
    }
    let bytes = body.len();
    let read = move || {
        let argument = parse(&body).map_err(|error| {
            let error = format!("the body is no JSON: {error}");
            CallError::not_run(ErrorKind::BadArguments, error)
        });
        let argument = encode_args(&argument?);
        drop((body, held));
        argument
    };
    let read = served.bulk.run(bytes, read).await;
    read.unwrap_or_else(|| {
        let error = "nobody could read the body";
        Err(CallError::not_run(ErrorKind::Internal, error))
    })
}

/// The value that a body says.
///
/// # Errors
/// Where it is no JSON, and where in it.
pub(super) fn parse(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("it is no UTF-8: {error}"))?;
    from_json(text).map_err(|error| error.to_string())
}

/// Says in headers what a call has cost, and where.
fn tell(bill: &Bill<String>, headers: &mut HeaderMap) {
    let numbers = [
        ("madrpc-shard", u64::from(bill.shard)),
        ("madrpc-queue-us", bill.queue_us),
        ("madrpc-cpu-us", bill.cpu_us),
        ("madrpc-slices", bill.slices.into()),
        ("madrpc-heap-peak-bytes", bill.heap_peak_bytes),
    ];
    // Empty where no node has run it.
    if bill.node.is_empty() {
        return;
    }
    if let Ok(node) = HeaderValue::from_str(&bill.node) {
        headers.insert("madrpc-node", node);
    }
    for (name, number) in numbers {
        headers.insert(HeaderName::from_static(name), number.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit_and_nothing_else_is() {
        for (text, us) in [
            ("1us", 1),
            ("250ms", 250_000),
            ("5s", 5_000_000),
            ("2m", 120_000_000),
            ("1h", 3_600_000_000),
            ("99999999999999999h", 86_400_000_000),
            ("18446744073709551615us", 86_400_000_000),
        ] {
            assert_eq!(timeout(text), Some(Duration::from_micros(us)), "{text}");
        }
        for wrong in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "0ms",
            "1 day",
            "99999999999999999999s",
            "1e3s",
        ] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_bill_of_nobody_is_not_told() {
        let mut headers = HeaderMap::new();
        tell(&Bill::default(), &mut headers);
        assert!(headers.is_empty());
        let bill = Bill {
            node: "a:1".to_owned(),
            cpu_us: 7,
            ..Bill::default()
        };
        tell(&bill, &mut headers);
        assert_eq!(
            (&headers["madrpc-node"], &headers["madrpc-cpu-us"]),
            (&"a:1".parse().unwrap(), &"7".parse().unwrap())
        );
    }
}
