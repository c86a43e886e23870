//! A request from its header on: who sends it, its body, and the answer, within bounds.

use super::Stage;
use super::access::{Need, Refusal};
use super::connections::Place;
use super::failure::{failure, failure_as};
use super::routes::Served;
use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use madrpc_core::call::{CallError, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tower_service::Service;

/// Bytes of one body.
pub(super) const BODY_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of all bodies together, those of answers that have not been taken among them.
pub(super) const BODIES_MAX_BYTES: usize = 64 * 1024 * 1024;

/// An answer of no more bytes is sent whatever else is held: health, and errors.
const SMALL_BYTES: usize = 4 * 1024;

/// How long a body may keep us waiting at a time, and in all.
const BODY_PAUSE: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What is told to come again, where there is no room.
const NO_ROOM_RETRY: Duration = Duration::from_secs(1);

/// Answers a request, and counts it.
pub(super) async fn answer(
    request: Request<Incoming>,
    place: &Place,
    app: Router,
    served: &Served,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let uri = parts.uri.clone();
    let response = admit(parts, body, place, app, served).await;
    served
        .requests
        .answered(uri.path(), response.status().as_u16());
    response
}

async fn admit(
    mut parts: Parts,
    body: Incoming,
    place: &Place,
    mut app: Router,
    served: &Served,
) -> Response<Body> {
    let need = need(&parts.method, parts.uri.path());
    let admitted = served
        .access
        .borrow()
        .admit(need, &parts.method, &parts.headers);
    match admitted {
        Ok(Some(caller)) => drop(parts.extensions.insert(caller)),
        Ok(None) => {}
        Err(refusal) => return refused(&refusal),
    }
    let read = match parts.method {
        Method::POST => timeout(BODY_TIMEOUT, read(body, &parts.headers, &served.room)).await,
        _ => Ok(Ok((Bytes::new(), None))),
    };
    let (bytes, held) = match read.unwrap_or(Err(NoBody::TooSlow)) {
        Ok(body) => body,
        Err(why) => return why.response(),
    };
    place.works();
    let request = Request::from_parts(parts, Body::from(bytes));
    let Ok(response) = app.call(request).await;
    drop(held);
    let mut response = hold(response, &served.room);
    if *served.stage.borrow() != Stage::Serving {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// What somebody has to be who asks for this.
fn need(method: &Method, path: &str) -> Need {
    let is_get = matches!(*method, Method::GET | Method::HEAD);
    match path {
        "/healthz" | "/readyz" => Need::Nothing,
        // A browser asks for the page before it has a token, and its files say nothing of this server.
        "/" if is_get => Need::Nothing,
        _ if is_get && path.starts_with("/page/") => Need::Nothing,
        "/metrics" | "/status.json" => Need::Operator,
        _ => Need::Caller,
    }
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let unauthorized = |error: &str| CallError::not_run(ErrorKind::Unauthorized, error);
    match refusal {
        Refusal::Unknown(error) => {
            let mut response = failure_as(StatusCode::UNAUTHORIZED, &unauthorized(error));
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
            response
        }
        Refusal::Forbidden(error) => failure(&unauthorized(error)),
    }
}

/// Why there is no body.
enum NoBody {
    TooLarge,
    TooSlow,
    NoRoom,
    Broken,
}

impl NoBody {
    fn response(self) -> Response<Body> {
        let not_run = |kind, error: String| CallError::not_run(kind, error);
        let mut response = match self {
            Self::TooLarge => failure(&not_run(
                ErrorKind::PayloadTooLarge,
                format!("a body has at most {BODY_MAX_BYTES} bytes here"),
            )),
            Self::TooSlow => failure_as(
                StatusCode::REQUEST_TIMEOUT,
                &not_run(ErrorKind::BadArguments, "the body came too slowly".into()),
            ),
            Self::NoRoom => failure(&no_room(false)),
            Self::Broken => failure(&not_run(
                ErrorKind::BadArguments,
                "the body is not whole".into(),
            )),
        };
        // What is left of the body is not waited for.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        response
    }
}

/// There are too many bodies at a time.
fn no_room(may_have_run: bool) -> CallError {
    let error = format!("the bodies of all HTTP requests take {BODIES_MAX_BYTES} bytes already");
    let error = CallError::not_run(ErrorKind::Overloaded, error);
    CallError {
        may_have_run,
        ..error.with_retry_after(NO_ROOM_RETRY)
    }
}

/// Reads a body, and takes room for it.
async fn read(
    mut body: Incoming,
    headers: &HeaderMap,
    room: &Arc<Semaphore>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), NoBody> {
    let said = headers.get(header::CONTENT_LENGTH);
    let said = said.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|said| said > BODY_MAX_BYTES as u64) {
        return Err(NoBody::TooLarge);
    }
    let mut bytes = BytesMut::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = timeout(BODY_PAUSE, body.frame())
        .await
        .map_err(|_| NoBody::TooSlow)?
    {
        let Ok(data) = frame.map_err(|_| NoBody::Broken)?.into_data() else {
            continue;
        };
        if bytes.len().saturating_add(data.len()) > BODY_MAX_BYTES {
            return Err(NoBody::TooLarge);
        }
        let more = take(room, data.len()).ok_or(NoBody::NoRoom)?;
        match &mut held {
            Some(held) => held.merge(more),
            None => held = Some(more),
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes.freeze(), held))
}

fn take(room: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let bytes = u32::try_from(bytes).ok()?;
    Arc::clone(room).try_acquire_many_owned(bytes).ok()
}

/// Holds room for an answer until it is sent.
fn hold(response: Response<Body>, room: &Arc<Semaphore>) -> Response<Body> {
    let exact = response.body().size_hint().exact();
    let bytes = exact.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if bytes <= SMALL_BYTES {
        return response;
    }
    match take(room, bytes) {
        Some(permit) => response.map(|body| {
            Body::new(Held {
                body,
                _permit: permit,
            })
        }),
        None => failure(&no_room(true)),
    }
}

/// A body that has its room until it is sent.
struct Held {
    body: Body,
    _permit: OwnedSemaphorePermit,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
