//! What there is under which path.

use super::access::Access;
use super::bulk::Bulk;
use super::failure::{failure, failure_as};
use super::metrics::Requests;
use super::room::Room;
use super::under_way::UnderWay;
use super::{Stage, call, health, metrics, openapi, page, rpc, status};
use crate::server::Observer;
use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::PathRejection;
use axum::http::{Method, Response, StatusCode, Uri};
use axum::routing::{get, post};
use madrpc_core::call::{CallError, ErrorKind};
use tokio::sync::watch;

/// What requests are answered from.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) observer: Observer,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) access: watch::Receiver<Access>,
    pub(super) room: Room,
    pub(super) bulk: Bulk,
    pub(super) under_way: UnderWay,
    pub(super) requests: Requests,
}

impl Served {
    pub(super) fn new(
        observer: Observer,
        stage: watch::Receiver<Stage>,
        access: watch::Receiver<Access>,
    ) -> Self {
        Self {
            observer,
            stage,
            access,
            room: Room::new(),
            bulk: Bulk::new(),
            under_way: UnderWay::new(),
            requests: Requests::default(),
        }
    }
}

pub(super) fn router(served: Served) -> Router {
    Router::new()
        .route("/healthz", get(health::lives))
        .route("/readyz", get(health::is_ready))
        .route("/metrics", get(metrics::answer))
        .route("/openapi.json", get(openapi::answer))
        .route("/call/{*function}", post(call::answer))
        .route("/", get(page::page).post(rpc::answer))
        .route("/page/{file}", get(page::file))
        .route("/status.json", get(status::answer))
        .fallback(nothing_there)
        .method_not_allowed_fallback(not_so)
        // Bodies are read, and bounded, before.
        .layer(DefaultBodyLimit::disable())
        .with_state(served)
}

async fn nothing_there(uri: Uri) -> Response<Body> {
    let error = format!(
        "there is nothing at {}; there are POST /call/FUNCTION, POST / (JSON-RPC 2.0), and GET / (a page), /status.json, /openapi.json, \
         /metrics, /healthz and /readyz",
        uri.path()
    );
    failure(&CallError::not_run(ErrorKind::NoSuchFunction, error))
}

async fn not_so(method: Method, uri: Uri) -> Response<Body> {
    let error = format!("{} is not asked for by {method}", uri.path());
    let error = CallError::not_run(ErrorKind::BadArguments, error);
    failure_as(StatusCode::METHOD_NOT_ALLOWED, &error)
}

/// The answer where what stands for a name in a path is no text.
pub(super) fn no_name(rejection: &PathRejection) -> Response<Body> {
    let error = format!("the path: {}", rejection.body_text());
    failure(&CallError::not_run(ErrorKind::BadArguments, error))
}
