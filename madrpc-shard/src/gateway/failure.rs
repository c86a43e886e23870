//! Errors as HTTP tells them: a status by the kind, and the error as JSON.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::Value;
use madrpc_core::value::json::Json;
use std::time::Duration;

/// A client that has gone before its answer, as nginx tells it; nobody reads it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The status that an error has.
pub(super) fn status(error: &CallError) -> StatusCode {
    let ran = error.may_have_run;
    match error.kind {
        ErrorKind::NoSuchFunction => StatusCode::NOT_FOUND,
        // Those of a result are no fault of the request.
        ErrorKind::BadArguments if !ran => StatusCode::BAD_REQUEST,
        ErrorKind::PayloadTooLarge if !ran => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Cancelled => {
            StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST)
        }
        ErrorKind::Overloaded if error.of_caller => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Overloaded | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unauthorized => StatusCode::FORBIDDEN,
        ErrorKind::Protocol => StatusCode::BAD_GATEWAY,
        ErrorKind::BadArguments
        | ErrorKind::PayloadTooLarge
        | ErrorKind::JavaScript
        | ErrorKind::CpuLimit
        | ErrorKind::MemoryLimit
        | ErrorKind::StackLimit
        | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The answer that tells of an error.
pub(super) fn failure(error: &CallError) -> Response<Body> {
    failure_as(status(error), error)
}

/// As [`failure`], with another status.
pub(super) fn failure_as(status: StatusCode, error: &CallError) -> Response<Body> {
    let mut response = json(status, &Value::object([("error", told(error))]));
    if let Some(after) = error.retry_after {
        let after = HeaderValue::from(whole_seconds(after));
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    response
}

/// All that there is to say of an error.
pub(super) fn told(error: &CallError) -> Value {
    let message = ("message".to_owned(), error.message.as_str().into());
    let mut entries = details(error);
    entries.insert(1, message);
    Value::Object(entries)
}

/// What there is to say of an error beside its message, of which the first is its kind.
pub(super) fn details(error: &CallError) -> Vec<(String, Value)> {
    let mut entries = vec![
        ("kind", Value::from(error.kind.name())),
        ("may_have_run", error.may_have_run.into()),
    ];
    if let Some(exception) = &error.exception {
        entries.push(("name", exception.name.as_str().into()));
        entries.push(("stack", exception.stack.as_str().into()));
        // What was thrown that is no error, or has properties of its own.
        if let Some(value) = exception.value() {
            entries.push(("value", value));
        }
    }
    if let Some(after) = error.retry_after {
        let ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        entries.push(("retry_after_ms", ms.into()));
    }
    let entries = entries.into_iter();
    entries
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// A document.
pub(super) fn json(status: StatusCode, document: &Value) -> Response<Body> {
    written(status, Json(document).to_string())
}

/// One that is written already.
pub(super) fn written(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Retry-After knows no parts of a second: who comes too early is refused again.
fn whole_seconds(time: Duration) -> u64 {
    time.as_millis()
        .div_ceil(1000)
        .try_into()
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::call::Exception;

    #[test]
    fn every_kind_has_its_status() {
        let of = |error: CallError| status(&error).as_u16();
        let not_run = ErrorKind::ALL.map(|kind| of(CallError::not_run(kind, "")));
        assert_eq!(
            not_run,
            [
                404, 400, 500, 504, 499, 500, 500, 500, 503, 503, 413, 403, 502, 500
            ]
        );
        for kind in [ErrorKind::BadArguments, ErrorKind::PayloadTooLarge] {
            assert_eq!(of(CallError::may_have_run(kind, "")), 500, "{kind}");
        }
        let of_caller = CallError {
            of_caller: true,
            ..CallError::not_run(ErrorKind::Overloaded, "")
        };
        assert_eq!(of(of_caller), 429);
    }

    #[test]
    fn an_error_is_told_with_all_that_is_known() {
        let mut value = Vec::new();
        let thrown = Value::object([("code", 7.into())]);
        thrown.encode(&mut value, 1000).unwrap();
        let error = CallError::thrown(Exception {
            name: "TypeError".into(),
            message: "no good".into(),
            stack: "at f (a.js:1:2)".into(),
            value,
        });
        let told = failure(&error.with_retry_after(Duration::from_millis(1001)));
        assert_eq!(told.headers()[header::RETRY_AFTER], "2");
        let entries = details(&error_of(ErrorKind::Internal));
        assert_eq!(entries.len(), 2);
    }

    fn error_of(kind: ErrorKind) -> CallError {
        CallError::not_run(kind, "words")
    }
}
