//! Arguments and results: as they are for programs, and as they travel.

use super::Reply;
use bytes::Bytes;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::BODY_MAX_BYTES;
use madrpc_core::value::wire::EncodeError;
use madrpc_core::value::{Value, from_value, to_value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Arguments, as [`Calls::begin`](super::Calls::begin) takes them.
///
/// # Errors
/// `PayloadTooLarge` and `BadArguments`.
pub fn encode_args(args: &Value) -> Result<Bytes, CallError> {
    let mut body = Vec::new();
    let encoded = args.encode(&mut body, BODY_MAX_BYTES);
    encoded.map_err(|error| {
        let kind = match error {
            EncodeError::TooLarge { .. } => ErrorKind::PayloadTooLarge,
            _ => ErrorKind::BadArguments,
        };
        CallError::not_run(kind, format!("the arguments cannot be sent: {error}"))
    })?;
    Ok(body.into())
}

/// A result, as [`Calls`](super::Calls) gives it.
///
/// # Errors
/// `Protocol`, where it is none.
pub fn decode_result(result: &[u8]) -> Result<Value, CallError> {
    Value::decode(result).map_err(|error| {
        let error = format!("the result cannot be decoded: {error}");
        CallError::may_have_run(ErrorKind::Protocol, error)
    })
}

pub(super) fn decoded(reply: Reply<Bytes>) -> Result<Reply<Value>, CallError> {
    Ok(Reply {
        result: decode_result(&reply.result)?,
        bill: reply.bill,
    })
}

pub(super) fn to_args<A: Serialize + ?Sized>(args: &A) -> Result<Value, CallError> {
    to_value(args).map_err(|error| {
        CallError::not_run(
            ErrorKind::BadArguments,
            format!("the arguments cannot be sent: {error}"),
        )
    })
}

pub(super) fn from_result<R: DeserializeOwned>(result: Value) -> Result<R, CallError> {
    from_value(result).map_err(|error| {
        CallError::may_have_run(
            ErrorKind::BadArguments,
            format!("the result is not what was asked for: {error}"),
        )
    })
}
