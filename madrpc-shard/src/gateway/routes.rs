//! What there is under which path.

use super::access::Access;
use super::failure::failure;
use super::metrics::Requests;
use super::requests::BODIES_MAX_BYTES;
use super::{Stage, call, health, metrics, openapi, page, rpc, status};
use crate::server::Observer;
use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{Response, Uri};
use axum::routing::{get, post};
use madrpc_core::call::{CallError, ErrorKind};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// What requests are answered from.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) observer: Observer,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) access: watch::Receiver<Access>,
    /// Bytes that bodies may take yet.
    pub(super) room: Arc<Semaphore>,
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
            room: Arc::new(Semaphore::new(BODIES_MAX_BYTES)),
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
