//! JSON of bodies: small ones at once, large ones on the thread beside, so that nobody waits for another's.

use super::requests::BODIES_MAX_BYTES;
use bytes::Bytes;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::Value;
use madrpc_core::value::json::{from_json, to_json};
use tokio::task::spawn_blocking;

/// What is read or written at once: a fraction of a millisecond.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// A number as text, with what stands around it.
const NUMBER_BYTES: usize = 20;

/// The value that a body says.
///
/// # Errors
/// Where it is no JSON, and where in it.
pub(super) async fn parse(body: Bytes) -> Result<Value, String> {
    let bytes = body.len();
    let parse = move || {
        let text = std::str::from_utf8(&body);
        let text = text.map_err(|error| format!("it is no UTF-8: {error}"))?;
        from_json(text).map_err(|error| error.to_string())
    };
    run(bytes, parse)
        .await
        .unwrap_or_else(|| Err("nobody could read it".into()))
}

/// A result as JSON.
///
/// # Errors
/// `PayloadTooLarge` where its text would be larger than all bodies may be together.
pub(super) async fn write(value: Value) -> Result<String, CallError> {
    let bytes = text_bytes(&value, BODIES_MAX_BYTES);
    if bytes > BODIES_MAX_BYTES {
        let error = format!("the result has more than {BODIES_MAX_BYTES} bytes as JSON");
        return Err(CallError::may_have_run(ErrorKind::PayloadTooLarge, error));
    }
    let text = run(bytes, move || to_json(&value)).await;
    text.ok_or_else(|| {
        CallError::may_have_run(ErrorKind::Internal, "nobody could write the result")
    })
}

/// Does something about so many bytes, here or beside; nothing comes of it where the process ends.
async fn run<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    match bytes <= AT_ONCE_BYTES {
        true => Some(work()),
        false => spawn_blocking(work).await.ok(),
    }
}

/// About how many bytes a value has as JSON; it is not looked further than `most`.
fn text_bytes(value: &Value, most: usize) -> usize {
    let sum = |parts: &mut dyn Iterator<Item = usize>| {
        let mut bytes = NUMBER_BYTES;
        for part in parts {
            bytes = bytes.saturating_add(part);
            if bytes > most {
                break;
            }
        }
        bytes
    };
    match value {
        Value::String(text) => text.len().saturating_add(NUMBER_BYTES),
        Value::Bytes(bytes) => bytes.len().saturating_mul(2).saturating_add(NUMBER_BYTES),
        Value::TypedArray(array) => array.len().saturating_mul(NUMBER_BYTES),
        Value::Array(items) => sum(&mut items.iter().map(|item| text_bytes(item, most))),
        Value::Object(entries) => {
            let parts = entries.iter();
            sum(&mut parts.map(|(key, value)| key.len().saturating_add(text_bytes(value, most))))
        }
        _ => NUMBER_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vast_result_is_not_looked_through() {
        let row: Value = vec![Value::from("0123456789"); 1000].into();
        let all: Value = vec![row; 1000].into();
        let text = to_json(&all).len();
        let guess = text_bytes(&all, usize::MAX);
        assert!(guess >= text && guess < 4 * text, "{guess} for {text}");
        assert!(text_bytes(&all, 1000) < 100_000);
    }
}
