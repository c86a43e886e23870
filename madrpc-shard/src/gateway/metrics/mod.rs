//! `GET /metrics`: what the server has counted, for Prometheus.
//!
//! In OpenMetrics where the scraper takes that, as Prometheus does, else in the older text format. Names have units (seconds, bytes);
//! the duration of calls is OpenTelemetry's `rpc.server.call.duration`, by method. As many functions have lines of their own as have
//! rows in the statistics, so callers make no lines.
//!
//! | | |
//! |---|---|
//! | `families` | writes families of metrics |
//! | `server` | those of a server's snapshot |
//! | `requests` | those of HTTP itself |
//! | `text` | the older format |

mod families;
mod requests;
mod server;
mod text;

pub(super) use requests::Requests;

use super::failure::failure;
use super::functions::snapshot_bytes;
use super::routes::Served;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::stats::Snapshot;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::sync::Arc;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers a scrape.
pub(super) async fn answer(State(served): State<Served>, headers: HeaderMap) -> Response<Body> {
    let Some(snapshot) = served.observer.snapshot().await else {
        let error = CallError::not_run(ErrorKind::Unavailable, "no shard answers");
        return failure(&error);
    };
    let accepts = headers.get_all(header::ACCEPT).iter();
    let mut accepts = accepts.filter_map(|value| value.to_str().ok());
    let is_open = accepts.any(|value| value.contains("application/openmetrics-text"));
    let Served { bulk, requests, .. } = served;
    let bytes = snapshot_bytes(&snapshot);
    let written = bulk.run(bytes, move || write(snapshot, &requests, is_open));
    let Some(Ok(text)) = written.await else {
        let error = "the metrics could not be written";
        return failure(&CallError::may_have_run(ErrorKind::Internal, error));
    };
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static(if is_open { OPEN_METRICS } else { TEXT });
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// All metrics.
fn write(
    snapshot: Arc<Snapshot>,
    requests: &Requests,
    is_open: bool,
) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(server::Server(snapshot)));
    requests.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(match is_open {
        true => text,
        false => text::from_open_metrics(&text),
    })
}
