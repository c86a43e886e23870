//! A request from its header on: who sends it, its body, and the answer, within bounds.

use super::Stage;
use super::access::{Need, Refusal};
use super::connections::Place;
use super::failure::{failure, failure_as};
use super::room::{Held, Room, no_room};
use super::routes::Served;
use super::sending::{Kept, Sending};
use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use madrpc_core::call::{CallError, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tower_service::Service;

/// Bytes of one body.
pub(super) const BODY_MAX_BYTES: usize = 8 * 1024 * 1024;

/// An answer of no more bytes is sent whatever else is held: health, and errors.
const SMALL_BYTES: usize = 4 * 1024;

/// How long a body may keep us waiting at a time, and in all.
const BODY_PAUSE: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers a request, and counts it.
pub(super) async fn answer(
    request: Request<Incoming>,
    place: &Rc<Place>,
    app: Router,
    served: &Served,
) -> Response<Sending> {
    let (parts, body) = request.into_parts();
    let uri = parts.uri.clone();
    let response = admit(parts, body, place, app, served).await;
    let (response, kept) = keep(response, &served.room);
    served
        .requests
        .answered(uri.path(), response.status().as_u16());
    place.answers();
    response.map(|body| Sending::new(body, kept, Rc::clone(place)))
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
        .admit(need, &parts.method, &parts.uri, &parts.headers);
    let caller = match admitted {
        Ok(caller) => caller,
        Err(refusal) => return refused(&refusal),
    };
    let read = match (need, &parts.method) {
        (Need::Caller, &Method::POST) => {
            timeout(BODY_TIMEOUT, read(body, &parts.headers, &served.room)).await
        }
        // Nobody asks for the body of such a request, and it may be a stranger's.
        _ => Ok(Ok((Bytes::new(), None))),
    };
    let (bytes, held) = match read.unwrap_or(Err(NoBody::TooSlow)) {
        Ok(body) => body,
        Err(why) => return why.response(),
    };
    let mut counted = None;
    if let Some(caller) = caller {
        match served.under_way.enter(need, &caller) {
            Ok(one) => counted = Some(one),
            Err(error) => return failure(&error),
        }
        parts.extensions.insert(caller);
    }
    place.works(counted);
    // Whoever works on it beside holds it too, though its client may have gone.
    let held = held.map(Arc::new);
    if let Some(held) = &held {
        parts.extensions.insert(Arc::clone(held));
    }
    let request = Request::from_parts(parts, Body::from(bytes));
    let Ok(mut response) = app.call(request).await;
    drop(held);
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
        Refusal::Unclear => {
            let error = "a request has one Host, which is text (RFC 9112, 3.2)";
            failure(&CallError::not_run(ErrorKind::BadArguments, error))
        }
    }
}

/// Why there is no body.
enum NoBody {
    Encoded,
    TooLarge,
    TooSlow,
    NoRoom,
    Broken,
}

impl NoBody {
    fn response(self) -> Response<Body> {
        let not_run = |kind, error: String| CallError::not_run(kind, error);
        let mut response = match self {
            Self::Encoded => failure_as(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &not_run(
                    ErrorKind::BadArguments,
                    "a body comes as it is: without Content-Encoding, and with no Transfer-Encoding but chunked".into(),
                ),
            ),
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

/// Reads a body, and takes room for it.
async fn read(
    mut body: Incoming,
    headers: &HeaderMap,
    room: &Room,
) -> Result<(Bytes, Option<Held>), NoBody> {
    // Only the last of them is undone before.
    let codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut codings = codings.map(HeaderValue::as_bytes);
    let is_encoded = codings.any(|coding| !coding.eq_ignore_ascii_case(b"chunked"));
    if is_encoded || headers.contains_key(header::CONTENT_ENCODING) {
        return Err(NoBody::Encoded);
    }
    let said = headers.get(header::CONTENT_LENGTH);
    let said = said.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|said| said > BODY_MAX_BYTES as u64) {
        return Err(NoBody::TooLarge);
    }
    let mut bytes = BytesMut::new();
    let mut held = room.take(0).ok_or(NoBody::NoRoom)?;
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
        held.merge(room.take(data.len()).ok_or(NoBody::NoRoom)?);
        bytes.extend_from_slice(&data);
    }
    Ok((bytes.freeze(), Some(held)))
}

/// Takes room for an answer, unless it has its own, until it is sent.
fn keep(mut response: Response<Body>, room: &Room) -> (Response<Body>, Kept) {
    if let Some(kept) = response.extensions_mut().remove() {
        return (response, kept);
    }
    let exact = response.body().size_hint().exact();
    let bytes = exact.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if bytes <= SMALL_BYTES {
        return (response, Kept::new());
    }
    match room.take_for_result(bytes) {
        Ok(held) => (response, vec![Arc::new(held)]),
        Err(error) => (failure(&error), Kept::new()),
    }
}
