//! A call about to be made, and the wait for its reply.

use super::calls::{Recorded, ReplyTo};
use super::pool::Command;
use super::stream::{EncodedItems, Incoming, ItemStream, Receiving};
use super::thread::{ThreadEnded, ToPool};
use super::values::{decoded, encode_args};
use super::{Client, Reply};
use crate::net::dial::check_name;
use crate::net::traces::CallRecorder;
use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_lite::future::block_on;
use madrpc_core::call::{CallError, CallFields, ErrorKind, Trace};
use madrpc_core::limits::{KEY_MAX_BYTES, STREAM_WINDOW, TIMEOUT_MAX};
use madrpc_core::numbers::later;
use madrpc_core::value::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The number of the next call of this process. A call is sent to the client's thread anyway, beside which this is nothing.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// A call about to be made.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `send`"]
pub struct Call<'a> {
    client: &'a Client,
    function: &'a str,
    timeout: Duration,
    key: Option<&'a [u8]>,
    trace: Option<Trace>,
    may_repeat: bool,
    nodes_lost: u8,
}

impl<'a> Call<'a> {
    pub(super) fn new(client: &'a Client, function: &'a str) -> Self {
        Self {
            client,
            function,
            timeout: client.timeout,
            key: None,
            trace: None,
            may_repeat: false,
            nodes_lost: 0,
        }
    }

    /// Calls of the same key go to the same node, where the orchestrator balances by keys (`--balance hash`). At most
    /// [`KEY_MAX_BYTES`].
    pub fn key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// The trace that the call belongs to, and the span that it is made from: of a `traceparent` (W3C Trace Context), by
    /// [`Trace::from_str`](std::str::FromStr).
    pub fn trace(mut self, trace: Trace) -> Self {
        self.trace = Some(trace);
        self
    }

    /// The call may run twice, whatever its function was registered as: where a server that has it is lost, another is asked.
    pub fn idempotent(mut self, is_idempotent: bool) -> Self {
        self.may_repeat = is_idempotent;
        self
    }

    /// It was made before, and nodes were lost that it was on ([`CallError::nodes_lost`]): they count, so that a call which ends
    /// the nodes that run it ends two of them at the most, however often it is made again.
    pub fn nodes_lost(mut self, nodes: u8) -> Self {
        self.nodes_lost = nodes;
        self
    }

    /// Sets the time until the deadline; at most a day.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends the call and waits for its reply.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn send(self, args: Value) -> Result<Reply<Value>, CallError> {
        decoded(self.send_encoded(encode_args(&args)?).await?)
    }

    /// As [`Call::send`], of an argument that is encoded already; the result is left as it has come.
    pub(crate) async fn send_encoded(self, args: Bytes) -> Result<Reply<Bytes>, CallError> {
        let (reply, replied) = oneshot::channel();
        let number = self.begin(args, 0, ReplyTo::One(reply))?;
        let waiting = Waiting {
            number,
            replied: Some(replied),
            pool: &self.client.pool,
        };
        waiting.await.unwrap_or_else(|_| Err(ThreadEnded.into()))
    }

    /// Sends the call of a function that streams, a generator, and gives what it yields, item by item, as a
    /// [`Stream`](futures_lite::Stream). Of any other function it gives none, and then its result, see [`ItemStream::reply`].
    ///
    /// The function goes on as its items are taken, and some 250 small ones before they are, of large ones 4 MiB: a
    /// reader that stops has it wait. The deadline is that of all of it. No item is lost while there is no error, and none
    /// comes twice: after the first the call is not sent again.
    ///
    /// # Errors
    /// Its last item, as of [`Client::call`].
    pub fn stream(self, args: Value) -> ItemStream<Value> {
        self.open(Ok(args), Ok)
    }

    pub(super) fn open<T>(
        self,
        args: Result<Value, CallError>,
        read: fn(Value) -> Result<T, CallError>,
    ) -> ItemStream<T> {
        let args = args.and_then(|args| encode_args(&args));
        let incoming = self.incoming(args, STREAM_WINDOW);
        ItemStream::new(EncodedItems::new(incoming), read)
    }

    /// As [`Call::stream`], of an argument that is [encoded](madrpc_core::value::wire) already; so are the items.
    pub fn stream_encoded(self, args: Bytes) -> EncodedItems {
        EncodedItems::new(self.incoming(Ok(args), STREAM_WINDOW))
    }

    /// What comes of it, for a reader who says himself what he has room for: so many frames of items before he takes any.
    pub(crate) fn incoming(self, args: Result<Bytes, CallError>, window: u32) -> Incoming {
        let (to_reader, events) = mpsc::unbounded();
        let receiving = Box::new(Receiving::new(to_reader, window));
        let opened = args.and_then(|args| {
            let number = self.begin(args, window, ReplyTo::Items(receiving))?;
            Ok((number, self.client.pool.clone()))
        });
        Incoming::new(opened, events, window)
    }

    /// What is said besides function and argument, encoded.
    fn fields(&self, trace: Option<Trace>, credit: u32) -> Result<Vec<u8>, CallError> {
        if let Some(key) = self.key.filter(|key| key.len() > KEY_MAX_BYTES) {
            let bytes = key.len();
            let error =
                format!("the key has {bytes} bytes, and none has more than {KEY_MAX_BYTES}");
            return Err(CallError::not_run(ErrorKind::BadArguments, error));
        }
        let mut fields = Vec::new();
        let said = CallFields {
            key: self.key,
            trace,
            credit,
            may_repeat: self.may_repeat,
            nodes_lost: self.nodes_lost,
            ..CallFields::default()
        };
        said.write(&mut fields);
        Ok(fields)
    }

    /// Hands it to the client's thread, with so many frames of items that are taken, where any are; gives its number, by which it can be
    /// cancelled.
    pub(super) fn begin(&self, body: Bytes, credit: u32, reply: ReplyTo) -> Result<u64, CallError> {
        check_name(self.function)?;
        let (fields, reply) = match &self.client.recorder {
            None => (self.fields(self.trace, credit)?, reply),
            Some(recorder) => self.recorded(recorder, credit, reply)?,
        };
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        self.client.pool.send(Command::Call {
            number,
            function: self.function.to_owned(),
            body,
            fields,
            deadline: later(Instant::now(), self.timeout.min(TIMEOUT_MAX)),
            reply,
        })?;
        Ok(number)
    }

    /// What is said, and who is told of the end: of a call that is recorded its span is both.
    #[cold]
    fn recorded(
        &self,
        recorder: &CallRecorder,
        credit: u32,
        reply: ReplyTo,
    ) -> Result<(Vec<u8>, ReplyTo), CallError> {
        let Some(context) = recorder.context(self.trace) else {
            return Ok((self.fields(self.trace, credit)?, reply));
        };
        let fields = self.fields(Some(context.below()), credit)?;
        if !context.is_recorded() {
            return Ok((fields, reply));
        }
        let span = recorder.begin(context, self.function, &self.client.address);
        let reply = ReplyTo::Recorded(Box::new(Recorded { reply, span }));
        Ok((fields, reply))
    }

    /// As [`Call::send`], for threads without an async runtime.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn send_blocking(self, args: Value) -> Result<Reply<Value>, CallError> {
        block_on(self.send(args))
    }
}

/// A call's reply; dropped before it is there, it cancels the call.
struct Waiting<'a> {
    number: u64,
    replied: Option<oneshot::Receiver<Result<Reply<Bytes>, CallError>>>,
    pool: &'a ToPool,
}

impl Future for Waiting<'_> {
    type Output = Result<Result<Reply<Bytes>, CallError>, oneshot::Canceled>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let Some(replied) = &mut self.replied else {
            return std::task::Poll::Ready(Err(oneshot::Canceled));
        };
        let polled = std::pin::Pin::new(replied).poll(context);
        if polled.is_ready() {
            self.replied = None;
        }
        polled
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(replied) = self.replied.take() {
            drop(replied);
            // It fails where the client thread has ended, and the call with it.
            let _ = self.pool.send(Command::Cancel(self.number));
        }
    }
}
