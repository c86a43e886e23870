//! `POST /`: JSON-RPC 2.0 (<https://www.jsonrpc.org/specification>).
//!
//! `method` is the function and `params` its one argument, as it is: a list, an object, or left out. (The specification knows no
//! other values there; those are taken all the same.) A request without `id` is a notification: it is run, and has no answer. A batch
//! is run at once, at most [`AT_ONCE`] of it at a time, and answered in its order. Whatever comes of calls, the status is 200, or 204 where
//! there is nothing to answer.
//!
//! | code | |
//! |---|---|
//! | -32700 | the body is no JSON |
//! | -32600 | it is no request, has an ID that would come back changed, or is a batch of none or of more than [`BATCH_MAX`] |
//! | -32601 | `NoSuchFunction` |
//! | -32602 | `BadArguments`, of a call that did not run |
//! | -32603 | `Internal` |
//! | -32000 less the number of the kind | any other: `JavaScript` is -32003, `DeadlineExceeded` -32004, `Overloaded` -32009, … |
//!
//! Where there is no room for a result, that one's answer is an error, `Overloaded` or `PayloadTooLarge`.
//!
//! Errors of calls have `data`: `kind`, `may_have_run`, and where there are such `name`, `stack` and `value` of what was thrown, and
//! `retry_after_ms`.

use super::access::Caller;
use super::call::{Terms, call, parse, write};
use super::failure::{details, failure, written};
use super::room::{Held, no_room};
use super::routes::Served;
use super::sending::{Kept, Parts};
use crate::client::encode_args;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::Value;
use madrpc_core::value::json::to_json;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Requests in one batch.
pub(super) const BATCH_MAX: usize = 1000;

/// Those of them that are under way at a time.
pub(super) const AT_ONCE: usize = 64;

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const INTERNAL_ERROR: i64 = -32603;
const SERVER_ERROR: i64 = -32000;

/// Room for an answer that says that there is no room for the result; an ID has that of its body.
const ERROR_BYTES: usize = 512;

/// A request that is one.
#[derive(Debug, PartialEq)]
struct Request {
    method: String,
    /// Encoded, where that can be done.
    params: Result<Bytes, CallError>,
    /// None of a notification.
    id: Option<Value>,
}

/// What is no request: its ID, as far as it has one, and what is wrong.
type Invalid = (Value, String);

/// What a body asks for.
enum Asked {
    One(Result<Request, Invalid>),
    Batch(Vec<Result<Request, Invalid>>),
}

/// An answer as text, and its room.
type Written = (String, Option<Held>);

/// Answers a request, or a batch of them.
pub(super) async fn answer(
    State(served): State<Served>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(held): Extension<Arc<Held>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let terms = match Terms::of(&headers) {
        Ok(terms) => Arc::new(terms),
        Err(error) => return failure(&error),
    };
    let bytes = body.len();
    let begun = Arc::clone(&held);
    let read = move || {
        let asked = asked(&body);
        drop((body, begun));
        asked
    };
    let asked = served.bulk.run(bytes, read).await;
    let asked = asked.unwrap_or_else(|| Err((INTERNAL_ERROR, "nobody could read it".into())));
    let count = match &asked {
        Ok(Asked::Batch(batch)) => batch.len(),
        _ => 1,
    };
    let Some(mut room) = served.room.take(count.saturating_mul(ERROR_BYTES)) else {
        return failure(&no_room(false));
    };
    let body = match asked {
        Err((code, error)) => Some(to_json(&error_of(Value::Null, code, &error, None)).into()),
        Ok(Asked::One(one)) => {
            let answered = single(one, &served, &caller, &terms).await;
            answered.map(|(text, held)| {
                held.into_iter().for_each(|held| room.merge(held));
                text.into()
            })
        }
        Ok(Asked::Batch(batch)) => {
            let answers = many(batch, &served, &caller, &terms, &mut room).await;
            (!answers.is_empty()).then(|| Body::new(Parts::of_list(answers)))
        }
    };
    let Some(body) = body else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return response;
    };
    let mut response = written(StatusCode::OK, body);
    let kept: Kept = vec![held, Arc::new(room)];
    response.extensions_mut().insert(kept);
    response
}

/// What a body asks for; else the code of the error, and what is wrong.
fn asked(body: &[u8]) -> Result<Asked, (i64, String)> {
    let batch = match parse(body) {
        Err(error) => return Err((PARSE_ERROR, format!("Parse error: {error}"))),
        Ok(Value::Array(batch)) => batch,
        Ok(one) => return Ok(Asked::One(read(one))),
    };
    match batch.len() {
        0 => Err((INVALID_REQUEST, "Invalid Request: a batch of none".into())),
        1..=BATCH_MAX => Ok(Asked::Batch(batch.into_iter().map(read).collect())),
        count => Err((
            INVALID_REQUEST,
            format!("Invalid Request: a batch of {count}, and at most {BATCH_MAX} are taken"),
        )),
    }
}

/// The answers to a batch, whose room is added to that of the request.
async fn many(
    batch: Vec<Result<Request, Invalid>>,
    served: &Served,
    caller: &Arc<Caller>,
    terms: &Arc<Terms>,
    room: &mut Held,
) -> Vec<String> {
    let mut answers: Vec<Option<String>> = Vec::new();
    answers.resize_with(batch.len(), || None);
    // Dropped with the request where its client has gone, and all calls with it.
    let mut under_way = JoinSet::new();
    let mut batch = batch.into_iter().enumerate();
    loop {
        while under_way.len() < AT_ONCE
            && let Some((place, one)) = batch.next()
        {
            let (served, caller, terms) = (served.clone(), Arc::clone(caller), Arc::clone(terms));
            under_way.spawn(async move { (place, single(one, &served, &caller, &terms).await) });
        }
        match under_way.join_next().await {
            Some(Ok((place, Some((text, held))))) => {
                held.into_iter().for_each(|held| room.merge(held));
                if let Some(slot) = answers.get_mut(place) {
                    *slot = Some(text);
                }
            }
            // Of a notification. A panic has been told, and ends the process.
            Some(Ok((_, None)) | Err(_)) => {}
            None => break,
        }
    }
    answers.into_iter().flatten().collect()
}

/// The answer to one request; none to a notification.
async fn single(
    one: Result<Request, Invalid>,
    served: &Served,
    caller: &Caller,
    terms: &Terms,
) -> Option<Written> {
    let Request { method, params, id } = match one {
        Ok(request) => request,
        Err((id, error)) => return Some(told(served, &id, INVALID_REQUEST, &error, None)),
    };
    let outcome = async {
        let called = call(served, caller, &method, params?, terms).await?;
        let Some(id) = id.clone() else {
            return Ok(None);
        };
        let text = |result| {
            // There is no other way to say `undefined`, and an answer without a result is none.
            let result = match result {
                Value::Undefined => Value::Null,
                result => result,
            };
            to_json(&answer_of(("result", result), id))
        };
        let written = write(served, called.result, called.held, text).await;
        written.map(Some)
    };
    match outcome.await {
        Ok(written) => written.map(|(text, held)| (text, Some(held))),
        Err(error) => Some(failed(served, &id?, &error)),
    }
}

/// The answer that a call has failed.
fn failed(served: &Served, id: &Value, error: &CallError) -> Written {
    let data = Value::Object(details(error));
    told(served, id, code(error), &error.message, Some(data))
}

/// The answer that tells of an error; where there is no room for that, it says so and nothing else.
fn told(served: &Served, id: &Value, number: i64, message: &str, data: Option<Value>) -> Written {
    let text = to_json(&error_of(id.clone(), number, message, data));
    match served.room.take(text.len()) {
        Some(held) => (text, Some(held)),
        None => {
            let error = no_room(true);
            let data = Some(Value::Object(details(&error)));
            let error = error_of(id.clone(), code(&error), &error.message, data);
            (to_json(&error), None)
        }
    }
}

/// The request that a value is; else its ID, as far as it has one, and what is wrong.
fn read(value: Value) -> Result<Request, Invalid> {
    let invalid = |id, why: &str| Err((id, format!("Invalid Request: {why}")));
    let Value::Object(entries) = value else {
        return invalid(Value::Null, "it is no object");
    };
    let (mut version, mut method, mut params, mut id) = (None, None, Value::Undefined, None);
    for (key, value) in entries {
        match key.as_str() {
            "jsonrpc" => version = Some(value),
            "method" => method = Some(value),
            "params" => params = value,
            "id" => id = Some(value),
            _ => {}
        }
    }
    if let Some(why) = id.as_ref().and_then(what_is_no_id) {
        return invalid(Value::Null, why);
    }
    let known = id.clone().unwrap_or(Value::Null);
    if !matches!(&version, Some(Value::String(version)) if version.as_str() == "2.0") {
        return invalid(known, "`jsonrpc` is not \"2.0\"");
    }
    let Some(Value::String(method)) = method else {
        return invalid(known, "`method` is no string");
    };
    Ok(Request {
        method: method.as_str().to_owned(),
        params: encode_args(&params),
        id,
    })
}

/// Why a value is no ID, where it is none: the answer has to have the same.
fn what_is_no_id(id: &Value) -> Option<&'static str> {
    /// A float has no larger whole number without gaps.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match id {
        Value::Null | Value::Integer(_) | Value::String(_) => None,
        Value::Float(number) if number.abs() <= EXACT => None,
        Value::Float(_) => Some("`id` is a number that would come back as another"),
        _ => Some("`id` is no string, number or null"),
    }
}

/// The code of a call's error.
fn code(error: &CallError) -> i64 {
    match error.kind {
        ErrorKind::NoSuchFunction => METHOD_NOT_FOUND,
        ErrorKind::BadArguments if !error.may_have_run => INVALID_PARAMS,
        ErrorKind::Internal => INTERNAL_ERROR,
        kind => SERVER_ERROR.saturating_sub(kind.number().into()),
    }
}

fn answer_of((key, value): (&'static str, Value), id: Value) -> Value {
    Value::object([("jsonrpc", "2.0".into()), (key, value), ("id", id)])
}

fn error_of(id: Value, code: i64, message: &str, data: Option<Value>) -> Value {
    let mut error = vec![
        ("code".to_owned(), code.into()),
        ("message".to_owned(), message.into()),
    ];
    error.extend(data.map(|data| ("data".to_owned(), data)));
    answer_of(("error", Value::Object(error)), id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::value::json::from_json;

    fn read_json(text: &str) -> Result<Request, (Value, String)> {
        read(from_json(text).unwrap())
    }

    #[test]
    fn requests_have_a_method_and_all_kinds_of_ids() {
        for (id, value) in [
            ("1", Some(Value::Integer(1))),
            ("-1.5", Some(Value::Float(-1.5))),
            ("9007199254740993", Some(9_007_199_254_740_993_i64.into())),
            ("\"a\"", Some(Value::from("a"))),
            ("\"\"", Some(Value::from(""))),
            ("null", Some(Value::Null)),
        ] {
            let text =
                format!(r#"{{"jsonrpc":"2.0","method":"f","params":[1],"id":{id},"more":1}}"#);
            let request = read_json(&text).unwrap();
            let params = encode_args(&vec![1.into()].into());
            assert_eq!((request.id, request.params), (value, params));
        }
        let notification = read_json(r#"{"jsonrpc":"2.0","method":"f"}"#).unwrap();
        let expected = Request {
            method: "f".into(),
            params: encode_args(&Value::Undefined),
            id: None,
        };
        assert_eq!(notification, expected);
    }

    #[test]
    fn what_is_no_request_is_told_with_its_id_where_that_can_be_read() {
        for (text, id) in [
            ("1", Value::Null),
            ("{}", Value::Null),
            (r#"{"jsonrpc":"2.0","method":1,"id":7}"#, 7.into()),
            (r#"{"jsonrpc":"1.0","method":"f","id":"x"}"#, "x".into()),
            (r#"{"method":"f","id":7}"#, 7.into()),
            (r#"{"jsonrpc":2.0,"method":"f","id":7}"#, 7.into()),
            (r#"{"jsonrpc":"2.0","method":"f","id":[7]}"#, Value::Null),
            (r#"{"jsonrpc":"2.0","method":"f","id":true}"#, Value::Null),
            (
                r#"{"jsonrpc":"2.0","method":"f","id":18446744073709551615}"#,
                Value::Null,
            ),
            (r#"{"jsonrpc":"2.0","method":"f","id":1e300}"#, Value::Null),
        ] {
            let (found, error) = read_json(text).unwrap_err();
            assert_eq!(found, id, "{text}");
            assert!(error.starts_with("Invalid Request: "), "{error}");
        }
    }

    #[test]
    fn every_kind_has_its_code() {
        let of = |kind| code(&CallError::not_run(kind, ""));
        assert_eq!(
            ErrorKind::ALL.map(of),
            [
                -32601, -32602, -32003, -32004, -32005, -32006, -32007, -32008, -32009, -32010,
                -32011, -32012, -32013, -32603
            ]
        );
        let ran = CallError::may_have_run(ErrorKind::BadArguments, "");
        assert_eq!(code(&ran), -32002);
    }
}
