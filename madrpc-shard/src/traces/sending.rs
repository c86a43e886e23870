//! Takes spans out of their rings, and sends them.

use super::message::From;
use super::receiver::Receiver;
use super::{Lost, Source};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

/// Spans of one request.
const BATCH: usize = 512;

/// Between two looks at the rings.
const INTERVAL: Duration = Duration::from_secs(1);

/// Requests of one look: those that record faster than the receiver takes have the rest dropped.
const BATCHES_PER_LOOK: usize = 64;

/// How long the receiver may take for one of them, from connecting to its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two tries of a batch that could not be sent, the first time and at the most; it is given up after so many.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const TRIES: u32 = 10;

/// How long what is left may take at the end of the process.
const LEAVING: Duration = Duration::from_secs(1);

/// Bytes of an answer that are looked at: it says nothing but whether all were taken.
const ANSWER_MAX: usize = 64 << 10;

/// Why a batch is not with the receiver.
enum Failed {
    /// It may be the next time.
    Passing(String),
    /// It never will.
    Final(String),
}

/// Sends spans until `ended`, and then what is left, for a while.
///
/// # Errors
/// What has not come to the receiver.
pub(super) async fn send(
    source: impl Source,
    receiver: &Receiver,
    from: &From,
    mut ended: watch::Receiver<bool>,
) -> Result<(), Lost> {
    let mut sending = Sending {
        source,
        receiver,
        from,
        is_away: false,
        in_hand: 0,
        lost: 0,
        why: None,
    };
    let mut serve = Box::pin(sending.serve(ended.clone()));
    let in_time = tokio::select! {
        () = &mut serve => true,
        () = end(&mut ended) => timeout(LEAVING, &mut serve).await.is_ok(),
    };
    drop(serve);
    sending.end(in_time)
}

/// Waits for the end. One who has been dropped has ended, too.
async fn end(ended: &mut watch::Receiver<bool>) {
    let _ = ended.wait_for(|has_ended| *has_ended).await;
}

/// Waits for so long; says whether that was cut short by the end.
async fn pause(time: Duration, ended: &mut watch::Receiver<bool>) -> bool {
    timeout(time, end(ended)).await.is_ok()
}

struct Sending<'a, S> {
    source: S,
    receiver: &'a Receiver,
    from: &'a From,
    is_away: bool,
    /// Spans of the batch that is on its way.
    in_hand: u64,
    /// Those that were given up.
    lost: u64,
    /// Why spans did not come, the last time.
    why: Option<String>,
}

impl<S: Source> Sending<'_, S> {
    /// Until the end, and then what is there.
    async fn serve(&mut self, mut ended: watch::Receiver<bool>) {
        loop {
            let is_last = pause(INTERVAL, &mut ended).await;
            for _ in 0..BATCHES_PER_LOOK {
                let batch = self.next();
                if self.in_hand == 0 {
                    break;
                }
                let has_come = self.deliver(batch, &mut ended).await;
                let spans = std::mem::take(&mut self.in_hand);
                if !has_come {
                    self.lost = self.lost.saturating_add(spans);
                    self.source.lose(spans);
                    if pause(Duration::ZERO, &mut ended).await {
                        return;
                    }
                }
            }
            if is_last {
                return;
            }
        }
    }

    /// The next batch.
    fn next(&mut self) -> Bytes {
        let spans: Vec<_> = std::iter::from_fn(|| self.source.next())
            .take(BATCH)
            .collect();
        self.in_hand = spans.len() as u64;
        self.from.batch(spans).into()
    }

    /// Sends a batch, however often that takes; says whether it has come to the receiver.
    async fn deliver(&mut self, batch: Bytes, ended: &mut watch::Receiver<bool>) -> bool {
        let mut wait = FIRST_PAUSE;
        for _ in 0..TRIES {
            let (why, is_final) = match post(batch.clone(), self.receiver).await {
                Ok(()) => {
                    if std::mem::take(&mut self.is_away) {
                        info!("the receiver of spans takes them again (--otlp)");
                    }
                    return true;
                }
                Err(Failed::Final(why)) => (why, true),
                Err(Failed::Passing(why)) => (why, false),
            };
            self.say(why);
            if is_final || pause(wait, ended).await {
                return false;
            }
            wait = wait.saturating_mul(2).min(LONGEST_PAUSE);
        }
        false
    }

    /// Says why spans do not come to their receiver, the first time.
    fn say(&mut self, why: String) {
        if !std::mem::replace(&mut self.is_away, true) {
            warn!(
                "spans do not come to their receiver (--otlp): {why}; trying again, and those that have no room are dropped meanwhile"
            );
        }
        self.why = Some(why);
    }

    /// What has not come.
    fn end(mut self, in_time: bool) -> Result<(), Lost> {
        if !in_time {
            let why = || format!("no answer within {} s", LEAVING.as_secs());
            self.why.get_or_insert_with(why);
        }
        let left = std::iter::from_fn(|| self.source.next()).count() as u64;
        let sums = [self.in_hand, left, self.source.dropped()];
        match sums.into_iter().fold(self.lost, u64::saturating_add) {
            0 => Ok(()),
            spans => Err(Lost {
                spans,
                why: self
                    .why
                    .unwrap_or_else(|| "there were too many at a time".to_owned()),
            }),
        }
    }
}

async fn post(batch: Bytes, receiver: &Receiver) -> Result<(), Failed> {
    match timeout(PATIENCE, request(batch, receiver)).await {
        Ok(answered) => answered,
        Err(_) => Err(Failed::Passing(format!(
            "no answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}

async fn request(batch: Bytes, receiver: &Receiver) -> Result<(), Failed> {
    let passing = |error: &dyn std::fmt::Display| Failed::Passing(error.to_string());
    let stream = connect(receiver).await.map_err(|error| passing(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| passing(&error))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(&receiver.path)
        .header(HOST, format!("{}:{}", receiver.host, receiver.port()))
        .header(CONTENT_TYPE, "application/x-protobuf")
        .header(USER_AGENT, concat!("madrpc/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(batch))
        .map_err(|error| Failed::Final(error.to_string()))?;
    let answered = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = http_body_util::Limited::new(answer.into_body(), ANSWER_MAX);
        // Read to its end, so that the receiver sees no reset; what it says beside the status is of no use here.
        let _ = body.collect().await;
        Ok::<_, hyper::Error>(status)
    };
    // It is one request: the connection is driven until that is answered. Where it ends before, the request does too.
    let driven = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    let status = tokio::select! {
        biased;
        status = answered => status,
        never = driven => match never {},
    };
    let status = status.map_err(|error| passing(&error))?;
    match status {
        _ if status.is_success() => Ok(()),
        // Those that are to be tried again (OTLP specification, "Retryable Response Codes").
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Err(Failed::Passing(format!("it answers {status}"))),
        _ => Err(Failed::Final(format!("it answers {status}"))),
    }
}

/// A connection to the first of its addresses that takes one.
async fn connect(receiver: &Receiver) -> io::Result<TcpStream> {
    let name = (receiver.name(), receiver.port());
    let mut failed = io::Error::other("its name has no address");
    for address in lookup_host(name).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(failed)
}
