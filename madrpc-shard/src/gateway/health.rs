//! Whether a server is well: what supervisors and load balancers ask.

use super::Stage;
use super::routes::Served;
use axum::extract::State;
use axum::http::StatusCode;
use madrpc_core::stats::Snapshot;

/// `GET /healthz`: the process lives. What more there is to say is at `/readyz`.
pub(super) async fn lives() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 where all shards answer and take calls, else 503; a line says which.
pub(super) async fn is_ready(State(served): State<Served>) -> (StatusCode, String) {
    let state = match *served.stage.borrow() {
        Stage::Serving => None,
        Stage::Draining | Stage::Leaving => Some("draining: the server ends\n".to_owned()),
    };
    if let Some(state) = state {
        return (StatusCode::SERVICE_UNAVAILABLE, state);
    }
    let snapshot = served.observer.snapshot().await;
    match snapshot.as_deref().map(what_lacks) {
        Some(None) => (StatusCode::OK, "serving\n".to_owned()),
        Some(Some(lacks)) => (StatusCode::SERVICE_UNAVAILABLE, lacks),
        None => {
            let lacks = "no shard answers\n".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, lacks)
        }
    }
}

/// Why no calls should be sent here, where there is a reason.
fn what_lacks(snapshot: &Snapshot) -> Option<String> {
    if snapshot.state != "serving" {
        return Some(format!("{} (madrpc undrain)\n", snapshot.state));
    }
    let (silent, shards) = (snapshot.silent_shards, snapshot.shards);
    (silent > 0).then(|| format!("{silent} of {shards} shards do not answer\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_takes_calls_on_all_shards_is_ready() {
        let snapshot = |state: &str, silent_shards| Snapshot {
            state: state.into(),
            silent_shards,
            shards: 2,
            ..Snapshot::default()
        };
        assert_eq!(what_lacks(&snapshot("serving", 0)), None);
        let lacks = |state, silent| what_lacks(&snapshot(state, silent)).unwrap_or_default();
        assert_eq!(lacks("draining", 0), "draining (madrpc undrain)\n");
        assert_eq!(lacks("drained", 0), "drained (madrpc undrain)\n");
        assert_eq!(lacks("serving", 1), "1 of 2 shards do not answer\n");
    }
}
