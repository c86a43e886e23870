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
//! | -32600 | it is no request, or a batch of none or of more than [`BATCH_MAX`] |
//! | -32601 | `NoSuchFunction` |
//! | -32602 | `BadArguments`, of a call that did not run |
//! | -32603 | `Internal` |
//! | -32000 less the number of the kind | any other: `JavaScript` is -32003, `DeadlineExceeded` -32004, `Overloaded` -32009, … |
//!
//! Errors of calls have `data`: `kind`, `may_have_run`, and where there are such `name`, `stack` and `value` of what was thrown, and
//! `retry_after_ms`.

use super::access::Caller;
use super::bulk;
use super::call::{Terms, call};
use super::failure::{details, failure, written};
use super::routes::Served;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::Value;
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

/// A request that is one.
#[derive(Debug, PartialEq)]
struct Request {
    method: String,
    params: Value,
    /// None of a notification.
    id: Option<Value>,
}

/// Answers a request, or a batch of them.
pub(super) async fn answer(
    State(served): State<Served>,
    Extension(caller): Extension<Arc<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let terms = match Terms::of(&headers) {
        Ok(terms) => Arc::new(terms),
        Err(error) => return failure(&error),
    };
    let answered = match bulk::parse(body).await {
        Err(error) => Some(refusal(PARSE_ERROR, &format!("Parse error: {error}"))),
        Ok(Value::Array(batch)) => many(batch, &served, &caller, &terms).await,
        Ok(one) => single(one, &served, &caller, &terms).await,
    };
    let Some(answered) = answered else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return response;
    };
    match bulk::write(answered).await {
        Ok(text) => written(StatusCode::OK, text),
        Err(error) => failure(&error),
    }
}

async fn many(
    batch: Vec<Value>,
    served: &Served,
    caller: &Arc<Caller>,
    terms: &Arc<Terms>,
) -> Option<Value> {
    let count = batch.len();
    if count == 0 {
        return Some(refusal(INVALID_REQUEST, "Invalid Request: a batch of none"));
    }
    if count > BATCH_MAX {
        let error =
            format!("Invalid Request: a batch of {count}, and at most {BATCH_MAX} are taken");
        return Some(refusal(INVALID_REQUEST, &error));
    }
    let mut answers: Vec<Option<Value>> = Vec::new();
    answers.resize_with(count, || None);
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
            Some(Ok((place, answer))) => {
                if let Some(slot) = answers.get_mut(place) {
                    *slot = answer;
                }
            }
            // A panic has been told, and ends the process.
            Some(Err(_)) => {}
            None => break,
        }
    }
    let answers: Vec<Value> = answers.into_iter().flatten().collect();
    (!answers.is_empty()).then(|| answers.into())
}

/// The answer to one request; none to a notification.
async fn single(one: Value, served: &Served, caller: &Caller, terms: &Terms) -> Option<Value> {
    let Request { method, params, id } = match read(one) {
        Ok(request) => request,
        Err((id, error)) => return Some(error_of(id, INVALID_REQUEST, &error, None)),
    };
    let outcome = call(served, caller, &method, params, terms).await;
    let id = id?;
    Some(match outcome {
        // There is no other way to say `undefined`, and an answer without a result is none.
        Ok((Value::Undefined, _)) => answer_of(("result", Value::Null), id),
        Ok((result, _)) => answer_of(("result", result), id),
        Err(error) => {
            let data = Value::Object(details(&error));
            error_of(id, code(&error), &error.message, Some(data))
        }
    })
}

/// The request that a value is; else its ID, as far as it has one, and what is wrong.
fn read(value: Value) -> Result<Request, (Value, String)> {
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
    let is_id = |id: &Value| {
        matches!(
            id,
            Value::Null | Value::Integer(_) | Value::Float(_) | Value::String(_)
        )
    };
    if id.as_ref().is_some_and(|id| !is_id(id)) {
        return invalid(Value::Null, "`id` is no string, number or null");
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
        params,
        id,
    })
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

/// The answer to what is no request at all.
fn refusal(code: i64, message: &str) -> Value {
    error_of(Value::Null, code, message, None)
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
            ("\"a\"", Some(Value::from("a"))),
            ("\"\"", Some(Value::from(""))),
            ("null", Some(Value::Null)),
        ] {
            let text =
                format!(r#"{{"jsonrpc":"2.0","method":"f","params":[1],"id":{id},"more":1}}"#);
            let request = read_json(&text).unwrap();
            assert_eq!((request.id, request.params), (value, vec![1.into()].into()));
        }
        let notification = read_json(r#"{"jsonrpc":"2.0","method":"f"}"#).unwrap();
        let expected = Request {
            method: "f".into(),
            params: Value::Undefined,
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
