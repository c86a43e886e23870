//! Takes spans out of the shards' rings, and sends them.

use super::message::From;
use super::receiver::Receiver;
use crate::server::Recorded;
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
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// Spans of one request.
const BATCH: usize = 512;

/// Between two looks at the rings.
const INTERVAL: Duration = Duration::from_secs(1);

/// Requests of one look: shards that record faster than the receiver takes have the rest dropped.
const BATCHES_PER_LOOK: usize = 64;

/// How long the receiver may take for one of them, from connecting to its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two tries of a batch that could not be sent, the first time and at the most; it is given up after so many.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const TRIES: u32 = 10;

/// What may come at the end of the server.
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

/// Sends spans until `ended`.
pub(super) async fn send(
    mut recorded: Recorded,
    receiver: &Receiver,
    from: &From,
    mut ended: oneshot::Receiver<()>,
) {
    let mut is_away = false;
    let serve = async {
        loop {
            sleep(INTERVAL).await;
            for _ in 0..BATCHES_PER_LOOK {
                let (batch, spans) = next(&mut recorded, from);
                if spans == 0 {
                    break;
                }
                if !deliver(batch, receiver, &mut is_away).await {
                    recorded.drop_taken(spans as u64);
                }
            }
        }
    };
    tokio::select! {
        () = serve => {}
        // An end and a drop are the same to it: what is left is sent.
        _ = &mut ended => {}
    }
    if is_away {
        return;
    }
    let rest = async {
        loop {
            let (batch, spans) = next(&mut recorded, from);
            if spans == 0 || post(batch.into(), receiver).await.is_err() {
                break;
            }
        }
    };
    // Where it takes longer nobody is left who would count them.
    let _ = timeout(LEAVING, rest).await;
}

/// The next batch, and how many spans are in it.
fn next(recorded: &mut Recorded, from: &From) -> (Vec<u8>, usize) {
    let spans: Vec<_> = std::iter::from_fn(|| recorded.next()).take(BATCH).collect();
    let count = spans.len();
    (from.batch(spans), count)
}

/// Sends a batch, however often that takes; says whether it has come to the receiver.
async fn deliver(batch: Vec<u8>, receiver: &Receiver, is_away: &mut bool) -> bool {
    let batch = Bytes::from(batch);
    let mut pause = FIRST_PAUSE;
    for _ in 0..TRIES {
        let why = match post(batch.clone(), receiver).await {
            Ok(()) => {
                if std::mem::take(is_away) {
                    info!("the receiver of spans takes them again (--otlp)");
                }
                return true;
            }
            Err(Failed::Final(why)) => {
                say(is_away, &why);
                return false;
            }
            Err(Failed::Passing(why)) => why,
        };
        say(is_away, &why);
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
    false
}

/// Says why spans do not come to their receiver, the first time.
fn say(is_away: &mut bool, why: &str) {
    if !std::mem::replace(is_away, true) {
        warn!(
            "spans do not come to their receiver (--otlp): {why}; trying again, and those that have no room are dropped meanwhile"
        );
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
