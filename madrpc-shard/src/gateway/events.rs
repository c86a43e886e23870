//! `POST /call/FUNCTION` with `Accept: text/event-stream`: what a function yields, as Server-Sent Events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! ```text
//! id: 1                   one for each item, with its number
//! data: {"row":7}
//!
//! event: result           at the end: what was returned, and the bill
//! data: {"result":null,"bill":{"node":"10.0.0.1:9001",…}}
//!
//! event: error            or why there is none, as in the answer of a plain call
//! data: {"error":{"kind":"DeadlineExceeded",…},"bill":{…}}
//! ```
//!
//! The answer begins with the first of them, or once a client has waited for long: what fails before is an answer like that of any call.
//! An item is taken when the connection has room for it, so a client that does not read has the function wait. All that may have come
//! by then has its room: a stream begins with little, and has more as its client reads.

use super::access::Caller;
use super::call::{Terms, prepare, write};
use super::failure::told;
use super::room::{Held, no_room};
use super::routes::Served;
use crate::client::{End, Event, Incoming, Reply};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, header};
use bytes::Bytes;
use futures_lite::stream::unfold;
use madrpc_core::call::{Bill, CallError};
use madrpc_core::limits::{ITEM_FRAME_MAX_BYTES, STREAM_WINDOW};
use madrpc_core::numbers::later;
use madrpc_core::value::Value;
use madrpc_core::value::json::Json;
use std::convert::Infallible;
use std::future::poll_fn;
use std::time::{Duration, Instant};
use tokio::time::timeout_at;

/// Frames of items that may come at first. So many requests as may be under way find room for theirs.
const FRAMES_FIRST: u32 = 4;

/// How long a client hears nothing: proxies take a connection that is silent for longer for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A comment, which readers leave out.
const COMMENT: &str = ":\n\n";

const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-store"),
    // Nginx else keeps events until it has some KiB of them.
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// The answer to a call.
///
/// # Errors
/// What has failed before anything could be sent.
pub(super) async fn answer(
    served: &Served,
    caller: &Caller,
    function: &str,
    argument: Bytes,
    terms: &Terms,
) -> Result<Response<Body>, CallError> {
    let call = prepare(served, caller, function, terms)?;
    let room = served.room.take(bytes(FRAMES_FIRST));
    let room = room.ok_or_else(|| no_room(false))?;
    let incoming = call.incoming(Ok(argument), FRAMES_FIRST);
    let mut sent = Streaming {
        served: served.clone(),
        incoming: Some(incoming),
        window: room,
        taken: 0,
        partial: None,
        text: None,
        number: 0,
    };
    let first = sent.next().await.transpose()?;
    let texts = unfold((sent, first), |(mut sent, first)| async move {
        let text = match first {
            Some(text) => text,
            None => match sent.next().await? {
                Ok(text) => text,
                Err(error) => error_text(&error),
            },
        };
        Some((Ok::<_, Infallible>(text), (sent, None)))
    });
    let mut response = Response::new(Body::from_stream(texts));
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// What has come for a client.
enum Came {
    Item(Bytes),
    Result(Reply<Bytes>),
    /// Nothing, for long.
    Silence,
}

/// A stream on its way to a client.
struct Streaming {
    served: Served,
    /// None once it has failed.
    incoming: Option<Incoming>,
    /// Room for what may come before anything is taken.
    window: Held,
    /// Frames that were taken since that became larger.
    taken: u32,
    /// Room for what has come of a large item.
    partial: Option<Held>,
    /// Room for the text that was handed over last.
    text: Option<Held>,
    /// Of the last item.
    number: u64,
}

impl Streaming {
    /// What to send next; nothing after an error or the result.
    async fn next(&mut self) -> Option<Result<String, CallError>> {
        // It is sent, or nearly.
        self.text = None;
        let text = match self.came().await? {
            Ok(came) => self.text(came).await,
            Err(error) => Err(error),
        };
        if text.is_err() {
            self.incoming = None;
        }
        Some(text)
    }

    async fn came(&mut self) -> Option<Result<Came, CallError>> {
        let until = later(Instant::now(), KEEP_ALIVE).into();
        loop {
            let incoming = self.incoming.as_mut()?;
            let next = poll_fn(|context| incoming.poll_next(context));
            let Ok(event) = timeout_at(until, next).await else {
                return Some(Ok(Came::Silence));
            };
            return Some(match event? {
                Event::Piece { frames } => match self.keep(frames) {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
                Event::Item { body, frames } => {
                    self.took(frames);
                    Ok(Came::Item(body))
                }
                Event::End(end) => end.map(|End { reply, .. }| Came::Result(reply)),
            });
        }
    }

    /// Takes room for so much of a large item; then as much more of it may come.
    fn keep(&mut self, frames: u32) -> Result<(), CallError> {
        let held = self.served.room.take_for_result(bytes(frames))?;
        match &mut self.partial {
            Some(partial) => partial.merge(held),
            None => self.partial = Some(held),
        }
        self.took(frames);
        Ok(())
    }

    /// The room of what has come whole, of which pieces may have theirs.
    fn hold(&mut self, body: &Bytes) -> Result<Held, CallError> {
        let room = &self.served.room;
        match self.partial.take() {
            Some(partial) => partial.resize(body.len(), room),
            None => room.take_for_result(body.len()),
        }
    }

    /// Lets more come for what was taken, and more at a time where its client reads and others have room enough.
    fn took(&mut self, frames: u32) {
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        incoming.took(frames);
        self.taken = self.taken.saturating_add(frames);
        let window = incoming.window();
        if self.taken < window || window >= STREAM_WINDOW {
            return;
        }
        self.taken = 0;
        if let Some(more) = self.served.room.take_spare(bytes(window)) {
            self.window.merge(more);
            incoming.widen(window);
        }
    }

    async fn text(&mut self, came: Came) -> Result<String, CallError> {
        let (text, held) = match came {
            Came::Silence => return Ok(COMMENT.into()),
            Came::Item(item) => {
                let held = self.hold(&item)?;
                self.number = self.number.saturating_add(1);
                let number = self.number;
                let text = move |item| format!("id: {number}\ndata: {}\n\n", Json(&item));
                write(&self.served, item, held, text).await?
            }
            Came::Result(Reply { result, bill }) => {
                let told = told_bill(&bill);
                let text = move |result| result_text(result, told);
                let written = match self.hold(&result) {
                    Ok(held) => write(&self.served, result, held, text).await,
                    Err(error) => Err(error),
                };
                let bill = Some(Box::new(bill));
                written.map_err(|error| CallError { bill, ..error })?
            }
        };
        self.text = Some(held);
        Ok(text)
    }
}

/// What so many frames of items may take.
fn bytes(frames: u32) -> usize {
    usize::try_from(frames).map_or(usize::MAX, |frames| {
        frames.saturating_mul(ITEM_FRAME_MAX_BYTES)
    })
}

fn result_text(result: Value, bill: Option<Value>) -> String {
    // An answer without a result is none, and JSON has no `undefined`.
    let result = match result {
        Value::Undefined => Value::Null,
        result => result,
    };
    last_text("result", result, bill)
}

fn error_text(error: &CallError) -> String {
    let bill = error.bill.as_deref().and_then(told_bill);
    last_text("error", told(error), bill)
}

/// The last event, which is named after what it tells.
fn last_text(name: &str, value: Value, bill: Option<Value>) -> String {
    let mut entries = vec![(name.to_owned(), value)];
    entries.extend(bill.map(|bill| ("bill".to_owned(), bill)));
    let document = Value::Object(entries);
    format!("event: {name}\ndata: {}\n\n", Json(&document))
}

/// What the answers of plain calls say in their headers; nothing where no node has run it.
fn told_bill(bill: &Bill<String>) -> Option<Value> {
    let number = |number| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
    (!bill.node.is_empty()).then(|| {
        Value::object([
            ("node", bill.node.as_str().into()),
            ("shard", number(bill.shard.into())),
            ("queue_us", number(bill.queue_us)),
            ("cpu_us", number(bill.cpu_us)),
            ("slices", number(bill.slices.into())),
            ("heap_peak_bytes", number(bill.heap_peak_bytes)),
        ])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::room::ROOM_BYTES;
    use crate::gateway::under_way::CALLS_MAX;
    use madrpc_core::call::ErrorKind;

    #[test]
    fn as_many_streams_as_may_be_under_way_have_room_and_leave_some() {
        assert!(CALLS_MAX * bytes(FRAMES_FIRST) <= ROOM_BYTES / 2);
    }

    #[test]
    fn the_last_event_is_one_line_of_data() {
        let bill = Bill {
            node: "a:1".to_owned(),
            cpu_us: 7,
            ..Bill::default()
        };
        let text = result_text("a\r\nb".into(), told_bill(&bill));
        assert_eq!(
            text,
            concat!(
                "event: result\n",
                r#"data: {"result":"a\r\nb","bill":{"node":"a:1","shard":0,"queue_us":0,"cpu_us":7,"slices":0,"heap_peak_bytes":0}}"#,
                "\n\n"
            )
        );
        assert_eq!(
            result_text(Value::Undefined, told_bill(&Bill::default())),
            "event: result\ndata: {\"result\":null}\n\n"
        );
        let error = CallError::not_run(ErrorKind::Unavailable, "no\none");
        assert_eq!(
            error_text(&error),
            concat!(
                "event: error\n",
                r#"data: {"error":{"kind":"Unavailable","message":"no\none","may_have_run":false}}"#,
                "\n\n"
            )
        );
    }
}
